//! Answers: values and shared bytes with the headers clients rely on.

use std::collections::VecDeque;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
    VARY, WARNING, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use plinth_api::Status;
use serde_json::Value;

use super::body::ResponseBody;
use super::media::{Accept, Syntax};
use super::yaml;

/// Complete answers of at least this size are compressed for clients that ask for it; as upstream.
const WORTH_COMPRESSING: usize = 128 << 10;

/// An answer with a body and its type.
pub(crate) fn with_body(
    code: StatusCode,
    content_type: &'static str,
    body: ResponseBody,
) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// Text.
pub(crate) fn text(code: StatusCode, text: impl Into<Bytes>) -> Response<ResponseBody> {
    with_body(code, "text/plain; charset=utf-8", ResponseBody::full(text))
}

/// A value, written as the client wants it.
pub(crate) fn value(code: StatusCode, accept: Accept, value: &Value) -> Response<ResponseBody> {
    let bytes = match accept.syntax {
        Syntax::Json if accept.pretty => pretty(value),
        // Writing a Value to memory cannot fail.
        Syntax::Json => serde_json::to_vec(value).unwrap_or_default(),
        Syntax::Yaml => yaml::to_string(value).into_bytes(),
    };
    with_body(
        code,
        accept.syntax.content_type(),
        ResponseBody::full(bytes),
    )
}

fn pretty(value: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// An object that lies ready as JSON.
pub(crate) fn json(code: StatusCode, accept: Accept, bytes: Bytes) -> Response<ResponseBody> {
    pieces(code, accept, VecDeque::from([bytes]))
}

/// JSON that lies ready in pieces.
pub(crate) fn pieces(
    code: StatusCode,
    accept: Accept,
    pieces: VecDeque<Bytes>,
) -> Response<ResponseBody> {
    if accept.syntax == Syntax::Json && !accept.pretty {
        return with_body(code, "application/json", ResponseBody::pieces(pieces));
    }
    let whole: Vec<u8> = pieces.iter().flatten().copied().collect();
    match serde_json::from_slice(&whole) {
        Ok(parsed) => value(code, accept, &parsed),
        Err(error) => status(
            &Status::internal(format!("a stored object is not JSON: {error}")),
            Syntax::Json,
        ),
    }
}

/// An error, or the success of a deletion.
pub(crate) fn status(status: &Status, syntax: Syntax) -> Response<ResponseBody> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = value(
        code,
        Accept {
            syntax,
            ..Accept::JSON
        },
        &status.to_value(),
    );
    if let Some(seconds) = status
        .details
        .as_ref()
        .and_then(|details| details.retry_after_seconds)
    {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if code == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Adds `Warning` headers.
pub(crate) fn warn(response: &mut Response<ResponseBody>, warnings: &[String]) {
    for (index, warning) in warnings.iter().enumerate() {
        if warnings[..index].contains(warning) {
            continue;
        }
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        // A warning that cannot stand in a header is one the client cannot be told.
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(WARNING, value);
        }
    }
}

/// Compresses a large complete answer for a client that accepts gzip.
pub(crate) async fn compress(
    request: &HeaderMap,
    response: Response<ResponseBody>,
) -> Response<ResponseBody> {
    let asked = request
        .get(ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value
                .split(',')
                .any(|coding| coding.split(';').next().unwrap_or_default().trim() == "gzip")
        });
    if !asked
        || response
            .body()
            .len()
            .is_none_or(|length| length < WORTH_COMPRESSING)
    {
        return response;
    }
    let pieces = response.body().complete().cloned().unwrap_or_default();
    let compressed = tokio::task::spawn_blocking(move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        pieces
            .iter()
            .try_for_each(|piece| encoder.write_all(piece))?;
        encoder.finish()
    });
    let Ok(Ok(compressed)) = compressed.await else {
        return response;
    };
    let (mut parts, _) = response.into_parts();
    parts
        .headers
        .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts
        .headers
        .insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, ResponseBody::full(compressed))
}
