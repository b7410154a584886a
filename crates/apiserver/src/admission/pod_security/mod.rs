//! The Pod Security Standards: a namespace's labels say which level its pods must keep, and which are only warned
//! about. What a level asks is in `checks.rs`; here is when it is asked and how it is told.

mod checks;

use std::collections::BTreeMap;
use std::sync::Arc;

use plinth_api::{FieldError, Path, Status};
use serde_json::Value;

use crate::cache::Object;
use crate::kind::Kind;
use crate::server::Core;
use crate::write::meta_text;
use checks::{Level, Violation, violations};

const PREFIX: &str = "pod-security.kubernetes.io/";
/// Where the pod template of a kind is, as a JSON pointer; `""` is the object itself.
const TEMPLATES: &[(&str, &str)] = &[
    ("podtemplates", "/template"),
    ("replicationcontrollers", "/spec/template"),
    ("daemonsets.apps", "/spec/template"),
    ("deployments.apps", "/spec/template"),
    ("replicasets.apps", "/spec/template"),
    ("statefulsets.apps", "/spec/template"),
    ("jobs.batch", "/spec/template"),
    ("cronjobs.batch", "/spec/jobTemplate/spec/template"),
];
/// Pods of a namespace that are looked at when it gets a stricter level.
const LOOKED_AT: usize = 3000;

/// A level of one version of the standards.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Demand {
    level: Level,
    version: String,
}

impl Demand {
    /// What the labels of a namespace ask for in one mode.
    fn of(namespace: &Value, mode: &str) -> Self {
        let labels = &namespace["metadata"]["labels"];
        let text = |key: String| labels[key].as_str().unwrap_or_default().to_owned();
        let version = text(format!("{PREFIX}{mode}-version"));
        Self {
            // A label that is none asks for the most.
            level: match text(format!("{PREFIX}{mode}")).as_str() {
                "" => Level::Privileged,
                named => Level::named(named).unwrap_or(Level::Restricted),
            },
            version: if version.is_empty() {
                "latest".to_owned()
            } else {
                version
            },
        }
    }

    fn name(&self) -> String {
        format!("{}:{}", self.level.name(), self.version)
    }
}

/// Refuses what a namespace does not allow. Returns texts for `Warning` headers.
pub(super) fn review(
    core: &Core,
    kind: &Kind,
    object: &Value,
    old: Option<&Value>,
) -> Result<Vec<String>, Status> {
    if kind.storage == "namespaces" {
        return review_namespace(core, kind, object, old);
    }
    if kind.storage == "pods" {
        return review_pod(core, kind, object, old);
    }
    let Some((_, pointer)) = TEMPLATES
        .iter()
        .find(|(storage, _)| *storage == kind.storage)
    else {
        return Ok(Vec::new());
    };
    let template = object.pointer(pointer);
    if template.is_none() || old.is_some_and(|old| old.pointer(pointer) == template) {
        return Ok(Vec::new());
    }
    let Some(namespace) = namespace_of(core, object) else {
        return Ok(Vec::new());
    };
    let namespace = namespace.parsed()?;
    let pod = template.unwrap_or(&Value::Null);
    Ok(warning(&Demand::of(namespace, "warn"), pod)
        .into_iter()
        .collect())
}

fn review_pod(
    core: &Core,
    kind: &Kind,
    pod: &Value,
    old: Option<&Value>,
) -> Result<Vec<String>, Status> {
    if old.is_some_and(|old| !changes_what_runs(pod, old)) {
        return Ok(Vec::new());
    }
    let Some(namespace) = namespace_of(core, pod) else {
        return Ok(Vec::new());
    };
    let namespace = namespace.parsed()?;
    let enforced = Demand::of(namespace, "enforce");
    let found = violations(enforced.level, pod);
    if !found.is_empty() {
        let why = format!(
            "violates PodSecurity {:?}: {}",
            enforced.name(),
            detailed(&found)
        );
        return Err(Status::forbidden(
            kind.resource,
            meta_text(pod, "name"),
            &why,
        ));
    }
    Ok(warning(&Demand::of(namespace, "warn"), pod)
        .into_iter()
        .collect())
}

/// Whether an update of a pod changes anything the standards are about.
fn changes_what_runs(pod: &Value, old: &Value) -> bool {
    [
        "containers",
        "initContainers",
        "ephemeralContainers",
        "securityContext",
    ]
    .into_iter()
    .any(|field| pod["spec"][field] != old["spec"][field])
        || pod["metadata"]["annotations"] != old["metadata"]["annotations"]
}

fn warning(demand: &Demand, pod: &Value) -> Option<String> {
    let found = violations(demand.level, pod);
    (!found.is_empty()).then(|| {
        format!(
            "would violate PodSecurity {:?}: {}",
            demand.name(),
            detailed(&found)
        )
    })
}

/// Reasons with their details: `privileged (container "c" must not …), hostPort (…)`.
fn detailed(found: &[Violation]) -> String {
    let each = found.iter().map(|violation| {
        if violation.detail.is_empty() {
            violation.reason.clone()
        } else {
            format!("{} ({})", violation.reason, violation.detail)
        }
    });
    each.collect::<Vec<_>>().join(", ")
}

