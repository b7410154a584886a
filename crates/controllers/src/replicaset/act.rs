//! Executes plans of a set. Decides nothing.

use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::ReplicaSetStatus, core::v1::Pod};
use kube::{Api, Client, ResourceExt, api::PostParams};
use plinth_client::{ApiError, Informer, Recorder};

use super::{
    kind::Kind,
    plan::{Plan, World, failure},
};
use crate::{
    ownership,
    pods::{Control, slow_start},
    writes::unless_outrun,
    written::Written,
};

/// Acts for one set in one round.
pub(crate) struct Actor<'a, K> {
    pub(crate) client: &'a Client,
    pub(crate) recorder: &'a Recorder,
    pub(crate) object: &'a Arc<K>,
    pub(crate) sets: &'a Informer<K>,
    pub(crate) pods: &'a Informer<Pod>,
}

impl<K: Kind> Actor<'_, K> {
    /// Does what the plan says and waits until it can be seen, also after a failure: the next plan must
    /// not repeat what did succeed (C-4).
    pub(crate) async fn act(&self, world: &World<'_>, plan: Plan) -> Result<(), kube::Error> {
        let written = Written::default();
        let outcome = self.execute(world, plan, &written).await;
        written.visible(self.pods).await;
        match outcome {
            // The set is about to go as well (G-11).
            Err(error) if error.is_namespace_terminating() => Ok(()),
            other => other,
        }
    }

    async fn execute(
        &self,
        world: &World<'_>,
        plan: Plan,
        written: &Written<Pod>,
    ) -> Result<(), kube::Error> {
        let control = Control {
            client: self.client,
            recorder: self.recorder,
            workload: self.object.object_ref(&()),
            written,
        };
        let (outcome, reason) = match plan {
            Plan::Claim(claims) => {
                return ownership::settle(self.client, &**self.object, &claims, written).await;
            }
            Plan::Report(None, _) => return Ok(()),
            Plan::Report(Some(status), _) => return self.write_status(status).await,
            Plan::Create(count, pod) => {
                let made = slow_start(count, |_| control.create(&pod)).await;
                (made, "FailedCreate")
            }
            Plan::Delete(victims) => {
                let deletions = victims.iter().map(|pod| control.delete(pod));
                let gone: Result<(), _> = join_all(deletions).await.into_iter().collect();
                (gone, "FailedDelete")
            }
        };
        if let Err(error) = &outcome
            && !error.is_namespace_terminating()
            && let Some(status) = failure(world, reason, error.text(), Timestamp::now())
        {
            self.write_status(status).await?;
        }
        outcome
    }

    async fn write_status(&self, status: ReplicaSetStatus) -> Result<(), kube::Error> {
        let namespace = self.object.namespace().unwrap_or_default();
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        let name = self.object.name_any();
        let object = self.object.with_status(status);
        if object == **self.object {
            // What was new is something that this kind does not tell.
            return Ok(());
        }
        let answer = api
            .replace_status(&name, &PostParams::default(), &object)
            .await;
        if let Some(object) = unless_outrun(answer)? {
            let written = Written::default();
            written.note(&object);
            written.visible(self.sets).await;
        }
        Ok(())
    }
}
