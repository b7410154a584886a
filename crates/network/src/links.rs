//! The links, addresses and routes of this node over rtnetlink. Decides nothing: each function makes the
//! kernel's state what it is told, whatever it was before.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use netlink_packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};

use crate::{Ipv4Cidr, netns};

/// Bytes a pod may put into one packet.
const MTU: u32 = 1500;
/// Metric of the unreachable routes: any other route to the same range is preferred.
const UNREACHABLE_METRIC: u32 = 0xff00_0000;

/// Which step of the network set-up the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The netlink socket could not be opened.
    #[error("opening a netlink socket: {0}")]
    Socket(#[source] io::Error),
    /// The sandbox's network namespace could not be entered.
    #[error("entering network namespace {path:?}: {source}")]
    Namespace {
        /// The namespace file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A netlink request was refused.
    #[error("{step}: {source}")]
    Netlink {
        /// What was being done, with the name of the link or range.
        step: String,
        /// The kernel's answer.
        source: rtnetlink::Error,
    },
    /// A link that was just made is not there.
    #[error("link {0} vanished while it was being set up")]
    Vanished(String),
}

fn step(step: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> LinkError {
    let step = step.into();
    move |source| LinkError::Netlink { step, source }
}

/// Whether the kernel's answer was the error number `errno`.
fn is_errno(error: &rtnetlink::Error, errno: nix::errno::Errno) -> bool {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.raw_code() == -(errno as i32),
        _ => false,
    }
}

/// A netlink connection to the network namespace this process is in.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    handle: Handle,
}

impl Links {
    /// Opens a connection; its driver task lives as long as a handle to it does.
    pub(crate) fn open() -> Result<Self, LinkError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(LinkError::Socket)?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Opens a connection to the namespace at `path`. The socket stays in that namespace wherever it is
    /// used from.
    fn open_in(path: &Path) -> Result<Self, LinkError> {
        let runtime = tokio::runtime::Handle::current();
        netns::enter(path, || {
            let _guard = runtime.enter();
            let (connection, handle, _) = rtnetlink::new_connection()?;
            runtime.spawn(connection);
            Ok(Self { handle })
        })
        .map_err(|source| LinkError::Namespace {
            path: path.to_owned(),
            source,
        })
    }

    /// The index of the link `name`, if there is one.
    pub(crate) async fn index(&self, name: &str) -> Result<Option<u32>, LinkError> {
        Ok(self.find(name).await?.map(|link| link.header.index))
    }

    async fn find(&self, name: &str) -> Result<Option<LinkMessage>, LinkError> {
        match self
            .handle
            .link()
            .get()
            .match_name(name.to_owned())
            .execute()
            .try_next()
            .await
        {
            Ok(link) => Ok(link),
            Err(error) if is_errno(&error, nix::errno::Errno::ENODEV) => Ok(None),
            Err(error) => Err(step(format!("looking up link {name}"))(error)),
        }
    }

    async fn existing(&self, name: &str) -> Result<u32, LinkError> {
        self.index(name)
            .await?
            .ok_or_else(|| LinkError::Vanished(name.to_owned()))
    }

    /// Makes the bridge `name` with `gateway` as its address in `range`, and with `vips`, each as a
    /// single host: addresses of this host that pods find on their own link.
    pub(crate) async fn ensure_bridge(
        &self,
        name: &str,
        gateway: Ipv4Addr,
        range: Ipv4Cidr,
        vips: &[Ipv4Addr],
    ) -> Result<u32, LinkError> {
        if self.index(name).await?.is_none() {
            // A fixed address: otherwise the bridge takes over the lowest of its ports', and neighbours'
            // caches go stale whenever a pod comes or goes.
            let bridge = LinkBridge::new(name)
                .address(hardware_address(gateway))
                .mtu(MTU)
                .up()
                .build();
            self.handle
                .link()
                .add(bridge)
                .execute()
                .await
                .map_err(step(format!("making bridge {name}")))?;
        }
        let index = self.existing(name).await?;
        self.set_up(index, name).await?;
        self.ensure_address(index, name, gateway, range.prefix())
            .await?;
        for vip in vips {
            self.ensure_address(index, name, *vip, 32).await?;
        }
        Ok(index)
    }

    /// Routes `range` to nowhere, should no other route take it.
    pub(crate) async fn ensure_unreachable(&self, range: Ipv4Cidr) -> Result<(), LinkError> {
        match self.handle.route().add(unreachable(range)).execute().await {
            Ok(()) => Ok(()),
            Err(error) if is_errno(&error, nix::errno::Errno::EEXIST) => Ok(()),
            Err(error) => Err(step(format!("adding the unreachable route of {range}"))(
                error,
            )),
        }
    }

