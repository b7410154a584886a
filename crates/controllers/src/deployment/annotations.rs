//! The annotations by which a Deployment and its ReplicaSets tell revisions and bounds (D-2). Pure.

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::{Resource, ResourceExt};

use super::rollout::Rollout;
use crate::writes::annotation;

pub(crate) const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(crate) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(crate) const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// What a set does not take over from its Deployment.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
];

/// The longest list of past revisions, in characters.
const HISTORY_LENGTH: usize = 2000;

/// The number of a revision; 0 when there is none yet.
pub(crate) fn revision<K: Resource>(object: &K) -> i64 {
    annotation(object, REVISION)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// A number that a set carries.
pub(crate) fn number(set: &ReplicaSet, key: &str) -> Option<i32> {
    annotation(set, key)?.parse().ok()
}

fn put<K: Resource>(object: &mut K, key: &str, value: String) {
    object.annotations_mut().insert(key.to_owned(), value);
}

/// The number of pods wanted, and the most there may be, when the set was last told its share.
pub(crate) fn set_bounds(set: &mut ReplicaSet, rollout: &Rollout<'_>) {
    put(set, DESIRED, rollout.replicas.to_string());
    let most = rollout.replicas.saturating_add(rollout.surge());
    put(set, MAX, most.to_string());
}

/// Makes the set the newest revision and gives it the Deployment's annotations. A set that comes back
/// remembers the revisions it was.
pub(crate) fn make_newest(set: &mut ReplicaSet, rollout: &Rollout<'_>, newest: i64) {
    for (key, value) in rollout.object.annotations() {
        if !OWN.contains(&key.as_str()) {
            put(set, key, value.clone());
        }
    }
    let before = annotation(set, REVISION).map(str::to_owned);
    let number = match before.as_deref() {
        None | Some("") => Some(0),
        Some(text) => text.parse::<i64>().ok(),
    };
    // A number that is none was written by somebody who knows why.
    let Some(number) = number.filter(|number| *number < newest) else {
        return;
    };
    put(set, REVISION, newest.to_string());
    if before.is_some() {
        remember(set, number);
    }
}

fn remember(set: &mut ReplicaSet, revision: i64) {
    let history = annotation(set, HISTORY).unwrap_or_default();
    let mut past: Vec<String> = history
        .split(',')
        .filter(|number| !number.is_empty())
        .map(str::to_owned)
        .collect();
    past.push(revision.to_string());
    while past.len() > 1
        && past.iter().map(|number| number.len() + 1).sum::<usize>() > HISTORY_LENGTH
    {
        past.remove(0);
    }
    put(set, HISTORY, past.join(","));
}

/// Shows the newest revision on the Deployment itself.
pub(crate) fn show_revision<K: Resource>(deployment: &mut K, set: &ReplicaSet) {
    if let Some(revision) = annotation(set, REVISION) {
        put(deployment, REVISION, revision.to_owned());
    }
}
