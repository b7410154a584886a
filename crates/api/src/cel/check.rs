//! Finds the type of an expression, and what is wrong with it, in cel-go's words.

use std::collections::HashMap;

use super::ast::{Bind, Comprehension, Expr, Node, Over};
use super::overloads;
use super::parser::Fault;
use super::types::Ty;

/// What may be named in an expression.
pub(crate) type Scope = HashMap<String, Ty>;

/// The type of an expression, or all its faults.
pub(crate) fn check(expr: &Expr, scope: &Scope) -> Result<Ty, Vec<Fault>> {
    let mut checker = Checker {
        scopes: vec![scope.clone()],
        faults: Vec::new(),
    };
    let ty = bind(&checker.ty(expr), &HashMap::new());
    if checker.faults.is_empty() {
        Ok(ty)
    } else {
        Err(checker.faults)
    }
}

struct Checker {
    scopes: Vec<Scope>,
    faults: Vec<Fault>,
}

impl Checker {
    fn fail(&mut self, at: usize, why: String) -> Ty {
        self.faults.push((at, why));
        Ty::Dyn
    }

    fn lookup(&self, name: &str) -> Option<Ty> {
        self.scopes
            .iter()
            .rev()
            .find_map(|scope| scope.get(name).cloned())
    }

    fn ty(&mut self, expr: &Expr) -> Ty {
        match &expr.node {
            Node::Null => Ty::Null,
            Node::Bool(_) => Ty::Bool,
            Node::Int(_) => Ty::Int,
            Node::Uint(_) => Ty::Uint,
            Node::Double(_) => Ty::Double,
            Node::Text(_) => Ty::Text,
            Node::Bytes(_) => Ty::Bytes,
            Node::Ident(name) => match self.lookup(name) {
                Some(ty) => ty,
                None if is_type(name) => Ty::Type,
                None => self.fail(
                    expr.at,
                    format!("undeclared reference to '{name}' (in container '')"),
                ),
            },
            Node::Select {
                of,
                field,
                optional,
                test,
            } => self.select(expr.at, of, field, *optional, *test),
            Node::Call { name, target, args } => {
                let types: Vec<Ty> = target
                    .iter()
                    .map(AsRef::as_ref)
                    .chain(args)
                    .map(|arg| self.ty(arg))
                    .collect();
                self.call(expr.at, name, target.is_some(), &types)
            }
            Node::List(items) => {
                let types: Vec<Ty> = items
                    .iter()
                    .map(|(item, optional)| match (self.ty(item), optional) {
                        (Ty::Optional(of), true) => (*of).clone(),
                        (ty, _) => ty,
                    })
                    .collect();
                Ty::list(common(&types))
            }
            Node::Map(entries) => {
                let (mut keys, mut values) = (Vec::new(), Vec::new());
                for (key, value, optional) in entries {
                    keys.push(self.ty(key));
                    values.push(match (self.ty(value), optional) {
                        (Ty::Optional(of), true) => (*of).clone(),
                        (ty, _) => ty,
                    });
                }
                Ty::map(common(&keys), common(&values))
            }
            Node::Struct(name, fields) => {
                for (field, value, _) in fields {
                    let given = self.ty(value);
                    if name == "JSONPatch" {
                        self.patch_field(value.at, field, &given);
                    }
                }
                match name.as_str() {
                    "JSONPatch" => Ty::Named("JSONPatch"),
                    "Object" => Ty::Named("Object"),
                    part => Ty::Part(part.into()),
                }
            }
            Node::Comprehension(comprehension) => self.comprehension(comprehension),
            Node::Bind {
                name,
                value,
                body,
                how,
            } => {
                let mut bound = self.ty(value);
                if *how != Bind::Plain
                    && let Ty::Optional(of) = &bound
                {
                    bound = (**of).clone();
                }
                self.scopes.push([(name.clone(), bound)].into());
                let ty = self.ty(body);
                self.scopes.pop();
                match how {
                    Bind::Optional => Ty::optional(ty),
                    Bind::Plain | Bind::Flat => ty,
                }
            }
        }
    }

