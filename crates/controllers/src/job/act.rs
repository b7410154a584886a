//! Executes what was planned for a Job, and tells of it. Decides nothing.

use k8s_openapi::api::{batch::v1::Job, core::v1::ObjectReference};
use kube::{Api, Resource, ResourceExt, api::PostParams};
use plinth_client::{ApiError, Informer, Recorder};

use super::{
    plan::{Action, Plan, Which},
    track::Track,
    work::TRACKING,
};
use crate::{
    pod_control::{PodControl, Target, all},
    writes::{owner_of, revision},
};

/// Acts for one Job in one round.
pub(crate) struct Actor<'a> {
    pub(crate) control: &'a PodControl,
    pub(crate) jobs: &'a Informer<Job>,
    pub(crate) job: &'a Job,
}

impl Actor<'_> {
    /// Takes pods in and lets others go. A Job that is gone, or going, takes nothing in.
    pub(crate) async fn claim(&self, plan: &Plan) -> Result<(), kube::Error> {
        let adopts = |action: &Action| matches!(action, Action::Adopt(_));
        let may_adopt = !plan.claims.iter().any(adopts) || self.lives().await?;
        let claims = plan.claims.iter();
        all(claims
            .filter(|action| may_adopt || !adopts(action))
            .map(|action| self.execute(action)))
        .await
    }

    /// Makes pods and deletes others.
    pub(crate) async fn manage(&self, plan: &Plan) -> Result<(), kube::Error> {
        let mut new = Vec::new();
        for action in &plan.pods {
            if let Action::Create(pod) = action {
                new.push((**pod).clone());
            }
        }
        let others = plan.pods.iter();
        all(others
            .filter(|action| !matches!(action, Action::Create(_)))
            .map(|action| self.execute(action)))
        .await?;
        self.control.create_all(&self.reference(), &new).await
    }

    /// Writes the status, and only then lets go of the pods that it counts.
    pub(crate) async fn track(&self, track: &Track) -> Result<(), kube::Error> {
        if let Some(status) = &track.status {
            let mut job = self.job.clone();
            job.status = Some((**status).clone());
            let api: Api<Job> = Api::namespaced(self.control.client.clone(), &self.namespace());
            let name = self.job.name_any();
            let answer = api
                .replace_status(&name, &PostParams::default(), &job)
                .await;
            match answer {
                Ok(written) => self.jobs.seen(revision(&written)).await,
                // Whatever changed it brings it back here.
                Err(error) if error.is_conflict() || error.is_not_found() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let reference = self.reference();
        for told in &track.events {
            self.recorder()
                .event(&reference, told.kind, &told.reason, &told.message);
        }
        let pods = track.untrack.iter();
        all(pods.map(|pod| self.untrack(pod))).await
    }

    async fn untrack(&self, pod: &Which) -> Result<(), kube::Error> {
        let namespace = self.namespace();
        let target = pod.within(&namespace);
        self.control.unfinalize(target, TRACKING).await
    }

    async fn execute(&self, action: &Action) -> Result<(), kube::Error> {
        let namespace = self.namespace();
        let reference = self.reference();
        match action {
            Action::Adopt(pod) => {
                let owner = owner_of(self.job);
                let target = pod.within(&namespace);
                self.control.adopt(&owner, target, &[TRACKING]).await
            }
            Action::Release(pod) => {
                let owner = self.job.uid().unwrap_or_default();
                let target = pod.within(&namespace);
                self.control.release(&owner, target, &[TRACKING]).await
            }
            Action::Dismiss(pod) => {
                self.untrack(pod).await?;
                self.control
                    .delete(&reference, pod.within(&namespace))
                    .await
            }
            Action::Delete(pod) => {
                self.control
                    .delete(&reference, pod.within(&namespace))
                    .await
            }
            // All of them together, in batches.
            Action::Create(pod) => {
                let pods = std::slice::from_ref(&**pod);
                self.control.create_all(&reference, pods).await
            }
        }
    }

    async fn lives(&self) -> Result<bool, kube::Error> {
        let api: Api<Job> = Api::namespaced(self.control.client.clone(), &self.namespace());
        let live = api.get_opt(&self.job.name_any()).await?;
        Ok(live.is_some_and(|live| {
            live.uid() == self.job.uid() && live.metadata.deletion_timestamp.is_none()
        }))
    }

    fn reference(&self) -> ObjectReference {
        self.job.object_ref(&())
    }

    fn recorder(&self) -> &Recorder {
        &self.control.recorder
    }

    fn namespace(&self) -> String {
        self.job.namespace().unwrap_or_default()
    }
}

impl Which {
    pub(super) fn within<'a>(&'a self, namespace: &'a str) -> Target<'a> {
        Target {
            namespace,
            name: &self.name,
            uid: &self.uid,
        }
    }
}
