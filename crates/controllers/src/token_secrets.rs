//! Fills Secrets of the type `kubernetes.io/service-account-token`, by which tools outside the cluster get a token that
//! lasts: bound to the Secret, so that deleting it ends the token. Secrets of accounts that are gone go too.

use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::{Api, ResourceExt, api::PostParams};
use plinth_client::{Informer, WorkQueue, run_workers};
use tokio::task::JoinSet;

use crate::{
    Context,
    writes::{Name, delete_only, is_terminating, revision, unless_outrun},
};

const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
/// Nobody renews such a token, so it lives as long as the API allows: 2^32 seconds.
const SECONDS: i64 = 1 << 32;

struct Controller {
    client: kube::Client,
    ca_pem: String,
    secrets: Informer<Secret>,
    accounts: Informer<ServiceAccount>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller {
        client: cx.client(),
        ca_pem: cx.config.cluster_ca_pem.clone(),
        secrets: cx.informers.selected(&format!("type={TYPE}")),
        accounts: cx.informers.of(),
    });
    let queue: WorkQueue<Name> = cx.queue("token_secrets");
    let to = queue.clone();
    controller.secrets.on_change(move |change| {
        let secret = change.latest();
        to.add((secret.namespace().unwrap_or_default(), secret.name_any()));
    });
    let (to, secrets) = (queue.clone(), controller.secrets.clone());
    controller.accounts.on_change(move |change| {
        let account = change.latest();
        let namespace = account.namespace().unwrap_or_default();
        for secret in secrets.in_namespace(&namespace) {
            if secret.annotations().get(ACCOUNT) == Some(&account.name_any()) {
                to.add((namespace.clone(), secret.name_any()));
            }
        }
    });
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.secrets.synced().await;
        controller.accounts.synced().await;
        run_workers(queue, 2, shutdown, move |(namespace, name): Name| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&namespace, &name).await }
        })
        .await;
    });
}

/// What is to be done with a Secret.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Nothing,
    /// It lacks its token, or what comes with it.
    Fill,
    /// Its account is gone.
    Delete,
}

fn plan(secret: &Secret, account: Option<&ServiceAccount>) -> Action {
    if is_terminating(secret) {
        return Action::Nothing;
    }
    let uid = secret.annotations().get(ACCOUNT_UID);
    let Some(account) =
        account.filter(|account| uid.is_none_or(|uid| account.uid().as_ref() == Some(uid)))
    else {
        return Action::Delete;
    };
    let has = |key: &str| {
        secret
            .data
            .as_ref()
            .and_then(|data| data.get(key))
            .is_some_and(|value| !value.0.is_empty())
    };
    if uid.is_some()
        && account.uid().is_some()
        && ["token", "ca.crt", "namespace"].into_iter().all(has)
    {
        Action::Nothing
    } else {
        Action::Fill
    }
}

impl Controller {
    async fn reconcile(&self, namespace: &str, name: &str) -> Result<(), kube::Error> {
        let Some(secret) = self.secrets.get(Some(namespace), name) else {
            return Ok(());
        };
        let account = secret
            .annotations()
            .get(ACCOUNT)
            .cloned()
            .unwrap_or_default();
        let account = self.account(namespace, &account).await?;
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        match (plan(&secret, account.as_deref()), account) {
            (Action::Fill, Some(account)) => {
                let filled = self.filled(&secret, &account, namespace).await?;
                let answer = secrets.replace(name, &PostParams::default(), &filled).await;
                if let Some(written) = unless_outrun(answer)? {
                    self.secrets.seen(revision(&written)).await;
                }
                Ok(())
            }
            (Action::Delete, _) => {
                let options = delete_only(&secret.uid().unwrap_or_default());
                unless_outrun(secrets.delete(name, &options).await).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// The account; asked of the API when it is not known, because it may be as new as its Secret.
    async fn account(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<ServiceAccount>>, kube::Error> {
        if let Some(known) = self.accounts.get(Some(namespace), name) {
            return Ok(Some(known));
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        Ok(accounts.get_opt(name).await?.map(Arc::new))
    }

    /// The Secret with a token, the authority and the namespace in it.
    async fn filled(
        &self,
        secret: &Secret,
        account: &ServiceAccount,
        namespace: &str,
    ) -> Result<Secret, kube::Error> {
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(SECONDS),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Secret".to_owned()),
                    name: secret.metadata.name.clone(),
                    uid: secret.metadata.uid.clone(),
                }),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let answer = accounts
            .create_token_request(&account.name_any(), &PostParams::default(), &request)
            .await?;
        let token = answer.status.and_then(|status| status.token);
        let mut filled = secret.clone();
        let data = filled.data.get_or_insert_default();
        for (key, value) in [
            ("token", token.unwrap_or_default()),
            ("ca.crt", self.ca_pem.clone()),
            ("namespace", namespace.to_owned()),
        ] {
            data.insert(key.to_owned(), ByteString(value.into_bytes()));
        }
        let uid = account.uid().unwrap_or_default();
        filled.annotations_mut().insert(ACCOUNT_UID.to_owned(), uid);
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    #[test]
    fn a_token_secret_lives_and_dies_with_its_account() {
        let account: ServiceAccount = object("{metadata: {name: bot, uid: u1}}");
        let other: ServiceAccount = object("{metadata: {name: bot, uid: u2}}");
        let new: Secret = object(
            "{metadata: {name: s, annotations: {kubernetes.io/service-account.name: bot}}, type: kubernetes.io/service-account-token}",
        );
        let full: Secret = object(
            "{metadata: {name: s, annotations: {kubernetes.io/service-account.name: bot, kubernetes.io/service-account.uid: u1}}, \
             data: {token: eA==, ca.crt: eA==, namespace: eA==}}",
        );
        assert_eq!(plan(&new, Some(&account)), Action::Fill);
        assert_eq!(plan(&new, None), Action::Delete);
        assert_eq!(plan(&full, Some(&account)), Action::Nothing);
        assert_eq!(plan(&full, Some(&other)), Action::Delete);
    }
}
