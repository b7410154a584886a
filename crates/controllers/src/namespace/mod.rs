//! Empties namespaces that are being deleted and then lets them go. Knows no kind but pods, which go
//! first so that nothing they use is pulled from under them.

mod plan;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams},
};
use plinth_client::{Informer, run_workers};
use tokio::task::JoinSet;

use crate::{
    Context,
    kinds::{self, Kinds},
    writes::{is_terminating, unless_outrun},
};
use plan::{Action, Content, plan};

const WORKERS: usize = 4;

/// Rounds of deleting and listing before a namespace is put off: what is still untouched then does not
/// go by asking.
const ROUNDS: usize = 4;

/// Why a namespace was not emptied; it is tried again with back-off.
#[derive(Debug, thiserror::Error)]
enum NamespaceError {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("objects in namespace {0} stay although they were deleted")]
    Stuck(String),
}

struct Controller {
    client: kube::Client,
    namespaces: Informer<Namespace>,
    resources: Vec<ApiResource>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, kinds: &Kinds, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller {
        client: cx.client(),
        namespaces: cx.informers.of(),
        resources: kinds::namespaced(),
    });
    let queue = cx.queue("namespace");
    let to = queue.clone();
    controller.namespaces.on_change(move |change| {
        if change
            .new
            .as_ref()
            .is_some_and(|namespace| is_terminating(&**namespace))
        {
            to.add(change.latest().name_any());
        }
    });
    for (_, kind) in kinds
        .list()
        .into_iter()
        .filter(|(_, kind)| kind.is_namespaced)
    {
        let (to, namespaces) = (queue.clone(), controller.namespaces.clone());
        kind.informer.on_change(move |change| {
            let Some(name) = change.latest().metadata.namespace.as_deref() else {
                return;
            };
            if namespaces
                .get(None, name)
                .is_some_and(|namespace| is_terminating(&*namespace))
            {
                to.add(name.to_owned());
            }
        });
    }
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.namespaces.synced().await;
        run_workers(queue, WORKERS, shutdown, move |name: String| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&name).await }
        })
        .await;
    });
}

impl Controller {
    /// Deletes until nothing more goes by asking; what is left then comes back when it changes.
    async fn reconcile(&self, name: &str) -> Result<(), NamespaceError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        for _ in 0..ROUNDS {
            let Some(namespace) = api.get_opt(name).await? else {
                return Ok(());
            };
            let resources = self.resources().await?;
            let contents = self.contents(&resources, name).await?;
            let mut deleted = false;
            for action in plan(&namespace, &contents, Timestamp::now()) {
                match action {
                    Action::DeleteAll(index) => {
                        deleted = true;
                        self.api(&resources[index], name)
                            .delete_collection(&DeleteParams::background(), &ListParams::default())
                            .await?;
                    }
                    Action::UpdateStatus(changed) => {
                        unless_outrun(
                            api.replace_status(name, &PostParams::default(), &changed)
                                .await,
                        )?;
                    }
                    Action::Finalize(done) => {
                        let answer = api
                            .replace_subresource("finalize", name, &PostParams::default(), &done)
                            .await;
                        if unless_outrun(answer)?.is_some() {
                            return Ok(());
                        }
                        deleted = true;
                    }
                }
            }
            if !deleted {
                // Nobody tells this controller when a custom resource goes.
                let custom = &contents[self.resources.len()..];
                if custom.iter().any(|content| content.count > 0) {
                    break;
                }
                return Ok(());
            }
        }
        Err(NamespaceError::Stuck(name.to_owned()))
    }

    fn api(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }

    /// The built-in kinds, and behind them those that CustomResourceDefinitions make now.
    async fn resources(&self) -> Result<Vec<ApiResource>, kube::Error> {
        let mut resources = self.resources.clone();
        resources.extend(kinds::custom_namespaced(&self.client).await?);
        Ok(resources)
    }

    /// Lists what is left, from the API itself: a namespace must not go before its content.
    async fn contents(
        &self,
        resources: &[ApiResource],
        namespace: &str,
    ) -> Result<Vec<Content>, kube::Error> {
        let mut contents = Vec::new();
        for resource in resources {
            let listed = self
                .api(resource, namespace)
                .list_metadata(&ListParams::default())
                .await?;
            let mut content = Content {
                resource: format!("{}.{}", resource.plural, resource.group),
                count: listed.items.len(),
                untouched: 0,
                finalizers: BTreeMap::new(),
            };
            for object in &listed.items {
                content.untouched += usize::from(object.metadata.deletion_timestamp.is_none());
                for finalizer in object.metadata.finalizers.iter().flatten() {
                    *content.finalizers.entry(finalizer.clone()).or_default() += 1;
                }
            }
            contents.push(content);
        }
        Ok(contents)
    }
}
