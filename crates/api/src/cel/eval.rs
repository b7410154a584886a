//! Runs an expression within a budget.

use std::cell::Cell;

use super::ast::{Bind, Comprehension, Expr, Node, Over};
use super::functions;
use super::value::Val;

/// How much work may still be done.
#[derive(Debug)]
pub(crate) struct Budget(Cell<u64>);

impl Budget {
    pub(crate) fn new(units: u64) -> Self {
        Self(Cell::new(units))
    }

    /// What is left.
    pub(crate) fn left(&self) -> u64 {
        self.0.get()
    }

    /// Takes from it; an error when there is not enough.
    pub(crate) fn spend(&self, units: u64) -> Result<(), EvalError> {
        if let Some(left) = self.0.get().checked_sub(units) {
            self.0.set(left);
            return Ok(());
        }
        self.0.set(0);
        Err(EvalError::Exhausted)
    }
}

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EvalError {
    /// In cel-go's words.
    #[error("{0}")]
    Failed(String),
    #[error("operation cancelled: actual cost limit exceeded")]
    Exhausted,
}

pub(crate) type Evaluated<'a> = Result<Val<'a>, EvalError>;

/// What an expression may name.
pub(crate) trait Names<'a> {
    /// A variable.
    fn get(&self, name: &str) -> Option<Evaluated<'a>>;
    /// A field of a variable that is computed when it is asked for (`variables.x`); `None` for all other variables.
    fn computed(&self, _name: &str, _field: &str) -> Option<Evaluated<'a>> {
        None
    }
}

/// Evaluates an expression.
pub(crate) fn eval<'a>(expr: &Expr, names: &dyn Names<'a>, budget: &Budget) -> Evaluated<'a> {
    Run {
        names,
        budget,
        locals: Vec::new(),
    }
    .eval(expr)
}

pub(super) fn failed<T>(why: impl Into<String>) -> Result<T, EvalError> {
    Err(EvalError::Failed(why.into()))
}

pub(super) fn no_overload<T>() -> Result<T, EvalError> {
    failed("no such overload")
}

