//! The priority levels and flow schemas every cluster has: data that clients find as in any Kubernetes.

use serde_json::{Value, json};

use super::ensure;
use crate::server::{Core, StartError};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";

/// Levels: name, shares, how much of them is lent in percent, hand size, queues. Without queues requests are refused.
const LEVELS: [(&str, u32, u32, u32, u32); 7] = [
    ("catch-all", 5, 0, 0, 0),
    ("global-default", 20, 50, 6, 128),
    ("leader-election", 10, 0, 4, 16),
    ("node-high", 40, 25, 6, 64),
    ("system", 30, 33, 6, 64),
    ("workload-high", 40, 50, 6, 128),
    ("workload-low", 100, 90, 6, 128),
];
const QUEUE_LENGTH: u32 = 50;

const MANAGER: &str = "system:kube-controller-manager";
const SCHEDULER: &str = "system:kube-scheduler";
const EVERYBODY: [&str; 2] = ["system:unauthenticated", "system:authenticated"];

/// Makes what is missing.
pub(super) async fn run(core: &Core) -> Result<(), StartError> {
    let exempt =
        json!({"type": "Exempt", "exempt": {"lendablePercent": 0, "nominalConcurrencyShares": 0}});
    let levels = LEVELS.iter().map(|level| (level.0, limited(*level)));
    for (name, spec) in std::iter::once(("exempt", exempt)).chain(levels) {
        let object = object("PriorityLevelConfiguration", name, &spec);
        ensure(core, GROUP, "prioritylevelconfigurations", object, &[]).await?;
    }
    for (name, spec) in schemas() {
        let object = object("FlowSchema", name, &spec);
        ensure(core, GROUP, "flowschemas", object, &[]).await?;
    }
    Ok(())
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "spec": spec,
           "metadata": {"name": name, "annotations": {"apf.kubernetes.io/autoupdate-spec": "true"}}})
}

fn limited((_, shares, lent, hand, queues): (&str, u32, u32, u32, u32)) -> Value {
    let response = if queues == 0 {
        json!({"type": "Reject"})
    } else {
        let queuing = json!({"handSize": hand, "queues": queues, "queueLengthLimit": QUEUE_LENGTH});
        json!({"type": "Queue", "queuing": queuing})
    };
    json!({"type": "Limited", "limited": {
        "nominalConcurrencyShares": shares, "lendablePercent": lent, "limitResponse": response}})
}

fn groups(names: &[&str]) -> Vec<Value> {
    let group = |name: &&str| json!({"kind": "Group", "group": {"name": name}});
    names.iter().map(group).collect()
}

fn users(names: &[&str]) -> Vec<Value> {
    let user = |name: &&str| json!({"kind": "User", "user": {"name": name}});
    names.iter().map(user).collect()
}

/// A service account of the system's namespace; `*` is all of them.
fn account(name: &str) -> Value {
    let account = json!({"name": name, "namespace": "kube-system"});
    json!({"kind": "ServiceAccount", "serviceAccount": account})
}

/// Requests for resources in every namespace.
fn on(verbs: &[&str], group: &str, resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"]})
}

/// Rules about everything.
fn all(subjects: &[Value]) -> Value {
    let mut everything = on(&["*"], "*", &["*"]);
    everything["clusterScope"] = true.into();
    json!({"subjects": subjects, "resourceRules": [everything],
           "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]})
}

fn schema(level: &str, precedence: u32, by: Option<&str>, rules: &[Value]) -> Value {
    let mut spec = json!({"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence,
                          "rules": rules});
    if let Some(by) = by {
        spec["distinguisherMethod"] = json!({"type": by});
    }
    spec
}

fn schemas() -> Vec<(&'static str, Value)> {
    let (by_user, by_namespace) = (Some("ByUser"), Some("ByNamespace"));
    let changes = &["get", "create", "update"];
    let leases = on(changes, "coordination.k8s.io", &["leases"]);
    let mut leaders = users(&[MANAGER, SCHEDULER]);
    leaders.push(account("*"));
    let mut endpoints = users(&[MANAGER]);
    endpoints.extend(["endpoint-controller", "endpointslicemirroring-controller"].map(account));
    let nodes = groups(&["system:nodes"]);
    let mut node_status = on(&["*"], "", &["nodes", "nodes/status"]);
    node_status["clusterScope"] = true.into();
    let heartbeats = json!({"subjects": nodes, "resourceRules": [
        node_status, on(&["*"], "coordination.k8s.io", &["leases"])]});
    let probes = json!({"subjects": groups(&EVERYBODY), "nonResourceRules": [
        {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]});
    let rule =
        |subjects: &[Value], rules: &[Value]| json!({"subjects": subjects, "resourceRules": rules});
    let system = [account("*")];
    let elections = [
        on(changes, "", &["endpoints", "configmaps"]),
        leases.clone(),
    ];
    vec![
        (
            "exempt",
            schema("exempt", 1, None, &[all(&groups(&["system:masters"]))]),
        ),
        ("probes", schema("exempt", 2, None, &[probes])),
        (
            "system-leader-election",
            schema(
                "leader-election",
                100,
                by_user,
                &[rule(&leaders, &[leases])],
            ),
        ),
        (
            "endpoint-controller",
            schema(
                "workload-high",
                150,
                by_user,
                &[rule(&endpoints, &[on(changes, "", &["endpoints"])])],
            ),
        ),
        (
            "workload-leader-election",
            schema(
                "leader-election",
                200,
                by_user,
                &[rule(&system, &elections)],
            ),
        ),
        (
            "system-node-high",
            schema("node-high", 400, by_user, &[heartbeats]),
        ),
        (
            "system-nodes",
            schema("system", 500, by_user, &[all(&nodes)]),
        ),
        (
            "kube-controller-manager",
            schema(
                "workload-high",
                800,
                by_namespace,
                &[all(&users(&[MANAGER]))],
            ),
        ),
        (
            "kube-scheduler",
            schema(
                "workload-high",
                800,
                by_namespace,
                &[all(&users(&[SCHEDULER]))],
            ),
        ),
        (
            "kube-system-service-accounts",
            schema("workload-high", 900, by_namespace, &[all(&system)]),
        ),
        (
            "service-accounts",
            schema(
                "workload-low",
                9000,
                by_user,
                &[all(&groups(&["system:serviceaccounts"]))],
            ),
        ),
        (
            "global-default",
            schema("global-default", 9900, by_user, &[all(&groups(&EVERYBODY))]),
        ),
        (
            "catch-all",
            schema("catch-all", 10_000, by_user, &[all(&groups(&EVERYBODY))]),
        ),
    ]
}
