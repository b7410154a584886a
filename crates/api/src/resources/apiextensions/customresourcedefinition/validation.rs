//! What a definition may say, apart from its schemas. Upstream holds what all versions agree on once, above the
//! versions, and its paths show that.

use serde_json::{Value, json};

use super::has_condition;
use super::schema;
use crate::field::{FieldError, Path};
use crate::names;
use crate::resources::object::{list, text};
use crate::resources::webhook_client;

/// A definition's parts that versions may have in common: name in a version, name above them.
const SHARED: [(&str, &str); 4] = [
    ("schema", "validation"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

/// Fields a definition's object may be selected by.
const SELECTABLE_MAX: usize = 8;

/// All faults of a definition; `old` is it before an update.
pub(super) fn of(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &object["spec"];
    let mut errors = Vec::new();
    let name = text(&object["metadata"], "name");
    let expected = format!("{}.{}", text(&spec["names"], "plural"), text(spec, "group"));
    if old.is_none() && name != expected {
        let why = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid(&Path::new("metadata.name"), name, why));
    }
    of_spec(spec, &mut errors);
    if let Some(old) = old {
        let fields: &[&[&str]] = if has_condition(old, "Established") {
            &[
                &["scope"],
                &["names", "kind"],
                &["group"],
                &["names", "plural"],
            ]
        } else {
            &[&["group"], &["names", "plural"]]
        };
        for path in fields {
            let at = |spec: &Value| {
                path.iter()
                    .fold(spec.clone(), |value, name| value[name].clone())
            };
            let new = at(spec);
            if new != at(&old["spec"]) {
                let place = path
                    .iter()
                    .fold(Path::new("spec"), |path, name| path.child(name));
                errors.push(FieldError::invalid(&place, new, "field is immutable"));
            }
        }
    }
    let status = &object["status"];
    of_names(
        &status["acceptedNames"],
        &Path::new("status.acceptedNames"),
        &mut errors,
    );
    stored_versions(status, spec, &mut errors);
    approval(object, &mut errors);
    if spec["preserveUnknownFields"] == true {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        let place = Path::new("spec.preserveUnknownFields");
        errors.push(FieldError::invalid(&place, true, why));
    }
    errors
}

/// Whether all versions say the same in one of their parts.
fn is_shared(versions: &[Value], part: &str) -> bool {
    versions
        .first()
        .is_some_and(|first| versions.iter().all(|version| version[part] == first[part]))
}

fn of_spec(spec: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("spec");
    of_group(text(spec, "group"), &path.child("group"), errors);
    match text(spec, "scope") {
        "" => errors.push(FieldError::required(&path.child("scope"), "")),
        "Cluster" | "Namespaced" => {}
        other => errors.push(FieldError::not_supported(
            &path.child("scope"),
            other,
            &["Cluster", "Namespaced"],
        )),
    }
    let versions = list(spec, "versions");
    let place = path.child("versions");
    for (index, version) in versions.iter().enumerate() {
        if !version["schema"]["openAPIV3Schema"].is_object() {
            let place = place.index(index).child("schema").child("openAPIV3Schema");
            errors.push(FieldError::required(&place, ""));
        }
    }
    for (index, version) in versions.iter().enumerate() {
        let place = place.index(index);
        let name = text(version, "name");
        let faults = names::dns1035_label(name, false);
        if !faults.is_empty() {
            errors.push(FieldError::invalid(
                &place.child("name"),
                name,
                faults.join(","),
            ));
        }
        deprecation(version, &place.child("deprecationWarning"), errors);
        for (part, _) in SHARED {
            if !is_shared(versions, part) {
                of_part(part, version, &place.child(part), errors);
            }
        }
    }
    let name_list: Vec<&str> = versions
        .iter()
        .map(|version| text(version, "name"))
        .collect();
    let shown = || {
        if versions.is_empty() {
            Value::Null
        } else {
            versions
                .iter()
                .map(|version| internal(version, versions))
                .collect()
        }
    };
    let unique = name_list
        .iter()
        .enumerate()
        .all(|(at, name)| !name_list[..at].contains(name));
    if !unique {
        let why = "must contain unique version names";
        errors.push(FieldError::invalid(&place, Value::Null, why).showing(go_json(&shown())));
    }
    if versions
        .iter()
        .filter(|version| version["storage"] == true)
        .count()
        != 1
    {
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(&place, Value::Null, why).showing(go_json(&shown())));
    }
    let names_path = path.child("names");
    for field in ["plural", "singular", "kind", "listKind"] {
        if text(&spec["names"], field).is_empty() {
            errors.push(FieldError::required(&names_path.child(field), ""));
        }
    }
    of_names(&spec["names"], &names_path, errors);
    if let Some(first) = versions.first() {
        for (part, above) in SHARED {
            if is_shared(versions, part) {
                of_part(part, first, &path.child(above), errors);
            }
        }
    }
    conversion(&spec["conversion"], &path.child("conversion"), errors);
}

