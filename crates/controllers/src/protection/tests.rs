use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::ResourceExt;

use super::plan::*;
use crate::testing::object;

fn claim(terminating: bool, finalizers: &str) -> PersistentVolumeClaim {
    let deletion = if terminating {
        "deletionTimestamp: '2026-01-01T00:00:00Z',"
    } else {
        ""
    };
    object(&format!(
        "{{metadata: {{name: data, namespace: default, {deletion} finalizers: [{finalizers}]}}}}"
    ))
}

fn pod(spec: &str, phase: &str) -> Vec<Arc<Pod>> {
    vec![Arc::new(object(&format!(
        "{{metadata: {{name: web-0, namespace: default}}, status: {{phase: {phase}}}, spec: {{{spec} containers: [], \
         volumes: [{{name: v, persistentVolumeClaim: {{claimName: data}}}}]}}}}"
    )))]
}

/// V-23: only scheduled pods that have not ended hold a claim.
#[test]
fn a_claim_in_use_stays() {
    let held = claim(true, "kubernetes.io/pvc-protection");
    let cases = [
        (pod("nodeName: n1,", "Running"), true),
        (pod("nodeName: n1,", "Pending"), true),
        (pod("", "Pending"), false),
        (pod("nodeName: n1,", "Succeeded"), false),
        (pod("nodeName: n1,", "Failed"), false),
        (vec![], false),
    ];
    for (pods, stays) in cases {
        assert_eq!(plan_claim(&held, &pods).is_none(), stays, "{pods:?}");
    }
}

/// V-23: an ephemeral volume's claim is held by its pod.
#[test]
fn an_ephemeral_claim_is_held_by_its_pod() {
    let mut held = claim(true, "kubernetes.io/pvc-protection");
    held.metadata.name = Some("web-0-v".into());
    let pods = vec![Arc::new(object(
        "{metadata: {name: web-0, namespace: default}, spec: {nodeName: n1, containers: [], volumes: [{name: v, ephemeral: {}}]}}",
    ))];
    assert_eq!(plan_claim(&held, &pods), None);
}

#[test]
fn only_the_own_finalizer_is_removed_and_a_missing_one_added() {
    let freed =
        plan_claim(&claim(true, "kubernetes.io/pvc-protection, other/one"), &[]).expect("freed");
    assert_eq!(freed.finalizers(), ["other/one"]);
    let protected = plan_claim(&claim(false, ""), &[]).expect("protected");
    assert_eq!(protected.finalizers(), [CLAIM_FINALIZER]);
    assert_eq!(plan_claim(&claim(true, "other/one"), &[]), None);
    assert_eq!(plan_claim(&protected, &[]), None);
}

/// V-22.
#[test]
fn a_bound_volume_stays() {
    let volume = |phase: &str| -> PersistentVolume {
        object(&format!(
            "{{metadata: {{name: a, deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [{VOLUME_FINALIZER}]}}, \
             status: {{phase: {phase}}}}}"
        ))
    };
    assert_eq!(plan_volume(&volume("Bound")), None);
    for phase in ["Released", "Available", "Pending", "Failed"] {
        assert!(
            plan_volume(&volume(phase))
                .expect("freed")
                .finalizers()
                .is_empty()
        );
    }
}

#[test]
fn a_class_stays_while_a_claim_or_volume_has_it() {
    let class = object(
        "{metadata: {name: gold, deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [kubernetes.io/vac-protection]}, \
         driverName: d}",
    );
    let claim = Arc::new(object(
        "{metadata: {name: c, namespace: n}, spec: {volumeAttributesClassName: gold}}",
    ));
    assert!(plan_class(&class, &[claim], &[]).is_none());
    let freed = plan_class(&class, &[], &[]).expect("freed");
    assert!(freed.finalizers().is_empty());
}
