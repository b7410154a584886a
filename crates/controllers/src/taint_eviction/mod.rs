//! Deletes pods that no longer tolerate their node's NoExecute taints. An ordinary deletion: the node
//! must confirm it, or the pod stays Terminating.

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod};
use kube::{Api, ResourceExt, api::PostParams};
use plinth_client::{EventKind, Informer, Recorder, WorkQueue, run_workers};
use tokio::task::JoinSet;

use crate::{
    Context,
    endpoints::member::node_name,
    writes::{Name, delete_only, name_of, unless_outrun},
};
pub(crate) use plan::tolerates;
use plan::{Verdict, driving_taints, plan};

const WORKERS: usize = 4;

struct Controller {
    client: kube::Client,
    recorder: Recorder,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    queue: WorkQueue<Name>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let queue = cx.queue("noexec_taint_pod");
    let controller = Arc::new(Controller {
        client: cx.client(),
        recorder: cx.recorder("taint-eviction-controller"),
        pods: cx.informers.of(),
        nodes: cx.informers.of(),
        queue: queue.clone(),
    });
    let to = queue.clone();
    controller.pods.on_change(move |change| {
        let home = |pod: &Arc<Pod>| node_name(pod).map(str::to_owned);
        let (old, new) = (
            change.old.as_ref().and_then(home),
            change.new.as_ref().and_then(home),
        );
        if new.is_some() && old != new {
            to.add(name_of(&**change.latest()));
        }
    });
    let (to, pods) = (queue.clone(), controller.pods.clone());
    controller.nodes.on_change(move |change| {
        let taints =
            |node: &Option<Arc<Node>>| node.as_deref().map(driving_taints).unwrap_or_default();
        if taints(&change.old) == taints(&change.new) {
            return;
        }
        let name = change.latest().name_any();
        for pod in pods
            .list()
            .iter()
            .filter(|pod| node_name(pod) == Some(&name))
        {
            to.add(name_of(&**pod));
        }
    });
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.pods.synced().await;
        controller.nodes.synced().await;
        run_workers(queue, WORKERS, shutdown, move |key| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&key).await }
        })
        .await;
    });
}

impl Controller {
    async fn reconcile(&self, key: &Name) -> Result<(), kube::Error> {
        let (namespace, name) = key;
        let Some(pod) = self.pods.get(Some(namespace), name) else {
            return Ok(());
        };
        let node = node_name(&pod).and_then(|node| self.nodes.get(None, node));
        let taints = node.as_deref().map(driving_taints).unwrap_or_default();
        match plan(&pod, &taints, Timestamp::now()) {
            Verdict::Stay => {}
            Verdict::StayFor(left) => self.queue.add_after(key.clone(), left),
            Verdict::Leave(shown) => {
                let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
                let answer = pods
                    .replace_status(name, &PostParams::default(), &shown)
                    .await;
                if unless_outrun(answer)?.is_none() {
                    // A change of the pod alone does not bring it back here.
                    self.queue.retry(key.clone());
                    return Ok(());
                }
                self.tell(&pod);
                unless_outrun(
                    pods.delete(name, &delete_only(&pod.uid().unwrap_or_default()))
                        .await,
                )?;
            }
        }
        Ok(())
    }

    fn tell(&self, pod: &Pod) {
        let (namespace, name) = name_of(pod);
        let message = format!("Marking for deletion Pod {namespace}/{name}");
        let of = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(namespace),
            name: Some(name),
            uid: pod.uid(),
            ..ObjectReference::default()
        };
        self.recorder
            .event(&of, EventKind::Normal, "TaintManagerEviction", &message);
    }
}
