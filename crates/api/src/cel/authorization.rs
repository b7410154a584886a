//! The authorizer library: questions about permissions, put together call by call. Who answers them is given.

use std::fmt;
use std::sync::Arc;

use super::eval::{Budget, Evaluated, failed};
use super::value::Val;

pub(crate) const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
pub(crate) const PATH: &str = "kubernetes.authorization.PathCheck";
pub(crate) const GROUP: &str = "kubernetes.authorization.GroupCheck";
pub(crate) const RESOURCE: &str = "kubernetes.authorization.ResourceCheck";
pub(crate) const DECISION: &str = "kubernetes.authorization.Decision";

/// The work of one question, as upstream prices it.
const WORK: u64 = 350_000;

/// Somebody who knows who may do what.
pub trait Authorizer: Sync {
    /// Whether this may be done, and why.
    fn answer(&self, check: &Check) -> Answer;
}

/// A question: may that be done? What is not said is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// In whose place, by namespace and name, when not in the requester's.
    pub service_account: Option<(String, String)>,
    /// A path that is none of an object; then the rest is empty.
    pub path: String,
    /// The API group.
    pub group: String,
    /// The plural name.
    pub resource: String,
    /// The subresource.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// What is to be done.
    pub verb: String,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it may be done.
    pub allowed: bool,
    /// May be empty.
    pub reason: String,
}

/// A question that is being put together.
#[derive(Clone)]
pub(crate) struct Asking<'a> {
    by: &'a dyn Authorizer,
    ty: &'static str,
    check: Arc<Check>,
}

impl fmt::Debug for Asking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:?})", self.ty, self.check)
    }
}

impl<'a> Asking<'a> {
    /// The variable `authorizer`.
    pub(crate) fn new(by: &'a dyn Authorizer) -> Self {
        Self {
            by,
            ty: AUTHORIZER,
            check: Arc::default(),
        }
    }

    /// The variable `authorizer.requestResource`.
    pub(crate) fn about(by: &'a dyn Authorizer, check: Check) -> Self {
        Self {
            by,
            ty: RESOURCE,
            check: Arc::new(check),
        }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        self.ty
    }

    fn with(&self, ty: &'static str, change: impl FnOnce(&mut Check)) -> Val<'a> {
        let mut check = (*self.check).clone();
        change(&mut check);
        Val::Asking(Self {
            by: self.by,
            ty,
            check: Arc::new(check),
        })
    }
}

/// Runs a function; `None` when none fits.
pub(super) fn call<'a>(name: &str, args: &[Val<'a>], budget: &Budget) -> Option<Evaluated<'a>> {
    if let [Val::Answer(answer)] = args {
        return Some(Ok(match name {
            "allowed" => Val::Bool(answer.allowed),
            "reason" => Val::text(&answer.reason),
            // Every question that can be asked is answered.
            "errored" => Val::Bool(false),
            "error" => Val::text(""),
            _ => return None,
        }));
    }
    let (Val::Asking(asking), rest) = args.split_first()? else {
        return None;
    };
    let set = |ty, change: &dyn Fn(&mut Check)| Some(Ok(asking.with(ty, change)));
    match (name, asking.ty, rest) {
        ("path", AUTHORIZER, [Val::Text(path)]) if path.is_empty() => {
            Some(failed("path must not be empty"))
        }
        ("path", AUTHORIZER, [Val::Text(path)]) => set(PATH, &|c| c.path = path.to_string()),
        ("group", AUTHORIZER, [Val::Text(group)]) => set(GROUP, &|c| c.group = group.to_string()),
        ("serviceAccount", AUTHORIZER, [Val::Text(namespace), Val::Text(name)]) => {
            set(AUTHORIZER, &|c| {
                c.service_account = Some((namespace.to_string(), name.to_string()));
            })
        }
        ("resource", GROUP, [Val::Text(text)]) => set(RESOURCE, &|c| c.resource = text.to_string()),
        ("subresource", RESOURCE, [Val::Text(text)]) => {
            set(RESOURCE, &|c| c.subresource = text.to_string())
        }
        ("namespace", RESOURCE, [Val::Text(text)]) => {
            set(RESOURCE, &|c| c.namespace = text.to_string())
        }
        ("name", RESOURCE, [Val::Text(text)]) => set(RESOURCE, &|c| c.name = text.to_string()),
        // Roles know nothing of selectors.
        ("fieldSelector" | "labelSelector", RESOURCE, [Val::Text(_)]) => set(RESOURCE, &|_| {}),
        ("check", PATH | RESOURCE, [Val::Text(verb)]) => {
            if let Err(error) = budget.spend(WORK) {
                return Some(Err(error));
            }
            let check = Check {
                verb: verb.to_string(),
                ..(*asking.check).clone()
            };
            Some(Ok(Val::Answer(Arc::new(asking.by.answer(&check)))))
        }
        _ => None,
    }
}
