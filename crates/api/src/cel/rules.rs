//! `x-kubernetes-validations`: what may be written in a schema, and what it says of a value.

use std::collections::HashMap;

use serde_json::Value;

use super::eval::{Budget, EvalError, Evaluated, Names};
use super::types::Ty;
use super::value::Val;
use super::{Program, Scope, compile, cost};
use crate::field::{ErrorKind, FieldError, Path};
use crate::resources::apiextensions::customresourcedefinition::field_place;
use crate::structural::{Additional, ListType, Rule, Structural, old_item};

/// A single run may cause this much work.
const PER_RUN: u64 = 1_000_000;
/// All rules on one object together may cause this much.
const PER_OBJECT: u64 = 10_000_000;
/// A rule may be expected to cause this much at most.
const PER_RULE: u64 = 10_000_000;
/// All rules of a schema together may be expected to cause this much at most.
const PER_SCHEMA: u64 = 100_000_000;
/// Longer messages are not shown.
const MESSAGE: usize = 5 * 1024;

struct Compiled {
    rule: Rule,
    program: Result<Program, String>,
    message: Option<Program>,
    uses_old: bool,
}

fn scope_of(schema: &Structural, root: bool, rule: &Rule) -> Scope {
    let ty = Ty::of(schema, "selfType", root || schema.embedded);
    let old = if rule.optional_old_self == Some(true) {
        Ty::optional(ty.clone())
    } else {
        ty.clone()
    };
    [("self".to_owned(), ty), ("oldSelf".to_owned(), old)].into()
}

fn compiled(schema: &Structural, root: bool, rule: &Rule) -> Compiled {
    let scope = scope_of(schema, root, rule);
    let program = compile(&rule.expression, &scope);
    let message = (!rule.message_expression.is_empty())
        .then(|| compile(&rule.message_expression, &scope).ok())
        .flatten();
    Compiled {
        uses_old: program
            .as_ref()
            .is_ok_and(|program| program.mentions("oldSelf")),
        rule: rule.clone(),
        program,
        message,
    }
}

/// The faults of all rules in a schema.
pub(crate) fn faults(schema: &Structural, path: &Path) -> Vec<FieldError> {
    let mut checker = Checker {
        errors: Vec::new(),
        total: 0,
    };
    checker.node(schema, path, 1, None, true);
    if checker.total > PER_SCHEMA {
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        let why = exceeded(what, checker.total, PER_SCHEMA);
        checker.errors.push(FieldError::forbidden(path, why));
    }
    checker.errors
}

struct Checker {
    errors: Vec<FieldError>,
    total: u64,
}

impl Checker {
    /// `fixed` is the nearest place above from which on old and new values cannot be told to belong together.
    fn node(
        &mut self,
        schema: &Structural,
        path: &Path,
        times: u64,
        fixed: Option<&Path>,
        root: bool,
    ) {
        for (index, rule) in schema.rules.iter().enumerate() {
            let place = path.child("x-kubernetes-validations").index(index);
            self.rule(schema, rule, &place, times, fixed, root);
        }
        let below = if schema.atomic_map {
            fixed.or(Some(path))
        } else {
            fixed
        };
        for (name, child) in &schema.properties {
            let place = path.child("properties").key(name);
            self.node(child, &place, times, below, false);
        }
        let more = times.saturating_mul(cost::occurrences(schema));
        if let Some(Additional::Schema(values)) = &schema.additional {
            self.node(
                values,
                &path.child("additionalProperties"),
                more,
                below,
                false,
            );
        }
        if let Some(items) = &schema.items {
            let fixed = if schema.list_type == ListType::Map {
                fixed
            } else {
                fixed.or(Some(path))
            };
            self.node(items, &path.child("items"), more, fixed, false);
        }
    }

