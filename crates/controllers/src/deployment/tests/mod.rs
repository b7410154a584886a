//! Deployments as YAML in, writes out; and bounds that hold in every rollout.

mod bounds;
mod cluster;

use jiff::Timestamp;
use kube::ResourceExt;

use self::cluster::Cluster;
use super::plan::Plan;
use crate::testing::text;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().expect("a time")
}

/// What a plan writes, without what every write repeats.
fn shown(plan: &Plan) -> String {
    let round = match plan {
        Plan::Claim(claims) => {
            let names = |sets: &[std::sync::Arc<k8s_openapi::api::apps::v1::ReplicaSet>]| {
                sets.iter().map(|set| set.name_any()).collect::<Vec<_>>()
            };
            return format!(
                "adopt {:?}, release {:?}",
                names(&claims.adopt),
                names(&claims.release)
            );
        }
        Plan::Sync(round) => round,
    };
    let mut lines = Vec::new();
    for set in &round.write {
        let verb = if set.is_new() { "create" } else { "update" };
        let annotations: Vec<String> = set
            .object
            .annotations()
            .iter()
            .map(|(key, value)| {
                format!(
                    "{}={value}",
                    key.trim_start_matches("deployment.kubernetes.io/")
                )
            })
            .collect();
        lines.push(format!(
            "{verb} {} with {} pods, {}",
            set.name(),
            set.replicas(),
            annotations.join(" ")
        ));
        lines.extend(set.tell.iter().map(|message| format!("  {message}")));
    }
    lines.extend(
        round
            .delete
            .iter()
            .map(|set| format!("delete {}", set.name_any())),
    );
    if let Some(report) = &round.report {
        lines.push(format!(
            "report revision {:?}",
            report.annotations().get(super::annotations::REVISION)
        ));
        lines.push(text(&report.status));
    }
    lines.push(format!("again in {:?}", round.again_in));
    lines.join("\n")
}

/// D-1, D-2, D-9: the first set of a Deployment, with its hash in name, labels and selector.
#[test]
fn a_new_deployment_makes_its_set() {
    let cluster = Cluster::new("replicas: 3");
    let plan = cluster.plan(now());
    insta::assert_snapshot!(shown(&plan));
    let Plan::Sync(round) = &plan else {
        panic!("a round");
    };
    insta::assert_snapshot!("the_first_set", text(&round.write[0].object));
}

/// D-4: with the default bounds a quarter more, rounded up, and a quarter less, rounded down.
#[test]
fn a_new_template_rolls_within_its_bounds() {
    let mut cluster = Cluster::new("replicas: 4");
    cluster.settle(now());
    cluster.set_image("v2");
    let mut story = Vec::new();
    for _ in 0..3 {
        story.push(shown(&cluster.plan(now())));
        cluster.reconcile(now());
        cluster.reconcile_sets(now());
        cluster.make_ready(1, now());
        cluster.reconcile_sets(now());
    }
    insta::assert_snapshot!(story.join("\n---\n"));
}

/// D-4: the old pods are gone before the new set is made.
#[test]
fn recreate_waits_for_the_last_old_pod() {
    let mut cluster = Cluster::new("replicas: 2, strategy: {type: Recreate}");
    cluster.settle(now());
    cluster.set_image("v2");
    let mut story = Vec::new();
    cluster.linger = true;
    for _ in 0..3 {
        story.push(shown(&cluster.plan(now())));
        cluster.reconcile(now());
        cluster.reconcile_sets(now());
    }
    cluster.confirm_deletions();
    story.push(shown(&cluster.plan(now())));
    insta::assert_snapshot!(story.join("\n---\n"));
}

/// D-11: a paused Deployment scales and does not roll; the pause is told in the condition.
#[test]
fn a_paused_deployment_only_scales() {
    let mut cluster = Cluster::new(
        "replicas: 2, strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}",
    );
    cluster.settle(now());
    cluster.edit(|spec| {
        spec.paused = Some(true);
        spec.replicas = Some(5);
    });
    cluster.set_image("v2");
    let paused = shown(&cluster.plan(now()));
    cluster.settle(now());
    assert_eq!(cluster.images(), ["v1"; 5]);
    cluster.edit(|spec| spec.paused = None);
    let resumed = shown(&cluster.plan(now()));
    insta::assert_snapshot!([paused, resumed].join("\n---\n"));
}

