//! The forms of an object: itself, a Table, its metadata alone (K-1).

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use plinth_api::table::{self, IncludeObject};
use plinth_api::{Resource, Status};
use serde_json::{Value, json};

use crate::http::answer;
use crate::http::body::ResponseBody;
use crate::http::media::{Accept, Form};
use crate::kind::Kind;
use crate::query::Query;

/// The object in stored bytes.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(bytes)
        .map_err(|error| Status::internal(format!("a stored object is not JSON: {error}")))
}

/// How much of an object rows carry, by the query.
pub(super) fn include(query: &Query) -> Result<IncludeObject, Status> {
    match query.text("includeObject") {
        None | Some("Metadata") => Ok(IncludeObject::Metadata),
        Some("None") => Ok(IncludeObject::None),
        Some("Object") => Ok(IncludeObject::Object),
        Some(other) => Err(Status::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', \
             'Object', 'None', or empty"
        ))),
    }
}

/// The object's metadata as an object of its own.
pub(super) fn partial(object: &Value, version: &str) -> Value {
    let mut partial = table::partial_metadata(object);
    partial["apiVersion"] = format!("meta.k8s.io/{version}").into();
    partial
}

/// A row of a Table whose carried metadata has the Table's version.
pub(super) fn row(
    resource: &Resource,
    object: &Value,
    include: IncludeObject,
    now: Timestamp,
    version: &str,
) -> Value {
    let mut row = table::row(resource, object, include, now);
    if include == IncludeObject::None {
        row["object"] = Value::Null;
    }
    if include == IncludeObject::Metadata && version != "v1" {
        row["object"]["apiVersion"] = format!("meta.k8s.io/{version}").into();
    }
    row
}

/// Answers with one object in the form the client wants.
pub(crate) fn respond(
    kind: &Kind,
    code: StatusCode,
    accept: Accept,
    query: &Query,
    bytes: &Bytes,
) -> Result<Response<ResponseBody>, Status> {
    respond_as(kind.resource, code, accept, query, bytes)
}

/// Answers with one object of a kind that may be served only as a part of others.
pub(crate) fn respond_as(
    resource: &Resource,
    code: StatusCode,
    accept: Accept,
    query: &Query,
    bytes: &Bytes,
) -> Result<Response<ResponseBody>, Status> {
    match accept.form {
        Form::Object => Ok(answer::json(code, accept, bytes.clone())),
        Form::Table(version) => {
            let object = parse(bytes)?;
            let row = row(
                resource,
                &object,
                include(query)?,
                Timestamp::now(),
                version,
            );
            let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
            let mut table = table::table(resource, vec![row], &metadata, true);
            table["apiVersion"] = format!("meta.k8s.io/{version}").into();
            Ok(answer::value(code, accept, &table))
        }
        Form::Partial(version) => Ok(answer::value(
            code,
            accept,
            &partial(&parse(bytes)?, version),
        )),
        Form::PartialList(_) => Err(Status {
            message: format!(
                "you requested PartialObjectMetadataList, but the requested object is not a list (*core.{})",
                resource.kind
            ),
            ..Status::not_acceptable(&[])
        }),
    }
}
