//! The rules of a custom kind, read from its definition.

use jiff::Timestamp;
use serde_json::Value;

use super::columns::Cell;
use super::{leak, text};
use crate::cel::RuleSet;
use crate::field::{ErrorKind, FieldError, Path};
use crate::jsonpath::JsonPath;
use crate::meta;
use crate::resource::{ScalePaths, Strategy};
use crate::resources::object::put;
use crate::resources::{first_generation, next_generation_beside_metadata};
use crate::structural::{Additional, Structural, duplicates, judge};

/// See the module.
pub(super) struct Rules {
    structural: &'static Structural,
    kind: &'static str,
    api_version: String,
    /// Whether the status is written apart.
    status: bool,
    scale: Option<ScalePaths>,
    cells: Vec<Cell>,
    selectable: Vec<(&'static str, JsonPath)>,
    deprecation: Option<&'static str>,
    expressions: Option<RuleSet>,
}

impl Rules {
    pub(super) fn new(
        structural: &'static Structural,
        group: &'static str,
        kind: &'static str,
        version: &Value,
        cells: Vec<Cell>,
    ) -> Self {
        let api_version = format!("{group}/{}", text(&version["name"]));
        let subresources = &version["subresources"];
        let selectable = version["selectableFields"].as_array().into_iter().flatten();
        let deprecation = version["deprecated"].as_bool().unwrap_or(false).then(|| {
            version["deprecationWarning"].as_str().map_or_else(
                || format!("{api_version} {kind} is deprecated"),
                ToOwned::to_owned,
            )
        });
        Self {
            expressions: RuleSet::of(structural),
            structural,
            kind,
            status: subresources["status"].is_object(),
            scale: subresources["scale"].is_object().then(|| {
                let scale = &subresources["scale"];
                ScalePaths {
                    replicas: text(&scale["specReplicasPath"]),
                    status_replicas: text(&scale["statusReplicasPath"]),
                    selector: scale["labelSelectorPath"]
                        .as_str()
                        .filter(|path| !path.is_empty())
                        .map(|path| text(&Value::from(path))),
                }
            }),
            cells,
            selectable: selectable
                .filter_map(|field| {
                    let path = field["jsonPath"].as_str()?;
                    let name = text(&Value::from(path.trim_start_matches('.')));
                    Some((name, JsonPath::parse(path)?))
                })
                .collect(),
            deprecation: deprecation.map(|text| &**leak(text)),
            api_version,
        }
    }

    fn of_this_kind(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (field, expected) in [("kind", self.kind), ("apiVersion", &self.api_version)] {
            let given = object[field].as_str().unwrap_or_default();
            if given != expected {
                let why = format!("must be {expected}");
                errors.push(FieldError::invalid(&Path::new(field), given, why));
            }
        }
        errors
    }

    fn faults(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = judge(self.structural, new, old, "").errors;
        errors.extend(self.scale_faults(new));
        embedded(self.structural, new, &Path::default(), &mut errors);
        duplicates(self.structural, new, &Path::default(), &mut errors);
        let Some(rules) = &self.expressions else {
            return errors;
        };
        // Rules may rely on what the schema says of a value.
        let blocks = |error: &FieldError| {
            matches!(
                error.kind,
                ErrorKind::NotSupported
                    | ErrorKind::Required
                    | ErrorKind::TooLong
                    | ErrorKind::TooMany
                    | ErrorKind::TypeInvalid
            )
        };
        if errors.iter().any(blocks) {
            let why = "some validation rules were not checked because the object was invalid; correct the existing \
                       errors to complete validation";
            errors.push(FieldError::invalid(&Path::new("<nil>"), Value::Null, why));
        } else {
            errors.extend(rules.judge(self.structural, new, old));
        }
        errors
    }

    /// Replicas are counted from zero on.
    fn scale_faults(&self, object: &Value) -> Vec<FieldError> {
        let Some(scale) = &self.scale else {
            return Vec::new();
        };
        let paths = [scale.replicas, scale.status_replicas];
        paths
            .into_iter()
            .filter_map(|path| {
                let count = JsonPath::parse(path)?.first(object)?.as_i64()?;
                let why = "should be a non-negative integer";
                (count < 0).then(|| FieldError::invalid(&Path::new(path), count, why))
            })
            .collect()
    }
}

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        self.structural.fill_defaults(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        if self.status {
            put(object, "status", Value::Null);
        }
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        if self.status {
            put(
                new,
                "status",
                old.get("status").cloned().unwrap_or_default(),
            );
        }
        next_generation_beside_metadata(new, old);
    }

    /// Unlike for built-in kinds, nothing but the status changes: not even labels.
    fn reset_fields(&self, subresource: &str) -> &'static [&'static str] {
        crate::resources::reset_beside_status(subresource)
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        let status = new.get("status").cloned().unwrap_or_default();
        let managed = new["metadata"].get("managedFields").cloned();
        let revision = new["metadata"]["resourceVersion"].take();
        *new = old.clone();
        put(
            &mut new["metadata"],
            "managedFields",
            managed.unwrap_or_default(),
        );
        put(&mut new["metadata"], "resourceVersion", revision);
        put(new, "status", status);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let errors = self.of_this_kind(object);
        if errors.is_empty() {
            self.faults(object, None)
        } else {
            errors
        }
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let errors = self.of_this_kind(new);
        if errors.is_empty() {
            self.faults(new, Some(old))
        } else {
            errors
        }
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        self.validate_update(new, old)
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        self.cells
            .iter()
            .map(|cell| cell.show(object, now))
            .collect()
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let shown = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        self.selectable
            .iter()
            .map(|(name, path)| (*name, path.first(object).map(shown).unwrap_or_default()))
            .collect()
    }

    fn scale_paths(&self) -> Option<&ScalePaths> {
        self.scale.as_ref()
    }

    fn deprecation(&self) -> Option<&'static str> {
        self.deprecation
    }
}

/// Objects inside of objects say what they are, and their metadata keeps to the rules.
fn embedded(schema: &Structural, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if schema.embedded && value.is_object() {
        for field in ["apiVersion", "kind"] {
            if value[field].as_str().unwrap_or_default().is_empty() {
                errors.push(FieldError::required(
                    &path.child(field),
                    "must not be empty",
                ));
            }
        }
        let metadata = &value["metadata"];
        let place = path.child("metadata");
        errors.extend(meta::labels(&metadata["labels"], &place.child("labels")));
        errors.extend(meta::annotations(
            &metadata["annotations"],
            &place.child("annotations"),
        ));
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(child) = schema.properties.get(name) {
                    embedded(child, value, &path.child(name), errors);
                } else if let Some(Additional::Schema(child)) = &schema.additional {
                    embedded(child, value, &path.key(name), errors);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                if let Some(child) = &schema.items {
                    embedded(child, item, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}
