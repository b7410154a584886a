//! JSON patch, RFC 6902, as upstream's library applies it. It refuses to know schemas.
//!
//! The crate `json-patch` is stricter than upstream (`replace` of an absent field fails there), so that clients'
//! patches would be refused which every other API server takes.

use serde_json::Value;

use super::PatchError;
use crate::decode::Node;

/// Upstream runs no patch with more operations.
const MAX_OPERATIONS: usize = 10_000;

#[derive(Debug)]
struct Operation {
    op: String,
    path: String,
    from: String,
    value: Value,
}

/// Applies the patch and names fields that it gives twice or that no operation has.
pub(super) fn apply(live: &Value, patch: &[u8]) -> Result<(Value, Vec<String>), PatchError> {
    let mut problems = Vec::new();
    let operations = parse(patch, &mut problems)
        .map_err(|error| PatchError::BadRequest(format!("error decoding patch: {error}")))?;
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    let mut object = live.clone();
    for operation in operations {
        run(&mut object, operation).map_err(PatchError::Rejected)?;
    }
    Ok((object, problems))
}

fn parse(patch: &[u8], problems: &mut Vec<String>) -> Result<Vec<Operation>, String> {
    let items = match Node::from_json(patch)? {
        Node::List(items) => items,
        Node::Null => Vec::new(),
        other => {
            return Err(format!(
                "json: cannot unmarshal {} into Go value of type []handlers.jsonPatchOp",
                other.json_name()
            ));
        }
    };
    items
        .into_iter()
        .enumerate()
        .map(|(index, item)| operation(index, item, problems))
        .collect()
}

fn operation(index: usize, item: Node, problems: &mut Vec<String>) -> Result<Operation, String> {
    let fields = match item {
        Node::Object(fields) => fields,
        other => {
            return Err(format!(
                "json: cannot unmarshal {} into Go value of type handlers.jsonPatchOp",
                other.json_name()
            ));
        }
    };
    let mut operation = Operation {
        op: String::new(),
        path: String::new(),
        from: String::new(),
        value: Value::Null,
    };
    let mut seen = Vec::new();
    for (name, node) in fields {
        if seen.contains(&name) {
            problems.push(format!("json patch duplicate field \"[{index}].{name}\""));
        }
        let text = match name.as_str() {
            "op" => &mut operation.op,
            "path" => &mut operation.path,
            "from" => &mut operation.from,
            "value" => {
                operation.value = node.into_value(&mut String::new(), &mut Vec::new());
                seen.push(name);
                continue;
            }
            _ => {
                problems.push(format!("json patch unknown field \"[{index}].{name}\""));
                continue;
            }
        };
        match node {
            Node::Text(value) => *text = value,
            Node::Null => {}
            other => {
                return Err(format!(
                    "json: cannot unmarshal {} into Go struct field jsonPatchOp.{name} of type string",
                    other.json_name()
                ));
            }
        }
        seen.push(name);
    }
    Ok(operation)
}

fn run(object: &mut Value, operation: Operation) -> Result<(), String> {
    let Operation {
        op,
        path,
        from,
        value,
    } = operation;
    match op.as_str() {
        "add" => add(object, &path, value),
        "remove" => remove(object, &path).map(drop),
        "replace" => replace(object, &path, value),
        "move" => {
            let value = remove(object, &from)?;
            add(object, &path, value)
        }
        "copy" => {
            let value = get(object, &from)?.cloned().unwrap_or(Value::Null);
            add(object, &path, value)
        }
        "test" => match get(object, &path)? {
            None if value.is_null() => Ok(()),
            Some(found) if *found == value => Ok(()),
            _ => Err(format!("testing value {path} failed")),
        },
        other => Err(format!("unexpected kind: {other}")),
    }
}

/// The parts of a JSON pointer; none for the whole document.
fn parts(path: &str) -> Result<Vec<String>, String> {
    match path.strip_prefix('/') {
        Some(rest) => Ok(rest
            .split('/')
            .map(|part| part.replace("~1", "/").replace("~0", "~"))
            .collect()),
        None if path.is_empty() => Ok(Vec::new()),
        None => Err(format!("path {path:?} does not begin with a slash")),
    }
}

/// The container a path leads into, and the last part of the path; no container for the whole document.
fn holder<'a>(
    object: &'a mut Value,
    path: &str,
) -> Result<Option<(&'a mut Value, String)>, String> {
    let mut parts = parts(path)?;
    let Some(last) = parts.pop() else {
        return Ok(None);
    };
    let mut at = object;
    for part in parts {
        at = match at {
            Value::Object(fields) => fields.get_mut(&part),
            Value::Array(items) => {
                let index = index(&part, items.len())?;
                items.get_mut(index)
            }
            _ => None,
        }
        .ok_or_else(|| format!("doc is missing path {path:?}"))?;
    }
    Ok(Some((at, last)))
}

/// A list index below `length`; negative ones count from the end.
fn index(part: &str, length: usize) -> Result<usize, String> {
    let number: i64 = part
        .parse()
        .map_err(|_| format!("{part:?} is no list index"))?;
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let number = if number < 0 { number + length } else { number };
    usize::try_from(number)
        .ok()
        .filter(|_| number < length)
        .ok_or_else(|| format!("list index {part} is out of bounds"))
}

fn no_container(path: &str) -> String {
    format!("doc is missing path {path:?}")
}

fn add(object: &mut Value, path: &str, value: Value) -> Result<(), String> {
    match holder(object, path)? {
        None => *object = value,
        Some((Value::Object(fields), name)) => {
            fields.insert(name, value);
        }
        Some((Value::Array(items), part)) if part == "-" => items.push(value),
        Some((Value::Array(items), part)) => {
            let at = index(&part, items.len() + 1)?;
            items.insert(at, value);
        }
        Some(_) => return Err(no_container(path)),
    }
    Ok(())
}

fn replace(object: &mut Value, path: &str, value: Value) -> Result<(), String> {
    match holder(object, path)? {
        None => *object = value,
        Some((Value::Object(fields), name)) => {
            fields.insert(name, value);
        }
        Some((Value::Array(items), part)) => {
            let at = index(&part, items.len())?;
            items[at] = value;
        }
        Some(_) => return Err(no_container(path)),
    }
    Ok(())
}

fn remove(object: &mut Value, path: &str) -> Result<Value, String> {
    match holder(object, path)? {
        Some((Value::Object(fields), name)) => fields
            .remove(&name)
            .ok_or_else(|| format!("unable to remove nonexistent key: {name}")),
        Some((Value::Array(items), part)) => {
            let at = index(&part, items.len())?;
            Ok(items.remove(at))
        }
        _ => Err(no_container(path)),
    }
}

/// The value at a path; `None` for an absent field of an existing object.
fn get<'a>(object: &'a mut Value, path: &str) -> Result<Option<&'a Value>, String> {
    if path.is_empty() {
        return Ok(Some(object));
    }
    match holder(object, path)? {
        Some((Value::Object(fields), name)) => Ok(fields.get(&name)),
        Some((Value::Array(items), part)) => {
            let at = index(&part, items.len())?;
            Ok(items.get(at))
        }
        _ => Err(no_container(path)),
    }
}
