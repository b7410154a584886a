//! Judges a value by its schema, in the words of upstream's validator. An update is not blamed for what it leaves as
//! it was.

use serde_json::{Map, Number, Value};

use super::format::fits;
use super::{Additional, Limits, ListType, Structural, Ty};
use crate::field::{ErrorKind, FieldError, Path};

/// What was found wrong with a value.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    pub(crate) errors: Vec<FieldError>,
}

/// Judges a value at a path; `old` is the same value before an update.
pub(crate) fn judge(
    schema: &Structural,
    value: &Value,
    old: Option<&Value>,
    path: &str,
) -> Judgement {
    let mut judgement = Judgement::default();
    judgement.value(schema, value, old, path);
    judgement
}

impl Judgement {
    fn say(
        &mut self,
        kind: ErrorKind,
        path: &str,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) {
        let mut error = FieldError::invalid(&Path::new(path), value, detail);
        error.kind = kind;
        self.errors.push(error);
    }

    fn invalid(&mut self, path: &str, value: impl Into<Value>, why: &str) {
        self.say(
            ErrorKind::Invalid,
            path,
            value,
            format!("{path} in body {why}"),
        );
    }

    fn wrong_type(&mut self, path: &str, wanted: &str, shown: &str) {
        let detail = format!(
            "{path} in body must be of type {wanted}: {}",
            Value::from(shown)
        );
        self.say(ErrorKind::TypeInvalid, path, shown, detail);
    }

    /// Errors of combined schemas name their place only in the text.
    fn combined(&mut self, path: &str, why: &str) {
        let detail = format!("{} {why}", Value::from(path));
        self.say(ErrorKind::Invalid, "<nil>", "", detail);
    }

    fn value(&mut self, schema: &Structural, value: &Value, old: Option<&Value>, path: &str) {
        if old == Some(value) {
            return;
        }
        if !self.of_type(schema, value, path) {
            return;
        }
        if !value.is_null() {
            self.combinations(schema, value, old, path);
        }
        match value {
            Value::String(text) => self.text(&schema.limits, text, path),
            Value::Number(number) => self.number(&schema.limits, number, path),
            Value::Array(items) => self.list(schema, items, old, path),
            _ => {}
        }
        self.one_of_the_allowed(&schema.limits, value, path);
        if let Value::Object(fields) = value {
            self.object(schema, fields, old, path);
        }
    }

    fn of_type(&mut self, schema: &Structural, value: &Value, path: &str) -> bool {
        let wanted = match schema.ty {
            None if !schema.int_or_string => return true,
            None => "integer,string",
            Some(ty) => ty.name(),
        };
        let whole = |number: &Number| number.as_f64().is_some_and(|float| float.fract() == 0.0);
        let fits = match (value, schema.ty) {
            (Value::Null, _) => schema.nullable,
            (Value::Number(number), None | Some(Ty::Integer)) => whole(number),
            (Value::String(_), None | Some(Ty::String))
            | (Value::Number(_), Some(Ty::Number))
            | (Value::Bool(_), Some(Ty::Boolean))
            | (Value::Array(_), Some(Ty::Array))
            | (Value::Object(_), Some(Ty::Object)) => true,
            _ => false,
        };
        if !fits {
            self.wrong_type(path, wanted, type_name(value));
        }
        fits
    }

    fn combinations(
        &mut self,
        schema: &Structural,
        value: &Value,
        old: Option<&Value>,
        path: &str,
    ) {
        let tried = |schemas: &[Structural]| -> Vec<Judgement> {
            let judged = schemas.iter().map(|schema| judge(schema, value, old, path));
            judged.collect()
        };
        if !schema.any_of.is_empty() {
            let outcomes = tried(&schema.any_of);
            if !outcomes.iter().any(|outcome| outcome.errors.is_empty()) {
                self.combined(path, "must validate at least one schema (anyOf)");
                self.best_of(outcomes);
            }
        }
        if !schema.one_of.is_empty() {
            let outcomes = tried(&schema.one_of);
            match outcomes
                .iter()
                .filter(|outcome| outcome.errors.is_empty())
                .count()
            {
                1 => {}
                0 => {
                    let why = "must validate one and only one schema (oneOf). Found none valid";
                    self.combined(path, why);
                    self.best_of(outcomes);
                }
                several => {
                    let why = format!(
                        "must validate one and only one schema (oneOf). Found {several} valid alternatives"
                    );
                    self.combined(path, &why);
                }
            }
        }
        if !schema.all_of.is_empty() {
            let outcomes = tried(&schema.all_of);
            let valid = outcomes
                .iter()
                .filter(|outcome| outcome.errors.is_empty())
                .count();
            if valid < outcomes.len() {
                let none = if valid == 0 { ". None validated" } else { "" };
                self.combined(
                    path,
                    &format!("must validate all the schemas (allOf){none}"),
                );
            }
            for outcome in outcomes {
                self.errors.extend(outcome.errors);
            }
        }
        if let Some(not) = &schema.not
            && judge(not, value, None, path).errors.is_empty()
        {
            self.combined(path, "must not validate the schema (not)");
        }
    }

    /// Of several failed alternatives the one that fits best explains most.
    fn best_of(&mut self, outcomes: Vec<Self>) {
        let best = outcomes
            .into_iter()
            .min_by_key(|outcome| outcome.errors.len());
        self.errors
            .extend(best.into_iter().flat_map(|best| best.errors));
    }

