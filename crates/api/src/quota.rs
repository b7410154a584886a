//! What an object counts for in a ResourceQuota, and which quotas it falls under. Pure: the time is passed in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::pod_resources::{Amounts, Side, add, amounts, of_pod};
use crate::resources::object::{list, text};
use crate::resources::qos_class;
use crate::{Quantity, Resource};

/// Resources that every container must ask for when a quota limits them.
const ASKED_FOR: [&str; 6] = [
    "cpu",
    "limits.cpu",
    "limits.memory",
    "memory",
    "requests.cpu",
    "requests.memory",
];
/// Kinds whose plural alone is a name in quotas.
const BY_PLURAL: [&str; 5] = [
    "configmaps",
    "persistentvolumeclaims",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
];

/// Whether objects of a kind are counted at all.
pub fn counts(resource: &Resource) -> bool {
    resource.namespaced() && !matches!(resource.plural, "events" | "bindings")
}

/// What an object counts for, by the names quotas use.
pub fn usage(resource: &Resource, object: &Value, now: Timestamp) -> Amounts {
    let mut usage = Amounts::new();
    let one = Quantity::whole(1);
    usage.insert(format!("count/{}", resource.group_resource()), one);
    if !resource.group.is_empty() {
        return usage;
    }
    if BY_PLURAL.contains(&resource.plural) {
        usage.insert(resource.plural.to_owned(), one);
    }
    match resource.plural {
        "pods" if lives(object, now) => add(&mut usage, &pod(object)),
        "services" => add(&mut usage, &service(object)),
        "persistentvolumeclaims" => add(&mut usage, &claim(object)),
        _ => {}
    }
    usage
}

/// Whether a pod still takes resources: it has not ended, and is not past the time given to it for ending.
fn lives(pod: &Value, now: Timestamp) -> bool {
    if matches!(text(&pod["status"], "phase"), "Succeeded" | "Failed") {
        return false;
    }
    let metadata = &pod["metadata"];
    let deadline = text(metadata, "deletionTimestamp").parse::<Timestamp>();
    match (deadline, metadata["deletionGracePeriodSeconds"].as_u64()) {
        (Ok(deadline), Some(grace)) => now <= deadline + Duration::from_secs(grace),
        _ => true,
    }
}

fn pod(pod: &Value) -> Amounts {
    let requests = of_pod(pod, Side::Requests);
    let limits = of_pod(pod, Side::Limits);
    let mut usage = compute(&requests, &limits);
    usage.insert("pods".to_owned(), Quantity::whole(1));
    usage
}

/// Requests and limits by the names quotas use.
fn compute(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut usage = Amounts::new();
    for (name, amount) in requests {
        let short = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage")
            || name.starts_with("hugepages-");
        if short {
            usage.insert(name.clone(), *amount);
        }
        if short || name.contains('/') {
            usage.insert(format!("requests.{name}"), *amount);
        }
    }
    for (name, amount) in limits {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            usage.insert(format!("limits.{name}"), *amount);
        }
    }
    usage
}

fn service(service: &Value) -> Amounts {
    let spec = &service["spec"];
    let ports = i64::try_from(list(spec, "ports").len()).unwrap_or(i64::MAX);
    let with_node_port = || {
        let ports = list(spec, "ports").iter();
        let given = ports.filter(|port| port["nodePort"].as_i64().unwrap_or(0) != 0);
        i64::try_from(given.count()).unwrap_or(i64::MAX)
    };
    let (balancers, node_ports) = match text(spec, "type") {
        "NodePort" => (0, ports),
        "LoadBalancer" if spec["allocateLoadBalancerNodePorts"] == false => (1, with_node_port()),
        "LoadBalancer" => (1, ports),
        _ => (0, 0),
    };
    [
        ("services", 1),
        ("services.loadbalancers", balancers),
        ("services.nodeports", node_ports),
    ]
    .into_iter()
    .map(|(name, count)| (name.to_owned(), Quantity::whole(count)))
    .collect()
}

