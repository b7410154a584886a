//! Keeps the EndpointSlices of every service that has a selector. Knows nothing of Endpoints or DNS.

mod desired;
mod plan;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{Api, ResourceExt, api::PostParams};
use plinth_client::{Informer, WorkQueue, run_workers};
use tokio::task::JoinSet;

use crate::{
    Context,
    endpoints::{enqueue_selecting, member},
    writes::{Name, delete_only, name_of, revision, unless_outrun},
};
use plan::{Action, MANAGED_BY, SERVICE_NAME, World, plan};

const WORKERS: usize = 4;

struct Controller {
    client: kube::Client,
    services: Informer<Service>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    slices: Informer<EndpointSlice>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller {
        client: cx.client(),
        services: cx.informers.of(),
        pods: cx.informers.of(),
        nodes: cx.informers.of(),
        slices: cx.informers.of(),
    });
    let queue = cx.queue("endpoint_slice");
    controller.subscribe(&queue);
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.services.synced().await;
        controller.pods.synced().await;
        controller.nodes.synced().await;
        controller.slices.synced().await;
        run_workers(queue, WORKERS, shutdown, move |key| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&key).await }
        })
        .await;
    });
}

/// The service of a slice that this controller keeps.
fn service_of(slice: &EndpointSlice) -> Option<Name> {
    if slice.labels().get(MANAGED_BY.0).map(String::as_str) != Some(MANAGED_BY.1) {
        return None;
    }
    Some((
        slice.namespace()?,
        slice.labels().get(SERVICE_NAME)?.clone(),
    ))
}

impl Controller {
    fn subscribe(&self, queue: &WorkQueue<Name>) {
        let to = queue.clone();
        self.services
            .on_change(move |change| to.add(name_of(&**change.latest())));
        let (to, services) = (queue.clone(), self.services.clone());
        self.pods
            .on_change(move |change| enqueue_selecting(&services, &to, change));
        let to = queue.clone();
        self.slices.on_change(move |change| {
            for key in change.states().filter_map(|slice| service_of(slice)) {
                to.add(key);
            }
        });
        // Endpoints tell whether a pod's node exists and where it is; the rest of a node, which its
        // agent renews all the time, does not matter.
        let (to, services, pods) = (queue.clone(), self.services.clone(), self.pods.clone());
        self.nodes.on_change(move |change| {
            if let (Some(old), Some(new)) = (&change.old, &change.new)
                && old.labels() == new.labels()
            {
                return;
            }
            let node = change.latest().name_any();
            for pod in pods
                .list()
                .iter()
                .filter(|pod| member::node_name(pod) == Some(&node))
            {
                let namespace = pod.namespace().unwrap_or_default();
                for service in services.in_namespace(&namespace) {
                    if member::selects(&service, pod) {
                        to.add(name_of(&*service));
                    }
                }
            }
        });
    }

    async fn reconcile(&self, key: &Name) -> Result<(), kube::Error> {
        let (namespace, name) = key;
        let service = self.services.get(Some(namespace), name);
        let pods = self.pods.in_namespace(namespace);
        let nodes: BTreeMap<String, Arc<Node>> = self
            .nodes
            .list()
            .into_iter()
            .map(|node| (node.name_any(), node))
            .collect();
        let mut slices = self.slices.in_namespace(namespace);
        slices.retain(|slice| service_of(slice).as_ref() == Some(key));
        let world = World {
            service: service.as_deref(),
            pods: &pods,
            nodes: &nodes,
            slices: &slices,
        };
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), namespace);
        let post = PostParams::default();
        for action in plan(&world) {
            let written = match action {
                Action::Create(slice) => unless_outrun(api.create(&post, &slice).await)?,
                Action::Update(slice) => {
                    unless_outrun(api.replace(&slice.name_any(), &post, &slice).await)?
                }
                Action::Delete { name, uid } => {
                    unless_outrun(api.delete(&name, &delete_only(&uid)).await)?;
                    None
                }
            };
            // A second slice under another generated name would be made if this one were not seen.
            if let Some(slice) = written {
                self.slices.seen(revision(&slice)).await;
            }
        }
        Ok(())
    }
}
