//! What the API is told about a pod. Pure: pod, observation and plan in, `status` out.

mod conditions;
mod containers;
mod diff;
mod phase;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{HostIP, Pod, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::plan::{Observed, Plan};
use crate::spec;

pub(crate) use conditions::{Conditions, conditions};
pub(crate) use containers::{CONTAINER_SCHEME, container_statuses};
pub(crate) use diff::status_patch;
pub(crate) use phase::{Phase, phase};

/// The addresses a status carries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    /// The node's.
    pub host: String,
    /// The pod's; the node's for pods in the host's network; none before the network is up.
    pub pod: Option<String>,
}

/// The instant in whole seconds, the precision of the API's times.
pub(crate) fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// The status of `pod`, whose former status is in the object.
pub(crate) fn pod_status(
    pod: &Pod,
    seen: &Observed,
    plan: &Plan,
    addresses: &Addresses,
    now: Timestamp,
) -> PodStatus {
    let spec = spec::spec_of(pod);
    let old = pod.status.clone().unwrap_or_default();
    let gone =
        plan.ended && (seen.removed || spec::is_deleting(pod)) && seen.alive().next().is_none();
    let statuses = container_statuses(&spec, &old, seen, plan, gone);
    let phase = phase(
        &spec,
        &statuses,
        Phase::parse(old.phase.as_deref()),
        plan.ended || gone,
    );
    let network_ready = addresses.pod.is_some() && seen.current_sandbox().is_some_and(|s| s.ready);
    let conditions = conditions(&Conditions {
        spec: &spec,
        generation: pod.metadata.generation,
        old: old.conditions.as_deref().unwrap_or_default(),
        statuses: &statuses,
        phase,
        network_ready: network_ready && !gone,
        now,
    });
    // The address outlives the sandbox in the status of an ended pod, as upstream.
    let pod_ip = addresses.pod.clone().or_else(|| {
        if phase.is_terminal() || gone {
            old.pod_ip.clone()
        } else {
            None
        }
    });
    let host_ips = vec![HostIP {
        ip: addresses.host.clone(),
    }];
    PodStatus {
        conditions: Some(conditions),
        container_statuses: Some(statuses.main).filter(|s| !s.is_empty()),
        init_container_statuses: Some(statuses.init).filter(|s| !s.is_empty()),
        host_ip: Some(addresses.host.clone()),
        host_ips: Some(host_ips),
        observed_generation: pod.metadata.generation,
        phase: Some(phase.as_str().to_owned()),
        pod_ips: pod_ip.as_ref().map(|ip| vec![PodIP { ip: ip.clone() }]),
        pod_ip,
        qos_class: old
            .qos_class
            .or_else(|| Some(spec::qos_class(&spec).as_str().to_owned())),
        start_time: old.start_time.or_else(|| Some(time(now))),
        ..old
    }
}

#[cfg(test)]
mod tests;
