//! `POST pods/<name>/eviction`: deletes a pod when its disruption budget can spare it.

use jiff::Timestamp;
use plinth_api::{Cause, Details, Gvk, Selector, Status, schema_of};
use serde_json::{Value, json};

use super::delete::check_preconditions;
use super::update::{Proposal, parse};
use super::{
    ATTEMPTS, DeleteOptions, Incoming, Managing, Part, Writer, meta_text, timestamp, too_contended,
};
use crate::admission::{Operation, Request};
use crate::authentication::UserInfo;
use crate::kind::Kind;
use crate::read::{live, plain_error};
use crate::server::Core;

const EVICTION: Gvk = Gvk::of("policy", "v1", "Eviction");
const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
/// When a client may ask again while a budget has not been looked at since it changed.
const RETRY_SECONDS: u32 = 10;
/// Evictions that a budget has not seen the end of.
const UNCONFIRMED_MAX: usize = 2000;

impl Core {
    /// Evicts the pod.
    pub(crate) async fn evict(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        incoming: &Incoming<'_>,
    ) -> Result<Status, Status> {
        let schema = schema_of("policy", "v1", "Eviction")
            .ok_or_else(|| Status::internal("there is no schema for Eviction"))?;
        let mut eviction = incoming.decode(schema, &EVICTION)?.object;
        let writer = incoming.writer();
        let request = Request {
            gvk: EVICTION,
            subresource: "eviction",
            ..Request::new(Operation::Create, kind, (namespace, name), &writer)
        };
        self.mutate(&request, &mut eviction, None, |_| Ok(()))
            .await?;
        if meta_text(&eviction, "name") != name {
            let why = "name in URL does not match name in Eviction object";
            return Err(Status::bad_request(why));
        }
        self.judge(&request, Some(&eviction), None).await?;
        let mut options = DeleteOptions::from_object(&eviction["deleteOptions"])?;
        options.dry_run |= incoming.options.dry_run;
        for _ in 0..ATTEMPTS {
            let object = live(kind, namespace, name)?;
            // A budget is not spent on a pod that is not meant.
            check_preconditions(kind, &object, &options)?;
            let pod = parse(&object.bytes)?;
            // What a pod without a budget is judged by must still be so when it goes.
            let mut options = options.clone();
            let mut again = false;
            if (serves_nobody(&pod) || self.spared(&pod, namespace, options.dry_run).await?)
                && options.resource_version.is_none()
            {
                options.resource_version = Some(object.revision.to_string());
                again = true;
            }
            match self
                .remove_evicted(kind, namespace, name, options, &incoming.user)
                .await
            {
                Err(status) if status.code == 409 && again => {}
                Err(status) => return Err(status),
                Ok(()) => {
                    return Ok(Status {
                        code: 201,
                        reason: "".into(),
                        message: String::new(),
                        details: None,
                    });
                }
            }
        }
        Err(too_contended(kind, name))
    }

    /// Asks the budget that covers a pod. The answer says whether the pod may go because of what it is just now,
    /// rather than because the budget gave one away.
    async fn spared(&self, pod: &Value, namespace: &str, dry_run: bool) -> Result<bool, Status> {
        let Some(budgets) = self.kinds.find("policy", "v1", "poddisruptionbudgets") else {
            return Ok(false);
        };
        let mut covering = Vec::new();
        for budget in budgets
            .cache
            .snapshot(&self.clock)
            .tree
            .iter(Some(namespace), None)
        {
            let budget = parse(&budget.bytes)?;
            if covers(&budget, pod) {
                covering.push(budget);
            }
        }
        let budget = match covering.as_slice() {
            [] => return Ok(false),
            [budget] => budget,
            _ => {
                let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not \
                           support.";
                return Err(plain_error(500, why.to_owned()));
            }
        };
        if !is_ready(pod) {
            let status = &budget["status"];
            let (healthy, wanted) = (
                count(status, "currentHealthy"),
                count(status, "desiredHealthy"),
            );
            let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
            if always || (healthy >= wanted && wanted > 0) {
                return Ok(true);
            }
        }
        let name = meta_text(pod, "name");
        let propose = |budget: &Value| {
            let object = disrupted(budget, name, Timestamp::now())?;
            Ok(Proposal {
                object,
                warnings: Vec::new(),
                managing: Managing::Due,
            })
        };
        let of = meta_text(budget, "name");
        let writer = Writer {
            dry_run,
            ..Writer::system()
        };
        self.update(&budgets, namespace, of, Part::Status, &writer, propose)
            .await?;
        Ok(false)
    }

