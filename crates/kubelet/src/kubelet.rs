//! Puts the node agent together.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Client;
use plinth_client::{Informers, Recorder};
use plinth_network::Network;
use plinth_network::dns::DnsServer;
use plinth_runtime::Runtime;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::context::Node;
use crate::files::ClusterDns;
use crate::node::{Capacity, Registration, keep_registered};
use crate::pods::Pods;
use crate::serve::{NodeApi, Streams, serve};
use crate::services;

/// Everything the node agent needs to be told.
pub struct KubeletConfig {
    /// The API, with the rights of a node.
    pub client: Client,
    /// Shared with the process's other parts.
    pub informers: Informers,
    /// The node's containers.
    pub runtime: Runtime,
    /// The node's pod network.
    pub network: Network,
    /// The cluster's DNS server, fed from Services and EndpointSlices.
    pub dns: DnsServer,
    /// The name of the Node object.
    pub node_name: String,
    /// The node's address, for itself and for pods in its network.
    pub node_ip: IpAddr,
    /// Where volumes and files of pods are kept.
    pub root: PathBuf,
    /// Where pods' logs are written: `<namespace>_<name>_<uid>/<container>/<attempt>.log`.
    pub log_root: PathBuf,
    /// The resolver that pods are given.
    pub cluster_dns: IpAddr,
    /// E.g. `cluster.local`.
    pub cluster_domain: String,
    /// The host's resolver file, for pods that are to resolve as the host does.
    pub resolv_conf: PathBuf,
    /// For the node API; must demand client certificates of the cluster's authority.
    pub tls: Arc<rustls::ServerConfig>,
    /// Where the node API listens, usually port 10250.
    pub node_api: SocketAddr,
    /// Ends the agent; pods run on.
    pub shutdown: CancellationToken,
}

/// Why the node agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum KubeletError {
    /// A directory could not be made.
    #[error("create directory {}: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The node API's port is taken, or the address is not ours.
    #[error("listen on {address} for the node API: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Runs the node agent until its shutdown is asked for. Pods, their containers and their network stay as they are.
pub async fn run(config: KubeletConfig) -> Result<(), KubeletError> {
    for path in [&config.root, &config.log_root] {
        fs::create_dir_all(path).map_err(|source| KubeletError::Directory {
            path: path.clone(),
            source,
        })?;
    }
    let listener =
        TcpListener::bind(config.node_api)
            .await
            .map_err(|source| KubeletError::Listen {
                address: config.node_api,
                source,
            })?;
    let port = listener
        .local_addr()
        .map_or(config.node_api.port(), |a| a.port());
    let shutdown = config.shutdown.clone();
    let capacity = Capacity::of_host(&config.root);

    let mut tasks = JoinSet::new();
    let registration = Registration {
        client: config.client.clone(),
        name: config.node_name.clone(),
        ip: config.node_ip,
        port,
        capacity: capacity.clone(),
        root: config.root.clone(),
    };
    tasks.spawn(keep_registered(registration, shutdown.clone()));

    let informers = config.informers;
    services::feed(&informers, &config.dns);
    let services = informers.of::<Service>();
    let pods = informers.selected::<Pod>(&format!("spec.nodeName={}", config.node_name));
    let api = Arc::new(NodeApi {
        pods: pods.clone(),
        runtime: config.runtime.clone(),
        streams: Streams::new(shutdown.clone()),
    });
    tasks.spawn(serve(api, listener, config.tls, shutdown.clone()));

    let node = Arc::new(Node {
        recorder: Recorder::new(config.client.clone(), "kubelet", &config.node_name),
        client: config.client,
        runtime: config.runtime,
        network: config.network,
        services: services.clone(),
        dns: ClusterDns {
            server: config.cluster_dns,
            domain: config.cluster_domain,
            host_file: fs::read_to_string(&config.resolv_conf).unwrap_or_default(),
        },
        name: config.node_name,
        ip: config.node_ip,
        root: config.root,
        log_root: config.log_root,
        capacity,
    });
    // Subscribed before the first look at the runtime, so that nothing falls between.
    let events = node.runtime.events();
    let all = Pods::new(node, shutdown.clone());
    let follower = Arc::clone(&all);
    let stop = shutdown.clone();
    tasks.spawn(async move {
        stop.run_until_cancelled(follower.follow_runtime(events))
            .await;
    });
    let started = async {
        // A pod's environment names the services there are; an empty list would be taken for the truth.
        services.synced().await;
        all.start(&pods, &informers).await;
    };
    shutdown.run_until_cancelled(started).await;
    shutdown.cancelled().await;
    all.stop().await;
    while tasks.join_next().await.is_some() {}
    Ok(())
}
