//! The node's lease: the sign of life that costs the API least.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::PostParams;
use kube::{Api, Client};
use plinth_client::ApiError;

const NAMESPACE: &str = "kube-node-lease";
const DURATION_SECONDS: i32 = 40;

/// A lease that is renewed by whoever holds this.
pub(super) struct NodeLease {
    leases: Api<Lease>,
    node: String,
    /// The Node object; the lease goes with it.
    owner: OwnerReference,
    held: Option<Lease>,
}

impl NodeLease {
    pub(super) fn new(client: Client, node: &str, node_uid: &str) -> Self {
        let owner = OwnerReference {
            api_version: "v1".into(),
            kind: "Node".into(),
            name: node.to_owned(),
            uid: node_uid.to_owned(),
            ..OwnerReference::default()
        };
        Self {
            leases: Api::namespaced(client, NAMESPACE),
            node: node.to_owned(),
            owner,
            held: None,
        }
    }

    /// Renews the lease at `now`, making or fetching it first where needed.
    pub(super) async fn renew(&mut self, now: Timestamp) -> Result<(), kube::Error> {
        let known = match self.held.take() {
            Some(held) => Some(held),
            None => self.leases.get_opt(&self.node).await?,
        };
        let params = PostParams::default();
        let renewed = match known {
            None => {
                self.leases
                    .create(&params, &self.lease(Lease::default(), now))
                    .await?
            }
            Some(known) => match self
                .leases
                .replace(&self.node, &params, &self.lease(known, now))
                .await
            {
                Err(e) if e.is_conflict() || e.is_not_found() => {
                    let fresh = self.leases.get_opt(&self.node).await?;
                    match fresh {
                        Some(fresh) => {
                            self.leases
                                .replace(&self.node, &params, &self.lease(fresh, now))
                                .await?
                        }
                        None => {
                            self.leases
                                .create(&params, &self.lease(Lease::default(), now))
                                .await?
                        }
                    }
                }
                other => other?,
            },
        };
        self.held = Some(renewed);
        Ok(())
    }

    fn lease(&self, old: Lease, now: Timestamp) -> Lease {
        let metadata = ObjectMeta {
            name: Some(self.node.clone()),
            namespace: Some(NAMESPACE.to_owned()),
            owner_references: Some(vec![self.owner.clone()]),
            ..old.metadata
        };
        let spec = LeaseSpec {
            holder_identity: Some(self.node.clone()),
            lease_duration_seconds: Some(DURATION_SECONDS),
            renew_time: Some(MicroTime(now)),
            ..old.spec.unwrap_or_default()
        };
        Lease {
            metadata,
            spec: Some(spec),
        }
    }
}
