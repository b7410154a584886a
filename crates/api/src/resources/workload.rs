//! What kinds that keep pods from a template share: selectors, templates, counts, shares and cells. Knows no one kind.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::resources::checks::{label_selector, not_negative};
use crate::resources::object::{given, int, joined, list, text};
use crate::resources::pod_template::{validate_template, warn_template};
use crate::selector::Selector;

/// A required selector of labels that selects something; `noun` is what upstream calls its owner.
pub(crate) fn selector(spec: &Value, path: &Path, noun: &str) -> Vec<FieldError> {
    let (selector, at) = (&spec["selector"], path.child("selector"));
    if selector.is_null() {
        return vec![FieldError::required(&at, "")];
    }
    let mut errors = label_selector(selector, &at);
    errors.extend(empty_selector(selector, &at, noun));
    errors
}

/// A selector that selects everything is a mistake.
pub(crate) fn empty_selector(selector: &Value, path: &Path, noun: &str) -> Option<FieldError> {
    let no_labels = selector["matchLabels"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty);
    (no_labels && list(selector, "matchExpressions").is_empty()).then(|| {
        let detail = format!("empty selector is invalid for {noun}");
        FieldError::invalid(path, selector.clone(), detail)
    })
}

/// The labels of the template must be selected. A selector that cannot be read is reported on its own.
pub(crate) fn template_selected(spec: &Value, path: &Path) -> Option<FieldError> {
    let labels = &spec["template"]["metadata"]["labels"];
    let selected = match Selector::from_object(&spec["selector"]) {
        Ok(selector) => !spec["selector"].is_null() && selector.matches(labels),
        Err(_) => true,
    };
    (!selected).then(|| mismatch(labels, path))
}

/// The fault of template labels that the selector does not select.
pub(crate) fn mismatch(labels: &Value, path: &Path) -> FieldError {
    let at = path.child("template").child("metadata").child("labels");
    let detail = "`selector` does not match template `labels`";
    FieldError::invalid(&at, labels.clone(), detail)
}

/// A template of pods that run until they are deleted.
pub(crate) fn lasting_template(spec: &Value, path: &Path, kind: &str) -> Vec<FieldError> {
    let (template, at) = (&spec["template"], path.child("template"));
    let mut errors = validate_template(template, &at);
    errors.extend(lasting(&template["spec"], &at.child("spec"), kind));
    errors
}

/// Pods that are kept running restart always and have no deadline.
pub(crate) fn lasting(pod: &Value, path: &Path, kind: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if text(pod, "restartPolicy") != "Always" {
        let at = path.child("restartPolicy");
        let policy = text(pod, "restartPolicy");
        errors.push(FieldError::not_supported(&at, policy, &["Always"]));
    }
    if given(pod, "activeDeadlineSeconds") {
        let at = path.child("activeDeadlineSeconds");
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(FieldError::forbidden(&at, detail));
    }
    errors
}

/// A number, or a share of 100 % at most with [`not_above_all`], that is not below zero.
pub(crate) fn positive_share(value: &Value, path: &Path) -> Option<FieldError> {
    let fault = |detail: &str| Some(FieldError::invalid(path, value.clone(), detail));
    match value {
        Value::String(text) if percent(text).is_none() => fault(
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex \
             used for validation is '[0-9]+%')",
        ),
        value if value.as_i64().is_some_and(|number| number < 0) => {
            fault(crate::resources::checks::AT_LEAST_ZERO)
        }
        _ => None,
    }
}

/// No share may be more than everything.
pub(crate) fn not_above_all(value: &Value, path: &Path) -> Option<FieldError> {
    let above = value
        .as_str()
        .and_then(percent)
        .is_some_and(|percent| percent > 100);
    above.then(|| FieldError::invalid(path, value.clone(), "must not be greater than 100%"))
}

/// The number of a count or share, whichever it is; what cannot be read counts as none.
pub(crate) fn share_number(value: &Value) -> i64 {
    match value {
        Value::String(text) => percent(text).unwrap_or(0),
        number => number.as_i64().unwrap_or(0),
    }
}

fn percent(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('%')?;
    let numeric = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    // More digits than fit are more than everything, whatever they say.
    numeric.then(|| digits.parse().unwrap_or(i64::MAX))
}

/// An update strategy under the names upstream prints.
pub(crate) fn shown_strategy(strategy: &Value) -> String {
    let (kind, rolling) = (text(strategy, "type"), &strategy["rollingUpdate"]);
    let rolling = if rolling.is_null() {
        "null".to_owned()
    } else {
        let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
        format!("{{\"MaxUnavailable\":{unavailable},\"MaxSurge\":{surge}}}")
    };
    format!(
        "{{\"Type\":{},\"RollingUpdate\":{rolling}}}",
        Value::from(kind)
    )
}

