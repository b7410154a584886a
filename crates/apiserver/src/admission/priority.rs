//! A pod's priority is the number behind its class's name, 0 without one. Only the two classes the system itself
//! brings are known as long as PriorityClass is not served.

use plinth_api::Status;
use serde_json::Value;

use crate::kind::Kind;
use crate::write::meta_text;

pub(super) fn admit(kind: &Kind, pod: &mut Value) -> Result<(), Status> {
    let class = pod["spec"]["priorityClassName"]
        .as_str()
        .unwrap_or_default();
    let value = match class {
        "" => 0,
        "system-cluster-critical" => 2_000_000_000,
        "system-node-critical" => 2_000_001_000,
        other => {
            let why = format!("no PriorityClass with name {other} was found");
            return Err(Status::forbidden(
                kind.resource,
                meta_text(pod, "name"),
                &why,
            ));
        }
    };
    if pod["spec"]["priority"]
        .as_i64()
        .is_some_and(|given| given != value)
    {
        let why = "the integer value of priority must not be provided in pod spec; priority admission controller \
                   computed it from the given PriorityClass name";
        return Err(Status::forbidden(
            kind.resource,
            meta_text(pod, "name"),
            why,
        ));
    }
    pod["spec"]["priority"] = value.into();
    if pod["spec"]["preemptionPolicy"].is_null() {
        pod["spec"]["preemptionPolicy"] = "PreemptLowerPriority".into();
    }
    Ok(())
}
