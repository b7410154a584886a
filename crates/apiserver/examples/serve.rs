//! The API alone on a port of the loopback, for tools that speak to a server: `serve DIR PORT`. Writes `ca.pem`,
//! `admin.pem` and `admin.key` into the directory.

#[path = "../tests/support/mod.rs"]
mod support;

use std::net::Ipv4Addr;
use std::path::PathBuf;

use support::Server;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().expect("a directory"));
    let port = arguments
        .next()
        .expect("a port")
        .parse()
        .expect("a port is a number");
    let server = Server::start(&dir).await;
    let admin = server.authority.issue("admin", Some("system:masters"));
    for (name, text) in [
        ("ca.pem", &server.authority.pem),
        ("admin.pem", &admin.certificate_pem),
        ("admin.key", &admin.key_pem),
    ] {
        std::fs::write(dir.join(name), text).expect("the directory can be written");
    }
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .expect("the port is free");
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
    });
    println!(
        "https://{}",
        listener.local_addr().expect("the socket has an address")
    );
    server
        .api
        .serve(listener, server.authority.server_tls(), shutdown)
        .await;
    server.store.close().await;
}
