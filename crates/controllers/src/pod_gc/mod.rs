//! Removes pods that no node will ever confirm as gone. Leaves every pod alone whose node may still
//! answer: two of the same name must not run side by side.

mod plan;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
};
use plinth_client::{Informer, WorkQueue, run_workers};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    Context,
    endpoints::member::node_name,
    writes::{Name, delete_only, name_of, unless_outrun},
};
use plan::{Action, Home, plan};

struct Controller {
    client: kube::Client,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    /// When a node that pods name was first seen missing.
    missing: Mutex<HashMap<String, Instant>>,
    queue: WorkQueue<Name>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let queue = cx.queue("pod_gc");
    let controller = Arc::new(Controller {
        client: cx.client(),
        pods: cx.informers.of(),
        nodes: cx.informers.of(),
        missing: Mutex::default(),
        queue: queue.clone(),
    });
    let to = queue.clone();
    controller
        .pods
        .on_change(move |change| to.add(name_of(&**change.latest())));
    let watching = Arc::clone(&controller);
    controller.nodes.on_change(move |change| {
        let name = change.latest().name_any();
        let taints = |node: &Arc<Node>| node.spec.as_ref().and_then(|spec| spec.taints.clone());
        if change.new.is_some() {
            watching.missing().remove(&name);
        }
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && taints(old) == taints(new)
        {
            return;
        }
        for pod in watching
            .pods
            .list()
            .iter()
            .filter(|pod| node_name(pod) == Some(&name))
        {
            watching.queue.add(name_of(&**pod));
        }
    });
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.pods.synced().await;
        controller.nodes.synced().await;
        run_workers(queue, 2, shutdown, move |key| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&key).await }
        })
        .await;
    });
}

impl Controller {
    fn missing(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn missing_for(&self, node: &str) -> Duration {
        self.missing()
            .entry(node.to_owned())
            .or_insert_with(Instant::now)
            .elapsed()
    }

    async fn reconcile(&self, key: &Name) -> Result<(), kube::Error> {
        let (namespace, name) = key;
        let Some(pod) = self.pods.get(Some(namespace), name) else {
            return Ok(());
        };
        let node = node_name(&pod).and_then(|node| self.nodes.get(None, node));
        let home = match (node_name(&pod), &node) {
            (None, _) => Home::None,
            (Some(_), Some(node)) => Home::Here(node),
            (Some(name), None) => Home::Missing(self.missing_for(name)),
        };
        match plan(&pod, &home, Timestamp::now()) {
            Action::Leave => Ok(()),
            Action::LookAgain(after) => {
                self.queue.add_after(key.clone(), after);
                Ok(())
            }
            Action::Remove {
                failed,
                if_node_missing,
            } => {
                let nodes: Api<Node> = Api::all(self.client.clone());
                let node = node_name(&pod).unwrap_or_default();
                if if_node_missing && nodes.get_opt(node).await?.is_some() {
                    return Ok(());
                }
                let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
                if let Some(failed) = failed
                    && unless_outrun(
                        pods.replace_status(name, &PostParams::default(), &failed)
                            .await,
                    )?
                    .is_none()
                {
                    return Ok(());
                }
                let now = DeleteParams {
                    grace_period_seconds: Some(0),
                    ..delete_only(&pod.uid().unwrap_or_default())
                };
                unless_outrun(pods.delete(name, &now).await)?;
                Ok(())
            }
        }
    }
}
