//! Reads an expression into a tree, macros included.

use super::ast::{Bind, Comprehension, Expr, Node, Over};
use super::lexer::{Token, TokenKind, tokens};

/// Deeper expressions are refused, not followed.
const DEPTH: usize = 150;
/// Longer expressions are refused.
const LENGTH: usize = 100_000;
const OPERAND: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

/// What is wrong, and where.
pub(crate) type Fault = (usize, String);

/// Parses an expression.
pub(crate) fn parse(text: &str) -> Result<Expr, Fault> {
    if text.len() > LENGTH {
        return Err((
            0,
            format!(
                "expression code point size exceeds limit: size: {}, limit {LENGTH}",
                text.len()
            ),
        ));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser {
        text,
        tokens,
        next: 0,
        depth: 0,
    };
    let expr = parser.ternary()?;
    if parser.peek() == &TokenKind::End {
        Ok(expr)
    } else {
        let shown = parser.shown();
        parser.fail(format!(
            "Syntax error: mismatched input {shown} expecting <EOF>"
        ))
    }
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

type Parsed = Result<Expr, Fault>;

/// Binary operators and how tightly they bind; the ternary binds looser than all.
const OPERATORS: [(&str, &str, usize); 14] = [
    ("||", "_||_", 1),
    ("&&", "_&&_", 2),
    ("<", "_<_", 3),
    ("<=", "_<=_", 3),
    (">=", "_>=_", 3),
    (">", "_>_", 3),
    ("==", "_==_", 3),
    ("!=", "_!=_", 3),
    ("in", "@in", 3),
    ("+", "_+_", 4),
    ("-", "_-_", 4),
    ("*", "_*_", 5),
    ("/", "_/_", 5),
    ("%", "_%_", 5),
];

impl Parser<'_> {
    fn peek(&self) -> &TokenKind {
        &self.tokens[self.next].kind
    }

    fn at(&self) -> usize {
        self.tokens[self.next].at
    }

    fn advance(&mut self) {
        self.next = (self.next + 1).min(self.tokens.len() - 1);
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), TokenKind::Sign(s) if *s == sign);
        if found {
            self.advance();
        }
        found
    }

    fn shown(&self) -> String {
        let at = self.at();
        let end = self
            .tokens
            .get(self.next + 1)
            .map_or(self.text.len(), |next| next.at);
        match self.peek() {
            TokenKind::End => "'<EOF>'".to_owned(),
            _ => format!("'{}'", self.text[at..end].trim_end()),
        }
    }

    fn fail<T>(&self, why: String) -> Result<T, Fault> {
        Err((self.at(), why))
    }

    fn expect(&mut self, sign: &str) -> Result<(), Fault> {
        if self.take(sign) {
            return Ok(());
        }
        let shown = self.shown();
        self.fail(format!(
            "Syntax error: mismatched input {shown} expecting '{sign}'"
        ))
    }

    fn ternary(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH {
            return self.fail(format!("expression recursion limit exceeded: {DEPTH}"));
        }
        let condition = self.binary(1)?;
        let at = self.at();
        let expr = if self.take("?") {
            let yes = self.binary(1)?;
            self.expect(":")?;
            let no = self.ternary()?;
            call(at, "_?_:_", vec![condition, yes, no])
        } else {
            condition
        };
        self.depth -= 1;
        Ok(expr)
    }

    /// Operators that bind at least as tightly as `least`, each taking what binds tighter to its right.
    fn binary(&mut self, least: usize) -> Parsed {
        let mut left = self.unary()?;
        loop {
            let at = self.at();
            let found = OPERATORS
                .iter()
                .find(|(sign, _, _)| matches!(self.peek(), TokenKind::Sign(s) if s == sign));
            let Some((_, name, binds)) = found.filter(|(_, _, binds)| *binds >= least) else {
                return Ok(left);
            };
            self.advance();
            let right = self.binary(binds + 1)?;
            left = self.low(call(at, name, vec![left, right]))?;
        }
    }

    /// An expression that is not too high to be walked.
    fn low(&self, expr: Expr) -> Parsed {
        if expr.height > DEPTH {
            return self.fail(format!("expression recursion limit exceeded: {DEPTH}"));
        }
        Ok(expr)
    }

    fn unary(&mut self) -> Parsed {
        let at = self.at();
        self.depth += 1;
        if self.depth > DEPTH {
            return self.fail(format!("expression recursion limit exceeded: {DEPTH}"));
        }
        let expr = if self.take("!") {
            let operand = self.unary()?;
            call(at, "!_", vec![operand])
        } else if self.take("-") {
            match self.peek().clone() {
                TokenKind::Int(value) => {
                    self.tokens[self.next].kind = TokenKind::Int(-value);
                    self.member()?
                }
                TokenKind::Double(value) => {
                    self.tokens[self.next].kind = TokenKind::Double(-value);
                    self.member()?
                }
                _ => {
                    let operand = self.unary()?;
                    call(at, "-_", vec![operand])
                }
            }
        } else {
            self.member()?
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn member(&mut self) -> Parsed {
        let mut expr = self.primary()?;
        loop {
            expr = self.low(expr)?;
            let at = self.at();
            if self.take(".?") {
                let field = self.name()?;
                expr = select(at, expr, field, true);
            } else if self.take(".") {
                let field = self.name()?;
                let open = self.at();
                if self.take("(") {
                    let args = self.list(")")?;
                    expr = member_call(open, expr, field, args)?;
                } else {
                    expr = select(at, expr, field, false);
                }
            } else if self.take("[?") {
                let index = self.ternary()?;
                self.expect("]")?;
                expr = call(at, "_[?_]", vec![expr, index]);
            } else if self.take("[") {
                let index = self.ternary()?;
                self.expect("]")?;
                expr = call(at, "_[_]", vec![expr, index]);
            } else if matches!(self.peek(), TokenKind::Sign("{")) && type_name(&expr).is_some() {
                let name = type_name(&expr).unwrap_or_default();
                self.advance();
                expr = Expr::new(at, Node::Struct(name, self.fields()?));
            } else {
                return Ok(expr);
            }
        }
    }

    fn name(&mut self) -> Result<String, Fault> {
        match self.peek().clone() {
            TokenKind::Ident(name) => {
                self.advance();
                Ok(name)
            }
            TokenKind::Sign("in") => {
                self.advance();
                Ok("in".to_owned())
            }
            _ => {
                let shown = self.shown();
                self.fail(format!(
                    "Syntax error: no viable alternative at input {shown}"
                ))
            }
        }
    }

    fn list(&mut self, end: &str) -> Result<Vec<Expr>, Fault> {
        let mut items = Vec::new();
        if self.take(end) {
            return Ok(items);
        }
        loop {
            items.push(self.ternary()?);
            if !self.take(",") {
                self.expect(end)?;
                return Ok(items);
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at();
        let literal = |node| Ok(Expr::new(at, node));
        let token = self.peek().clone();
        let node = match token {
            TokenKind::Int(value) => Node::Int(value),
            TokenKind::Uint(value) => Node::Uint(value),
            TokenKind::Double(value) => Node::Double(value),
            TokenKind::Text(value) => Node::Text(value),
            TokenKind::Bytes(value) => Node::Bytes(value),
            TokenKind::Sign("true") => Node::Bool(true),
            TokenKind::Sign("false") => Node::Bool(false),
            TokenKind::Sign("null") => Node::Null,
            TokenKind::Sign("(") => {
                self.advance();
                let inner = self.ternary()?;
                self.expect(")")?;
                return Ok(inner);
            }
            TokenKind::Sign("[") => {
                self.advance();
                return Ok(Expr::new(at, Node::List(self.items()?)));
            }
            TokenKind::Sign("[?") => {
                // A list whose first item may be left out.
                self.tokens[self.next].kind = TokenKind::Sign("?");
                return Ok(Expr::new(at, Node::List(self.items()?)));
            }
            TokenKind::Sign("{") => {
                self.advance();
                return Ok(Expr::new(at, Node::Map(self.entries()?)));
            }
            TokenKind::Sign(".") => {
                self.advance();
                self.name()?;
                self.next -= 1;
                Node::Ident(self.name()?)
            }
            TokenKind::Ident(name) => {
                self.advance();
                let open = self.at();
                if self.take("(") {
                    let args = self.list(")")?;
                    return global_call(open, &name, args);
                }
                return literal(Node::Ident(name));
            }
            _ => {
                let shown = self.shown();
                return self.fail(format!(
                    "Syntax error: mismatched input {shown} expecting {OPERAND}"
                ));
            }
        };
        if !matches!(node, Node::Ident(_)) {
            self.advance();
        }
        literal(node)
    }

    fn items(&mut self) -> Result<Vec<(Expr, bool)>, Fault> {
        let mut items = Vec::new();
        loop {
            if self.take("]") {
                return Ok(items);
            }
            let optional = self.take("?");
            items.push((self.ternary()?, optional));
            if !self.take(",") {
                self.expect("]")?;
                return Ok(items);
            }
        }
    }

    fn entries(&mut self) -> Result<Vec<(Expr, Expr, bool)>, Fault> {
        let mut entries = Vec::new();
        loop {
            if self.take("}") {
                return Ok(entries);
            }
            let optional = self.take("?");
            let key = self.ternary()?;
            self.expect(":")?;
            entries.push((key, self.ternary()?, optional));
            if !self.take(",") {
                self.expect("}")?;
                return Ok(entries);
            }
        }
    }

    fn fields(&mut self) -> Result<Vec<(String, Expr, bool)>, Fault> {
        let mut fields = Vec::new();
        loop {
            if self.take("}") {
                return Ok(fields);
            }
            let optional = self.take("?");
            let name = self.name()?;
            self.expect(":")?;
            fields.push((name, self.ternary()?, optional));
            if !self.take(",") {
                self.expect("}")?;
                return Ok(fields);
            }
        }
    }
}

fn call(at: usize, name: &str, args: Vec<Expr>) -> Expr {
    Expr::new(
        at,
        Node::Call {
            name: name.to_owned(),
            target: None,
            args,
        },
    )
}

fn select(at: usize, of: Expr, field: String, optional: bool) -> Expr {
    Expr::new(
        at,
        Node::Select {
            of: Box::new(of),
            field,
            optional,
            test: false,
        },
    )
}

/// `JSONPatch`, `Object.spec.template`: names of types that values are made of.
fn type_name(expr: &Expr) -> Option<String> {
    match &expr.node {
        Node::Ident(name) if matches!(name.as_str(), "JSONPatch" | "Object") => Some(name.clone()),
        Node::Select {
            of,
            field,
            optional: false,
            test: false,
        } => Some(format!(
            "{}.{field}",
            type_name(of).filter(|name| name.starts_with("Object"))?
        )),
        _ => None,
    }
}

fn global_call(at: usize, name: &str, mut args: Vec<Expr>) -> Parsed {
    if name == "has" && args.len() == 1 {
        let mut arg = args.remove(0);
        return match &mut arg.node {
            Node::Select {
                test,
                optional: false,
                ..
            } => {
                *test = true;
                Ok(Expr::new(at, arg.node))
            }
            _ => Err((arg.at, "invalid argument to has() macro".to_owned())),
        };
    }
    Ok(call(at, name, args))
}

fn variable(expr: &Expr) -> Result<String, Fault> {
    match &expr.node {
        Node::Ident(name) => Ok(name.clone()),
        _ => Err((expr.at, "argument must be a simple name".to_owned())),
    }
}

fn member_call(at: usize, target: Expr, name: String, mut args: Vec<Expr>) -> Parsed {
    let is_cel = matches!(&target.node, Node::Ident(ident) if ident == "cel");
    if is_cel && name == "bind" && args.len() == 3 {
        let (body, value, variable_expr) = (args.pop(), args.pop(), args.pop());
        if let (Some(body), Some(value), Some(named)) = (body, value, variable_expr) {
            return Ok(bind(at, variable(&named)?, value, body, Bind::Plain));
        }
        unreachable!("there are three arguments")
    }
    let over = match (name.as_str(), args.len()) {
        ("all", 2 | 3) => Some(Over::All),
        ("exists", 2 | 3) => Some(Over::Exists),
        ("exists_one" | "existsOne", 2 | 3) => Some(Over::ExistsOne),
        ("filter", 2) => Some(Over::Filter),
        ("map", 2 | 3) | ("transformList", 3 | 4) => Some(Over::Map),
        ("transformMap", 3 | 4) => Some(Over::Values),
        _ => None,
    };
    if let Some(over) = over {
        let body = args.pop().unwrap_or_else(|| target.clone());
        let one = variable(&args[0])?;
        let two_variables = match name.as_str() {
            "transformList" | "transformMap" => true,
            "map" | "filter" => false,
            _ => args.len() == 2,
        };
        let two = if two_variables {
            Some(variable(&args[1])?)
        } else {
            None
        };
        let filter = args.get(1 + usize::from(two_variables)).cloned();
        return Ok(Expr::new(
            at,
            Node::Comprehension(Box::new(Comprehension {
                over,
                range: target,
                one,
                two,
                filter,
                body,
            })),
        ));
    }
    if matches!(name.as_str(), "optMap" | "optFlatMap")
        && let [named, body] = args.as_slice()
    {
        let how = if name == "optMap" {
            Bind::Optional
        } else {
            Bind::Flat
        };
        return Ok(bind(at, variable(named)?, target, body.clone(), how));
    }
    // Functions in a namespace: `optional.of`, `sets.contains`, `math.greatest`.
    if let Node::Ident(space) = &target.node
        && matches!(
            space.as_str(),
            "optional"
                | "sets"
                | "math"
                | "format"
                | "strings"
                | "ip"
                | "cidr"
                | "base64"
                | "jsonpatch"
        )
        && super::overloads::is_known(&format!("{space}.{name}"))
    {
        return Ok(call(at, &format!("{space}.{name}"), args));
    }
    Ok(Expr::new(
        at,
        Node::Call {
            name,
            target: Some(Box::new(target)),
            args,
        },
    ))
}

fn bind(at: usize, name: String, value: Expr, body: Expr, how: Bind) -> Expr {
    Expr::new(
        at,
        Node::Bind {
            name,
            value: Box::new(value),
            body: Box::new(body),
            how,
        },
    )
}
