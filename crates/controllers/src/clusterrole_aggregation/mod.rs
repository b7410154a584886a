//! Fills ClusterRoles that are made of others: those with an `aggregationRule` get the rules of all that its selectors
//! choose. Knows labels and rules, not what a rule permits.

mod plan;

use std::sync::Arc;

use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::{Api, ResourceExt, api::PostParams};
use plinth_client::{Informer, run_workers};
use tokio::task::JoinSet;

use crate::{
    Context,
    writes::{revision, unless_outrun},
};

struct Controller {
    api: Api<ClusterRole>,
    roles: Informer<ClusterRole>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller {
        api: Api::all(cx.client()),
        roles: cx.informers.of(),
    });
    let queue = cx.queue("ClusterRoleAggregator");
    let to = queue.clone();
    // Any role may be, or have been, a part of any aggregated one; there are few of those, so one key stands for all.
    controller.roles.on_change(move |_| to.add(()));
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.roles.synced().await;
        run_workers(queue, 1, shutdown, move |()| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile().await }
        })
        .await;
    });
}

impl Controller {
    async fn reconcile(&self) -> Result<(), kube::Error> {
        let all = self.roles.list();
        for changed in all.iter().filter_map(|role| plan::plan(role, &all)) {
            let name = changed.name_any();
            let answer = self
                .api
                .replace(&name, &PostParams::default(), &changed)
                .await;
            if let Some(written) = unless_outrun(answer)? {
                self.roles.seen(revision(&written)).await;
            }
        }
        Ok(())
    }
}
