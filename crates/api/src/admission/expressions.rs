//! Expressions of webhooks and policies: what they may name, what they must evaluate to, and how much work they may
//! cause. Knows not what is done with their values.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use crate::cel::{
    AUTHORIZER, Asking, Authorizer, Budget, Check, EvalError, Evaluated, Fields, Names, Program,
    RESOURCE, Scope, Ty, Val, compile,
};

/// A single expression may cause this much work.
const PER_EXPRESSION: u64 = 1_000_000;
/// All expressions of a policy together.
pub(super) const PER_POLICY: u64 = 10_000_000;
/// All match conditions together.
const PER_CONDITIONS: u64 = 2_500_000;
/// What upstream says when that much work is done.
pub(super) const SPENT: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// What an expression must evaluate to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returns {
    Bool,
    Text,
    TextOrNull,
    Patches,
    Object,
    Anything,
}

impl Returns {
    fn fault(self, given: &Ty) -> Option<String> {
        let (fits, wanted) = match self {
            Self::Bool => (matches!(given, Ty::Bool), "bool"),
            Self::Text => (matches!(given, Ty::Text), "string"),
            Self::TextOrNull => (
                matches!(given, Ty::Text | Ty::Null),
                "one of [string null_type]",
            ),
            Self::Patches => (
                matches!(given, Ty::List(of) if matches!(**of, Ty::Named("JSONPatch"))),
                "list(JSONPatch)",
            ),
            Self::Object => (matches!(given, Ty::Named("Object")), "Object"),
            Self::Anything => (true, ""),
        };
        let given = match given {
            Ty::Null => "null_type".to_owned(),
            given => given.to_string(),
        };
        (!fits).then(|| format!("must evaluate to {wanted} but got {given}"))
    }
}

/// What else than the object expressions may name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offers {
    pub(crate) params: bool,
    pub(crate) authorizer: bool,
}

impl Offers {
    /// What a policy offers to its expressions.
    pub(crate) fn of_policy(spec: &Value) -> Self {
        Self {
            params: spec["paramKind"].is_object(),
            authorizer: true,
        }
    }
}

/// The names that expressions know, without variables.
pub(crate) fn scope(offers: Offers) -> Scope {
    let mut scope: Scope = [
        ("object", Ty::Dyn),
        ("oldObject", Ty::Dyn),
        ("namespaceObject", NAMESPACE.clone()),
        ("request", REQUEST.clone()),
    ]
    .map(|(name, ty)| (name.to_owned(), ty))
    .into();
    if offers.params {
        scope.insert("params".to_owned(), Ty::Dyn);
    }
    if offers.authorizer {
        scope.insert("authorizer".to_owned(), Ty::Named(AUTHORIZER));
        scope.insert("authorizer.requestResource".to_owned(), Ty::Named(RESOURCE));
    }
    scope
}

fn object(name: &str, fields: &[(&str, Ty)]) -> Ty {
    let fields: BTreeMap<String, Ty> = fields
        .iter()
        .map(|(name, ty)| ((*name).to_owned(), ty.clone()))
        .collect();
    Ty::Object(Arc::new(Fields {
        name: name.to_owned(),
        fields,
    }))
}

/// `request`: an admission request without what has variables of its own.
static REQUEST: LazyLock<Ty> = LazyLock::new(|| {
    let texts =
        |name: &str, fields: [&str; 3]| object(name, &fields.map(|field| (field, Ty::Text)));
    let kind = texts("kubernetes.GroupVersionKind", ["group", "version", "kind"]);
    let resource = texts(
        "kubernetes.GroupVersionResource",
        ["group", "version", "resource"],
    );
    let user = object(
        "kubernetes.UserInfo",
        &[
            ("username", Ty::Text),
            ("uid", Ty::Text),
            ("groups", Ty::list(Ty::Text)),
            ("extra", Ty::map(Ty::Text, Ty::list(Ty::Text))),
        ],
    );
    object(
        "kubernetes.AdmissionRequest",
        &[
            ("kind", kind.clone()),
            ("resource", resource.clone()),
            ("subResource", Ty::Text),
            ("requestKind", kind),
            ("requestResource", resource),
            ("requestSubResource", Ty::Text),
            ("name", Ty::Text),
            ("namespace", Ty::Text),
            ("operation", Ty::Text),
            ("userInfo", user),
            ("dryRun", Ty::Bool),
            ("options", Ty::Dyn),
        ],
    )
});

