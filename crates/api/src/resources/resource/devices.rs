//! What is asked for in claims and offered in slices: requests, constraints, selectors, configuration and names of
//! devices. Knows neither claims nor slices.

use std::collections::HashSet;

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::resources::checks::{each, node_selector};
use crate::resources::object::{fill, given, inside, int, items, list, text};
use crate::resources::references::driver_name;
use crate::resources::typed::Shape;

/// Lists of requests, constraints, selectors and configurations have this many entries at most.
pub(super) const LIST_MAX: usize = 32;
const FIRST_AVAILABLE_MAX: usize = 8;
const EXPRESSION_MAX: usize = 10 * 1024;
const PARAMETERS_MAX: usize = 10 * 1024;
const POOL_MAX: usize = 253;
const IDENTIFIER_MAX: usize = 32;

/// Defaults of a claim's spec.
pub(super) fn default_claim(spec: &mut Value) {
    let Some(devices) = inside(spec, "devices") else {
        return;
    };
    for request in items(devices, "requests") {
        if let Some(exactly) = inside(request, "exactly") {
            default_request(exactly);
        }
        for alternative in items(request, "firstAvailable") {
            default_request(alternative);
        }
    }
}

fn default_request(request: &mut Value) {
    fill(request, "allocationMode", "ExactCount");
    if text(request, "allocationMode") == "ExactCount" && int(request, "count").unwrap_or(0) == 0 {
        request["count"] = 1.into();
    }
    for toleration in items(request, "tolerations") {
        fill(toleration, "operator", "Equal");
    }
}

/// Faults of a claim's spec.
pub(super) fn claim(spec: &Value, path: &Path) -> Vec<FieldError> {
    let (devices, path) = (&spec["devices"], path.child("devices"));
    let known = request_names(devices);
    let mut errors = unique(
        list(devices, "requests"),
        LIST_MAX,
        &path.child("requests"),
        "name",
        request,
    );
    let at = path.child("constraints");
    errors.extend(many(
        list(devices, "constraints"),
        LIST_MAX,
        &at,
        |entry, at| constraint(entry, at, &known),
    ));
    let at = path.child("config");
    errors.extend(many(list(devices, "config"), LIST_MAX, &at, |entry, at| {
        let mut errors = request_references(entry, &at.child("requests"), &known);
        errors.extend(configuration(entry, at));
        errors
    }));
    errors
}

/// The names by which parts of a claim refer to its requests: `request`, and `request/alternative`.
pub(super) fn request_names(devices: &Value) -> HashSet<String> {
    let mut known = HashSet::new();
    for request in list(devices, "requests") {
        let name = text(request, "name");
        known.insert(name.to_owned());
        for alternative in list(request, "firstAvailable") {
            known.insert(format!("{name}/{}", text(alternative, "name")));
        }
    }
    known
}

/// Every entry's faults, and the fault of too many.
pub(super) fn many(
    entries: &[Value],
    max: usize,
    path: &Path,
    check: impl Fn(&Value, &Path) -> Vec<FieldError>,
) -> Vec<FieldError> {
    let each = entries
        .iter()
        .enumerate()
        .flat_map(|(index, entry)| check(entry, &path.index(index)));
    let mut errors: Vec<FieldError> = each.collect();
    if entries.len() > max {
        errors.push(FieldError::too_many(path, entries.len(), max));
    }
    errors
}

/// As [`many`], of entries that a field tells apart.
pub(super) fn unique(
    entries: &[Value],
    max: usize,
    path: &Path,
    key: &str,
    check: impl Fn(&Value, &Path) -> Vec<FieldError>,
) -> Vec<FieldError> {
    let mut errors = many(entries, max, path, check);
    let mut seen = HashSet::new();
    for (index, entry) in entries.iter().enumerate() {
        let name = if key.is_empty() { entry } else { &entry[key] };
        if !seen.insert(name.to_string()) {
            errors.push(FieldError::duplicate(&path.index(index), name.clone()));
        }
    }
    errors
}

