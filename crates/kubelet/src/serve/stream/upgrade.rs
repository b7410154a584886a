//! From an HTTP request to a connection that speaks something else: which protocol, and the answer that says so.

use http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    UPGRADE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// How SPDY clients name the protocols they can read.
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// What a request wants its connection to become.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    WebSocket,
    Spdy,
    /// Plain bytes, for the API server's own use.
    Tcp,
}

impl Upgrade {
    /// `None` if the request wants no such thing.
    pub(super) fn asked(headers: &HeaderMap) -> Option<Self> {
        let connection = words(headers, &CONNECTION);
        if !connection
            .iter()
            .any(|word| word.eq_ignore_ascii_case("upgrade"))
        {
            return None;
        }
        let to = words(headers, &UPGRADE);
        let is = |name: &str| to.iter().any(|word| word.eq_ignore_ascii_case(name));
        if is("websocket") {
            Some(Self::WebSocket)
        } else if is("SPDY/3.1") {
            Some(Self::Spdy)
        } else if is("tcp") {
            Some(Self::Tcp)
        } else {
            None
        }
    }

    /// Answers that the connection changes, `protocol` being what is spoken inside.
    pub(super) fn accept<B: Default>(
        &self,
        headers: &HeaderMap,
        protocol: Option<&'static str>,
    ) -> Result<Response<B>, String> {
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let answer = response.headers_mut();
        answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        let (to, names) = match self {
            Self::WebSocket => ("websocket", SEC_WEBSOCKET_PROTOCOL),
            Self::Spdy => ("SPDY/3.1", STREAM_PROTOCOL),
            Self::Tcp => ("tcp", STREAM_PROTOCOL),
        };
        answer.insert(UPGRADE, HeaderValue::from_static(to));
        if let Some(protocol) = protocol {
            answer.insert(names, HeaderValue::from_static(protocol));
        }
        if *self == Self::WebSocket {
            let key = headers
                .get(SEC_WEBSOCKET_KEY)
                .ok_or("the header Sec-WebSocket-Key is missing")?;
            let accept = derive_accept_key(key.as_bytes());
            let accept = HeaderValue::from_str(&accept).map_err(|e| e.to_string())?;
            answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        Ok(response)
    }

    /// The protocols that the client can read inside.
    pub(super) fn offers(&self, headers: &HeaderMap) -> Vec<String> {
        match self {
            Self::WebSocket => words(headers, &SEC_WEBSOCKET_PROTOCOL),
            _ => words(headers, &STREAM_PROTOCOL),
        }
    }
}

/// The words of a header that may come several times and with commas.
fn words(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let words = values.flat_map(|value| value.split(','));
    words.map(|word| word.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_found_in_any_spelling() {
        let headers = |connection: &'static str, upgrade: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONNECTION, HeaderValue::from_static(connection));
            headers.insert(UPGRADE, HeaderValue::from_static(upgrade));
            headers
        };
        assert_eq!(
            Upgrade::asked(&headers("keep-alive, Upgrade", "WebSocket")),
            Some(Upgrade::WebSocket)
        );
        assert_eq!(
            Upgrade::asked(&headers("upgrade", "SPDY/3.1")),
            Some(Upgrade::Spdy)
        );
        assert_eq!(Upgrade::asked(&headers("close", "websocket")), None);
        assert_eq!(Upgrade::asked(&headers("upgrade", "h2c")), None);
    }

    #[test]
    fn the_key_is_answered_as_rfc_6455_says() {
        let mut headers = HeaderMap::new();
        headers.insert(
            SEC_WEBSOCKET_KEY,
            HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="),
        );
        let answer = Upgrade::WebSocket
            .accept::<String>(&headers, Some("v5.channel.k8s.io"))
            .expect("accepted");
        assert_eq!(
            answer.headers()[SEC_WEBSOCKET_ACCEPT],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(
            answer.headers()[SEC_WEBSOCKET_PROTOCOL],
            "v5.channel.k8s.io"
        );
    }
}
