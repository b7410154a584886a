//! Strategic merge patch: a merge patch that knows which lists are merged and by which key, and that carries
//! directives (`$patch`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…`, `$retainKeys`).
//! It refuses to validate the result.

use serde_json::{Map, Value};

use super::ordering::{Identity, arrange};
use super::{PatchError, gotext, merge};
use crate::schema::{FieldSchema, PatchStrategy, Type, TypeSchema};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ELEMENT_ORDER: &str = "$setElementOrder";
const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList";

type Fields = Map<String, Value>;

/// Reads a patch and names fields that it gives twice.
pub(super) fn parse(patch: &[u8]) -> Result<(Fields, Vec<String>), PatchError> {
    merge::parse_object(patch).map_err(PatchError::BadRequest)
}

/// Applies the patch.
pub(super) fn apply(
    schema: &'static TypeSchema,
    live: &Value,
    patch: Fields,
) -> Result<Value, PatchError> {
    let live = if let Value::Object(fields) = live {
        fields.clone()
    } else {
        Map::new()
    };
    merge_object(&Type::Object(schema), live, patch).map(Value::Object)
}

fn merge_object(ty: &Type, mut live: Fields, mut patch: Fields) -> Result<Fields, PatchError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some("delete") => Ok(Map::new()),
            _ => Err(unknown_directive(directive, &patch)),
        };
    }
    retain_keys(&mut live, &mut patch)?;
    merge_ordered_lists(ty, &mut live, &mut patch)?;
    for (name, value) in patch {
        match directive_field(&name, DELETE_FROM_PRIMITIVE_LIST, "primitive list")? {
            None => merge_field(ty, &mut live, name, value)?,
            Some(list) => delete_from_list(ty, &mut live, list, value),
        }
    }
    Ok(live)
}

fn merge_field(ty: &Type, live: &mut Fields, name: String, patch: Value) -> Result<(), PatchError> {
    let field = field(ty, &name);
    let merged = match (live.remove(&name), patch) {
        (_, Value::Null) => None,
        (Some(Value::Object(live)), Value::Object(patch)) => Some(Value::Object(
            if field
                .schema
                .is_some_and(|field| field.patch == PatchStrategy::Replace)
            {
                patch
            } else {
                merge_object(&field.ty, live, patch)?
            },
        )),
        (Some(Value::Array(live)), Value::Array(patch)) => {
            Some(Value::Array(match field.merged_by() {
                Some(identity) => merge_list(&field.item(), live, patch, identity)?,
                None => patch,
            }))
        }
        // New, or of another type than before: taken as it is.
        (_, patch) => without_directives(patch),
    };
    if let Some(value) = merged {
        live.insert(name, value);
    }
    Ok(())
}

/// `$deleteFromPrimitiveList/<list>`: takes scalars out of a merged list. Anything else is no reason to fail.
fn delete_from_list(ty: &Type, live: &mut Fields, name: &str, unwanted: Value) {
    match (live.get_mut(name), unwanted) {
        (_, Value::Null) => {
            live.remove(name);
        }
        (Some(Value::Array(items)), Value::Array(unwanted)) => match field(ty, name).merged_by() {
            Some(_) => items.retain(|item| !unwanted.contains(item)),
            None => *items = unwanted,
        },
        _ => {}
    }
}

/// `$retainKeys`: fields of the live object that are not listed go away.
fn retain_keys(live: &mut Fields, patch: &mut Fields) -> Result<(), PatchError> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else {
        return Ok(());
    };
    let wrong = || PatchError::BadRequest("invalid patch format of retainKeys".to_owned());
    let Value::Array(keys) = keys else {
        return Err(wrong());
    };
    let listed = |name: &String| keys.iter().any(|key| key.as_str() == Some(name));
    let free = |(name, value): (&String, &Value)| {
        value.is_null()
            || name.starts_with(DELETE_FROM_PRIMITIVE_LIST)
            || name.starts_with(SET_ELEMENT_ORDER)
    };
    if patch
        .iter()
        .any(|(name, value)| !free((name, value)) && !listed(name))
    {
        return Err(wrong());
    }
    live.retain(|name, _| listed(name));
    Ok(())
}