fn request(request: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = label(request, "name", path);
    let alternatives = list(request, "firstAvailable");
    let either = "exactly one of `exactly` or `firstAvailable` is required";
    match (given(request, "exactly"), !alternatives.is_empty()) {
        (false, false) => errors.push(FieldError::required(path, either)),
        (true, true) => {
            let detail = format!("{either}, but multiple fields are set");
            errors.push(FieldError::invalid(path, Value::Null, detail));
        }
        (true, false) => errors.extend(wanted(&request["exactly"], &path.child("exactly"))),
        (false, true) => {
            let at = path.child("firstAvailable");
            let one = |entry: &Value, at: &Path| {
                let mut errors = label(entry, "name", at);
                errors.extend(wanted(entry, at));
                errors
            };
            errors.extend(unique(alternatives, FIRST_AVAILABLE_MAX, &at, "name", one));
        }
    }
    errors
}

fn wanted(request: &Value, path: &Path) -> Vec<FieldError> {
    let (class, at) = (
        text(request, "deviceClassName"),
        path.child("deviceClassName"),
    );
    let mut errors = if class.is_empty() {
        vec![FieldError::required(&at, "")]
    } else {
        each(names::dns1123_subdomain(class, false), &at, class)
    };
    errors.extend(selectors(request, &path.child("selectors")));
    let (mode, count) = (
        text(request, "allocationMode"),
        int(request, "count").unwrap_or(0),
    );
    let at = path.child("count");
    match mode {
        "All" if count != 0 => {
            let detail = "must not be specified when allocationMode is 'All'";
            errors.push(FieldError::invalid(&at, count, detail));
        }
        "ExactCount" if count <= 0 => {
            errors.push(FieldError::invalid(&at, count, "must be greater than zero"));
        }
        "All" | "ExactCount" => {}
        other => {
            let at = path.child("allocationMode");
            errors.push(FieldError::not_supported(
                &at,
                other,
                &["All", "ExactCount"],
            ));
        }
    }
    for (index, entry) in list(request, "tolerations").iter().enumerate() {
        errors.extend(toleration(entry, &path.child("tolerations").index(index)));
    }
    errors
}

fn toleration(toleration: &Value, path: &Path) -> Vec<FieldError> {
    let (key, value) = (text(toleration, "key"), text(toleration, "value"));
    let mut errors = Vec::new();
    if !key.is_empty() {
        errors.extend(each(names::qualified_name(key), &path.child("key"), key));
    }
    match text(toleration, "operator") {
        "Exists" if !value.is_empty() => {
            let detail = "must be empty for operator `Exists`";
            errors.push(FieldError::invalid(&path.child("value"), value, detail));
        }
        "Exists" => {}
        "Equal" => errors.extend(each(names::label_value(value), &path.child("value"), value)),
        other => {
            let at = path.child("operator");
            errors.push(FieldError::not_supported(&at, other, &["Equal", "Exists"]));
        }
    }
    let effect = text(toleration, "effect");
    if !effect.is_empty() {
        errors.extend(taint_effect(effect, path));
    }
    errors
}

fn taint_effect(effect: &str, path: &Path) -> Option<FieldError> {
    let set = &["NoExecute", "NoSchedule", "None"];
    let at = path.child("effect");
    (!set.contains(&effect)).then(|| FieldError::not_supported(&at, effect, set))
}

/// A taint of a device.
pub(super) fn taint(taint: &Value, path: &Path) -> Vec<FieldError> {
    let (key, value, effect) = (
        text(taint, "key"),
        text(taint, "value"),
        text(taint, "effect"),
    );
    let mut errors = each(names::qualified_name(key), &path.child("key"), key);
    errors.extend(each(names::label_value(value), &path.child("value"), value));
    if effect.is_empty() {
        errors.push(FieldError::required(&path.child("effect"), ""));
    } else {
        errors.extend(taint_effect(effect, path));
    }
    errors
}

/// Selectors of a class or request.
pub(super) fn selectors(object: &Value, path: &Path) -> Vec<FieldError> {
    many(list(object, "selectors"), LIST_MAX, path, |selector, at| {
        let at = at.child("cel");
        if !given(selector, "cel") {
            return vec![FieldError::required(&at, "")];
        }
        let expression = text(&selector["cel"], "expression");
        if expression.len() > EXPRESSION_MAX {
            return vec![FieldError::too_long(
                &at.child("expression"),
                EXPRESSION_MAX,
            )];
        }
        Vec::new()
    })
}

