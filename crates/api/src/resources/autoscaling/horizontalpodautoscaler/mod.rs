//! HorizontalPodAutoscaler (autoscaling/v2): how many replicas a workload has, by what is measured.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::keep;
use crate::resources::object::{ensure, fill, given, int, list, put, text};
use crate::resources::workload::counts;
use crate::{meta, table};

mod older;
mod validation;

pub(crate) use older::resource as older_resource;

/// How full the CPUs shall be when nobody says otherwise, in percent.
const DEFAULT_UTILIZATION: i64 = 80;
/// Metrics a row shows before it counts the rest.
const SHOWN_METRICS: usize = 2;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "autoscaling",
        version: "v2",
        kind: "HorizontalPodAutoscaler",
        list_kind: "HorizontalPodAutoscalerList",
        plural: "horizontalpodautoscalers",
        singular: "horizontalpodautoscaler",
        short_names: &["hpa"],
        categories: &["all"],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        let spec = ensure(object, "spec");
        fill(spec, "minReplicas", 1);
        if list(spec, "metrics").is_empty() {
            let cpu = json!({"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": DEFAULT_UTILIZATION}}});
            put(spec, "metrics", json!([cpu]));
        }
        if given(spec, "behavior") {
            let behavior = ensure(spec, "behavior");
            let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
            let up = ensure(behavior, "scaleUp");
            fill(up, "stabilizationWindowSeconds", 0);
            let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
            fill(up, "policies", json!([pods, percent]));
            let down = ensure(behavior, "scaleDown");
            fill(down, "policies", json!([percent]));
            for direction in ["scaleUp", "scaleDown"] {
                fill(ensure(behavior, direction), "selectPolicy", "Max");
            }
        }
        show_status(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({}));
        show_status(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        validation::spec(&object["spec"], None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        validation::spec(&new["spec"], Some(&old["spec"]))
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let fields = ["currentReplicas", "desiredReplicas"];
        counts(&new["status"], &Path::new("status"), &fields)
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let target = &spec["scaleTargetRef"];
        let least = int(spec, "minReplicas").map_or("<unset>".to_owned(), |min| min.to_string());
        vec![
            meta::name(object).into(),
            format!("{}/{}", text(target, "kind"), text(target, "name")).into(),
            metrics(object).into(),
            least.into(),
            int(spec, "maxReplicas").unwrap_or(0).into(),
            int(&object["status"], "currentReplicas")
                .unwrap_or(0)
                .into(),
            table::age(object, now),
        ]
    }
}

/// Fields of the status that are shown even when nothing is known yet.
fn show_status(object: &mut Value) {
    let status = ensure(object, "status");
    fill(status, "desiredReplicas", 0);
    fill(status, "currentMetrics", Value::Null);
}

/// What is measured, as `current/target`.
fn metrics(object: &Value) -> String {
    let wanted = list(&object["spec"], "metrics");
    if wanted.is_empty() {
        return "<none>".to_owned();
    }
    let measured = list(&object["status"], "currentMetrics");
    let cells: Vec<_> = wanted
        .iter()
        .take(SHOWN_METRICS)
        .enumerate()
        .map(|(index, metric)| metric_text(metric, measured.get(index)))
        .collect();
    let shown = cells.join(", ");
    match wanted.len() - cells.len() {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

fn metric_text(metric: &Value, measured: Option<&Value>) -> String {
    let source = match text(metric, "type") {
        "ContainerResource" => "containerResource",
        "External" => "external",
        "Object" => "object",
        "Pods" => "pods",
        "Resource" => "resource",
        _ => return "<unknown type>".to_owned(),
    };
    let target = &metric[source]["target"];
    let current = |field: &str| measured.map(|measured| &measured[source]["current"][field]);
    let amount = |value: Option<&Value>| {
        let known = value.and_then(Value::as_str);
        known.unwrap_or("<unknown>").to_owned()
    };
    let percent = |value: Option<&Value>| Some(format!("{}%", value?.as_i64()?));
    let name = text(&metric[source], "name");
    match source {
        "resource" | "containerResource" if given(target, "averageValue") => {
            let (now, wanted) = (
                amount(current("averageValue")),
                text(target, "averageValue"),
            );
            format!("{name}: {now}/{wanted}")
        }
        "resource" | "containerResource" => {
            let now = percent(current("averageUtilization"));
            let wanted = percent(target.get("averageUtilization"));
            let (now, wanted) = (
                now.unwrap_or_else(|| "<unknown>".to_owned()),
                wanted.unwrap_or_else(|| "<auto>".to_owned()),
            );
            format!("{name}: {now}/{wanted}")
        }
        "pods" => {
            let (now, wanted) = (
                amount(current("averageValue")),
                text(target, "averageValue"),
            );
            format!("{now}/{wanted}")
        }
        _ if given(target, "averageValue") => {
            let (now, wanted) = (
                amount(current("averageValue")),
                text(target, "averageValue"),
            );
            format!("{now}/{wanted} (avg)")
        }
        _ => format!("{}/{}", amount(current("value")), text(target, "value")),
    }
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Reference",
        "scaleTargetRef points to the target resource to scale, and is used to the pods for which metrics should be collected, as well as to actually change the replica count.",
    ),
    cell(
        "Targets",
        "metrics contains the specifications for which to use to calculate the desired replica count (the maximum replica count across all metrics will be used).  The desired replica count is calculated multiplying the ratio between the target value and the current value by the current number of pods.  Ergo, metrics used must decrease as the pod count is increased, and vice-versa.  See the individual metric source types for more information about how each type of metric must respond. If not set, the default metric will be set to 80% average CPU utilization.",
    ),
    cell(
        "MinPods",
        "minReplicas is the lower limit for the number of replicas to which the autoscaler can scale down.  It defaults to 1 pod.  minReplicas is allowed to be 0 if the alpha feature gate HPAScaleToZero is enabled and at least one Object or External metric is configured.  Scaling is active as long as at least one metric value is available.",
    ),
    cell(
        "MaxPods",
        "maxReplicas is the upper limit for the number of replicas to which the autoscaler can scale up. It cannot be less that minReplicas.",
    ),
    cell(
        "Replicas",
        "currentReplicas is current number of replicas of pods managed by this autoscaler, as last seen by the autoscaler.",
    ),
    AGE,
];

#[cfg(test)]
mod tests;
