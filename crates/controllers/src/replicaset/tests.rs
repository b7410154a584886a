use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{ReplicaSet, ReplicaSetStatus},
    core::v1::{Pod, ReplicationController},
};
use kube::ResourceExt;

use super::{
    kind::Kind,
    plan::{Plan, World, failure, plan},
    victims,
};
use crate::{
    ownership::controlled_by,
    testing::{object, text},
};

const SET: &str = "
metadata: {name: web, namespace: default, uid: s1, generation: 3}
spec: {replicas: 2, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web, tier: a}}, spec: {containers: [{name: c, image: v1}]}}}";

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().expect("a time")
}

/// A ready pod of the set; every replacement is `from => to` in its YAML.
fn pod(name: &str, edits: &[(&str, &str)]) -> Arc<Pod> {
    let mut yaml = format!(
        "
metadata: {{name: {name}, namespace: default, uid: uid-{name}, labels: {{app: web, tier: a}}, creationTimestamp: '2026-01-01T00:00:00Z', annotations: {{}},
  ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: s1, controller: true, blockOwnerDeletion: true}}]}}
spec: {{nodeName: n1, containers: [{{name: c}}]}}
status: {{phase: Running, conditions: [{{type: Ready, status: 'True', lastTransitionTime: '2026-01-01T00:10:00Z'}}], containerStatuses: [{{name: c, image: v1, imageID: '', ready: true, restartCount: 0}}]}}"
    );
    for (from, to) in edits {
        assert!(yaml.contains(from), "{from}");
        yaml = yaml.replacen(from, to, 1);
    }
    Arc::new(object(&yaml))
}

const NOBODYS: (&str, &str) = ("uid: s1", "uid: gone, api: none");
const LEAVING: (&str, &str) = (
    "annotations: {}",
    "annotations: {}, deletionTimestamp: '2026-01-01T00:59:50Z'",
);
const UNREADY: (&str, &str) = ("status: 'True'", "status: 'False'");

fn orphan(name: &str, edits: &[(&str, &str)]) -> Arc<Pod> {
    let mut pod = Pod::clone(&pod(name, edits));
    pod.metadata.owner_references = None;
    Arc::new(pod)
}

fn planned_for(set: &str, pods: &[Arc<Pod>]) -> Plan {
    let set: ReplicaSet = object(set);
    let world = World {
        set: &set,
        owner: &controlled_by(&set),
        pods,
        related: &Vec::new,
    };
    plan(&world, now()).expect("a set that can be worked on")
}

fn shown(plan: &Plan) -> String {
    let names = |pods: &[Arc<Pod>]| pods.iter().map(|pod| pod.name_any()).collect::<Vec<_>>();
    match plan {
        Plan::Claim(claims) => format!(
            "adopt {:?}, release {:?}",
            names(&claims.adopt),
            names(&claims.release)
        ),
        Plan::Create(count, pod) => format!("create {count} of:\n{}", text(&**pod)),
        Plan::Delete(victims) => format!("delete {:?}", names(victims)),
        Plan::Report(Some(status), again) => format!("report, {again:?}:\n{}", text(status)),
        Plan::Report(None, again) => format!("nothing, {again:?}"),
    }
}

/// D-1, D-2: the pod of a template, named by the server.
#[test]
fn missing_pods_are_made_from_the_template() {
    insta::assert_snapshot!(shown(&planned_for(SET, &[pod("a", &[LEAVING])])));
}

