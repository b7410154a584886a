//! Event (core/v1): something that happened to an object. Kept for a while only.

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::each;
use crate::resources::columns::{cell, wide};
use crate::resources::object::{ensure, fill, given, int, text};
use crate::{meta, names, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "Event",
        list_kind: "EventList",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

/// The rules of events, which their newer form shares.
pub(in crate::resources) struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        // Fields that are shown even when they say nothing.
        ensure(object, "involvedObject");
        ensure(object, "source");
        fill(object, "reportingComponent", "");
        fill(object, "reportingInstance", "");
        for time in ["eventTime", "firstTimestamp", "lastTimestamp"] {
            fill(object, time, Value::Null);
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let (namespace, involved) = (
            meta::namespace(object),
            text(&object["involvedObject"], "namespace"),
        );
        let dated = given(object, "eventTime");
        // Events of cluster-wide objects live in these namespaces.
        let fits = match (involved, dated) {
            ("", false) => namespace == "default",
            ("", true) => ["default", "kube-system"].contains(&namespace),
            (_, false) => involved == namespace,
            (_, true) => true,
        };
        if !fits {
            errors.push(FieldError::invalid(
                &Path::new("involvedObject.namespace"),
                involved,
                "does not match event.namespace",
            ));
        }
        if dated {
            errors.extend(faults_of_dated(object));
        }
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let first = ["firstTimestamp", "eventTime"]
            .into_iter()
            .find(|time| given(object, time));
        let first = first.map_or(&Value::Null, |time| &object[time]);
        let series = &object["series"];
        let last = match (
            given(series, "lastObservedTime"),
            given(object, "lastTimestamp"),
        ) {
            (true, _) => &series["lastObservedTime"],
            (false, true) => &object["lastTimestamp"],
            (false, false) => first,
        };
        let count = int(series, "count").or(int(object, "count")).unwrap_or(0);
        let involved = &object["involvedObject"];
        let target = format!(
            "{}/{}",
            text(involved, "kind").to_lowercase(),
            text(involved, "name")
        );
        vec![
            table::since(last, now).into(),
            text(object, "type").into(),
            text(object, "reason").into(),
            target.into(),
            text(involved, "fieldPath").into(),
            source(object).into(),
            text(object, "message").trim().into(),
            table::since(first, now).into(),
            // An event that was never counted happened once.
            count.max(1).into(),
            meta::name(object).into(),
        ]
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let involved = &object["involvedObject"];
        let of = |field_name: &str| text(involved, field_name).to_owned();
        let component = text(&object["source"], "component");
        let reporting = text(object, "reportingComponent");
        vec![
            ("involvedObject.kind", of("kind")),
            ("involvedObject.namespace", of("namespace")),
            ("involvedObject.name", of("name")),
            ("involvedObject.uid", of("uid")),
            ("involvedObject.apiVersion", of("apiVersion")),
            ("involvedObject.resourceVersion", of("resourceVersion")),
            ("involvedObject.fieldPath", of("fieldPath")),
            ("reason", text(object, "reason").to_owned()),
            ("reportingComponent", reporting.to_owned()),
            (
                "source",
                if component.is_empty() {
                    reporting
                } else {
                    component
                }
                .to_owned(),
            ),
            ("type", text(object, "type").to_owned()),
        ]
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn name_rule(&self) -> names::Rule {
        names::path_segment
    }
}

/// Faults of an event that says when it happened: it must also say who reports it, what was done and why.
fn faults_of_dated(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (reporter, at) = (
        text(object, "reportingComponent"),
        Path::new("reportingController"),
    );
    if reporter.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    errors.extend(each(names::qualified_name(reporter), &at, reporter));
    for (field, must, most) in [
        ("reportingInstance", true, 128),
        ("action", true, 128),
        ("reason", true, 128),
        ("message", false, 1024),
    ] {
        let (value, at) = (text(object, field), Path::new(field));
        if must && value.is_empty() {
            errors.push(FieldError::required(&at, ""));
        }
        if value.len() > most {
            let fault = format!("can have at most {most} characters");
            errors.push(FieldError::invalid(&at, "", fault));
        }
    }
    errors
}

/// `component, host` of whoever reported (K-8).
fn source(object: &Value) -> String {
    let either = |of: &Value, field_name: &str, other: &str| {
        let value = text(of, field_name);
        if value.is_empty() {
            text(object, other).to_owned()
        } else {
            value.to_owned()
        }
    };
    let component = either(&object["source"], "component", "reportingComponent");
    let host = either(&object["source"], "host", "reportingInstance");
    if host.is_empty() {
        component
    } else {
        format!("{component}, {host}")
    }
}

const COLUMNS: &[Column] = &[
    cell(
        "Last Seen",
        "The time at which the most recent occurrence of this event was recorded.",
    ),
    cell(
        "Type",
        "Type of this event (Normal, Warning), new types could be added in the future",
    ),
    cell(
        "Reason",
        "This should be a short, machine understandable string that gives the reason for the transition into the object's current status.",
    ),
    cell("Object", "The object that this event is about."),
    wide(
        "Subobject",
        "If referring to a piece of an object instead of an entire object, this string should contain a valid JSON/Go field access statement, such as desiredState.manifest.containers[2]. For example, if the object reference is to a container within a pod, this would take on a value like: \"spec.containers{name}\" (where \"name\" refers to the name of the container that triggered the event) or if no container name is specified \"spec.containers[2]\" (container with index 2 in this pod). This syntax is chosen only to have some well-defined way of referencing a part of an object.",
    ),
    wide(
        "Source",
        "The component reporting this event. Should be a short machine understandable string.",
    ),
    cell(
        "Message",
        "A human-readable description of the status of this operation.",
    ),
    wide(
        "First Seen",
        "The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)",
    ),
    wide("Count", "The number of times this event has occurred."),
    Column {
        name: "Name",
        kind: "string",
        format: "name",
        description: "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
        priority: 1,
    },
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn events_live_beside_their_object() {
        let event = |namespace: &str, involved: Value| {
            texts(&Rules.validate(
                &json!({"metadata": {"namespace": namespace}, "involvedObject": involved}),
            ))
        };
        assert_eq!(
            event("a", json!({})),
            [r#"involvedObject.namespace: Invalid value: "": does not match event.namespace"#]
        );
        assert!(event("default", json!({})).is_empty());
        assert_eq!(event("kube-system", json!({})).len(), 1);
        assert!(event("a", json!({"namespace": "a"})).is_empty());
        assert_eq!(event("a", json!({"namespace": "b"})).len(), 1);
    }

    #[test]
    fn an_event_with_a_time_says_who_reports_it() {
        let mut event = json!({"metadata": {"namespace": "kube-system"}, "eventTime": "2024-01-02T00:00:00.000001Z",
            "involvedObject": {}, "reportingComponent": "a b", "reason": "r".repeat(129)});
        assert_eq!(
            texts(&Rules.validate(&event))
                .iter()
                .map(|text| text.split(": ").next().unwrap())
                .collect::<Vec<_>>(),
            [
                "reportingController",
                "reportingInstance",
                "action",
                "reason"
            ]
        );
        event["reportingComponent"] = "example.com/c".into();
        event["reportingInstance"] = "c-1".into();
        event["action"] = "Act".into();
        event["reason"] = "Because".into();
        assert!(Rules.validate(&event).is_empty());
    }

    #[test]
    fn the_row_names_source_and_times() {
        // K-8
        let now: Timestamp = "2024-01-02T00:01:00Z".parse().unwrap();
        let event = json!({"metadata": {"name": "e"}, "count": 2, "type": "Warning", "reason": "Tested", "message": "m\n",
            "firstTimestamp": "2024-01-01T00:00:00Z", "lastTimestamp": "2024-01-02T00:00:00Z",
            "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.x"}, "source": {"component": "me", "host": "h"}});
        assert_eq!(
            Value::from(Rules.row(&event, now)),
            json!([
                "60s", "Warning", "Tested", "pod/p", "spec.x", "me, h", "m", "24h", 2, "e"
            ])
        );
        let newer = json!({"eventTime": "2024-01-02T00:00:00.000001Z", "reportingComponent": "c", "reportingInstance": "i"});
        let cells = Rules.row(&newer, now);
        assert_eq!(
            (&cells[0], &cells[5], &cells[8]),
            (&json!("60s"), &json!("c, i"), &json!(1))
        );
    }
}
