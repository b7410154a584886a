//! Pods stay for five minutes on a node that is not ready or not reachable, unless they say otherwise (§5.1).

use serde_json::{Value, json};

const SECONDS: u32 = 300;

pub(super) fn admit(pod: &mut Value) {
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let tolerations = pod["spec"]["tolerations"].as_array();
        let covered = tolerations.into_iter().flatten().any(|toleration| {
            let text = |field: &str| toleration[field].as_str().unwrap_or_default();
            matches!(text("effect"), "" | "NoExecute")
                && (text("key") == key || text("key").is_empty())
        });
        if covered {
            continue;
        }
        let added = json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS});
        match pod["spec"]["tolerations"].as_array_mut() {
            Some(list) => list.push(added),
            None => pod["spec"]["tolerations"] = json!([added]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toleration_of_ones_own_is_kept_alone() {
        let own = json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 5}]);
        let mut pod = json!({"spec": {"tolerations": own}});
        admit(&mut pod);
        let list = pod["spec"]["tolerations"].as_array().unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(list[0]["tolerationSeconds"], 5);
        assert_eq!(list[1]["key"], "node.kubernetes.io/unreachable");
        let before = pod.clone();
        admit(&mut pod);
        assert_eq!(pod, before);
    }
}
