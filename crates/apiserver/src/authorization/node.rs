//! What the agent of a node may do: read what its own pods refer to, and write about itself. That it writes only about
//! itself is admission's to check (NodeRestriction), because that needs the object.

use std::sync::LazyLock;

use serde_json::Value;

use super::rbac::Rule;
use super::{Attributes, Subject};
use crate::server::Core;

/// What every node may do without regard to objects; upstream's node rules without those that are narrowed below.
static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let list = |words: &str| words.split(' ').map(ToOwned::to_owned).collect();
    let rule = |verbs: &str, group: &str, resources: &str| Rule {
        verbs: list(verbs),
        api_groups: vec![group.to_owned()],
        resources: list(resources),
        ..Rule::default()
    };
    vec![
        rule("create", "authentication.k8s.io", "tokenreviews"),
        rule(
            "create",
            "authorization.k8s.io",
            "subjectaccessreviews localsubjectaccessreviews",
        ),
        rule("get list watch", "", "services"),
        rule("create update patch", "", "nodes"),
        rule("update patch", "", "nodes/status"),
        rule("create update patch", "", "events"),
        rule("create delete", "", "pods"),
        rule("update patch", "", "pods/status"),
        rule("create", "", "pods/eviction"),
        rule("get", "", "endpoints"),
        rule(
            "create get list watch",
            "certificates.k8s.io",
            "certificatesigningrequests",
        ),
        rule("get list watch", "storage.k8s.io", "csidrivers"),
        rule("get list watch", "node.k8s.io", "runtimeclasses"),
    ]
});

/// Whether a node's agent may do this.
pub(super) fn allows(core: &Core, node: &str, attributes: &Attributes<'_>) -> bool {
    let Subject::Resource {
        group,
        resource,
        subresource,
        namespace,
        name,
    } = attributes.subject
    else {
        return false;
    };
    let reads = matches!(attributes.verb, "get" | "list" | "watch");
    let pods = || Pods {
        core,
        node,
        namespace,
    };
    match (group, resource, subresource) {
        ("", "secrets", "") if reads => !name.is_empty() && pods().refer("secret", name),
        ("", "configmaps", "") if reads => !name.is_empty() && pods().refer("configMap", name),
        ("", "persistentvolumeclaims", "") if attributes.verb == "get" => {
            pods().refer("persistentVolumeClaim", name)
        }
        ("", "persistentvolumeclaims", "status") => {
            matches!(attributes.verb, "get" | "update" | "patch")
                && pods().refer("persistentVolumeClaim", name)
        }
        ("", "persistentvolumes", "") if attributes.verb == "get" => bound_here(core, node, name),
        ("", "serviceaccounts", "token") if attributes.verb == "create" => {
            pods().refer("serviceAccount", name)
        }
        ("", "serviceaccounts", "") if attributes.verb == "get" => {
            pods().refer("serviceAccount", name)
        }
        ("", "nodes", "") if reads => name == node,
        ("", "pods", "") if attributes.verb == "get" => {
            pods().any(|pod| pod["metadata"]["name"].as_str() == Some(name))
        }
        ("", "pods", "") if reads => attributes
            .selectors
            .is_some_and(|selectors| selectors.requires("spec.nodeName", node)),
        ("coordination.k8s.io", "leases", "") => {
            namespace == "kube-node-lease"
                && match attributes.verb {
                    "create" => name.is_empty() || name == node,
                    "get" | "update" | "patch" | "delete" => name == node,
                    _ => false,
                }
        }
        ("storage.k8s.io", "csinodes", "") => match attributes.verb {
            "create" => name.is_empty() || name == node,
            "get" | "update" | "patch" | "delete" => name == node,
            _ => false,
        },
        _ => RULES.iter().any(|rule| rule.allows(attributes)),
    }
}

/// The pods of a namespace that are on a node.
struct Pods<'a> {
    core: &'a Core,
    node: &'a str,
    namespace: &'a str,
}