/// `namespaceObject`: a Namespace without what is nobody's business.
static NAMESPACE: LazyLock<Ty> = LazyLock::new(|| {
    let labels = Ty::map(Ty::Text, Ty::Text);
    let condition = object(
        "kubernetes.NamespaceCondition",
        &[
            ("status", Ty::Text),
            ("type", Ty::Text),
            ("lastTransitionTime", Ty::Timestamp),
            ("message", Ty::Text),
            ("reason", Ty::Text),
        ],
    );
    let metadata = object(
        "kubernetes.NamespaceMetadata",
        &[
            ("name", Ty::Text),
            ("generateName", Ty::Text),
            ("namespace", Ty::Text),
            ("labels", labels.clone()),
            ("annotations", labels),
            ("UID", Ty::Text),
            ("creationTimestamp", Ty::Timestamp),
            ("deletionGracePeriodSeconds", Ty::Int),
            ("deletionTimestamp", Ty::Timestamp),
            ("generation", Ty::Int),
            ("resourceVersion", Ty::Text),
            ("finalizers", Ty::list(Ty::Text)),
        ],
    );
    let spec = object(
        "kubernetes.NamespaceSpec",
        &[("finalizers", Ty::list(Ty::Text))],
    );
    let status = object(
        "kubernetes.NamespaceStatus",
        &[("conditions", Ty::list(condition)), ("phase", Ty::Text)],
    );
    object(
        "kubernetes.Namespace",
        &[("metadata", metadata), ("spec", spec), ("status", status)],
    )
});

/// An expression, or why it is none.
#[derive(Debug)]
pub(crate) struct Expression {
    text: String,
    program: Result<Program, String>,
}

impl Expression {
    /// Compiles an expression and holds it to its type.
    pub(crate) fn new(text: &str, scope: &Scope, returns: Returns) -> Self {
        let program = compile(text, scope)
            .map_err(|why| format!("compilation failed: {why}"))
            .and_then(|program| match returns.fault(program.ty()) {
                None => Ok(program),
                Some(fault) => Err(fault),
            });
        Self {
            text: text.to_owned(),
            program,
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Why it cannot be run.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.program.as_ref().err().map(String::as_str)
    }

    pub(crate) fn program(&self) -> Option<&Program> {
        self.program.as_ref().ok()
    }
}

/// What a policy calls `variables`.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    each: Vec<(String, Expression)>,
}

impl Variables {
    /// Compiles a policy's variables, each knowing those before it, and makes them known in the scope.
    pub(crate) fn read(spec: &Value, scope: &mut Scope) -> Self {
        let mut each = Vec::new();
        let mut fields = BTreeMap::new();
        let known = |fields: &BTreeMap<String, Ty>| {
            Ty::Object(Arc::new(Fields {
                name: "kubernetes.variables".to_owned(),
                fields: fields.clone(),
            }))
        };
        scope.insert("variables".to_owned(), known(&fields));
        for variable in spec["variables"].as_array().into_iter().flatten() {
            let text = |field: &str| variable[field].as_str().unwrap_or_default();
            let expression = Expression::new(text("expression"), scope, Returns::Anything);
            let ty = expression
                .program()
                .map_or(Ty::Dyn, |program| kept(program.ty()));
            fields.insert(text("name").to_owned(), ty);
            scope.insert("variables".to_owned(), known(&fields));
            each.push((text("name").to_owned(), expression));
        }
        Self { each }
    }

    /// The expressions, as they are numbered in the policy.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.each.iter().map(|(_, expression)| expression)
    }
}

/// The type by which others know a variable: what is neither plain nor made of plain parts is dynamic.
fn kept(ty: &Ty) -> Ty {
    match ty {
        Ty::List(item) => Ty::list(kept(item)),
        Ty::Map(key, value) => Ty::map(kept(key), kept(value)),
        Ty::Bool
        | Ty::Int
        | Ty::Uint
        | Ty::Double
        | Ty::Text
        | Ty::Bytes
        | Ty::Duration
        | Ty::Timestamp
        | Ty::Null => ty.clone(),
        _ => Ty::Dyn,
    }
}

/// What a request is judged by.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The object as it will be.
    pub object: Option<&'a Value>,
    /// The object as it was.
    pub old_object: Option<&'a Value>,
    /// The `AdmissionRequest` without objects.
    pub request: &'a Value,
    /// The namespace of the object.
    pub namespace: Option<&'a Value>,
    /// The policy's parameters.
    pub params: Option<&'a Value>,
    /// Who may do what.
    pub authorizer: &'a dyn Authorizer,
}

/// A request before a policy: values of variables are found once.
pub(crate) struct Evaluation<'e, 'a> {
    inputs: &'e Inputs<'a>,
    variables: &'e Variables,
    found: RefCell<HashMap<usize, Evaluated<'a>>>,
    /// What variables have cost that nobody has paid for yet.
    owed: Cell<u64>,
    left: Cell<u64>,
}

/// The work all expressions may cause is done.
#[derive(Debug)]
pub(crate) struct Spent;

impl<'e, 'a> Evaluation<'e, 'a> {
    pub(crate) fn new(inputs: &'e Inputs<'a>, variables: &'e Variables, budget: u64) -> Self {
        Self {
            inputs,
            variables,
            found: RefCell::default(),
            owed: Cell::new(0),
            left: Cell::new(budget),
        }
    }

