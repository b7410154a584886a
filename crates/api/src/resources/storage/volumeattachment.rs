//! VolumeAttachment (storage.k8s.io/v1): a volume that is to be attached to a node.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::names;
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::checks::each;
use crate::resources::columns::{AGE, NAME, boolean, cell};
use crate::resources::keep;
use crate::resources::object::{ensure, fill, given, text};
use crate::resources::references::driver_name;
use crate::resources::typed::{Shape, printed};
use crate::{meta, table};

const METADATA_MAX: usize = 256 * 1024;
const MESSAGE_MAX: usize = 1024;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "storage.k8s.io",
        version: "v1",
        kind: "VolumeAttachment",
        list_kind: "VolumeAttachmentList",
        plural: "volumeattachments",
        singular: "volumeattachment",
        short_names: &[],
        categories: &[],
        scope: Scope::Cluster,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        crate::resources::keep_all_but_status_alone(new, old);
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static str] {
        crate::resources::reset_beside_status(subresource)
    }

    fn default(&self, object: &mut Value) {
        fill(ensure(object, "status"), "attached", false);
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({"attached": false});
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = body(object);
        let attacher = text(spec, "attacher");
        if !attacher.is_empty() {
            errors.extend(driver_name(attacher, &path.child("attacher")));
        }
        if let Some(volume) = spec["source"]["persistentVolumeName"].as_str() {
            let at = path.child("source").child("persistentVolumeName");
            errors.extend(each(names::dns1123_subdomain(volume, false), &at, volume));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = body(new);
        if new["spec"] != old["spec"] {
            let detail = "field is immutable";
            errors.push(
                FieldError::invalid(&Path::new("spec"), Value::Null, detail)
                    .showing(printed(&new["spec"], SPEC)),
            );
        }
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        status(new)
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        vec![
            meta::name(object).into(),
            text(spec, "attacher").into(),
            text(&spec["source"], "persistentVolumeName").into(),
            text(spec, "nodeName").into(),
            (object["status"]["attached"] == true).into(),
            table::age(object, now),
        ]
    }

    fn shown_when_deleted(&self) -> bool {
        true
    }
}

fn body(object: &Value) -> Vec<FieldError> {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let (source, at) = (&spec["source"], path.child("source"));
    let mut errors = Vec::new();
    if text(spec, "attacher").is_empty() {
        errors.push(FieldError::required(&path.child("attacher"), ""));
    }
    let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (
        given(source, "inlineVolumeSpec"),
        source["persistentVolumeName"].as_str(),
    ) {
        (false, None) => errors.push(FieldError::required(&at, detail)),
        (true, Some(_)) => errors.push(FieldError::forbidden(&at, detail)),
        (false, Some("")) => {
            let detail = "must specify non empty persistentVolumeName";
            let at = at.child("persistentVolumeName");
            errors.push(FieldError::required(&at, detail));
        }
        _ => {}
    }
    let node = text(spec, "nodeName");
    let faults = names::dns1123_subdomain(node, false);
    errors.extend(each(faults, &path.child("nodeName"), node));
    errors.extend(status(object));
    errors
}

fn status(object: &Value) -> Vec<FieldError> {
    let (status, path) = (&object["status"], Path::new("status"));
    let mut errors = Vec::new();
    let metadata = status["attachmentMetadata"].as_object();
    let size: usize = metadata
        .into_iter()
        .flatten()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    if size > METADATA_MAX {
        let at = path.child("attachmentMetadata");
        errors.push(FieldError::too_long(&at, METADATA_MAX));
    }
    for field in ["attachError", "detachError"] {
        let at = path.child(field);
        if text(&status[field], "message").len() > MESSAGE_MAX {
            // Upstream names the other limit.
            errors.push(FieldError::too_long(&at.child("message"), METADATA_MAX));
        }
        if let Some(code) = status[field]["errorCode"].as_i64().filter(|code| *code < 0) {
            let detail = "must be between 0 and 2147483647, inclusive";
            errors.push(FieldError::invalid(&at.child("errorCode"), code, detail));
        }
    }
    errors
}

const SPEC: Shape = Shape::Struct(&[
    ("Attacher", "attacher", Shape::Text),
    (
        "Source",
        "source",
        Shape::Struct(&[
            ("PersistentVolumeName", "persistentVolumeName", Shape::Plain),
            ("InlineVolumeSpec", "inlineVolumeSpec", Shape::Plain),
        ]),
    ),
    ("NodeName", "nodeName", Shape::Text),
]);

const COLUMNS: &[Column] = &[
    NAME,
    Column {
        name: "Attacher",
        kind: "string",
        format: "name",
        description: "attacher indicates the name of the volume driver that MUST handle this request. This is the name returned by GetPluginName().",
        priority: 0,
    },
    cell(
        "PV",
        "persistentVolumeName represents the name of the persistent volume to attach.",
    ),
    cell(
        "Node",
        "nodeName represents the node that the volume should be attached to.",
    ),
    boolean(
        "Attached",
        "attached indicates the volume is successfully attached. This field must only be set by the entity completing the attach operation, i.e. the external-attacher.",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn an_attachment_is_complete_and_stays() {
        let attachment = |volume: &str| json!({"spec": {"attacher": "a.com", "nodeName": "n", "source": {"persistentVolumeName": volume}}});
        assert!(Rules.validate(&attachment("v")).is_empty());
        let none = texts(&Rules.validate(&json!({"spec": {"source": {}}})));
        assert_eq!(none[0], "spec.attacher: Required value");
        assert_eq!(
            none[1],
            "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        );
        assert_eq!(
            texts(&Rules.validate_update(&attachment("w"), &attachment("v"))),
            [
                r#"spec: Invalid value: {"Attacher":"a.com","Source":{"PersistentVolumeName":"w","InlineVolumeSpec":null},"NodeName":"n"}: field is immutable"#
            ]
        );
    }
}