    /// Takes the unreachable route of `range` away; nothing happens if there is none.
    pub(crate) async fn remove_unreachable(&self, range: Ipv4Cidr) -> Result<(), LinkError> {
        match self.handle.route().del(unreachable(range)).execute().await {
            Ok(()) => Ok(()),
            Err(error) if is_errno(&error, nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(step(format!("removing the unreachable route of {range}"))(
                error,
            )),
        }
    }

    /// Joins the namespace at `netns` to the bridge: `host` here, `eth0` with `address` there, default
    /// route through `gateway`. Does what is missing and leaves what is there.
    pub(crate) async fn connect(
        &self,
        host: &str,
        bridge: u32,
        netns: &Path,
        address: Ipv4Addr,
        range: Ipv4Cidr,
        gateway: Ipv4Addr,
    ) -> Result<(), LinkError> {
        let inside = Self::open_in(netns)?;
        if inside.index("eth0").await?.is_none() {
            // A host end without its peer belongs to a namespace that is gone.
            self.remove(host).await?;
            let namespace = File::open(netns).map_err(|source| LinkError::Namespace {
                path: netns.to_owned(),
                source,
            })?;
            let mut peer = LinkUnspec::new_with_name("eth0")
                .address(hardware_address(address))
                .mtu(MTU)
                .build();
            peer.attributes
                .push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
            let pair = LinkVeth::new(host, "eth0")
                .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
                .mtu(MTU)
                .controller(bridge)
                .up()
                .build();
            self.handle
                .link()
                .add(pair)
                .execute()
                .await
                .map_err(step(format!("making veth pair {host}")))?;
        }
        let lo = inside.existing("lo").await?;
        inside.set_up(lo, "lo").await?;
        let eth0 = inside.existing("eth0").await?;
        inside
            .ensure_address(eth0, "eth0", address, range.prefix())
            .await?;
        inside.set_up(eth0, "eth0").await?;
        let default = RouteMessageBuilder::<Ipv4Addr>::new()
            .gateway(gateway)
            .build();
        match inside.handle.route().add(default).execute().await {
            Ok(()) => Ok(()),
            Err(error) if is_errno(&error, nix::errno::Errno::EEXIST) => Ok(()),
            Err(error) => Err(step(format!("adding the default route behind {host}"))(
                error,
            )),
        }
    }

    /// Removes the link `name`; nothing happens if there is none. A veth's other end goes with it.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), LinkError> {
        let Some(index) = self.index(name).await? else {
            return Ok(());
        };
        match self.handle.link().del(index).execute().await {
            Ok(()) => Ok(()),
            Err(error) if is_errno(&error, nix::errno::Errno::ENODEV) => Ok(()),
            Err(error) => Err(step(format!("removing link {name}"))(error)),
        }
    }

    /// The names of the links that are ports of `bridge`.
    pub(crate) async fn ports(&self, bridge: u32) -> Result<Vec<String>, LinkError> {
        let mut links = self.handle.link().get().execute();
        let mut names = Vec::new();
        while let Some(link) = links.try_next().await.map_err(step("listing links"))? {
            let is_port = link
                .attributes
                .iter()
                .any(|a| matches!(a, LinkAttribute::Controller(c) if *c == bridge));
            let name = link.attributes.iter().find_map(|a| match a {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            });
            names.extend(name.filter(|_| is_port));
        }
        Ok(names)
    }

    async fn set_up(&self, index: u32, name: &str) -> Result<(), LinkError> {
        let up = LinkUnspec::new_with_index(index).up().build();
        self.handle
            .link()
            .set(up)
            .execute()
            .await
            .map_err(step(format!("bringing link {name} up")))
    }

    async fn ensure_address(
        &self,
        index: u32,
        name: &str,
        address: Ipv4Addr,
        prefix: u8,
    ) -> Result<(), LinkError> {
        let request = self
            .handle
            .address()
            .add(index, IpAddr::V4(address), prefix);
        match request.execute().await {
            Ok(()) => Ok(()),
            Err(error) if is_errno(&error, nix::errno::Errno::EEXIST) => Ok(()),
            Err(error) => Err(step(format!("giving {address}/{prefix} to link {name}"))(
                error,
            )),
        }
    }
}

fn unreachable(range: Ipv4Cidr) -> RouteMessage {
    let mut route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(range.network(), range.prefix())
        .kind(RouteType::Unreachable)
        .build();
    route
        .attributes
        .push(RouteAttribute::Priority(UNREACHABLE_METRIC));
    route
}

/// A locally administered hardware address that follows from the IP address, so that a neighbour's cache
/// entry is right again the moment an address has a new holder.
fn hardware_address(address: Ipv4Addr) -> Vec<u8> {
    let [a, b, c, d] = address.octets();
    vec![0x0a, 0x58, a, b, c, d]
}
