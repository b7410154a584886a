//! From a target and a method to what is done: the table of the API's endpoints.

mod objects;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use plinth_api::{Resource, Status, openapi};
use serde_json::json;

use crate::discovery;
use crate::groups::REGISTRATION;
use crate::http::answer;
use crate::http::body::ResponseBody;
use crate::http::media::{self, Accept, Discovery, OpenApiV2};
use crate::query::Query;
use crate::route::{ResourcePath, Target};
use crate::server::Core;
use crate::version::version;

/// Prints a document about the built-in kinds and these.
type WriteDocument = fn(&[&'static Resource]) -> Vec<u8>;

type Answer = Result<Response<ResponseBody>, Status>;

fn watches(path: &ResourcePath, query: &Query) -> bool {
    path.watch || (path.is_collection() && query.flag("watch").unwrap_or(false))
}

impl Core {
    /// Does what a request asks for.
    pub(crate) async fn dispatch(
        self: &Arc<Self>,
        target: Target,
        parts: &Parts,
        body: Bytes,
    ) -> Answer {
        let query = Query::parse(parts.uri.query());
        let headers = &parts.headers;
        let reads = parts.method == Method::GET;
        let discover =
            |exact: bool, core: bool| match media::accepted_for_discovery(headers, exact)? {
                Discovery::Plain(accept) if core => {
                    // The way the client came is a way that works for it.
                    let came = headers.get(HOST).and_then(|host| host.to_str().ok());
                    let came = came.or_else(|| parts.uri.authority().map(Authority::as_str));
                    let address = came.map_or_else(
                        || format!("{}:{}", self.advertise.0, self.advertise.1),
                        ToOwned::to_owned,
                    );
                    Ok(answer::value(
                        StatusCode::OK,
                        accept,
                        &discovery::core_versions(&address),
                    ))
                }
                Discovery::Plain(accept) => Ok(answer::value(
                    StatusCode::OK,
                    accept,
                    &discovery::group_list(&self.kinds),
                )),
                Discovery::Aggregated(version) => {
                    let content_type = if version == "v2" {
                        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
                    } else {
                        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
                    };
                    let body = discovery::aggregated(&self.kinds, core, version).to_string();
                    Ok(answer::with_body(
                        StatusCode::OK,
                        content_type,
                        ResponseBody::full(body),
                    ))
                }
            };
        let plain = || -> Result<Accept, Status> {
            match media::accepted_for_discovery(headers, false)? {
                Discovery::Plain(accept) => Ok(accept),
                Discovery::Aggregated(_) => Ok(Accept::JSON),
            }
        };
        match target {
            Target::Health { check } => Ok(self.health(parts.uri.path(), check.as_deref(), &query)),
            Target::CoreVersions { exact } => discover(exact, true),
            Target::Groups { exact } => discover(exact, false),
            Target::NoPage | Target::NoResource if self.is_elsewhere(parts.uri.path()) => Ok(
                answer::text(StatusCode::SERVICE_UNAVAILABLE, "service unavailable\n"),
            ),
            Target::NoPage => Ok(answer::text(StatusCode::NOT_FOUND, "404 page not found\n")),
            Target::NoResource => Err(Status::no_such_path()),
            Target::Resource(path) => {
                let (served, mut response) = match self.resource(&path, parts, &query, &body).await
                {
                    Ok(response) => (true, response),
                    Err(status) => (
                        status.code != StatusCode::METHOD_NOT_ALLOWED.as_u16(),
                        answer::status(&status, media::syntax_of_errors(headers)),
                    ),
                };
                if served && let Some(text) = path.kind.resource.strategy.deprecation() {
                    answer::warn(&mut response, &[text.to_owned()]);
                }
                Ok(response)
            }
            _ if !reads => Err(Status::method_not_allowed()),
            Target::Index => Ok(answer::value(StatusCode::OK, Accept::JSON, &self.index())),
            Target::Metrics => Ok(self.metrics_page()),
            Target::Version => {
                media::json_only(headers)?;
                Ok(answer::value(
                    StatusCode::OK,
                    Accept {
                        pretty: true,
                        ..Accept::JSON
                    },
                    &version(),
                ))
            }
            Target::OpenIdConfiguration => {
                let address = format!("{}:{}", self.advertise.0, self.advertise.1);
                let document = self.authenticator.accounts.discovery(&address);
                Ok(openid("application/json", &document))
            }
            Target::OpenIdKeys => {
                let keys = self.authenticator.accounts.key_set();
                Ok(openid("application/jwk-set+json", &keys))
            }
            Target::OpenApiV2 => {
                let custom = self.kinds.custom();
                let (media, write): (_, WriteDocument) = match media::openapi_v2(headers)? {
                    OpenApiV2::Json => ("application/json", openapi::v2),
                    OpenApiV2::Protobuf => (media::OPENAPI_V2_PROTOBUF, openapi::v2_protobuf),
                };
                let body = tokio::task::spawn_blocking(move || write(&custom))
                    .await
                    .map_err(Status::internal)?;
                Ok(answer::with_body(
                    StatusCode::OK,
                    media,
                    ResponseBody::full(body),
                ))
            }
            // §13.7: the index says it is text.
            Target::OpenApiV3Index => Ok(answer::text(
                StatusCode::OK,
                openapi::v3_index(&self.kinds.custom()).to_string(),
            )),
            Target::OpenApiV3(path) => openapi_v3(path, self.kinds.custom(), headers).await,
            Target::Group(name) => Ok(answer::value(
                StatusCode::OK,
                plain()?,
                &discovery::group(&self.kinds, &name),
            )),
            Target::GroupVersion { group, version } => {
                let accept = plain()?;
                Ok(answer::value(
                    StatusCode::OK,
                    accept,
                    &discovery::resource_list(&self.kinds, &group, &version),
                ))
            }
        }
    }

    /// Whether another server is said to answer for a path. Requests are not forwarded to it.
    fn is_elsewhere(&self, path: &str) -> bool {
        let mut parts = path.trim_start_matches('/').split('/');
        let (Some("apis"), Some(group), Some(version)) = (parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        let services = self.kinds.find(REGISTRATION, "v1", "apiservices");
        let name = format!("{version}.{group}");
        services
            .and_then(|services| services.cache.get("", &name))
            .and_then(|found| serde_json::from_slice(&found.bytes).ok())
            .is_some_and(|service: serde_json::Value| service["spec"]["service"].is_object())
    }

    fn index(&self) -> serde_json::Value {
        let mut paths: Vec<String> = [
            "/.well-known/openid-configuration",
            "/api",
            "/api/v1",
            "/apis",
            "/healthz",
            "/livez",
            "/metrics",
            "/openapi/v2",
            "/openapi/v3",
            "/openid/v1/jwks",
            "/readyz",
            "/version",
        ]
        .map(str::to_owned)
        .into();
        for kind in self
            .kinds
            .iter()
            .filter(|kind| !kind.resource.group.is_empty())
        {
            paths.push(format!("/apis/{}", kind.resource.group));
            paths.push(format!("/apis/{}", kind.resource.api_version()));
        }
        paths.sort();
        paths.dedup();
        json!({"paths": paths})
    }
}

/// A document about tokens, which clients may keep for an hour.
fn openid(content_type: &'static str, document: &serde_json::Value) -> Response<ResponseBody> {
    let body = ResponseBody::full(document.to_string());
    let mut response = answer::with_body(StatusCode::OK, content_type, body);
    let kept = HeaderValue::from_static("public, max-age=3600");
    response.headers_mut().insert(CACHE_CONTROL, kept);
    response
}

/// 404 as upstream says it where documents are.
fn not_found_without_type() -> Response<ResponseBody> {
    let mut response = answer::text(StatusCode::NOT_FOUND, "");
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

/// A group-version's document. It is made for each client anew, so one that has it already is told so instead.
async fn openapi_v3(path: String, custom: Vec<&'static Resource>, headers: &HeaderMap) -> Answer {
    let Some(hash) = openapi::v3_hash(&path, &custom) else {
        return Ok(not_found_without_type());
    };
    let tag = format!("\"{hash}\"");
    let known = headers
        .get(IF_NONE_MATCH)
        .is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response = if known {
        answer::with_body(
            StatusCode::NOT_MODIFIED,
            "application/json",
            ResponseBody::empty(),
        )
    } else {
        let made = tokio::task::spawn_blocking(move || openapi::v3(&path, &custom))
            .await
            .map_err(Status::internal)?;
        answer::with_body(
            StatusCode::OK,
            "application/json",
            ResponseBody::full(made.unwrap_or_default()),
        )
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    Ok(response)
}
