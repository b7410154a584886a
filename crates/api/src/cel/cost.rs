//! How much work an expression can cause at most, judged by the limits of its schema before anything runs.

use super::ast::{Comprehension, Expr, Node};
use super::types::unescape;
use crate::structural::{Additional, Structural, Ty};

/// No request is longer, so nothing in one is.
const REQUEST: u64 = 3 * 1024 * 1024;

/// The most work an expression on values of a schema causes.
pub(super) fn estimate(expr: &Expr, schema: &Structural) -> u64 {
    let mut estimate = Estimate {
        locals: vec![
            ("self".to_owned(), sized(schema)),
            ("oldSelf".to_owned(), sized(schema)),
        ],
    };
    estimate.of(expr).cost
}

/// How often a value of a schema may stand in a list or map of it.
pub(super) fn occurrences(schema: &Structural) -> u64 {
    match (&schema.items, &schema.additional) {
        (Some(items), _) => schema.limits.max_items.unwrap_or_else(|| fit(items)),
        (None, Some(Additional::Schema(values))) => {
            schema.limits.max_properties.unwrap_or_else(|| fit(values))
        }
        _ => 1,
    }
}

fn fit(schema: &Structural) -> u64 {
    REQUEST / (shortest(schema) + 1)
}

/// The length of the shortest JSON a schema allows.
fn shortest(schema: &Structural) -> u64 {
    match schema.ty {
        Some(Ty::String) => 2 + schema.limits.min_length.unwrap_or(0),
        Some(Ty::Boolean) => 4,
        Some(Ty::Object) => {
            let required = schema
                .properties
                .iter()
                .filter(|(name, _)| schema.required.contains(name));
            2 + required
                .map(|(name, child)| name.len() as u64 + 3 + shortest(child))
                .sum::<u64>()
        }
        Some(Ty::Array) => 2,
        _ => 1,
    }
}

/// What is known of a value before it is there.
#[derive(Clone)]
struct Sized<'s> {
    cost: u64,
    size: u64,
    schema: Option<&'s Structural>,
}

fn sized(schema: &Structural) -> Sized<'_> {
    let limits = &schema.limits;
    let size = match schema.ty {
        Some(Ty::String) => match limits.format.as_str() {
            "date-time" | "datetime" => 20,
            "date" => 10,
            "duration" => 30,
            _ if !limits.allowed.is_empty() => {
                let texts = limits.allowed.iter().filter_map(serde_json::Value::as_str);
                texts.map(str::len).max().unwrap_or(0) as u64
            }
            _ => limits.max_length.unwrap_or(REQUEST),
        },
        Some(Ty::Array) => occurrences(schema),
        Some(Ty::Object) if schema.properties.is_empty() => occurrences(schema),
        Some(Ty::Object) => schema.properties.len() as u64,
        Some(_) => 1,
        None if schema.int_or_string => limits.max_length.unwrap_or(REQUEST),
        None => REQUEST,
    };
    Sized {
        cost: 1,
        size,
        schema: Some(schema),
    }
}

struct Estimate<'s> {
    locals: Vec<(String, Sized<'s>)>,
}