struct Run<'r, 'a> {
    names: &'r dyn Names<'a>,
    budget: &'r Budget,
    locals: Vec<(String, Val<'a>)>,
}

impl<'a> Run<'_, 'a> {
    fn eval(&mut self, expr: &Expr) -> Evaluated<'a> {
        match &expr.node {
            Node::Null => Ok(Val::Null),
            Node::Bool(value) => Ok(Val::Bool(*value)),
            Node::Int(value) => Ok(Val::Int(*value)),
            Node::Uint(value) => Ok(Val::Uint(*value)),
            Node::Double(value) => Ok(Val::Double(*value)),
            Node::Text(value) => Ok(Val::text(value)),
            Node::Bytes(value) => Ok(Val::Bytes(value.as_slice().into())),
            Node::Ident(name) => {
                self.budget.spend(1)?;
                self.name(name)
            }
            Node::Select {
                of,
                field,
                optional,
                test,
            } => {
                self.budget.spend(1)?;
                self.select(of, field, *optional, *test)
            }
            Node::Call { name, target, args } => self.call(name, target.as_deref(), args),
            Node::List(items) => {
                self.budget.spend(10)?;
                let mut list = Vec::with_capacity(items.len());
                for (item, optional) in items {
                    match (self.eval(item)?, optional) {
                        (Val::Optional(held), true) => {
                            list.extend(held.map(|held| (*held).clone()));
                        }
                        (value, _) => list.push(value),
                    }
                }
                Ok(Val::list(list))
            }
            Node::Map(entries) => {
                self.budget.spend(30)?;
                let mut map = Vec::with_capacity(entries.len());
                for (key, value, optional) in entries {
                    let key = self.eval(key)?;
                    match (self.eval(value)?, optional) {
                        (Val::Optional(held), true) => {
                            map.extend(held.map(|held| (key, (*held).clone())));
                        }
                        (value, _) => map.push((key, value)),
                    }
                }
                Ok(Val::Map(map.into()))
            }
            Node::Struct(_, fields) => {
                self.budget.spend(40)?;
                let mut map = Vec::with_capacity(fields.len());
                for (name, value, optional) in fields {
                    let key = Val::text(name);
                    match (self.eval(value)?, optional) {
                        (Val::Optional(held), true) => {
                            map.extend(held.map(|held| (key, (*held).clone())));
                        }
                        (value, _) => map.push((key, value)),
                    }
                }
                Ok(Val::Map(map.into()))
            }
            Node::Comprehension(comprehension) => self.comprehension(comprehension),
            Node::Bind {
                name,
                value,
                body,
                how,
            } => {
                let value = self.eval(value)?;
                let bound = match (how, value) {
                    (Bind::Plain, value) => value,
                    (_, Val::Optional(Some(held))) => (*held).clone(),
                    (_, Val::Optional(None)) => return Ok(Val::Optional(None)),
                    _ => return no_overload(),
                };
                self.locals.push((name.clone(), bound));
                let result = self.eval(body);
                self.locals.pop();
                match how {
                    Bind::Optional => result.map(Val::some),
                    Bind::Plain | Bind::Flat => result,
                }
            }
        }
    }

    fn local(&self, name: &str) -> Option<&Val<'a>> {
        self.locals
            .iter()
            .rev()
            .find(|(local, _)| local == name)
            .map(|(_, value)| value)
    }

    fn name(&self, name: &str) -> Evaluated<'a> {
        if let Some(value) = self.local(name) {
            return Ok(value.clone());
        }
        if let Some(value) = self.names.get(name) {
            return value;
        }
        match functions::type_named(name) {
            Some(name) => Ok(Val::Type(name)),
            None => failed(format!("no such attribute(s): {name}")),
        }
    }

    fn select(&mut self, of: &Expr, field: &str, optional: bool, test: bool) -> Evaluated<'a> {
        if let Node::Ident(name) = &of.node
            && self.local(name).is_none()
            && let Some(value) = self.names.computed(name, field)
        {
            return match value {
                Ok(_) if test => Ok(Val::Bool(true)),
                Ok(value) if optional => Ok(Val::some(value)),
                value => value,
            };
        }
        let holder = self.eval(of)?;
        let (holder, optional) = match holder {
            Val::Optional(None) => {
                return Ok(if test {
                    Val::Bool(false)
                } else {
                    Val::Optional(None)
                });
            }
            Val::Optional(Some(held)) => ((*held).clone(), true),
            holder => (holder, optional),
        };
        if !matches!(holder, Val::Map(_) | Val::JsonMap(..)) {
            return match holder {
                Val::Null if optional => Ok(Val::Optional(None)),
                Val::Null => failed(format!("no such key: {field}")),
                _ => no_overload(),
            };
        }
        let found = holder.field(field);
        if test {
            return Ok(Val::Bool(found.is_some()));
        }
        match found {
            Some(value) if optional => Ok(Val::some(value)),
            Some(value) => Ok(value),
            None if optional => Ok(Val::Optional(None)),
            None => failed(format!("no such key: {field}")),
        }
    }

    fn call(&mut self, name: &str, target: Option<&Expr>, args: &[Expr]) -> Evaluated<'a> {
        self.budget.spend(1)?;
        match (name, args) {
            ("_&&_", [a, b]) => return self.logic(a, b, false),
            ("_||_", [a, b]) => return self.logic(a, b, true),
            ("_?_:_", [condition, yes, no]) => {
                return match self.eval(condition)? {
                    Val::Bool(true) => self.eval(yes),
                    Val::Bool(false) => self.eval(no),
                    _ => no_overload(),
                };
            }
            ("or" | "orValue", [other]) if target.is_some() => {
                let held = target.map(|target| self.eval(target)).transpose()?;
                return match (name, held) {
                    ("orValue", Some(Val::Optional(Some(held)))) => Ok((*held).clone()),
                    ("or", Some(some @ Val::Optional(Some(_)))) => Ok(some),
                    (_, Some(Val::Optional(None))) => self.eval(other),
                    _ => no_overload(),
                };
            }
            _ => {}
        }
        let mut values = Vec::with_capacity(args.len() + 1);
        for arg in target.into_iter().chain(args) {
            values.push(self.eval(arg)?);
        }
        functions::call(name, target.is_some(), &values, self.budget)
    }

    /// One side may decide although the other fails.
    fn logic(&mut self, a: &Expr, b: &Expr, deciding: bool) -> Evaluated<'a> {
        let first = self.eval(a);
        if matches!(first, Ok(Val::Bool(value)) if value == deciding)
            || first == Err(EvalError::Exhausted)
        {
            return first;
        }
        let second = self.eval(b);
        match (first, second) {
            (_, Ok(Val::Bool(value))) if value == deciding => Ok(Val::Bool(deciding)),
            (Ok(Val::Bool(_)), Ok(Val::Bool(value))) => Ok(Val::Bool(value)),
            (Err(error), _) | (_, Err(error)) => Err(error),
            _ => no_overload(),
        }
    }

    fn comprehension(&mut self, c: &Comprehension) -> Evaluated<'a> {
        let range = self.eval(&c.range)?;
        let is_map = matches!(range, Val::Map(_) | Val::JsonMap(..));
        let pairs: Vec<(Val<'a>, Val<'a>)> = match (range.entries(), range.items()) {
            (Some(entries), _) => entries,
            (None, Some(items)) => {
                let numbered = items.into_iter().zip(0..);
                numbered
                    .map(|(item, index)| (Val::Int(index), item))
                    .collect()
            }
            (None, None) => return no_overload(),
        };
        let before = self.locals.len();
        let (mut list, mut map, mut count) = (Vec::new(), Vec::new(), 0_u64);
        // An error in one step may be made good by another step that decides.
        let mut error = None;
        for (key, value) in pairs {
            self.budget.spend(1)?;
            self.locals.truncate(before);
            if let Some(two) = &c.two {
                self.locals.push((c.one.clone(), key.clone()));
                self.locals.push((two.clone(), value.clone()));
            } else {
                let only = if is_map { key.clone() } else { value.clone() };
                self.locals.push((c.one.clone(), only));
            }
            if let Some(filter) = &c.filter {
                match self.eval(filter)? {
                    Val::Bool(true) => {}
                    Val::Bool(false) => continue,
                    _ => return no_overload(),
                }
            }
            let outcome = self.eval(&c.body);
            match (c.over, outcome) {
                (_, Err(EvalError::Exhausted)) => return Err(EvalError::Exhausted),
                (Over::All, Ok(Val::Bool(false))) | (Over::Exists, Ok(Val::Bool(true))) => {
                    self.locals.truncate(before);
                    return Ok(Val::Bool(c.over == Over::Exists));
                }
                (Over::All | Over::Exists, Ok(Val::Bool(_))) => {}
                (Over::All | Over::Exists, Err(failure)) => error = error.or(Some(failure)),
                (Over::ExistsOne, Ok(Val::Bool(holds))) => count += u64::from(holds),
                (Over::Filter, Ok(Val::Bool(holds))) => {
                    if holds {
                        list.push(if is_map { key } else { value });
                    }
                }
                (Over::Map, Ok(made)) => list.push(made),
                (Over::Values, Ok(made)) => map.push((key, made)),
                (_, Err(failure)) => {
                    self.locals.truncate(before);
                    return Err(failure);
                }
                _ => {
                    self.locals.truncate(before);
                    return no_overload();
                }
            }
        }
        self.locals.truncate(before);
        match (c.over, error) {
            (_, Some(error)) => Err(error),
            (Over::All, None) => Ok(Val::Bool(true)),
            (Over::Exists, None) => Ok(Val::Bool(false)),
            (Over::ExistsOne, None) => Ok(Val::Bool(count == 1)),
            (Over::Filter | Over::Map, None) => Ok(Val::list(list)),
            (Over::Values, None) => Ok(Val::Map(map.into())),
        }
    }
}

impl PartialEq for Val<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.equals(other)
    }
}