impl Pods<'_> {
    fn any(&self, mut is: impl FnMut(&Value) -> bool) -> bool {
        let Some(kind) = self.core.kinds.core("pods") else {
            return false;
        };
        let place = (!self.namespace.is_empty()).then_some(self.namespace);
        let snapshot = kind.cache.snapshot(&self.core.clock);
        snapshot
            .tree
            .iter(place, None)
            .filter(|pod| pod.header.field("spec.nodeName") == Some(self.node))
            .any(|pod| serde_json::from_slice(&pod.bytes).is_ok_and(|pod: Value| is(&pod)))
    }

    /// Whether one of them refers to an object of this sort.
    fn refer(&self, sort: &str, name: &str) -> bool {
        !name.is_empty() && self.any(|pod| refers(pod, sort, name))
    }
}

/// Whether a pod needs an object of its namespace.
fn refers(pod: &Value, sort: &str, name: &str) -> bool {
    let spec = &pod["spec"];
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let is = |value: &Value| value.as_str() == Some(name);
    if sort == "serviceAccount" {
        return is(&spec["serviceAccountName"]);
    }
    if sort == "secret"
        && list(&spec["imagePullSecrets"])
            .iter()
            .any(|secret| is(&secret["name"]))
    {
        return true;
    }
    let in_volume = |source: &Value| match sort {
        "secret" => is(&source["secret"]["secretName"]) || is(&source["secret"]["name"]),
        "configMap" => is(&source["configMap"]["name"]),
        _ => is(&source["persistentVolumeClaim"]["claimName"]),
    };
    let in_volumes = list(&spec["volumes"]).iter().any(|volume| {
        let generic = sort == "persistentVolumeClaim"
            && volume["ephemeral"].is_object()
            && name
                == format!(
                    "{}-{}",
                    pod["metadata"]["name"].as_str().unwrap_or_default(),
                    volume["name"].as_str().unwrap_or_default()
                );
        generic || in_volume(volume) || list(&volume["projected"]["sources"]).iter().any(in_volume)
    });
    let in_environment = || {
        ["containers", "initContainers", "ephemeralContainers"]
            .iter()
            .flat_map(|field| list(&spec[*field]))
            .any(|container| {
                let from = list(&container["envFrom"]);
                let single = list(&container["env"]);
                from.iter()
                    .any(|source| is(&source[format!("{sort}Ref")]["name"]))
                    || single
                        .iter()
                        .any(|env| is(&env["valueFrom"][format!("{sort}KeyRef")]["name"]))
            })
    };
    in_volumes || (sort != "persistentVolumeClaim" && in_environment())
}

/// Whether a claim of a pod on this node is bound to the volume.
fn bound_here(core: &Core, node: &str, volume: &str) -> bool {
    let Some(kind) = core.kinds.core("persistentvolumes") else {
        return false;
    };
    let Some(object) = kind.cache.get("", volume) else {
        return false;
    };
    let object: Value = serde_json::from_slice(&object.bytes).unwrap_or_default();
    let claim = &object["spec"]["claimRef"];
    let text = |field: &str| claim[field].as_str().unwrap_or_default();
    let pods = Pods {
        core,
        node,
        namespace: text("namespace"),
    };
    !pods.namespace.is_empty() && pods.refer("persistentVolumeClaim", text("name"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_refers_to_what_it_mounts_and_reads() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {
            "serviceAccountName": "bot", "imagePullSecrets": [{"name": "pull"}],
            "volumes": [{"secret": {"secretName": "s"}}, {"persistentVolumeClaim": {"claimName": "c"}},
                        {"name": "e", "ephemeral": {}},
                        {"projected": {"sources": [{"configMap": {"name": "m"}}, {"secret": {"name": "ps"}}]}}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "es"}}}],
                            "envFrom": [{"configMapRef": {"name": "em"}}]}]}});
        for (sort, name, expected) in [
            ("serviceAccount", "bot", true),
            ("serviceAccount", "s", false),
            ("secret", "s", true),
            ("secret", "ps", true),
            ("secret", "pull", true),
            ("secret", "es", true),
            ("secret", "m", false),
            ("configMap", "m", true),
            ("configMap", "em", true),
            ("configMap", "es", false),
            ("persistentVolumeClaim", "c", true),
            ("persistentVolumeClaim", "p-e", true),
            ("persistentVolumeClaim", "s", false),
        ] {
            assert_eq!(refers(&pod, sort, name), expected, "{sort} {name}");
        }
    }
}
