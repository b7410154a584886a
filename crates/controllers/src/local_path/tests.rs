use std::path::Path;

use k8s_openapi::api::{
    core::v1::{Node, PersistentVolume, PersistentVolumeClaim},
    storage::v1::StorageClass,
};

use super::plan::*;
use crate::testing::{object, text};

const CLAIM: &str = "
metadata:
  name: www-web-0
  namespace: default
  uid: c1
  annotations: {volume.kubernetes.io/storage-provisioner: rancher.io/local-path, volume.kubernetes.io/selected-node: n1}
spec: {accessModes: [ReadWriteOnce], storageClassName: local-path, resources: {requests: {storage: 1Mi}}}";

fn planned(
    claim: &str,
    class: &StorageClass,
    node: Option<&str>,
    volume_exists: bool,
) -> Provisioning {
    let claim: PersistentVolumeClaim = object(claim);
    let node: Option<Node> = node.map(|name| {
        object(&format!(
            "{{metadata: {{name: {name}, labels: {{kubernetes.io/hostname: host-{name}}}}}}}"
        ))
    });
    plan_claim(&ClaimWorld {
        claim: &claim,
        class: Some(class),
        node: node.as_ref(),
        volume_exists,
        base: Path::new("/var/lib/plinth/local-path"),
        our_node: "n1",
    })
}

/// V-13, V-24, V-31, V-34.
#[test]
fn a_claim_scheduled_here_gets_a_directory_and_a_volume() {
    let Provisioning::Make { directory, volume } =
        planned(CLAIM, &storage_class(), Some("n1"), false)
    else {
        panic!("nothing made");
    };
    assert_eq!(directory, "pvc-c1_default_www-web-0");
    insta::assert_snapshot!(text(&*volume));
}

/// V-13, V-15: other nodes, other provisioners, bound and finished claims are no business of ours.
#[test]
fn claims_of_others_are_left_alone() {
    let class = storage_class();
    let mut foreign = class.clone();
    foreign.provisioner = "example.com/p".into();
    for (claim, class, node, exists) in [
        (CLAIM.to_owned(), &class, Some("n1"), true),
        (CLAIM.to_owned(), &foreign, Some("n1"), false),
        (
            CLAIM.replace(", volume.kubernetes.io/selected-node: n1", ""),
            &class,
            None,
            false,
        ),
        (
            CLAIM.replace("selected-node: n1", "selected-node: n2"),
            &class,
            Some("n2"),
            false,
        ),
        (
            CLAIM.replace(
                "storage-provisioner: rancher.io/local-path",
                "storage-provisioner: x/y",
            ),
            &class,
            Some("n1"),
            false,
        ),
        (
            CLAIM.replace("spec: {", "spec: {volumeName: pv, "),
            &class,
            Some("n1"),
            false,
        ),
        (
            CLAIM.replace(
                "uid: c1",
                "uid: c1\n  deletionTimestamp: '2026-01-01T00:00:00Z'",
            ),
            &class,
            Some("n1"),
            false,
        ),
    ] {
        assert_eq!(
            planned(&claim, class, node, exists),
            Provisioning::Nothing,
            "{claim}"
        );
    }
}

/// V-32, and what this provisioner does not know.
#[test]
fn what_a_directory_cannot_give_is_refused() {
    let class = storage_class();
    let mut patterned = class.clone();
    patterned.parameters = Some([("pathPattern".to_owned(), "x".to_owned())].into());
    let mut immediate = class.clone();
    immediate.volume_binding_mode = Some("Immediate".into());
    let refusals = [
        planned(
            &CLAIM.replace("[ReadWriteOnce]", "[ReadWriteMany]"),
            &class,
            Some("n1"),
            false,
        ),
        planned(
            &CLAIM.replace("spec: {", "spec: {selector: {matchLabels: {a: b}}, "),
            &class,
            Some("n1"),
            false,
        ),
        planned(
            &CLAIM.replace("spec: {", "spec: {volumeMode: Block, "),
            &class,
            Some("n1"),
            false,
        ),
        planned(
            &CLAIM.replace(", volume.kubernetes.io/selected-node: n1", ""),
            &immediate,
            None,
            false,
        ),
        planned(CLAIM, &patterned, Some("n1"), false),
    ];
    let texts: Vec<&str> = refusals
        .iter()
        .map(|refusal| match refusal {
            Provisioning::Refuse(why) => why.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    insta::assert_snapshot!(texts.join("\n"));
}

/// V-13: a claim for a node that is gone is scheduled again.
#[test]
fn a_vanished_node_is_chosen_no_longer() {
    let Provisioning::ChooseAgain(claim) = planned(CLAIM, &storage_class(), None, false) else {
        panic!("kept");
    };
    assert!(
        !claim
            .metadata
            .annotations
            .expect("others")
            .contains_key("volume.kubernetes.io/selected-node")
    );
}

fn volume(phase: &str, policy: &str, node: &str) -> PersistentVolume {
    object(&format!(
        "
metadata:
  name: pvc-c1
  annotations: {{pv.kubernetes.io/provisioned-by: rancher.io/local-path, local.path.provisioner/selected-node: {node}}}
  finalizers: [kubernetes.io/pv-protection, external-provisioner.volume.kubernetes.io/finalizer]
spec: {{persistentVolumeReclaimPolicy: {policy}, hostPath: {{path: /base/pvc-c1_default_www-web-0}}}}
status: {{phase: {phase}}}"
    ))
}

/// V-20, V-35.
#[test]
fn data_goes_only_when_released_with_policy_delete_and_here() {
    let path = Some("/base/pvc-c1_default_www-web-0".to_owned());
    assert_eq!(
        plan_volume(&volume("Released", "Delete", "n1"), true, "n1"),
        Deletion::Delete { path }
    );
    assert_eq!(
        plan_volume(&volume("Released", "Delete", "n2"), true, "n1"),
        Deletion::Nothing
    );
    assert_eq!(
        plan_volume(&volume("Released", "Delete", "n2"), false, "n1"),
        Deletion::Delete { path: None }
    );
    assert_eq!(
        plan_volume(&volume("Bound", "Delete", "n1"), true, "n1"),
        Deletion::Nothing
    );
}

/// V-21, V-24: the finalizer follows the policy of the moment.
#[test]
fn the_finalizer_follows_the_policy() {
    let Deletion::Update(kept) = plan_volume(&volume("Released", "Retain", "n1"), true, "n1")
    else {
        panic!("the finalizer stays");
    };
    assert_eq!(
        kept.metadata.finalizers.as_deref(),
        Some(&["kubernetes.io/pv-protection".to_owned()][..])
    );
    assert_eq!(plan_volume(&kept, true, "n1"), Deletion::Nothing);
    let mut bound = *kept;
    bound.status = volume("Bound", "Delete", "n1").status;
    bound.spec = volume("Bound", "Delete", "n1").spec;
    let Deletion::Update(marked) = plan_volume(&bound, true, "n1") else {
        panic!("the finalizer is missing");
    };
    assert_eq!(marked.metadata.finalizers.expect("two").len(), 2);
}
