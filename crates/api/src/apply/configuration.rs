//! Server-side apply: a configuration becomes part of an object, fields its author no longer lists go, and fields of
//! other managers are only taken by force.

use serde_json::{Map, Value};

use super::check::check;
use super::compare::Changes;
use super::managers::{Entry, Managers, Operation, take_managed_fields};
use super::merge::{merge, remove};
use super::owned::{created, listed, with_fields};
use super::place::Place;
use super::set::{FieldSet, show};
use super::track::{Author, manageable};
use crate::decode::parse_yaml;
use crate::meta;
use crate::schema::TypeSchema;
use crate::status::{Cause, Details, Status};

/// The manager of what was there before anybody applied or was told apart.
const BEFORE: &str = "before-first-apply";
/// The manager that takes over from client-side apply.
const KUBECTL: &str = "kubectl";
/// What client-side apply last sent.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A configuration to apply.
pub struct Configuration<'a> {
    /// The type of the object.
    pub schema: &'a TypeSchema,
    /// Group, version and kind that the configuration must name.
    pub gvk: (&'a str, &'a str, &'a str),
    /// The fields that the endpoint cannot change.
    pub reset: &'a FieldSet,
    /// Whose configuration it is.
    pub author: Author<'a>,
    /// Whether fields of other managers are taken.
    pub force: bool,
    /// The configuration itself.
    pub config: &'a Value,
}

/// A configuration as a client sent it.
#[derive(Debug)]
pub struct ConfigurationText {
    /// What it says.
    pub config: Value,
    /// One text about all fields that it gives twice, if any.
    pub duplicates: Option<String>,
}

/// Reads a configuration, in YAML or JSON. The error is the text clients get.
pub fn read_configuration(body: &[u8]) -> Result<ConfigurationText, String> {
    let parsed =
        parse_yaml(body).map_err(|error| format!("error converting YAML to JSON: {error}"))?;
    let config = match parsed.value {
        Value::Null => Value::Object(Map::new()),
        config @ Value::Object(_) => config,
        other => {
            let name = match other {
                Value::Bool(_) => "bool",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                _ => "array",
            };
            return Err(format!(
                "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {name} into Go value of type \
                 map[string]interface {{}}"
            ));
        }
    };
    Ok(ConfigurationText {
        config,
        duplicates: parsed
            .duplicates
            .map(|text| format!("error converting YAML to JSON: {text}")),
    })
}

/// A field of a configuration that another manager has.
struct Conflict<'m> {
    manager: &'m Entry,
    fields: FieldSet,
}

impl Configuration<'_> {
    /// The object with the configuration applied and its managers brought up to date; without a live object, a new
    /// one. Defaults are not filled in.
    pub fn apply(&self, live: Option<&Value>) -> Result<Value, Status> {
        self.check()?;
        let outcome = self.laid_over(live, self.force);
        let mut object = match outcome {
            Ok(object) => object,
            Err(conflicts) => match self.left_of(conflicts, live) {
                Some(refusal) => return Err(refusal),
                None => self
                    .laid_over(live, true)
                    .map_err(|_| Status::internal("applying by force met a conflict"))?,
            },
        };
        if self.author.manager == KUBECTL {
            self.remember(&mut object);
        }
        Ok(object)
    }

    fn check(&self) -> Result<(), Status> {
        let text = |field: &str| self.config[field].as_str().unwrap_or_default();
        let (group, version) = match text("apiVersion").split_once('/') {
            None => ("", text("apiVersion")),
            Some(parts) => parts,
        };
        let gvk = |group, version, kind| format!("{group}/{version}, Kind={kind}");
        if (group, version, text("kind")) != self.gvk {
            let claimed = gvk(group, version, text("kind"));
            return Err(Status::bad_request(format!(
                "invalid object type: {claimed}"
            )));
        }
        if self.config["metadata"]["managedFields"].is_array() {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        check(Place::root(self.schema), self.config).map_err(|fault| {
            let (namespace, name) = (meta::namespace(self.config), meta::name(self.config));
            let gvk = gvk(self.gvk.0, self.gvk.1, self.gvk.2);
            Status {
                code: 500,
                reason: "".into(),
                message: format!(
                    "failed to create typed patch object ({namespace}/{name}; {gvk}): {fault}"
                ),
                details: None,
            }
        })
    }

    /// The outcome, or who is in the way.
    fn laid_over(
        &self,
        live: Option<&Value>,
        force: bool,
    ) -> Result<Value, Vec<(Entry, FieldSet)>> {
        let place = Place::root(self.schema);
        let mut managers = live.map_or_else(Managers::default, Managers::of);
        let mut before = live.cloned().unwrap_or_else(|| Value::Object(Map::new()));
        take_managed_fields(&mut before);
        if managers.0.is_empty() && live.is_some() {
            self.found(&mut managers, &before);
        }
        let mut own = listed(self.config, place);
        own.subtract_below(self.reset);
        let me = self.author.entry(Operation::Apply, own);
        let last = managers.0.iter().position(|entry| entry.is(&me));
        let last = last.map(|at| managers.0.swap_remove(at));

        let mut object = merge(place, &before, self.config);
        if let Some(last) = &last {
            object = prune(place, object, &last.fields, &me.fields, &managers);
        }
        let changes = Changes::between(self.schema, &before, &object).without(self.reset);
        if !force {
            let conflicts = conflicts(&managers, &changes.set);
            if !conflicts.is_empty() {
                return Err(conflicts
                    .into_iter()
                    .map(|conflict| (conflict.manager.clone(), conflict.fields))
                    .collect());
            }
        }
        managers.lose(&changes.set);
        managers.lose(&changes.removed);
        let unchanged = object == before;
        let time = if unchanged {
            last.and_then(|last| last.time)
        } else {
            me.time.clone()
        };
        managers.0.push(Entry {
            fields: manageable(me.fields.clone()),
            time,
            ..me
        });
        managers.tidy();
        managers.put(&mut object);
        Ok(object)
    }

    /// Somebody must have set the fields of an object without managers.
    fn found(&self, managers: &mut Managers, object: &Value) {
        let mut fields = created(self.schema, object);
        fields.subtract_below(self.reset);
        let author = Author {
            manager: BEFORE,
            ..self.author
        };
        managers
            .0
            .push(author.entry(Operation::Update, manageable(fields)));
        managers.tidy();
    }

    /// The refusal for what conflicts remain. What client-side apply set and nobody changed since is not in the way
    /// of `kubectl apply --server-side`.
    fn left_of(
        &self,
        mut conflicts: Vec<(Entry, FieldSet)>,
        live: Option<&Value>,
    ) -> Option<Status> {
        if self.author.manager == KUBECTL
            && let Some(allowed) = live.and_then(|live| self.set_by_the_client(live))
        {
            for (_, fields) in &mut conflicts {
                fields.subtract(&allowed);
            }
            conflicts.retain(|(_, fields)| !fields.is_empty());
            if conflicts.is_empty() {
                return None;
            }
        }
        Some(refusal(&conflicts))
    }

    /// The fields that client-side apply set and that still have the value it gave them.
    fn set_by_the_client(&self, live: &Value) -> Option<FieldSet> {
        let text = live["metadata"]["annotations"][LAST_APPLIED].as_str()?;
        let last: Value = serde_json::from_str(text).ok()?;
        let place = Place::root(self.schema);
        if last["apiVersion"] != self.author.api_version || check(place, &last).is_err() {
            return None;
        }
        let changes = Changes::between(self.schema, &last, live);
        let mut fields = listed(&last, place);
        fields.subtract(&changes.set);
        fields.subtract(&changes.removed);
        Some(fields)
    }

    /// Brings what client-side apply goes by up to date where it was used before, so that one can go back to it.
    fn remember(&self, object: &mut Value) {
        let Some(annotations) = object
            .pointer_mut("/metadata/annotations")
            .and_then(Value::as_object_mut)
        else {
            return;
        };
        if annotations
            .get(LAST_APPLIED)
            .and_then(Value::as_str)
            .is_none_or(str::is_empty)
        {
            return;
        }
        let mut config = self.config.clone();
        if let Some(sent) = config
            .pointer_mut("/metadata/annotations")
            .and_then(Value::as_object_mut)
        {
            sent.remove(LAST_APPLIED);
        }
        // Go escapes these in every JSON text.
        let text = config
            .to_string()
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026");
        annotations.insert(LAST_APPLIED.to_owned(), format!("{text}\n").into());
        if !meta::annotations_fit(annotations) {
            annotations.remove(LAST_APPLIED);
        }
    }
}