fn constraint(constraint: &Value, path: &Path, known: &HashSet<String>) -> Vec<FieldError> {
    let mut errors = request_references(constraint, &path.child("requests"), known);
    let attribute = ["matchAttribute", "distinctAttribute"]
        .into_iter()
        .find(|field| given(constraint, field));
    let Some(field) = attribute else {
        let detail = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
        errors.push(FieldError::required(path, detail));
        return errors;
    };
    let (name, at) = (text(constraint, field), path.child(field));
    errors.extend(attribute_name(name, &at));
    if !name.is_empty() && !name.contains('/') {
        errors.push(FieldError::invalid(&at, name, "must include a domain"));
    }
    errors
}

/// References to requests of the same claim.
pub(super) fn request_references(
    object: &Value,
    path: &Path,
    known: &HashSet<String>,
) -> Vec<FieldError> {
    unique(list(object, "requests"), LIST_MAX, path, "", |name, at| {
        request_reference(name.as_str().unwrap_or_default(), at, known)
    })
}

/// One reference to a request.
pub(super) fn request_reference(name: &str, at: &Path, known: &HashSet<String>) -> Vec<FieldError> {
    let detail = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    let segments: Vec<&str> = name.split('/').collect();
    if segments.len() > 2 {
        return vec![FieldError::invalid(at, name, detail)];
    }
    let faults = segments
        .into_iter()
        .flat_map(|segment| each(names::dns1123_label(segment, false), at, segment));
    let mut errors: Vec<FieldError> = faults.collect();
    if !known.contains(name) {
        errors.push(FieldError::invalid(at, name, detail));
    }
    errors
}

/// What a driver is told beside the device.
pub(super) fn configuration(entry: &Value, path: &Path) -> Vec<FieldError> {
    let (opaque, at) = (&entry["opaque"], path.child("opaque"));
    if !opaque.is_object() {
        return vec![FieldError::required(&at, "")];
    }
    let mut errors = driver_name(text(opaque, "driver"), &at.child("driver"));
    let (parameters, at) = (&opaque["parameters"], at.child("parameters"));
    if parameters.is_null() {
        errors.push(FieldError::required(&at, ""));
    } else if parameters.to_string().len() > PARAMETERS_MAX {
        errors.push(FieldError::too_long(&at, PARAMETERS_MAX));
    } else if !parameters.is_object() {
        let detail = "parameters must be a valid JSON object";
        errors.push(FieldError::invalid(&at, "<value omitted>", detail));
    }
    errors
}

/// A name that must be a DNS label.
pub(super) fn label(object: &Value, field: &str, path: &Path) -> Vec<FieldError> {
    let value = text(object, field);
    let faults = names::dns1123_label(value, false);
    each(faults, &path.child(field), value)
}

/// The name of a pool: subdomains with slashes between.
pub(super) fn pool_name(name: &str, at: &Path) -> Vec<FieldError> {
    if name.is_empty() {
        return vec![FieldError::required(at, "")];
    }
    let mut errors = Vec::new();
    if name.len() > POOL_MAX {
        errors.push(FieldError::too_long(at, POOL_MAX));
    }
    let faults = name
        .split('/')
        .flat_map(|part| each(names::dns1123_subdomain(part, false), at, part));
    errors.extend(faults);
    errors
}

/// The name of an attribute or capacity: an identifier, perhaps in a domain.
pub(super) fn attribute_name(name: &str, at: &Path) -> Vec<FieldError> {
    if name.is_empty() {
        return vec![FieldError::required(at, "name required")];
    }
    let mut errors = Vec::new();
    let id = match name.split_once('/') {
        Some(("", id)) => {
            errors.push(FieldError::required(at, "the domain must not be empty"));
            id
        }
        Some((domain, id)) => {
            errors.extend(driver_name(domain, at));
            id
        }
        None => name,
    };
    if id.is_empty() {
        errors.push(FieldError::required(at, "the name must not be empty"));
        return errors;
    }
    if id.len() > IDENTIFIER_MAX {
        errors.push(FieldError::too_long(at, IDENTIFIER_MAX));
    }
    let begins = id.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let detail = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";
        errors.push(FieldError::type_invalid(at, id, detail));
    }
    errors
}

/// A node selector with just one term.
pub(super) fn one_term(selector: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = node_selector(selector, path);
    let terms = list(selector, "nodeSelectorTerms");
    if terms.len() != 1 {
        let detail = "must have exactly one node selector term";
        let at = path.child("nodeSelectorTerms");
        errors.push(FieldError::invalid(&at, terms.to_vec(), detail));
    }
    errors
}