fn claim(claim: &Value) -> Amounts {
    let mut usage = Amounts::new();
    let mut class = text(
        &claim["metadata"]["annotations"],
        "volume.beta.kubernetes.io/storage-class",
    );
    if class.is_empty() {
        class = text(&claim["spec"], "storageClassName");
    }
    let of_class = |name: &str| format!("{class}.storageclass.storage.k8s.io/{name}");
    if !class.is_empty() {
        usage.insert(of_class("persistentvolumeclaims"), Quantity::whole(1));
    }
    if let Some(storage) = amounts(&claim["spec"]["resources"], "requests").get("storage") {
        usage.insert("requests.storage".to_owned(), *storage);
        if !class.is_empty() {
            usage.insert(of_class("requests.storage"), *storage);
        }
    }
    usage
}

/// Whether an object falls under a quota by the quota's scopes.
pub fn in_scope(quota: &Value, resource: &Resource, object: &Value) -> bool {
    let spec = &quota["spec"];
    let scopes = list(spec, "scopes").iter().filter_map(Value::as_str);
    let terms = list(&spec["scopeSelector"], "matchExpressions");
    scopes
        .map(|scope| (scope, "Exists", &[][..]))
        .chain(terms.iter().map(|term| {
            (
                text(term, "scopeName"),
                text(term, "operator"),
                list(term, "values"),
            )
        }))
        .all(|(scope, operator, values)| fits(resource, object, scope, operator, values))
}

fn fits(
    resource: &Resource,
    object: &Value,
    scope: &str,
    operator: &str,
    values: &[Value],
) -> bool {
    let spec = &object["spec"];
    let named = |name: &str| match operator {
        "Exists" => !name.is_empty(),
        "DoesNotExist" => name.is_empty(),
        "In" => values.iter().any(|value| value == name),
        "NotIn" => !values.iter().any(|value| value == name),
        _ => false,
    };
    match (resource.group, resource.plural) {
        ("", "pods") => match scope {
            "Terminating" => spec["activeDeadlineSeconds"].is_number(),
            "NotTerminating" => !spec["activeDeadlineSeconds"].is_number(),
            "BestEffort" => qos_class(spec) == "BestEffort",
            "NotBestEffort" => qos_class(spec) != "BestEffort",
            "PriorityClass" => named(text(spec, "priorityClassName")),
            "CrossNamespacePodAffinity" => crosses_namespaces(spec),
            _ => false,
        },
        ("", "persistentvolumeclaims") => {
            scope == "VolumeAttributesClass" && named(text(spec, "volumeAttributesClassName"))
        }
        _ => false,
    }
}

fn crosses_namespaces(spec: &Value) -> bool {
    let affinity = &spec["affinity"];
    ["podAffinity", "podAntiAffinity"].into_iter().any(|kind| {
        let required = list(
            &affinity[kind],
            "requiredDuringSchedulingIgnoredDuringExecution",
        )
        .iter();
        let preferred = list(
            &affinity[kind],
            "preferredDuringSchedulingIgnoredDuringExecution",
        )
        .iter()
        .map(|term| &term["podAffinityTerm"]);
        required.chain(preferred).any(|term| {
            !list(term, "namespaces").is_empty() || term["namespaceSelector"].is_object()
        })
    })
}

/// The limited amounts of a quota: its `spec.hard`.
pub fn hard(quota: &Value) -> Amounts {
    amounts(&quota["spec"], "hard")
}

