//! What creating and updating an object does to the managers of its fields: who changes a field has it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::compare::Changes;
use super::managers::{Entry, Managers, Operation};
use super::owned::created;
use super::set::FieldSet;
use crate::schema::TypeSchema;

/// Who writes, where and when.
#[derive(Debug, Clone, Copy)]
pub struct Author<'a> {
    /// The name the client gave itself.
    pub manager: &'a str,
    /// `apiVersion` of the objects at the endpoint.
    pub api_version: &'a str,
    /// The subresource's name; empty for the object itself.
    pub subresource: &'a str,
    /// RFC 3339, whole seconds, UTC.
    pub time: &'a str,
}

impl Author<'_> {
    /// The author's entry with these fields.
    pub(super) fn entry(&self, operation: Operation, fields: FieldSet) -> Entry {
        let manager = if self.manager.is_empty() {
            "unknown"
        } else {
            self.manager
        };
        Entry {
            manager: manager.to_owned(),
            operation,
            api_version: self.api_version.to_owned(),
            subresource: self.subresource.to_owned(),
            time: Some(self.time.to_owned()),
            fields,
        }
    }
}

/// Fields nobody manages: what names an object, and what the server alone writes.
static UNMANAGED: LazyLock<FieldSet> = LazyLock::new(|| {
    FieldSet::of_paths(&[
        "apiVersion",
        "kind",
        "metadata",
        "metadata.name",
        "metadata.namespace",
        "metadata.creationTimestamp",
        "metadata.selfLink",
        "metadata.uid",
        "metadata.clusterName",
        "metadata.generation",
        "metadata.managedFields",
        "metadata.resourceVersion",
    ])
});

/// Leaves out of a manager's fields what nobody manages.
pub(super) fn manageable(mut fields: FieldSet) -> FieldSet {
    fields.subtract(&UNMANAGED);
    fields
}

/// An object in the form of an `apiVersion`, and that form's schema; `None` where its fields go by the same names.
pub type Translate<'a> = &'a dyn Fn(&str, &Value) -> Option<(&'static TypeSchema, Value)>;

/// Writes the managers of `new` into it, which the author made out of `live` or, without it, anew. `reset` are the
/// fields that this endpoint cannot change.
pub fn track(
    schema: &TypeSchema,
    reset: &FieldSet,
    author: &Author<'_>,
    live: Option<&Value>,
    new: &mut Value,
) {
    track_across(schema, reset, author, live, new, &|_, _| None);
}

/// The same for an object with several forms. Managers that came through another version have fields of that version:
/// what they lose is found out there.
pub fn track_across(
    schema: &TypeSchema,
    reset: &FieldSet,
    author: &Author<'_>,
    live: Option<&Value>,
    new: &mut Value,
    translate: Translate<'_>,
) {
    let mut managers = Managers::take(new, live, !author.subresource.is_empty());
    let changes = match live {
        // Nobody is told apart any more in an object whose managers were forgotten.
        Some(_) if managers.0.is_empty() => return,
        Some(live) => Changes::between(schema, live, new),
        None => Changes {
            set: created(schema, new),
            removed: FieldSet::default(),
        },
    }
    .without(reset);
    if !changes.is_empty() {
        let elsewhere = changes_elsewhere(&managers, author, live, new, translate);
        for entry in &mut managers.0 {
            let changes = elsewhere.get(&entry.api_version).unwrap_or(&changes);
            for fields in [&changes.set, &changes.removed] {
                if entry.fields.intersects(fields) {
                    entry.fields.subtract(fields);
                }
            }
        }
        let fields = manageable(changes.set);
        if !fields.is_empty() {
            managers.gain(author.entry(Operation::Update, fields));
        }
        managers.tidy();
        managers.cap();
    }
    managers.put(new);
}

/// What a write changes in the forms of the other versions that managers came through.
fn changes_elsewhere(
    managers: &Managers,
    author: &Author<'_>,
    live: Option<&Value>,
    new: &Value,
    translate: Translate<'_>,
) -> BTreeMap<String, Changes> {
    let mut elsewhere = BTreeMap::new();
    let Some(live) = live else { return elsewhere };
    for entry in &managers.0 {
        let version = entry.api_version.as_str();
        if version == author.api_version || elsewhere.contains_key(version) {
            continue;
        }
        if let (Some((schema, live)), Some((_, new))) =
            (translate(version, live), translate(version, new))
        {
            elsewhere.insert(version.to_owned(), Changes::between(schema, &live, &new));
        }
    }
    elsewhere
}
