//! Validation of environment variables and of references to a pod's own fields.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::resources::checks::each;
use crate::resources::object::{given, list, text};

/// Pod fields an environment variable may show.
const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Pod fields a downward API volume may show.
const VOLUME_FIELDS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];
/// Pod fields that have a label at all.
const FIELDS: [&str; 15] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.host",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
    "status.podIP",
    "status.podIPs",
];
const CONTAINER_RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

pub(super) fn validate_env(container: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, variable) in list(container, "env").iter().enumerate() {
        let at = path.child("env").index(index);
        let name = text(variable, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        } else {
            errors.extend(each(names::env_name(name), &at.child("name"), name));
        }
        if given(variable, "valueFrom") {
            errors.extend(value_from(variable, &at.child("valueFrom")));
        }
    }
    for (index, source) in list(container, "envFrom").iter().enumerate() {
        let at = path.child("envFrom").index(index);
        let prefix = text(source, "prefix");
        errors.extend(each(names::env_name(prefix), &at.child("prefix"), prefix));
        let references: Vec<_> = ["configMapRef", "secretRef"]
            .into_iter()
            .filter(|f| given(source, f))
            .collect();
        for reference in &references {
            if text(&source[*reference], "name").is_empty() {
                errors.push(FieldError::required(&at.child(reference).child("name"), ""));
            }
        }
        match references.len() {
            0 => {
                errors.push(FieldError::invalid(
                    &at,
                    "",
                    "must specify one of: `configMapRef` or `secretRef`",
                ));
            }
            1 => {}
            _ => errors.push(FieldError::invalid(
                &at,
                "",
                "may not have more than one field specified at a time",
            )),
        }
    }
    errors
}

fn value_from(variable: &Value, path: &Path) -> Vec<FieldError> {
    let source = &variable["valueFrom"];
    let (mut errors, mut sources) = (Vec::new(), 0);
    if given(source, "fieldRef") {
        sources += 1;
        errors.extend(field_reference(
            &source["fieldRef"],
            &path.child("fieldRef"),
            &ENV_FIELDS,
        ));
    }
    if given(source, "resourceFieldRef") {
        sources += 1;
        errors.extend(resource_reference(
            &source["resourceFieldRef"],
            &path.child("resourceFieldRef"),
            false,
        ));
    }
    for reference in ["configMapKeyRef", "secretKeyRef"] {
        if given(source, reference) {
            sources += 1;
            errors.extend(key_reference(&source[reference], &path.child(reference)));
        }
    }
    if given(source, "fileKeyRef") {
        sources += 1;
    }
    let fault = match sources {
        0 => Some(
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
        ),
        _ if !text(variable, "value").is_empty() => {
            Some("may not be specified when `value` is not empty")
        }
        1 => None,
        _ => Some("may not have more than one field specified at a time"),
    };
    errors.extend(fault.map(|fault| FieldError::invalid(path, "", fault)));
    errors
}

fn key_reference(reference: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if text(reference, "name").is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    match text(reference, "key") {
        "" => errors.push(FieldError::required(&path.child("key"), "")),
        key => errors.extend(each(names::config_key(key), &path.child("key"), key)),
    }
    errors
}

/// Splits `metadata.labels['app']` into the field and its key.
fn subscript(path: &str) -> (&str, Option<&str>) {
    path.strip_suffix("']")
        .and_then(|p| p.split_once("['"))
        .map_or((path, None), |(field, key)| (field, Some(key)))
}

fn field_reference(reference: &Value, path: &Path, allowed: &[&str]) -> Vec<FieldError> {
    let (field, at) = (text(reference, "fieldPath"), path.child("fieldPath"));
    if text(reference, "apiVersion").is_empty() {
        return vec![FieldError::required(&path.child("apiVersion"), "")];
    }
    if field.is_empty() {
        return vec![FieldError::required(&at, "")];
    }
    let (name, key) = subscript(field);
    if !FIELDS.contains(&name) {
        let detail = format!("error converting fieldPath: field label not supported: {name}");
        return vec![FieldError::invalid(&at, field, detail)];
    }
    match (name, key) {
        ("metadata.annotations", Some(key)) => {
            each(names::qualified_name(&key.to_lowercase()), &at, key)
        }
        ("metadata.labels", Some(key)) => each(names::qualified_name(key), &at, key),
        (name, Some(_)) => vec![FieldError::invalid(&at, name, "does not support subscript")],
        (name, None) if allowed.contains(&name) => Vec::new(),
        (name, None) => vec![FieldError::not_supported(&at, name, allowed)],
    }
}

fn resource_reference(reference: &Value, path: &Path, volume: bool) -> Vec<FieldError> {
    if volume && text(reference, "containerName").is_empty() {
        return vec![FieldError::required(&path.child("containerName"), "")];
    }
    let (resource, at) = (text(reference, "resource"), path.child("resource"));
    if resource.is_empty() {
        return vec![FieldError::required(&at, "")];
    }
    let huge = ["limits.hugepages-", "requests.hugepages-"]
        .iter()
        .any(|p| resource.starts_with(p));
    if CONTAINER_RESOURCES.contains(&resource) || huge {
        return Vec::new();
    }
    vec![FieldError::not_supported(
        &at,
        resource,
        &CONTAINER_RESOURCES,
    )]
}

/// The items of a downward API volume.
pub(super) fn downward_items(source: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, item) in list(source, "items").iter().enumerate() {
        let at = path.child("items").index(index);
        errors.extend(super::volume::file_path(
            text(item, "path"),
            &at.child("path"),
        ));
        match (given(item, "fieldRef"), given(item, "resourceFieldRef")) {
            (true, true) => errors.push(FieldError::invalid(
                &at,
                "resource",
                "fieldRef and resourceFieldRef can not be specified simultaneously",
            )),
            (true, false) => {
                errors.extend(field_reference(
                    &item["fieldRef"],
                    &at.child("fieldRef"),
                    &VOLUME_FIELDS,
                ));
            }
            (false, true) => {
                let at = at.child("resourceFieldRef");
                errors.extend(resource_reference(&item["resourceFieldRef"], &at, true));
            }
            (false, false) => {
                errors.push(FieldError::required(
                    &at,
                    "one of fieldRef and resourceFieldRef is required",
                ));
            }
        }
    }
    errors
}
