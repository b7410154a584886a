//! Asks webhooks: what they are told, how their answers are read, and what comes of their silence.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use plinth_api::admission::{Conditions, Inputs, Matched, Matching};
use plinth_api::{Cause, Details, SelectorError, Status};
use serde_json::{Value, json};

use super::mutating::{Changed, Reinvocation};
use super::request::{Permissions, Request, namespace_object};
use crate::kind::Kind;
use crate::metrics::Called;
use crate::server::Core;
use crate::webhook::{CallError, Hook};

/// A webhook that can be asked.
pub(super) struct Webhook {
    configuration: String,
    name: String,
    /// Tells it apart from all others.
    key: String,
    matching: Result<Matching, SelectorError>,
    conditions: Conditions,
    hook: Hook,
    fails: bool,
    limit: Duration,
    /// Whether a dry run does not disturb anybody.
    harmless: bool,
    /// The version of the question.
    version: &'static str,
    /// Whether it wants to see what others made of the object after it.
    again: bool,
}

/// Why a webhook did not say yes.
enum Failure {
    /// It did not say anything that can be understood.
    Calling(String),
    /// It said no, or made something of the object that it may not.
    Refused(Status),
}

impl Webhook {
    /// Reads the entry of a configuration.
    pub(super) fn read(configuration: &str, index: usize, webhook: &Value) -> Self {
        let text = |field: &str| webhook[field].as_str().unwrap_or_default();
        let versions = webhook["admissionReviewVersions"].as_array();
        let known = |version: &Value| ["v1", "v1beta1"].into_iter().find(|known| version == known);
        Self {
            key: format!("{configuration}/{}/{index}", text("name")),
            configuration: configuration.to_owned(),
            name: text("name").to_owned(),
            matching: Matching::of_webhook(webhook),
            conditions: Conditions::of_webhook(webhook),
            hook: Hook::read(&webhook["clientConfig"]),
            fails: text("failurePolicy") != "Ignore",
            limit: Duration::from_secs(webhook["timeoutSeconds"].as_u64().unwrap_or(10)),
            harmless: matches!(text("sideEffects"), "None" | "NoneOnDryRun"),
            version: versions
                .into_iter()
                .flatten()
                .find_map(known)
                .unwrap_or("v1"),
            again: text("reinvocationPolicy") == "IfNeeded",
        }
    }

