//! From a target and a method to what is done: the table of the API's endpoints.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use plinth_api::{Status, Subresource, openapi};
use serde_json::json;

use crate::discovery;
use crate::http::answer;
use crate::http::body::ResponseBody;
use crate::http::media::{self, Accept, Discovery, Form};
use crate::query::{ListOptions, Query, WriteOptions};
use crate::read::{self, WatchContext};
use crate::route::{ResourcePath, Target};
use crate::server::Core;
use crate::version::version;
use crate::write::{DeleteOptions, Deleted, Incoming, Part, Written, scale_of};

type Answer = Result<Response<ResponseBody>, Status>;

/// Deletions of a collection that wait for the disk together.
const TOGETHER: usize = 64;

/// Kinds whose deletion is answered with the object even when it is gone at once; as upstream.
const SHOWN_WHEN_DELETED: &[&str] = &[
    "pods",
    "services",
    "serviceaccounts",
    "persistentvolumeclaims",
    "persistentvolumes",
];

/// The verb of a request, as authorization knows it.
pub(crate) fn verb(method: &Method, target: &Target, query: Option<&str>) -> &'static str {
    let collection = matches!(target, Target::Resource(path) if path.is_collection());
    let resource = matches!(target, Target::Resource(_));
    match *method {
        Method::POST if resource => "create",
        Method::PUT if resource => "update",
        Method::PATCH => "patch",
        Method::DELETE if collection => "deletecollection",
        Method::DELETE => "delete",
        Method::GET if matches!(target, Target::Resource(path) if watches(path, &Query::parse(query))) => {
            "watch"
        }
        Method::GET if collection => "list",
        Method::POST => "post",
        Method::PUT => "put",
        _ => "get",
    }
}

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
                    let address = format!("{}:{}", self.advertise.0, self.advertise.1);
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
            Target::NoPage => Ok(answer::text(StatusCode::NOT_FOUND, "404 page not found\n")),
            Target::NoResource => Err(Status::no_such_path()),
            Target::Resource(path) => {
                let mut response = self.resource(&path, parts, &query, &body).await;
                if let (Ok(response), Some(text)) =
                    (&mut response, path.kind.resource.strategy.deprecation())
                {
                    answer::warn(response, &[text.to_owned()]);
                }
                response
            }
            _ if !reads => Err(Status::method_not_allowed()),
            Target::Index => Ok(answer::value(StatusCode::OK, Accept::JSON, &self.index())),
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
            Target::OpenApiV2 => {
                media::json_only(headers)?;
                let body = tokio::task::spawn_blocking(openapi::v2)
                    .await
                    .map_err(Status::internal)?;
                Ok(answer::with_body(
                    StatusCode::OK,
                    "application/json",
                    ResponseBody::full(body),
                ))
            }
            // §13.7: the index says it is text.
            Target::OpenApiV3Index => Ok(answer::text(
                StatusCode::OK,
                openapi::v3_index().to_string(),
            )),
            Target::OpenApiV3(path) => openapi_v3(path, headers).await,
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

    fn index(&self) -> serde_json::Value {
        let mut paths: Vec<String> = [
            "/api",
            "/api/v1",
            "/apis",
            "/healthz",
            "/livez",
            "/openapi/v2",
            "/openapi/v3",
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

    fn health(&self, path: &str, check: Option<&str>, query: &Query) -> Response<ResponseBody> {
        let endpoint = path.trim_matches('/').split('/').next().unwrap_or_default();
        let stopping = self.shutdown.is_cancelled() && endpoint == "readyz";
        match check {
            None => {}
            Some("ping" | "store") => return answer::text(StatusCode::OK, "ok"),
            Some("shutdown") if endpoint == "readyz" && !stopping => {
                return answer::text(StatusCode::OK, "ok");
            }
            Some(_) => return answer::text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
        if stopping {
            let text = "[+]ping ok\n[+]store ok\n[-]shutdown failed: the server is stopping\nreadyz check failed\n";
            return answer::text(StatusCode::INTERNAL_SERVER_ERROR, text);
        }
        if query.get("verbose").is_none() {
            return answer::text(StatusCode::OK, "ok");
        }
        let shutdown = if endpoint == "readyz" {
            "[+]shutdown ok\n"
        } else {
            ""
        };
        answer::text(
            StatusCode::OK,
            format!("[+]ping ok\n[+]store ok\n{shutdown}{endpoint} check passed\n"),
        )
    }

    async fn resource(
        self: &Arc<Self>,
        path: &ResourcePath,
        parts: &Parts,
        query: &Query,
        body: &Bytes,
    ) -> Answer {
        if let Some(subresource) = path.subresource {
            return self
                .subresource(path, subresource, parts, query, body)
                .await;
        }
        let (kind, resource) = (&path.kind, path.kind.resource);
        let does = |verb: &str| resource.verbs.contains(&verb);
        let complete = !resource.namespaced() || path.namespace.is_some();
        match (&parts.method, path.is_collection()) {
            (&Method::GET, _) if watches(path, query) && does("watch") => {
                self.watch(path, parts, query)
            }
            (&Method::GET, true) if does("list") => {
                let accept = accepted(parts, query, true)?;
                let selection = read::selection(path, query)?;
                let options = ListOptions::parse(query, false)?;
                read::list(
                    kind,
                    accept,
                    query,
                    &read::selected(kind, &selection, &options, &self.clock)?,
                )
            }
            (&Method::GET, false) if does("get") => {
                read::get(path, query, accepted(parts, query, false)?)
            }
            (&Method::POST, true) if complete && does("create") => {
                let accept = accepted(parts, query, false)?;
                let incoming = incoming(parts, query, "CreateOptions", body)?;
                let written = self.create(kind, path.in_namespace(), &incoming).await?;
                respond(path, accept, query, &written)
            }
            (&Method::PUT, false) if does("update") => {
                let accept = accepted(parts, query, false)?;
                let incoming = incoming(parts, query, "UpdateOptions", body)?;
                let written = self
                    .replace(
                        kind,
                        path.in_namespace(),
                        path.object(),
                        Part::Main,
                        &incoming,
                    )
                    .await?;
                respond(path, accept, query, &written)
            }
            (&Method::PATCH, false) if does("patch") => {
                let accept = accepted(parts, query, false)?;
                media::patch_kind(&parts.headers)?;
                let incoming = incoming(parts, query, "PatchOptions", body)?;
                let written = self
                    .patch(
                        kind,
                        path.in_namespace(),
                        path.object(),
                        Part::Main,
                        &incoming,
                    )
                    .await?;
                respond(path, accept, query, &written)
            }
            (&Method::DELETE, false) if does("delete") => {
                self.delete_one(path, parts, query, body).await
            }
            (&Method::DELETE, true) if complete && does("deletecollection") => {
                self.delete_collection(path, parts, query, body).await
            }
            _ => Err(Status::method_not_allowed()),
        }
    }

    fn watch(self: &Arc<Self>, path: &ResourcePath, parts: &Parts, query: &Query) -> Answer {
        let accept = media::accepted_for_watch(&parts.headers)?;
        let selection = read::selection(path, query)?;
        let options = ListOptions::parse(query, true)?;
        let context = WatchContext {
            clock: self.clock.clone(),
            shutdown: self.shutdown.clone(),
        };
        read::watch(&path.kind, selection, &options, accept, query, context)
    }

    async fn subresource(
        self: &Arc<Self>,
        path: &ResourcePath,
        subresource: Subresource,
        parts: &Parts,
        query: &Query,
        body: &Bytes,
    ) -> Answer {
        let (kind, namespace, name) = (&path.kind, path.in_namespace(), path.object());
        match (subresource, &parts.method) {
            (Subresource::Status, &Method::GET) => {
                read::get(path, query, accepted(parts, query, false)?)
            }
            (Subresource::Status, &Method::PUT) => {
                let accept = accepted(parts, query, false)?;
                let incoming = incoming(parts, query, "UpdateOptions", body)?;
                respond(
                    path,
                    accept,
                    query,
                    &self
                        .replace(kind, namespace, name, Part::Status, &incoming)
                        .await?,
                )
            }
            (Subresource::Status, &Method::PATCH) => {
                let accept = accepted(parts, query, false)?;
                let incoming = incoming(parts, query, "PatchOptions", body)?;
                respond(
                    path,
                    accept,
                    query,
                    &self
                        .patch(kind, namespace, name, Part::Status, &incoming)
                        .await?,
                )
            }
            (Subresource::Finalize, &Method::PUT) => {
                let accept = accepted(parts, query, false)?;
                let incoming = incoming(parts, query, "UpdateOptions", body)?;
                respond(
                    path,
                    accept,
                    query,
                    &self
                        .replace(kind, namespace, name, Part::Finalizers, &incoming)
                        .await?,
                )
            }
            (Subresource::Scale, &Method::GET) => {
                let accept = accepted(parts, query, false)?;
                let object = read::live(kind, namespace, name)?;
                Ok(answer::value(
                    StatusCode::OK,
                    accept,
                    &scale_of(&object.bytes)?,
                ))
            }
            (Subresource::Scale, &Method::PUT) => {
                let accept = accepted(parts, query, false)?;
                let incoming = incoming(parts, query, "UpdateOptions", body)?;
                Ok(respond_as_is(
                    accept,
                    &self.replace_scale(kind, namespace, name, &incoming).await?,
                ))
            }
            (Subresource::Scale, &Method::PATCH) => {
                let accept = accepted(parts, query, false)?;
                let incoming = incoming(parts, query, "PatchOptions", body)?;
                Ok(respond_as_is(
                    accept,
                    &self.patch_scale(kind, namespace, name, &incoming).await?,
                ))
            }
            (Subresource::Binding, &Method::POST) => {
                let accept = accepted(parts, query, false)?;
                let incoming = incoming(parts, query, "CreateOptions", body)?;
                let status = self.bind(kind, namespace, name, &incoming).await?;
                let mut value = status.to_value();
                value["code"] = status.code.into();
                Ok(answer::value(StatusCode::CREATED, accept, &value))
            }
            (Subresource::Log, &Method::GET) => self.pod_log(namespace, name, query).await,
            _ => Err(Status::method_not_allowed()),
        }
    }

    async fn delete_one(
        &self,
        path: &ResourcePath,
        parts: &Parts,
        query: &Query,
        body: &Bytes,
    ) -> Answer {
        let accept = accepted(parts, query, false)?;
        let options = DeleteOptions::parse(query, &parts.headers, body)?;
        let resource = path.kind.resource;
        match self
            .delete(&path.kind, path.in_namespace(), path.object(), &options)
            .await?
        {
            Deleted::Terminating(bytes) => {
                read::respond(&path.kind, StatusCode::OK, accept, query, &bytes)
            }
            Deleted::Gone { last, .. }
                if resource.group.is_empty() && SHOWN_WHEN_DELETED.contains(&resource.plural) =>
            {
                read::respond(&path.kind, StatusCode::OK, accept, query, &last)
            }
            Deleted::Gone { uid, .. } => Ok(answer::status(
                &Status::deleted(resource, path.object(), &uid),
                accept.syntax,
            )),
        }
    }

    /// G-7: what is selected is deleted one by one, each by its kind's rules, and listed as it was.
    async fn delete_collection(
        &self,
        path: &ResourcePath,
        parts: &Parts,
        query: &Query,
        body: &Bytes,
    ) -> Answer {
        let accept = accepted(parts, query, true)?;
        let selection = read::selection(path, query)?;
        let list_options = ListOptions::parse(query, false)?;
        let options = DeleteOptions::parse(query, &parts.headers, body)?;
        let page = read::selected(&path.kind, &selection, &list_options, &self.clock)?;
        let mut started = Vec::with_capacity(page.objects.len());
        for object in &page.objects {
            started.push(
                self.delete(
                    &path.kind,
                    &object.header.namespace,
                    &object.header.name,
                    &options,
                )
                .boxed(),
            );
        }
        let mut deletions = stream::iter(started).buffer_unordered(TOGETHER);
        while let Some(outcome) = deletions.next().await {
            match outcome {
                Err(status) if status.code != 404 => return Err(status),
                _ => {}
            }
        }
        read::list(&path.kind, accept, query, &page)
    }
}

/// A group-version's document. It is made for each client anew, so one that has it already is told so instead.
async fn openapi_v3(path: String, headers: &HeaderMap) -> Answer {
    let Some(hash) = openapi::v3_hash(&path) else {
        return Ok(answer::text(StatusCode::NOT_FOUND, ""));
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
        let made = tokio::task::spawn_blocking(move || openapi::v3(&path))
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

fn accepted(parts: &Parts, query: &Query, collection: bool) -> Result<Accept, Status> {
    let mut accept = media::accepted(&parts.headers, collection)?;
    accept.pretty |= query.flag("pretty").unwrap_or(false);
    Ok(accept)
}

fn incoming<'r>(
    parts: &'r Parts,
    query: &Query,
    options: &str,
    body: &'r Bytes,
) -> Result<Incoming<'r>, Status> {
    Ok(Incoming {
        options: WriteOptions::parse(query, options)?,
        headers: &parts.headers,
        body,
    })
}

fn respond(path: &ResourcePath, accept: Accept, query: &Query, written: &Written) -> Answer {
    let code = if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let mut response = read::respond(&path.kind, code, accept, query, &written.bytes)?;
    answer::warn(&mut response, &written.warnings);
    Ok(response)
}

/// For objects of another kind than the path's.
fn respond_as_is(accept: Accept, written: &Written) -> Response<ResponseBody> {
    let accept = Accept {
        form: Form::Object,
        ..accept
    };
    let mut response = answer::json(StatusCode::OK, accept, written.bytes.clone());
    answer::warn(&mut response, &written.warnings);
    response
}
