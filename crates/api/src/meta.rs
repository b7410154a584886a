//! The rules every object's metadata follows. Knows no kinds.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names::{self, Rule};
use crate::resource::Scope;

/// All annotations of an object together may have this many bytes.
const ANNOTATIONS_MAX: usize = 256 * 1024;
/// The finalizers that need no domain.
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

/// `metadata.name`, empty when absent.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// `metadata.namespace`, empty when absent.
pub fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

/// Drops from a new object's metadata what only the server may set.
pub fn prepare_create(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
        ] {
            metadata.remove(field);
        }
    }
}

/// Carries over from the stored object what an update cannot change or may leave out.
pub fn prepare_update(new: &mut Value, old: &Value) {
    let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    metadata.remove("selfLink");
    for field in ["generation", "creationTimestamp"] {
        match old["metadata"].get(field) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
    for field in ["uid", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        if metadata.get(field).is_none_or(Value::is_null) {
            match old["metadata"].get(field) {
                Some(value) => metadata.insert(field.to_owned(), value.clone()),
                None => metadata.remove(field),
            };
        }
    }
}

/// Faults of a new object's metadata.
pub fn validate(object: &Value, scope: Scope, rule: Rule) -> Vec<FieldError> {
    let (path, metadata) = (Path::new("metadata"), &object["metadata"]);
    let mut errors = Vec::new();
    let prefix = metadata["generateName"].as_str().unwrap_or_default();
    if !prefix.is_empty() {
        let at = path.child("generateName");
        errors.extend(
            rule(prefix, true)
                .into_iter()
                .map(|fault| FieldError::invalid(&at, prefix, fault)),
        );
    }
    let (name, at) = (name(object), path.child("name"));
    if name.is_empty() {
        errors.push(FieldError::required(
            &at,
            "name or generateName is required",
        ));
    } else {
        errors.extend(
            rule(name, false)
                .into_iter()
                .map(|fault| FieldError::invalid(&at, name, fault)),
        );
    }
    let (namespace, at) = (namespace(object), path.child("namespace"));
    match scope {
        Scope::Namespaced if namespace.is_empty() => errors.push(FieldError::required(&at, "")),
        Scope::Namespaced => {
            let faults = names::dns1123_label(namespace, false);
            errors.extend(
                faults
                    .into_iter()
                    .map(|fault| FieldError::invalid(&at, namespace, fault)),
            );
        }
        Scope::Cluster if !namespace.is_empty() => {
            errors.push(FieldError::forbidden(&at, "not allowed on this type"));
        }
        Scope::Cluster => {}
    }
    if metadata["generation"].as_i64().is_some_and(|g| g < 0) {
        let at = path.child("generation");
        errors.push(FieldError::invalid(
            &at,
            metadata["generation"].clone(),
            "must be greater than or equal to 0",
        ));
    }
    errors.extend(common(metadata, &path));
    errors
}

/// Faults of an update's metadata.
pub fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let (path, new, old) = (Path::new("metadata"), &new["metadata"], &old["metadata"]);
    let mut errors = Vec::new();
    if !old["deletionTimestamp"].is_null() {
        errors.extend(no_new_finalizers(new, old, &path.child("finalizers")));
    }
    if new["resourceVersion"]
        .as_str()
        .unwrap_or_default()
        .is_empty()
    {
        errors.push(FieldError::invalid(
            &path.child("resourceVersion"),
            "",
            "must be specified for an update",
        ));
    }
    if new["generation"].as_i64().unwrap_or(0) < old["generation"].as_i64().unwrap_or(0) {
        let at = path.child("generation");
        errors.push(FieldError::invalid(
            &at,
            new["generation"].clone(),
            "must not be decremented",
        ));
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        if new[field] != old[field] {
            errors.push(FieldError::invalid(
                &path.child(field),
                new[field].clone(),
                "field is immutable",
            ));
        }
    }
    errors.extend(common(new, &path));
    errors
}

