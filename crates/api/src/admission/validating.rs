//! ValidatingAdmissionPolicies, compiled: what they have to say against a request.

use serde_json::Value;

use super::expressions::{
    Conditions, Evaluation, Expression, Inputs, Matched, Offers, PER_POLICY, Returns, SPENT, Spent,
    Variables, scope,
};
use crate::cel::Val;

/// Longer messages are not shown.
const MESSAGE: usize = 5 * 1024;
/// Longer values of annotations are cut.
const ANNOTATION: usize = 10 * 1024;

/// A policy that can be asked.
#[derive(Debug)]
pub struct ValidatingPolicy {
    fails: bool,
    conditions: Conditions,
    variables: Variables,
    validations: Vec<Validation>,
    /// Keys and what they hold.
    annotations: Vec<(String, Expression)>,
}

#[derive(Debug)]
struct Validation {
    expression: Expression,
    message: String,
    message_expression: Option<Expression>,
    reason: Option<&'static str>,
}

/// What a policy has against a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which of the policy's validations says so.
    pub index: usize,
    /// What it says.
    pub message: String,
    /// The reason the request is refused with.
    pub reason: &'static str,
}

/// What a policy notes about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Annotation {
    /// A key, without the policy's name, and its value.
    Published(String, String),
    /// It cannot be told, and that may not be ignored.
    Failed(String),
}

/// All a policy says about a request.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Nothing here means yes.
    pub against: Vec<Decision>,
    /// What goes into the audit log.
    pub annotations: Vec<Annotation>,
}

fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object[field].as_str().unwrap_or_default()
}

/// The reasons a policy may give.
fn reason(given: &str) -> Option<&'static str> {
    [
        "Unauthorized",
        "Forbidden",
        "Invalid",
        "RequestEntityTooLarge",
    ]
    .into_iter()
    .find(|known| *known == given)
}

impl ValidatingPolicy {
    /// Compiles a policy's `spec`.
    pub fn compile(spec: &Value) -> Self {
        let items = |field: &str| spec[field].as_array().into_iter().flatten();
        let mut names = scope(Offers::of_policy(spec));
        let variables = Variables::read(spec, &mut names);
        let mut of_messages = names.clone();
        of_messages.retain(|name, _| !name.starts_with("authorizer"));
        let validation = |validation: &Value| Validation {
            expression: Expression::new(text(validation, "expression"), &names, Returns::Bool),
            message: text(validation, "message").trim().to_owned(),
            message_expression: validation["messageExpression"]
                .as_str()
                .filter(|text| !text.trim().is_empty())
                .map(|text| Expression::new(text, &of_messages, Returns::Text)),
            reason: reason(text(validation, "reason")),
        };
        let annotation = |annotation: &Value| {
            let value = text(annotation, "valueExpression");
            (
                text(annotation, "key").to_owned(),
                Expression::new(value, &names, Returns::TextOrNull),
            )
        };
        Self {
            fails: spec["failurePolicy"] != "Ignore",
            conditions: Conditions::read(spec, &names),
            validations: items("validations").map(validation).collect(),
            annotations: items("auditAnnotations").map(annotation).collect(),
            variables,
        }
    }

    /// Whether what cannot be told counts against a request.
    pub fn fails(&self) -> bool {
        self.fails
    }

    /// What the policy says about a request.
    pub fn judge(&self, inputs: &Inputs<'_>) -> Verdict {
        if !self.conditions.is_empty() {
            match self.conditions.judge_with(inputs, &self.variables) {
                Matched::Yes => {}
                Matched::No => return Verdict::default(),
                Matched::Failed(why) => return self.untold(why),
            }
        }
        let evaluation = Evaluation::new(inputs, &self.variables, PER_POLICY);
        let mut values = Vec::with_capacity(self.validations.len());
        for validation in &self.validations {
            match evaluation.run(&validation.expression) {
                Ok(value) => values.push(value),
                Err(Spent) => return self.untold(SPENT.to_owned()),
            }
        }
        let mut verdict = Verdict::default();
        for (index, (validation, value)) in self.validations.iter().zip(values).enumerate() {
            let (message, reason) = match value {
                Ok(Val::Bool(true)) => continue,
                Err(_) if !self.fails => continue,
                Err(why) => (why, "Invalid"),
                Ok(_) => match validation.message(&evaluation) {
                    Ok(message) => (message, validation.reason.unwrap_or("Invalid")),
                    Err(Spent) if !self.fails => continue,
                    Err(Spent) => (format!("failed messageExpression: {SPENT}"), "Invalid"),
                },
            };
            verdict.against.push(Decision {
                index,
                message,
                reason,
            });
        }
        let evaluation = Evaluation::new(inputs, &self.variables, PER_POLICY);
        for (key, expression) in &self.annotations {
            let Ok(value) = evaluation.run(expression) else {
                return self.untold(SPENT.to_owned());
            };
            let noted = match value {
                Ok(Val::Text(value)) if value.trim().is_empty() => continue,
                Ok(Val::Text(value)) => Annotation::Published(key.clone(), cut(value.trim())),
                Ok(_) => continue,
                Err(_) if !self.fails => continue,
                Err(why) => Annotation::Failed(why),
            };
            verdict.annotations.push(noted);
        }
        verdict
    }

    /// What comes of something that cannot be told.
    fn untold(&self, why: String) -> Verdict {
        let against = self.fails.then_some(Decision {
            index: 0,
            message: why,
            reason: "Invalid",
        });
        Verdict {
            against: against.into_iter().collect(),
            annotations: Vec::new(),
        }
    }
}

/// As much of a value as is shown.
fn cut(value: &str) -> String {
    value[..value.floor_char_boundary(ANNOTATION)].to_owned()
}

impl Validation {
    /// The words for a failure: those an expression finds, those that are written down, or the expression itself.
    fn message(&self, evaluation: &Evaluation<'_, '_>) -> Result<String, Spent> {
        if let Some(expression) = &self.message_expression
            && let Ok(Val::Text(text)) = evaluation.run(expression)?
        {
            let text = text.trim();
            if !text.is_empty() && text.len() <= MESSAGE && !text.contains('\n') {
                return Ok(text.to_owned());
            }
        }
        if self.message.is_empty() {
            let expression = self.expression.text().trim();
            return Ok(format!("failed expression: {expression}"));
        }
        Ok(self.message.clone())
    }
}
