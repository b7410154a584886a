//! LimitRange (core/v1): what amounts objects of a namespace may and do ask for.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::Quantity;
use crate::field::{FieldError, Path};
use crate::meta;
use crate::names;
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::each;
use crate::resources::columns::{CREATED_AT, NAME};
use crate::resources::object::{
    amount_of, canonical_amounts, ensure, fill, given, items, list, null_when_empty, text,
};
use crate::resources::resource_names;

const TYPES: [&str; 3] = ["Container", "PersistentVolumeClaim", "Pod"];
const AMOUNTS: [&str; 5] = [
    "max",
    "min",
    "default",
    "defaultRequest",
    "maxLimitRequestRatio",
];

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "LimitRange",
        list_kind: "LimitRangeList",
        plural: "limitranges",
        singular: "limitrange",
        short_names: &["limits"],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn prepare_create(&self, object: &mut Value) {
        null_when_empty(ensure(object, "spec"), "limits");
    }

    fn prepare_update(&self, new: &mut Value, _old: &Value) {
        null_when_empty(ensure(new, "spec"), "limits");
    }

    fn default(&self, object: &mut Value) {
        for item in items(ensure(object, "spec"), "limits") {
            for field in AMOUNTS {
                canonical_amounts(item, field);
            }
            if text(item, "type") != "Container" {
                continue;
            }
            // The most is also the default, the default limit or the least also the default request.
            for (from, to) in [
                ("max", "default"),
                ("default", "defaultRequest"),
                ("min", "defaultRequest"),
            ] {
                let Some(amounts) = item[from].as_object().cloned() else {
                    continue;
                };
                let target = ensure(item, to);
                for (name, amount) in amounts {
                    fill(target, &name, amount);
                }
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let path = Path::new("spec.limits");
        let (mut errors, mut seen) = (Vec::new(), BTreeSet::new());
        for (index, item) in list(&object["spec"], "limits").iter().enumerate() {
            let at = path.index(index);
            let (kind, kind_at) = (text(item, "type"), at.child("type"));
            errors.extend(each(names::qualified_name(kind), &kind_at, kind));
            if !kind.contains('/') && !TYPES.contains(&kind) {
                let detail = "must be a standard limit type or fully qualified";
                errors.push(FieldError::invalid(&kind_at, kind, detail));
            }
            if !seen.insert(kind) {
                errors.push(FieldError::duplicate(&kind_at, kind));
            }
            errors.extend(limit(item, &at));
        }
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    fn row(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        let created = object["metadata"]["creationTimestamp"].clone();
        vec![meta::name(object).into(), created]
    }
}

/// One item: the names of its amounts, then how the amounts of each name fit together.
fn limit(item: &Value, path: &Path) -> Vec<FieldError> {
    let kind = text(item, "type");
    let mut errors = Vec::new();
    let mut amounts: BTreeMap<&str, BTreeMap<&str, Quantity>> = BTreeMap::new();
    for field in AMOUNTS {
        let given_amounts = item[field].as_object();
        let at = path.child(field);
        if kind == "Pod" && matches!(field, "default" | "defaultRequest") {
            if given_amounts.is_some_and(|amounts| !amounts.is_empty()) {
                let detail = "may not be specified when `type` is 'Pod'";
                errors.push(FieldError::forbidden(&at, detail));
            }
            continue;
        }
        if field == "maxLimitRequestRatio" && kind == "PersistentVolumeClaim" {
            errors.extend(bounded(item, path));
        }
        for (name, value) in given_amounts.into_iter().flatten() {
            errors.extend(match kind {
                "Pod" | "Container" => resource_names::of_container(name, &at.key(name)),
                _ => resource_names::any(name, &at.key(name)),
            });
            if let Some(amount) = amount_of(value) {
                amounts.entry(name).or_default().insert(field, amount);
            }
        }
    }
    for (name, amounts) in amounts {
        errors.extend(fit(name, &amounts, path));
    }
    errors
}

/// A limit on claims limits their size.
fn bounded(item: &Value, path: &Path) -> Option<FieldError> {
    let unbounded = ["min", "max"]
        .iter()
        .all(|field| !given(&item[*field], "storage"));
    let detail = "either minimum or maximum storage value is required, but neither was provided";
    unbounded.then(|| FieldError::required(&path.child("limits"), detail))
}

/// How the amounts of one resource fit together.
fn fit(name: &str, amounts: &BTreeMap<&str, Quantity>, path: &Path) -> Vec<FieldError> {
    let of = |field: &str| amounts.get(field).copied();
    let mut errors = Vec::new();
    let mut fault = |field: &str, value: Quantity, detail: String| {
        let at = path.child(field).key(name);
        errors.push(FieldError::invalid(&at, value.to_string(), detail));
    };
    let (min, max) = (of("min"), of("max"));
    let (limit, request) = (of("default"), of("defaultRequest"));
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        let detail = format!("min value {min} is greater than max value {max}");
        fault("min", min, detail);
    }
    if let Some(request) = request {
        if let Some(min) = min.filter(|min| *min > request) {
            let detail = format!("min value {min} is greater than default request value {request}");
            fault("defaultRequest", request, detail);
        }
        if let Some(max) = max.filter(|max| request > *max) {
            let detail = format!("default request value {request} is greater than max value {max}");
            fault("defaultRequest", request, detail);
        }
        if let Some(limit) = limit.filter(|limit| request > *limit) {
            let detail = format!(
                "default request value {request} is greater than default limit value {limit}"
            );
            fault("defaultRequest", request, detail);
        }
    }
    if let Some(limit) = limit {
        // Upstream shows the bound here, not the value that breaks it.
        if let Some(min) = min.filter(|min| *min > limit) {
            let detail = format!("min value {min} is greater than default value {limit}");
            fault("default", min, detail);
        }
        if let Some(max) = max.filter(|max| limit > *max) {
            let detail = format!("default value {limit} is greater than max value {max}");
            fault("default", max, detail);
        }
    }
    if let Some(ratio) = of("maxLimitRequestRatio") {
        if ratio < Quantity::whole(1) {
            let detail = format!("ratio {ratio} is less than 1");
            fault("maxLimitRequestRatio", ratio, detail);
        }
        if let (Some(min), Some(max)) = (min, max) {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a ratio is compared as upstream compares it, in floating point"
            )]
            let (widest, ratio_value) = (
                max.millis_ceil() as f64 / min.millis_ceil() as f64,
                ratio.millis_ceil() as f64 / 1000.0,
            );
            if ratio_value > widest {
                let detail = format!("ratio {ratio} is greater than max/min = {widest:.6}");
                fault("maxLimitRequestRatio", ratio, detail);
            }
        }
    }
    if let (Some(limit), Some(request)) = (limit, request)
        && !resource_names::overcommitted(name)
        && limit != request
    {
        let detail =
            format!("default value {limit} must equal to defaultRequest value {request} in {name}");
        fault("default", limit, detail);
    }
    errors
}

