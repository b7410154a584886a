//! Makes and deletes the pods of a workload and tells the workload's events (D-8). Decides nothing.

use std::future::Future;

use futures::future::join_all;
use k8s_openapi::{
    api::core::v1::{ObjectReference, Pod, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Api, Client, ResourceExt, api::PostParams};
use plinth_client::{ApiError, EventKind, Recorder};

use crate::{writes::delete_only, written::Written};

/// The most pods that one round makes or deletes (D-7).
pub(crate) const BURST: usize = 500;

/// A pod made from a template, named by the server after its owner.
pub(crate) fn from_template(
    template: &PodTemplateSpec,
    namespace: &str,
    owner: OwnerReference,
) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", owner.name)),
            namespace: Some(namespace.to_owned()),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// What pods are made and deleted with, on behalf of one workload.
pub(crate) struct Control<'a> {
    pub(crate) client: &'a Client,
    pub(crate) recorder: &'a Recorder,
    /// The workload, as its events regard it.
    pub(crate) workload: ObjectReference,
    pub(crate) written: &'a Written<Pod>,
}

impl Control<'_> {
    /// Makes a pod. A namespace that is going away is no news to the user.
    pub(crate) async fn create(&self, pod: &Pod) -> Result<(), kube::Error> {
        match self.api().create(&PostParams::default(), pod).await {
            Ok(created) => {
                self.written.note(&created);
                let message = format!("Created pod: {}", created.name_any());
                self.tell(EventKind::Normal, "SuccessfulCreate", &message);
                Ok(())
            }
            Err(error) => {
                if !error.is_namespace_terminating() {
                    let message = format!("Error creating: {}", error.text());
                    self.tell(EventKind::Warning, "FailedCreate", &message);
                }
                Err(error)
            }
        }
    }

    /// Deletes a pod; one that is gone already, or replaced by another of its name, needs no deletion.
    pub(crate) async fn delete(&self, pod: &Pod) -> Result<(), kube::Error> {
        let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
        self.delete_only(&name, &uid).await
    }

    /// The same for a pod that is known by name and UID.
    pub(crate) async fn delete_only(&self, name: &str, uid: &str) -> Result<(), kube::Error> {
        match self.api().delete(name, &delete_only(uid)).await {
            Ok(_) => {
                let namespace = self.workload.namespace.as_deref().unwrap_or_default();
                self.written.deleted(namespace, name, uid);
                let message = format!("Deleted pod: {name}");
                self.tell(EventKind::Normal, "SuccessfulDelete", &message);
                Ok(())
            }
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => {
                let message = format!("Error deleting: {}", error.text());
                self.tell(EventKind::Warning, "FailedDelete", &message);
                Err(error)
            }
        }
    }

    fn tell(&self, kind: EventKind, reason: &str, message: &str) {
        self.recorder.event(&self.workload, kind, reason, message);
    }

    fn api(&self) -> Api<Pod> {
        let namespace = self.workload.namespace.as_deref().unwrap_or_default();
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// Runs `count` tasks side by side in batches of 1, 2, 4, …: when the first ones are refused, hundreds
/// more are not tried (D-7). The first failure is returned once its batch has ended.
pub(crate) async fn slow_start<F, E>(count: usize, task: impl Fn(usize) -> F) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    let (mut begun, mut width) = (0, 1);
    while begun < count {
        let end = count.min(begun + width);
        let outcomes = join_all((begun..end).map(&task)).await;
        outcomes.into_iter().collect::<Result<(), E>>()?;
        (begun, width) = (end, width * 2);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// D-7
    #[tokio::test]
    async fn a_refusal_ends_the_batches() {
        let tried = Mutex::new(Vec::new());
        let outcome = slow_start(100, |task| {
            tried.lock().expect("not poisoned").push(task);
            async move { if task == 2 { Err(task) } else { Ok(()) } }
        });
        assert_eq!(outcome.await, Err(2));
        assert_eq!(*tried.lock().expect("not poisoned"), [0, 1, 2]);
        let all = slow_start(9, |_| async { Ok::<(), usize>(()) });
        assert_eq!(all.await, Ok(()));
    }
}
