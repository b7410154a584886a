//! A claim that names no class gets the default one: of several the newest, of equally new ones the first by name.
//! An empty name is a choice (no class) and is kept.

use std::cmp::Reverse;

use plinth_api::Status;
use serde_json::Value;

use crate::server::Core;
use crate::write::meta_text;

/// Marks the default class.
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
/// The old way to name a class.
const NAMED: &str = "volume.beta.kubernetes.io/storage-class";

pub(super) fn admit(core: &Core, claim: &mut Value) -> Result<(), Status> {
    if claim["spec"]["storageClassName"].is_string()
        || claim["metadata"]["annotations"][NAMED].is_string()
    {
        return Ok(());
    }
    let Some(classes) = core.kinds.find("storage.k8s.io", "v1", "storageclasses") else {
        return Ok(());
    };
    let snapshot = classes.cache.snapshot(&core.clock);
    let mut defaults = Vec::new();
    for class in snapshot.tree.iter(None, None) {
        let class: Value = serde_json::from_slice(&class.bytes).map_err(Status::internal)?;
        if class["metadata"]["annotations"][DEFAULT] == "true" {
            let created = meta_text(&class, "creationTimestamp").to_owned();
            defaults.push((Reverse(created), meta_text(&class, "name").to_owned()));
        }
    }
    if let Some((_, name)) = defaults.into_iter().min() {
        claim["spec"]["storageClassName"] = name.into();
    }
    Ok(())
}
