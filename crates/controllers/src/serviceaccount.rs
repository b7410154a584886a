//! Gives every namespace its ServiceAccount `default`. Makes no tokens. (G-10)

use std::sync::Arc;

use k8s_openapi::{
    api::core::v1::{Namespace, ServiceAccount},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, ResourceExt, api::PostParams};
use plinth_client::{Informer, run_workers};
use tokio::task::JoinSet;

use crate::{
    Context,
    writes::{is_terminating, revision, unless_outrun},
};

/// The account of pods that name none.
const NAME: &str = "default";

struct Controller {
    client: kube::Client,
    namespaces: Informer<Namespace>,
    accounts: Informer<ServiceAccount>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller {
        client: cx.client(),
        namespaces: cx.informers.of(),
        accounts: cx.informers.selected(&format!("metadata.name={NAME}")),
    });
    let queue = cx.queue("serviceaccount");
    let to = queue.clone();
    controller
        .namespaces
        .on_change(move |change| to.add(change.latest().name_any()));
    let to = queue.clone();
    controller.accounts.on_change(move |change| {
        if change.new.is_none() {
            to.add(change.latest().namespace().unwrap_or_default());
        }
    });
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.namespaces.synced().await;
        controller.accounts.synced().await;
        run_workers(queue, 4, shutdown, move |name: String| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&name).await }
        })
        .await;
    });
}

/// The account to create; `None` when the namespace has one or is going away.
fn plan(
    namespace: Option<&Namespace>,
    existing: Option<&ServiceAccount>,
) -> Option<ServiceAccount> {
    let namespace = namespace.filter(|namespace| !is_terminating(*namespace))?;
    existing.is_none().then(|| ServiceAccount {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(namespace.name_any()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    })
}

impl Controller {
    async fn reconcile(&self, name: &str) -> Result<(), kube::Error> {
        let namespace = self.namespaces.get(None, name);
        let existing = self.accounts.get(Some(name), NAME);
        let Some(account) = plan(namespace.as_deref(), existing.as_deref()) else {
            return Ok(());
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), name);
        if let Some(written) = unless_outrun(api.create(&PostParams::default(), &account).await)? {
            self.accounts.seen(revision(&written)).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    /// G-10.
    #[test]
    fn a_living_namespace_has_a_default_account() {
        let living: Namespace = object("{metadata: {name: x}}");
        let going: Namespace =
            object("{metadata: {name: x, deletionTimestamp: '2026-01-01T00:00:00Z'}}");
        let made = plan(Some(&living), None).expect("made");
        assert_eq!(
            (made.name_any().as_str(), made.namespace().as_deref()),
            ("default", Some("x"))
        );
        assert_eq!(plan(Some(&living), Some(&made)), None);
        assert_eq!(plan(Some(&going), None), None);
        assert_eq!(plan(None, None), None);
    }
}
