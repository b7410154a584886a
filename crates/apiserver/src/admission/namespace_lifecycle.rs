//! Objects are made only in namespaces that exist and stay; the namespaces the system lives in cannot be deleted
//! (G-8, G-10).

use plinth_api::Status;
use serde_json::Value;

use crate::kind::Kind;
use crate::read::live;
use crate::server::Core;
use crate::write::meta_text;

/// Namespaces that may not be deleted.
const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];

pub(super) fn admit(core: &Core, kind: &Kind, object: &Value) -> Result<(), Status> {
    if !kind.resource.namespaced() {
        return Ok(());
    }
    let Some(namespaces) = core.kinds.core("namespaces") else {
        return Ok(());
    };
    let namespace = meta_text(object, "namespace");
    let found = live(&namespaces, "", namespace)?;
    if found.header.terminating || found.parsed()?["status"]["phase"] == "Terminating" {
        return Err(Status::namespace_terminating(
            kind.resource,
            meta_text(object, "name"),
            namespace,
        ));
    }
    Ok(())
}

pub(super) fn admit_delete(kind: &Kind, name: &str) -> Result<(), Status> {
    let immortal = kind.resource.plural == "namespaces"
        && kind.resource.group.is_empty()
        && IMMORTAL.contains(&name);
    if immortal {
        Err(Status::forbidden(
            kind.resource,
            name,
            "this namespace may not be deleted",
        ))
    } else {
        Ok(())
    }
}
