//! What a claim lives through, as the writes and events it causes.

use std::sync::Arc;

use kube::ResourceExt;

use super::{Cluster, claim_yaml, class, volume_yaml};
use crate::{testing::object, volume_binder::matching::claim_ref};

/// §4.3, V-2, V-10: the smallest sufficient volume, in the four crash-safe steps.
#[test]
fn a_claim_takes_the_smallest_volume_that_fits() {
    let mut cluster = Cluster::default();
    for (name, size) in [("small", "1Gi"), ("large", "10Gi"), ("middle", "2Gi")] {
        cluster.volume(&volume_yaml(name, size, ""));
    }
    cluster.settle();
    cluster.claim(&claim_yaml("data", "1500Mi", "storageClassName: '',"));
    insta::assert_snapshot!(cluster.settle());
}

/// V-2: a volume with fewer access modes is preferred to a smaller one.
#[test]
fn fewer_access_modes_come_first() {
    let mut cluster = Cluster::default();
    cluster.volume(
        &volume_yaml("broad", "1Gi", "")
            .replace("[ReadWriteOnce]", "[ReadWriteOnce, ReadWriteMany]"),
    );
    cluster.volume(&volume_yaml("narrow", "5Gi", ""));
    cluster.settle();
    cluster.claim(&claim_yaml("data", "1Gi", "storageClassName: '',"));
    cluster.settle();
    assert_eq!(
        claim_ref(&cluster.volumes["narrow"]).and_then(|promise| promise.name.as_deref()),
        Some("data")
    );
}

/// V-1: a promised volume is taken even while binding waits for a consumer (V-11).
#[test]
fn a_promise_by_name_is_kept_while_binding_is_delayed() {
    let mut cluster = Cluster {
        classes: vec![class("wait", "WaitForFirstConsumer", false)],
        ..Cluster::default()
    };
    cluster.volume(&volume_yaml(
        "mine",
        "1Gi",
        "storageClassName: wait, claimRef: {namespace: default, name: data},",
    ));
    cluster.volume(&volume_yaml("free", "1Gi", "storageClassName: wait,"));
    cluster.claim(&claim_yaml("data", "1Gi", "storageClassName: wait,"));
    cluster.claim(&claim_yaml("other", "1Gi", "storageClassName: wait,"));
    insta::assert_snapshot!(cluster.settle());
}

/// V-11, V-12: nothing until the scheduler chose a node, then the provisioner is asked.
#[test]
fn a_delayed_claim_waits_and_is_then_provisioned() {
    let mut cluster = Cluster {
        classes: vec![class("wait", "WaitForFirstConsumer", true)],
        ..Cluster::default()
    };
    cluster.claim(&claim_yaml("data", "1Gi", ""));
    let mut story = vec!["-- no pod".to_owned(), cluster.settle()];
    let pod = "{metadata: {name: web-0, namespace: default}, spec: {containers: [], volumes: [{name: d, \
               persistentVolumeClaim: {claimName: data}}]}}";
    cluster.pods.push(Arc::new(object(pod)));
    story.extend(["-- a pod".to_owned(), cluster.settle()]);
    let mut chosen = (*cluster.claims["data"]).clone();
    chosen
        .annotations_mut()
        .insert("volume.kubernetes.io/selected-node".into(), "n1".into());
    cluster.put_claim(chosen);
    story.extend(["-- scheduled".to_owned(), cluster.settle()]);
    let uid = cluster.claims["data"].uid().expect("uid");
    cluster.volume(&volume_yaml(
        "pvc-1",
        "1Gi",
        &format!(
            "storageClassName: wait, claimRef: {{namespace: default, name: data, uid: {uid}}},"
        ),
    ));
    story.extend(["-- provisioned".to_owned(), cluster.settle()]);
    insta::assert_snapshot!(story.join("\n"));
}

/// V-15: a pod that is on a node without the scheduler's doing decides the node.
#[test]
fn a_pod_put_on_a_node_by_hand_gets_its_volume_there() {
    let mut cluster = Cluster {
        classes: vec![class("wait", "WaitForFirstConsumer", true)],
        ..Cluster::default()
    };
    cluster.claim(&claim_yaml("data", "1Gi", ""));
    let pod = "{metadata: {name: web-0, namespace: default}, spec: {nodeName: n7, containers: [], volumes: \
               [{name: d, persistentVolumeClaim: {claimName: data}}]}}";
    cluster.pods.push(Arc::new(object(pod)));
    cluster.settle();
    assert_eq!(
        cluster.claims["data"].annotations()["volume.kubernetes.io/selected-node"],
        "n7"
    );
}

