//! Checks that validation of several kinds shares. Each returns faults at the path it is given.

use std::net::IpAddr;

use serde_json::Value;

use super::object::{amount_of, list, text};
use crate::field::{FieldError, Path};
use crate::{meta, names};

/// The longest reason and message of a condition.
const REASON_MAX: usize = 1024;
const MESSAGE_MAX: usize = 32 * 1024;

pub(crate) const AT_LEAST_ZERO: &str = "must be greater than or equal to 0";

/// Every fault a name rule found.
pub(crate) fn each(faults: Vec<String>, path: &Path, value: &str) -> Vec<FieldError> {
    faults
        .into_iter()
        .map(|fault| FieldError::invalid(path, value, fault))
        .collect()
}

/// A number that may not be negative, when given.
pub(crate) fn not_negative(object: &Value, field: &str, path: &Path) -> Option<FieldError> {
    let value = object.get(field)?.as_i64()?;
    (value < 0).then(|| FieldError::invalid(&path.child(field), value, AT_LEAST_ZERO))
}

/// A text that must be one of a set; an empty one is `Required` or, with `optional`, fine.
pub(crate) fn one_of(
    object: &Value,
    field: &str,
    path: &Path,
    set: &[&str],
    optional: bool,
) -> Option<FieldError> {
    let (value, at) = (text(object, field), path.child(field));
    match value {
        "" if optional => None,
        "" => Some(FieldError::required(&at, "")),
        value if set.contains(&value) => None,
        value => Some(FieldError::not_supported(&at, value, set)),
    }
}

/// A field that may not change.
pub(crate) fn immutable(new: &Value, old: &Value, field: &str, path: &Path) -> Option<FieldError> {
    let (new, old) = (
        new.get(field).unwrap_or(&Value::Null),
        old.get(field).unwrap_or(&Value::Null),
    );
    (new != old).then(|| FieldError::invalid(&path.child(field), new.clone(), "field is immutable"))
}

/// A required text that must be a DNS-1123 label.
pub(crate) fn label(object: &Value, field: &str, path: &Path) -> Vec<FieldError> {
    let (value, at) = (text(object, field), path.child(field));
    if value.is_empty() {
        return vec![FieldError::required(&at, "")];
    }
    each(names::dns1123_label(value, false), &at, value)
}

/// An optional text that must follow a name rule.
pub(crate) fn named(
    object: &Value,
    field: &str,
    path: &Path,
    rule: names::Rule,
) -> Vec<FieldError> {
    match text(object, field) {
        "" => Vec::new(),
        value => each(rule(value, false), &path.child(field), value),
    }
}

/// An amount that may not be negative, and not zero either with `positive`.
pub(crate) fn amount(value: &Value, path: &Path, positive: bool) -> Option<FieldError> {
    let amount = amount_of(value)?;
    match (amount.sign(), positive) {
        (std::cmp::Ordering::Less, false) => {
            Some(FieldError::invalid(path, amount.to_string(), AT_LEAST_ZERO))
        }
        (std::cmp::Ordering::Less | std::cmp::Ordering::Equal, true) => Some(FieldError::invalid(
            path,
            amount.to_string(),
            "must be greater than zero",
        )),
        _ => None,
    }
}

/// A `LabelSelector`.
pub(crate) fn label_selector(selector: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = meta::labels(&selector["matchLabels"], &path.child("matchLabels"));
    for (index, expression) in list(selector, "matchExpressions").iter().enumerate() {
        let at = path.child("matchExpressions").index(index);
        let values = list(expression, "values");
        match text(expression, "operator") {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(&at.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&at.child("values"), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                errors.push(FieldError::invalid(
                    &at.child("operator"),
                    other,
                    "not a valid selector operator",
                ));
            }
        }
        let key = text(expression, "key");
        errors.extend(each(names::qualified_name(key), &at.child("key"), key));
        for (index, value) in values.iter().enumerate() {
            let value = value.as_str().unwrap_or_default();
            errors.extend(each(
                names::label_value(value),
                &at.child("values").index(index),
                value,
            ));
        }
    }
    errors
}

