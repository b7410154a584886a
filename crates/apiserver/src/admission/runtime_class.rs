//! A pod takes over from its RuntimeClass what running it costs and where it can run.

use plinth_api::Status;
use serde_json::Value;

use crate::kind::Kind;
use crate::server::Core;
use crate::write::meta_text;

pub(super) fn admit(core: &Core, kind: &Kind, pod: &mut Value) -> Result<(), Status> {
    let refuse = |pod: &Value, why: &str| {
        Err(Status::forbidden(
            kind.resource,
            meta_text(pod, "name"),
            why,
        ))
    };
    let Some(name) = pod["spec"]["runtimeClassName"].as_str().map(str::to_owned) else {
        if pod["spec"]["overhead"].is_object() {
            let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defining Overhead";
            return refuse(pod, why);
        }
        return Ok(());
    };
    let classes = core.kinds.find("node.k8s.io", "v1", "runtimeclasses");
    let Some(class) = classes.and_then(|classes| classes.cache.get("", &name)) else {
        return refuse(
            pod,
            &format!("pod rejected: RuntimeClass {} not found", Value::from(name)),
        );
    };
    let class: Value = serde_json::from_slice(&class.bytes).map_err(Status::internal)?;
    let overhead = &class["overhead"]["podFixed"];
    let given = &pod["spec"]["overhead"];
    if given.is_object() && given != overhead {
        let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
        return refuse(pod, why);
    }
    if overhead.is_object() {
        pod["spec"]["overhead"] = overhead.clone();
    }
    schedule(kind, pod, &class["scheduling"])
}

/// Merges selector and tolerations into the pod's own.
fn schedule(kind: &Kind, pod: &mut Value, scheduling: &Value) -> Result<(), Status> {
    let selector = scheduling["nodeSelector"].as_object();
    for (label, value) in selector.into_iter().flatten() {
        let own = &pod["spec"]["nodeSelector"][label];
        if own.is_string() && own != value {
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{label}] = {}; pod.spec.nodeSelector[{label}] = {}",
                value.as_str().unwrap_or_default(),
                own.as_str().unwrap_or_default()
            );
            return Err(Status::forbidden(
                kind.resource,
                meta_text(pod, "name"),
                &why,
            ));
        }
        pod["spec"]["nodeSelector"][label] = value.clone();
    }
    for toleration in scheduling["tolerations"].as_array().into_iter().flatten() {
        match pod["spec"]["tolerations"].as_array_mut() {
            Some(own) if own.contains(toleration) => {}
            Some(own) => own.push(toleration.clone()),
            None => pod["spec"]["tolerations"] = vec![toleration.clone()].into(),
        }
    }
    Ok(())
}
