//! Writing: the steps between a decoded object and a committed one, the same for every kind. Each verb has its file;
//! what they share is here.

mod apply;
mod binding;
mod create;
mod delete;
mod delete_options;
mod eviction;
mod managed;
mod scale;
mod update;

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use jiff::Timestamp;
use plinth_api::{Decoded, Details, FieldValidation, Gvk, Status, TypeSchema, decode};
use plinth_store::{Attachment, Change, CommitError, Expect, Payload, Revision, Write};
use serde_json::{Map, Value};
use std::sync::{Arc, LazyLock};

pub(crate) use create::made_name;
pub(crate) use delete::Deleted;
pub(crate) use delete_options::DeleteOptions;
pub(crate) use managed::{MANAGER_MAX, Resets, agent, is_printable, manage};
pub(crate) use scale::of_bytes as scale_of;
pub(crate) use update::{Managing, Part, Proposal, parse};

use crate::admission::Notes;
use crate::authentication::UserInfo;
use crate::cache::Header;
use crate::http::media;
use crate::kind::Kind;
use crate::query::{Query, WriteOptions};
use crate::server::Core;

/// How often a write that nobody tied to a revision is tried again when others get in between.
const ATTEMPTS: usize = 64;

/// The outcome of a write.
pub(crate) struct Written {
    /// The object as it is now (or was last).
    pub(crate) bytes: Bytes,
    /// Texts for `Warning` headers.
    pub(crate) warnings: Vec<String>,
    /// Whether the object is new.
    pub(crate) created: bool,
}

/// Who writes, and whether it is meant.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'r> {
    pub(crate) user: &'r UserInfo,
    /// Everything is checked and nothing is stored.
    pub(crate) dry_run: bool,
    /// Who manages the fields that the write changes.
    pub(crate) manager: &'r str,
    /// Where the write comes from. What this server does of its own accord comes from nowhere, and no policy and no
    /// webhook is asked about it.
    pub(crate) origin: Option<Origin<'r>>,
}

/// The request a write comes from.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'r> {
    pub(crate) notes: &'r Notes,
    pub(crate) query: &'r Query,
}

impl Writer<'static> {
    /// This server itself.
    pub(crate) fn system() -> Self {
        static SYSTEM: LazyLock<UserInfo> =
            LazyLock::new(|| UserInfo::internal("system:apiserver"));
        Self {
            user: &SYSTEM,
            dry_run: false,
            manager: managed::OWN_NAME,
            origin: None,
        }
    }
}

/// Where what a request asks for comes from.
pub(crate) fn origin<'r>(parts: &'r Parts, query: &'r Query) -> Result<Origin<'r>, Status> {
    let notes = parts.extensions.get::<Arc<Notes>>();
    let notes = notes.ok_or_else(|| Status::internal("nothing can be noted about this request"))?;
    Ok(Origin { notes, query })
}

/// A request that writes: who asks, parameters, headers, body.
pub(crate) struct Incoming<'r> {
    pub(crate) user: UserInfo,
    pub(crate) options: WriteOptions,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) body: &'r Bytes,
    pub(crate) origin: Option<Origin<'r>>,
}

impl Incoming<'_> {
    /// In whose name the write goes on.
    pub(crate) fn writer(&self) -> Writer<'_> {
        Writer {
            user: &self.user,
            dry_run: self.options.dry_run,
            manager: &self.options.manager,
            origin: self.origin,
        }
    }

    /// The object in the body.
    pub(crate) fn decode(&self, schema: &'static TypeSchema, gvk: &Gvk) -> Result<Decoded, Status> {
        let (body, format) = media::body_text(self.headers, schema, self.body)?;
        let validation: FieldValidation = self.options.validation;
        let mut decoded = decode(schema, gvk, &body, format, validation)
            .map_err(|error| Status::bad_request(error.to_string()))?;
        if decoded.object.is_null() {
            decoded.object = Value::Object(Map::new());
        }
        if !schema.is_custom() {
            decoded.object["apiVersion"] = gvk.api_version().into();
            decoded.object["kind"] = gvk.kind.into();
        }
        Ok(decoded)
    }
}

/// Why a commit did not happen.
pub(crate) enum Refused {
    /// Somebody else wrote first.
    Raced,
    /// This is the answer.
    Status(Status),
}