/// The `conditions` of a status, as kinds share them.
pub(crate) fn conditions(status: &Value, path: &Path) -> Vec<FieldError> {
    let path = path.child("conditions");
    let mut seen = std::collections::HashSet::new();
    let mut errors = Vec::new();
    for (index, condition) in list(status, "conditions").iter().enumerate() {
        let at = path.index(index);
        let (kind, reason) = (text(condition, "type"), text(condition, "reason"));
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(&at.child("type"), kind));
        }
        errors.extend(each(names::qualified_name(kind), &at.child("type"), kind));
        let (state, states) = (text(condition, "status"), ["False", "True", "Unknown"]);
        if !states.contains(&state) {
            errors.push(FieldError::not_supported(
                &at.child("status"),
                state,
                &states,
            ));
        }
        if let Some(seen) = condition["observedGeneration"]
            .as_i64()
            .filter(|seen| *seen < 0)
        {
            let detail = "must be greater than or equal to zero";
            errors.push(FieldError::invalid(
                &at.child("observedGeneration"),
                seen,
                detail,
            ));
        }
        if text(condition, "lastTransitionTime").is_empty() {
            let at = at.child("lastTransitionTime");
            errors.push(FieldError::required(&at, "must be set"));
        }
        let reason_at = at.child("reason");
        if reason.is_empty() {
            errors.push(FieldError::required(&reason_at, "must be set"));
        } else {
            errors.extend(each(names::condition_reason(reason), &reason_at, reason));
            if reason.len() > REASON_MAX {
                errors.push(FieldError::too_long(&reason_at, REASON_MAX));
            }
        }
        if text(condition, "message").len() > MESSAGE_MAX {
            errors.push(FieldError::too_long(&at.child("message"), MESSAGE_MAX));
        }
    }
    errors
}

/// Why an address cannot be one that others reach.
pub(crate) fn special_address(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if address.is_unspecified() {
        Some(if address.is_ipv4() {
            "may not be unspecified (0.0.0.0)"
        } else {
            "may not be unspecified (::)"
        })
    } else if address.is_loopback() {
        Some("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    } else if link_local {
        Some("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    } else if address.is_multicast() {
        Some("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    } else {
        None
    }
}

/// A `NodeSelector`: at least one term of requirements on labels and fields.
pub(crate) fn node_selector(selector: &Value, path: &Path) -> Vec<FieldError> {
    let at = path.child("nodeSelectorTerms");
    let terms = list(selector, "nodeSelectorTerms");
    if terms.is_empty() {
        return vec![FieldError::required(
            &at,
            "must have at least one node selector term",
        )];
    }
    terms
        .iter()
        .enumerate()
        .flat_map(|(index, term)| node_selector_term(term, &at.index(index)))
        .collect()
}

/// One `NodeSelectorTerm`.
pub(crate) fn node_selector_term(term: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, requirement) in list(term, "matchExpressions").iter().enumerate() {
        let at = path.child("matchExpressions").index(index);
        let values = list(requirement, "values");
        match text(requirement, "operator") {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(&at.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&at.child("values"), detail));
            }
            "Gt" | "Lt" if values.len() != 1 => {
                let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.push(FieldError::required(&at.child("values"), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => {
                errors.push(FieldError::invalid(
                    &at.child("operator"),
                    other,
                    "not a valid selector operator",
                ));
            }
        }
        let key = text(requirement, "key");
        errors.extend(each(names::qualified_name(key), &at.child("key"), key));
    }
    for (index, requirement) in list(term, "matchFields").iter().enumerate() {
        let at = path.child("matchFields").index(index);
        if !matches!(text(requirement, "operator"), "In" | "NotIn") {
            let detail = "not a valid selector operator";
            errors.push(FieldError::invalid(
                &at.child("operator"),
                text(requirement, "operator"),
                detail,
            ));
        } else if list(requirement, "values").len() != 1 {
            let detail =
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(FieldError::required(&at.child("values"), detail));
        }
        if text(requirement, "key") != "metadata.name" {
            let detail = "not a valid field selector key";
            errors.push(FieldError::invalid(
                &at.child("key"),
                text(requirement, "key"),
                detail,
            ));
        }
    }
    errors
}
