//! A socket inside a pod's network, opened from outside. Knows nothing of what goes through it.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::{TcpSocket, TcpStream};

/// Connects to `port` of the loopback interface of the network namespace at `netns`; IPv4 first, as `localhost` does.
pub(crate) async fn connect(netns: &Path, port: u16) -> io::Result<TcpStream> {
    let addresses: [SocketAddr; 2] = [
        (Ipv4Addr::LOCALHOST, port).into(),
        (Ipv6Addr::LOCALHOST, port).into(),
    ];
    let mut first = None;
    for address in addresses {
        let attempt = match socket_in(netns, address).await {
            Ok(socket) => socket.connect(address).await,
            Err(error) => Err(error),
        };
        match attempt {
            Ok(stream) => return Ok(stream),
            // What IPv4 said is what a user understands.
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| io::ErrorKind::ConnectionRefused.into()))
}

/// A socket belongs for life to the namespace of the thread that made it; that thread is used for nothing else.
async fn socket_in(netns: &Path, address: SocketAddr) -> io::Result<TcpSocket> {
    let netns = File::open(netns)?;
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("pod-socket".into())
        .spawn(move || {
            let made = move_into_link_name_space(
                std::os::fd::AsFd::as_fd(&netns),
                Some(LinkNameSpaceType::Network),
            )
            .map_err(io::Error::from)
            .and_then(|()| match address {
                SocketAddr::V4(_) => TcpSocket::new_v4(),
                SocketAddr::V6(_) => TcpSocket::new_v6(),
            });
            let _ = tell.send(made); // nobody waits any more
        })?;
    told.await
        .map_err(|_| io::Error::other("a thread ended early"))?
}
