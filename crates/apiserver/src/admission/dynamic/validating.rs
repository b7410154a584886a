//! Asks ValidatingAdmissionPolicies, and does what their bindings want of what they say.

use std::collections::BTreeMap;

use plinth_api::admission::{Annotation, Decision, Inputs, ValidatingPolicy};
use plinth_api::{Cause, Status};
use serde_json::{Value, json};

use super::index::{Binding, Bound, Configured};
use super::params;
use super::request::{Permissions, Request, namespace_object};
use crate::server::Core;

type Policy = Configured<ValidatingPolicy>;

/// What a policy has against a request, and through which binding.
struct Denied {
    by: String,
    message: String,
    reason: &'static str,
}

impl Denied {
    fn new(
        policy: &Policy,
        binding: Option<&Binding>,
        message: String,
        reason: &'static str,
    ) -> Self {
        let through = binding.map_or_else(String::new, |binding| {
            format!(" with binding '{}'", binding.name)
        });
        Self {
            by: format!("ValidatingAdmissionPolicy '{}'{through}", policy.name),
            message,
            reason,
        }
    }
}

/// Asks all policies about a request. All are heard, and the first that is against it is told.
pub(super) async fn judge(
    core: &Core,
    policies: &[Bound<ValidatingPolicy>],
    request: &Request<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), Status> {
    let others = request.others(core);
    let mut denied = Vec::new();
    let mut namespace = None;
    for Bound { policy, bindings } in policies {
        let broken = |binding, why: &dyn std::fmt::Display| {
            let what = if binding { "binding" } else { "policy" };
            format!("failed to configure {what}: {why}")
        };
        let matching = match &policy.matching {
            Ok(matching) => matching,
            Err(error) => {
                if policy.compiled.fails() {
                    let why = broken(false, error);
                    denied.push(Denied::new(policy, None, why, "Invalid"));
                }
                continue;
            }
        };
        let Some(kind) = request.met_by(core, matching, &others, (object, old)) else {
            continue;
        };
        let params_kind = match params::kind(core, &policy.spec) {
            Ok(kind) => kind,
            Err(why) => {
                if policy.compiled.fails() {
                    denied.push(Denied::new(policy, None, broken(false, &why), "Invalid"));
                }
                continue;
            }
        };
        let seen = request.seen_as(core, kind, (object, old)).await?;
        let value = request.value(kind);
        let place = request.namespace();
        if namespace.is_none() && !place.is_empty() {
            namespace = namespace_object(core, place);
        }
        let mut annotations: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for binding in bindings {
            let applies = match &binding.matching {
                Ok(matching) => request
                    .met_by(core, matching, &others, (object, old))
                    .is_some(),
                Err(error) => {
                    if policy.compiled.fails() {
                        let why = broken(true, error);
                        denied.push(Denied::new(policy, Some(binding), why, "Invalid"));
                    }
                    continue;
                }
            };
            if !applies {
                continue;
            }
            let chosen = params::chosen(core, params_kind.as_deref(), &binding.spec, place).await;
            let chosen = match chosen {
                Ok(chosen) => chosen,
                Err(why) => {
                    if policy.compiled.fails() {
                        let why = broken(true, &why);
                        denied.push(Denied::new(policy, Some(binding), why, "Invalid"));
                    }
                    continue;
                }
            };
            for params in &chosen {
                let verdict = policy.compiled.judge(&Inputs {
                    object: seen.0.as_deref(),
                    old_object: seen.1.as_deref(),
                    request: &value,
                    namespace: namespace.as_ref(),
                    params: params.as_ref(),
                    authorizer: &Permissions {
                        core,
                        user: request.writer.user,
                    },
                });
                for decision in verdict.against {
                    carry_out(request, policy, binding, decision, &mut denied);
                }
                for annotation in verdict.annotations {
                    match annotation {
                        Annotation::Published(key, value) => {
                            let values = annotations.entry(key).or_default();
                            if !values.contains(&value) {
                                values.push(value);
                            }
                        }
                        Annotation::Failed(why) => {
                            denied.push(Denied::new(policy, Some(binding), why, ""));
                        }
                    }
                }
            }
        }
        for (key, values) in annotations {
            request.annotate(format!("{}/{key}", policy.name), values.join(", "));
        }
    }
    let Some(first) = denied.into_iter().next() else {
        return Ok(());
    };
    Err(refusal(request, object, &first))
}

/// Does what a binding wants done about a failed validation.
fn carry_out(
    request: &Request<'_>,
    policy: &Policy,
    binding: &Binding,
    decision: Decision,
    denied: &mut Vec<Denied>,
) {
    let Decision {
        index,
        message,
        reason,
    } = decision;
    let actions = &binding.spec["validationActions"];
    for action in actions.as_array().into_iter().flatten() {
        match action.as_str() {
            Some("Deny") => {
                denied.push(Denied::new(policy, Some(binding), message.clone(), reason));
            }
            Some("Warn") => request.warn(format!(
                "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {message}",
                policy.name, binding.name
            )),
            Some("Audit") => {
                let failure = json!([{
                    "message": message, "policy": policy.name, "binding": binding.name,
                    "expressionIndex": index, "validationActions": actions,
                }]);
                request.annotate(
                    "validation.policy.admission.k8s.io/validation_failure".to_owned(),
                    failure.to_string(),
                );
            }
            _ => {}
        }
    }
}

fn refusal(request: &Request<'_>, object: Option<&Value>, denied: &Denied) -> Status {
    let why = format!("{} denied request: {}", denied.by, denied.message);
    let mut status = request.forbidden(object, &why);
    let (code, reason) = match denied.reason {
        "Unauthorized" => (401, "Unauthorized"),
        "Forbidden" => (403, "Forbidden"),
        "RequestEntityTooLarge" => (413, "RequestEntityTooLarge"),
        _ => (422, "Invalid"),
    };
    (status.code, status.reason) = (code, reason.into());
    if let Some(details) = &mut status.details {
        details.causes.push(Cause {
            reason: String::new(),
            message: why,
            field: String::new(),
        });
    }
    status
}
