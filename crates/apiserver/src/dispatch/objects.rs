//! The endpoints for objects and their subresources: which verb does what, and what it is answered with.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use plinth_api::{Resource, Status, Subresource, scale};

use super::{Answer, watches};
use crate::authentication::{UserInfo, sender};
use crate::http::answer;
use crate::http::body::ResponseBody;
use crate::http::media::{self, Accept, Form};
use crate::metrics;
use crate::query::{ListOptions, Query, WriteOptions};
use crate::read::{self, WatchContext};
use crate::review::issue_token;
use crate::route::ResourcePath;
use crate::server::Core;
use crate::write::{DeleteOptions, Deleted, Incoming, Part, Writer, Written, origin, scale_of};

/// Deletions of a collection that wait for the disk together.
const TOGETHER: usize = 64;

impl Core {
    /// Does what a request for objects asks for.
    pub(super) async fn resource(
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
                    &read::selected(kind, &selection, &options, self).await?,
                )
            }
            (&Method::GET, false) if does("get") => {
                read::get(self, path, query, accepted(parts, query, false)?).await
            }
            (&Method::POST, true) if complete && resource.kind == "Binding" => {
                let accept = accepted(parts, query, false)?;
                let incoming = incoming(parts, query, "CreateOptions", body)?;
                let pods = self.kinds.core("pods");
                let pods = pods.ok_or_else(|| Status::internal("pods are not served"))?;
                let status = self
                    .bind(&pods, path.in_namespace(), None, &incoming)
                    .await?;
                Ok(answer::value(StatusCode::CREATED, accept, &coded(&status)))
            }
            (&Method::POST, true) if complete && does("create") && !resource.strategy.stored() => {
                let accept = accepted(parts, query, false)?;
                let incoming = incoming(parts, query, "CreateOptions", body)?;
                let answer = self.review(kind, path.in_namespace(), &incoming)?;
                Ok(respond_as_is(accept, &answer))
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
                media::patch_body(&parts.headers)?;
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
            core: self.clone(),
            events: self.metrics.watch_events(path.kind.resource),
            _open: self
                .metrics
                .open(metrics::Request::of_path("watch", path, parts)),
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
        let part = match subresource {
            Subresource::Status => Some(Part::Status),
            Subresource::Approval => Some(Part::Approval),
            Subresource::EphemeralContainers | Subresource::Resize => Some(Part::Own(subresource)),
            _ => None,
        };
        if let Some(part) = part {
            return self.part(path, part, parts, query, body).await;
        }
        match (subresource, &parts.method) {
            (Subresource::Token, &Method::POST) => {
                let accept = accepted(parts, query, false)?;
                let incoming = incoming(parts, query, "CreateOptions", body)?;
                let issued = issue_token(self, kind, (namespace, name), &incoming).await?;
                Ok(respond_as_is(accept, &issued))
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
                let object = read::formed(self, kind, namespace, name).await?;
                let bytes = scale_of(kind, &object.bytes)?.to_string().into();
                read::respond_as(scale::resource(), StatusCode::OK, accept, query, &bytes)
            }
            (Subresource::Scale, &Method::PUT) => {
                let accept = accepted(parts, query, false)?;
                let incoming = incoming(parts, query, "UpdateOptions", body)?;
                let written = self.replace_scale(kind, namespace, name, &incoming).await?;
                respond_with(scale::resource(), accept, query, &written)
            }
            (Subresource::Scale, &Method::PATCH) => {
                let accept = accepted(parts, query, false)?;
                let incoming = incoming(parts, query, "PatchOptions", body)?;
                let written = self.patch_scale(kind, namespace, name, &incoming).await?;
                respond_with(scale::resource(), accept, query, &written)
            }
            (Subresource::Binding | Subresource::Eviction, &Method::POST) => {
                let accept = accepted(parts, query, false)?;
                let incoming = incoming(parts, query, "CreateOptions", body)?;
                let status = if subresource == Subresource::Binding {
                    self.bind(kind, namespace, Some(name), &incoming).await?
                } else {
                    self.evict(kind, namespace, name, &incoming).await?
                };
                Ok(answer::value(StatusCode::CREATED, accept, &coded(&status)))
            }
            (Subresource::Log, &Method::GET) => self.pod_log(namespace, name, query).await,
            _ => Err(Status::method_not_allowed()),
        }
    }

    /// Reads or writes a part of an object that is served as the whole kind.
    async fn part(
        &self,
        path: &ResourcePath,
        part: Part,
        parts: &Parts,
        query: &Query,
        body: &Bytes,
    ) -> Answer {
        let (kind, namespace, name) = (&path.kind, path.in_namespace(), path.object());
        let accept = || accepted(parts, query, false);
        match parts.method {
            Method::GET => read::get(self, path, query, accept()?).await,
            Method::PUT => {
                let accept = accept()?;
                let incoming = incoming(parts, query, "UpdateOptions", body)?;
                let written = self.replace(kind, namespace, name, part, &incoming).await?;
                respond(path, accept, query, &written)
            }
            Method::PATCH => {
                let accept = accept()?;
                let incoming = incoming(parts, query, "PatchOptions", body)?;
                let written = self.patch(kind, namespace, name, part, &incoming).await?;
                respond(path, accept, query, &written)
            }
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
        let user = sender(parts);
        let writer = deleter(parts, query, &user)?;
        let resource = path.kind.resource;
        let mut response = match self
            .delete(
                &path.kind,
                path.in_namespace(),
                path.object(),
                &options,
                &writer,
            )
            .await?
        {
            Deleted::Terminating(bytes) => {
                read::respond(&path.kind, StatusCode::OK, accept, query, &bytes)?
            }
            Deleted::Gone { last, .. } if resource.strategy.shown_when_deleted() => {
                read::respond(&path.kind, StatusCode::OK, accept, query, &last)?
            }
            Deleted::Gone { uid, .. } => answer::status(
                &Status::deleted(resource, path.object(), &uid),
                accept.syntax,
            ),
        };
        warn_of_deletion(path, &options, &mut response);
        Ok(response)
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
        let page = read::selected(&path.kind, &selection, &list_options, self).await?;
        let user = sender(parts);
        let writer = deleter(parts, query, &user)?;
        let mut started = Vec::with_capacity(page.objects.len());
        for object in &page.objects {
            started.push(
                self.delete(
                    &path.kind,
                    &object.header.namespace,
                    &object.header.name,
                    &options,
                    &writer,
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
        let mut response = read::list(&path.kind, accept, query, &page)?;
        warn_of_deletion(path, &options, &mut response);
        Ok(response)
    }
}

/// In whose name something is deleted.
fn deleter<'r>(
    parts: &'r Parts,
    query: &'r Query,
    user: &'r UserInfo,
) -> Result<Writer<'r>, Status> {
    Ok(Writer {
        user,
        origin: Some(origin(parts, query)?),
        ..Writer::system()
    })
}

/// Tells who deletes without a policy what becomes of dependents, where the kind has something to say about it.
fn warn_of_deletion(
    path: &ResourcePath,
    options: &DeleteOptions,
    response: &mut Response<ResponseBody>,
) {
    if options.propagation.is_none()
        && let Some(text) = path.kind.resource.strategy.deletion_warning()
    {
        answer::warn(response, &[text.to_owned()]);
    }
}

fn accepted(parts: &Parts, query: &Query, collection: bool) -> Result<Accept, Status> {
    let mut accept = media::accepted(&parts.headers, collection)?;
    accept.pretty |= query.flag("pretty").unwrap_or(false);
    Ok(accept)
}

fn incoming<'r>(
    parts: &'r Parts,
    query: &'r Query,
    options: &str,
    body: &'r Bytes,
) -> Result<Incoming<'r>, Status> {
    Ok(Incoming {
        user: sender(parts),
        options: WriteOptions::parse(query, &parts.headers, options)?,
        headers: &parts.headers,
        body,
        origin: Some(origin(parts, query)?),
    })
}

fn respond(path: &ResourcePath, accept: Accept, query: &Query, written: &Written) -> Answer {
    respond_with(path.kind.resource, accept, query, written)
}

/// For objects that may be of another kind than the path's.
fn respond_with(resource: &Resource, accept: Accept, query: &Query, written: &Written) -> Answer {
    let code = if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let mut response = read::respond_as(resource, code, accept, query, &written.bytes)?;
    answer::warn(&mut response, &written.warnings);
    Ok(response)
}

/// For objects of another kind than the path's.
fn respond_as_is(accept: Accept, written: &Written) -> Response<ResponseBody> {
    let accept = Accept {
        form: Form::Object,
        ..accept
    };
    let code = if written.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let mut response = answer::json(code, accept, written.bytes.clone());
    answer::warn(&mut response, &written.warnings);
    response
}

/// A success as what it made is answered with.
fn coded(status: &Status) -> serde_json::Value {
    let mut value = status.to_value();
    value["code"] = status.code.into();
    value
}
