//! From requests and limits to what the kernel is told, and to the pod's quality of service. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use plinth_runtime::Resources;

/// Resource amounts by name, as the API has them.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

/// How well a pod is treated when the node runs short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QosClass {
    /// Every container has limits for CPU and memory, equal to its requests.
    Guaranteed,
    /// Something is requested or limited.
    Burstable,
    /// Nothing is.
    BestEffort,
}

impl QosClass {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

/// The amount under `name`; `None` if there is none or it does not parse (the API refuses those).
pub(crate) fn amount(amounts: Option<&Amounts>, name: &str) -> Option<plinth_api::Quantity> {
    amounts?.get(name)?.0.parse().ok()
}

/// CPU in thousandths.
fn milli_cpu(amounts: Option<&Amounts>) -> Option<i64> {
    amount(amounts, "cpu").map(plinth_api::Quantity::millis_ceil)
}

/// A resource counted in bytes.
fn bytes(amounts: Option<&Amounts>, name: &str) -> Option<i64> {
    amount(amounts, name).map(plinth_api::Quantity::ceil)
}

/// The class that upstream's rule gives: only CPU and memory count, over all containers.
pub(crate) fn qos_class(spec: &PodSpec) -> QosClass {
    let none = ResourceRequirements::default();
    let mut any = false;
    let mut guaranteed = true;
    for (_, container) in super::containers(spec) {
        let asked = container.resources.as_ref().unwrap_or(&none);
        for name in ["cpu", "memory"] {
            let positive = |q: &plinth_api::Quantity| q.sign().is_gt();
            let limit = amount(asked.limits.as_ref(), name).filter(positive);
            let request = amount(asked.requests.as_ref(), name)
                .filter(positive)
                .or(limit);
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && limit == request;
        }
    }
    match (any, guaranteed) {
        (false, _) => QosClass::BestEffort,
        (true, true) => QosClass::Guaranteed,
        (true, false) => QosClass::Burstable,
    }
}

/// What the kernel is told about one container. `node_memory` is the node's capacity in bytes.
pub(crate) fn container_resources(
    container: &Container,
    qos: QosClass,
    node_memory: i64,
) -> Resources {
    const PERIOD: i64 = 100_000;
    let asked = container.resources.clone().unwrap_or_default();
    let (requests, limits) = (asked.requests.as_ref(), asked.limits.as_ref());
    let cpu_limit = milli_cpu(limits).filter(|m| *m > 0);
    let cpu_request = milli_cpu(requests).or(cpu_limit).unwrap_or(0);
    let shares = (cpu_request.saturating_mul(1024) / 1000).clamp(2, 262_144);
    let memory_limit = bytes(limits, "memory").filter(|b| *b > 0);
    let memory_request = bytes(requests, "memory").or(memory_limit).unwrap_or(0);
    Resources {
        cpu_shares: Some(shares.unsigned_abs()),
        // The kernel refuses quotas below one millisecond.
        cpu_quota: cpu_limit.map(|m| (m.saturating_mul(PERIOD) / 1000).max(1000)),
        cpu_period: cpu_limit.map(|_| PERIOD.unsigned_abs()),
        memory_limit,
        pids_limit: None,
        oom_score_adj: Some(oom_score_adj(qos, memory_request, node_memory)),
    }
}

/// Upstream's order of victims: best effort first, then the burstable that asked for the smallest share.
fn oom_score_adj(qos: QosClass, memory_request: i64, node_memory: i64) -> i32 {
    match qos {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let share = i128::from(memory_request) * 1000 / i128::from(node_memory.max(1));
            i32::try_from((1000 - share).clamp(3, 999)).unwrap_or(999)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(requests: &[(&str, &str)], limits: &[(&str, &str)]) -> Container {
        let amounts = |pairs: &[(&str, &str)]| {
            Some(
                pairs
                    .iter()
                    .map(|(k, v)| ((*k).to_owned(), Quantity((*v).to_owned())))
                    .collect(),
            )
        };
        let resources = ResourceRequirements {
            requests: amounts(requests),
            limits: amounts(limits),
            claims: None,
        };
        Container {
            name: "c".into(),
            resources: Some(resources),
            ..Default::default()
        }
    }

    fn class(containers: Vec<Container>) -> QosClass {
        qos_class(&PodSpec {
            containers,
            ..Default::default()
        })
    }

    #[test]
    fn quality_of_service_follows_requests_and_limits() {
        let all = [("cpu", "1"), ("memory", "1Gi")];
        assert_eq!(class(vec![container(&[], &[])]), QosClass::BestEffort);
        assert_eq!(class(vec![container(&[], &all)]), QosClass::Guaranteed);
        assert_eq!(
            class(vec![container(
                &[("cpu", "1000m"), ("memory", "1024Mi")],
                &all
            )]),
            QosClass::Guaranteed
        );
        assert_eq!(
            class(vec![container(&[("cpu", "500m")], &all)]),
            QosClass::Burstable
        );
        assert_eq!(
            class(vec![container(&all, &all), container(&[], &[])]),
            QosClass::Burstable
        );
        assert_eq!(
            class(vec![container(&[("ephemeral-storage", "1Gi")], &[])]),
            QosClass::BestEffort
        );
    }

    #[test]
    fn requests_and_limits_become_shares_quota_and_bytes() {
        let c = container(&[("cpu", "250m")], &[("cpu", "1500m"), ("memory", "64Mi")]);
        let r = container_resources(&c, QosClass::Burstable, 640 << 20);
        assert_eq!(
            (r.cpu_shares, r.cpu_quota, r.cpu_period),
            (Some(256), Some(150_000), Some(100_000))
        );
        assert_eq!(
            (r.memory_limit, r.oom_score_adj),
            (Some(64 << 20), Some(900))
        );
        let nothing = container_resources(&container(&[], &[]), QosClass::BestEffort, 1);
        assert_eq!(
            (nothing.cpu_shares, nothing.cpu_quota, nothing.memory_limit),
            (Some(2), None, None)
        );
    }
}
