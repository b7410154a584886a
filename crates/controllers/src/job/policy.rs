//! What a Job's own rules say about failed pods and succeeded indexes. Pure.

use k8s_openapi::api::{
    batch::v1::{PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, SuccessPolicy},
    core::v1::{ContainerStatus, Pod},
};
use kube::ResourceExt;

use super::{indexes::Indexes, work::Index};

/// What follows from a pod's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// It counts towards the limit.
    Count,
    /// It is as if it had not happened.
    Ignore,
    /// The pod's index is given up.
    FailIndex,
    /// The whole Job is, and this is why.
    FailJob(String),
}

/// The first rule that speaks of the failure decides; without one it counts.
pub(crate) fn consequence(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Consequence {
    let rules = policy.map(|policy| policy.rules.as_slice());
    for (at, rule) in rules.unwrap_or_default().iter().enumerate() {
        let place = || {
            let namespace = pod.namespace().unwrap_or_default();
            format!("{namespace}/{}", pod.name_any())
        };
        let action = rule.action.as_str();
        let why = if let Some(codes) = &rule.on_exit_codes {
            let Some((container, code)) = exit(pod, codes) else {
                continue;
            };
            format!(
                "Container {container} for pod {} failed with exit code {code} matching {action} rule at index {at}",
                place()
            )
        } else {
            let patterns = rule.on_pod_conditions.iter().flatten();
            let conditions = pod
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten());
            let status = |text: &Option<String>| text.clone().unwrap_or_else(|| "True".to_owned());
            let mut met = conditions.filter(|condition| {
                patterns.clone().any(|pattern| {
                    pattern.type_ == condition.type_ && status(&pattern.status) == condition.status
                })
            });
            let Some(condition) = met.next() else {
                continue;
            };
            format!(
                "Pod {} has condition {} matching {action} rule at index {at}",
                place(),
                condition.type_
            )
        };
        match action {
            "Ignore" => return Consequence::Ignore,
            "FailIndex" => return Consequence::FailIndex,
            "Count" => return Consequence::Count,
            "FailJob" => return Consequence::FailJob(why),
            // An action of a later version: the next rule may be understood.
            _ => {}
        }
    }
    Consequence::Count
}

/// The first container that ended with a code the rule speaks of.
fn exit<'a>(pod: &'a Pod, rule: &PodFailurePolicyOnExitCodesRequirement) -> Option<(&'a str, i32)> {
    let status = pod.status.as_ref()?;
    let lists = [&status.container_statuses, &status.init_container_statuses];
    let code = |container: &ContainerStatus| {
        let terminated = container.state.as_ref()?.terminated.as_ref()?;
        Some(terminated.exit_code)
    };
    let spoken_of = |code: i32| match rule.operator.as_str() {
        "In" => rule.values.contains(&code),
        "NotIn" => !rule.values.contains(&code),
        _ => false,
    };
    lists
        .into_iter()
        .flatten()
        .flatten()
        .filter(|container| {
            let named = rule.container_name.as_ref();
            named.is_none_or(|name| *name == container.name)
        })
        .filter_map(|container| Some((container.name.as_str(), code(container)?)))
        // Zero is no failure, whatever the rule says.
        .find(|(_, code)| *code != 0 && spoken_of(*code))
}

/// Why the Job has succeeded before all its indexes have, if it has.
pub(crate) fn success(
    policy: Option<&SuccessPolicy>,
    count: Index,
    succeeded: &Indexes,
) -> Option<String> {
    if succeeded.is_empty() {
        return None;
    }
    let at = policy?.rules.iter().position(|rule| {
        let enough = |have: usize| {
            let wanted = rule.succeeded_count.map(usize::try_from);
            wanted.is_some_and(|wanted| wanted.is_ok_and(|wanted| have >= wanted))
        };
        match &rule.succeeded_indexes {
            Some(text) => {
                let wanted = Indexes::parse(text, count);
                let have = wanted.overlap(succeeded);
                !wanted.is_empty() && (have == wanted.len() || enough(have))
            }
            None => enough(succeeded.len()),
        }
    })?;
    Some(format!("Matched rules at index {at}"))
}