/// What a pod's containers do not ask for although these limits are on it; in words.
pub fn not_asked_for(hard: &Amounts, pod: &Value) -> Option<String> {
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let spec = &pod["spec"];
    let limited: Vec<&str> = ASKED_FOR
        .into_iter()
        .filter(|name| hard.contains_key(*name))
        .collect();
    for container in list(spec, "containers")
        .iter()
        .chain(list(spec, "initContainers"))
    {
        let resources = &container["resources"];
        let asked = compute(
            &amounts(resources, "requests"),
            &amounts(resources, "limits"),
        );
        for name in &limited {
            if !asked.contains_key(*name) {
                missing
                    .entry(name)
                    .or_default()
                    .insert(text(container, "name"));
            }
        }
    }
    let each = missing.iter().map(|(name, containers)| {
        let containers: Vec<&str> = containers.iter().copied().collect();
        format!("{name} for: {}", containers.join(","))
    });
    let all: Vec<String> = each.collect();
    (!all.is_empty()).then(|| format!("must specify {}", all.join("; ")))
}

/// Amounts as `cpu=1,pods=2`.
pub fn printed(amounts: &Amounts) -> String {
    let each = amounts
        .iter()
        .map(|(name, amount)| format!("{name}={amount}"));
    each.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::find;

    fn used(plural: &str, object: &Value) -> String {
        let resource = find("", "v1", plural).unwrap();
        printed(&usage(resource, object, Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn pods_count_by_what_they_ask_for_while_they_live() {
        let mut pod = json!({"spec": {"containers": [{"resources": {
            "requests": {"cpu": "600m", "memory": "1Mi", "example.com/gpu": "2"}, "limits": {"memory": "1Mi"}}}]}});
        assert_eq!(
            used("pods", &pod),
            "count/pods=1,cpu=600m,limits.memory=1Mi,memory=1Mi,pods=1,requests.cpu=600m,\
             requests.example.com/gpu=2,requests.memory=1Mi"
        );
        pod["status"] = json!({"phase": "Succeeded"});
        assert_eq!(used("pods", &pod), "count/pods=1");
    }

    #[test]
    fn services_and_claims_count_by_what_they_take() {
        let service = json!({"spec": {"type": "NodePort", "ports": [{"port": 1}, {"port": 2}]}});
        assert_eq!(
            used("services", &service),
            "count/services=1,services=1,services.loadbalancers=0,services.nodeports=2"
        );
        let claim = json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}});
        assert_eq!(
            used("persistentvolumeclaims", &claim),
            "count/persistentvolumeclaims=1,fast.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
             fast.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi"
        );
    }

    #[test]
    fn scopes_choose_pods() {
        let pods = find("", "v1", "pods").unwrap();
        let maps = find("", "v1", "configmaps").unwrap();
        let quota = |scope: &str| json!({"spec": {"scopes": [scope]}});
        let idle = json!({"spec": {"containers": [{"name": "c"}]}});
        assert!(in_scope(&quota("BestEffort"), pods, &idle));
        assert!(!in_scope(&quota("NotBestEffort"), pods, &idle));
        assert!(in_scope(&quota("NotTerminating"), pods, &idle));
        assert!(
            !in_scope(&quota("BestEffort"), maps, &idle),
            "only pods have scopes"
        );
        assert!(in_scope(&json!({"spec": {}}), maps, &idle));
        let term = json!({"scopeName": "PriorityClass", "operator": "In", "values": ["high"]});
        let selective = json!({"spec": {"scopeSelector": {"matchExpressions": [term]}}});
        assert!(!in_scope(&selective, pods, &idle));
        assert!(in_scope(
            &selective,
            pods,
            &json!({"spec": {"priorityClassName": "high"}})
        ));
    }

    #[test]
    fn what_is_limited_must_be_asked_for() {
        let hard = amounts(
            &json!({"hard": {"limits.memory": "1Gi", "requests.cpu": "1", "pods": "2"}}),
            "hard",
        );
        let pod = json!({"spec": {"containers": [{"name": "c"}, {"name": "d", "resources": {"requests": {"cpu": "1"}}}]}});
        assert_eq!(
            not_asked_for(&hard, &pod).unwrap(),
            "must specify limits.memory for: c,d; requests.cpu for: c"
        );
    }
}
