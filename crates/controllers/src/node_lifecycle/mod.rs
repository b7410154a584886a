//! Notices nodes that have fallen silent, marks them and their pods, and keeps the taints that follow
//! from a node's conditions. Evicts nothing.

mod plan;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Node, ObjectReference, Pod},
};
use kube::{Api, ResourceExt, api::PostParams};
use plinth_client::{EventKind, Informer, Recorder, WorkQueue, run_workers};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    Context,
    endpoints::member::{is_ready, node_name},
    writes::{revision, unless_outrun},
};
use plan::{Action, GRACE, heartbeat, not_ready, plan, ready};

/// Where nodes renew their leases, one of each node's name.
const LEASES: &str = "kube-node-lease";

struct Controller {
    client: kube::Client,
    recorder: Recorder,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    leases: Informer<Lease>,
    /// When each node was last heard of, by this process's own clock: the node's may be wrong.
    heard: Mutex<HashMap<String, Instant>>,
    queue: WorkQueue<String>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let queue = cx.queue("node_lifecycle_controller");
    let controller = Arc::new(Controller {
        client: cx.client(),
        recorder: cx.recorder("node-controller"),
        nodes: cx.informers.of(),
        pods: cx.informers.of(),
        leases: cx.informers.of(),
        heard: Mutex::default(),
        queue: queue.clone(),
    });
    controller.subscribe();
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.nodes.synced().await;
        controller.pods.synced().await;
        controller.leases.synced().await;
        run_workers(queue, 1, shutdown, move |name: String| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&name).await }
        })
        .await;
    });
}

impl Controller {
    fn subscribe(self: &Arc<Self>) {
        let controller = Arc::clone(self);
        self.nodes.on_change(move |change| {
            let name = change.latest().name_any();
            if change.new.is_none() {
                controller.heard().remove(&name);
            } else if change.old.as_deref().and_then(heartbeat)
                != change.new.as_deref().and_then(heartbeat)
                || change.old.is_none()
            {
                controller.heard().insert(name.clone(), Instant::now());
            }
            controller.queue.add(name);
        });
        let controller = Arc::clone(self);
        self.leases.on_change(move |change| {
            let lease = change.latest();
            if change.new.is_none() || lease.namespace().as_deref() != Some(LEASES) {
                return;
            }
            let name = lease.name_any();
            controller.heard().insert(name.clone(), Instant::now());
            // A node that was lost and is back says so itself; only the next silence is looked for here.
            controller.queue.add_after(name, GRACE);
        });
    }

    fn heard(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn silent_for(&self, name: &str) -> Duration {
        self.heard()
            .entry(name.to_owned())
            .or_insert_with(Instant::now)
            .elapsed()
    }

    async fn reconcile(&self, name: &str) -> Result<(), kube::Error> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        loop {
            let Some(node) = self.nodes.get(None, name) else {
                return Ok(());
            };
            let silent = self.silent_for(name);
            let answer = match plan(&node, silent, Timestamp::now()) {
                None => {
                    if let Some(left) = GRACE.checked_sub(silent).filter(|left| !left.is_zero()) {
                        self.queue.add_after(name.to_owned(), left);
                    }
                    break;
                }
                Some(Action::UpdateStatus(lost)) => {
                    self.tell_lost(&node);
                    nodes
                        .replace_status(name, &PostParams::default(), &lost)
                        .await
                }
                Some(Action::UpdateTaints(node)) => {
                    nodes.replace(name, &PostParams::default(), &node).await
                }
            };
            let Some(written) = unless_outrun(answer)? else {
                return Ok(());
            };
            self.nodes.seen(revision(&written)).await;
            if revision(&written) == revision(&*node) {
                // The API sees no change where this controller wants one: insisting would not help.
                break;
            }
        }
        self.mark_pods(name).await
    }

    fn tell_lost(&self, node: &Node) {
        let of = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: node.metadata.name.clone(),
            uid: node.uid(),
            ..ObjectReference::default()
        };
        let message = format!("Node {} status is now: NodeNotReady", node.name_any());
        self.recorder
            .event(&of, EventKind::Normal, "NodeNotReady", &message);
    }

    /// Pods of a silent node may run or not; nobody should be sent to them.
    async fn mark_pods(&self, name: &str) -> Result<(), kube::Error> {
        if self
            .nodes
            .get(None, name)
            .is_none_or(|node| ready(&node) != "Unknown")
        {
            return Ok(());
        }
        for pod in self
            .pods
            .list()
            .iter()
            .filter(|pod| node_name(pod) == Some(name) && is_ready(pod))
        {
            let Some(marked) = not_ready(pod, Timestamp::now()) else {
                continue;
            };
            let pods: Api<Pod> =
                Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
            if unless_outrun(
                pods.replace_status(&pod.name_any(), &PostParams::default(), &marked)
                    .await,
            )?
            .is_none()
            {
                self.queue.retry(name.to_owned());
                continue;
            }
            let of = ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                namespace: pod.namespace(),
                name: pod.metadata.name.clone(),
                uid: pod.uid(),
                ..ObjectReference::default()
            };
            self.recorder
                .event(&of, EventKind::Warning, "NodeNotReady", "Node is not ready");
        }
        Ok(())
    }
}
