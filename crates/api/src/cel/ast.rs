//! An expression as a tree. Macros are nodes of their own, not calls of functions.

/// An expression and where it stands: for operators and calls, the place of the operator or the parenthesis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expr {
    pub(crate) at: usize,
    pub(crate) node: Node,
    /// How many expressions stand above one another here, itself included: walking down needs as much stack.
    pub(crate) height: usize,
}

/// What a comprehension makes of the things it goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
    /// `transformMap`: keys stay, values change.
    Values,
}

/// `range.all(one, two, body)` and its like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comprehension {
    pub(crate) over: Over,
    pub(crate) range: Expr,
    pub(crate) one: String,
    /// With a second variable the first is the index or key.
    pub(crate) two: Option<String>,
    /// Of `map` with three parts: only what fulfils this.
    pub(crate) filter: Option<Expr>,
    pub(crate) body: Expr,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Ident(String),
    /// `of.field`, `of.?field`, `has(of.field)`.
    Select {
        of: Box<Expr>,
        field: String,
        optional: bool,
        test: bool,
    },
    /// A function or an operator (`_+_`), on a target when it is a member.
    Call {
        name: String,
        target: Option<Box<Expr>>,
        args: Vec<Expr>,
    },
    /// Items; those marked are left out when they are nothing.
    List(Vec<(Expr, bool)>),
    Map(Vec<(Expr, Expr, bool)>),
    /// `JSONPatch{op: 'add'}`.
    Struct(String, Vec<(String, Expr, bool)>),
    Comprehension(Box<Comprehension>),
    /// `cel.bind(name, value, body)`, and the macros on optionals: `value.optMap(name, body)`.
    Bind {
        name: String,
        value: Box<Expr>,
        body: Box<Expr>,
        how: Bind,
    },
}

/// What a binding binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bind {
    /// The value.
    Plain,
    /// What an optional holds; the body's value is wrapped again.
    Optional,
    /// What an optional holds; the body is an optional itself.
    Flat,
}

impl Expr {
    /// An expression at a place.
    pub(crate) fn new(at: usize, node: Node) -> Self {
        let mut expr = Self {
            at,
            node,
            height: 1,
        };
        let mut below = 0;
        expr.each_part(&mut |part| below = below.max(part.height));
        expr.height += below;
        expr
    }

    /// Visits an expression and all below it.
    pub(crate) fn walk(&self, visit: &mut dyn FnMut(&Expr)) {
        visit(self);
        self.each_part(&mut |part| part.walk(visit));
    }

    /// Visits the expressions an expression is made of.
    fn each_part(&self, visit: &mut dyn FnMut(&Expr)) {
        match &self.node {
            Node::Select { of, .. } => visit(of),
            Node::Call { target, args, .. } => {
                target.iter().map(AsRef::as_ref).chain(args).for_each(visit);
            }
            Node::List(items) => items.iter().map(|(item, _)| item).for_each(visit),
            Node::Map(entries) => {
                for (key, value, _) in entries {
                    visit(key);
                    visit(value);
                }
            }
            Node::Struct(_, fields) => fields.iter().map(|(_, value, _)| value).for_each(visit),
            Node::Comprehension(c) => {
                visit(&c.range);
                c.filter.iter().for_each(&mut *visit);
                visit(&c.body);
            }
            Node::Bind { value, body, .. } => {
                visit(value);
                visit(body);
            }
            _ => {}
        }
    }

    /// Whether a variable is used anywhere.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        let mut found = false;
        self.walk(&mut |expr| found |= matches!(&expr.node, Node::Ident(ident) if ident == name));
        found
    }
}