fn namespace_of(core: &Core, object: &Value) -> Option<Arc<Object>> {
    let namespaces = core.kinds.core("namespaces")?;
    namespaces.cache.get("", meta_text(object, "namespace"))
}

/// Labels must be levels and versions; pods that break a stricter one are told of.
fn review_namespace(
    core: &Core,
    kind: &Kind,
    namespace: &Value,
    old: Option<&Value>,
) -> Result<Vec<String>, Status> {
    let labels = |object: &Value| -> Vec<(String, String)> {
        let labels = object["metadata"]["labels"].as_object();
        let ours = labels
            .into_iter()
            .flatten()
            .filter(|(key, _)| key.starts_with(PREFIX));
        ours.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect()
    };
    let (now, before) = (labels(namespace), old.map(labels).unwrap_or_default());
    if now == before {
        return Ok(Vec::new());
    }
    let faults: Vec<FieldError> = now
        .iter()
        .filter_map(|(key, value)| fault(key, value))
        .collect();
    let faults_before = before
        .iter()
        .any(|(key, value)| fault(key, value).is_some());
    let name = meta_text(namespace, "name");
    if !faults.is_empty() && !faults_before {
        return Err(Status::invalid(kind.resource, name, &faults));
    }
    let enforced = Demand::of(namespace, "enforce");
    let stricter = old.is_some_and(|old| {
        let before = Demand::of(old, "enforce");
        before != enforced && enforced.level > before.level
    });
    if !stricter || !faults.is_empty() {
        return Ok(Vec::new());
    }
    Ok(violating_pods(core, name, &enforced))
}

fn fault(key: &str, value: &str) -> Option<FieldError> {
    let at = Path::new("metadata.labels").key(key);
    let mode = key.strip_prefix(PREFIX).unwrap_or_default();
    if let Some(mode) = mode.strip_suffix("-version") {
        let version = value == "latest"
            || value.strip_prefix("v1.").is_some_and(|minor| {
                minor == "0" || (!minor.starts_with('0') && minor.parse::<u16>().is_ok())
            });
        let detail = "must be \"latest\" or \"v1.x\"";
        return (is_mode(mode) && !version).then(|| FieldError::invalid(&at, value, detail));
    }
    let detail = "must be one of privileged, baseline, restricted";
    (is_mode(mode) && Level::named(value).is_none())
        .then(|| FieldError::invalid(&at, value, detail))
}

fn is_mode(mode: &str) -> bool {
    matches!(mode, "enforce" | "audit" | "warn")
}

/// Texts about pods that break a level, pods with the same faults together.
fn violating_pods(core: &Core, namespace: &str, demand: &Demand) -> Vec<String> {
    let Some(pods) = core.kinds.core("pods") else {
        return Vec::new();
    };
    let snapshot = pods.cache.snapshot(&core.clock);
    // Reasons, with the first pod that has them and how many others do.
    let mut groups: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for pod in snapshot.tree.iter(Some(namespace), None).take(LOOKED_AT) {
        let Ok(pod) = serde_json::from_slice::<Value>(&pod.bytes) else {
            continue;
        };
        let found = violations(demand.level, &pod);
        if found.is_empty() {
            continue;
        }
        let reasons: Vec<&str> = found
            .iter()
            .map(|violation| violation.reason.as_str())
            .collect();
        groups
            .entry(reasons.join(", "))
            .and_modify(|(_, others)| *others += 1)
            .or_insert_with(|| (meta_text(&pod, "name").to_owned(), 0));
    }
    if groups.is_empty() {
        return Vec::new();
    }
    let mut each: Vec<String> = groups
        .into_iter()
        .map(|(reasons, (first, others))| match others {
            0 => format!("{first}: {reasons}"),
            1 => format!("{first} (and 1 other pod): {reasons}"),
            _ => format!("{first} (and {others} other pods): {reasons}"),
        })
        .collect();
    each.sort();
    let intro = format!(
        "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level {:?}",
        demand.name()
    );
    std::iter::once(intro).chain(each).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_levels_and_versions() {
        let told = |key: &str, value: &str| {
            fault(&format!("{PREFIX}{key}"), value).map(|error| error.to_string())
        };
        assert_eq!(told("enforce", "baseline"), None);
        assert_eq!(told("enforce-version", "v1.30"), None);
        assert_eq!(
            told("warn", "strict").unwrap(),
            r#"metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: "strict": must be one of privileged, baseline, restricted"#
        );
        assert!(told("enforce-version", "v2").is_some());
    }

    #[test]
    fn a_namespace_without_labels_allows_everything() {
        let demand = Demand::of(&json!({}), "enforce");
        assert_eq!(demand.name(), "privileged:latest");
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.30"});
        let demand = Demand::of(&json!({"metadata": {"labels": labels}}), "enforce");
        assert_eq!(demand.name(), "restricted:v1.30");
    }
}
