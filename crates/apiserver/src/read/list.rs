//! LIST: a snapshot in constant time, filtered by headers, sent as shared bytes. Old states come from undoing recent
//! changes, so pages of one list show one state.

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use plinth_api::table::IncludeObject;
use plinth_api::{Cause, Details, Status, table};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::form::{include, parse, partial, row};
use crate::cache::{Clock, Object, Selection, Snapshot};
use crate::http::answer;
use crate::http::body::ResponseBody;
use crate::http::media::{Accept, Form};
use crate::kind::Kind;
use crate::query::{ListOptions, Match, Query, revision};
use crate::server::Core;

/// Go's unpadded encoding, which does not look at bits beyond the last byte.
const TOKEN: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Where a list goes on; the same fields as upstream's token.
#[derive(Debug, Serialize, Deserialize)]
struct Continuation {
    v: String,
    rv: u64,
    start: String,
}

impl Continuation {
    fn encode(&self) -> String {
        // A struct of a number and two strings always serialises.
        TOKEN.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(token: &str) -> Result<Self, Status> {
        let refuse = |why: String| {
            Status::bad_request(format!(
                "invalid continue token: continue key is not valid: {why}"
            ))
        };
        let bytes = TOKEN
            .decode(token.trim_end_matches('='))
            .map_err(|error| refuse(error.to_string()))?;
        if let Some(byte) = bytes.first().filter(|byte| **byte != b'{') {
            let shown = format!("{:?}", char::from(*byte))
                .replace("\\u{", "\\u00")
                .replace('}', "");
            return Err(refuse(format!(
                "invalid character {shown} looking for beginning of value"
            )));
        }
        let token: Self =
            serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
        if token.v != "meta.k8s.io/v1" {
            return Err(refuse(format!(
                "server does not recognize this encoded version {:?}",
                token.v
            )));
        }
        Ok(token)
    }
}

/// The fuzzer's door: whether a token can be read.
#[cfg(fuzzing)]
pub(crate) fn reads_as_continuation(token: &str) -> bool {
    Continuation::decode(token).is_ok()
}

/// A page of a list.
pub(crate) struct Page {
    pub(crate) objects: Vec<Arc<Object>>,
    revision: u64,
    continuation: Option<String>,
    remaining: Option<usize>,
}

impl Page {
    fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if let Some(token) = &self.continuation {
            metadata["continue"] = token.as_str().into();
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
        metadata
    }
}

/// The objects a list asks for.
pub(crate) async fn selected(
    kind: &Kind,
    selection: &Selection,
    options: &ListOptions,
    core: &Core,
) -> Result<Page, Status> {
    let clock: &Clock = &core.clock;
    let given = match options.resource_version.as_str() {
        "" => 0,
        text => revision(text).map_err(|why| {
            Status::bad_request(format!(
                "invalid resource version: resourceVersion: Invalid value: {text:?}: {why}"
            ))
        })?,
    };
    let continued = options
        .continuation
        .as_deref()
        .map(Continuation::decode)
        .transpose()?;
    let snapshot = match &continued {
        Some(_) if !matches!(options.resource_version.as_str(), "" | "0") => {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        Some(token) => kind.cache.snapshot_at(token.rv, clock).map_err(|_| {
            Status::expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new \
                 list without the continue parameter.",
            )
        })?,
        None => snapshot(kind, options, given, clock)?,
    };
    let after = continued
        .as_ref()
        .and_then(|token| token.start.split_once('/'));
    let mut page = page(&snapshot, selection, options.limit, after);
    page.objects = kind.formed(core, page.objects).await?;
    page.objects
        .retain(|object| selection.matches_form(&object.header));
    Ok(page)
}

fn snapshot(
    kind: &Kind,
    options: &ListOptions,
    given: u64,
    clock: &Clock,
) -> Result<Snapshot, Status> {
    let newest = kind.cache.snapshot(clock);
    if given > newest.revision {
        return Err(too_large(given, newest.revision));
    }
    // A limit with a resourceVersion and nothing else means that very state.
    let exact =
        options.matching == Match::Exact || (options.matching == Match::Unset && options.limit > 0);
    if given == 0 || !exact {
        return Ok(newest);
    }
    kind.cache
        .snapshot_at(given, clock)
        .map_err(|_| Status::expired("The resourceVersion for the provided list is too old."))
}

/// 504 for a resourceVersion that has not been yet.
pub(super) fn too_large(given: u64, current: u64) -> Status {
    let cause = Cause {
        reason: "ResourceVersionTooLarge".to_owned(),
        message: "Too large resource version".to_owned(),
        field: String::new(),
    };
    Status {
        details: Some(Details {
            causes: vec![cause],
            retry_after_seconds: Some(1),
            ..Details::default()
        }),
        ..Status::timeout(format!(
            "Timeout: Too large resource version: {given}, current: {current}"
        ))
    }
}

fn page(
    snapshot: &Snapshot,
    selection: &Selection,
    limit: usize,
    after: Option<(&str, &str)>,
) -> Page {
    let namespace = selection.namespace.as_deref();
    let mut objects = Vec::new();
    let mut continuation = None;
    if selection.place().is_some() && after.is_none() {
        objects.extend(snapshot.all(selection));
    } else {
        for object in snapshot.tree.iter(namespace, after) {
            // Upstream looks no further than the page is long, so the next page may turn out empty.
            if limit > 0 && objects.len() == limit {
                let last: &Object = objects.last().map_or(object, |last: &Arc<Object>| last);
                let start = format!("{}/{}", last.header.namespace, last.header.name);
                let token = Continuation {
                    v: "meta.k8s.io/v1".to_owned(),
                    rv: snapshot.revision,
                    start,
                };
                continuation = Some(token.encode());
                break;
            }
            if selection.matches(&object.header) {
                objects.push(object.clone());
            }
        }
    }
    let remaining = (continuation.is_some() && !selection.selects()).then(|| {
        let passed = after.map_or(0, |after| {
            let all = snapshot.tree.len(namespace);
            all - snapshot.tree.iter(namespace, Some(after)).count()
        });
        snapshot.tree.len(namespace) - passed - objects.len()
    });
    Page {
        objects,
        revision: snapshot.revision,
        continuation,
        remaining,
    }
}

/// Answers with a page in the form the client wants.
pub(crate) fn list(
    kind: &Kind,
    accept: Accept,
    query: &Query,
    page: &Page,
) -> Result<Response<ResponseBody>, Status> {
    match accept.form {
        Form::Object => Ok(answer::pieces(StatusCode::OK, accept, pieces(kind, page))),
        Form::Table(version) => {
            let include: IncludeObject = include(query)?;
            let now = Timestamp::now();
            let rows = page.objects.iter().map(|object| {
                Ok(row(
                    kind.resource,
                    &parse(&object.bytes)?,
                    include,
                    now,
                    version,
                ))
            });
            let mut table = table::table(
                kind.resource,
                rows.collect::<Result<_, Status>>()?,
                &page.metadata(),
                true,
            );
            table["apiVersion"] = format!("meta.k8s.io/{version}").into();
            Ok(answer::value(StatusCode::OK, accept, &table))
        }
        Form::PartialList(version) => {
            let items = page
                .objects
                .iter()
                .map(|object| Ok(partial(&parse(&object.bytes)?, version)));
            let items: Vec<Value> = items.collect::<Result<_, Status>>()?;
            let items = if items.is_empty() {
                Value::Null
            } else {
                items.into()
            };
            let list = json!({"kind": "PartialObjectMetadataList", "apiVersion": format!("meta.k8s.io/{version}"),
                              "metadata": page.metadata(), "items": items});
            Ok(answer::value(StatusCode::OK, accept, &list))
        }
        Form::Partial(_) => Err(Status {
            message: format!(
                "you requested PartialObjectMetadata, but the requested object is a list (*core.{})",
                kind.resource.list_kind
            ),
            ..Status::not_acceptable(&[])
        }),
    }
}

/// The list as its objects' own bytes with glue between them.
fn pieces(kind: &Kind, page: &Page) -> VecDeque<Bytes> {
    let resource = kind.resource;
    let mut metadata = page.metadata();
    // Lists of custom resources say that there is nothing more, and their items say what they are.
    let custom = kind.schema.is_custom();
    if custom && page.continuation.is_none() {
        metadata["continue"] = "".into();
    }
    let head = format!(
        "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
        resource.list_kind,
        resource.api_version(),
    );
    let mut pieces = VecDeque::with_capacity(page.objects.len() * 2 + 2);
    pieces.push_back(Bytes::from(head));
    for (index, object) in page.objects.iter().enumerate() {
        let glue: &[u8] = match (index, custom) {
            (0, true) => b"",
            (_, true) => b",",
            (0, false) => b"{",
            (_, false) => b",{",
        };
        pieces.push_back(Bytes::from_static(glue));
        pieces.push_back(if custom {
            object.bytes.clone()
        } else {
            kind.layout.item(&object.bytes)
        });
    }
    pieces.push_back(Bytes::from_static(b"]}\n"));
    pieces
}
