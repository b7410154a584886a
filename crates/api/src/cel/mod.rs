//! The Common Expression Language with Kubernetes' functions: parsed, type-checked with cel-go's messages, run within
//! a budget. It refuses to know who asks: rules of custom resources and admission policies are its two callers.

mod ast;
mod authorization;
mod check;
mod cost;
mod eval;
mod functions;
mod lexer;
mod library;
mod overloads;
mod parser;
mod rules;
mod texts;
mod types;
mod value;

pub(crate) use authorization::{AUTHORIZER, Asking, RESOURCE};
pub use authorization::{Answer, Authorizer, Check};
pub(crate) use check::Scope;
pub(crate) use eval::{Budget, EvalError, Evaluated, Names};
pub(crate) use rules::{RuleSet, faults};
pub(crate) use types::{Fields, Ty};
pub(crate) use value::Val;

pub(crate) use ast::{Expr, Node};
use parser::Fault;

/// An expression that can be run.
#[derive(Debug)]
pub(crate) struct Program {
    expr: Expr,
    ty: Ty,
}

/// Parses and checks an expression; the error is cel-go's text.
pub(crate) fn compile(text: &str, scope: &Scope) -> Result<Program, String> {
    let expr = parser::parse(text).map_err(|fault| explain(text, &[fault]))?;
    let ty = check::check(&expr, scope).map_err(|faults| explain(text, &faults))?;
    Ok(Program { expr, ty })
}

impl Program {
    /// What type its value has.
    pub(crate) fn ty(&self) -> &Ty {
        &self.ty
    }

    /// Its tree.
    pub(crate) fn expr(&self) -> &Expr {
        &self.expr
    }

    /// Whether a variable is used anywhere in it.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        self.expr.mentions(name)
    }

    /// Its value.
    pub(crate) fn run<'a>(&self, names: &dyn Names<'a>, budget: &Budget) -> Evaluated<'a> {
        eval::eval(&self.expr, names, budget)
    }
}

/// Faults with the lines they are in and arrows to their places.
fn explain(text: &str, faults: &[Fault]) -> String {
    let one = |(at, why): &Fault| {
        let before = &text[..(*at).min(text.len())];
        let line = before.matches('\n').count();
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |last| last.chars().count());
        let shown = text.split('\n').nth(line).unwrap_or_default();
        let dots = ".".repeat(column);
        format!(
            "ERROR: <input>:{}:{}: {why}\n | {shown}\n | {dots}^",
            line + 1,
            column + 1
        )
    };
    faults.iter().map(one).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
