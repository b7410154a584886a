//! Event (events.k8s.io/v1): the newer form of core events, with stricter rules for whoever writes it. It refuses to know
//! where events are kept: in the older form.

use jiff::Timestamp;
use serde_json::Value;

use super::core::event::{self, Rules as Stored};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::names::{self, Rule};
use crate::resource::{Conversion, Resource, Strategy};
use crate::resources::checks::each;
use crate::resources::object::{ensure, fill, given, int, put, text};
use crate::resources::typed::{Field, Shape, printed};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "events.k8s.io",
        strategy: &Rules,
        ..event::resource()
    }
}

static CONVERSION: Conversion = Conversion {
    stored: ("", "v1", "events"),
    from_stored,
    to_stored,
};

/// Fields by their names in this form and in the older one.
const NAMES: [(&str, &str); 7] = [
    ("deprecatedCount", "count"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedSource", "source"),
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
];

fn from_stored(stored: Value) -> Value {
    let mut object = renamed(stored, NAMES.map(|(new, old)| (old, new)));
    put(&mut object, "apiVersion", "events.k8s.io/v1".into());
    // This form leaves out what says nothing.
    for field in ["reportingController", "reportingInstance"] {
        if text(&object, field).is_empty() {
            put(&mut object, field, Value::Null);
        }
    }
    object
}

fn to_stored(object: Value) -> Value {
    let mut stored = renamed(object, NAMES);
    put(&mut stored, "apiVersion", "v1".into());
    for field in ["reportingComponent", "reportingInstance"] {
        fill(&mut stored, field, "");
    }
    stored
}

fn renamed(mut object: Value, names: [(&str, &str); NAMES.len()]) -> Value {
    if let Some(fields) = object.as_object_mut() {
        for (from, to) in names {
            if let Some(value) = fields.remove(from) {
                fields.insert(to.to_owned(), value);
            }
        }
    }
    object
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        // Fields that are shown even when they say nothing.
        ensure(object, "regarding");
        ensure(object, "deprecatedSource");
        for time in [
            "eventTime",
            "deprecatedFirstTimestamp",
            "deprecatedLastTimestamp",
        ] {
            fill(object, time, Value::Null);
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let stored = to_stored(object.clone());
        let mut errors = Stored.validate(&stored);
        let name = meta::name(object);
        errors.extend(each(
            names::dns1123_subdomain(name, false),
            &Path::new("metadata.name"),
            name,
        ));
        errors.extend(faults_of_series(&stored));
        if !given(&stored, "eventTime") {
            errors.push(FieldError::required(&Path::new("eventTime"), ""));
        }
        let kind = text(&stored, "type");
        if !matches!(kind, "Normal" | "Warning") {
            let fault = format!("has invalid value: {kind}");
            errors.push(FieldError::invalid(&Path::new("type"), "", fault));
        }
        let source = &stored["source"];
        let old = [
            ("firstTimestamp", given(&stored, "firstTimestamp")),
            ("lastTimestamp", given(&stored, "lastTimestamp")),
            ("count", int(&stored, "count").unwrap_or(0) != 0),
            (
                "source",
                !text(source, "component").is_empty() || !text(source, "host").is_empty(),
            ),
        ];
        for (field, set) in old {
            if set {
                errors.push(FieldError::invalid(
                    &Path::new(field),
                    "",
                    "needs to be unset",
                ));
            }
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let [new, old] = [new, old].map(|object| to_stored(object.clone()));
        let mut errors = Stored.validate(&new);
        if new["series"] != old["series"] {
            errors.extend(faults_of_series(&new));
        }
        for (field, path, shape) in UNCHANGING {
            if new[*field] != old[*field] {
                let at = Path::new(path);
                let error = FieldError::invalid(&at, Value::Null, "field is immutable");
                errors.push(error.showing(printed(&new[*field], *shape)));
            }
        }
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        Stored.row(&to_stored(object.clone()), now)
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let regarding = &object["regarding"];
        let of = |field: &str| text(regarding, field).to_owned();
        vec![
            ("reason", text(object, "reason").to_owned()),
            ("regarding.kind", of("kind")),
            ("regarding.namespace", of("namespace")),
            ("regarding.name", of("name")),
            ("regarding.uid", of("uid")),
            ("regarding.apiVersion", of("apiVersion")),
            ("regarding.resourceVersion", of("resourceVersion")),
            ("regarding.fieldPath", of("fieldPath")),
            (
                "reportingController",
                text(object, "reportingController").to_owned(),
            ),
            ("type", text(object, "type").to_owned()),
        ]
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn name_rule(&self) -> Rule {
        names::path_segment
    }

    fn conversion(&self) -> Option<&'static Conversion> {
        Some(&CONVERSION)
    }
}

/// A series has at least two events, and the last one is known.
fn faults_of_series(stored: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !given(stored, "series") {
        return errors;
    }
    let series = &stored["series"];
    if int(series, "count").unwrap_or(0) < 2 {
        errors.push(FieldError::invalid(
            &Path::new("series.count"),
            "",
            "should be at least 2",
        ));
    }
    if !given(series, "lastObservedTime") {
        errors.push(FieldError::required(
            &Path::new("series.lastObservedTime"),
            "",
        ));
    }
    errors
}

const REFERENCE: &[Field] = &[
    ("Kind", "kind", Shape::Text),
    ("Namespace", "namespace", Shape::Text),
    ("Name", "name", Shape::Text),
    ("UID", "uid", Shape::Text),
    ("APIVersion", "apiVersion", Shape::Text),
    ("ResourceVersion", "resourceVersion", Shape::Text),
    ("FieldPath", "fieldPath", Shape::Text),
];

const SOURCE: &[Field] = &[
    ("Component", "component", Shape::Text),
    ("Host", "host", Shape::Text),
];

/// What an update in this form may not change: the field of the stored form, its name in refusals, its shape there.
const UNCHANGING: &[(&str, &str, Shape)] = &[
    ("involvedObject", "involvedObject", Shape::Struct(REFERENCE)),
    ("reason", "reason", Shape::Text),
    ("message", "message", Shape::Text),
    ("source", "source", Shape::Struct(SOURCE)),
    ("firstTimestamp", "firstTimestamp", Shape::Plain),
    ("lastTimestamp", "lastTimestamp", Shape::Plain),
    ("count", "count", Shape::Number),
    ("reason", "reason", Shape::Text),
    ("type", "type", Shape::Text),
    ("eventTime", "eventTime", Shape::Plain),
    ("action", "action", Shape::Text),
    ("related", "related", Shape::Optional(REFERENCE)),
    ("reportingComponent", "reportingController", Shape::Text),
    ("reportingInstance", "reportingInstance", Shape::Text),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    fn newer() -> Value {
        json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": "a"},
            "eventTime": "2024-05-05T05:05:05.000001Z", "action": "Act", "reason": "Because", "note": "n", "type": "Normal",
            "reportingController": "example.com/c", "reportingInstance": "c-1", "deprecatedSource": {},
            "deprecatedFirstTimestamp": null, "deprecatedLastTimestamp": null,
            "regarding": {"kind": "Pod", "name": "p", "namespace": "a"}})
    }

    #[test]
    fn both_forms_say_the_same() {
        let stored = to_stored(newer());
        assert_eq!(stored["apiVersion"], "v1");
        assert_eq!(stored["involvedObject"]["name"], "p");
        assert_eq!(stored["message"], "n");
        assert_eq!(stored["reportingComponent"], "example.com/c");
        assert_eq!(stored.get("note"), None);
        assert_eq!(from_stored(stored), newer());
    }

    #[test]
    fn the_newer_form_has_stricter_rules() {
        assert!(Rules.validate(&newer()).is_empty());
        let mut bad = newer();
        json_patch::merge(
            &mut bad,
            &json!({"eventTime": null, "type": "Odd", "deprecatedCount": 2, "deprecatedSource": {"host": "h"},
                    "series": {"count": 1}}),
        );
        assert_eq!(
            texts(&Rules.validate(&bad)),
            [
                r#"series.count: Invalid value: "": should be at least 2"#,
                "series.lastObservedTime: Required value",
                "eventTime: Required value",
                r#"type: Invalid value: "": has invalid value: Odd"#,
                r#"count: Invalid value: "": needs to be unset"#,
                r#"source: Invalid value: "": needs to be unset"#,
            ]
        );
    }

    #[test]
    fn what_happened_does_not_change() {
        let mut changed = newer();
        changed["note"] = "m".into();
        changed["regarding"]["name"] = "q".into();
        changed["series"] = json!({"count": 2, "lastObservedTime": "2024-05-05T05:05:06.000000Z"});
        assert_eq!(
            texts(&Rules.validate_update(&changed, &newer())),
            [
                r#"involvedObject: Invalid value: {"Kind":"Pod","Namespace":"a","Name":"q","UID":"","APIVersion":"","ResourceVersion":"","FieldPath":""}: field is immutable"#,
                r#"message: Invalid value: "m": field is immutable"#,
            ]
        );
    }
}
