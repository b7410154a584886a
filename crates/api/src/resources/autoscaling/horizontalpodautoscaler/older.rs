//! HorizontalPodAutoscaler in its older form (autoscaling/v1), which knows the CPU alone: everything else travels in
//! annotations.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{DEFAULT_UTILIZATION, Rules as Stored};
use crate::field::FieldError;
use crate::resource::{Conversion, Resource, Strategy};
use crate::resources::difference::Printed;
use crate::resources::object::{ensure, fill, given, inside, list, put, remove, text};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Fields of a source: this form's name, the path in the stored form; `current` stands for `target` in a status.
type Names = &'static [(&'static str, &'static [&'static str])];

/// The sources of metrics, in the order they are printed.
const SOURCES: [(&str, Names, Names); 5] = [
    (
        "object",
        &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("targetValue", &["target", "value"]),
            ("selector", &["metric", "selector"]),
            ("averageValue", &["target", "averageValue"]),
        ],
        &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("currentValue", &["current", "value"]),
            ("selector", &["metric", "selector"]),
            ("averageValue", &["current", "averageValue"]),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"]),
            ("targetAverageValue", &["target", "averageValue"]),
            ("selector", &["metric", "selector"]),
        ],
        &[
            ("metricName", &["metric", "name"]),
            ("currentAverageValue", &["current", "averageValue"]),
            ("selector", &["metric", "selector"]),
        ],
    ),
    (
        "resource",
        &[
            ("name", &["name"]),
            (
                "targetAverageUtilization",
                &["target", "averageUtilization"],
            ),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
        &[
            ("name", &["name"]),
            (
                "currentAverageUtilization",
                &["current", "averageUtilization"],
            ),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", &["name"]),
            (
                "targetAverageUtilization",
                &["target", "averageUtilization"],
            ),
            ("targetAverageValue", &["target", "averageValue"]),
            ("container", &["container"]),
        ],
        &[
            ("name", &["name"]),
            (
                "currentAverageUtilization",
                &["current", "averageUtilization"],
            ),
            ("currentAverageValue", &["current", "averageValue"]),
            ("container", &["container"]),
        ],
    ),
    (
        "external",
        &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("targetValue", &["target", "value"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
        &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("currentValue", &["current", "value"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
];

static CONVERSION: Conversion = Conversion {
    stored: ("autoscaling", "v2", "horizontalpodautoscalers"),
    from_stored,
    to_stored,
};

/// The description of the older form.
pub(crate) fn resource() -> Resource {
    Resource {
        version: "v1",
        strategy: &Rules,
        ..super::resource()
    }
}

/// The stored form's rules, asked about the stored form.
struct Rules;

/// Lets the stored form's rules change an object of this form.
fn through(object: &mut Value, change: impl FnOnce(&mut Value)) {
    let mut stored = to_stored(object.take());
    change(&mut stored);
    *object = from_stored(stored);
}

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        through(object, |stored| Stored.default(stored));
    }

    fn prepare_create(&self, object: &mut Value) {
        through(object, |stored| Stored.prepare_create(stored));
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        let old = to_stored(old.clone());
        through(new, |stored| Stored.prepare_update(stored, &old));
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        let old = to_stored(old.clone());
        through(new, |stored| Stored.prepare_status_update(stored, &old));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        Stored.validate(&to_stored(object.clone()))
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        Stored.validate_update(&to_stored(new.clone()), &to_stored(old.clone()))
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        Stored.validate_status_update(&to_stored(new.clone()), &to_stored(old.clone()))
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        Stored.row(&to_stored(object.clone()), now)
    }

    fn conversion(&self) -> Option<&'static Conversion> {
        Some(&CONVERSION)
    }
}

/// Whether a metric is the CPU's utilization, which this form has a field for.
fn is_cpu(metric: &Value, amount: &str) -> bool {
    metric["type"] == "Resource"
        && metric["resource"]["name"] == "cpu"
        && given(&metric["resource"][amount], "averageUtilization")
}

fn cpu(metrics: &[Value], amount: &str) -> Value {
    let metric = metrics.iter().find(|metric| is_cpu(metric, amount));
    metric.map_or(Value::Null, |metric| {
        metric["resource"][amount]["averageUtilization"].clone()
    })
}

fn from_stored(mut stored: Value) -> Value {
    put(&mut stored, "apiVersion", "autoscaling/v1".into());
    let mut spec = stored["spec"].take();
    let mut status = stored["status"].take();
    let (metrics, current) = (spec["metrics"].take(), status["currentMetrics"].take());
    let (behavior, conditions) = (spec["behavior"].take(), status["conditions"].take());
    for field in ["metrics", "behavior"] {
        remove(&mut spec, field);
    }
    for field in ["currentMetrics", "conditions"] {
        remove(&mut status, field);
    }
    let (metrics, current) = (
        metrics.as_array().map_or(&[][..], Vec::as_slice),
        current.as_array().map_or(&[][..], Vec::as_slice),
    );
    put(
        &mut spec,
        "targetCPUUtilizationPercentage",
        cpu(metrics, "target"),
    );
    put(
        &mut status,
        "currentCPUUtilizationPercentage",
        cpu(current, "current"),
    );
    fill(&mut status, "currentReplicas", 0);
    fill(&mut status, "desiredReplicas", 0);

    let mut annotations = Map::new();
    for (key, metrics, amount) in [(METRICS, metrics, "target"), (CURRENT, current, "current")] {
        let others: Vec<_> = metrics
            .iter()
            .filter(|metric| !is_cpu(metric, amount))
            .map(|metric| older_metric(metric, amount == "current"))
            .collect();
        if !others.is_empty() {
            annotations.insert(key.to_owned(), Printed::List(others).compact().into());
        }
    }
    let conditions: Vec<_> = list(&json!({"conditions": conditions}), "conditions")
        .iter()
        .map(|condition| {
            let fields = ["type", "status", "lastTransitionTime", "reason", "message"];
            ordered(fields.map(|field| (field, condition[field].clone())))
        })
        .collect();
    if !conditions.is_empty() {
        let text = Printed::List(conditions).compact();
        annotations.insert(CONDITIONS.to_owned(), text.into());
    }
    if behavior.is_object() {
        annotations.insert(
            BEHAVIOR.to_owned(),
            shown_behavior(&behavior).compact().into(),
        );
    }
    if !annotations.is_empty() {
        let all = ensure(ensure(&mut stored, "metadata"), "annotations");
        for (key, text) in annotations {
            put(all, &key, text);
        }
    }
    put(&mut stored, "spec", spec);
    put(&mut stored, "status", status);
    stored
}

fn to_stored(mut object: Value) -> Value {
    put(&mut object, "apiVersion", "autoscaling/v2".into());
    let mut told = [METRICS, CURRENT, CONDITIONS, BEHAVIOR].map(|key| {
        let text = text(&object["metadata"]["annotations"], key);
        serde_json::from_str::<Value>(text).unwrap_or_default()
    });
    if let Some(annotations) = inside(&mut object, "metadata")
        .and_then(|metadata| inside(metadata, "annotations"))
        .and_then(Value::as_object_mut)
    {
        annotations
            .retain(|key, _| ![METRICS, CURRENT, CONDITIONS, BEHAVIOR].contains(&key.as_str()));
        if annotations.is_empty() {
            remove(&mut object["metadata"], "annotations");
        }
    }
    let [metrics, current, conditions, behavior] = &mut told;
    let stored_metrics = |metrics: &Value, status: bool| -> Vec<Value> {
        let metrics = metrics.as_array().into_iter().flatten();
        metrics
            .map(|metric| stored_metric(metric, status))
            .collect()
    };
    let spec = ensure(&mut object, "spec");
    let mut all = stored_metrics(metrics, false);
    let mut target = spec["targetCPUUtilizationPercentage"].take();
    remove(spec, "targetCPUUtilizationPercentage");
    if target.is_null() && all.is_empty() {
        target = DEFAULT_UTILIZATION.into();
    }
    if !target.is_null() {
        all.push(json!({"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": target}}}));
    }
    put(spec, "metrics", all.into());
    if behavior.is_object() {
        put(spec, "behavior", stored_behavior(behavior));
    }
    let status = ensure(&mut object, "status");
    let mut all = stored_metrics(current, true);
    let used = status["currentCPUUtilizationPercentage"].take();
    remove(status, "currentCPUUtilizationPercentage");
    if !used.is_null() {
        all.push(json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": used}}}));
    }
    let all = if all.is_empty() {
        Value::Null
    } else {
        all.into()
    };
    put(status, "currentMetrics", all);
    fill(status, "currentMetrics", Value::Null);
    fill(status, "desiredReplicas", 0);
    if status["currentReplicas"] == 0 {
        remove(status, "currentReplicas");
    }
    put(status, "conditions", conditions.take());
    object
}

fn ordered<const N: usize>(fields: [(&str, Value); N]) -> Printed {
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    Printed::Object(
        fields
            .map(|(name, value)| (name.to_owned(), Printed::Value(value)))
            .collect(),
    )
}

fn older_metric(metric: &Value, status: bool) -> Printed {
    let mut fields = vec![("type".to_owned(), Printed::Value(metric["type"].clone()))];
    for (source, spec_names, status_names) in SOURCES {
        if !given(metric, source) {
            continue;
        }
        let names = if status { status_names } else { spec_names };
        let of_source = names.iter().filter_map(|(name, path)| {
            let value = path
                .iter()
                .try_fold(&metric[source], |value, part| value.get(*part))?;
            let printed = match *name {
                "target" => reference(value),
                _ => Printed::Value(value.clone()),
            };
            Some(((*name).to_owned(), printed))
        });
        fields.push((source.to_owned(), Printed::Object(of_source.collect())));
    }
    Printed::Object(fields)
}

fn reference(reference: &Value) -> Printed {
    ordered(["kind", "name", "apiVersion"].map(|field| (field, reference[field].clone())))
}

fn stored_metric(metric: &Value, status: bool) -> Value {
    let mut stored = json!({"type": metric["type"]});
    for (source, spec_names, status_names) in SOURCES {
        if !given(metric, source) {
            continue;
        }
        let names = if status { status_names } else { spec_names };
        let mut into = json!({});
        for (name, path) in names {
            if given(&metric[source], name) {
                let place = path.iter().fold(&mut into, |place, part| &mut place[*part]);
                *place = metric[source][*name].clone();
            }
        }
        if !status {
            let target = ensure(&mut into, "target");
            let kind = if given(target, "averageUtilization") {
                "Utilization"
            } else if given(target, "averageValue") {
                "AverageValue"
            } else {
                "Value"
            };
            put(target, "type", kind.into());
        }
        stored[source] = into;
    }
    stored
}

/// Directions and rules under the names upstream prints, every field shown.
fn shown_behavior(behavior: &Value) -> Printed {
    let direction = |name: &str| match &behavior[name] {
        Value::Null => Printed::Value(Value::Null),
        rules => {
            let policies = list(rules, "policies").iter().map(|policy| {
                ordered([
                    ("Type", policy["type"].clone()),
                    ("Value", policy["value"].clone()),
                    ("PeriodSeconds", policy["periodSeconds"].clone()),
                ])
            });
            Printed::Object(vec![
                (
                    "StabilizationWindowSeconds".to_owned(),
                    Printed::Value(rules["stabilizationWindowSeconds"].clone()),
                ),
                (
                    "SelectPolicy".to_owned(),
                    Printed::Value(rules["selectPolicy"].clone()),
                ),
                ("Policies".to_owned(), Printed::List(policies.collect())),
                (
                    "Tolerance".to_owned(),
                    Printed::Value(rules["tolerance"].clone()),
                ),
            ])
        }
    };
    Printed::Object(vec![
        ("ScaleUp".to_owned(), direction("scaleUp")),
        ("ScaleDown".to_owned(), direction("scaleDown")),
    ])
}

fn stored_behavior(behavior: &Value) -> Value {
    let mut stored = json!({});
    for (older, name) in [("ScaleUp", "scaleUp"), ("ScaleDown", "scaleDown")] {
        let rules = &behavior[older];
        if rules.is_null() {
            continue;
        }
        let mut into = json!({});
        for (older, name) in [
            ("StabilizationWindowSeconds", "stabilizationWindowSeconds"),
            ("SelectPolicy", "selectPolicy"),
            ("Tolerance", "tolerance"),
        ] {
            put(&mut into, name, rules[older].clone());
        }
        let policies = list(rules, "Policies").iter().map(|policy| {
            json!({"type": policy["Type"], "value": policy["Value"], "periodSeconds": policy["PeriodSeconds"]})
        });
        put(&mut into, "policies", policies.collect::<Vec<_>>().into());
        put(&mut stored, name, into);
    }
    stored
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    fn stored() -> Value {
        let mut stored = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "a", "annotations": {"own": "1"}},
            "spec": {"maxReplicas": 5, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
                "metrics": [
                    {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s", "apiVersion": "v1"},
                        "metric": {"name": "m"}, "target": {"type": "Value", "value": "5"}}},
                    {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "1k"}}},
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}},
            "status": {"currentReplicas": 2, "desiredReplicas": 3,
                "conditions": [{"type": "AbleToScale", "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2024-01-01T00:00:00Z"}],
                "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12}}}]}});
        Stored.default(&mut stored);
        stored
    }

    #[test]
    fn what_this_form_has_no_field_for_is_annotated_and_comes_back() {
        let older = from_stored(stored());
        assert_eq!(older["spec"]["targetCPUUtilizationPercentage"], 70);
        assert_eq!(
            older["status"],
            json!({"currentReplicas": 2, "desiredReplicas": 3, "currentCPUUtilizationPercentage": 12})
        );
        let annotations = &older["metadata"]["annotations"];
        assert_eq!(
            annotations[METRICS],
            "[{\"type\":\"Object\",\"object\":{\"target\":{\"kind\":\"Service\",\"name\":\"s\",\"apiVersion\":\"v1\"},\"metricName\":\"m\",\"targetValue\":\"5\"}},\
             {\"type\":\"Pods\",\"pods\":{\"metricName\":\"rps\",\"targetAverageValue\":\"1k\"}}]"
        );
        assert!(
            text(annotations, BEHAVIOR).ends_with(
                "\"ScaleDown\":{\"StabilizationWindowSeconds\":60,\"SelectPolicy\":\"Max\",\"Policies\":[{\"Type\":\"Percent\",\"Value\":100,\"PeriodSeconds\":15}],\"Tolerance\":null}}"
            ),
            "{annotations}"
        );
        assert_eq!(
            annotations[CONDITIONS],
            "[{\"type\":\"AbleToScale\",\"status\":\"True\",\"lastTransitionTime\":\"2024-01-01T00:00:00Z\",\"reason\":\"R\",\"message\":\"m\"}]"
        );
        assert_eq!(to_stored(older), stored());
    }

    #[test]
    fn a_minimal_older_autoscaler_is_completed_and_judged() {
        let mut older = json!({"metadata": {"name": "a"}, "spec": {"maxReplicas": 2,
            "scaleTargetRef": {"kind": "ReplicationController", "name": "r"}}});
        Rules.default(&mut older);
        Rules.prepare_create(&mut older);
        assert_eq!(older["metadata"], json!({"name": "a"}));
        assert_eq!(
            older["spec"],
            json!({"maxReplicas": 2, "minReplicas": 1, "targetCPUUtilizationPercentage": 80,
                "scaleTargetRef": {"kind": "ReplicationController", "name": "r"}})
        );
        assert_eq!(
            older["status"],
            json!({"currentReplicas": 0, "desiredReplicas": 0})
        );
        assert!(Rules.validate(&older).is_empty());
        older["spec"]["maxReplicas"] = 0.into();
        assert!(
            texts(&Rules.validate(&older))[0].starts_with("spec.maxReplicas: Invalid value: 0")
        );
    }

    #[test]
    fn an_update_in_this_form_keeps_what_only_the_status_tells() {
        let old = from_stored(stored());
        let mut new = old.clone();
        remove(&mut new["metadata"], "annotations");
        Rules.prepare_update(&mut new, &old);
        assert_eq!(
            new["metadata"]["annotations"][CONDITIONS],
            old["metadata"]["annotations"][CONDITIONS]
        );
        assert_eq!(new["metadata"]["annotations"].get(BEHAVIOR), None);
    }
}
