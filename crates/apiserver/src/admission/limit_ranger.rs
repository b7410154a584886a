//! Pods and claims keep to the LimitRanges of their namespace: what they leave out is filled in from them, and what
//! goes beyond them is refused.

use plinth_api::pod_resources::{Amounts, Side, amounts, of_pod};
use plinth_api::{Quantity, Status};
use serde_json::{Map, Value};

use super::objects_in;
use crate::kind::Kind;
use crate::server::Core;
use crate::write::meta_text;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Gives a pod's containers what they do not ask for.
pub(super) fn admit(core: &Core, pod: &mut Value) -> Result<(), Status> {
    for range in objects_in(core, "limitranges", meta_text(pod, "namespace"))? {
        let (requests, limits) = defaults(&range);
        let mut notes = Vec::new();
        for (field, what) in [
            ("containers", "container"),
            ("initContainers", "init container"),
        ] {
            let containers = pod["spec"].get_mut(field).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                notes.extend(complete(container, &requests, &limits, what));
            }
        }
        if !notes.is_empty() {
            let note = format!("LimitRanger plugin set: {}", notes.join("; "));
            pod["metadata"]["annotations"][ANNOTATION] = note.into();
        }
    }
    Ok(())
}

/// Refuses what goes beyond a limit.
pub(super) fn review(core: &Core, kind: &Kind, object: &Value) -> Result<(), Status> {
    for range in objects_in(core, "limitranges", meta_text(object, "namespace"))? {
        let faults = match kind.resource.plural {
            "pods" => pod_faults(&range, object),
            _ => claim_faults(&range, object),
        };
        let why = match &faults[..] {
            [] => continue,
            [fault] => fault.clone(),
            faults => format!("[{}]", faults.join(", ")),
        };
        let name = meta_text(object, "name");
        return Err(Status::forbidden(kind.resource, name, &why));
    }
    Ok(())
}

fn limits_of<'r>(range: &'r Value, kind: &'r str) -> impl Iterator<Item = &'r Value> {
    let limits = range["spec"]["limits"].as_array().into_iter().flatten();
    limits.filter(move |limit| limit["type"] == kind)
}

/// What containers get: requests and limits.
fn defaults(range: &Value) -> (Map<String, Value>, Map<String, Value>) {
    let of = |field: &str| {
        limits_of(range, "Container")
            .filter_map(|limit| limit[field].as_object())
            .flatten()
            .map(|(name, amount)| (name.clone(), amount.clone()))
            .collect()
    };
    (of("defaultRequest"), of("default"))
}

fn complete(
    container: &mut Value,
    requests: &Map<String, Value>,
    limits: &Map<String, Value>,
    what: &str,
) -> Vec<String> {
    let name = container["name"].as_str().unwrap_or_default().to_owned();
    let mut notes = Vec::new();
    for (field, one, defaults) in [
        ("requests", "request", requests),
        ("limits", "limit", limits),
    ] {
        let mut filled = Vec::new();
        for (resource, amount) in defaults {
            let has = container["resources"][field].get(resource).is_some();
            if !has {
                container["resources"][field][resource] = amount.clone();
                filled.push(resource.as_str());
            }
        }
        if !filled.is_empty() {
            filled.sort_unstable();
            notes.push(format!("{} {one} for {what} {name}", filled.join(", ")));
        }
    }
    notes
}

fn pod_faults(range: &Value, pod: &Value) -> Vec<String> {
    let limits = range["spec"]["limits"].as_array().into_iter().flatten();
    let mut faults = Vec::new();
    for limit in limits {
        match limit["type"].as_str().unwrap_or_default() {
            "Container" => {
                for field in ["containers", "initContainers"] {
                    for container in pod["spec"][field].as_array().into_iter().flatten() {
                        let resources = &container["resources"];
                        let (requests, limits) =
                            (amounts(resources, "requests"), amounts(resources, "limits"));
                        faults.extend(beyond(limit, "Container", &requests, &limits));
                    }
                }
            }
            "Pod" => {
                let (requests, limits) = (of_pod(pod, Side::Requests), of_pod(pod, Side::Limits));
                faults.extend(beyond(limit, "Pod", &requests, &limits));
            }
            _ => {}
        }
    }
    faults
}