    fn rule(
        &mut self,
        schema: &Structural,
        rule: &Rule,
        path: &Path,
        times: u64,
        fixed: Option<&Path>,
        root: bool,
    ) {
        let scope = scope_of(schema, root, rule);
        let place = path.child("rule");
        let invalid = |place: &Path, why: String| {
            FieldError::invalid(place, Value::Null, why).showing(shown(rule))
        };
        match compile(&rule.expression, &scope) {
            Err(why) => self
                .errors
                .push(invalid(&place, format!("compilation failed: {why}"))),
            Ok(program) if !matches!(program.ty(), Ty::Bool | Ty::Dyn) => {
                let why = "cel expression must evaluate to a bool";
                self.errors.push(invalid(&place, why.to_owned()));
            }
            Ok(program) => {
                let cost = cost::estimate(&program.expr, schema).saturating_mul(times);
                self.total = self.total.saturating_add(cost);
                if cost > PER_RULE {
                    let why = exceeded("estimated rule cost", cost, PER_RULE);
                    self.errors.push(FieldError::forbidden(&place, why));
                }
                let uses_old = program.mentions("oldSelf");
                if let Some(fixed) = fixed.filter(|_| uses_old) {
                    let why = format!(
                        "oldSelf cannot be used on the uncorrelatable portion of the schema within {fixed}"
                    );
                    self.errors
                        .push(FieldError::invalid(&place, rule.expression.as_str(), why));
                }
                if let Some(optional) = rule.optional_old_self.filter(|_| !uses_old) {
                    let why = "may not be set if oldSelf is not used in rule";
                    self.errors.push(FieldError::invalid(
                        &path.child("optionalOldSelf"),
                        optional,
                        why,
                    ));
                }
            }
        }
        if rule.message_expression.is_empty() {
            return;
        }
        let place = path.child("messageExpression");
        match compile(&rule.message_expression, &scope) {
            Err(why) => {
                let why = format!("messageExpression compilation failed: {why}");
                self.errors.push(invalid(&place, why));
            }
            Ok(program) if !matches!(program.ty(), Ty::Text | Ty::Dyn) => {
                self.errors.push(invalid(
                    &place,
                    "messageExpression must evaluate to a string".to_owned(),
                ));
            }
            Ok(_) => {}
        }
    }
}

/// A rule as upstream's messages show it: its internal type as JSON, escaped as Go does.
fn shown(rule: &Rule) -> String {
    let text = |value: &str| {
        Value::from(value)
            .to_string()
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026")
    };
    format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\"OptionalOldSelf\":{}}}",
        text(&rule.expression),
        text(&rule.message),
        text(&rule.message_expression),
        rule.reason
            .as_deref()
            .map_or_else(|| "null".to_owned(), text),
        text(&rule.field_path),
        rule.optional_old_self
            .map_or_else(|| "null".to_owned(), |optional| optional.to_string()),
    )
}

#[expect(clippy::cast_precision_loss, reason = "a factor for people")]
fn exceeded(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}

/// The rules of a schema, compiled. The schema must live as long, and stay where it is.
pub(crate) struct RuleSet(HashMap<usize, Vec<Compiled>>);

fn place_of(schema: &Structural) -> usize {
    std::ptr::from_ref(schema) as usize
}

impl RuleSet {
    /// Compiles all rules of a schema; `None` when it has none.
    pub(crate) fn of(schema: &'static Structural) -> Option<Self> {
        fn collect(schema: &Structural, root: bool, set: &mut HashMap<usize, Vec<Compiled>>) {
            if !schema.rules.is_empty() {
                let rules = schema.rules.iter().map(|rule| compiled(schema, root, rule));
                set.insert(place_of(schema), rules.collect());
            }
            for child in schema.properties.values() {
                collect(child, false, set);
            }
            if let Some(items) = &schema.items {
                collect(items, false, set);
            }
            if let Some(Additional::Schema(values)) = &schema.additional {
                collect(values, false, set);
            }
        }
        if !schema.has_rules() {
            return None;
        }
        let mut set = HashMap::new();
        collect(schema, true, &mut set);
        Some(Self(set))
    }

    /// What the rules say against an object; `old` is it before an update.
    pub(crate) fn judge(
        &self,
        schema: &Structural,
        object: &Value,
        old: Option<&Value>,
    ) -> Vec<FieldError> {
        let mut run = Run {
            set: self,
            left: PER_OBJECT,
            errors: Vec::new(),
        };
        run.value(schema, object, old, &Path::default());
        run.errors
    }
}

struct Run<'r> {
    set: &'r RuleSet,
    left: u64,
    errors: Vec<FieldError>,
}

/// `self` and `oldSelf`.
struct Selves<'a> {
    new: Val<'a>,
    old: Option<Val<'a>>,
}

impl<'a> Names<'a> for Selves<'a> {
    fn get(&self, name: &str) -> Option<Evaluated<'a>> {
        match name {
            "self" => Some(Ok(self.new.clone())),
            "oldSelf" => self.old.clone().map(Ok),
            _ => None,
        }
    }
}

