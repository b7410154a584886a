use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};

use super::plan::*;
use crate::testing::object;

fn node(ready: &str, spec: &str) -> Node {
    object(&format!(
        "{{metadata: {{name: n1}}, spec: {{{spec}}}, status: {{conditions: [{{type: Ready, status: '{ready}', \
         reason: KubeletReady, lastHeartbeatTime: '2026-01-01T00:00:00Z'}}]}}}}"
    ))
}

/// Every step until there is none left, and the node that results.
fn settled(mut node: Node, silent: Duration) -> Node {
    for _ in 0..3 {
        match plan(&node, silent, Timestamp::UNIX_EPOCH) {
            None => return node,
            Some(Action::UpdateStatus(next) | Action::UpdateTaints(next)) => node = *next,
        }
    }
    panic!("does not come to rest: {node:?}");
}

fn taints(node: &Node) -> Vec<String> {
    let taints = node
        .spec
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten());
    taints
        .map(|taint| format!("{}:{}", taint.key, taint.effect))
        .collect()
}

const SILENT: Duration = Duration::from_mins(1);
const HEARD: Duration = Duration::from_secs(10);

/// L-40.
#[test]
fn a_silent_node_becomes_unknown_and_unreachable() {
    let lost = settled(node("True", ""), SILENT);
    let conditions = lost
        .status
        .clone()
        .and_then(|status| status.conditions)
        .expect("conditions");
    let shown: Vec<_> = conditions
        .iter()
        .map(|c| {
            (
                c.type_.as_str(),
                c.status.as_str(),
                c.reason.as_deref().unwrap_or(""),
            )
        })
        .collect();
    assert_eq!(shown[0], ("Ready", "Unknown", "NodeStatusUnknown"));
    assert!(
        conditions[0].last_heartbeat_time.is_some(),
        "when it was last heard of stays"
    );
    assert!(
        shown[1..]
            .iter()
            .all(|c| c.1 == "Unknown" && c.2 == "NodeStatusNeverUpdated")
    );
    assert_eq!(
        taints(&lost),
        [
            "node.kubernetes.io/unreachable:NoSchedule",
            "node.kubernetes.io/unreachable:NoExecute"
        ]
    );
}

/// L-45: the taints go when the node reports again; those of others stay.
#[test]
fn taints_follow_the_conditions() {
    let mut back = settled(
        node(
            "True",
            "taints: [{key: example.com/mine, effect: NoSchedule}]",
        ),
        SILENT,
    );
    back.status = node("True", "").status;
    assert_eq!(
        taints(&settled(back, HEARD)),
        ["example.com/mine:NoSchedule"]
    );
    let unready = settled(node("False", ""), HEARD);
    assert_eq!(
        taints(&unready),
        [
            "node.kubernetes.io/not-ready:NoSchedule",
            "node.kubernetes.io/not-ready:NoExecute"
        ]
    );
    let cordoned = settled(node("True", "unschedulable: true"), HEARD);
    assert_eq!(
        taints(&cordoned),
        ["node.kubernetes.io/unschedulable:NoSchedule"]
    );
    assert_eq!(plan(&node("True", ""), HEARD, Timestamp::UNIX_EPOCH), None);
}

/// L-40: pods of a lost node leave the endpoints.
#[test]
fn pods_of_a_lost_node_are_not_ready() {
    let pod: Pod =
        object("{metadata: {name: a}, status: {conditions: [{type: Ready, status: 'True'}]}}");
    let marked = not_ready(&pod, Timestamp::UNIX_EPOCH).expect("marked");
    assert_eq!(not_ready(&marked, Timestamp::UNIX_EPOCH), None);
}