fn common(metadata: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = labels(&metadata["labels"], &path.child("labels"));
    errors.extend(annotations(
        &metadata["annotations"],
        &path.child("annotations"),
    ));
    errors.extend(owners(
        &metadata["ownerReferences"],
        &path.child("ownerReferences"),
    ));
    errors.extend(finalizers(
        &metadata["finalizers"],
        &path.child("finalizers"),
    ));
    errors
}

/// Faults of a map of labels, all reported at its path.
pub fn labels(labels: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let of_key = names::qualified_name(key)
            .into_iter()
            .map(|f| FieldError::invalid(path, key.as_str(), f));
        errors.extend(of_key);
        errors.extend(
            names::label_value(value)
                .into_iter()
                .map(|f| FieldError::invalid(path, value, f)),
        );
    }
    errors
}

/// Whether annotations are small enough to be kept.
pub(crate) fn annotations_fit(annotations: &serde_json::Map<String, Value>) -> bool {
    let size = |(key, value): (&String, &Value)| key.len() + value.as_str().map_or(0, str::len);
    annotations.iter().map(size).sum::<usize>() <= ANNOTATIONS_MAX
}

/// Faults of a map of annotations.
pub fn annotations(annotations: &Value, path: &Path) -> Vec<FieldError> {
    let (mut errors, mut size) = (Vec::new(), 0);
    for (key, value) in annotations.as_object().into_iter().flatten() {
        // Only here upper-case prefixes are let through.
        let faults = names::qualified_name(&key.to_lowercase());
        errors.extend(
            faults
                .into_iter()
                .map(|f| FieldError::invalid(path, key.as_str(), f)),
        );
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_MAX {
        errors.push(FieldError::too_long(path, ANNOTATIONS_MAX));
    }
    errors
}

fn owners(owners: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controller: Option<String> = None;
    for owner in owners.as_array().into_iter().flatten() {
        let text = |field: &str| owner[field].as_str().unwrap_or_default();
        if text("apiVersion")
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .is_empty()
        {
            let at = path.child("apiVersion");
            errors.push(FieldError::invalid(
                &at,
                text("apiVersion"),
                "version must not be empty",
            ));
        }
        for field in ["kind", "name", "uid"] {
            if text(field).is_empty() {
                errors.push(FieldError::invalid(
                    &path.child(field),
                    "",
                    "must not be empty",
                ));
            }
        }
        if text("apiVersion") == "v1" && text("kind") == "Event" {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(path, owner.clone(), detail));
        }
        if owner["controller"] == true {
            let this = format!("{}/{}", text("kind"), text("name"));
            match &controller {
                Some(first) => errors.push(
                    FieldError::invalid(
                        path,
                        Value::Null,
                        format!(
                            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                        ),
                    )
                    .showing(owners_text(owners)),
                ),
                None => controller = Some(this),
            }
        }
    }
    errors
}

/// Owner references with their fields in the order of the type.
fn owners_text(owners: &Value) -> String {
    let fields = [
        "apiVersion",
        "kind",
        "name",
        "uid",
        "controller",
        "blockOwnerDeletion",
    ];
    let one = |owner: &Value| {
        let given = fields
            .iter()
            .filter_map(|f| owner.get(*f).map(|v| format!("\"{f}\":{v}")));
        format!("{{{}}}", given.collect::<Vec<_>>().join(","))
    };
    let all: Vec<_> = owners.as_array().into_iter().flatten().map(one).collect();
    format!("[{}]", all.join(","))
}

/// Faults of a list of finalizers.
fn finalizers(finalizers: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let names: Vec<&str> = finalizers
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (index, name) in names.iter().enumerate() {
        errors.extend(finalizer(name, &path.index(index)));
    }
    if names.contains(&"orphan") && names.contains(&"foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(path, finalizers.clone(), detail));
    }
    errors
}

/// Faults of one finalizer's name.
pub fn finalizer(name: &str, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<_> = names::qualified_name(name)
        .into_iter()
        .map(|f| FieldError::invalid(path, name, f))
        .collect();
    if errors.is_empty() && !name.contains('/') && !STANDARD_FINALIZERS.contains(&name) {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        errors.push(FieldError::invalid(path, name, detail));
    }
    errors
}