    /// Writes why into the pod and deletes it.
    async fn remove_evicted(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        mut options: DeleteOptions,
        user: &UserInfo,
    ) -> Result<(), Status> {
        if !options.dry_run {
            let propose = |pod: &Value| {
                let mut object = with_reason(pod, Timestamp::now());
                if options
                    .uid
                    .as_ref()
                    .is_some_and(|uid| uid != meta_text(pod, "uid"))
                {
                    return Err(Status::modified(kind.resource, name));
                }
                if let Some(revision) = &options.resource_version {
                    object["metadata"]["resourceVersion"] = revision.as_str().into();
                }
                Ok(Proposal {
                    object,
                    warnings: Vec::new(),
                    managing: Managing::Due,
                })
            };
            let written = self
                .update(
                    kind,
                    namespace,
                    name,
                    Part::Status,
                    &Writer::system(),
                    propose,
                )
                .await?;
            if options.resource_version.is_some() {
                let pod = parse(&written.bytes)?;
                options.resource_version = Some(meta_text(&pod, "resourceVersion").to_owned());
            }
        }
        // Upstream asks policies and webhooks about the eviction, and not again about the deletion.
        let writer = Writer {
            user,
            ..Writer::system()
        };
        self.delete(kind, namespace, name, &options, &writer)
            .await?;
        Ok(())
    }
}

/// A pod that has not started, has ended or is going is nobody's loss.
fn serves_nobody(pod: &Value) -> bool {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    matches!(phase, "Pending" | "Succeeded" | "Failed")
        || !meta_text(pod, "deletionTimestamp").is_empty()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn count(status: &Value, field: &str) -> i64 {
    status[field].as_i64().unwrap_or(0)
}

/// Whether a budget is about the pod; one without a selector is about none.
fn covers(budget: &Value, pod: &Value) -> bool {
    let selector = &budget["spec"]["selector"];
    !selector.is_null()
        && Selector::from_object(selector)
            .is_ok_and(|selector| selector.matches(&pod["metadata"]["labels"]))
}

/// The budget with one disruption fewer to give, or why it has none (K-60).
fn disrupted(budget: &Value, pod: &str, now: Timestamp) -> Result<Value, Status> {
    let (name, status) = (meta_text(budget, "name"), &budget["status"]);
    let generation = budget["metadata"]["generation"].as_i64().unwrap_or(0);
    if count(status, "observedGeneration") < generation {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(refused(why, Some(RETRY_SECONDS)));
    }
    let allowed = count(status, "disruptionsAllowed");
    let unconfirmed = status["disruptedPods"]
        .as_object()
        .map_or(0, serde_json::Map::len);
    if allowed < 0 || unconfirmed > UNCONFIRMED_MAX {
        let why = if allowed < 0 {
            "pdb disruptions allowed is negative"
        } else {
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        };
        return Err(forbidden(name, why));
    }
    if allowed == 0 {
        let failed = condition(status).filter(|condition| {
            condition["status"] == "False" && condition["reason"] == "SyncFailed"
        });
        let why = match failed {
            Some(condition) => format!(
                "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
                condition["message"].as_str().unwrap_or_default()
            ),
            None => format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                count(status, "desiredHealthy"),
                count(status, "currentHealthy")
            ),
        };
        return Err(refused(why, None));
    }
    let mut budget = budget.clone();
    let status = &mut budget["status"];
    status["disruptionsAllowed"] = (allowed - 1).into();
    if allowed == 1 {
        exhaust(status, now);
    }
    status["disruptedPods"][pod] = timestamp(now).into();
    Ok(budget)
}

