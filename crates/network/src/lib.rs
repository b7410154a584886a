//! Gives pods addresses, links and names on this machine. Knows nothing of Kubernetes: its words are
//! sandboxes, addresses, links and records.
//!
//! One bridge carries a veth pair for every sandbox; addresses come from this node's range and are
//! written down as lease files, so a restarted daemon finds every sandbox with the address it had.
//! Virtual addresses (the API's and the DNS server's) sit on the bridge, and both cluster ranges
//! carry an unreachable route: a packet that no more specific route takes dies on this host.

mod cidr;
pub mod dns;
mod ipam;
mod links;
mod masquerade;
mod netns;
mod network;

pub use cidr::{CidrError, Ipv4Cidr};
pub use ipam::IpamError;
pub use links::LinkError;
pub use network::{Network, NetworkConfig, NetworkError};
