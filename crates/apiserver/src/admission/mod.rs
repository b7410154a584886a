//! What the cluster as a whole has to say about an object: one file per plugin, run in this order. Before its kind
//! judges an object, plugins may change it; after, they may only refuse it. Plugins see the caches, never the store.

mod certificates;
mod claim_resize;
mod default_ingress_class;
mod default_storage_class;
mod default_tolerations;
mod dynamic;
mod limit_ranger;
mod namespace_lifecycle;
pub(crate) mod node_restriction;
mod node_taint;
mod pod_security;
mod priority;
mod runtime_class;
mod service_account;
mod storage_protection;

use std::sync::Arc;

use plinth_api::Status;
use serde_json::Value;

pub(crate) use dynamic::{Hooks, Notes, Options, Request, check_types};

use crate::authentication::UserInfo;
use crate::authorization::escalation;
use crate::cache::Object;
use crate::kind::Kind;
use crate::server::Core;
use crate::write::Writer;

/// What is done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    /// As reviews name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// Lets all plugins change or refuse an object.
pub(crate) fn admit(
    core: &Core,
    kind: &Kind,
    operation: Operation,
    writer: &Writer<'_>,
    object: &mut Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    escalation::check(core, writer.user, kind, object, old)?;
    node_restriction::admit(core, writer.user, kind, object, old)?;
    if operation == Operation::Update {
        return Ok(());
    }
    namespace_lifecycle::admit(core, kind, object)?;
    certificates::admit(writer.user, kind, object)?;
    match kind.storage.as_str() {
        "pods" => {
            limit_ranger::admit(core, object)?;
            service_account::admit(core, kind, object)?;
            priority::admit(core, kind, object)?;
            default_tolerations::admit(object);
            runtime_class::admit(core, kind, object)?;
        }
        "nodes" => node_taint::admit(object),
        "persistentvolumeclaims" => {
            default_storage_class::admit(core, object)?;
            storage_protection::admit_claim(object);
        }
        "persistentvolumes" => storage_protection::admit_volume(object),
        "volumeattributesclasses.storage.k8s.io" => storage_protection::admit_class(object),
        "ingresses.networking.k8s.io" => default_ingress_class::admit(core, object)?,
        _ => {}
    }
    Ok(())
}

/// Lets plugins refuse what is about to be kept. Returns texts for `Warning` headers.
pub(crate) fn review(
    core: &Core,
    kind: &Kind,
    object: &Value,
    old: Option<&Value>,
) -> Result<Vec<String>, Status> {
    match (kind.storage.as_str(), old) {
        ("pods", None) => limit_ranger::review(core, kind, object)?,
        ("persistentvolumeclaims", old) => {
            limit_ranger::review(core, kind, object)?;
            if let Some(old) = old {
                claim_resize::review(core, kind, object, old)?;
            }
        }
        ("priorityclasses.scheduling.k8s.io", _) => priority::review_class(core, kind, object)?,
        _ => {}
    }
    pod_security::review(core, kind, object, old)
}

/// Lets plugins refuse a change of the status.
pub(crate) fn admit_status(
    core: &Core,
    kind: &Kind,
    writer: &Writer<'_>,
    new: &Value,
    old: &Value,
) -> Result<(), Status> {
    node_restriction::admit(core, writer.user, kind, new, Some(old))?;
    certificates::admit_status(core, writer.user, kind, new, old)
}

/// Lets plugins refuse a decision about a request for a certificate, and dates it.
pub(crate) fn admit_approval(
    core: &Core,
    kind: &Kind,
    writer: &Writer<'_>,
    new: &mut Value,
    old: &Value,
) -> Result<(), Status> {
    certificates::admit_approval(core, writer.user, kind, new, old)
}

/// Lets plugins refuse a deletion.
pub(crate) fn admit_delete(
    core: &Core,
    kind: &Kind,
    namespace: &str,
    name: &str,
    user: &UserInfo,
) -> Result<(), Status> {
    if kind.storage == "priorityclasses.scheduling.k8s.io" {
        priority::admit_delete(kind, name)?;
    }
    node_restriction::admit_delete(core, user, kind, namespace, name)?;
    namespace_lifecycle::admit_delete(kind, name)
}

/// All objects of a kind of the core group in a namespace.
pub(crate) fn objects_in(core: &Core, plural: &str, namespace: &str) -> Result<Vec<Value>, Status> {
    let Some(kind) = core.kinds.core(plural) else {
        return Ok(Vec::new());
    };
    let snapshot = kind.cache.snapshot(&core.clock);
    let objects = snapshot.tree.iter(Some(namespace), None);
    objects
        .map(|object| serde_json::from_slice(&object.bytes).map_err(Status::internal))
        .collect()
}

/// All objects of a cluster-wide kind.
fn objects_of(core: &Core, group: &str, plural: &str) -> Vec<Arc<Object>> {
    let Some(kind) = core.kinds.find(group, "v1", plural) else {
        return Vec::new();
    };
    let snapshot = kind.cache.snapshot(&core.clock);
    snapshot.tree.iter(None, None).cloned().collect()
}
