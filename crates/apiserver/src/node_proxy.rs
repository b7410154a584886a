//! Asks a node for what only it has: a container's log. The answer is streamed through.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, BodyStream, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use plinth_api::Status;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::connect::Connection;
use crate::http::answer;
use crate::http::body::{ResponseBody, StreamError};
use crate::query::Query;
use crate::read::live;
use crate::server::Core;

/// How this server speaks TLS to nodes: its client certificate and the authority it trusts.
#[derive(Clone)]
pub struct NodeClientTls {
    /// Protocol negotiation is not used; HTTP/1.1 is spoken.
    pub config: Arc<rustls::ClientConfig>,
}

/// A node that does not take the connection in this time is told of as unreachable.
const PATIENCE: Duration = Duration::from_secs(10);
/// An error text of a node is read up to this length.
const ERROR_TEXT: usize = 16 << 10;

/// Log parameters that go to the node as they came.
const PASSED_ON: &[&str] = &[
    "follow",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "timestamps",
    "tailLines",
    "limitBytes",
    "stream",
];

impl Core {
    /// `GET pods/<name>/log` (K-43).
    pub(crate) async fn pod_log(
        &self,
        namespace: &str,
        name: &str,
        query: &Query,
    ) -> Result<Response<ResponseBody>, Status> {
        let no_kind = || Status::internal("pods are not served");
        let pods = self.kinds.core("pods").ok_or_else(no_kind)?;
        let pod = live(&pods, namespace, name)?;
        let pod: Value = serde_json::from_slice(&pod.bytes).map_err(Status::internal)?;
        let container = container(&pod, name, query.text("container"))?;
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        if node.is_empty() {
            // A pod without a node has said nothing yet.
            return Ok(answer::with_body(
                StatusCode::OK,
                "text/plain",
                ResponseBody::empty(),
            ));
        }
        let parameters: Vec<String> = PASSED_ON
            .iter()
            .filter_map(|key| {
                query
                    .text(key)
                    .map(|value| format!("{key}={}", encode(value)))
            })
            .collect();
        let path = format!(
            "/containerLogs/{namespace}/{name}/{container}?{}",
            parameters.join("&")
        );
        self.fetch(node, &path).await
    }

    fn node_address(&self, node: &str) -> Result<(IpAddr, u16), Status> {
        let nodes = self
            .kinds
            .core("nodes")
            .ok_or_else(|| Status::internal("nodes are not served"))?;
        let object = live(&nodes, "", node)?;
        let object: Value = serde_json::from_slice(&object.bytes).map_err(Status::internal)?;
        let status = &object["status"];
        let address = status["addresses"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|address| address["type"] == "InternalIP")
            .and_then(|address| address["address"].as_str()?.parse().ok())
            .ok_or_else(|| {
                Status::internal(format!("node {node} has no address of type InternalIP"))
            })?;
        let port = status["daemonEndpoints"]["kubeletEndpoint"]["Port"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok());
        Ok((address, port.unwrap_or(10250)))
    }

    /// Connects to a node's API. Also answers its address, as requests to it name it.
    pub(crate) async fn dial_node(&self, node: &str) -> Result<(String, Connection), Status> {
        let (address, port) = self.node_address(node)?;
        let host = std::net::SocketAddr::from((address, port)).to_string();
        let connecting = async {
            let socket = TcpStream::connect((address, port)).await?;
            socket.set_nodelay(true)?;
            let connector = tokio_rustls::TlsConnector::from(self.node_client.config.clone());
            connector
                .connect(ServerName::IpAddress(address.into()), socket)
                .await
        };
        let stream = tokio::time::timeout(PATIENCE, connecting)
            .await
            .map_err(|_| unreachable(node, &host, "no answer"))?
            .map_err(|error| unreachable(node, &host, error))?;
        Ok((host, Box::pin(stream)))
    }

    async fn fetch(&self, node: &str, path: &str) -> Result<Response<ResponseBody>, Status> {
        let (host, stream) = self.dial_node(node).await?;
        let unreachable = |error: hyper::Error| unreachable(node, &host, error);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(unreachable)?;
        let node_name = node.to_owned();
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(node = node_name, %error, "a connection to a node ended");
            }
        }));
        let request = Request::get(path)
            .header(http::header::HOST, &host)
            .body(Empty::<bytes::Bytes>::new())
            .map_err(Status::internal)?;
        let response = sender.send_request(request).await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response).await);
        }
        // The connection lives as long as the stream that reads from it.
        let frames = BodyStream::new(response.into_body()).filter_map(move |frame| {
            let _held = (&connection, &sender);
            let piece = match frame {
                Ok(frame) => frame.into_data().ok().map(Ok),
                Err(error) => Some(Err(StreamError::from(error))),
            };
            async move { piece }
        });
        Ok(answer::with_body(
            StatusCode::OK,
            "text/plain",
            ResponseBody::stream(frames),
        ))
    }
}

fn unreachable(node: &str, host: &str, why: impl std::fmt::Display) -> Status {
    Status::internal(format!("cannot reach node {node} at {host}: {why}"))
}

/// A node's refusal as a Status.
pub(crate) async fn refusal(response: Response<Incoming>) -> Status {
    let code = response.status();
    let text = match Limited::new(response.into_body(), ERROR_TEXT)
        .collect()
        .await
    {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
        Err(error) => format!("the node's answer cannot be read: {error}"),
    };
    match code {
        StatusCode::BAD_REQUEST => Status::bad_request(text),
        StatusCode::NOT_FOUND => Status {
            message: text,
            ..Status::no_such_path()
        },
        _ => Status::internal(format!("the node answered {code}: {text}")),
    }
}

/// The container whose log is asked for.
pub(crate) fn container(pod: &Value, name: &str, asked: Option<&str>) -> Result<String, Status> {
    let names = |list: &str| -> Vec<&str> {
        let containers = pod["spec"][list].as_array();
        containers
            .into_iter()
            .flatten()
            .filter_map(|container| container["name"].as_str())
            .collect()
    };
    let (regular, init, ephemeral) = (
        names("containers"),
        names("initContainers"),
        names("ephemeralContainers"),
    );
    if let Some(asked) = asked {
        if [&regular, &init, &ephemeral]
            .iter()
            .any(|list| list.contains(&asked))
        {
            return Ok(asked.to_owned());
        }
        return Err(Status::bad_request(format!(
            "container {asked} is not valid for pod {name}"
        )));
    }
    let preferred =
        pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
    match (regular.as_slice(), preferred) {
        ([only], _) => Ok((*only).to_owned()),
        (list, Some(preferred)) if list.contains(&preferred) => Ok(preferred.to_owned()),
        (list, _) => {
            let others = match init.as_slice() {
                [] => String::new(),
                init => format!(" or one of the init containers: [{}]", init.join(" ")),
            };
            Err(Status::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]{others}",
                list.join(" ")
            )))
        }
    }
}

/// Percent-encodes a query value.
pub(crate) fn encode(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encoded = |byte: u8| match byte {
        byte if plain(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    value.bytes().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// K-43.
    #[test]
    fn a_log_of_one_of_several_containers_must_be_named() {
        let one =
            json!({"spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}});
        assert_eq!(container(&one, "p", None).unwrap(), "a");
        assert_eq!(container(&one, "p", Some("i")).unwrap(), "i");
        assert_eq!(
            container(&one, "p", Some("x")).unwrap_err().message,
            "container x is not valid for pod p"
        );
        let two = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        let message = container(&two, "p", None).unwrap_err().message;
        assert_eq!(
            message,
            "a container name must be specified for pod p, choose one of: [a b]"
        );
    }
}