    /// In which form it wants to see a request; `None` when it is not about it.
    fn called_for<'k>(
        &self,
        core: &Core,
        request: &'k Request<'_>,
        others: &'k [std::sync::Arc<Kind>],
        objects: (Option<&Value>, Option<&Value>),
    ) -> Result<Option<&'k Kind>, Status> {
        match &self.matching {
            Ok(matching) => Ok(request.met_by(core, matching, others, objects)),
            Err(error) => Err(Status::internal(error)),
        }
    }

    /// Whether its conditions hold.
    fn conditions_hold(
        &self,
        core: &Core,
        request: &Request<'_>,
        asked: &Value,
        (object, old): (Option<&Value>, Option<&Value>),
    ) -> Result<bool, Status> {
        if self.conditions.is_empty() {
            return Ok(true);
        }
        let place = request.namespace();
        let namespace = (!place.is_empty())
            .then(|| namespace_object(core, place))
            .flatten();
        let matched = self.conditions.judge(&Inputs {
            object,
            old_object: old,
            request: asked,
            namespace: namespace.as_ref(),
            params: None,
            authorizer: &Permissions {
                core,
                user: request.writer.user,
            },
        });
        match matched {
            Matched::Yes => Ok(true),
            Matched::No => Ok(false),
            Matched::Failed(why) => {
                Err(Status::forbidden(request.kind.resource, request.name, &why))
            }
        }
    }

    /// Asks, and counts what came of it.
    async fn ask(
        &self,
        core: &Core,
        request: &Request<'_>,
        asked: Value,
        objects: (Option<&Value>, Option<&Value>),
        mutating: bool,
    ) -> Result<Vec<u8>, Failure> {
        let started = Instant::now();
        let answer = self.call(core, request, asked, objects, mutating).await;
        let outcome = match &answer {
            Ok(_) => Called::Admitted,
            Err(Failure::Refused(status)) => Called::Refused(status.code),
            Err(Failure::Calling(_)) if self.fails => Called::Failed,
            Err(Failure::Calling(_)) => Called::FailedOpen,
        };
        let kind = if mutating { "admit" } else { "validating" };
        let call = (self.name.as_str(), kind, request.operation.name());
        core.metrics.called(call, outcome, started.elapsed());
        answer
    }

    /// Asks; what comes back is the patch of a mutating webhook.
    async fn call(
        &self,
        core: &Core,
        request: &Request<'_>,
        mut asked: Value,
        (object, old): (Option<&Value>, Option<&Value>),
        mutating: bool,
    ) -> Result<Vec<u8>, Failure> {
        if request.is_dry_run() && !self.harmless {
            let why = format!("admission webhook {:?} does not support dry run", self.name);
            return Err(Failure::Refused(Status::bad_request(why)));
        }
        let uid = uuid::Uuid::new_v4().to_string();
        asked["uid"] = uid.as_str().into();
        asked["object"] = object.cloned().unwrap_or_default();
        asked["oldObject"] = old.cloned().unwrap_or_default();
        let api_version = format!("admission.k8s.io/{}", self.version);
        let review =
            json!({"kind": "AdmissionReview", "apiVersion": api_version, "request": asked});
        let answer = self.hook.call(core, &review, self.limit).await;
        let answer = answer.map_err(|error: CallError| {
            Failure::Calling(format!("failed to call webhook: {error}"))
        })?;
        let response = &answer["response"];
        let invalid =
            |why: String| Failure::Calling(format!("received invalid webhook response: {why}"));
        if !response.is_object() {
            return Err(invalid("webhook response was absent".to_owned()));
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if self.version == "v1" {
            if response["uid"] != uid.as_str() {
                let given = text(&response["uid"]);
                return Err(invalid(format!(
                    "expected response.uid={uid:?}, got {given:?}"
                )));
            }
            if answer["apiVersion"] != api_version.as_str() || answer["kind"] != "AdmissionReview" {
                return Err(invalid(format!(
                    "expected webhook response of {api_version}, Kind=AdmissionReview, got {}, Kind={}",
                    text(&answer["apiVersion"]),
                    text(&answer["kind"])
                )));
            }
        }
        let patch = self.patch(response, mutating).map_err(invalid)?;
        for (key, value) in response["auditAnnotations"]
            .as_object()
            .into_iter()
            .flatten()
        {
            request.annotate(format!("{}/{key}", self.name), text(value));
        }
        for warning in response["warnings"].as_array().into_iter().flatten() {
            request.warn(text(warning));
        }
        if response["allowed"] == true {
            Ok(patch)
        } else {
            Err(Failure::Refused(self.refusal(request, &response["status"])))
        }
    }

    /// The patch in an answer.
    fn patch(&self, response: &Value, mutating: bool) -> Result<Vec<u8>, String> {
        if !mutating {
            return Ok(Vec::new());
        }
        let patch = response["patch"].as_str().unwrap_or_default();
        let patch = STANDARD.decode(patch).map_err(|error| error.to_string())?;
        match (&response["patchType"], patch.is_empty()) {
            (Value::Null, false) if self.version == "v1" => {
                Err("webhook returned response.patch but not response.patchType".to_owned())
            }
            (Value::Null, _) => Ok(patch),
            (_, true) if self.version == "v1" => {
                Err("webhook returned response.patchType but not response.patch".to_owned())
            }
            (kind, _) if kind == "JSONPatch" => Ok(patch),
            (kind, _) if kind == "" => Err(format!(
                "webhook returned invalid response.patchType of {kind}"
            )),
            (kind, _) => Err(format!("unsupported patch type {kind}")),
        }
    }

    /// What a webhook that says no says.
    fn refusal(&self, request: &Request<'_>, given: &Value) -> Status {
        let text = |field: &str| given[field].as_str().unwrap_or_default();
        let code = given["code"]
            .as_u64()
            .and_then(|code| u16::try_from(code).ok());
        let code = code.filter(|code| *code != 0).unwrap_or(403);
        let denied = format!("admission webhook {:?} denied the request", self.name);
        let why = match (text("message"), text("reason")) {
            ("", "") => format!("{denied} without explanation"),
            ("", reason) => format!("{denied}: {reason}"),
            (message, _) => format!("{denied}: {message}"),
        };
        let resource = request.kind.resource;
        let name = if request.name.is_empty() {
            "Unknown"
        } else {
            request.name
        };
        let details = match &given["details"] {
            Value::Object(_) => details(&given["details"]),
            _ if code == 500 => Details {
                causes: vec![Cause {
                    reason: String::new(),
                    message: why.clone(),
                    field: String::new(),
                }],
                ..Details::default()
            },
            _ => Details {
                name: name.to_owned(),
                group: resource.group.to_owned(),
                kind: resource.plural.to_owned(),
                ..Details::default()
            },
        };
        let (message, reason) = if code == 500 {
            (format!("Internal error occurred: {why}"), "InternalError")
        } else {
            let forbidden = Status::forbidden(resource, name, &why);
            (forbidden.message, "Forbidden")
        };
        let reason = match text("reason") {
            "" => reason.into(),
            given => given.to_owned().into(),
        };
        Status {
            code,
            reason,
            message,
            details: Some(details),
        }
    }

    /// What becomes of a failure: an answer, or nothing when it may be ignored.
    fn outcome(&self, request: &Request<'_>, failure: Failure, place: &str) -> Result<(), Status> {
        match failure {
            Failure::Refused(status) => Err(status),
            Failure::Calling(why) => {
                let why = format!("failed calling webhook {:?}: {why}", self.name);
                if self.fails {
                    return Err(Status::internal(why));
                }
                tracing::warn!(why, "a webhook that may fail has failed");
                request.annotate(format!("failed-open.{place}"), self.name.clone());
                Ok(())
            }
        }
    }
}