impl Core {
    /// Commits an object's new state.
    async fn put(&self, kind: &Kind, object: &Value, expect: Expect) -> Result<Bytes, Refused> {
        self.commit(kind, object, expect, Change::Put).await
    }

    /// Removes an object; watchers see this last state.
    async fn remove(&self, kind: &Kind, last: &Value, revision: u64) -> Result<Bytes, Refused> {
        let bytes = self
            .commit(kind, last, Expect::At(Revision(revision)), Change::Delete)
            .await?;
        self.allocation.released(kind.resource, last);
        Ok(bytes)
    }

    async fn commit(
        &self,
        kind: &Kind,
        object: &Value,
        expect: Expect,
        change: fn(Payload) -> Change,
    ) -> Result<Bytes, Refused> {
        let object = kind.unformed(self, object).await.map_err(Refused::Status)?;
        let stored = kind.stored();
        let header = Header::of(stored.resource, &object);
        let key = kind.key(&header.namespace, &header.name);
        let failed = |error| Refused::Status(Status::internal(error));
        let payload = self
            .encryption
            .seal(&key, stored.layout.payload(&object))
            .map_err(failed)?;
        let write = Write {
            key: key.clone(),
            expect,
            change: change(payload),
            attachment: Some(Attachment(Arc::new(header))),
        };
        let operation = match (&write.change, &write.expect) {
            (Change::Delete(_), _) => "delete",
            (Change::Put(_), Expect::Absent) => "create",
            (Change::Put(_), _) => "update",
        };
        let started = std::time::Instant::now();
        let committed = self.store.commit(write).await;
        self.metrics
            .stored(operation, kind.resource, started.elapsed());
        match committed {
            Ok(event) => {
                let bytes = self
                    .encryption
                    .open(&self.kinds, &key, event.revision, &event.value)
                    .map_err(failed)?;
                kind.form_of_bytes(self, bytes, event.revision.0)
                    .await
                    .map_err(Refused::Status)
            }
            Err(CommitError::Conflict { .. }) => Err(Refused::Raced),
            Err(error @ CommitError::Closed { .. }) => Err(Refused::Status(
                Status::service_unavailable(format!("the server is stopping: {error}")),
            )),
            Err(error) => Err(Refused::Status(Status::internal(error))),
        }
    }
}

/// The time as objects carry it: whole seconds, UTC.
pub(crate) fn timestamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `metadata` of an object that is being written, made if it is missing.
pub(crate) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = Value::Object(Map::new());
    }
    let Value::Object(map) = metadata else {
        unreachable!("the lines above made metadata an object")
    };
    map
}

/// A text of an object's metadata, empty when it is not there.
pub(crate) fn meta_text<'o>(object: &'o Value, field: &str) -> &'o str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// The finalizers of an object.
pub(crate) fn finalizers(object: &Value) -> Vec<String> {
    let list = object["metadata"]["finalizers"].as_array();
    list.into_iter()
        .flatten()
        .filter_map(|f| f.as_str().map(ToOwned::to_owned))
        .collect()
}

/// 400 for an object of another namespace than the path's.
pub(crate) fn check_namespace(
    object: &mut Value,
    namespace: &str,
    namespaced: bool,
) -> Result<(), Status> {
    if !namespaced {
        return Ok(());
    }
    let given = meta_text(object, "namespace");
    if !given.is_empty() && given != namespace {
        let message =
            "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(message));
    }
    metadata(object).insert("namespace".into(), namespace.into());
    Ok(())
}

/// 400 for an object of another name than the path's.
fn check_name(object: &Value, name: &str) -> Result<(), Status> {
    let given = meta_text(object, "name");
    if given.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )));
    }
    if given != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    Ok(())
}

/// 409 about a kind rather than a resource, as precondition failures are told (§13.4).
fn precondition_failed(kind: &Kind, name: &str, why: &str) -> Status {
    let resource = kind.resource;
    let message = format!(
        "Operation cannot be fulfilled on {} {}: {why}",
        resource.kind,
        Value::from(name)
    );
    let details = Details {
        name: name.to_owned(),
        kind: resource.kind.to_owned(),
        group: resource.group.to_owned(),
        ..Details::default()
    };
    Status {
        code: 409,
        reason: "Conflict".into(),
        message,
        details: Some(details),
    }
}

/// Too many others wrote at the same time.
fn too_contended(kind: &Kind, name: &str) -> Status {
    Status::modified(kind.resource, name)
}