fn of_group(group: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let faults = names::dns1123_subdomain(group, false);
    if group.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !faults.is_empty() {
        errors.push(FieldError::invalid(path, group, faults.join(",")));
    } else if !group.contains('.') {
        let why = "should be a domain with at least one dot";
        errors.push(FieldError::invalid(path, group, why));
    }
}

fn deprecation(version: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let Some(warning) = version["deprecationWarning"].as_str() else {
        return;
    };
    let mut faults = Vec::new();
    if version["deprecated"] == true {
        if warning.len() > 256 {
            faults.push("must be <= 256 characters long".to_owned());
        }
        if warning.is_empty() {
            faults.push("must not be an empty string".to_owned());
        }
        if let Some((at, _)) = warning.char_indices().find(|(_, c)| c.is_control()) {
            faults.push(format!(
                "must only contain printable UTF-8 characters; non-printable character found at index {at}"
            ));
        }
    } else {
        faults.push("can only be set for deprecated versions".to_owned());
    }
    let faults = faults
        .into_iter()
        .map(|fault| FieldError::invalid(path, warning, fault));
    errors.extend(faults);
}

/// One of the parts that versions may share.
fn of_part(part: &str, version: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    match part {
        "schema" => {
            let declared = &version["schema"]["openAPIV3Schema"];
            if declared.is_object() {
                let status = version["subresources"]["status"].is_object();
                schema::faults(declared, status, &path.child("openAPIV3Schema"), errors);
            }
        }
        "subresources" => scale(&version["subresources"]["scale"], path, errors),
        "additionalPrinterColumns" => {
            for (index, column) in list(version, part).iter().enumerate() {
                of_column(column, &path.index(index), errors);
            }
        }
        _ => {
            let declared = &version["schema"]["openAPIV3Schema"];
            selectable(list(version, part), declared, path, errors);
        }
    }
}

fn scale(scale: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if !scale.is_object() {
        return;
    }
    for (field, below, why) in [
        (
            "specReplicasPath",
            &[".spec."][..],
            "should be a json path under .spec",
        ),
        (
            "statusReplicasPath",
            &[".status."],
            "should be a json path under .status",
        ),
        (
            "labelSelectorPath",
            &[".spec.", ".status."],
            "should be a json path under either .spec or .status",
        ),
    ] {
        let place = path.child("scale").child(field);
        let given = text(scale, field);
        if given.is_empty() {
            if field != "labelSelectorPath" {
                errors.push(FieldError::required(&place, ""));
            }
        } else if !given.starts_with('.') {
            let why = "must be a simple json path starting with .";
            errors.push(FieldError::invalid(&place, given, why));
        } else if !below.iter().any(|prefix| given.starts_with(prefix)) {
            errors.push(FieldError::invalid(&place, given, why));
        }
    }
}

