//! The disruption controller: counts how many of the pods that a PodDisruptionBudget covers may be evicted.
//! Here are the wiring, the look at the controllers behind the pods, and the one write.
//!
//! It evicts nobody: the API server does, and takes the eviction from the budget's status.

mod expected;
mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::{
    core::v1::Pod,
    policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus},
};
use kube::{
    Api, Resource, ResourceExt,
    api::PostParams,
    core::{Selector, SelectorExt},
};
use plinth_client::{EventKind, Informer, Recorder, WorkQueue, run_workers};
use tokio::task::JoinSet;

use self::{
    expected::Controllers,
    plan::{World, needs_scale, plan},
};
use crate::{
    Context,
    writes::{Name, name_of, revision, unless_outrun},
};

const WORKERS: usize = 2;

struct Controller {
    client: kube::Client,
    recorder: Recorder,
    budgets: Informer<PodDisruptionBudget>,
    pods: Informer<Pod>,
    controllers: Controllers,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller {
        client: cx.client(),
        recorder: cx.recorder("controllermanager"),
        budgets: cx.informers.of(),
        pods: cx.informers.of(),
        controllers: Controllers::new(cx),
    });
    let queue = WorkQueue::new();
    controller.listen(&queue);
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.budgets.synced().await;
        controller.pods.synced().await;
        controller.controllers.synced().await;
        let keys = queue.clone();
        run_workers(queue, WORKERS, shutdown, move |key| {
            let (controller, keys) = (Arc::clone(&controller), keys.clone());
            async move { controller.reconcile(&key, &keys).await }
        })
        .await;
    });
}

impl Controller {
    fn listen(&self, queue: &WorkQueue<Name>) {
        let to = queue.clone();
        self.budgets
            .on_change(move |change| to.add(name_of(&**change.latest())));
        let (to, budgets) = (queue.clone(), self.budgets.clone());
        self.pods.on_change(move |change| {
            let (namespace, _) = name_of(&**change.latest());
            for budget in budgets.in_namespace(&namespace) {
                if change.states().any(|pod| covers(&budget, pod)) {
                    to.add(name_of(&*budget));
                }
            }
        });
        // The pods of a controller that was told another number may have come before its own change.
        let (to, budgets) = (queue.clone(), self.budgets.clone());
        self.controllers.on_scaled(move |namespace| {
            for budget in budgets.in_namespace(namespace) {
                to.add(name_of(&*budget));
            }
        });
    }

    async fn reconcile(&self, key: &Name, queue: &WorkQueue<Name>) -> Result<(), kube::Error> {
        let (namespace, name) = key;
        let Some(budget) = self.budgets.get(Some(namespace), name) else {
            return Ok(());
        };
        let mut pods = self.pods.in_namespace(namespace);
        pods.retain(|pod| covers(&budget, pod));
        let expected = if budget.spec.as_ref().is_some_and(needs_scale) {
            self.expected(&budget, &pods).await
        } else {
            Ok(0)
        };
        let world = World {
            budget: &budget,
            pods: &pods,
            expected,
        };
        let plan = plan(&world, Timestamp::now());
        for pod in &plan.not_deleted {
            let message =
                format!("Pod was expected by PDB {namespace}/{name} to be deleted but it wasn't");
            let regarding = pod.object_ref(&());
            self.recorder
                .event(&regarding, EventKind::Warning, "NotDeleted", &message);
        }
        if let Some(delay) = plan.again_in {
            queue.add_after(key.clone(), delay);
        }
        let Some(status) = plan.status else {
            return Ok(());
        };
        if pods.is_empty() {
            self.tell(
                &budget,
                EventKind::Normal,
                "NoPods",
                "No matching pods found",
            );
        }
        if let Err(why) = &world.expected {
            let message = format!("Failed to calculate the number of expected pods: {why}");
            self.tell(
                &budget,
                EventKind::Warning,
                "CalculateExpectedPodCountFailed",
                &message,
            );
        }
        self.report(&budget, status).await
    }

    async fn expected(
        &self,
        budget: &PodDisruptionBudget,
        pods: &[Arc<Pod>],
    ) -> Result<i32, String> {
        let found = self.controllers.expected(&self.client, pods).await?;
        if found.unmanaged {
            // In upstream's words: users of Kubernetes search for them.
            let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone());
            let selector = selector.and_then(|selector| Selector::try_from(selector).ok());
            let selector = selector
                .map(|selector| selector.to_string())
                .unwrap_or_default();
            let message = format!(
                "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a \
                 result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. \
                 To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value."
            );
            self.tell(budget, EventKind::Warning, "UnmanagedPods", &message);
        }
        Ok(found.replicas)
    }

    async fn report(
        &self,
        budget: &PodDisruptionBudget,
        status: PodDisruptionBudgetStatus,
    ) -> Result<(), kube::Error> {
        let namespace = budget.namespace().unwrap_or_default();
        let api: Api<PodDisruptionBudget> = Api::namespaced(self.client.clone(), &namespace);
        let report = PodDisruptionBudget {
            status: Some(status),
            ..budget.clone()
        };
        let answer = api
            .replace_status(&budget.name_any(), &PostParams::default(), &report)
            .await;
        // An eviction that came in between counts itself; its change wakes the budget again.
        if let Some(budget) = unless_outrun(answer)? {
            self.budgets.seen(revision(&budget)).await;
        }
        Ok(())
    }

    fn tell(&self, budget: &PodDisruptionBudget, kind: EventKind, reason: &str, message: &str) {
        self.recorder
            .event(&budget.object_ref(&()), kind, reason, message);
    }
}

/// No selector covers nothing, an empty one everything.
fn covers(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    budget
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.clone())
        // An invalid selector covers nothing; validation keeps it out.
        .and_then(|selector| Selector::try_from(selector).ok())
        .is_some_and(|selector| selector.matches(pod.labels()))
}