    fn select(&mut self, at: usize, of: &Expr, field: &str, optional: bool, test: bool) -> Ty {
        // Variables may have names with dots: `authorizer.requestResource`.
        if let Node::Ident(space) = &of.node
            && !test
            && let Some(ty) = self.lookup(&format!("{space}.{field}"))
        {
            return ty;
        }
        let holder = self.ty(of);
        if !holder.has_fields() {
            return self.fail(
                at,
                format!("type '{holder}' does not support field selection"),
            );
        }
        let Some(ty) = holder.field(field) else {
            return self.fail(at, format!("undefined field '{field}'"));
        };
        if test {
            Ty::Bool
        } else if optional && !matches!(ty, Ty::Optional(_)) {
            Ty::optional(ty)
        } else {
            ty
        }
    }

    /// What the fields of a `JSONPatch` may hold.
    fn patch_field(&mut self, at: usize, field: &str, given: &Ty) {
        match field {
            "op" | "path" | "from" if matches!(given, Ty::Text | Ty::Dyn) => {}
            "op" | "path" | "from" => {
                let why = format!(
                    "expected type of field '{field}' is 'string' but provided type is '{given}'"
                );
                self.fail(at, why);
            }
            "value" => {}
            other => {
                self.fail(at, format!("undefined field '{other}'"));
            }
        }
    }

    fn call(&mut self, at: usize, name: &str, member: bool, types: &[Ty]) -> Ty {
        let Some(overloads) = overloads::of(name) else {
            return self.fail(
                at,
                format!("undeclared reference to '{name}' (in container '')"),
            );
        };
        let mut results: Vec<Ty> = Vec::new();
        for overload in overloads {
            if overload.member != member || overload.args.len() != types.len() {
                continue;
            }
            let mut bound = HashMap::new();
            let fits = overload
                .args
                .iter()
                .zip(types)
                .all(|(wanted, given)| fits(wanted, given, &mut bound));
            if fits {
                results.push(bind(&overload.result, &bound));
            }
        }
        match results.as_slice() {
            [] => {
                let texts: Vec<String> = types.iter().map(ToString::to_string).collect();
                let applied = match texts.split_first() {
                    Some((target, args)) if member => format!("{target}.({})", args.join(", ")),
                    _ => format!("({})", texts.join(", ")),
                };
                self.fail(
                    at,
                    format!("found no matching overload for '{name}' applied to '{applied}'"),
                )
            }
            [one] => one.clone(),
            [first, rest @ ..] => {
                let same = rest
                    .iter()
                    .all(|other| other.to_string() == first.to_string());
                if same { first.clone() } else { Ty::Dyn }
            }
        }
    }

    fn comprehension(&mut self, comprehension: &Comprehension) -> Ty {
        let range = bind(&self.ty(&comprehension.range), &HashMap::new());
        let (first, second) = match &range {
            Ty::Dyn => (Ty::Dyn, Ty::Dyn),
            Ty::List(item) => (Ty::Int, (**item).clone()),
            Ty::Map(key, value) => ((**key).clone(), (**value).clone()),
            other => {
                let why = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                return self.fail(comprehension.range.at, why);
            }
        };
        let mut scope = Scope::new();
        if let Some(two) = &comprehension.two {
            scope.insert(comprehension.one.clone(), first.clone());
            scope.insert(two.clone(), second);
        } else {
            let is_map = matches!(range, Ty::Map(..));
            let only = if is_map { first.clone() } else { second };
            scope.insert(comprehension.one.clone(), only);
        }
        self.scopes.push(scope);
        if let Some(filter) = &comprehension.filter {
            self.boolean(filter);
        }
        let result = match comprehension.over {
            Over::All | Over::Exists | Over::ExistsOne => {
                self.boolean(&comprehension.body);
                Ty::Bool
            }
            Over::Filter => {
                self.boolean(&comprehension.body);
                match &range {
                    Ty::Map(key, _) => Ty::List(key.clone()),
                    other => other.clone(),
                }
            }
            Over::Map => Ty::list(self.ty(&comprehension.body)),
            Over::Values => Ty::map(first, self.ty(&comprehension.body)),
        };
        self.scopes.pop();
        result
    }

