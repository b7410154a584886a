//! Lets what clients have configured change an object: first policies, then webhooks; and once more when somebody has
//! changed what others had seen before.

use std::collections::HashSet;

use plinth_api::admission::{Inputs, Matched, MutatingPolicy};
use plinth_api::{BodyFormat, Cause, FieldValidation, Status, TypeSchema, decode, schema_of};
use serde_json::Value;

use super::index::{Binding, Bound, Configured};
use super::params;
use super::request::{Permissions, Request, namespace_object};
use crate::kind::Kind;
use crate::server::Core;

/// Who was asked, and who is to be asked again.
#[derive(Default)]
pub(super) struct Reinvocation {
    asked: HashSet<String>,
    due: HashSet<String>,
    /// The object as the last of them left it.
    left: Value,
    /// Whether any of them has changed it.
    pub(super) changed: bool,
}

impl Reinvocation {
    pub(super) fn begin(&mut self, second: bool, object: &Value) {
        if second && *object != self.left {
            self.due.extend(self.asked.drain());
        }
    }

    /// Whether somebody is not asked the second time.
    pub(super) fn skips(&self, second: bool, key: &str) -> bool {
        second && !self.due.contains(key)
    }

    /// Somebody was asked, wants to be asked again if need be, and changed the object.
    pub(super) fn asked(&mut self, key: &str, again: bool, changed: bool) {
        if changed {
            self.due.extend(self.asked.drain());
            self.changed = true;
        }
        if again {
            self.asked.insert(key.to_owned());
        }
    }

    pub(super) fn end(&mut self, object: &Value) {
        self.left = object.clone();
    }
}

/// What somebody made of an object in the form of a kind.
pub(super) struct Changed<'k> {
    pub(super) patched: Value,
    pub(super) kind: &'k Kind,
}

impl Changed<'_> {
    /// The object of the request that it is: with the fields its type has, with defaults, in the form of the request.
    pub(super) async fn taken(self, core: &Core, request: &Request<'_>) -> Result<Value, Status> {
        let kind = self.kind;
        let own = request.gvk == request.kind.gvk;
        let gvk = if own { kind.gvk } else { request.gvk };
        let Some(schema) = schema_for(kind, request) else {
            // The parameters of a connection have no schema, and no defaults.
            return Ok(self.patched);
        };
        let text = self.patched.to_string();
        let decoded = decode(
            schema,
            &gvk,
            text.as_bytes(),
            BodyFormat::Json,
            FieldValidation::Ignore,
        );
        let mut object = decoded.map_err(Status::internal)?.object;
        if !schema.is_custom() {
            object["apiVersion"] = gvk.api_version().into();
            object["kind"] = gvk.kind.into();
        }
        if !own {
            return Ok(object);
        }
        kind.resource.strategy.default(&mut object);
        if std::ptr::eq(kind, request.kind) {
            return Ok(object);
        }
        kind.turned_into(core, &object, request.kind).await
    }
}

