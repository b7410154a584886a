//! Writes decisions: promises and selected nodes on claims, bindings, conditions and events. Decides
//! nothing.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        Binding as PodBinding, ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use plinth_client::{ApiError, EventKind, Recorder};
use serde_json::{Value, json};

use crate::{claims::SELECTED_NODE, volumes::Binding};

const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";

/// Which write failed and why.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {}", .source.text())]
pub(crate) struct ActError {
    step: String,
    pub(crate) source: kube::Error,
}

/// Writes on behalf of the scheduler.
pub(crate) struct Actor {
    pub(crate) client: Client,
    pub(crate) recorder: Recorder,
}

impl Actor {
    /// Promises a volume to a claim (V-11); the volume binder completes the handshake.
    pub(crate) async fn prepare(
        &self,
        binding: &Binding,
        node: &str,
    ) -> Result<Option<Prepared>, ActError> {
        match binding {
            Binding::Promise { volume, claim } => self
                .promise(volume, claim)
                .await
                .map(|volume| Prepared::Volume(revision(&volume)))
                .map(Some),
            Binding::Provision { claim } => self
                .select(claim, node)
                .await
                .map(|claim| Prepared::Claim(revision(&claim)))
                .map(Some),
            Binding::Await { .. } => Ok(None),
        }
    }

    async fn promise(
        &self,
        volume: &PersistentVolume,
        claim: &PersistentVolumeClaim,
    ) -> Result<PersistentVolume, ActError> {
        let name = volume.name_any();
        let patch = json!({
            "metadata": {
                "resourceVersion": volume.resource_version(),
                "annotations": {BOUND_BY_CONTROLLER: "yes"},
            },
            "spec": {"claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": claim.namespace(), "name": claim.name_any(),
                "uid": claim.uid(), "resourceVersion": claim.resource_version(),
            }},
        });
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let patched = api
            .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        step(patched, || format!("promise PersistentVolume {name}"))
    }

    async fn select(
        &self,
        claim: &PersistentVolumeClaim,
        node: &str,
    ) -> Result<PersistentVolumeClaim, ActError> {
        let (namespace, name) = (claim.namespace().unwrap_or_default(), claim.name_any());
        let patch = json!({"metadata": {
            "resourceVersion": claim.resource_version(),
            "annotations": {SELECTED_NODE: node},
        }});
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &namespace);
        let patched = api
            .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        step(patched, || {
            format!("select node {node} for PersistentVolumeClaim {namespace}/{name}")
        })
    }

    /// Binds the pod and tells of it.
    pub(crate) async fn bind(&self, pod: &Arc<Pod>, node: &str) -> Result<(), ActError> {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let binding = PodBinding {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.clone()),
                // Only this pod, not a later one of its name.
                uid: pod.uid(),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Node".to_owned()),
                name: Some(node.to_owned()),
                ..ObjectReference::default()
            },
        };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let bound: Result<Value, _> = api
            .create_subresource("binding", &name, &PostParams::default(), &binding)
            .await;
        step(bound, || {
            format!("bind Pod {namespace}/{name} to node {node}")
        })?;
        let message = format!("Successfully assigned {namespace}/{name} to {node}");
        let regarding = pod.object_ref(&());
        self.recorder
            .event(&regarding, EventKind::Normal, "Scheduled", &message);
        Ok(())
    }

    /// Tells the user why the pod waits, once for each reason.
    pub(crate) async fn refuse(&self, pod: &Pod, why: &str) -> Result<(), ActError> {
        if told(pod, why) {
            return Ok(());
        }
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        self.recorder.event(
            &pod.object_ref(&()),
            EventKind::Warning,
            "FailedScheduling",
            why,
        );
        let condition = json!({
            "type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": why,
            "lastProbeTime": null, "lastTransitionTime": since(pod),
            "observedGeneration": pod.metadata.generation,
        });
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [condition]}});
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let patched = api
            .patch_status(&name, &PatchParams::default(), &Patch::Strategic(patch))
            .await;
        step(patched, || {
            format!("set PodScheduled of Pod {namespace}/{name}")
        })
        .map(|_| ())
    }
}

/// The revision at which what was written for a claim becomes visible.
pub(crate) enum Prepared {
    Volume(u64),
    Claim(u64),
}

fn told(pod: &Pod, why: &str) -> bool {
    condition(pod).is_some_and(|condition| {
        condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
            && condition.message.as_deref() == Some(why)
    })
}

/// The transition time moves only with the status (L-4).
fn since(pod: &Pod) -> Time {
    condition(pod)
        .filter(|condition| condition.status == "False")
        .and_then(|condition| condition.last_transition_time.clone())
        .unwrap_or_else(|| {
            let now = Timestamp::now();
            // Whole seconds of a valid time are a valid time.
            Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
        })
}

fn condition(pod: &Pod) -> Option<&k8s_openapi::api::core::v1::PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    conditions.iter().find(|c| c.type_ == "PodScheduled")
}

fn step<T>(answer: Result<T, kube::Error>, step: impl FnOnce() -> String) -> Result<T, ActError> {
    answer.map_err(|source| ActError {
        step: step(),
        source,
    })
}

fn revision<K: Resource>(object: &K) -> u64 {
    let version = object.resource_version();
    version.and_then(|text| text.parse().ok()).unwrap_or(0)
}
