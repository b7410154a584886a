//! The controllers: each observes through informers, plans purely, and acts with preconditions. Knows
//! only the API, never the store, the nodes or one another.
//!
//! Every controller is a folder with a `spawn(&Context, &mut JoinSet<()>)`, a pure plan and a thin act.
//! To add one: its module and its line in [`run`].

mod api_services;
mod certificates;
mod clusterrole_aggregation;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod endpointslice;
mod flow_schemas;
mod garbage_collector;
mod history;
mod horizontal_autoscaler;
mod index;
mod job;
mod kinds;
mod local_path;
mod namespace;
mod node_lifecycle;
mod ownership;
mod pod_gc;
mod pods;
mod protection;
mod replicaset;
mod root_ca;
mod scales;
mod service_ranges;
mod serviceaccount;
mod share;
mod statefulset;
mod taint_eviction;
#[cfg(test)]
mod testing;
mod token_secrets;
mod ttl_after_finished;
mod volume_binder;
mod writes;
mod written;

use std::hash::Hash;
use std::path::PathBuf;
use std::sync::Arc;

pub use certificates::SigningAuthority;

use k8s_openapi::api::{
    apps::v1::ReplicaSet,
    core::v1::{Pod, ReplicationController},
};
use plinth_client::{Informers, QueueMeters, Recorder, WorkQueue};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// What every controller is given.
#[derive(Clone)]
pub struct Context {
    /// The shared informers, and through them the client.
    pub informers: Informers,
    /// What differs from one cluster to the next.
    pub config: ControllersConfig,
    /// Where the controllers' work queues are measured.
    pub queues: QueueMeters,
    /// Ends all controllers.
    pub shutdown: CancellationToken,
}

/// What the composition tells the controllers.
#[derive(Debug, Clone)]
pub struct ControllersConfig {
    /// Directory under which local-path volumes are made, an absolute path. Without it there are none of them, nor
    /// their class.
    pub local_path_base: Option<PathBuf>,
    /// The name of the node this process runs on.
    pub node_name: String,
    /// The cluster's certificate authority, published to every namespace as `kube-root-ca.crt`.
    pub cluster_ca_pem: String,
    /// What approved requests for certificates are signed with; without it nobody signs them.
    pub authority: Option<Arc<SigningAuthority>>,
}

impl Context {
    /// The client of the informers.
    pub fn client(&self) -> kube::Client {
        self.informers.client().clone()
    }

    /// A work queue that is measured under upstream's name for it.
    fn queue<Q: Clone + Eq + Hash + Send + 'static>(&self, name: &str) -> WorkQueue<Q> {
        WorkQueue::measured(name, &self.queues)
    }

    /// A recorder whose events name `component` as their source.
    pub fn recorder(&self, component: &str) -> Recorder {
        Recorder::new(self.client(), component, "")
    }
}

/// Runs all controllers until the context's shutdown.
pub async fn run(context: Context) {
    let mut tasks = JoinSet::new();
    // It listens before any queue does: whoever is woken by a pod finds it up to date.
    let pods = index::Index::new(context.informers.of::<Pod>());
    // One line each.
    statefulset::spawn(&context, &pods, &mut tasks);
    deployment::spawn(&context, &pods, &mut tasks);
    replicaset::spawn::<ReplicaSet>(&context, &pods, &mut tasks);
    replicaset::spawn::<ReplicationController>(&context, &pods, &mut tasks);
    job::spawn(&context, &pods, &mut tasks);
    ttl_after_finished::spawn(&context, &mut tasks);
    cronjob::spawn(&context, &mut tasks);
    daemonset::spawn(&context, &pods, &mut tasks);
    disruption::spawn(&context, &mut tasks);
    horizontal_autoscaler::spawn(&context, &mut tasks);
    endpoints::spawn(&context, &mut tasks);
    endpointslice::spawn(&context, &mut tasks);
    volume_binder::spawn(&context, &mut tasks);
    local_path::spawn(&context, &mut tasks);
    protection::spawn(&context, &mut tasks);
    let kinds = kinds::Kinds::new(&context.informers);
    garbage_collector::spawn(&context, &kinds, &mut tasks);
    namespace::spawn(&context, &kinds, &mut tasks);
    serviceaccount::spawn(&context, &mut tasks);
    root_ca::spawn(&context, &mut tasks);
    clusterrole_aggregation::spawn(&context, &mut tasks);
    certificates::spawn(&context, &mut tasks);
    token_secrets::spawn(&context, &mut tasks);
    pod_gc::spawn(&context, &mut tasks);
    node_lifecycle::spawn(&context, &mut tasks);
    taint_eviction::spawn(&context, &mut tasks);
    service_ranges::spawn(&context, &mut tasks);
    flow_schemas::spawn(&context, &mut tasks);
    api_services::spawn(&context, &mut tasks);
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            error!(%error, "a controller panicked");
        }
    }
}