/// V-3, V-4, V-7, V-14: why a claim stays Pending.
#[test]
fn claims_that_cannot_bind_say_why() {
    let mut cluster = Cluster::default();
    cluster.volume(&volume_yaml("small", "1Gi", ""));
    cluster.volume(&volume_yaml("classy", "9Gi", "storageClassName: gold,"));
    cluster.volume(&volume_yaml(
        "taken",
        "9Gi",
        "claimRef: {namespace: default, name: somebody},",
    ));
    cluster.claim(&claim_yaml("a-none", "5Gi", "storageClassName: '',"));
    cluster.claim(&claim_yaml(
        "b-missing-class",
        "5Gi",
        "storageClassName: nope,",
    ));
    cluster.claim(&claim_yaml(
        "c-too-small",
        "5Gi",
        "storageClassName: '', volumeName: small,",
    ));
    cluster.claim(&claim_yaml(
        "d-class",
        "5Gi",
        "storageClassName: '', volumeName: classy,",
    ));
    cluster.claim(&claim_yaml(
        "e-taken",
        "5Gi",
        "storageClassName: '', volumeName: taken,",
    ));
    cluster.claim(&claim_yaml(
        "f-absent",
        "5Gi",
        "storageClassName: '', volumeName: absent,",
    ));
    cluster.claim(&claim_yaml(
        "g-mode",
        "1Gi",
        "storageClassName: '', volumeName: small, volumeMode: Block,",
    ));
    cluster.classes.push(class("manual", "Immediate", false));
    Arc::make_mut(&mut cluster.classes[0]).provisioner = "kubernetes.io/no-provisioner".into();
    cluster.claim(&claim_yaml("h-manual", "1Gi", "storageClassName: manual,"));
    let story = cluster.settle();
    let events: Vec<&str> = story
        .lines()
        .filter(|line| line.starts_with("event"))
        .collect();
    insta::assert_snapshot!(events.join("\n"));
    let phases = cluster
        .claims
        .values()
        .map(|claim| claim.status.as_ref().and_then(|s| s.phase.as_deref()));
    assert!(phases.into_iter().all(|phase| phase == Some("Pending")));
}

/// V-3: a claim without class gets the newest default class as soon as there is one.
#[test]
fn the_default_class_comes_retroactively() {
    let mut cluster = Cluster::default();
    cluster.claim(&claim_yaml("data", "1Gi", ""));
    cluster.settle();
    let mut old = class("old", "WaitForFirstConsumer", true);
    Arc::make_mut(&mut old).metadata.creation_timestamp = object("'2025-01-01T00:00:00Z'");
    let mut new = class("new", "WaitForFirstConsumer", true);
    Arc::make_mut(&mut new).metadata.creation_timestamp = object("'2026-01-01T00:00:00Z'");
    cluster.classes = vec![new, old, class("plain", "Immediate", false)];
    cluster.settle();
    let spec = cluster.claims["data"].spec.as_ref().expect("spec");
    assert_eq!(spec.storage_class_name.as_deref(), Some("new"));
}

/// V-5, V-20, V-21: release by policy; a cleared claimRef makes the volume available again.
#[test]
fn a_volume_outlives_its_claim_as_its_policy_says() {
    let mut cluster = Cluster::default();
    cluster.volume(&volume_yaml("kept", "1Gi", ""));
    cluster.volume(&volume_yaml("undeletable", "2Gi", "").replace("Retain", "Delete"));
    cluster.claim(&claim_yaml("a", "1Gi", "storageClassName: '',"));
    cluster.claim(&claim_yaml("b", "2Gi", "storageClassName: '',"));
    cluster.settle();
    cluster.claims.clear();
    cluster.claim(&claim_yaml("a", "1Gi", "storageClassName: '',"));
    let mut story = vec![
        "-- claims deleted, one made again".to_owned(),
        cluster.settle(),
    ];
    let mut freed = (*cluster.volumes["kept"]).clone();
    freed.spec.as_mut().expect("spec").claim_ref = None;
    cluster.put_volume(freed);
    story.extend(["-- claimRef cleared".to_owned(), cluster.settle()]);
    insta::assert_snapshot!(story.join("\n"));
}

/// V-6: a bound claim whose volume vanished, or serves another, is Lost.
#[test]
fn a_claim_without_its_volume_is_lost() {
    let mut cluster = Cluster::default();
    for name in ["a", "b"] {
        cluster.volume(&volume_yaml(name, "1Gi", ""));
        cluster.claim(&claim_yaml(
            name,
            "1Gi",
            &format!("storageClassName: '', volumeName: {name},"),
        ));
    }
    cluster.settle();
    cluster.volumes.remove("a");
    let mut stolen = (*cluster.volumes["b"]).clone();
    stolen
        .spec
        .as_mut()
        .expect("spec")
        .claim_ref
        .as_mut()
        .expect("ref")
        .uid = Some("another".into());
    cluster.put_volume(stolen);
    insta::assert_snapshot!(cluster.settle());
}
