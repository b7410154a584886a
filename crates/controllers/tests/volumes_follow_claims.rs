//! From a claim to a directory and back.

mod support;

use std::fs;

use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim},
    storage::v1::StorageClass,
};
use kube::{Api, ResourceExt, api::DeleteParams};
use serde_json::json;
use support::{Cluster, create, until, until_gone};

fn claim_phase(claim: Option<&PersistentVolumeClaim>) -> &str {
    claim
        .and_then(|claim| claim.status.as_ref()?.phase.as_deref())
        .unwrap_or_default()
}

fn volume_phase(volume: Option<&PersistentVolume>) -> &str {
    volume
        .and_then(|volume| volume.status.as_ref()?.phase.as_deref())
        .unwrap_or_default()
}

/// V-3, V-12, V-13, V-15, V-20, V-23, V-24, V-31, V-35.
#[tokio::test]
async fn a_local_path_volume_lives_as_long_as_its_claim() {
    let cluster = Cluster::start().await;
    let claims: Api<PersistentVolumeClaim> = cluster.api();
    let volumes: Api<PersistentVolume> = cluster.all();
    let classes: Api<StorageClass> = cluster.all();
    until(&classes, "local-path", "there", |class| class.is_some()).await;
    let claim = json!({"metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}});
    create(&claims, &claim).await;
    let pod = json!({"metadata": {"name": "user"},
        "spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}});
    cluster.run_pod(pod, "10.244.0.9").await;
    until(&claims, "data", "bound", |claim| {
        claim_phase(claim) == "Bound"
    })
    .await;

    let claim = claims.get("data").await.expect("claim");
    let volume = format!("pvc-{}", claim.uid().expect("uid"));
    assert_eq!(
        claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.as_deref()),
        Some(volume.as_str())
    );
    let directory = cluster.volumes.join(format!("{volume}_default_data"));
    fs::write(directory.join("kept"), "data").expect("the directory is there");

    claims
        .delete("data", &DeleteParams::default())
        .await
        .expect("claim deleted");
    let held = claims.get("data").await.expect("a claim in use stays");
    assert!(held.metadata.deletion_timestamp.is_some());
    cluster.end_pod("user").await;
    until_gone(&claims, "data").await;
    until_gone(&volumes, &volume).await;
    assert!(!directory.exists(), "the data goes with the claim");
    assert!(cluster.volumes.exists());
}

/// V-1, V-2, V-20, V-22, §4.3.
#[tokio::test]
async fn a_hand_made_volume_is_bound_released_and_kept() {
    let cluster = Cluster::start().await;
    let claims: Api<PersistentVolumeClaim> = cluster.api();
    let volumes: Api<PersistentVolume> = cluster.all();
    for (name, size) in [("large", "10Gi"), ("small", "1Gi")] {
        let volume = json!({"metadata": {"name": name}, "spec": {"capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/nowhere"}}});
        create(&volumes, &volume).await;
        until(&volumes, name, "available", |volume| {
            volume_phase(volume) == "Available"
        })
        .await;
    }
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "",
        "resources": {"requests": {"storage": "500Mi"}}}});
    create(&claims, &claim).await;
    until(&claims, "data", "bound", |claim| {
        claim_phase(claim) == "Bound"
    })
    .await;
    until(&volumes, "small", "bound", |volume| {
        volume_phase(volume) == "Bound"
    })
    .await;

    volumes
        .delete("small", &DeleteParams::default())
        .await
        .expect("deletion begins");
    assert!(
        volumes
            .get("small")
            .await
            .expect("a bound volume stays")
            .metadata
            .deletion_timestamp
            .is_some()
    );
    claims
        .delete("data", &DeleteParams::default())
        .await
        .expect("claim deleted");
    until_gone(&claims, "data").await;
    until_gone(&volumes, "small").await;

    create(&claims, &claim).await;
    until(&claims, "data", "bound again", |claim| {
        claim_phase(claim) == "Bound"
    })
    .await;
    claims
        .delete("data", &DeleteParams::default())
        .await
        .expect("claim deleted");
    until(&volumes, "large", "released", |volume| {
        volume_phase(volume) == "Released"
    })
    .await;
}