/// Merges the lists for which the patch gives an order, and takes them out of the patch.
fn merge_ordered_lists(ty: &Type, live: &mut Fields, patch: &mut Fields) -> Result<(), PatchError> {
    let directives: Vec<String> = patch
        .keys()
        .filter(|name| name.starts_with(SET_ELEMENT_ORDER))
        .cloned()
        .collect();
    for directive in directives {
        let order = list_or_error(patch.remove(&directive).unwrap_or_default())?;
        let Some(name) = directive_field(&directive, SET_ELEMENT_ORDER, "setElementOrder list")?
        else {
            continue;
        };
        let live_items = live.remove(name).map(list_or_error).transpose()?;
        let patch_items = patch.remove(name).map(list_or_error).transpose()?;
        let field = field(ty, name);
        let identity = field.identity();
        check_order(patch_items.as_deref().unwrap_or_default(), &order, identity)?;
        let before = live_items.clone().unwrap_or_default();
        let merged = match (live_items, patch_items) {
            (None, None) => continue,
            (Some(items), None) => items,
            (None, Some(items)) => items.into_iter().filter_map(without_directives).collect(),
            (Some(live), Some(patch)) => match field.merged_by() {
                Some(identity) => merge_list(&field.item(), live, patch, identity)?,
                None => patch,
            },
        };
        if let Identity::Key(key) = identity {
            check_keys(&merged, key)?;
        }
        live.insert(
            name.to_owned(),
            Value::Array(arrange(merged, &order, &before, identity)),
        );
    }
    Ok(())
}

/// The items a patch changes must stand in the order it asks for.
fn check_order(patch: &[Value], order: &[Value], identity: Identity<'_>) -> Result<(), PatchError> {
    let mut places = order.iter();
    let kept = patch
        .iter()
        .filter(|item| item.get(DIRECTIVE).and_then(Value::as_str) != Some("delete"));
    for item in kept {
        if item.get(DIRECTIVE).is_some() {
            continue;
        }
        let wanted = identity.of(item);
        if !places.any(|place| identity.of(place) == wanted) && !order.is_empty() {
            return Err(PatchError::Internal(format!(
                "The order in patch list:\n{}\n doesn't match {SET_ELEMENT_ORDER} list:\n{}\n",
                gotext::any(&Value::Array(patch.to_vec())),
                gotext::any(&Value::Array(order.to_vec()))
            )));
        }
    }
    Ok(())
}

fn merge_list(
    item: &Type,
    live: Vec<Value>,
    patch: Vec<Value>,
    identity: Identity<'_>,
) -> Result<Vec<Value>, PatchError> {
    if live.is_empty() && patch.is_empty() {
        return Ok(live);
    }
    let objects = live
        .iter()
        .chain(&patch)
        .filter(|item| item.is_object())
        .count();
    match identity {
        Identity::Key(key) if objects == live.len() + patch.len() => {
            merge_keyed(item, live, patch, key)
        }
        Identity::Whole if objects == 0 => {
            let mut merged: Vec<Value> = Vec::with_capacity(live.len() + patch.len());
            for item in live.iter().chain(&patch) {
                if !merged.contains(item) {
                    merged.push(item.clone());
                }
            }
            Ok(arrange(merged, &patch, &live, identity))
        }
        Identity::Key(_) | Identity::Whole => Err(PatchError::Internal(
            "list element types are not identical".to_owned(),
        )),
    }
}