/// Details that a webhook gives.
fn details(given: &Value) -> Details {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let causes = given["causes"].as_array().into_iter().flatten();
    Details {
        name: text(given, "name"),
        group: text(given, "group"),
        kind: text(given, "kind"),
        uid: text(given, "uid"),
        causes: causes
            .map(|cause| Cause {
                reason: text(cause, "reason"),
                message: text(cause, "message"),
                field: text(cause, "field"),
            })
            .collect(),
        retry_after_seconds: given["retryAfterSeconds"]
            .as_u64()
            .and_then(|seconds| u32::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0),
    }
}

/// Lets webhooks change an object, one after the other.
pub(super) async fn mutate(
    core: &Core,
    webhooks: &[&Webhook],
    request: &Request<'_>,
    object: &mut Value,
    old: Option<&Value>,
    (state, second): (&mut Reinvocation, bool),
) -> Result<(), Status> {
    let others = request.others(core);
    let round = u8::from(second);
    state.begin(second, object);
    for (index, webhook) in webhooks.iter().enumerate() {
        let objects = (Some(&*object).filter(|object| !object.is_null()), old);
        let Some(kind) = webhook.called_for(core, request, &others, objects)? else {
            continue;
        };
        let asked = request.value(kind);
        let (new, before) = request.seen_as(core, kind, objects).await?;
        let seen = (new.as_deref(), before.as_deref());
        if !webhook.conditions_hold(core, request, &asked, seen)?
            || state.skips(second, &webhook.key)
        {
            continue;
        }
        let answer = webhook.ask(core, request, asked, seen, true).await;
        let place = format!("round_{round}_index_{index}");
        let changed = match answer {
            Ok(patch) if patch.is_empty() => None,
            Ok(patch) => {
                let Some(new) = seen.0 else {
                    return Err(Status::internal(format!(
                        "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
                        webhook.name
                    )));
                };
                let patched = plinth_api::patch::json(new, &patch).map_err(Status::internal)?;
                let told = json!({
                    "configuration": webhook.configuration, "webhook": webhook.name,
                    "patch": serde_json::from_slice::<Value>(&patch).unwrap_or_default(),
                    "patchType": "JSONPatch",
                });
                request.annotate(
                    format!("patch.webhook.admission.k8s.io/{place}"),
                    told.to_string(),
                );
                Some(Changed { patched, kind })
            }
            Err(failure) => {
                let place = format!("mutation.webhook.admission.k8s.io/{place}");
                webhook.outcome(request, failure, &place)?;
                None
            }
        };
        let mut mutated = false;
        if let Some(changed) = changed {
            let next = changed.taken(core, request).await?;
            mutated = next != *object;
            *object = next;
        }
        let told = json!({"configuration": webhook.configuration, "webhook": webhook.name,
                          "mutated": mutated});
        request.annotate(
            format!("mutation.webhook.admission.k8s.io/{place}"),
            told.to_string(),
        );
        state.asked(&webhook.key, webhook.again, mutated);
    }
    state.end(object);
    Ok(())
}

/// Asks webhooks whether an object may be kept, all at the same time.
pub(super) async fn judge(
    core: &Core,
    webhooks: &[&Webhook],
    request: &Request<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), Status> {
    let others = request.others(core);
    let mut calls = Vec::new();
    for (index, webhook) in webhooks.iter().enumerate() {
        let Some(kind) = webhook.called_for(core, request, &others, (object, old))? else {
            continue;
        };
        let asked = request.value(kind);
        let (new, before) = request.seen_as(core, kind, (object, old)).await?;
        let seen = (new.as_deref(), before.as_deref());
        if !webhook.conditions_hold(core, request, &asked, seen)? {
            continue;
        }
        calls.push(async move {
            let seen = (new.as_deref(), before.as_deref());
            let answer = webhook.ask(core, request, asked, seen, false).await;
            let place = format!("validating.webhook.admission.k8s.io/round_0_index_{index}");
            match answer {
                Ok(_) => Ok(()),
                Err(failure) => webhook.outcome(request, failure, &place),
            }
        });
    }
    join_all(calls).await.into_iter().collect()
}