fn of_column(column: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if text(column, "name").is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    let why = "must be one of boolean,date,integer,number,string";
    match text(column, "type") {
        "" => errors.push(FieldError::required(&path.child("type"), why)),
        "boolean" | "date" | "integer" | "number" | "string" => {}
        other => errors.push(FieldError::invalid(&path.child("type"), other, why)),
    }
    let formats = [
        "byte",
        "date",
        "date-time",
        "double",
        "float",
        "int32",
        "int64",
        "password",
    ];
    let format = text(column, "format");
    if !format.is_empty() && !formats.contains(&format) {
        let why = format!("must be one of {}", formats.join(","));
        errors.push(FieldError::invalid(&path.child("format"), format, why));
    }
    let given = text(column, "jsonPath");
    let place = path.child("JSONPath");
    if given.is_empty() {
        errors.push(FieldError::required(&place, ""));
    } else if !given.starts_with('.') {
        let why = "must be a simple json path starting with .";
        errors.push(FieldError::invalid(&place, given, why));
    }
}

fn selectable(fields: &[Value], declared: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let given = text(field, "jsonPath");
        let place = path.index(index).child("jsonPath");
        if given.is_empty() {
            errors.push(FieldError::required(&place, ""));
            continue;
        }
        let parts: Vec<&str> = given.trim_start_matches('.').split('.').collect();
        let found = parts
            .iter()
            .try_fold(declared, |schema, part| schema["properties"].get(*part));
        let Some(found) = found.filter(|_| given.starts_with('.')) else {
            let why = format!("is an invalid path: does not refer to a valid field: {given}");
            errors.push(FieldError::invalid(&place, given, why));
            continue;
        };
        if parts.first() == Some(&"metadata") {
            let why = "must not point to fields in metadata";
            errors.push(FieldError::invalid(&place, given, why));
        }
        if !matches!(text(found, "type"), "string" | "boolean" | "integer") {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(FieldError::invalid(&place, given, why));
        }
        if seen.contains(&given) {
            errors.push(FieldError::duplicate(&place, given));
        } else {
            seen.push(given);
        }
    }
    if seen.len() > SELECTABLE_MAX {
        errors.push(FieldError::too_many(path, seen.len(), SELECTABLE_MAX));
    }
}

/// The rules of names, where they are given.
fn of_names(given: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for field in ["plural", "singular", "kind", "listKind"] {
        let name = text(given, field);
        let cased = matches!(field, "kind" | "listKind");
        let plain = if cased {
            name.to_lowercase()
        } else {
            name.to_owned()
        };
        let faults = names::dns1035_label(&plain, false);
        if !name.is_empty() && !faults.is_empty() {
            let why = faults.join(",");
            let why = if cased {
                format!("may have mixed case, but should otherwise match: {why}")
            } else {
                why
            };
            errors.push(FieldError::invalid(&path.child(field), name, why));
        }
    }
    let labels = |field: &str, errors: &mut Vec<FieldError>| {
        for (index, name) in list(given, field)
            .iter()
            .filter_map(Value::as_str)
            .enumerate()
        {
            let faults = names::dns1035_label(name, false);
            if !faults.is_empty() {
                let place = path.child(field).index(index);
                errors.push(FieldError::invalid(&place, name, faults.join(",")));
            }
        }
    };
    labels("shortNames", errors);
    let kind = text(given, "kind");
    if !kind.is_empty() && kind == text(given, "listKind") {
        let why = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(&path.child("listKind"), kind, why));
    }
    labels("categories", errors);
}

fn conversion(conversion: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let strategy = text(conversion, "strategy");
    let webhook = &conversion["webhook"];
    match strategy {
        "" => errors.push(FieldError::required(&path.child("strategy"), "")),
        "None" => {
            for field in ["webhookClientConfig", "conversionReviewVersions"] {
                let given = match field {
                    "webhookClientConfig" => webhook["clientConfig"].is_object(),
                    _ => !list(webhook, field).is_empty(),
                };
                if given {
                    let why = "should not be set when strategy is not set to Webhook";
                    errors.push(FieldError::forbidden(&path.child(field), why));
                }
            }
        }
        "Webhook" => {
            let place = path.child("webhookClientConfig");
            let client = &webhook["clientConfig"];
            if client.is_object() {
                errors.extend(webhook_client::faults(client, &place));
            } else {
                let why = "required when strategy is set to Webhook";
                errors.push(FieldError::required(&place, why));
            }
            review_versions(list(webhook, "conversionReviewVersions"), path, errors);
        }
        other => errors.push(FieldError::not_supported(
            &path.child("strategy"),
            other,
            &["None", "Webhook"],
        )),
    }
}

