//! Tells the API how the pod is, and at last that the node is done with it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use plinth_client::ApiError;
use plinth_client::EventKind::{Normal, Warning};
use tracing::{debug, warn};

use super::memory::ActError;
use super::{Desired, Worker};
use crate::identity::PodName;
use crate::plan::{self, Observed, Plan, Schedule};
use crate::spec;
use crate::status::{pod_status, status_patch};

impl Worker {
    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.node.client.clone(), &self.name.namespace)
    }

    /// Writes the status if it changed; a failure is tried again later.
    pub(super) async fn report(&mut self, pod: &Pod, seen: &Observed, plan: &Plan, now: Timestamp) {
        let status = pod_status(pod, seen, plan, &self.addresses(pod, seen), now);
        self.memory.retry_report = None;
        let Some(patch) = status_patch(pod, &status) else {
            self.memory.reported = true;
            return;
        };
        let params = PatchParams::default();
        match self
            .api()
            .patch_status(&self.name.name, &params, &Patch::Merge(&patch))
            .await
        {
            Ok(written) => {
                self.memory.reported = true;
                self.memory.wrote(written);
            }
            // Someone else wrote first; the informer brings their write, and with it another round.
            Err(e) if e.is_conflict() || e.is_not_found() => debug!(error = %e, "status overtaken"),
            Err(e) => {
                warn!(error = %e, "status could not be written");
                self.memory.retry_report = Some(now + Schedule::STEP.delay(4));
            }
        }
    }

    /// Events for what the plan makes the pod wait for; once for each change.
    pub(super) fn announce(&mut self, pod: &Pod, seen: &Observed, plan: &Plan) {
        let blocked = seen.blocked_by.as_ref().map(|uid| {
            format!("Waiting until the containers of the earlier pod {} (UID {uid}) are gone from this node", self.name)
        });
        if let Some(message) = blocked
            && self.is_news("", &message)
        {
            self.node
                .event(pod, None, Warning, "WaitingForPredecessor", &message);
        }
        let spec = spec::spec_of(pod);
        for (_, container) in spec::containers(&spec) {
            let name = &container.name;
            let Some(waiting) = plan.waiting.get(name) else {
                self.memory.announced.remove(name);
                continue;
            };
            if !self.is_news(name, &waiting.message) {
                continue;
            }
            match waiting.reason.as_str() {
                "CrashLoopBackOff" => {
                    let PodName {
                        namespace,
                        name: pod_name,
                    } = &self.name;
                    let message = format!(
                        "Back-off restarting failed container {name} in pod {pod_name}_{namespace}({})",
                        self.uid
                    );
                    self.node
                        .event(pod, Some(name), Warning, "BackOff", &message);
                }
                "ImagePullBackOff" => {
                    let image = container.image.as_deref().unwrap_or_default();
                    let message = format!("Back-off pulling image \"{image}\"");
                    self.node
                        .event(pod, Some(name), Normal, "BackOff", &message);
                    self.node.event(
                        pod,
                        Some(name),
                        Warning,
                        "Failed",
                        "Error: ImagePullBackOff",
                    );
                }
                _ => {}
            }
        }
    }

    fn is_news(&mut self, about: &str, message: &str) -> bool {
        self.memory
            .announced
            .insert(about.to_owned(), message.to_owned())
            .as_deref()
            != Some(message)
    }

    /// The final status, then the removal (L-32); only what has been deleted is removed, and only under its own UID.
    pub(super) async fn finish(&mut self, pod: Option<&Pod>) -> Result<(), ActError> {
        let desired = self.desired.borrow().clone();
        self.pods.vacated(&self.uid);
        let (Some(pod), false) = (pod, desired.removed) else {
            self.memory.finished = true;
            return Ok(());
        };
        let seen = self.observe(Some(pod), &desired).await;
        let now = Timestamp::now();
        let plan = plan::plan(Some(pod), &seen, now);
        self.report(pod, &seen, &plan, now).await;
        if !self.memory.reported || self.memory.retry_report.is_some() {
            return Err(ActError::Delete(
                "its final status could not be written".into(),
            ));
        }
        self.delete(&desired).await
    }

    async fn delete(&mut self, desired: &Desired) -> Result<(), ActError> {
        debug_assert!(desired.pod.as_ref().is_some_and(|p| spec::is_deleting(p)));
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: Some(self.uid.as_str().to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match self.api().delete(&self.name.name, &params).await {
            Ok(_) => {}
            Err(e) if e.is_conflict() || e.is_not_found() => debug!(error = %e, "already removed"),
            Err(e) => return Err(ActError::Delete(e.to_string())),
        }
        self.memory.finished = true;
        Ok(())
    }
}