    fn text(&mut self, limits: &Limits, text: &str, path: &str) {
        let length = text.chars().count() as u64;
        if let Some(max) = limits.max_length.filter(|max| length > *max) {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            self.errors
                .push(FieldError::too_long(&Path::new(path), max));
        } else if let Some(min) = limits.min_length.filter(|min| length < *min) {
            self.invalid(path, text, &format!("should be at least {min} chars long"));
        } else if let Some((pattern, _)) = limits
            .pattern
            .as_ref()
            .filter(|(_, regex)| !regex.is_match(text))
        {
            self.invalid(path, text, &format!("should match '{pattern}'"));
        }
        if !fits(&limits.format, text) {
            let detail = format!(
                "{path} in body must be of type {}: {}",
                limits.format,
                Value::from(text)
            );
            self.say(ErrorKind::TypeInvalid, path, text, detail);
        }
    }

    fn number(&mut self, limits: &Limits, number: &Number, path: &str) {
        let Some(value) = number.as_f64() else { return };
        let say = |this: &mut Self, why: String| this.invalid(path, number.clone(), &why);
        if let Some(factor) = limits.multiple_of.filter(|factor| *factor > 0.0) {
            let quotient = value / factor;
            if (quotient - quotient.round()).abs() > 1e-9 * quotient.abs().max(1.0) {
                say(
                    self,
                    format!("should be a multiple of {}", go_float(factor)),
                );
            }
        }
        if let Some(max) = limits.maximum {
            if limits.exclusive_maximum && value >= max {
                say(self, format!("should be less than {}", go_float(max)));
            } else if value > max {
                say(
                    self,
                    format!("should be less than or equal to {}", go_float(max)),
                );
            }
        }
        if let Some(min) = limits.minimum {
            if limits.exclusive_minimum && value <= min {
                say(self, format!("should be greater than {}", go_float(min)));
            } else if value < min {
                say(
                    self,
                    format!("should be greater than or equal to {}", go_float(min)),
                );
            }
        }
        let too_big = match limits.format.as_str() {
            "int32" => {
                number.as_i64().is_none_or(|n| i32::try_from(n).is_err()) && value.fract() == 0.0
            }
            "int64" => number.as_i64().is_none() && value.fract() == 0.0 && value.abs() > 9.2e18,
            _ => false,
        };
        if too_big {
            let why = format!(
                "must be of type {}: {}",
                limits.format,
                Value::from(number.to_string())
            );
            self.say(
                ErrorKind::TypeInvalid,
                path,
                number.clone(),
                format!("{path} in body {why}"),
            );
        }
    }

    fn list(&mut self, schema: &Structural, items: &[Value], old: Option<&Value>, path: &str) {
        if let Some(of) = &schema.items {
            for (index, item) in items.iter().enumerate() {
                let before = old_item(schema, item, old);
                self.value(of, item, before, &format!("{path}[{index}]"));
            }
        }
        let count = items.len() as u64;
        if let Some(min) = schema.limits.min_items.filter(|min| count < *min) {
            self.invalid(path, count, &format!("should have at least {min} items"));
        }
        if let Some(max) = schema.limits.max_items.filter(|max| count > *max) {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            self.errors
                .push(FieldError::too_many(&Path::new(path), items.len(), max));
        }
    }

    fn one_of_the_allowed(&mut self, limits: &Limits, value: &Value, path: &str) {
        if limits.allowed.is_empty() || limits.allowed.iter().any(|allowed| same(allowed, value)) {
            return;
        }
        let shown: Vec<String> = limits
            .allowed
            .iter()
            .map(|allowed| {
                allowed
                    .as_str()
                    .map_or_else(|| allowed.to_string(), ToOwned::to_owned)
            })
            .collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        self.errors.push(FieldError::not_supported(
            &Path::new(path),
            value.clone(),
            &shown,
        ));
    }

    fn object(
        &mut self,
        schema: &Structural,
        fields: &Map<String, Value>,
        old: Option<&Value>,
        path: &str,
    ) {
        let count = fields.len() as u64;
        if let Some(min) = schema.limits.min_properties.filter(|min| count < *min) {
            self.invalid(
                path,
                count,
                &format!("should have at least {min} properties"),
            );
        }
        if let Some(max) = schema.limits.max_properties.filter(|max| count > *max) {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            self.errors
                .push(FieldError::too_many(&Path::new(path), fields.len(), max));
        }
        let below = |name: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            }
        };
        for (name, value) in fields {
            let before = old.and_then(|old| old.get(name));
            if let Some(child) = schema.properties.get(name) {
                self.value(child, value, before, &below(name));
                continue;
            }
            match &schema.additional {
                Some(Additional::Schema(child)) => self.value(child, value, before, &below(name)),
                Some(Additional::Allowed(false)) => {
                    let place = below(name);
                    self.invalid(&place, "", "is a forbidden property");
                }
                _ => {}
            }
        }
        for name in &schema.required {
            if !fields.contains_key(name) {
                self.errors
                    .push(FieldError::required(&Path::new(&below(name)), ""));
            }
        }
    }
}

/// The item before an update; only items of map lists can be told from others.
pub(crate) fn old_item<'o>(
    schema: &Structural,
    item: &Value,
    old: Option<&'o Value>,
) -> Option<&'o Value> {
    if schema.list_type != ListType::Map {
        return None;
    }
    let key = schema.item_key(item);
    let mut found = old?.as_array()?.iter();
    found.find(|candidate| schema.item_key(candidate) == key)
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

/// What upstream calls the type of a value.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.as_f64().is_some_and(|float| float.fract() == 0.0) => {
            "integer"
        }
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A number as Go prints floats: `10`, `0.5`, `1e+06`.
fn go_float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Go writes an exponent when it is below -4 or above 5.
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
