//! A new node takes no pods until it has said that it is ready.

use serde_json::{Value, json};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub(super) fn admit(node: &mut Value) {
    let taints = node["spec"]["taints"].as_array_mut();
    let taint = json!({"key": NOT_READY, "effect": "NoSchedule"});
    match taints {
        Some(taints) if taints.contains(&taint) => {}
        Some(taints) => taints.push(taint),
        None => node["spec"]["taints"] = json!([taint]),
    }
}
