//! Removes what a schema does not have, and says where it was.

use serde_json::Value;

use super::{Additional, Structural};
use crate::decode::{Step, down};

impl Structural {
    /// Removes fields the schema does not have; `unknown` gets their paths. At the root, and in embedded resources,
    /// `apiVersion`, `kind` and `metadata` always stay.
    pub(crate) fn prune(&self, value: &mut Value, root: bool, unknown: &mut Vec<String>) {
        self.prune_at(value, root || self.embedded, &mut String::new(), unknown);
    }

    fn prune_at(
        &self,
        value: &mut Value,
        resource: bool,
        path: &mut String,
        unknown: &mut Vec<String>,
    ) {
        match value {
            Value::Object(fields) => fields.retain(|name, value| {
                if resource && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                    return true;
                }
                let before = down(path, Step::Field(name));
                let kept = self.prune_field(name, value, path, unknown);
                path.truncate(before);
                kept
            }),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let before = down(path, Step::Item(index));
                    match &self.items {
                        Some(schema) => schema.prune_at(item, schema.embedded, path, unknown),
                        None if self.preserve_unknown => {}
                        None => Self::default().prune_at(item, false, path, unknown),
                    }
                    path.truncate(before);
                }
            }
            _ => {}
        }
    }

    fn prune_field(
        &self,
        name: &str,
        value: &mut Value,
        path: &mut String,
        unknown: &mut Vec<String>,
    ) -> bool {
        if let Some(schema) = self.properties.get(name) {
            schema.prune_at(value, schema.embedded, path, unknown);
            return true;
        }
        match &self.additional {
            Some(Additional::Schema(schema)) => {
                schema.prune_at(value, schema.embedded, path, unknown);
                true
            }
            Some(Additional::Allowed(true)) => true,
            _ if self.preserve_unknown => true,
            _ => {
                unknown.push(path.clone());
                false
            }
        }
    }
}
