//! NodeRestriction: the agent of a node writes about its own node and the pods on it, and about no others.

use plinth_api::Status;
use serde_json::Value;

use crate::authentication::UserInfo;
use crate::kind::Kind;
use crate::server::Core;
use crate::write::meta_text;

/// Labels that a node may give itself, besides those outside of Kubernetes' own domains.
const OWN_LABELS: &[&str] = &[
    "kubernetes.io/hostname",
    "kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
];
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Checks what a node creates or changes, the status included.
pub(crate) fn admit(
    _core: &Core,
    user: &UserInfo,
    kind: &Kind,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    let Some(node) = user.node() else {
        return Ok(());
    };
    let resource = kind.resource;
    let name = meta_text(new, "name");
    let refuse = |why: String| Err(Status::forbidden(resource, name, &why));
    match (resource.group, resource.plural) {
        ("", "nodes") => {
            if name != node {
                return refuse(format!(
                    "node {node:?} is not allowed to modify node {name:?}"
                ));
            }
            node_itself(node, new, old).map_or(Ok(()), refuse)
        }
        ("", "pods") => {
            let place = |pod: &Value| pod["spec"]["nodeName"].as_str() == Some(node);
            match old {
                None if !new["metadata"]["annotations"][MIRROR].is_string() => refuse(format!(
                    "pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"
                )),
                None if !place(new) => refuse(format!(
                    "node {node:?} can only create pods with spec.nodeName set to itself"
                )),
                Some(old) if !place(old) => refuse(format!(
                    "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
                )),
                Some(old) if old["metadata"]["labels"] != new["metadata"]["labels"] => refuse(
                    format!("node {node:?} cannot update labels through pod status"),
                ),
                _ => Ok(()),
            }
        }
        ("coordination.k8s.io", "leases") => {
            if meta_text(new, "namespace") == "kube-node-lease" && name != node {
                return refuse(format!(
                    "can only access node lease with the same name as the requesting node {node:?}"
                ));
            }
            Ok(())
        }
        ("storage.k8s.io", "csinodes") if name != node => refuse(format!(
            "can only access CSINode with the same name as the requesting node {node:?}"
        )),
        _ => Ok(()),
    }
}

/// Checks what a node deletes.
pub(crate) fn admit_delete(
    _core: &Core,
    user: &UserInfo,
    kind: &Kind,
    namespace: &str,
    name: &str,
) -> Result<(), Status> {
    let Some(node) = user.node() else {
        return Ok(());
    };
    let resource = kind.resource;
    let why = match (resource.group, resource.plural) {
        ("", "pods") => {
            let elsewhere = kind
                .cache
                .get(namespace, name)
                .is_some_and(|pod| pod.header.field("spec.nodeName") != Some(node));
            elsewhere.then(|| {
                format!("node {node:?} can only delete pods with spec.nodeName set to itself")
            })
        }
        ("", "nodes") => {
            (name != node).then(|| format!("node {node:?} is not allowed to modify node {name:?}"))
        }
        _ => None,
    };
    match why {
        Some(why) => Err(Status::forbidden(resource, name, &why)),
        None => Ok(()),
    }
}

/// A token for a node's agent must be one of a pod on that node.
pub(crate) fn admit_token(
    core: &Core,
    user: &UserInfo,
    kind: &Kind,
    account: (&str, &str),
    bound: &Value,
) -> Result<(), Status> {
    let Some(node) = user.node() else {
        return Ok(());
    };
    let (namespace, name) = account;
    let refuse = |why: &str| Err(Status::forbidden(kind.resource, name, why));
    let text = |field: &str| bound[field].as_str().unwrap_or_default();
    if text("kind") != "Pod" || text("name").is_empty() {
        return refuse("node requested token not bound to a pod");
    }
    if text("uid").is_empty() {
        return refuse("node requested token with a pod binding without a uid");
    }
    let pod = core
        .kinds
        .core("pods")
        .and_then(|pods| pods.cache.get(namespace, text("name")));
    let Some(pod) = pod else {
        return refuse("node requested token bound to a pod that does not exist");
    };
    if pod.header.uid != text("uid") {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
            text("uid")
        );
        return refuse(&why);
    }
    if pod.header.field("spec.nodeName") != Some(node) {
        return refuse("node requested token bound to a pod scheduled on a different node");
    }
    Ok(())
}

/// What a node may not do to itself.
fn node_itself(node: &str, new: &Value, old: Option<&Value>) -> Option<String> {
    let empty = Value::Null;
    let before = old.unwrap_or(&empty);
    let mut labels: Vec<&str> = Vec::new();
    let (now, then) = (&new["metadata"]["labels"], &before["metadata"]["labels"]);
    for key in [now, then]
        .into_iter()
        .flat_map(|map| map.as_object().into_iter().flatten())
        .map(|(key, _)| key.as_str())
    {
        if now.get(key) != then.get(key) && !may_label(key) && !labels.contains(&key) {
            labels.push(key);
        }
    }
    if !labels.is_empty() {
        labels.sort_unstable();
        let verb = if old.is_some() {
            "modify labels"
        } else {
            "set the following labels"
        };
        return Some(format!(
            "node {node:?} is not allowed to {verb}: {}",
            labels.join(", ")
        ));
    }
    if old.is_some() && new["spec"]["taints"] != before["spec"]["taints"] {
        return Some(format!("node {node:?} is not allowed to modify taints"));
    }
    if new["metadata"]["ownerReferences"] != before["metadata"]["ownerReferences"] {
        return Some(format!(
            "node {node:?} is not allowed to modify ownerReferences"
        ));
    }
    None
}

/// Whether a node may give itself that label.
fn may_label(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else {
        return true;
    };
    let within = |of: &str| {
        domain == of
            || domain
                .strip_suffix(of)
                .is_some_and(|rest| rest.ends_with('.'))
    };
    if within("node-restriction.kubernetes.io") {
        return false;
    }
    if !within("kubernetes.io") && !within("k8s.io") {
        return true;
    }
    OWN_LABELS.contains(&key) || within("kubelet.kubernetes.io") || within("node.kubernetes.io")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_may_not_say_of_itself_what_others_trust() {
        for (label, allowed) in [
            ("zone", true),
            ("acme.com/rack", true),
            ("topology.kubernetes.io/zone", true),
            ("node.kubernetes.io/own", true),
            ("node-restriction.kubernetes.io/secure", false),
            ("node-role.kubernetes.io/control-plane", false),
            ("apps.k8s.io/x", false),
        ] {
            assert_eq!(may_label(label), allowed, "{label}");
        }
        let with = |labels: Value, taints: Value| json!({"metadata": {"labels": labels}, "spec": {"taints": taints}});
        let old = with(json!({"a": "1"}), json!([{"key": "k"}]));
        assert_eq!(
            node_itself(
                "n",
                &with(json!({"a": "2"}), json!([{"key": "k"}])),
                Some(&old)
            ),
            None
        );
        assert_eq!(
            node_itself("n", &with(json!({"a": "1"}), Value::Null), Some(&old)).as_deref(),
            Some(r#"node "n" is not allowed to modify taints"#)
        );
        assert_eq!(
            node_itself(
                "n",
                &with(json!({"x.kubernetes.io/y": "1"}), Value::Null),
                None
            )
            .as_deref(),
            Some(r#"node "n" is not allowed to set the following labels: x.kubernetes.io/y"#)
        );
    }
}
