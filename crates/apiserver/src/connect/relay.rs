//! Passes one request on over a connection, and its answer back; where both sides agree to speak something else, the
//! bytes after it too. Knows no kinds.

use futures::StreamExt as _;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, LOCATION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, BodyStream};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use plinth_api::Status;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::place::Connection;
use super::{Answer, PassedBody};
use crate::http::answer;
use crate::http::body::{ResponseBody, StreamError};
use crate::node_proxy::refusal;

/// Held of either direction of a connection that has been upgraded.
const BUFFER: usize = 64 << 10;

/// Headers that belong to a connection, not to what is said on it.
const OF_THE_CONNECTION: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Who the client is stays between it and this server.
fn is_private(name: &HeaderName) -> bool {
    name == AUTHORIZATION || name.as_str().starts_with("impersonate-")
}

/// How a request is passed on.
pub(super) struct Relay {
    /// For the `Host` header.
    pub(super) host: String,
    /// Path and query.
    pub(super) to: String,
    /// Connections that have become something else.
    pub(super) upgraded: TaskTracker,
    /// Ends them.
    pub(super) shutdown: CancellationToken,
    /// Whatever the other side says is the answer; otherwise only its agreement is, and all else an error.
    pub(super) own_answers: bool,
}

/// Whether the client wants its connection to become something else.
pub(super) fn wants_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter();
    let words = values.filter_map(|value| value.to_str().ok());
    let mut words = words.flat_map(|value| value.split(','));
    headers.contains_key(UPGRADE) && words.any(|word| word.trim().eq_ignore_ascii_case("upgrade"))
}

impl Relay {
    /// Passes the request on.
    pub(super) async fn run(
        self,
        parts: &Parts,
        body: PassedBody,
        connection: Connection,
    ) -> Answer {
        let unreachable = |error: hyper::Error| {
            Status::service_unavailable(format!("error trying to reach service: {error}"))
        };
        let client = parts.extensions.get::<OnUpgrade>().cloned();
        let client = client.filter(|_| wants_upgrade(&parts.headers));
        let request = self.request(parts, body, client.is_some())?;
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(connection))
            .await
            .map_err(unreachable)?;
        // Ends with the answer's body, or with the upgrade.
        let driving = AbortOnDropHandle::new(tokio::spawn(driver.with_upgrades()));
        let response = sender.send_request(request).await.map_err(unreachable)?;
        match client {
            Some(client) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                driving.detach();
                Ok(self.upgrade(response, client))
            }
            _ if self.own_answers => Ok(self.pass(parts, response, (sender, driving))),
            _ => Err(refusal(response).await),
        }
    }

    fn request(
        &self,
        parts: &Parts,
        body: PassedBody,
        upgrades: bool,
    ) -> Result<Request<PassedBody>, Status> {
        let mut request = Request::builder()
            .method(parts.method.clone())
            .uri(&self.to)
            .body(body)
            .map_err(|error| Status::bad_request(error.to_string()))?;
        let mut headers = parts.headers.clone();
        for name in OF_THE_CONNECTION {
            headers.remove(*name);
        }
        let private: Vec<HeaderName> = headers.keys().filter(|n| is_private(n)).cloned().collect();
        for name in private {
            headers.remove(name);
        }
        if upgrades {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            let all = parts.headers.get_all(UPGRADE);
            headers.extend(all.iter().map(|value| (UPGRADE, value.clone())));
            headers.remove(CONTENT_LENGTH);
        }
        let text = |text: &str| HeaderValue::from_str(text).map_err(Status::internal);
        if let Some(host) = parts.headers.get(HOST) {
            headers.insert("x-forwarded-host", host.clone());
        }
        headers.insert("x-forwarded-uri", text(parts.uri.path())?);
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        headers.insert(HOST, text(&self.host)?);
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Agrees with the client as the other side has agreed with us, and carries bytes from then on.
    fn upgrade(self, response: Response<Incoming>, client: OnUpgrade) -> Response<ResponseBody> {
        let mut agreed = Response::new(ResponseBody::empty());
        *agreed.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *agreed.headers_mut() = response.headers().clone();
        self.upgraded.spawn(async move {
            let carried = async {
                let (client, other) = tokio::try_join!(client, hyper::upgrade::on(response))?;
                let (mut client, mut other) = (TokioIo::new(client), TokioIo::new(other));
                tokio::io::copy_bidirectional_with_sizes(&mut client, &mut other, BUFFER, BUFFER)
                    .await?;
                Ok::<_, StreamError>(())
            };
            if let Some(Err(error)) = self.shutdown.run_until_cancelled(carried).await {
                tracing::debug!(%error, "a connection through this server ended early");
            }
        });
        agreed
    }

    /// The other side's answer as ours. `held` lives as long as the body that comes from it.
    fn pass<H: Send + 'static>(
        &self,
        asked: &Parts,
        response: Response<Incoming>,
        held: H,
    ) -> Response<ResponseBody> {
        let (parts, body) = response.into_parts();
        let frames = BodyStream::new(body).filter_map(move |frame| {
            let _held = &held;
            let piece = match frame {
                Ok(frame) => frame.into_data().ok().map(Ok),
                Err(error) => Some(Err(StreamError::from(error))),
            };
            async move { piece }
        });
        let mut passed =
            answer::with_body(parts.status, "text/plain", ResponseBody::stream(frames));
        let mut headers = parts.headers;
        for name in OF_THE_CONNECTION {
            headers.remove(*name);
        }
        if let Some(to) = headers
            .get(LOCATION)
            .and_then(|to| self.location(asked, to))
        {
            headers.insert(LOCATION, to);
        }
        *passed.headers_mut() = headers;
        passed
    }

    /// Where a redirect of the other side leads through this server.
    fn location(&self, asked: &Parts, to: &HeaderValue) -> Option<HeaderValue> {
        let to = to.to_str().ok()?;
        let own = [
            format!("http://{}", self.host),
            format!("https://{}", self.host),
        ];
        let path = own.iter().find_map(|own| to.strip_prefix(own.as_str()));
        let path = path.unwrap_or(to);
        if !path.starts_with('/') || path.starts_with("//") {
            return None;
        }
        let inner = self.to.split('?').next().unwrap_or_default();
        let before = asked.uri.path().strip_suffix(inner)?;
        HeaderValue::from_str(&format!("{before}{path}")).ok()
    }
}

/// Any request body as one that can be passed on.
pub(crate) fn passed<B>(body: B) -> PassedBody
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    body.map_frame(|frame| {
        frame.map_data(|mut data| {
            use bytes::Buf as _;
            let length = data.remaining();
            data.copy_to_bytes(length)
        })
    })
    .map_err(|error| StreamError::from(error.to_string()))
    .boxed_unsync()
}
