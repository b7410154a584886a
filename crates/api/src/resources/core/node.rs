//! Node (core/v1): a machine that runs pods.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::checks::{each, one_of};
use crate::resources::columns::{AGE, NAME, cell, wide};
use crate::resources::object::{canonical_amounts, ensure, fill, given, list, put, text};
use crate::resources::pod_template::EFFECTS;
use crate::resources::{keep, null_times};
use crate::{meta, names, table};

const ROLE: &str = "node-role.kubernetes.io/";
/// What a node tells about itself; printed even while unknown.
const FACTS: [&str; 10] = [
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
];

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "Node",
        list_kind: "NodeList",
        plural: "nodes",
        singular: "node",
        short_names: &["no"],
        categories: &[],
        scope: Scope::Cluster,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Proxy, Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        let spec = ensure(object, "spec");
        // The single range and the list of ranges mirror each other; the single one wins.
        let (one, first) = (
            text(spec, "podCIDR").to_owned(),
            list(spec, "podCIDRs").first(),
        );
        match first {
            Some(first) if one.is_empty() => {
                let first = first.clone();
                put(spec, "podCIDR", first);
            }
            first if !one.is_empty() && first.is_none_or(|first| *first != one.as_str()) => {
                put(spec, "podCIDRs", json!([one]));
            }
            _ => {}
        }
        let status = ensure(object, "status");
        canonical_amounts(status, "capacity");
        canonical_amounts(status, "allocatable");
        if given(status, "capacity") && !given(status, "allocatable") {
            let capacity = status["capacity"].clone();
            put(status, "allocatable", capacity);
        }
        fill(
            ensure(ensure(status, "daemonEndpoints"), "kubeletEndpoint"),
            "Port",
            0,
        );
        let info = ensure(status, "nodeInfo");
        for fact in FACTS {
            fill(info, fact, "");
        }
        null_times(status, &["lastHeartbeatTime", "lastTransitionTime"]);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = taints(object);
        for (index, range) in list(&object["spec"], "podCIDRs")
            .iter()
            .filter_map(Value::as_str)
            .enumerate()
        {
            errors.extend(each(
                names::cidr(range),
                &Path::new("spec.podCIDRs").index(index),
                range,
            ));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = taints(new);
        let (new, old) = (&new["spec"], &old["spec"]);
        let changed = |field: &str| given(old, field) && new[field] != old[field];
        if changed("podCIDRs") {
            let detail = "node updates may not change podCIDR except from \"\" to valid";
            errors.push(FieldError::forbidden(&Path::new("spec.podCIDRs"), detail));
        }
        if changed("providerID") {
            let detail = "node updates may not change providerID except from \"\" to valid";
            errors.push(FieldError::forbidden(&Path::new("spec.providerID"), detail));
        }
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (status, info) = (&object["status"], &object["status"]["nodeInfo"]);
        let known = |fact: &str| {
            if fact.is_empty() {
                "<unknown>".to_owned()
            } else {
                fact.to_owned()
            }
        };
        let address = |kind: &str| {
            let found = list(status, "addresses").iter().find(|a| a["type"] == kind);
            found.map_or_else(|| "<none>".to_owned(), |a| text(a, "address").to_owned())
        };
        vec![
            meta::name(object).into(),
            state(object).into(),
            roles(object).into(),
            table::age(object, now),
            text(info, "kubeletVersion").into(),
            address("InternalIP").into(),
            address("ExternalIP").into(),
            known(text(info, "osImage")).into(),
            known(text(info, "kernelVersion")).into(),
            known(text(info, "containerRuntimeVersion")).into(),
        ]
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![(
            "spec.unschedulable",
            (object["spec"]["unschedulable"] == true).to_string(),
        )]
    }
}