/// C-7: a matching orphan is taken in, a pod that does not match any more is let go; a stranger's pod
/// and one that is ending are left alone.
#[test]
fn members_are_settled_first() {
    let pods = [
        pod("mine", &[]),
        pod("lost", &[("app: web,", "app: gone,")]),
        pod("lost-and-leaving", &[("app: web,", "app: gone,"), LEAVING]),
        pod("strangers", &[NOBODYS]),
        orphan("found", &[]),
        orphan("found-failed", &[("Running", "Failed")]),
        orphan("other", &[("app: web,", "app: gone,")]),
    ];
    let plan = planned_for(SET, &pods);
    assert_eq!(shown(&plan), r#"adopt ["found"], release ["lost"]"#);
}

/// D-5, D-10: what is leaving is replaced at once and counted apart; what has ended does not count.
#[test]
fn counts_are_of_active_pods() {
    let pods = [
        pod("a", &[]),
        pod("b", &[UNREADY, ("tier: a", "tier: b")]),
        pod("c", &[LEAVING]),
        pod("d", &[("Running", "Succeeded")]),
    ];
    insta::assert_snapshot!(shown(&planned_for(SET, &pods)));
}

/// D-10: a status that says all this already is not written again.
#[test]
fn a_settled_set_is_quiet() {
    let set = format!(
        "{SET}
status: {{replicas: 2, fullyLabeledReplicas: 2, readyReplicas: 2, availableReplicas: 2, terminatingReplicas: 0, observedGeneration: 3}}"
    );
    let plan = planned_for(&set, &[pod("a", &[]), pod("b", &[])]);
    assert_eq!(shown(&plan), "nothing, None");
}

/// C-3: minReadySeconds is waited for, to the moment.
#[test]
fn a_pod_becomes_available_by_waiting() {
    let set = SET.replace("{replicas: 2,", "{replicas: 1, minReadySeconds: 3030,");
    let Plan::Report(Some(status), Some(again)) = planned_for(&set, &[pod("a", &[])]) else {
        panic!("a report with a time");
    };
    assert_eq!(
        (status.ready_replicas, status.available_replicas),
        (Some(1), None)
    );
    assert_eq!(again.as_secs(), 30);
}

/// A set that is being deleted makes and deletes nothing.
#[test]
fn a_set_on_its_way_out_only_reports() {
    let set = SET.replace("generation: 3", "deletionTimestamp: '2026-01-01T00:59:50Z'");
    assert!(matches!(planned_for(&set, &[]), Plan::Report(..)));
}

/// D-8: the first failure stands in the status until it is over.
#[test]
fn a_failure_is_reported_once() {
    let mut set: ReplicaSet = object(SET);
    let failed = |set: &ReplicaSet, message: &str| -> Option<ReplicaSetStatus> {
        let world = World {
            set,
            owner: &controlled_by(set),
            pods: &[],
            related: &Vec::new,
        };
        failure(&world, "FailedCreate", message.to_owned(), now())
    };
    set.status = failed(&set, "quota");
    insta::assert_snapshot!(text(&set.status));
    assert_eq!(failed(&set, "quota again"), None);
    let world = World {
        set: &set,
        owner: &controlled_by(&set),
        pods: &[pod("a", &[]), pod("b", &[])],
        related: &Vec::new,
    };
    let Some(Plan::Report(Some(status), None)) = plan(&world, now()) else {
        panic!("a report");
    };
    assert_eq!(status.conditions, None);
}

/// D-6, rule by rule: of two pods the second goes.
#[test]
fn victims_are_those_missed_least() {
    type Edits = &'static [(&'static str, &'static str)];
    const CREATED: &str = "creationTimestamp: '2026-01-01T00:00:00Z'";
    const COST: &str = "annotations: {}";
    let cases: [(&str, Edits, Edits); 9] = [
        ("unassigned", &[UNREADY], &[("nodeName: n1, ", "")]),
        ("pending", &[UNREADY], &[("Running", "Pending")]),
        ("unknown", &[UNREADY], &[("Running", "Unknown")]),
        (
            "not ready",
            &[(
                COST,
                "annotations: {controller.kubernetes.io/pod-deletion-cost: '-9'}",
            )],
            &[UNREADY],
        ),
        (
            "cheaper",
            &[("nodeName: n1", "nodeName: n2")],
            &[(
                COST,
                "annotations: {controller.kubernetes.io/pod-deletion-cost: '-1'}",
            )],
        ),
        (
            "more crowded",
            &[("00:10:00", "00:59:59")],
            &[("nodeName: n1", "nodeName: n2")],
        ),
        (
            "ready since shortly",
            &[("restartCount: 0", "restartCount: 5")],
            &[("00:10:00", "00:59:00")],
        ),
        (
            "restarted",
            &[(CREATED, "creationTimestamp: '2026-01-01T00:59:00Z'")],
            &[("restartCount: 0", "restartCount: 1")],
        ),
        (
            "new",
            &[],
            &[(CREATED, "creationTimestamp: '2026-01-01T00:59:00Z'")],
        ),
    ];
    let related = [
        pod("r1", &[("nodeName: n1", "nodeName: n2")]),
        pod("r2", &[("nodeName: n1", "nodeName: n2")]),
        pod("r3", &[]),
        pod("r4", &[LEAVING]),
        pod("r5", &[LEAVING]),
    ];
    for (why, kept, gone) in cases {
        let pods = vec![pod("a", kept), pod("z", gone)];
        let related: &[_] = if why == "cheaper" { &[] } else { &related };
        let victims = victims::choose(pods, related, 1, now());
        assert_eq!(victims[0].name_any(), "z", "{why}");
    }
}

/// D-6: ages of one magnitude count alike, so that not always the newest goes.
#[test]
fn among_ages_alike_the_uid_decides() {
    let older = pod("a", &[]);
    let newer = pod("b", &[("00:10:00", "00:12:00")]);
    let victims = victims::choose(vec![newer, older], &[], 1, now());
    assert_eq!(victims[0].name_any(), "a");
}

/// A ReplicationController is read as a set and gets its status back in its own words.
#[test]
fn a_replication_controller_is_a_set() {
    let controller: Arc<ReplicationController> = Arc::new(object(
        "
metadata: {name: rc, uid: r1}
spec: {replicas: 4, selector: {app: web}, template: {metadata: {labels: {app: web}}}}
status: {replicas: 1, conditions: [{type: ReplicaFailure, status: 'True', reason: FailedCreate, message: no}]}",
    ));
    let set = controller.set();
    let spec = set.spec.as_ref().expect("a spec");
    assert_eq!(spec.replicas, Some(4));
    let selected = spec.selector.match_labels.as_ref().expect("labels");
    assert_eq!(selected["app"], "web");
    let status = set.status.clone().expect("a status");
    assert_eq!(*controller, controller.with_status(status));
}