    /// Evaluates an expression; the error inside is upstream's text.
    pub(crate) fn run(&self, expression: &Expression) -> Result<Result<Val<'a>, String>, Spent> {
        let program = match &expression.program {
            Ok(program) => program,
            Err(why) => return Ok(Err(format!("compilation error: {why}"))),
        };
        let budget = Budget::new(PER_EXPRESSION);
        let value = program.run(self, &budget);
        let cost = PER_EXPRESSION - budget.left() + self.owed.take();
        let left = self.left.get().checked_sub(cost).ok_or(Spent)?;
        self.left.set(left);
        Ok(value.map_err(|error| {
            format!(
                "expression '{}' resulted in error: {error}",
                expression.text
            )
        }))
    }

    fn variable(&self, name: &str) -> Option<Evaluated<'a>> {
        let at = self
            .variables
            .each
            .iter()
            .position(|(own, _)| own == name)?;
        if let Some(value) = self.found.borrow().get(&at) {
            return Some(value.clone());
        }
        let value = match &self.variables.each[at].1.program {
            Err(why) => Err(EvalError::Failed(format!(
                "composited variable {name:?} fails to compile: {why}"
            ))),
            Ok(program) => {
                let budget = Budget::new(PER_EXPRESSION);
                let value = program.run(self, &budget);
                self.owed
                    .set(self.owed.get() + PER_EXPRESSION - budget.left());
                value.map_err(|error| {
                    EvalError::Failed(format!(
                        "composited variable {name:?} fails to evaluate: {error}"
                    ))
                })
            }
        };
        self.found.borrow_mut().insert(at, value.clone());
        Some(value)
    }
}

impl<'a> Names<'a> for Evaluation<'_, 'a> {
    fn get(&self, name: &str) -> Option<Evaluated<'a>> {
        let inputs = self.inputs;
        let whole =
            |value: Option<&'a Value>| value.map_or(Val::Null, |value| Val::of(value, None));
        Some(Ok(match name {
            "object" => whole(inputs.object),
            "oldObject" => whole(inputs.old_object),
            "request" => Val::of(inputs.request, None),
            "namespaceObject" => whole(inputs.namespace),
            "params" => whole(inputs.params),
            "authorizer" => Val::Asking(Asking::new(inputs.authorizer)),
            _ => return None,
        }))
    }

    fn computed(&self, name: &str, field: &str) -> Option<Evaluated<'a>> {
        match (name, field) {
            ("variables", field) => self.variable(field),
            ("authorizer", "requestResource") => {
                let request = self.inputs.request;
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let check = Check {
                    group: text(&request["requestResource"]["group"]),
                    resource: text(&request["requestResource"]["resource"]),
                    subresource: text(&request["requestSubResource"]),
                    namespace: text(&request["namespace"]),
                    name: text(&request["name"]),
                    ..Check::default()
                };
                Some(Ok(Val::Asking(Asking::about(
                    self.inputs.authorizer,
                    check,
                ))))
            }
            _ => None,
        }
    }
}

/// `matchConditions`: what must hold of a request for a webhook or policy to care.
#[derive(Debug)]
pub struct Conditions {
    each: Vec<Expression>,
    fails: bool,
}

/// What conditions say of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Matched {
    /// All hold.
    Yes,
    /// One does not, or cannot be told and that may be ignored.
    No,
    /// It cannot be told, and that may not be ignored.
    Failed(String),
}

impl Conditions {
    /// The conditions of a webhook.
    pub fn of_webhook(webhook: &Value) -> Self {
        let offers = Offers {
            params: false,
            authorizer: true,
        };
        Self::read(webhook, &scope(offers))
    }

    pub(crate) fn read(object: &Value, scope: &Scope) -> Self {
        let conditions = object["matchConditions"].as_array();
        let text = |condition: &Value| {
            condition["expression"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        Self {
            each: conditions
                .into_iter()
                .flatten()
                .map(|condition| Expression::new(&text(condition), scope, Returns::Bool))
                .collect(),
            fails: object["failurePolicy"] != "Ignore",
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// Whether a request meets them.
    pub fn judge(&self, inputs: &Inputs<'_>) -> Matched {
        self.judge_with(inputs, &Variables::default())
    }

    pub(crate) fn judge_with(&self, inputs: &Inputs<'_>, variables: &Variables) -> Matched {
        let evaluation = Evaluation::new(inputs, variables, PER_CONDITIONS);
        let mut errors: Vec<String> = Vec::new();
        for condition in &self.each {
            match evaluation.run(condition) {
                Ok(Ok(Val::Bool(false))) => return Matched::No,
                Ok(Ok(_)) => {}
                Ok(Err(error)) if errors.contains(&error) => {}
                Ok(Err(error)) => errors.push(error),
                Err(Spent) => {
                    errors = vec![SPENT.to_owned()];
                    break;
                }
            }
        }
        match errors.as_slice() {
            [] => Matched::Yes,
            _ if !self.fails => Matched::No,
            [one] => Matched::Failed(one.clone()),
            several => Matched::Failed(format!("[{}]", several.join(", "))),
        }
    }
}
