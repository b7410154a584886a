//! What the cluster as a whole has to say about an object before its kind judges it: one file per plugin, run in
//! this order. Plugins see the caches, never the store.

mod default_storage_class;
mod default_tolerations;
mod namespace_lifecycle;
mod priority;
mod service_account;
mod storage_protection;

use plinth_api::Status;
use serde_json::Value;

use crate::kind::Kind;
use crate::server::Core;

/// What is done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
}

/// Lets all plugins change or refuse an object.
pub(crate) fn admit(
    core: &Core,
    kind: &Kind,
    operation: Operation,
    object: &mut Value,
    _old: Option<&Value>,
) -> Result<(), Status> {
    if operation == Operation::Update {
        return Ok(());
    }
    namespace_lifecycle::admit(core, kind, object)?;
    if !kind.resource.group.is_empty() {
        return Ok(());
    }
    match kind.resource.plural {
        "pods" => {
            priority::admit(kind, object)?;
            default_tolerations::admit(object);
            service_account::admit(core, kind, object)?;
        }
        "persistentvolumeclaims" => {
            storage_protection::admit_claim(object);
            default_storage_class::admit(core, object)?;
        }
        "persistentvolumes" => storage_protection::admit_volume(object),
        _ => {}
    }
    Ok(())
}

/// Lets plugins refuse a deletion.
pub(crate) fn admit_delete(kind: &Kind, name: &str) -> Result<(), Status> {
    namespace_lifecycle::admit_delete(kind, name)
}