/// Faults of requests and limits against one entry of a range.
fn beyond(limit: &Value, kind: &str, requests: &Amounts, limits: &Amounts) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, least) in amounts(limit, "min") {
        let what = format!("minimum {name} usage per {kind} is {least}");
        faults.extend(match (requests.get(&name), limits.get(&name)) {
            (None, _) => Some(format!("{what}. No request is specified")),
            (Some(request), _) if *request < least => {
                Some(format!("{what}, but request is {request}"))
            }
            (_, Some(limit)) if *limit < least => Some(format!("{what}, but limit is {limit}")),
            _ => None,
        });
    }
    for (name, most) in amounts(limit, "max") {
        let what = format!("maximum {name} usage per {kind} is {most}");
        faults.extend(match (requests.get(&name), limits.get(&name)) {
            (_, None) => Some(format!("{what}. No limit is specified")),
            (_, Some(limit)) if *limit > most => Some(format!("{what}, but limit is {limit}")),
            (Some(request), _) if *request > most => {
                Some(format!("{what}, but request is {request}"))
            }
            _ => None,
        });
    }
    for (name, most) in amounts(limit, "maxLimitRequestRatio") {
        let what = format!("{name} max limit to request ratio per {kind} is {most}");
        let positive = |amounts: &Amounts| amounts.get(&name).filter(|a| a.sign().is_gt()).copied();
        faults.extend(match (positive(requests), positive(limits)) {
            (None, _) => Some(format!(
                "{what}, but no request is specified or request is 0"
            )),
            (_, None) => Some(format!("{what}, but no limit is specified or limit is 0")),
            (Some(request), Some(limit)) => {
                let (ratio, most) = (ratio(limit, request), ratio(most, Quantity::whole(1)));
                (ratio > most).then(|| format!("{what}, but provided ratio is {ratio:.6}"))
            }
        });
    }
    faults
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a ratio is shown with six digits; amounts beyond 2^53 thousandths lose none of them"
)]
fn ratio(over: Quantity, under: Quantity) -> f64 {
    over.millis_ceil() as f64 / under.millis_ceil() as f64
}

fn claim_faults(range: &Value, claim: &Value) -> Vec<String> {
    let requests = amounts(&claim["spec"]["resources"], "requests");
    let mut faults = Vec::new();
    let kind = "PersistentVolumeClaim";
    for limit in limits_of(range, kind) {
        for (field, word) in [("min", "minimum"), ("max", "maximum")] {
            for (name, bound) in amounts(limit, field) {
                let what = format!("{word} {name} usage per {kind} is {bound}");
                match requests.get(&name) {
                    None => faults.push(format!("{what}. No request is specified")),
                    Some(request)
                        if (field == "min" && *request < bound)
                            || (field == "max" && *request > bound) =>
                    {
                        faults.push(format!("{what}, but request is {request}"));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn range() -> Value {
        json!({"spec": {"limits": [
            {"type": "Container", "default": {"cpu": "500m", "memory": "256Mi"}, "defaultRequest": {"cpu": "250m"},
             "min": {"cpu": "100m"}, "max": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "3"}},
            {"type": "Pod", "max": {"memory": "1Gi"}},
            {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "5Gi"}}]}})
    }

    #[test]
    fn what_is_left_out_is_filled_in_and_noted() {
        let (requests, limits) = defaults(&range());
        let mut container = json!({"name": "c", "resources": {"requests": {"cpu": "200m"}}});
        let notes = complete(&mut container, &requests, &limits, "container");
        assert_eq!(notes, ["cpu, memory limit for container c"]);
        assert_eq!(
            container["resources"],
            json!({"requests": {"cpu": "200m"}, "limits": {"cpu": "500m", "memory": "256Mi"}})
        );
    }

    #[test]
    fn what_goes_beyond_is_told_for_each_resource() {
        let resources = json!({"requests": {"cpu": "10m", "memory": "3Gi"}, "limits": {"cpu": "3", "memory": "3Gi"}});
        let pod = json!({"spec": {"containers": [{"name": "c", "resources": resources}]}});
        assert_eq!(
            pod_faults(&range(), &pod),
            [
                "minimum cpu usage per Container is 100m, but request is 10m",
                "maximum cpu usage per Container is 1, but limit is 3",
                "cpu max limit to request ratio per Container is 3, but provided ratio is 300.000000",
                "maximum memory usage per Pod is 1Gi, but limit is 3Gi",
            ]
        );
    }

    #[test]
    fn claims_have_a_smallest_and_a_largest_size() {
        let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
        assert_eq!(
            claim_faults(&range(), &claim("500Mi")),
            ["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi"]
        );
        assert_eq!(
            claim_faults(&range(), &claim("50Gi")),
            ["maximum storage usage per PersistentVolumeClaim is 5Gi, but request is 50Gi"]
        );
        assert!(claim_faults(&range(), &claim("2Gi")).is_empty());
    }
}