impl<'s> Estimate<'s> {
    fn of(&mut self, expr: &Expr) -> Sized<'s> {
        let plain = |cost: u64, size: u64| Sized {
            cost,
            size,
            schema: None,
        };
        match &expr.node {
            Node::Text(text) => plain(0, text.chars().count() as u64),
            Node::Bytes(bytes) => plain(0, bytes.len() as u64),
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Uint(_) | Node::Double(_) => {
                plain(0, 1)
            }
            Node::Ident(name) => {
                let found = self.locals.iter().rev().find(|(local, _)| local == name);
                found.map_or_else(
                    || plain(1, 1),
                    |(_, sized)| Sized {
                        cost: 1,
                        ..sized.clone()
                    },
                )
            }
            Node::Select {
                of, field, test, ..
            } => {
                let holder = self.of(of);
                let child = holder
                    .schema
                    .and_then(|schema| schema.child(&unescape(field)));
                let mut found = match child {
                    Some(child) if !test => sized(child),
                    _ => plain(1, 1),
                };
                found.cost = holder.cost.saturating_add(1);
                found
            }
            Node::Call { name, target, args } => {
                let parts: Vec<_> = target
                    .iter()
                    .map(AsRef::as_ref)
                    .chain(args)
                    .map(|arg| self.of(arg))
                    .collect();
                call(name, &parts)
            }
            Node::List(items) => {
                let costs = items.iter().map(|(item, _)| self.of(item).cost);
                plain(costs.fold(10, u64::saturating_add), items.len() as u64)
            }
            Node::Map(entries) => {
                let costs = entries
                    .iter()
                    .map(|(key, value, _)| self.of(key).cost.saturating_add(self.of(value).cost));
                plain(costs.fold(30, u64::saturating_add), entries.len() as u64)
            }
            Node::Struct(_, fields) => {
                let costs = fields.iter().map(|(_, value, _)| self.of(value).cost);
                plain(costs.fold(40, u64::saturating_add), fields.len() as u64)
            }
            Node::Comprehension(comprehension) => self.comprehension(comprehension),
            Node::Bind {
                name, value, body, ..
            } => {
                let value = self.of(value);
                let cost = value.cost;
                self.locals.push((name.clone(), value));
                let mut body = self.of(body);
                self.locals.pop();
                body.cost = body.cost.saturating_add(cost);
                body
            }
        }
    }

    fn comprehension(&mut self, c: &Comprehension) -> Sized<'s> {
        let range = self.of(&c.range);
        let one = Sized {
            cost: 1,
            size: 1,
            schema: None,
        };
        let item = match range.schema {
            Some(schema) => match (&schema.items, &schema.additional) {
                (Some(items), _) => sized(items),
                (None, Some(Additional::Schema(values))) if c.two.is_some() => sized(values),
                _ => one.clone(),
            },
            None => one.clone(),
        };
        let before = self.locals.len();
        match &c.two {
            Some(two) => {
                self.locals.push((c.one.clone(), one));
                self.locals.push((two.clone(), item));
            }
            None => self.locals.push((c.one.clone(), item)),
        }
        let filter = c.filter.as_ref().map_or(0, |filter| self.of(filter).cost);
        let body = self.of(&c.body).cost;
        self.locals.truncate(before);
        let step = body.saturating_add(filter).saturating_add(1);
        Sized {
            cost: range.cost.saturating_add(range.size.saturating_mul(step)),
            size: range.size,
            schema: None,
        }
    }
}

fn call<'s>(name: &str, parts: &[Sized<'s>]) -> Sized<'s> {
    let costs = parts
        .iter()
        .map(|part| part.cost)
        .fold(1, u64::saturating_add);
    let sizes = parts
        .iter()
        .map(|part| part.size)
        .fold(0, u64::saturating_add);
    let first = parts.first().map_or(1, |part| part.size);
    let (work, size) = match name {
        "_[_]" | "_[?_]" => {
            let item = parts.first().and_then(|part| part.schema);
            let item = item.and_then(|schema| match (&schema.items, &schema.additional) {
                (Some(items), _) => Some(&**items),
                (None, Some(Additional::Schema(values))) => Some(&**values),
                _ => None,
            });
            let mut found = item.map_or(
                Sized {
                    cost: 1,
                    size: 1,
                    schema: None,
                },
                sized,
            );
            found.cost = costs;
            return found;
        }
        "_+_" => (sizes / 10, sizes),
        "_==_" | "_!=_" | "_<_" | "_>_" | "_<=_" | "_>=_" => (
            parts.iter().map(|part| part.size).min().unwrap_or(0) / 10,
            1,
        ),
        "@in" => (parts.get(1).map_or(1, |part| part.size), 1),
        "matches" | "contains" | "startsWith" | "endsWith" | "find" | "indexOf" | "lastIndexOf"
        | "url" | "isURL" | "quantity" | "isQuantity" | "ip" | "isIP" | "cidr" | "isCIDR" => {
            (first / 10, 1)
        }
        "lowerAscii" | "upperAscii" | "trim" | "replace" | "split" | "substring" | "findAll"
        | "reverse" | "join" | "format" | "string" => (first / 10, first),
        "isSorted" | "sum" | "min" | "max" => (first, 1),
        "sort" | "distinct" | "flatten" | "slice" => (first, first),
        "sets.contains" | "sets.equivalent" | "sets.intersects" => (
            parts
                .iter()
                .map(|part| part.size)
                .fold(1, u64::saturating_mul),
            1,
        ),
        _ => (0, 1),
    };
    Sized {
        cost: costs.saturating_add(work),
        size,
        schema: None,
    }
}