/// `Ready`, `NotReady` or `Unknown`, with what keeps pods away (K-7).
fn state(object: &Value) -> String {
    let ready = list(&object["status"], "conditions")
        .iter()
        .find(|c| c["type"] == "Ready");
    let mut state = match ready {
        Some(condition) if condition["status"] == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if object["spec"]["unschedulable"] == true {
        state.push_str(",SchedulingDisabled");
    }
    state
}

fn roles(object: &Value) -> String {
    let labels = object["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten();
    let mut roles: Vec<&str> = labels
        .filter_map(|(key, value)| match key.strip_prefix(ROLE) {
            Some(role) if !role.is_empty() => Some(role),
            _ if key == "kubernetes.io/role" => value.as_str().filter(|role| !role.is_empty()),
            _ => None,
        })
        .collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() {
        "<none>".to_owned()
    } else {
        roles.join(",")
    }
}

fn taints(object: &Value) -> Vec<FieldError> {
    // Upstream reports taints below the metadata.
    let path = Path::new("metadata.taints");
    let (mut errors, mut seen) = (Vec::new(), std::collections::HashSet::new());
    for (index, taint) in list(&object["spec"], "taints").iter().enumerate() {
        let at = path.index(index);
        let (key, value) = (text(taint, "key"), text(taint, "value"));
        errors.extend(each(names::qualified_name(key), &at.child("key"), key));
        let faults = names::label_value(value);
        if !faults.is_empty() {
            errors.push(FieldError::invalid(
                &at.child("value"),
                value,
                faults.join(";"),
            ));
        }
        errors.extend(one_of(taint, "effect", &at, &EFFECTS, false));
        if !seen.insert((key, text(taint, "effect"))) {
            let mut error = FieldError::duplicate(&at, taint.clone());
            "taints must be unique by key and effect pair".clone_into(&mut error.detail);
            errors.push(error);
        }
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    cell("Status", "The status of the node"),
    cell("Roles", "The roles of the node"),
    AGE,
    cell("Version", "Kubelet Version reported by the node."),
    wide("Internal-IP", ADDRESSES),
    wide("External-IP", ADDRESSES),
    wide(
        "OS-Image",
        "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy)).",
    ),
    wide(
        "Kernel-Version",
        "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64).",
    ),
    wide(
        "Container-Runtime",
        "ContainerRuntime Version reported by the node through runtime remote API (e.g. containerd://1.4.2).",
    ),
];

const ADDRESSES: &str = "List of addresses reachable to the node. Queried from cloud provider, if available. More info: https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field is declared as mergeable, but the merge key is not sufficiently unique, which can cause data corruption when it is merged. Callers should instead use a full-replacement patch. See https://pr.k8s.io/79391 for an example. Consumers should assume that addresses can change during the lifetime of a Node. However, there are some exceptions where this may not be possible, such as Pods that inherit a Node's address in its own status or consumers of the downward API (status.hostIP).";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn the_row_tells_state_and_roles() {
        // K-7
        let node = json!({"metadata": {"name": "n", "labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}], "nodeInfo": {"kubeletVersion": "v1.36.2"}}});
        let cells = Rules.row(&node, Timestamp::UNIX_EPOCH);
        assert_eq!(
            cells[1..6],
            [
                json!("Ready,SchedulingDisabled"),
                json!("control-plane,worker"),
                json!("<unknown>"),
                json!("v1.36.2"),
                json!("10.0.0.1")
            ]
        );
        assert_eq!(cells.len(), COLUMNS.len());
        assert_eq!(
            Rules.row(&json!({}), Timestamp::UNIX_EPOCH)[1..3],
            [json!("Unknown"), json!("<none>")]
        );
    }

    #[test]
    fn identity_of_the_machine_stays() {
        let old = json!({"spec": {"providerID": "p://1", "podCIDRs": ["10.20.0.0/24"]}});
        let new = json!({"spec": {"providerID": "p://2", "podCIDRs": ["10.21.0.0/24"]}});
        assert_eq!(
            texts(&Rules.validate_update(&new, &old)),
            [
                "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid",
                "spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid",
            ]
        );
        assert!(Rules.validate_update(&new, &json!({})).is_empty());
    }

    #[test]
    fn taints_are_checked() {
        let bad = json!({"spec": {"taints": [{"key": "a", "effect": "Odd"}]}});
        assert_eq!(
            texts(&Rules.validate(&bad)),
            [
                r#"metadata.taints[0].effect: Unsupported value: "Odd": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute""#
            ]
        );
    }
}
