//! An Ingress that names no class gets the one that is marked as default: of several the newest, of equally new ones
//! the first by name.

use std::cmp::Reverse;

use plinth_api::Status;
use serde_json::Value;

use super::objects_of;
use crate::server::Core;
use crate::write::meta_text;

/// Marks the default class.
const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
/// The old way to name a class.
const NAMED: &str = "kubernetes.io/ingress.class";

pub(super) fn admit(core: &Core, ingress: &mut Value) -> Result<(), Status> {
    if ingress["spec"]["ingressClassName"].is_string()
        || ingress["metadata"]["annotations"][NAMED].is_string()
    {
        return Ok(());
    }
    let mut default: Option<(Reverse<String>, String)> = None;
    for class in objects_of(core, "networking.k8s.io", "ingressclasses") {
        let class = class.parsed()?;
        if class["metadata"]["annotations"][DEFAULT] == "true" {
            let created = meta_text(class, "creationTimestamp").to_owned();
            let this = (Reverse(created), meta_text(class, "name").to_owned());
            default = Some(default.map_or(this.clone(), |other| other.min(this)));
        }
    }
    if let Some((_, name)) = default {
        ingress["spec"]["ingressClassName"] = name.into();
    }
    Ok(())
}
