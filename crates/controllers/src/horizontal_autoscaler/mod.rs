//! The HorizontalPodAutoscaler controller: keeps what it scales within its bounds and says what it can and cannot
//! do. Here is the wiring; [`plan`] decides, [`metrics`] has the words for what cannot be measured, [`act`] asks
//! and writes.
//!
//! It reads no metrics: no API server of metrics can be reached from this cluster (docs/differences.md), and the
//! autoscaler's conditions say so. It knows no kind that it scales.

mod act;
mod metrics;
mod plan;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use plinth_client::{Informer, Recorder, WorkQueue, run_workers};
use tokio::task::JoinSet;

use crate::{
    Context,
    writes::{Name, name_of},
};

const WORKERS: usize = 2;

/// How often each autoscaler looks at its target, which may be of any kind and so has no informer here.
const PERIOD: Duration = Duration::from_secs(15);

struct Controller {
    client: kube::Client,
    recorder: Recorder,
    autoscalers: Informer<HorizontalPodAutoscaler>,
    queue: WorkQueue<Name>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller {
        client: cx.client(),
        recorder: cx.recorder("horizontal-pod-autoscaler"),
        autoscalers: cx.informers.of(),
        queue: cx.queue("horizontalpodautoscaler"),
    });
    let to = controller.queue.clone();
    controller.autoscalers.on_change(move |change| {
        // Its own status brings nobody back: the next look comes by the clock.
        let old = change.old.as_ref().map(|old| &old.spec);
        if let Some(new) = &change.new
            && old != Some(&new.spec)
        {
            to.add(name_of(&**new));
        }
    });
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.autoscalers.synced().await;
        run_workers(controller.queue.clone(), WORKERS, shutdown, move |key| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&key).await }
        })
        .await;
    });
}

impl Controller {
    async fn reconcile(&self, key: &Name) -> Result<(), kube::Error> {
        let (namespace, name) = key;
        let Some(autoscaler) = self.autoscalers.get(Some(namespace), name) else {
            return Ok(());
        };
        self.queue.add_after(key.clone(), PERIOD);
        let outcome = self.scale(&autoscaler).await?;
        self.report(&autoscaler, &outcome).await
    }
}
