//! Applies a client's patch to a live object: JSON patch, JSON merge patch and strategic merge patch.
//! It refuses to know about storage, conflicts and validation.

mod gotext;
mod json;
mod merge;
mod ordering;
mod strategic;

pub(crate) use gotext::any as go_value;
use serde_json::Value;

use crate::decode::{Dialect, FieldValidation, Node, decode_patched, fit, set_type, strict_error};
use crate::schema::{Gvk, TypeSchema};
use crate::status::{Cause, Details, Status};

/// The kind of a patch, by its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// `application/json-patch+json`, RFC 6902.
    Json,
    /// `application/merge-patch+json`, RFC 7386.
    Merge,
    /// `application/strategic-merge-patch+json`.
    Strategic,
}

/// A patched object and what the client should be told about it.
#[derive(Debug)]
pub struct Patched {
    /// The object, holding only fields of its schema.
    pub object: Value,
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
}

/// Why a patch could not be applied. [`Status`] is made from it with upstream's codes and texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch itself is wrong: 400.
    #[error("{0}")]
    BadRequest(String),
    /// The patch has more operations than the server is willing to run: 413.
    #[error("{0}")]
    TooLarge(String),
    /// An operation of a JSON patch does not apply to the object: 422 with a text that does not say so.
    #[error("{0}")]
    Rejected(String),
    /// The patched object cannot be decoded: 422 with one cause on the field `patch`.
    #[error("{detail}")]
    Invalid {
        /// The object or patch as upstream prints it.
        value: String,
        /// Why it is bad.
        detail: String,
    },
    /// The patch has a form that upstream did not think of: 500.
    #[error("{0}")]
    Internal(String),
}

/// Applies a patch of any kind and fits the result to the schema, as the API server does for `PATCH`.
///
/// `schema` must be that of a kind that is served, so that it names its group, version and kind.
pub fn apply(
    kind: PatchKind,
    schema: &'static TypeSchema,
    live: &Value,
    patch: &[u8],
    validation: FieldValidation,
) -> Result<Patched, PatchError> {
    let gvk = schema.gvk.unwrap_or(Gvk::of("", "v1", schema.short_name()));
    let (object, mut problems, value) = match kind {
        PatchKind::Json | PatchKind::Merge => {
            let (patched, problems) = match kind {
                PatchKind::Json => json::apply(live, patch)?,
                _ => merge::apply(live, patch)?,
            };
            let text = gotext::patched_json(schema, live, &patched);
            match decode_patched(schema, &gvk, patched) {
                Ok((object, more)) => (object, [problems, more].concat(), text),
                Err(detail) => {
                    return Err(PatchError::Invalid {
                        value: text,
                        detail,
                    });
                }
            }
        }
        PatchKind::Strategic => {
            let (patch, problems) = strategic::parse(patch)?;
            let text = gotext::value(&patch);
            let patched = strategic::apply(schema, live, patch)?;
            match fit(schema, Node::from(patched), Dialect::Converter) {
                Ok((mut object, more)) => {
                    set_type(&mut object, &gvk);
                    (object, [problems, more].concat(), text)
                }
                Err(detail) => {
                    return Err(PatchError::Invalid {
                        value: text,
                        detail,
                    });
                }
            }
        }
    };
    match validation {
        FieldValidation::Strict if !problems.is_empty() => {
            return Err(PatchError::Invalid {
                value,
                detail: strict_error(&problems),
            });
        }
        FieldValidation::Warn => {}
        FieldValidation::Strict | FieldValidation::Ignore => problems.clear(),
    }
    Ok(Patched {
        object,
        warnings: problems,
    })
}

/// Applies an RFC 6902 patch, with the liberties of upstream's library: `replace` may add a field, and negative
/// list indices count from the end.
pub fn json(live: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    json::apply(live, patch).map(|(object, _)| object)
}

/// Applies an RFC 7386 patch.
pub fn merge(live: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    merge::apply(live, patch).map(|(object, _)| object)
}

/// Applies a strategic merge patch.
pub fn strategic(
    schema: &'static TypeSchema,
    live: &Value,
    patch: &[u8],
) -> Result<Value, PatchError> {
    strategic::apply(schema, live, strategic::parse(patch)?.0)
}

impl From<PatchError> for Status {
    fn from(error: PatchError) -> Self {
        let (code, reason, message, details) = match error {
            PatchError::BadRequest(message) => (400, "BadRequest", message, None),
            PatchError::TooLarge(message) => (413, "RequestEntityTooLarge", message, None),
            PatchError::Rejected(_) => (
                422,
                "Invalid",
                "the server rejected our request due to an error in our request".to_owned(),
                Some(Details::default()),
            ),
            PatchError::Invalid { value, detail } => {
                let message = format!("Invalid value: {value:?}: {detail}");
                let text = format!(" \"\" is invalid: patch: {message}");
                let cause = Cause {
                    reason: "FieldValueInvalid".to_owned(),
                    message,
                    field: "patch".to_owned(),
                };
                (
                    422,
                    "Invalid",
                    text,
                    Some(Details {
                        causes: vec![cause],
                        ..Details::default()
                    }),
                )
            }
            PatchError::Internal(message) => (500, "", message, None),
        };
        Self {
            code,
            reason: reason.into(),
            message,
            details,
        }
    }
}

#[cfg(test)]
mod tests;
