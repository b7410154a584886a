//! A Lease as a lock: who updates the version they have read has it.

use anyhow::{Result, ensure};
use futures::future::join_all;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

const CANDIDATES: usize = 8;

/// Candidates that all take the free lock at once: one gets it. So too when it is passed on.
pub(super) async fn one_of_many_holds_the_lock(client: &Client) -> Result<()> {
    let leases: Api<Lease> = Api::default_namespaced(client.clone());
    let mut last = Lease::default();
    for term in 0..3 {
        let attempts = (0..CANDIDATES).map(|candidate| {
            let (leases, last) = (leases.clone(), last.clone());
            async move {
                let lease = Lease {
                    metadata: ObjectMeta {
                        name: Some("lock".to_owned()),
                        resource_version: last.metadata.resource_version,
                        ..ObjectMeta::default()
                    },
                    spec: Some(LeaseSpec {
                        holder_identity: Some(format!("candidate-{candidate}")),
                        lease_duration_seconds: Some(15),
                        lease_transitions: Some(term),
                        renew_time: Some(MicroTime(Timestamp::now())),
                        ..LeaseSpec::default()
                    }),
                };
                let params = PostParams::default();
                match term {
                    0 => leases.create(&params, &lease).await,
                    _ => leases.replace("lock", &params, &lease).await,
                }
            }
        });
        let mut winners = Vec::new();
        for attempt in join_all(attempts).await {
            match attempt {
                Ok(lease) => winners.push(lease),
                Err(kube::Error::Api(status)) => {
                    ensure!(status.code == 409, "refused otherwise: {status:?}");
                }
                Err(other) => return Err(other.into()),
            }
        }
        ensure!(winners.len() == 1, "term {term}: {} winners", winners.len());
        last = winners.remove(0);
        let kept = leases.get("lock").await?;
        ensure!(kept == last, "the winner is not who is kept: {kept:?}");
    }
    Ok(())
}
