//! Decides the next step of a namespace's deletion. Pure: no clock, no I/O. (G-8, G-9)

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Namespace, NamespaceCondition},
    apimachinery::pkg::apis::meta::v1::Time,
};

use crate::writes::is_terminating;

/// Keeps a namespace until its content is gone.
pub(crate) const FINALIZER: &str = "kubernetes";

/// What is left of one kind in the namespace.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Content {
    /// Plural and group, as in `statefulsets.apps`; the core group leaves a trailing dot: `pods.`.
    pub(crate) resource: String,
    /// How many objects there are.
    pub(crate) count: usize,
    /// How many of them nobody has asked to go.
    pub(crate) untouched: usize,
    /// How many objects each finalizer holds back.
    pub(crate) finalizers: BTreeMap<String, usize>,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Phase and conditions.
    UpdateStatus(Namespace),
    /// Delete all objects of the kind with that index.
    DeleteAll(usize),
    /// Nothing is left: take the finalizer off.
    Finalize(Namespace),
}

/// The steps to take now, given what was just listed. Pods go first and everything else waits for them.
pub(crate) fn plan(namespace: &Namespace, contents: &[Content], now: Timestamp) -> Vec<Action> {
    let spec = namespace.spec.clone().unwrap_or_default();
    if !is_terminating(namespace)
        || !spec
            .finalizers
            .iter()
            .flatten()
            .any(|held| held == FINALIZER)
    {
        return Vec::new();
    }
    let pods_remain = contents
        .iter()
        .any(|content| is_pods(content) && content.count > 0);
    let due = |content: &Content| content.untouched > 0 && (is_pods(content) || !pods_remain);
    let mut actions: Vec<Action> = Vec::new();
    actions.extend(
        (0..contents.len())
            .filter(|index| due(&contents[*index]))
            .map(Action::DeleteAll),
    );
    if contents.iter().all(|content| content.count == 0) {
        let mut done = namespace.clone();
        if let Some(finalizers) = done.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|held| held != FINALIZER);
        }
        return vec![Action::Finalize(done)];
    }
    let shown: Vec<&Content> = contents
        .iter()
        .filter(|content| !pods_remain || is_pods(content))
        .collect();
    actions.extend(with_status(namespace, &shown, now).map(Action::UpdateStatus));
    actions
}

fn is_pods(content: &Content) -> bool {
    content.resource == "pods."
}

/// The namespace with phase Terminating and true conditions; `None` when it shows them already.
fn with_status(namespace: &Namespace, contents: &[&Content], now: Timestamp) -> Option<Namespace> {
    let mut changed = namespace.clone();
    let status = changed.status.get_or_insert_default();
    status.phase = Some("Terminating".to_owned());
    let conditions = status.conditions.get_or_insert_default();
    for (kind, holds, reason, message) in conditions_of(contents) {
        let value = if holds { "True" } else { "False" };
        let fresh = NamespaceCondition {
            type_: kind.to_owned(),
            status: value.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(Time(now)),
        };
        match conditions
            .iter_mut()
            .find(|condition| condition.type_ == kind)
        {
            None => conditions.push(fresh),
            Some(known) => {
                let since = (known.status == value)
                    .then(|| known.last_transition_time.clone())
                    .flatten();
                *known = NamespaceCondition {
                    last_transition_time: since.or(fresh.last_transition_time),
                    ..fresh
                };
            }
        }
    }
    (changed.status != namespace.status).then_some(changed)
}

type Condition = (&'static str, bool, &'static str, String);

fn conditions_of(contents: &[&Content]) -> [Condition; 5] {
    let mut remaining: Vec<String> = contents
        .iter()
        .filter(|content| content.count > 0)
        .map(|content| {
            format!(
                "{} has {} resource instances",
                content.resource, content.count
            )
        })
        .collect();
    remaining.sort();
    let mut held: BTreeMap<&str, usize> = BTreeMap::new();
    for (finalizer, count) in contents.iter().flat_map(|content| &content.finalizers) {
        *held.entry(finalizer).or_default() += count;
    }
    let held: Vec<String> = held
        .iter()
        .map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"))
        .collect();
    let is = |kind, reason, message: &str| (kind, false, reason, message.to_owned());
    [
        is(
            "NamespaceDeletionDiscoveryFailure",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        is(
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        is(
            "NamespaceDeletionContentFailure",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        if remaining.is_empty() {
            is(
                "NamespaceContentRemaining",
                "ContentRemoved",
                "All content successfully removed",
            )
        } else {
            let message = format!("Some resources are remaining: {}", remaining.join(", "));
            (
                "NamespaceContentRemaining",
                true,
                "SomeResourcesRemain",
                message,
            )
        },
        if held.is_empty() {
            is(
                "NamespaceFinalizersRemaining",
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished",
            )
        } else {
            let message = format!(
                "Some content in the namespace has finalizers remaining: {}",
                held.join(", ")
            );
            (
                "NamespaceFinalizersRemaining",
                true,
                "SomeFinalizersRemain",
                message,
            )
        },
    ]
}
