//! Keeps an Endpoints object beside every service that has a selector. Knows nothing of slices or DNS.

pub(crate) mod member;
mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use kube::{Api, ResourceExt, api::PostParams};
use plinth_client::{Change, Informer, WorkQueue, run_workers};
use tokio::task::JoinSet;

use crate::{
    Context,
    writes::{Name, delete_only, name_of, revision, unless_outrun},
};
use plan::{Action, MANAGED_BY, World, plan};

const WORKERS: usize = 4;

struct Controller {
    client: kube::Client,
    services: Informer<Service>,
    pods: Informer<Pod>,
    endpoints: Informer<Endpoints>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller {
        client: cx.client(),
        services: cx.informers.of(),
        pods: cx.informers.of(),
        endpoints: cx.informers.of(),
    });
    let queue = cx.queue("endpoint");
    controller.subscribe(&queue);
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.services.synced().await;
        controller.pods.synced().await;
        controller.endpoints.synced().await;
        run_workers(queue, WORKERS, shutdown, move |key| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&key).await }
        })
        .await;
    });
}

/// Asks for the services that select a pod, before or after its change.
pub(crate) fn enqueue_selecting(
    services: &Informer<Service>,
    queue: &WorkQueue<Name>,
    change: &Change<Pod>,
) {
    let namespace = change.latest().namespace().unwrap_or_default();
    for service in services.in_namespace(&namespace) {
        if change.states().any(|pod| member::selects(&service, pod)) {
            queue.add(name_of(&*service));
        }
    }
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
        self.endpoints.on_change(move |change| {
            // Endpoints made by hand may come before their service and are not ours to judge.
            let ours = |endpoints: &Arc<Endpoints>| {
                endpoints.labels().get(MANAGED_BY.0).map(String::as_str) == Some(MANAGED_BY.1)
            };
            if change.states().any(ours) {
                to.add(name_of(&**change.latest()));
            }
        });
    }

    async fn reconcile(&self, key: &Name) -> Result<(), kube::Error> {
        let (namespace, name) = key;
        let service = self.services.get(Some(namespace), name);
        let pods = self.pods.in_namespace(namespace);
        let existing = self.endpoints.get(Some(namespace), name);
        let world = World {
            service: service.as_deref(),
            pods: &pods,
            existing: existing.as_deref(),
        };
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), namespace);
        let written = match plan(&world) {
            None => return Ok(()),
            Some(Action::Create(endpoints)) => {
                unless_outrun(api.create(&PostParams::default(), &endpoints).await)?
            }
            Some(Action::Update(endpoints)) => {
                unless_outrun(api.replace(name, &PostParams::default(), &endpoints).await)?
            }
            Some(Action::Delete { uid }) => {
                unless_outrun(api.delete(name, &delete_only(&uid)).await)?;
                None
            }
        };
        if let Some(endpoints) = written {
            self.endpoints.seen(revision(&endpoints)).await;
        }
        Ok(())
    }
}