/// The schema of the object in a request, in the form of a kind.
fn schema_for(kind: &Kind, request: &Request<'_>) -> Option<&'static TypeSchema> {
    if request.gvk == request.kind.gvk {
        Some(kind.schema)
    } else {
        schema_of(request.gvk.group, request.gvk.version, request.gvk.kind)
    }
}

/// Something that stands against a request.
struct Fault {
    message: String,
    reason: &'static str,
}

impl Fault {
    fn new(
        policy: &Configured<MutatingPolicy>,
        binding: Option<&Binding>,
        why: &str,
        reason: &'static str,
    ) -> Self {
        let message = match binding {
            Some(binding) => format!(
                "policy '{}' with binding '{}' denied request: {why}",
                policy.name, binding.name
            ),
            None => format!("policy {:?} denied request: {why}", policy.name),
        };
        Self { message, reason }
    }
}

/// Lets policies change an object, one after the other.
pub(super) async fn policies(
    core: &Core,
    policies: &[Bound<MutatingPolicy>],
    request: &Request<'_>,
    object: &mut Value,
    old: Option<&Value>,
    (state, second): (&mut Reinvocation, bool),
) -> Result<(), Status> {
    let others = request.others(core);
    let mut faults = Vec::new();
    state.begin(second, object);
    for Bound { policy, bindings } in policies {
        let mut fail = |binding: Option<&Binding>, why: &str, reason| {
            if policy.compiled.fails() {
                faults.push(Fault::new(policy, binding, why, reason));
            }
        };
        let objects = (Some(&*object).filter(|object| !object.is_null()), old);
        let met = match &policy.matching {
            Ok(matching) => request.met_by(core, matching, &others, objects),
            Err(error) => {
                fail(
                    None,
                    &format!("failed to configure policy: {error}"),
                    "Forbidden",
                );
                continue;
            }
        };
        let Some(kind) = met else { continue };
        let params_kind = match params::kind(core, &policy.spec) {
            Ok(kind) => kind,
            Err(why) => {
                fail(
                    None,
                    &format!("failed to configure policy: {why}"),
                    "Forbidden",
                );
                continue;
            }
        };
        for binding in bindings {
            let objects = (Some(&*object).filter(|object| !object.is_null()), old);
            let applies = match &binding.matching {
                Ok(matching) => request.met_by(core, matching, &others, objects).is_some(),
                Err(error) => {
                    let why = format!("failed to configure binding: {error}");
                    fail(Some(binding), &why, "Forbidden");
                    continue;
                }
            };
            if !applies {
                continue;
            }
            let place = request.namespace();
            let chosen = params::chosen(core, params_kind.as_deref(), &binding.spec, place).await;
            let chosen = match chosen {
                Ok(chosen) => chosen,
                Err(why) => {
                    let why = format!("failed to configure binding: {why}");
                    fail(Some(binding), &why, "Forbidden");
                    continue;
                }
            };
            for params in &chosen {
                let invocation = Invocation {
                    core,
                    request,
                    kind,
                    policy,
                    params: params.as_ref(),
                };
                let of = |field: &str| {
                    let text = params.as_ref().and_then(|p| p["metadata"][field].as_str());
                    text.unwrap_or_default()
                };
                let key = format!(
                    "{}/{}/{}/{}",
                    policy.name,
                    binding.name,
                    of("namespace"),
                    of("name")
                );
                if state.skips(second, &key) {
                    continue;
                }
                match invocation.run(object, old).await {
                    Ok(None) => {}
                    Ok(Some(next)) => {
                        let changed = next != *object;
                        *object = next;
                        state.asked(&key, policy.compiled.again(), changed);
                    }
                    Err(Stopped::Told(why)) => fail(Some(binding), &why, "Invalid"),
                    Err(Stopped::Status(status)) => return Err(status),
                }
            }
        }
    }
    state.end(object);
    let Some(first) = faults.first() else {
        return Ok(());
    };
    let mut status = request.forbidden(Some(&*object), &first.message);
    status.message.clone_from(&first.message);
    status.reason = first.reason.into();
    if let Some(details) = &mut status.details {
        details.causes.extend(faults.into_iter().map(|fault| Cause {
            reason: String::new(),
            message: fault.message,
            field: String::new(),
        }));
    }
    Err(status)
}

/// Why a policy did not get through.
enum Stopped {
    /// It may be ignored if the policy says so.
    Told(String),
    /// It may not.
    Status(Status),
}

/// A policy with its parameters before a request.
struct Invocation<'i> {
    core: &'i Core,
    request: &'i Request<'i>,
    kind: &'i Kind,
    policy: &'i Configured<MutatingPolicy>,
    params: Option<&'i Value>,
}

impl Invocation<'_> {
    /// What the policy makes of the object; `None` when it is not about it.
    async fn run(&self, object: &Value, old: Option<&Value>) -> Result<Option<Value>, Stopped> {
        let (core, request) = (self.core, self.request);
        let value = request.value(self.kind);
        let place = request.namespace();
        let namespace = (!place.is_empty())
            .then(|| namespace_object(core, place))
            .flatten();
        let authorizer = Permissions {
            core,
            user: request.writer.user,
        };
        let mut object = object.clone();
        let mut made = None;
        for index in 0..=self.policy.compiled.mutations() {
            let objects = (Some(&object).filter(|object| !object.is_null()), old);
            let seen = request.seen_as(core, self.kind, objects).await;
            let (new, before) = seen.map_err(Stopped::Status)?;
            let inputs = Inputs {
                object: new.as_deref(),
                old_object: before.as_deref(),
                request: &value,
                namespace: namespace.as_ref(),
                params: self.params,
                authorizer: &authorizer,
            };
            let Some(at) = index.checked_sub(1) else {
                match self.policy.compiled.meant(&inputs) {
                    Matched::Yes => continue,
                    Matched::No => return Ok(None),
                    Matched::Failed(why) => return Err(Stopped::Told(why)),
                }
            };
            if inputs.object.is_none() {
                break;
            }
            let Some(schema) = schema_for(self.kind, request) else {
                let why = format!("Resource kind {} not found", request.gvk.kind);
                return Err(Stopped::Status(Status::service_unavailable(why)));
            };
            let gvk = if request.gvk == request.kind.gvk {
                self.kind.gvk
            } else {
                request.gvk
            };
            match self.policy.compiled.mutate(at, &inputs, schema, &gvk) {
                Ok(patched) => {
                    let changed = Changed {
                        patched,
                        kind: self.kind,
                    };
                    object = changed
                        .taken(core, request)
                        .await
                        .map_err(Stopped::Status)?;
                    made = Some(object.clone());
                }
                Err(why) => return Err(Stopped::Told(why)),
            }
        }
        Ok(made)
    }
}