const COLUMNS: &[Column] = &[NAME, CREATED_AT];

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    fn range(limits: Value) -> Value {
        let mut range = json!({"metadata": {"name": "r"}, "spec": {}});
        range["spec"]["limits"] = limits;
        Rules.default(&mut range);
        range
    }

    #[test]
    fn bounds_of_containers_are_their_defaults() {
        let given = json!([{"type": "Container", "max": {"cpu": "2", "memory": "1024Mi"}, "min": {"cpu": "100m"}, "default": {"cpu": "500m"}},
            {"type": "Pod", "max": {"memory": "1024Mi"}}]);
        assert_eq!(
            range(given)["spec"]["limits"],
            json!([{"type": "Container", "max": {"cpu": "2", "memory": "1Gi"}, "min": {"cpu": "100m"},
                "default": {"cpu": "500m", "memory": "1Gi"}, "defaultRequest": {"cpu": "500m", "memory": "1Gi"}},
                {"type": "Pod", "max": {"memory": "1Gi"}}])
        );
    }

    #[rstest]
    #[case(json!([{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]), &[
        "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
        "spec.limits[0].defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than default request value 1",
        "spec.limits[0].default[cpu]: Invalid value: \"2\": min value 2 is greater than default value 1"])]
    #[case(json!([{"type": "Pod", "default": {"cpu": "1"}}]), &[
        "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"])]
    #[case(json!([{"type": "PersistentVolumeClaim"}]), &[
        "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided"])]
    #[case(json!([{"type": "Pod"}, {"type": "Pod"}]), &["spec.limits[1].type: Duplicate value: \"Pod\""])]
    #[case(json!([{"type": "Node"}]), &[
        "spec.limits[0].type: Invalid value: \"Node\": must be a standard limit type or fully qualified"])]
    #[case(json!([{"type": "Pod", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3"}}]), &[
        "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"3\": ratio 3 is greater than max/min = 2.000000"])]
    #[case(json!([{"type": "Pod", "max": {"gpus": "1"}}]), &[
        "spec.limits[0].max[gpus]: Invalid value: \"gpus\": must be a standard resource type or fully qualified",
        "spec.limits[0].max[gpus]: Invalid value: \"gpus\": must be a standard resource for containers"])]
    fn limits_are_checked(#[case] limits: Value, #[case] want: &[&str]) {
        assert_eq!(texts(&Rules.validate(&range(limits))), want);
    }
}
