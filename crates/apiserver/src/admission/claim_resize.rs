//! Claims grow only where their class says that volumes can.

use plinth_api::Status;
use plinth_api::pod_resources::amounts;
use serde_json::Value;

use crate::kind::Kind;
use crate::server::Core;
use crate::write::meta_text;

pub(super) fn review(core: &Core, kind: &Kind, new: &Value, old: &Value) -> Result<(), Status> {
    let size = |claim: &Value| {
        amounts(&claim["spec"]["resources"], "requests")
            .get("storage")
            .copied()
    };
    let grows = size(new) > size(old);
    if !grows || old["status"]["phase"] != "Bound" || allows(core, old)? {
        return Ok(());
    }
    let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
               support resize";
    Err(Status::forbidden(
        kind.resource,
        meta_text(new, "name"),
        why,
    ))
}

fn allows(core: &Core, claim: &Value) -> Result<bool, Status> {
    let class = claim["spec"]["storageClassName"]
        .as_str()
        .unwrap_or_default();
    let classes = core.kinds.find("storage.k8s.io", "v1", "storageclasses");
    let Some(class) = classes.and_then(|classes| classes.cache.get("", class)) else {
        return Ok(false);
    };
    let class: Value = serde_json::from_slice(&class.bytes).map_err(Status::internal)?;
    Ok(class["allowVolumeExpansion"] == true)
}
