//! Fills in what a schema says a field holds when nobody sets it.

use serde_json::Value;

use super::{Additional, Structural};

impl Structural {
    /// Fills in defaults, from the outside in, so that a default may bring fields that have defaults themselves.
    /// A null where none may be counts as nothing when there is a default.
    pub(crate) fn fill_defaults(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, schema) in &self.properties {
                    let Some(default) = &schema.default else {
                        continue;
                    };
                    let given = fields.get(name);
                    if given.is_none_or(|given| given.is_null() && !schema.nullable) {
                        fields.insert(name.clone(), default.clone());
                    }
                }
                if let Some(Additional::Schema(schema)) = &self.additional
                    && let Some(default) = &schema.default
                    && !schema.nullable
                {
                    for (name, value) in fields.iter_mut() {
                        if value.is_null() && !self.properties.contains_key(name) {
                            *value = default.clone();
                        }
                    }
                }
                for (name, value) in fields {
                    if let Some(schema) = self.child(name) {
                        schema.fill_defaults(value);
                    }
                }
            }
            Value::Array(items) => {
                let Some(schema) = &self.items else { return };
                for item in items {
                    if item.is_null()
                        && !schema.nullable
                        && let Some(default) = &schema.default
                    {
                        *item = default.clone();
                    }
                    schema.fill_defaults(item);
                }
            }
            _ => {}
        }
    }
}