fn condition(status: &Value) -> Option<&Value> {
    let conditions = status["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == "DisruptionAllowed")
}

/// Says that a budget has nothing left to give.
fn exhaust(status: &mut Value, now: Timestamp) {
    let changed = condition(status).is_none_or(|condition| condition["status"] != "False");
    let since = match condition(status) {
        Some(condition) if !changed => condition["lastTransitionTime"].clone(),
        _ => timestamp(now).into(),
    };
    let told = json!({"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
                      "observedGeneration": status["observedGeneration"], "lastTransitionTime": since});
    set_condition(status, told);
}

fn set_condition(status: &mut Value, told: Value) {
    match status["conditions"].as_array_mut() {
        Some(conditions) => {
            match conditions
                .iter_mut()
                .find(|condition| condition["type"] == told["type"])
            {
                Some(condition) => *condition = told,
                None => conditions.push(told),
            }
        }
        None => status["conditions"] = json!([told]),
    }
}

/// 403 about a budget, which upstream calls by its singular here.
fn forbidden(name: &str, why: &str) -> Status {
    let resource = "poddisruptionbudget";
    Status {
        code: 403,
        reason: "Forbidden".into(),
        message: format!("{resource}.policy {name:?} is forbidden: {why}"),
        details: Some(Details {
            name: name.to_owned(),
            group: "policy".to_owned(),
            kind: resource.to_owned(),
            ..Details::default()
        }),
    }
}

/// 429, with what the budget says.
fn refused(why: String, retry_after_seconds: Option<u32>) -> Status {
    let mut status = Status::too_many_requests(REFUSED, RETRY_SECONDS);
    if let Some(details) = &mut status.details {
        details.retry_after_seconds = retry_after_seconds;
        details.causes = vec![Cause {
            reason: "DisruptionBudget".to_owned(),
            message: why,
            field: String::new(),
        }];
    }
    status
}

/// The pod with the condition that says why it goes.
fn with_reason(pod: &Value, now: Timestamp) -> Value {
    let mut pod = pod.clone();
    let mut told = json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                          "message": "Eviction API: evicting", "lastProbeTime": null,
                          "lastTransitionTime": timestamp(now)});
    if count(&pod["status"], "observedGeneration") != 0 {
        told["observedGeneration"] = pod["metadata"]["generation"].clone();
    }
    set_condition(&mut pod["status"], told);
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(status: &Value) -> Value {
        json!({"metadata": {"name": "tight", "generation": 2}, "spec": {"selector": {"matchLabels": {"a": "b"}}},
               "status": status})
    }

    /// K-60.
    #[test]
    fn a_budget_gives_away_what_it_has_and_then_says_what_it_needs() {
        let now = Timestamp::UNIX_EPOCH;
        let left = budget(
            &json!({"observedGeneration": 2, "disruptionsAllowed": 1, "desiredHealthy": 1,
            "conditions": [{"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods",
                            "lastTransitionTime": "1969-01-01T00:00:00Z", "message": ""}]}),
        );
        let spent = disrupted(&left, "web-0", now).unwrap();
        assert_eq!(spent["status"]["disruptionsAllowed"], 0);
        assert_eq!(
            spent["status"]["disruptedPods"],
            json!({"web-0": "1970-01-01T00:00:00Z"})
        );
        let told = &spent["status"]["conditions"][0];
        assert_eq!(
            (&told["status"], &told["reason"]),
            (&json!("False"), &json!("InsufficientPods"))
        );
        let refused = disrupted(&spent, "web-1", now).unwrap_err();
        assert_eq!((refused.code, refused.message.as_str()), (429, REFUSED));
        let causes = refused.details.unwrap().causes;
        assert_eq!(
            causes[0].message,
            "The disruption budget tight needs 1 healthy pods and has 0 currently"
        );
    }

    #[test]
    fn a_budget_that_was_not_looked_at_yet_gives_nothing() {
        let stale = budget(&json!({"observedGeneration": 1, "disruptionsAllowed": 5}));
        let refused = disrupted(&stale, "web-0", Timestamp::UNIX_EPOCH).unwrap_err();
        let details = refused.details.unwrap();
        assert_eq!(details.retry_after_seconds, Some(10));
        assert!(
            details.causes[0]
                .message
                .ends_with("is still being processed by the server.")
        );
    }

    #[test]
    fn budgets_cover_what_they_select() {
        let pod = json!({"metadata": {"labels": {"a": "b"}}});
        assert!(covers(&budget(&json!({})), &pod));
        assert!(covers(&json!({"spec": {"selector": {}}}), &pod));
        assert!(!covers(&json!({"spec": {}}), &pod));
    }
}