/// D-4: in the middle of a rollout every set gets its share of the new number, by its size.
#[test]
fn scaling_in_mid_rollout_is_in_proportion() {
    let mut cluster = Cluster::new(
        "replicas: 10, strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 3, maxUnavailable: 2}}",
    );
    cluster.settle(now());
    cluster.set_image("broken");
    for _ in 0..5 {
        cluster.reconcile(now());
        cluster.reconcile_sets(now());
    }
    assert_eq!(cluster.sizes(), [8, 5]);
    cluster.edit(|spec| spec.replicas = Some(15));
    let grown = shown(&cluster.plan(now()));
    cluster.reconcile(now());
    assert_eq!(cluster.sizes(), [11, 7]);
    insta::assert_snapshot!(grown);
    cluster.edit(|spec| spec.replicas = Some(0));
    cluster.reconcile(now());
    assert_eq!(cluster.sizes(), [0, 0]);
}

/// D-2: a template that comes back revives its set under the next revision, and the set remembers the
/// old one.
#[test]
fn an_undo_revives_the_old_set() {
    let mut cluster = Cluster::new("replicas: 1");
    cluster.settle(now());
    cluster.set_image("v2");
    cluster.settle(now());
    cluster.set_image("v1");
    insta::assert_snapshot!(shown(&cluster.plan(now())));
    cluster.settle(now());
    assert_eq!(cluster.images(), ["v1"]);
    assert_eq!(
        cluster.deployment.annotations()["deployment.kubernetes.io/revision"],
        "3"
    );
}

/// D-3: of the old sets only as many are kept as revisionHistoryLimit says, the newest.
#[test]
fn old_sets_are_history_up_to_a_limit() {
    let mut cluster = Cluster::new("replicas: 1, revisionHistoryLimit: 1");
    for image in ["v1", "v2", "v3", "v4"] {
        cluster.set_image(image);
        cluster.settle(now());
    }
    let mut kept = cluster.set_images();
    kept.sort();
    assert_eq!(kept, ["v3", "v4"]);
}

/// D-9: no progress within the deadline is told, and what was told is not told again.
#[test]
fn a_stuck_rollout_times_out() {
    let mut cluster = Cluster::new("replicas: 1, progressDeadlineSeconds: 30");
    cluster.settle(now());
    cluster.set_image("broken");
    for _ in 0..3 {
        cluster.reconcile(now());
        cluster.reconcile_sets(now());
    }
    let Plan::Sync(round) = cluster.plan(now()) else {
        panic!("a round");
    };
    let left = round.again_in.expect("a deadline");
    assert_eq!(left.as_secs(), 30);
    let late = now() + left;
    insta::assert_snapshot!(shown(&cluster.plan(late)));
    cluster.reconcile(late);
    assert!(cluster.is_quiet(late));
}

/// D-1: a name that somebody else has taken costs a collision, and another name is found.
#[test]
fn a_taken_name_is_passed_over() {
    let mut cluster = Cluster::new("replicas: 1");
    let Plan::Sync(round) = cluster.plan(now()) else {
        panic!("a round");
    };
    let taken = round.write[0].name();
    cluster.take_name(&taken);
    let Plan::Sync(round) = cluster.plan(now()) else {
        panic!("a round");
    };
    assert_ne!(round.write[0].name(), taken);
    let status = round.report.and_then(|report| report.status);
    assert_eq!(status.and_then(|status| status.collision_count), Some(1));
}

/// Convergence: a Deployment that has all it wants is quiet.
#[test]
fn a_settled_deployment_is_quiet() {
    let mut cluster = Cluster::new("replicas: 3");
    cluster.settle(now());
    assert!(cluster.is_quiet(now()));
    assert_eq!(cluster.images(), ["v1"; 3]);
}
