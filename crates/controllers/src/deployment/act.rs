//! Executes plans of a Deployment and tells its events (D-8). Decides nothing.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::{Api, Client, Resource, ResourceExt, api::PostParams};
use plinth_client::{ApiError, EventKind, Informer, Recorder};

use super::{
    conditions::{PROGRESSING, condition, set},
    plan::{Plan, Round},
    rollout::Rollout,
    sets::Set,
};
use crate::{
    ownership,
    writes::{delete_only, unless_outrun},
    written::Written,
};

/// Acts for one Deployment in one round.
pub(crate) struct Actor<'a> {
    pub(crate) client: &'a Client,
    pub(crate) recorder: &'a Recorder,
    pub(crate) deployment: &'a Deployment,
    pub(crate) deployments: &'a Informer<Deployment>,
    pub(crate) sets: &'a Informer<ReplicaSet>,
}

impl Actor<'_> {
    /// Does what the plan says and waits until it can be seen, also after a failure (C-4).
    pub(crate) async fn act(&self, plan: Plan) -> Result<(), kube::Error> {
        let written = Written::default();
        let outcome = match plan {
            Plan::Claim(claims) => {
                ownership::settle(self.client, self.deployment, &claims, &written).await
            }
            Plan::Sync(round) => Box::pin(self.round(*round, &written)).await,
        };
        written.visible(self.sets).await;
        match outcome {
            // It is about to go as well (G-11).
            Err(error) if error.is_namespace_terminating() => Ok(()),
            other => other,
        }
    }

    async fn round(&self, round: Round, written: &Written<ReplicaSet>) -> Result<(), kube::Error> {
        for set in &round.write {
            if !self.write(set, written).await? {
                // The world is not what was planned for; its change brings the next plan.
                return Ok(());
            }
        }
        let api = self.sets_api();
        for set in &round.delete {
            let (name, uid) = (set.name_any(), set.uid().unwrap_or_default());
            if unless_outrun(api.delete(&name, &delete_only(&uid)).await)?.is_some() {
                let namespace = self.deployment.namespace().unwrap_or_default();
                written.deleted(&namespace, &name, &uid);
            }
        }
        match &round.report {
            Some(report) => self.report(report).await,
            None => Ok(()),
        }
    }

    /// Makes or changes a set; whether nobody came in between.
    async fn write(&self, set: &Set, written: &Written<ReplicaSet>) -> Result<bool, kube::Error> {
        let api = self.sets_api();
        let params = PostParams::default();
        let answer = if set.is_new() {
            let made = api.create(&params, &set.object).await;
            if let Err(error) = &made {
                self.tell_refusal(set, error).await?;
            }
            // A name that is taken will be seen to be, and another one be found.
            Some(made?)
        } else {
            unless_outrun(api.replace(&set.name(), &params, &set.object).await)?
        };
        let Some(object) = answer else {
            return Ok(false);
        };
        written.note(&object);
        for message in &set.tell {
            self.tell(EventKind::Normal, "ScalingReplicaSet", message);
        }
        Ok(true)
    }

    /// A set that cannot be made is news to the user, in an event and in the status.
    async fn tell_refusal(&self, new: &Set, error: &kube::Error) -> Result<(), kube::Error> {
        if error.is_already_exists() || error.is_namespace_terminating() {
            return Ok(());
        }
        let message = format!(
            "Failed to create new replica set \"{}\": {}",
            new.name(),
            error.text()
        );
        self.tell(EventKind::Warning, "ReplicaSetCreateError", &message);
        let Some(spec) = &self.deployment.spec else {
            return Ok(());
        };
        let rollout = Rollout::of(self.deployment, spec, Timestamp::now());
        if rollout.deadline.is_none() {
            return Ok(());
        }
        let mut report = self.deployment.clone();
        let status = report.status.get_or_insert_default();
        let failed = condition(
            &rollout,
            PROGRESSING,
            "False",
            "ReplicaSetCreateError",
            message,
        );
        set(status, failed);
        if report == *self.deployment {
            return Ok(());
        }
        self.report(&report).await
    }

    async fn report(&self, report: &Deployment) -> Result<(), kube::Error> {
        let namespace = self.deployment.namespace().unwrap_or_default();
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &namespace);
        let name = self.deployment.name_any();
        let answer = api
            .replace_status(&name, &PostParams::default(), report)
            .await;
        if let Some(deployment) = unless_outrun(answer)? {
            let written = Written::default();
            written.note(&deployment);
            written.visible(self.deployments).await;
        }
        Ok(())
    }

    fn tell(&self, kind: EventKind, reason: &str, message: &str) {
        let regarding = self.deployment.object_ref(&());
        self.recorder.event(&regarding, kind, reason, message);
    }

    fn sets_api(&self) -> Api<ReplicaSet> {
        let namespace = self.deployment.namespace().unwrap_or_default();
        Api::namespaced(self.client.clone(), &namespace)
    }
}