/// Takes out of a merged object what its author listed last time and does not list now, unless somebody else has it.
fn prune(
    place: Place<'_>,
    merged: Value,
    last: &FieldSet,
    now: &FieldSet,
    others: &Managers,
) -> Value {
    let mut dropped = last.clone();
    dropped.subtract(now);
    if dropped.is_empty() {
        return merged;
    }
    let last = with_fields(last, place);
    let mut managed = now.clone();
    for entry in &others.0 {
        managed.union(&entry.fields);
    }
    // What nobody has may go when all around it goes, as defaults in an item; but not for its own sake.
    let mut kept = with_fields(&listed(&remove(place, merged.clone(), &last), place), place);
    kept.union(&with_fields(&managed, place));
    let all = with_fields(&listed(&merged, place), place);
    let mut unmanaged = all.clone();
    unmanaged.subtract(&kept);
    let pruned = remove(place, merged.clone(), &unmanaged);
    let mut gone = all;
    gone.subtract(&with_fields(&listed(&pruned, place), place));
    remove(place, merged, &gone.intersection(&last))
}

fn conflicts<'m>(managers: &'m Managers, changed: &FieldSet) -> Vec<Conflict<'m>> {
    let mut found: Vec<Conflict<'m>> = managers
        .0
        .iter()
        .map(|manager| Conflict {
            manager,
            fields: manager.fields.intersection(changed),
        })
        .filter(|conflict| !conflict.fields.is_empty())
        .collect();
    found.sort_by(|a, b| {
        let key = |conflict: &Conflict<'m>| {
            let entry = conflict.manager;
            (
                &entry.manager,
                entry.operation,
                &entry.api_version,
                &entry.subresource,
            )
        };
        key(a).cmp(&key(b))
    });
    found
}

fn refusal(conflicts: &[(Entry, FieldSet)]) -> Status {
    let mut causes = Vec::new();
    let mut lines = Vec::new();
    for (manager, fields) in conflicts {
        let title = manager.title();
        lines.push(format!("conflicts with {title}:"));
        for path in fields.paths() {
            let field = show(&path);
            lines.push(format!("- {field}"));
            causes.push(Cause {
                reason: "FieldManagerConflict".to_owned(),
                message: format!("conflict with {title}"),
                field,
            });
        }
    }
    let message = match causes.as_slice() {
        [one] => format!(
            "Apply failed with 1 conflict: {}: {}",
            one.message, one.field
        ),
        several => format!(
            "Apply failed with {} conflicts: {}",
            several.len(),
            lines.join("\n")
        ),
    };
    Status {
        code: 409,
        reason: "Conflict".into(),
        message,
        details: Some(Details {
            causes,
            ..Details::default()
        }),
    }
}
