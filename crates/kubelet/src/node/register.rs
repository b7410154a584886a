//! Makes this node known to the API and keeps its status true.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeStatus, NodeSystemInfo};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use plinth_client::ApiError;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::host::{Capacity, Pressure, system_info};
use super::lease::NodeLease;
use super::object::{self, Facts};

const RENEW_EVERY: Duration = Duration::from_secs(10);
const REPORT_EVERY: Duration = Duration::from_mins(5);
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// How this node is registered.
pub(crate) struct Registration {
    pub(crate) client: Client,
    pub(crate) name: String,
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
    pub(crate) capacity: Capacity,
    /// The directory whose file system pods fill.
    pub(crate) root: PathBuf,
}

/// Registers the node and renews its lease until `shutdown`.
pub(crate) async fn keep_registered(registration: Registration, shutdown: CancellationToken) {
    let Registration { client, .. } = &registration;
    let nodes: Api<Node> = Api::all(client.clone());
    let mut keeper = Keeper {
        nodes,
        info: system_info(),
        registration,
        reported: None,
        lease: None,
    };
    loop {
        let next = match keeper.once(Timestamp::now()).await {
            Ok(()) => RENEW_EVERY,
            Err(error) => {
                warn!(%error, "the node could not be reported");
                RETRY_AFTER
            }
        };
        if shutdown
            .run_until_cancelled(tokio::time::sleep(next))
            .await
            .is_none()
        {
            return;
        }
    }
}

struct Keeper {
    nodes: Api<Node>,
    info: NodeSystemInfo,
    registration: Registration,
    /// The status as last written, and when.
    reported: Option<(NodeStatus, Timestamp)>,
    lease: Option<NodeLease>,
}

impl Keeper {
    async fn once(&mut self, now: Timestamp) -> Result<(), kube::Error> {
        let lease = match &mut self.lease {
            Some(lease) => lease,
            missing => {
                let node = register(&self.nodes, &self.registration.name).await?;
                let uid = node.metadata.uid.clone().unwrap_or_default();
                self.reported = Some((node.status.unwrap_or_default(), Timestamp::UNIX_EPOCH));
                missing.insert(NodeLease::new(
                    self.registration.client.clone(),
                    &self.registration.name,
                    &uid,
                ))
            }
        };
        let lease_renewed = lease.renew(now).await;
        self.report(now).await?;
        lease_renewed
    }

    /// Writes the status when it changed, or when the last word is five minutes old.
    async fn report(&mut self, now: Timestamp) -> Result<(), kube::Error> {
        let of = &self.registration;
        let facts = Facts {
            name: &of.name,
            ip: of.ip,
            port: of.port,
            capacity: &of.capacity,
            info: &self.info,
            pressure: Pressure::of_host(&of.root),
        };
        let (old, at) = self.reported.clone().unwrap_or_default();
        let status = object::status(&facts, &old, now);
        let stale = Duration::try_from(now.duration_since(at)).is_ok_and(|age| age >= REPORT_EVERY);
        if !object::differs(&old, &status) && !stale {
            return Ok(());
        }
        let patch = Patch::Merge(json!({"status": status}));
        match self
            .nodes
            .patch_status(&of.name, &PatchParams::default(), &patch)
            .await
        {
            Ok(written) => {
                self.reported = Some((written.status.unwrap_or_default(), now));
                Ok(())
            }
            Err(e) => {
                if e.is_not_found() {
                    // The object was deleted: the next round registers anew.
                    self.lease = None;
                }
                Err(e)
            }
        }
    }
}

/// Makes the Node object, or gives an existing one the labels it lacks.
async fn register(nodes: &Api<Node>, name: &str) -> Result<Node, kube::Error> {
    let labels = object::labels(name);
    let fresh = Node {
        metadata: kube::api::ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.clone()),
            ..kube::api::ObjectMeta::default()
        },
        ..Node::default()
    };
    match nodes.create(&PostParams::default(), &fresh).await {
        Err(e) if e.is_already_exists() => {}
        other => return other,
    }
    let known = nodes.get(name).await?;
    let has = known.metadata.labels.clone().unwrap_or_default();
    if labels.iter().all(|(k, v)| has.get(k) == Some(v)) {
        return Ok(known);
    }
    let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
    nodes.patch(name, &PatchParams::default(), &patch).await
}