impl Run<'_> {
    /// Whether rules may go on.
    fn value(
        &mut self,
        schema: &Structural,
        value: &Value,
        old: Option<&Value>,
        path: &Path,
    ) -> bool {
        if value.is_null() {
            return true;
        }
        for rule in self.set.0.get(&place_of(schema)).into_iter().flatten() {
            if !self.rule(rule, schema, value, old, path) {
                return false;
            }
        }
        match value {
            Value::Object(fields) => {
                let old = if schema.atomic_map { None } else { old };
                for (name, value) in fields {
                    let before = old.and_then(|old| old.get(name));
                    let (child, place) = match (schema.properties.get(name), &schema.additional) {
                        (Some(child), _) => (child, path.child(name)),
                        (None, Some(Additional::Schema(child))) => (&**child, path.key(name)),
                        _ => continue,
                    };
                    if !self.value(child, value, before, &place) {
                        return false;
                    }
                }
            }
            Value::Array(items) => {
                let Some(child) = &schema.items else {
                    return true;
                };
                for (index, item) in items.iter().enumerate() {
                    let before = old_item(schema, item, old);
                    if !self.value(child, item, before, &path.index(index)) {
                        return false;
                    }
                }
            }
            _ => {}
        }
        true
    }

    fn rule(
        &mut self,
        compiled: &Compiled,
        schema: &Structural,
        value: &Value,
        old: Option<&Value>,
        path: &Path,
    ) -> bool {
        let rule = &compiled.rule;
        let optional = rule.optional_old_self == Some(true);
        // What an update leaves as it was is not judged again, except by rules about the change itself.
        let unchanged = old == Some(value) && !compiled.uses_old;
        if unchanged || (compiled.uses_old && old.is_none() && !optional) {
            return true;
        }
        let ty = schema.ty.map_or("", |ty| ty.name());
        let program = match &compiled.program {
            Ok(program) => program,
            Err(why) => {
                let why = format!("rule compile error: compilation failed: {why}");
                self.errors.push(FieldError::invalid(path, ty, why));
                return true;
            }
        };
        let old = old.map(|old| Val::of(old, Some(schema)));
        let names = Selves {
            new: Val::of(value, Some(schema)),
            old: if optional {
                Some(old.map_or(Val::Optional(None), Val::some))
            } else {
                old
            },
        };
        let shown = if rule.message.is_empty() {
            format!("failed rule: {}", rule.expression)
        } else {
            rule.message.trim().to_owned()
        };
        let budget = Budget::new(PER_RUN.min(self.left));
        let before = budget.left();
        let outcome = program.run(&names, &budget);
        self.left -= before - budget.left();
        let mut fail = |why: String| self.errors.push(FieldError::invalid(path, ty, why));
        match outcome {
            Ok(Val::Bool(true)) => return true,
            Ok(Val::Bool(false)) => {}
            Ok(_) => {
                fail("rule compile error: cel expression must evaluate to a bool".to_owned());
                return true;
            }
            Err(EvalError::Exhausted) if before < PER_RUN => {
                let why = "validation failed due to running out of cost budget, no further validation rules will be run";
                fail(why.to_owned());
                return false;
            }
            Err(error @ EvalError::Exhausted) => {
                fail(format!(
                    "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {shown}"
                ));
                return false;
            }
            Err(EvalError::Failed(why)) if why.starts_with("no such overload") => {
                fail(format!(
                    "'{why}': call arguments did not match a supported operator, function or macro signature for rule: \
                     {shown}"
                ));
                return true;
            }
            Err(EvalError::Failed(why)) => {
                fail(format!("{why} evaluating rule: {shown}"));
                return true;
            }
        }
        let message = self.message(compiled, &names).unwrap_or(shown);
        self.broken(rule, schema, value, path, message);
        true
    }

    /// The message an expression makes, when it makes one that can be shown.
    fn message(&mut self, compiled: &Compiled, names: &Selves<'_>) -> Option<String> {
        let program = compiled.message.as_ref()?;
        let budget = Budget::new(PER_RUN.min(self.left));
        let before = budget.left();
        let made = program.run(names, &budget);
        self.left -= before - budget.left();
        match made {
            Ok(Val::Text(text)) => {
                let text = text.trim();
                let fits =
                    !text.is_empty() && text.len() <= MESSAGE && !text.contains(['\n', '\r']);
                fits.then(|| text.to_owned())
            }
            _ => None,
        }
    }

    fn broken(
        &mut self,
        rule: &Rule,
        schema: &Structural,
        value: &Value,
        path: &Path,
        message: String,
    ) {
        let place = if rule.field_path.is_empty() {
            path.clone()
        } else {
            field_place(schema, &rule.field_path, path).unwrap_or_else(|| path.clone())
        };
        let shown = (!value.is_object() && !value.is_array()).then(|| value.to_string());
        let mut error = match rule.reason.as_deref() {
            Some("FieldValueForbidden") => FieldError::forbidden(&place, message),
            Some("FieldValueRequired") => FieldError::required(&place, message),
            Some("FieldValueDuplicate") => FieldError::duplicate(&place, Value::Null),
            _ => FieldError::invalid(&place, Value::Null, message),
        };
        if matches!(error.kind, ErrorKind::Invalid | ErrorKind::Duplicate) {
            error.value = shown;
        }
        self.errors.push(error);
    }
}