    fn boolean(&mut self, expr: &Expr) {
        let ty = self.ty(expr);
        if !matches!(ty, Ty::Bool | Ty::Dyn) {
            self.fail(expr.at, format!("expected type 'bool' but found '{ty}'"));
        }
    }
}

fn is_type(name: &str) -> bool {
    matches!(
        name,
        "bool"
            | "int"
            | "uint"
            | "double"
            | "string"
            | "bytes"
            | "list"
            | "map"
            | "null_type"
            | "type"
    )
}

/// Whether a thing of one type may stand where another is wanted.
fn fits(wanted: &Ty, given: &Ty, bound: &mut HashMap<u8, Ty>) -> bool {
    match (wanted, given) {
        (Ty::Param(letter), given) => {
            let Some(before) = bound.get(letter).cloned() else {
                bound.insert(*letter, given.clone());
                return true;
            };
            if fits(&before, given, bound) {
                if is_open(&before) {
                    bound.insert(*letter, given.clone());
                }
                return true;
            }
            let wider = fits(given, &before, bound);
            if wider {
                bound.insert(*letter, given.clone());
            }
            wider
        }
        (Ty::Dyn, _) | (_, Ty::Dyn | Ty::Param(OPEN)) => true,
        (Ty::List(a), Ty::List(b)) | (Ty::Optional(a), Ty::Optional(b)) => fits(a, b, bound),
        (Ty::Map(a, b), Ty::Map(c, d)) => fits(a, c, bound) && fits(b, d, bound),
        (Ty::Object(a), Ty::Object(b)) => a.name == b.name,
        (Ty::BuiltIn(a), Ty::BuiltIn(b)) => a.name == b.name,
        (Ty::Named(a), Ty::Named(b)) => a == b,
        (Ty::Part(a), Ty::Part(b)) => a == b,
        // Messages and what stands for them may be null.
        (other, Ty::Null) | (Ty::Null, other) if is_message(other) => true,
        (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

/// What the items of an empty list are: whatever others want them to be.
const OPEN: u8 = 0;

/// Whether a type says nothing yet of what is in its values.
fn is_open(ty: &Ty) -> bool {
    match ty {
        Ty::Param(letter) => *letter == OPEN,
        Ty::List(item) | Ty::Optional(item) => is_open(item),
        Ty::Map(key, value) => is_open(key) || is_open(value),
        _ => false,
    }
}

fn is_message(ty: &Ty) -> bool {
    matches!(
        ty,
        Ty::Null
            | Ty::Object(_)
            | Ty::BuiltIn(_)
            | Ty::Timestamp
            | Ty::Duration
            | Ty::Named(_)
            | Ty::Part(_)
            | Ty::Optional(_)
    )
}

fn bind(ty: &Ty, bound: &HashMap<u8, Ty>) -> Ty {
    match ty {
        Ty::Param(letter) => bound.get(letter).cloned().unwrap_or(Ty::Dyn),
        Ty::List(item) => Ty::list(bind(item, bound)),
        Ty::Optional(of) => Ty::optional(bind(of, bound)),
        Ty::Map(key, value) => Ty::map(bind(key, bound), bind(value, bound)),
        other => other.clone(),
    }
}

/// The type several things have in common.
fn common(types: &[Ty]) -> Ty {
    let mut types = types.iter();
    let Some(first) = types.next() else {
        return Ty::Param(OPEN);
    };
    let same = types.all(|other| fits(first, other, &mut HashMap::new()));
    if same { first.clone() } else { Ty::Dyn }
}