fn review_versions(versions: &[Value], path: &Path, errors: &mut Vec<FieldError>) {
    let place = path.child("conversionReviewVersions");
    if versions.is_empty() {
        errors.push(FieldError::required(&place, ""));
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        let name = version.as_str().unwrap_or_default();
        if versions[..index].contains(version) {
            errors.push(FieldError::invalid(
                &place.index(index),
                name,
                "duplicate version",
            ));
            continue;
        }
        let faults = names::dns1035_label(name, false);
        errors.extend(
            faults
                .into_iter()
                .map(|fault| FieldError::invalid(&place.index(index), name, fault)),
        );
    }
    if !versions
        .iter()
        .any(|version| version == "v1" || version == "v1beta1")
    {
        let why = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(&place, versions.to_vec(), why));
    }
}

fn stored_versions(status: &Value, spec: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("status.storedVersions");
    let stored = list(status, "storedVersions");
    if stored.is_empty() {
        let why = "must have at least one stored version";
        errors.push(FieldError::invalid(&path, Value::Null, why));
        return;
    }
    let versions = list(spec, "versions");
    for version in versions {
        if version["storage"] == true && !stored.contains(&version["name"]) {
            let why = format!("must have the storage version {}", text(version, "name"));
            errors.push(FieldError::invalid(&path, stored.to_vec(), why));
        }
    }
    for (index, name) in stored.iter().enumerate() {
        if !versions.iter().any(|version| version["name"] == *name) {
            let name = name.as_str().unwrap_or_default();
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            errors.push(FieldError::invalid(&path.index(index), name, why));
        }
    }
}

/// Groups of the project's own domains need a sign that somebody approved of the kind.
fn approval(object: &Value, errors: &mut Vec<FieldError>) {
    const ANNOTATION: &str = "api-approved.kubernetes.io";
    const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";
    let group = text(&object["spec"], "group");
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.ends_with(&format!(".{domain}")));
    if !protected {
        return;
    }
    let path = Path::new("metadata.annotations").key(ANNOTATION);
    let given = text(&object["metadata"]["annotations"], ANNOTATION);
    if given.is_empty() {
        let why = format!("protected groups must have approval annotation \"{ANNOTATION}\", {SEE}");
        errors.push(FieldError::required(&path, why));
    } else if !given.starts_with("unapproved") && !given.contains("://") {
        let why = format!(
            "protected groups must have approval annotation \"{ANNOTATION}\" with either a URL or a reason starting \
             with \"unapproved\", {SEE}"
        );
        errors.push(FieldError::invalid(&path, given, why));
    }
}

/// A version as upstream's messages show it: under the names of its internal type, without what all versions share.
fn internal(version: &Value, versions: &[Value]) -> Value {
    let part = |name: &str| {
        if is_shared(versions, name) {
            Value::Null
        } else {
            version[name].clone()
        }
    };
    json!({
        "Name": version["name"],
        "Served": version["served"].as_bool().unwrap_or(false),
        "Storage": version["storage"].as_bool().unwrap_or(false),
        "Deprecated": version["deprecated"].as_bool().unwrap_or(false),
        "DeprecationWarning": version["deprecationWarning"],
        "Schema": part("schema"),
        "Subresources": part("subresources"),
        "AdditionalPrinterColumns": part("additionalPrinterColumns"),
        "SelectableFields": part("selectableFields"),
    })
}

/// JSON with the fields in the order they were put in, as Go prints structs.
fn go_json(versions: &Value) -> String {
    let Value::Array(versions) = versions else {
        return versions.to_string();
    };
    let fields = [
        "Name",
        "Served",
        "Storage",
        "Deprecated",
        "DeprecationWarning",
        "Schema",
        "Subresources",
        "AdditionalPrinterColumns",
        "SelectableFields",
    ];
    let one = |version: &Value| {
        let fields = fields
            .iter()
            .map(|name| format!("\"{name}\":{}", version[name]));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    };
    format!(
        "[{}]",
        versions.iter().map(one).collect::<Vec<_>>().join(",")
    )
}
