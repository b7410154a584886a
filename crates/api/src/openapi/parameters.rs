//! The query parameters of the API, as OpenAPI parameters. It refuses to know which operation takes which.

use serde_json::{Value, json};

use super::Dialect;

/// One query parameter: name, OpenAPI type, what it does.
pub(super) type Parameter = (&'static str, &'static str, &'static str);

pub(super) const PRETTY: Parameter = ("pretty", "string", "If 'true', the output is indented.");
pub(super) const SELECT: &[Parameter] = &[
    (
        "labelSelector",
        "string",
        "Only objects whose labels match this selector.",
    ),
    (
        "fieldSelector",
        "string",
        "Only objects whose fields match this selector.",
    ),
    (
        "limit",
        "integer",
        "The most items one answer should have; the rest follows with continue.",
    ),
    (
        "continue",
        "string",
        "Where a list with a limit goes on: the token of the answer before.",
    ),
    (
        "resourceVersion",
        "string",
        "How recent the answer must be.",
    ),
    (
        "resourceVersionMatch",
        "string",
        "How resourceVersion is meant: NotOlderThan or Exact.",
    ),
    ("timeoutSeconds", "integer", "How long the call may last."),
    (
        "sendInitialEvents",
        "boolean",
        "Whether a watch begins with the objects there are.",
    ),
];
pub(super) const WATCH: &[Parameter] = &[
    (
        "watch",
        "boolean",
        "Answer with a stream of changes instead of a list.",
    ),
    (
        "allowWatchBookmarks",
        "boolean",
        "Whether a watch may contain BOOKMARK events.",
    ),
];
pub(super) const WRITE: &[Parameter] = &[
    ("dryRun", "string", "With 'All' nothing is stored."),
    (
        "fieldManager",
        "string",
        "Who makes the change, for managedFields.",
    ),
    (
        "fieldValidation",
        "string",
        "What happens to unknown and duplicate fields: Ignore, Warn or Strict.",
    ),
];
pub(super) const FORCE: &[Parameter] = &[(
    "force",
    "boolean",
    "Whether an apply takes over fields of other managers.",
)];
pub(super) const DELETE: &[Parameter] = &[
    ("dryRun", "string", "With 'All' nothing is deleted."),
    (
        "gracePeriodSeconds",
        "integer",
        "How long the object may take to end.",
    ),
    (
        "orphanDependents",
        "boolean",
        "Whether dependents stay; superseded by propagationPolicy.",
    ),
    (
        "propagationPolicy",
        "string",
        "What happens to dependents: Orphan, Background or Foreground.",
    ),
];
pub(super) const LOG: &[Parameter] = &[
    (
        "container",
        "string",
        "Whose log; needed when the pod has several containers.",
    ),
    (
        "follow",
        "boolean",
        "Whether the answer goes on as the log grows.",
    ),
    (
        "previous",
        "boolean",
        "Whether the log of the container's last run is meant.",
    ),
    (
        "sinceSeconds",
        "integer",
        "Only lines that are at most this old.",
    ),
    ("tailLines", "integer", "Only this many lines from the end."),
    ("limitBytes", "integer", "At most this many bytes."),
    (
        "timestamps",
        "boolean",
        "Whether each line begins with its time.",
    ),
];

/// Gives a parameter its type.
pub(super) fn typed(parameter: &mut Value, ty: &str, dialect: Dialect) {
    match dialect {
        Dialect::V2 => {
            parameter["type"] = json!(ty);
            parameter["uniqueItems"] = json!(true);
        }
        Dialect::V3 => parameter["schema"] = json!({"type": ty, "uniqueItems": true}),
    }
}

pub(super) fn query((name, ty, text): &Parameter, dialect: Dialect) -> Value {
    let mut parameter = json!({"name": name, "in": "query", "description": text});
    typed(&mut parameter, ty, dialect);
    parameter
}