fn merge_keyed(
    item: &Type,
    mut live: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<Vec<Value>, PatchError> {
    let identity = Identity::Key(key);
    let mut changes = Vec::with_capacity(patch.len());
    let mut replace = false;
    for change in patch {
        let Some(directive) = change.get(DIRECTIVE) else {
            changes.push(change);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let wanted = identity
                    .of(&change)
                    .ok_or_else(|| no_merge_key(&change, key))?;
                live.retain(|item| identity.of(item) != Some(wanted));
            }
            Some("replace") => replace = true,
            Some("merge") => {
                return Err(PatchError::Internal(
                    "merging lists cannot yet be specified in the patch".to_owned(),
                ));
            }
            _ => {
                let fields = change.as_object().cloned().unwrap_or_default();
                return Err(unknown_directive(directive, &fields));
            }
        }
    }
    if replace {
        return Ok(changes);
    }
    check_keys(&changes, key)?;
    check_keys(&live, key)?;
    let order = changes.clone();
    let mut merged = live.clone();
    for change in changes {
        match (identity.position(&merged, &change), change) {
            (Some(at), Value::Object(change)) => {
                let found = merged[at].take();
                let Value::Object(found) = found else {
                    continue;
                };
                merged[at] = Value::Object(merge_object(item, found, change)?);
            }
            (_, change) => merged.extend(without_directives(change)),
        }
    }
    // A directive may have emptied an item.
    check_keys(&merged, key)?;
    Ok(arrange(merged, &order, &live, identity))
}

fn check_keys(items: &[Value], key: &str) -> Result<(), PatchError> {
    items
        .iter()
        .find(|item| item.get(key).is_none())
        .map_or(Ok(()), |item| Err(no_merge_key(item, key)))
}

/// A value that has no live counterpart: nulls and objects with a `$patch` directive mean nothing there.
fn without_directives(value: Value) -> Option<Value> {
    Some(match value {
        Value::Object(fields) => {
            if fields.contains_key(DIRECTIVE) {
                return None;
            }
            Value::Object(
                fields
                    .into_iter()
                    .filter(|(_, value)| !value.is_null())
                    .filter_map(|(name, value)| Some((name, without_directives(value)?)))
                    .collect(),
            )
        }
        Value::Array(items) => {
            Value::Array(items.into_iter().filter_map(without_directives).collect())
        }
        other => other,
    })
}

/// What the schema says about one field.
struct Field {
    ty: Type,
    schema: Option<&'static FieldSchema>,
}

impl Field {
    /// How items of the list are matched, or `None` when the list is replaced as a whole.
    fn merged_by(&self) -> Option<Identity<'static>> {
        self.schema
            .filter(|field| field.patch == PatchStrategy::Merge)
            .map(|_| self.identity())
    }

    fn identity(&self) -> Identity<'static> {
        self.schema
            .and_then(|field| field.patch_merge_key)
            .map_or(Identity::Whole, Identity::Key)
    }

    fn item(&self) -> Type {
        if let Type::List(item) = self.ty {
            *item
        } else {
            Type::Any
        }
    }
}

fn field(ty: &Type, name: &str) -> Field {
    let schema = match ty {
        Type::Object(schema) => schema.field(name),
        _ => None,
    };
    let ty = match (schema, ty) {
        (Some(field), _) => field.ty,
        (None, Type::Map(value)) => **value,
        (None, _) => Type::Any,
    };
    Field { ty, schema }
}

/// The field a directive such as `$setElementOrder/containers` is about; `None` when the name is no such directive.
fn directive_field<'a>(
    name: &'a str,
    directive: &str,
    what: &str,
) -> Result<Option<&'a str>, PatchError> {
    let Some(rest) = name.strip_prefix(directive) else {
        return Ok(None);
    };
    match rest.strip_prefix('/') {
        Some(field) => Ok(Some(field)),
        None => Err(PatchError::BadRequest(format!(
            "invalid patch format of {what}"
        ))),
    }
}

fn list_or_error(value: Value) -> Result<Vec<Value>, PatchError> {
    let name = match value {
        Value::Array(items) => return Ok(items),
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Object(_) => "map[string]interface {}",
    };
    Err(PatchError::Internal(format!(
        "expected a []interface {{}}, but received a {name}"
    )))
}

fn no_merge_key(item: &Value, key: &str) -> PatchError {
    PatchError::Internal(format!(
        "map: {} does not contain declared merge key: {key}",
        gotext::any(item)
    ))
}

fn unknown_directive(directive: &Value, patch: &Fields) -> PatchError {
    PatchError::Internal(format!(
        "unknown patch type: {} in map: {}",
        gotext::any(directive),
        gotext::value(patch)
    ))
}
