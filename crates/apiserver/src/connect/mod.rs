//! Requests that are connected through to where a pod is: exec, attach, port-forward and proxy. Decides where to; what
//! is said on the way is none of its business.

mod options;
mod place;
mod relay;

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use plinth_api::{Status, Subresource};
use serde_json::Value;

use crate::admission::{self, Operation, Options};
use crate::authentication::sender;
use crate::http::answer;
use crate::http::body::{ResponseBody, StreamError};
use crate::node_proxy::{container, encode};
use crate::query::Query;
use crate::read::live;
use crate::route::ResourcePath;
use crate::server::Core;
use crate::write::{Writer, origin};
pub(crate) use place::Connection;
use place::Place;
pub(crate) use relay::passed;
use relay::{Relay, wants_upgrade};

/// The body of a request on its way through.
pub(crate) type PassedBody = UnsyncBoxBody<Bytes, StreamError>;

type Answer = Result<Response<ResponseBody>, Status>;

/// The subresource of a path, if requests to it are connected through.
pub(crate) fn connects(path: &ResourcePath) -> Option<Subresource> {
    path.subresource
        .filter(|subresource| subresource.connects())
}

impl Core {
    /// Connects a request through.
    pub(crate) async fn connect(
        self: &Arc<Self>,
        path: &ResourcePath,
        subresource: Subresource,
        parts: &Parts,
        body: PassedBody,
    ) -> Answer {
        let verb = match parts.method {
            Method::GET | Method::HEAD | Method::OPTIONS => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        };
        if !subresource.verbs().contains(&verb) {
            return Err(Status::method_not_allowed());
        }
        let asked = Query::parse(parts.uri.query());
        let inner = below(parts.uri.path()).unwrap_or_default();
        let (gvk, mut object) = options::read(&path.kind, subresource, &asked, inner);
        let user = sender(parts);
        let writer = Writer {
            user: &user,
            origin: Some(origin(parts, &asked)?),
            ..Writer::system()
        };
        let request = admission::Request {
            gvk,
            subresource: subresource.name(),
            options: Options::None,
            ..admission::Request::new(
                Operation::Connect,
                &path.kind,
                (path.in_namespace(), path.object()),
                &writer,
            )
        };
        self.mutate(&request, &mut object, None, |_| Ok(())).await?;
        self.judge(&request, Some(&object), None).await?;
        let query = options::written(&object);
        if subresource == Subresource::Proxy {
            return self.proxy(path, parts, body).await;
        }
        let (namespace, name) = (path.in_namespace(), path.object());
        let pod = live(&path.kind, namespace, name)?;
        let pod: Value = serde_json::from_slice(&pod.bytes).map_err(Status::internal)?;
        let inside = match subresource {
            Subresource::PortForward => None,
            _ => Some(container(&pod, name, query.text("container"))?),
        };
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        if node.is_empty() {
            return Err(Status::bad_request(format!(
                "pod {name} does not have a host assigned"
            )));
        }
        if !wants_upgrade(&parts.headers) {
            return Err(Status::bad_request("Upgrade request required"));
        }
        let to = match (subresource, inside) {
            (Subresource::Exec, Some(container)) => format!(
                "/exec/{namespace}/{name}/{container}?{}",
                session_query(&query)
            ),
            (Subresource::Attach, Some(container)) => format!(
                "/attach/{namespace}/{name}/{container}?{}",
                session_query(&query)
            ),
            _ => {
                let ports = query.all("ports").into_iter();
                let ports: Vec<String> = ports.map(|p| format!("ports={}", encode(p))).collect();
                format!("/portForward/{namespace}/{name}?{}", ports.join("&"))
            }
        };
        let (host, connection) = self.dial_node(node).await?;
        let relay = Relay {
            host,
            to,
            upgraded: self.upgraded.clone(),
            shutdown: self.shutdown.clone(),
            own_answers: false,
        };
        relay.run(parts, body, connection).await
    }

    /// `proxy` of a pod, a service or a node.
    async fn proxy(
        self: &Arc<Self>,
        path: &ResourcePath,
        parts: &Parts,
        body: PassedBody,
    ) -> Answer {
        let place = self.place(path)?;
        let raw = parts.uri.path();
        let Some(inner) = below(raw) else {
            // As upstream: relative links on the page would lead astray.
            let query = parts
                .uri
                .query()
                .map(|q| format!("?{q}"))
                .unwrap_or_default();
            let mut response = answer::text(StatusCode::MOVED_PERMANENTLY, "");
            let to = http::HeaderValue::from_str(&format!("{raw}/{query}"));
            let to = to.map_err(Status::internal)?;
            response.headers_mut().insert(header::LOCATION, to);
            return Ok(response);
        };
        let query = parts
            .uri
            .query()
            .map(|q| format!("?{q}"))
            .unwrap_or_default();
        let unreachable = |error: String| {
            Status::service_unavailable(format!("error trying to reach service: {error}"))
        };
        let host = place.host();
        let connection = match &place {
            Place::Node { name } => self.dial_node(name).await?.1,
            place => self.dial(place).await.map_err(unreachable)?,
        };
        let relay = Relay {
            host,
            to: format!("{inner}{query}"),
            upgraded: self.upgraded.clone(),
            shutdown: self.shutdown.clone(),
            own_answers: true,
        };
        relay.run(parts, body, connection).await
    }
}

/// What a proxy's path asks of what is behind it; `None` if not even `/`.
fn below(path: &str) -> Option<&str> {
    let mut segments = path.match_indices('/').map(|(at, _)| at);
    // /api/v1/nodes/<name>/proxy/… or /api/v1/namespaces/<namespace>/<plural>/<name>/proxy/…
    let depth = if path.starts_with("/api/v1/namespaces/") {
        7
    } else {
        5
    };
    segments.nth(depth).map(|at| &path[at..])
}

/// The parameters of exec and attach as nodes read them. Output is wanted unless refused.
fn session_query(query: &Query) -> String {
    let flag = |name: &str, default: bool| query.flag(name).unwrap_or(default);
    let flags = [
        ("input", flag("stdin", false)),
        ("output", flag("stdout", true)),
        ("error", flag("stderr", true)),
        ("tty", flag("tty", false)),
    ];
    let flags = flags.into_iter().filter(|(_, is)| *is);
    let mut parameters: Vec<String> = flags.map(|(name, _)| format!("{name}=1")).collect();
    let words = query.all("command").into_iter();
    parameters.extend(words.map(|word| format!("command={}", encode(word))));
    parameters.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_behind_a_proxy_is_the_rest_of_the_path_as_it_came() {
        for (path, inner) in [
            ("/api/v1/nodes/n/proxy/pods", Some("/pods")),
            ("/api/v1/nodes/n/proxy", None),
            ("/api/v1/nodes/n/proxy/", Some("/")),
            (
                "/api/v1/namespaces/a/pods/p:80/proxy/x%2Fy//z",
                Some("/x%2Fy//z"),
            ),
            ("/api/v1/namespaces/a/services/s/proxy", None),
        ] {
            assert_eq!(below(path), inner, "{path}");
        }
    }

    #[test]
    fn outputs_are_wanted_unless_refused() {
        let of = |text: &str| session_query(&Query::parse(Some(text)));
        assert_eq!(
            of("command=sh&command=-c&command=a%26b"),
            "output=1&error=1&command=sh&command=-c&command=a%26b"
        );
        assert_eq!(
            of("stdin=true&stdout=true&stderr=false&tty=true"),
            "input=1&output=1&tty=1"
        );
    }
}