/// Counts of a status that may not be negative.
pub(crate) fn counts(status: &Value, path: &Path, fields: &[&str]) -> Vec<FieldError> {
    fields
        .iter()
        .filter_map(|field| not_negative(status, field, path))
        .collect()
}

/// Counts of a status that are part of its `replicas`; the available ones are part of the ready ones, too.
pub(crate) fn parts(status: &Value, path: &Path, fields: &[&str]) -> Vec<FieldError> {
    let count = |field: &str| int(status, field).unwrap_or(0);
    let fault = |field: &str, detail: &str| {
        FieldError::invalid(&path.child(field), count(field), detail.to_owned())
    };
    let mut errors: Vec<_> = fields
        .iter()
        .filter(|field| count(field) > count("replicas"))
        .map(|field| fault(field, "cannot be greater than status.replicas"))
        .collect();
    if fields.contains(&"availableReplicas") && count("availableReplicas") > count("readyReplicas")
    {
        errors.push(fault(
            "availableReplicas",
            "cannot be greater than readyReplicas",
        ));
    }
    errors
}

/// The count of name collisions only grows.
pub(crate) fn collisions(new: &Value, old: &Value, path: &Path) -> Option<FieldError> {
    let (after, before) = (int(new, "collisionCount"), int(old, "collisionCount"));
    let fewer = before.is_some_and(|before| after.is_none_or(|after| after < before));
    fewer.then(|| {
        let at = path.child("collisionCount");
        FieldError::invalid(&at, after.unwrap_or(0), "cannot be decremented")
    })
}

/// A warning about a name that is no label, though pods are named and addressed by it.
pub(crate) fn warn_name(object: &Value) -> Option<String> {
    let faults = names::dns1123_label(crate::meta::name(object), false);
    (!faults.is_empty()).then(|| {
        format!(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS \
             label is recommended: [{}]",
            faults.join(" ")
        )
    })
}

/// Warnings about a new or changed template.
pub(crate) fn warn_changed_template(new: &Value, old: Option<&Value>, path: &Path) -> Vec<String> {
    if old.is_some_and(|old| old == new) {
        return Vec::new();
    }
    warn_template(new, path)
}

/// The cells of a template's containers: names and images.
pub(crate) fn container_cells(template: &Value) -> [Value; 2] {
    let containers = list(&template["spec"], "containers");
    [
        joined(containers, "name").into(),
        joined(containers, "image").into(),
    ]
}

/// The cell of a `LabelSelector`; `<none>` when it selects nothing or everything.
pub(crate) fn selector_cell(selector: &Value) -> Value {
    match Selector::from_object(selector) {
        Ok(selector) => or_none(selector.to_string()).into(),
        Err(_) => "<error>".into(),
    }
}

/// The cell of a map of labels.
pub(crate) fn labels_cell(labels: &Value) -> Value {
    let pairs: Vec<_> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    or_none(pairs.join(",")).into()
}

fn or_none(text: String) -> String {
    if text.is_empty() {
        "<none>".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(json!(1), None, 1)]
    #[case(json!("30%"), None, 30)]
    #[case(json!(-1), Some("must be greater than or equal to 0"), -1)]
    #[case(json!("101%"), Some("must not be greater than 100%"), 101)]
    #[case(json!("%"), Some("a valid percent string must be"), 0)]
    #[case(json!("+5%"), Some("a valid percent string must be"), 0)]
    fn shares(#[case] value: Value, #[case] fault: Option<&str>, #[case] number: i64) {
        let path = Path::new("x");
        let found = positive_share(&value, &path).or(not_above_all(&value, &path));
        assert_eq!(found.is_some(), fault.is_some(), "{found:?}");
        let detail = found.map_or_else(String::new, |found| found.detail);
        assert!(detail.starts_with(fault.unwrap_or_default()), "{detail}");
        assert_eq!(share_number(&value), number);
    }

    #[test]
    fn cells_of_selectors_and_labels() {
        assert_eq!(selector_cell(&json!({"matchLabels": {"a": "b"}})), "a=b");
        assert_eq!(selector_cell(&Value::Null), "<none>");
        assert_eq!(labels_cell(&json!({"b": "2", "a": "1"})), "a=1,b=2");
        assert_eq!(labels_cell(&Value::Null), "<none>");
    }
}
