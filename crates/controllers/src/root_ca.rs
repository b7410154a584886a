//! Publishes the cluster's certificate authority in every namespace, for pods that talk to the API.
//! Knows the certificate as text only. (G-10)

use std::sync::Arc;

use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, ResourceExt, api::PostParams};
use plinth_client::{Informer, run_workers};
use tokio::task::JoinSet;

use crate::{
    Context,
    writes::{is_terminating, revision, unless_outrun},
};

const NAME: &str = "kube-root-ca.crt";
const KEY: &str = "ca.crt";
/// Upstream's own note on the object; tools show it.
const DESCRIPTION: (&str, &str) = (
    "kubernetes.io/description",
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the \
     internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of \
     Kubernetes clusters.",
);

struct Controller {
    client: kube::Client,
    ca_pem: String,
    namespaces: Informer<Namespace>,
    published: Informer<ConfigMap>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller {
        client: cx.client(),
        ca_pem: cx.config.cluster_ca_pem.clone(),
        namespaces: cx.informers.of(),
        published: cx.informers.selected(&format!("metadata.name={NAME}")),
    });
    let queue = cx.queue("root_ca_cert_publisher");
    let to = queue.clone();
    controller
        .namespaces
        .on_change(move |change| to.add(change.latest().name_any()));
    let to = queue.clone();
    controller
        .published
        .on_change(move |change| to.add(change.latest().namespace().unwrap_or_default()));
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.namespaces.synced().await;
        controller.published.synced().await;
        run_workers(queue, 4, shutdown, move |name: String| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&name).await }
        })
        .await;
    });
}

/// What to write.
#[derive(Debug, Clone, PartialEq)]
enum Action {
    Create(ConfigMap),
    /// Carries the observed resourceVersion.
    Update(ConfigMap),
}

/// The write that publishes `ca_pem`; `None` when it is published or the namespace is going away.
fn plan(
    namespace: Option<&Namespace>,
    existing: Option<&ConfigMap>,
    ca_pem: &str,
) -> Option<Action> {
    let namespace = namespace.filter(|namespace| !is_terminating(*namespace))?;
    let data = [(KEY.to_owned(), ca_pem.to_owned())].into();
    let Some(existing) = existing else {
        return Some(Action::Create(ConfigMap {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(namespace.name_any()),
                annotations: Some([(DESCRIPTION.0.to_owned(), DESCRIPTION.1.to_owned())].into()),
                ..ObjectMeta::default()
            },
            data: Some(data),
            ..ConfigMap::default()
        }));
    };
    (existing.data.as_ref() != Some(&data)).then(|| {
        let mut changed = existing.clone();
        changed.data = Some(data);
        changed
            .annotations_mut()
            .insert(DESCRIPTION.0.to_owned(), DESCRIPTION.1.to_owned());
        Action::Update(changed)
    })
}

impl Controller {
    async fn reconcile(&self, name: &str) -> Result<(), kube::Error> {
        let namespace = self.namespaces.get(None, name);
        let existing = self.published.get(Some(name), NAME);
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), name);
        let answer = match plan(namespace.as_deref(), existing.as_deref(), &self.ca_pem) {
            None => return Ok(()),
            Some(Action::Create(map)) => api.create(&PostParams::default(), &map).await,
            Some(Action::Update(map)) => api.replace(NAME, &PostParams::default(), &map).await,
        };
        if let Some(written) = unless_outrun(answer)? {
            self.published.seen(revision(&written)).await;
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
    fn the_authority_is_published_and_kept_true() {
        let living: Namespace = object("{metadata: {name: x}}");
        let going: Namespace =
            object("{metadata: {name: x, deletionTimestamp: '2026-01-01T00:00:00Z'}}");
        let Some(Action::Create(made)) = plan(Some(&living), None, "pem") else {
            panic!("not published");
        };
        assert_eq!(plan(Some(&living), Some(&made), "pem"), None);
        let Some(Action::Update(renewed)) = plan(Some(&living), Some(&made), "new pem") else {
            panic!("not renewed");
        };
        assert_eq!(renewed.data.expect("data")["ca.crt"], "new pem");
        assert_eq!(plan(Some(&going), None, "pem"), None);
        assert_eq!(plan(None, Some(&made), "pem"), None);
    }
}