fn no_new_finalizers(new: &Value, old: &Value, path: &Path) -> Option<FieldError> {
    let of = |metadata: &Value| -> Vec<String> {
        let list = metadata["finalizers"].as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (before, mut added) = (of(old), of(new));
    added.retain(|name| !before.contains(name));
    if added.is_empty() {
        return None;
    }
    let quoted: Vec<_> = added.iter().map(|name| format!("{name:?}")).collect();
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        quoted.join(", ")
    );
    Some(FieldError::forbidden(path, detail))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn faults(metadata: &Value) -> Vec<String> {
        texts(&validate(
            &json!({"metadata": metadata}),
            Scope::Namespaced,
            names::dns1123_subdomain,
        ))
    }

    #[test]
    fn names_are_required_and_checked() {
        assert_eq!(
            faults(&json!({"namespace": "n"})),
            ["metadata.name: Required value: name or generateName is required"]
        );
        assert_eq!(faults(&json!({"name": "UPPER", "namespace": "n"})).len(), 1);
        assert_eq!(
            faults(&json!({"name": "a"})),
            ["metadata.namespace: Required value"]
        );
        assert!(faults(&json!({"name": "a", "namespace": "n", "generateName": "x-"})).is_empty());
        let cluster = validate(
            &json!({"metadata": {"name": "a", "namespace": "n"}}),
            Scope::Cluster,
            names::dns1123_subdomain,
        );
        assert_eq!(
            texts(&cluster),
            ["metadata.namespace: Forbidden: not allowed on this type"]
        );
    }

    #[test]
    fn owners_and_finalizers_are_checked() {
        let base = |extra: &Value| {
            let mut metadata = json!({"name": "a", "namespace": "n"});
            json_patch::merge(&mut metadata, extra);
            faults(&metadata)
        };
        assert_eq!(
            base(&json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]})),
            [r#"metadata.ownerReferences.uid: Invalid value: "": must not be empty"#]
        );
        let owner = |name: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": "u", "controller": true});
        let two = base(&json!({"ownerReferences": [owner("p"), owner("q")]}));
        assert_eq!(
            two,
            [concat!(
                r#"metadata.ownerReferences: Invalid value: [{"apiVersion":"v1","kind":"Pod","name":"p","uid":"u","controller":true},"#,
                r#"{"apiVersion":"v1","kind":"Pod","name":"q","uid":"u","controller":true}]: Only one reference can have "#,
                r#"Controller set to true. Found "true" in references for Pod/p and Pod/q"#
            )]
        );
        assert_eq!(
            base(&json!({"finalizers": ["nodomain"]})),
            [
                r#"metadata.finalizers[0]: Invalid value: "nodomain": name is neither a standard finalizer name nor is it fully qualified"#
            ]
        );
        assert!(base(&json!({"finalizers": ["orphan", "example.com/x"]})).is_empty());
    }

    #[test]
    fn an_update_keeps_identity() {
        let old = json!({"metadata": {"name": "a", "namespace": "n", "uid": "1", "generation": 3, "creationTimestamp": "t",
            "resourceVersion": "5", "deletionTimestamp": "d", "finalizers": ["x/y"]}});
        let mut new = json!({"metadata": {"name": "a", "namespace": "n", "generation": 9, "resourceVersion": "5",
            "creationTimestamp": "other", "finalizers": ["x/y", "x/z"]}});
        prepare_update(&mut new, &old);
        assert_eq!(new["metadata"]["generation"], 3);
        assert_eq!(new["metadata"]["deletionTimestamp"], "d");
        assert_eq!(
            texts(&validate_update(&new, &old)),
            [
                r#"metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"x/z"}"#
            ]
        );
        new["metadata"]["uid"] = "2".into();
        new["metadata"]["finalizers"] = json!([]);
        assert_eq!(
            texts(&validate_update(&new, &old)),
            [r#"metadata.uid: Invalid value: "2": field is immutable"#]
        );
    }
}