const SELECTORS: Shape = Shape::List(&Shape::Struct(&[(
    "CEL",
    "cel",
    Shape::Optional(&[("Expression", "expression", Shape::Text)]),
)]));
const TOLERATIONS: Shape = Shape::List(&Shape::Struct(&[
    ("Key", "key", Shape::Text),
    ("Operator", "operator", Shape::Text),
    ("Value", "value", Shape::Text),
    ("Effect", "effect", Shape::Text),
    ("TolerationSeconds", "tolerationSeconds", Shape::Plain),
]));
const CAPACITY: Shape = Shape::Optional(&[("Requests", "requests", Shape::Plain)]);

/// A claim's spec.
pub(super) const CLAIM: Shape = Shape::Struct(&[(
    "Devices",
    "devices",
    Shape::Struct(&[
        (
            "Requests",
            "requests",
            Shape::List(&Shape::Struct(&[
                ("Name", "name", Shape::Text),
                (
                    "Exactly",
                    "exactly",
                    Shape::Optional(&[
                        ("DeviceClassName", "deviceClassName", Shape::Text),
                        ("Selectors", "selectors", SELECTORS),
                        ("AllocationMode", "allocationMode", Shape::Text),
                        ("Count", "count", Shape::Number),
                        ("AdminAccess", "adminAccess", Shape::Plain),
                        ("Tolerations", "tolerations", TOLERATIONS),
                        ("Capacity", "capacity", CAPACITY),
                    ]),
                ),
                (
                    "FirstAvailable",
                    "firstAvailable",
                    Shape::List(&Shape::Struct(&[
                        ("Name", "name", Shape::Text),
                        ("DeviceClassName", "deviceClassName", Shape::Text),
                        ("Selectors", "selectors", SELECTORS),
                        ("AllocationMode", "allocationMode", Shape::Text),
                        ("Count", "count", Shape::Number),
                        ("Tolerations", "tolerations", TOLERATIONS),
                        ("Capacity", "capacity", CAPACITY),
                    ])),
                ),
            ])),
        ),
        (
            "Constraints",
            "constraints",
            Shape::List(&Shape::Struct(&[
                ("Requests", "requests", Shape::List(&Shape::Text)),
                ("MatchAttribute", "matchAttribute", Shape::Plain),
                ("DistinctAttribute", "distinctAttribute", Shape::Plain),
            ])),
        ),
        (
            "Config",
            "config",
            Shape::List(&Shape::Struct(&[
                ("Requests", "requests", Shape::List(&Shape::Text)),
                (
                    "Opaque",
                    "opaque",
                    Shape::Optional(&[
                        ("Driver", "driver", Shape::Text),
                        ("Parameters", "parameters", Shape::Plain),
                    ]),
                ),
            ])),
        ),
    ]),
)]);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    fn faults(devices: &Value) -> Vec<String> {
        let mut spec = json!({"devices": devices});
        default_claim(&mut spec);
        texts(&claim(&spec, &Path::new("spec")))
    }

    #[test]
    fn requests_name_a_class() {
        assert!(
            faults(&json!({"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}))
                .is_empty()
        );
        assert_eq!(
            faults(
                &json!({"requests": [{"name": "r", "exactly": {"count": -1}}, {"name": "both"}]})
            ),
            [
                "spec.devices.requests[0].exactly.deviceClassName: Required value",
                "spec.devices.requests[0].exactly.count: Invalid value: -1: must be greater than zero",
                "spec.devices.requests[1]: Required value: exactly one of `exactly` or `firstAvailable` is required",
            ]
        );
    }

    #[test]
    fn constraints_refer_to_requests() {
        let devices = json!({"requests": [{"name": "r", "firstAvailable": [{"name": "a", "deviceClassName": "c"}]}],
            "constraints": [{"requests": ["r/a"], "matchAttribute": "d.com/x"}, {"requests": ["other"], "matchAttribute": "x"}]});
        assert_eq!(
            faults(&devices),
            [
                r#"spec.devices.constraints[1].requests[0]: Invalid value: "other": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"#,
                r#"spec.devices.constraints[1].matchAttribute: Invalid value: "x": must include a domain"#,
            ]
        );
    }
}
