//! Reading: GET, LIST and WATCH from the caches, in the forms clients ask for. Nothing here waits for the store.

mod form;
mod list;
mod watch;

use std::sync::Arc;

use http::{Response, StatusCode};
use plinth_api::{FieldSelector, Selector, SelectorError, Status};
use serde_json::json;

pub(crate) use form::{parse, respond, respond_as};
#[cfg(fuzzing)]
pub(crate) use list::reads_as_continuation;
pub(crate) use list::{list, selected};
pub(crate) use watch::{WatchContext, watch};

use crate::cache::{Object, Selection};
use crate::http::body::ResponseBody;
use crate::http::media::Accept;
use crate::kind::Kind;
use crate::query::{Query, revision};
use crate::route::ResourcePath;
use crate::server::Core;

/// GET of one object, or of its status.
pub(crate) async fn get(
    core: &Core,
    path: &ResourcePath,
    query: &Query,
    accept: Accept,
) -> Result<Response<ResponseBody>, Status> {
    if let Some(text) = query.text("resourceVersion") {
        revision(text).map_err(|why| malformed_revision(text, &why))?;
    }
    let object = formed(core, &path.kind, path.in_namespace(), path.object()).await?;
    respond(&path.kind, StatusCode::OK, accept, query, &object.bytes)
}

/// A live object in the kind's own form, or 404.
pub(crate) async fn formed(
    core: &Core,
    kind: &Kind,
    namespace: &str,
    name: &str,
) -> Result<Arc<Object>, Status> {
    kind.form(core, live(kind, namespace, name)?).await
}

/// A live object as it is stored, or 404.
pub(crate) fn live(kind: &Kind, namespace: &str, name: &str) -> Result<Arc<Object>, Status> {
    kind.cache
        .get(namespace, name)
        .ok_or_else(|| Status::not_found(kind.resource, name))
}

/// 500, as upstream answers a resourceVersion that is no number on GET and watch (§13.2).
pub(crate) fn malformed_revision(text: &str, why: &str) -> Status {
    plain_error(
        500,
        format!("resourceVersion: Invalid value: {text:?}: {why}"),
    )
}

/// An error without a reason, which upstream gives where it did not think of one.
pub(crate) fn plain_error(code: u16, message: String) -> Status {
    Status {
        code,
        reason: "".into(),
        message,
        details: None,
    }
}

/// What a list or watch selects; 400 for selectors that cannot be read or fields the kind does not offer (K-23).
pub(crate) fn selection(path: &ResourcePath, query: &Query) -> Result<Selection, Status> {
    let refuse = |error: SelectorError| Status::bad_request(error.to_string());
    let labels = Selector::parse(query.get("labelSelector").unwrap_or_default()).map_err(refuse)?;
    let mut text = query.get("fieldSelector").unwrap_or_default().to_owned();
    if let Some(name) = &path.name {
        // The old /watch/ form names one object.
        let comma = if text.is_empty() { "" } else { "," };
        text = format!("metadata.name={name}{comma}{text}");
    }
    let mut fields = FieldSelector::parse(&text).map_err(refuse)?;
    if !fields.is_empty() {
        let offered = path.kind.resource.strategy.selectable_fields(&json!({}));
        for term in fields.terms() {
            let field = term.field.as_str();
            let known = ["", "metadata.name", "metadata.namespace"].contains(&field)
                || offered.iter().any(|(f, _)| *f == field);
            if !known {
                return Err(Status::bad_request(
                    if offered.is_empty() && !path.kind.schema.is_custom() {
                        format!(
                            "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                        )
                    } else {
                        format!("field label not supported: {field}")
                    },
                ));
            }
        }
    }
    let form_fields = path.kind.own_conditions(&mut fields);
    Ok(Selection {
        namespace: path.namespace.clone(),
        labels,
        form_fields,
        fields,
    })
}
