//! Runs one probe once (L-21).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::http::{self, Target};

/// How long a probe may take.
pub(super) fn patience(probe: &Probe) -> Duration {
    let seconds = u64::try_from(probe.timeout_seconds.unwrap_or(1));
    Duration::from_secs(seconds.unwrap_or(1).max(1))
}

/// Ok if the probe passes; the error is what a user is told.
pub(super) async fn check(probe: &Probe, container: &Container, ip: IpAddr) -> Result<(), String> {
    let limit = patience(probe);
    if let Some(get) = &probe.http_get {
        return match timeout(limit, http_get(get, container, ip)).await {
            Ok(Ok(status)) if (200..400).contains(&status) => Ok(()),
            Ok(Ok(status)) => Err(format!("HTTP probe failed with statuscode: {status}")),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(format!(
                "Get \"{}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
                target(get, container, ip)?.url()
            )),
        };
    }
    if let Some(tcp) = &probe.tcp_socket {
        let host = tcp
            .host
            .clone()
            .filter(|h| !h.is_empty())
            .unwrap_or_else(|| ip.to_string());
        let port = port(&tcp.port, container)?;
        return match timeout(limit, connect(&host, port)).await {
            Ok(connected) => connected.map(drop),
            Err(_) => Err(format!("dial tcp {host}:{port}: i/o timeout")),
        };
    }
    Err("missing probe handler".to_owned())
}

/// The status code that an HTTP request of a probe or hook gets.
pub(crate) async fn http_get(
    get: &HTTPGetAction,
    container: &Container,
    ip: IpAddr,
) -> Result<u16, String> {
    let target = target(get, container, ip)?;
    http::get(&target)
        .await
        .map_err(|error| format!("Get \"{}\": {error}", target.url()))
}

fn target(get: &HTTPGetAction, container: &Container, ip: IpAddr) -> Result<Target, String> {
    Ok(Target {
        host: get
            .host
            .clone()
            .filter(|h| !h.is_empty())
            .unwrap_or_else(|| ip.to_string()),
        port: port(&get.port, container)?,
        path: get.path.clone().unwrap_or_else(|| "/".to_owned()),
        https: get.scheme.as_deref() == Some("HTTPS"),
        headers: get
            .http_headers
            .iter()
            .flatten()
            .map(|h| (h.name.clone(), h.value.clone()))
            .collect(),
    })
}

/// Connects; the error reads as upstream's.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let failed = |e: std::io::Error| {
        let what = match e.kind() {
            std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
            _ => e.to_string(),
        };
        format!("dial tcp {host}:{port}: {what}")
    };
    let address: SocketAddr = lookup_host((host, port))
        .await
        .map_err(failed)?
        .next()
        .ok_or_else(|| format!("dial tcp: lookup {host}: no such host"))?;
    TcpStream::connect(address).await.map_err(failed)
}

fn port(asked: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match asked {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let named = container
                .ports
                .iter()
                .flatten()
                .find(|p| p.name.as_ref() == Some(name));
            named
                .map(|p| p.container_port)
                .or_else(|| name.parse().ok())
        }
    };
    let valid = number
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| *n > 0);
    valid.ok_or_else(|| {
        format!(
            "invalid port in probe of container {}: {asked:?}",
            container.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    async fn probe(probe: Value, port: u16) -> Result<(), String> {
        let container = serde_json::from_value(
            json!({"name": "c", "ports": [{"name": "http", "containerPort": port}]}),
        );
        check(
            &serde_json::from_value(probe).expect("probe"),
            &container.expect("container"),
            LOOPBACK,
        )
        .await
    }

    /// Answers each connection with the next of `statuses`.
    async fn server(statuses: &'static [u16]) -> u16 {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("listen");
        let port = listener.local_addr().expect("address").port();
        tokio::spawn(async move {
            for status in statuses {
                let (mut stream, _) = listener.accept().await.expect("accept");
                let mut request = [0; 1024];
                let read = stream.read(&mut request).await.expect("request");
                assert!(request[..read].starts_with(b"GET /healthz?x=1 HTTP/1.1\r\n"));
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.expect("answer");
            }
        });
        port
    }

    #[tokio::test]
    async fn l21_http_passes_from_200_to_399_and_named_ports_resolve() {
        let port = server(&[200, 302, 404]).await;
        let get = json!({"httpGet": {"path": "/healthz?x=1", "port": "http"}});
        assert_eq!(probe(get.clone(), port).await, Ok(()));
        assert_eq!(probe(get.clone(), port).await, Ok(()));
        assert_eq!(
            probe(get, port).await,
            Err("HTTP probe failed with statuscode: 404".into())
        );
    }

    #[tokio::test]
    async fn l21_tcp_passes_when_it_connects() {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.expect("listen");
        let port = listener.local_addr().expect("address").port();
        assert_eq!(
            probe(json!({"tcpSocket": {"port": port}}), port).await,
            Ok(())
        );
        drop(listener);
        let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
        assert_eq!(
            probe(json!({"tcpSocket": {"port": port}}), port).await,
            Err(refused)
        );
        assert!(
            probe(json!({"tcpSocket": {"port": "none"}}), port)
                .await
                .is_err()
        );
    }
}
