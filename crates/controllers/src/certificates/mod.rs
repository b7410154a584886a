//! Signs approved requests for certificates with the cluster's authority, for the signers Kubernetes itself brings. Who
//! may approve is the API's to decide; a request that no certificate of its signer could answer is marked failed.

mod sign;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt, api::PostParams};
use plinth_client::{Informer, run_workers};
use tokio::task::JoinSet;
use tracing::{error, info};

pub use sign::SigningAuthority;

use crate::{
    Context,
    writes::{revision, unless_outrun},
};

struct Controller {
    api: Api<CertificateSigningRequest>,
    requests: Informer<CertificateSigningRequest>,
    authority: Arc<SigningAuthority>,
}

/// Starts the controller, if there is an authority to sign with.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let Some(authority) = cx.config.authority.clone() else {
        return;
    };
    let controller = Arc::new(Controller {
        api: Api::all(cx.client()),
        requests: cx.informers.of(),
        authority,
    });
    let queue = cx.queue("certificate");
    let to = queue.clone();
    controller
        .requests
        .on_change(move |change| to.add(change.latest().name_any()));
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.requests.synced().await;
        run_workers(queue, 1, shutdown, move |name: String| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&name).await }
        })
        .await;
    });
}

/// Whether a request waits to be signed: it is approved, and nothing has come of it.
fn waits(request: &CertificateSigningRequest) -> bool {
    let status = request.status.as_ref();
    let has = |kind: &str| {
        status
            .and_then(|status| status.conditions.as_ref())
            .into_iter()
            .flatten()
            .any(|condition| condition.type_ == kind)
    };
    has("Approved")
        && !has("Denied")
        && !has("Failed")
        && status.is_none_or(|status| status.certificate.is_none())
}

impl Controller {
    async fn reconcile(&self, name: &str) -> Result<(), kube::Error> {
        let Some(request) = self.requests.get(None, name).filter(|r| waits(r)) else {
            return Ok(());
        };
        let now = Timestamp::now();
        let Some(outcome) = self.authority.sign(&request.spec, now) else {
            return Ok(());
        };
        let mut answered = CertificateSigningRequest::clone(&request);
        let status = answered.status.get_or_insert_default();
        match outcome {
            Ok(certificate) => {
                info!(request = name, "a certificate is issued");
                status.certificate = Some(ByteString(certificate.into_bytes()));
            }
            Err(why) => {
                error!(request = name, %why, "a certificate cannot be issued");
                status.conditions.get_or_insert_default().push(
                    CertificateSigningRequestCondition {
                        type_: "Failed".to_owned(),
                        status: "True".to_owned(),
                        reason: Some("SignerValidationFailure".to_owned()),
                        message: Some(why.to_string()),
                        last_update_time: Some(Time(now)),
                        last_transition_time: Some(Time(now)),
                    },
                );
            }
        }
        let answer = self
            .api
            .replace_status(name, &PostParams::default(), &answered)
            .await;
        if let Some(written) = unless_outrun(answer)? {
            self.requests.seen(revision(&written)).await;
        }
        Ok(())
    }
}
