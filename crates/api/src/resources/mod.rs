//! The built-in kinds: one file each, plus what several of them share. Knows no storage and no HTTP.

mod apps;
mod columns;
mod coordination;
mod core;
mod discovery;
mod storage;

use serde_json::Value;

use crate::resource::Resource;

/// Every built-in kind.
pub(crate) fn all() -> Vec<Resource> {
    vec![
        core::namespace::resource(),
        core::node::resource(),
        core::pod::resource(),
        core::service::resource(),
        core::endpoints::resource(),
        core::configmap::resource(),
        core::secret::resource(),
        core::serviceaccount::resource(),
        core::event::resource(),
        core::persistentvolumeclaim::resource(),
        core::persistentvolume::resource(),
        apps::statefulset::resource(),
        apps::controllerrevision::resource(),
        storage::storageclass::resource(),
        coordination::lease::resource(),
        discovery::endpointslice::resource(),
    ]
}

/// A status update keeps everything of the stored object but the status, and metadata that is mutable anyway.
pub(crate) fn keep_all_but_status(new: &mut Value, old: &Value) {
    let (Some(new), Some(old)) = (new.as_object_mut(), old.as_object()) else { return };
    new.retain(|key, _| matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
    for (key, value) in old {
        if key != "status" && key != "metadata" {
            new.insert(key.clone(), value.clone());
        }
    }
}
