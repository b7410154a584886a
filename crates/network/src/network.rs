//! The node's pod network as one value: start it, attach sandboxes, take it away again.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::ipam::Ipam;
use crate::links::Links;
use crate::masquerade::{self, MasqueradeError};
use crate::{IpamError, Ipv4Cidr, LinkError};

/// What the network of this node is to look like.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Where leases are kept. Must survive a restart of the daemon.
    pub state_dir: PathBuf,
    /// Name of the bridge, at most 15 bytes.
    pub bridge: String,
    /// The range of this node's pods. Its second address is the bridge's: the pods' gateway.
    pub node_cidr: Ipv4Cidr,
    /// The range of all pods of the cluster.
    pub cluster_cidr: Ipv4Cidr,
    /// The range of service addresses.
    pub service_cidr: Ipv4Cidr,
    /// Service addresses that this host itself answers on; the bridge holds them.
    pub vips: Vec<Ipv4Addr>,
}

/// What went wrong with the network, and at which step.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A range has no room for a gateway and one pod.
    #[error("the pod range {0} of this node is too small: it needs at least 4 addresses")]
    RangeTooSmall(Ipv4Cidr),
    /// Pod and service addresses could not be told apart.
    #[error("pod range {0} and service range {1} overlap")]
    RangesOverlap(Ipv4Cidr, Ipv4Cidr),
    /// A link, address or route.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// An address lease.
    #[error(transparent)]
    Ipam(#[from] IpamError),
    /// A kernel setting could not be written.
    #[error("writing {path}: {source}")]
    Sysctl {
        /// The file under /proc/sys.
        path: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The packet filter.
    #[error("letting pods reach the outside: {0}")]
    Masquerade(#[from] MasqueradeError),
    /// The lease directory could not be removed.
    #[error("removing {path:?}: {source}")]
    RemoveState {
        /// The directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// The running network of this node. Clones share it.
#[derive(Clone, Debug)]
pub struct Network {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: NetworkConfig,
    gateway: Ipv4Addr,
    bridge: u32,
    links: Links,
    ipam: Ipam,
}

impl Network {
    /// Makes what is missing of bridge, virtual addresses, routes and rules, and reads the leases.
    pub async fn start(config: NetworkConfig) -> Result<Self, NetworkError> {
        let gateway = config
            .node_cidr
            .nth(1)
            .filter(|_| config.node_cidr.size() >= 4)
            .ok_or(NetworkError::RangeTooSmall(config.node_cidr))?;
        if config.cluster_cidr.overlaps(config.service_cidr) {
            return Err(NetworkError::RangesOverlap(
                config.cluster_cidr,
                config.service_cidr,
            ));
        }
        let ipam = Ipam::open(&config.state_dir.join("leases"), config.node_cidr)?;
        let links = Links::open()?;
        // Routes first: from here on nothing of the cluster's ranges can leave the host.
        links.ensure_unreachable(config.cluster_cidr).await?;
        links.ensure_unreachable(config.service_cidr).await?;
        let bridge = links
            .ensure_bridge(&config.bridge, gateway, config.node_cidr, &config.vips)
            .await?;
        let path = "/proc/sys/net/ipv4/ip_forward";
        fs::write(path, "1").map_err(|source| NetworkError::Sysctl { path, source })?;
        masquerade::install(config.cluster_cidr, config.service_cidr)?;
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                gateway,
                bridge,
                links,
                ipam,
            }),
        })
    }

    /// Connects the network namespace at `netns` for the sandbox `id` and returns its address.
    ///
    /// Calling it again for a connected sandbox changes nothing; after a failure it goes on where it
    /// stopped.
    pub async fn attach(&self, id: &str, netns: &Path) -> Result<Ipv4Addr, NetworkError> {
        let shared = &self.shared;
        let address = shared.ipam.lease(id)?;
        shared
            .links
            .connect(
                &host_link(id),
                shared.bridge,
                netns,
                address,
                shared.config.node_cidr,
                shared.gateway,
            )
            .await?;
        Ok(address)
    }

    /// Removes the link of the sandbox `id` and gives its address back; nothing happens if it has none.
    pub async fn detach(&self, id: &str) -> Result<(), NetworkError> {
        self.shared.links.remove(&host_link(id)).await?;
        self.shared.ipam.release(id)?;
        Ok(())
    }

    /// The address of the sandbox `id`, if it has one.
    pub fn address(&self, id: &str) -> Option<Ipv4Addr> {
        self.shared.ipam.address(id)
    }

    /// Every sandbox that holds an address, also those from before a restart.
    pub fn attachments(&self) -> Vec<(String, Ipv4Addr)> {
        self.shared.ipam.leases()
    }

    /// The pods' gateway: this host's address on the bridge.
    pub fn gateway(&self) -> Ipv4Addr {
        self.shared.gateway
    }

    /// Takes away every link, route, rule and lease that a network of this configuration has left on
    /// the host. Works without [`Network::start`], on whatever is there.
    pub async fn remove(config: &NetworkConfig) -> Result<(), NetworkError> {
        let links = Links::open()?;
        if let Some(bridge) = links.index(&config.bridge).await? {
            for port in links.ports(bridge).await? {
                links.remove(&port).await?;
            }
        }
        links.remove(&config.bridge).await?;
        masquerade::remove()?;
        links.remove_unreachable(config.cluster_cidr).await?;
        links.remove_unreachable(config.service_cidr).await?;
        match fs::remove_dir_all(&config.state_dir) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(NetworkError::RemoveState {
                path: config.state_dir.clone(),
                source,
            }),
        }
    }
}

/// The name of a sandbox's link on the host: link names have 15 bytes, ids are longer.
fn host_link(id: &str) -> String {
    let digest = Sha256::digest(id.as_bytes());
    let short = digest[..5]
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte));
    format!("veth{short:010x}")
}
