//! What one pod contributes to a service, for Endpoints and EndpointSlices alike. Pure.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Container, ObjectReference, Pod, Service, ServicePort},
    apimachinery::pkg::{apis::meta::v1::Time, util::intstr::IntOrString},
};
use kube::ResourceExt;

use crate::writes::is_terminating;

/// On Endpoints and slices of a headless service.
pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";

/// When the newest change that led to this state happened (N-13).
pub(crate) const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// Whether controllers make endpoints for the service at all: it has a selector and is not a mere
/// alias (N-3).
pub(crate) fn is_managed(service: &Service) -> bool {
    let Some(spec) = &service.spec else {
        return false;
    };
    spec.type_.as_deref() != Some("ExternalName")
        && spec
            .selector
            .as_ref()
            .is_some_and(|selector| !selector.is_empty())
}

/// Whether the service's selector takes the pod.
pub(crate) fn selects(service: &Service, pod: &Pod) -> bool {
    let selector = service
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| {
        !selector.is_empty()
            && selector
                .iter()
                .all(|(key, value)| pod.labels().get(key) == Some(value))
    })
}

/// Whether unready pods are published too.
pub(crate) fn publishes_unready(service: &Service) -> bool {
    service
        .spec
        .as_ref()
        .and_then(|spec| spec.publish_not_ready_addresses)
        .unwrap_or(false)
}

/// Whether the service has no virtual address (N-1).
pub(crate) fn is_headless(service: &Service) -> bool {
    service
        .spec
        .as_ref()
        .and_then(|spec| spec.cluster_ip.as_deref())
        == Some("None")
}

/// The service's ports.
pub(crate) fn ports(service: &Service) -> &[ServicePort] {
    service
        .spec
        .as_ref()
        .and_then(|spec| spec.ports.as_deref())
        .unwrap_or_default()
}

/// Whether the pod has run to its end (L-2): it serves nothing any more.
pub(crate) fn is_over(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether the pod's Ready condition is True.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    ready_condition(pod).is_some_and(|(status, _)| status == "True")
}

fn ready_condition(pod: &Pod) -> Option<(&str, Option<Timestamp>)> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")?;
    let since = ready.last_transition_time.as_ref().map(|time| time.0);
    Some((&ready.status, since))
}

/// An address family, as EndpointSlices name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The slice's `addressType`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// The service's families, IPv4 where it names none.
pub(crate) fn families(service: &Service) -> Vec<Family> {
    let named = service
        .spec
        .as_ref()
        .and_then(|spec| spec.ip_families.as_deref())
        .unwrap_or_default();
    let mut families: Vec<Family> = named
        .iter()
        .map(|name| {
            if name == "IPv6" {
                Family::V6
            } else {
                Family::V4
            }
        })
        .collect();
    if families.is_empty() {
        families.push(Family::V4);
    }
    families
}

/// The pod's address in that family; absent until the node has given it one.
pub(crate) fn address(pod: &Pod, family: Family) -> Option<IpAddr> {
    let status = pod.status.as_ref()?;
    let several = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
    several
        .chain(status.pod_ip.as_deref())
        .filter_map(|text| text.parse::<IpAddr>().ok())
        .find(|ip| ip.is_ipv4() == (family == Family::V4))
}

/// The name under which the pod is known inside the service (N-11).
pub(crate) fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let hostname = spec.hostname.as_deref().filter(|name| !name.is_empty())?;
    (spec.subdomain.as_deref() == Some(service.name_any().as_str())
        && pod.namespace() == service.namespace())
    .then(|| hostname.to_owned())
}

/// The node the pod is on.
pub(crate) fn node_name(pod: &Pod) -> Option<&str> {
    let name = pod.spec.as_ref()?.node_name.as_deref()?;
    (!name.is_empty()).then_some(name)
}

/// The reference an endpoint carries to its pod (N-12).
pub(crate) fn target_ref(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.namespace(),
        name: pod.metadata.name.clone(),
        uid: pod.uid(),
        ..ObjectReference::default()
    }
}

/// The number of the service port on this pod; `None` when the pod does not have it (N-15).
pub(crate) fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let protocol = protocol(port.protocol.as_deref());
    spec.containers
        .iter()
        .chain(sidecars)
        .find_map(|container| named_port(container, name, protocol))
}

fn named_port(container: &Container, name: &str, wanted: &str) -> Option<i32> {
    let ports = container.ports.as_deref().unwrap_or_default();
    ports
        .iter()
        .find(|port| {
            port.name.as_deref() == Some(name) && protocol(port.protocol.as_deref()) == wanted
        })
        .map(|port| port.container_port)
}

/// A protocol with the API's default.
pub(crate) fn protocol(given: Option<&str>) -> &str {
    given.unwrap_or("TCP")
}

/// The newest moment at which something happened that these endpoints follow from.
pub(crate) fn trigger_time<'a>(
    service: &Service,
    pods: impl Iterator<Item = &'a Pod>,
) -> Option<String> {
    let changes = pods.flat_map(|pod| {
        let deleted = is_terminating(pod).then(|| deletion_began(pod)).flatten();
        let ready = ready_condition(pod).and_then(|(_, since)| since);
        [deleted, ready]
    });
    let created = service
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|Time(at)| *at);
    changes
        .chain([created])
        .flatten()
        .max()
        .map(|at| at.to_string())
}

/// `deletionTimestamp` lies the grace period after the request.
fn deletion_began(pod: &Pod) -> Option<Timestamp> {
    let deadline = pod.metadata.deletion_timestamp.as_ref()?.0;
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
    deadline
        .checked_sub(jiff::SignedDuration::from_secs(grace))
        .ok()
}

/// The service's labels with the controller's own on top, the headless mark kept true.
pub(crate) fn labels(service: &Service, own: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut labels = service.labels().clone();
    labels.remove(HEADLESS);
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.extend(
        own.iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
    );
    labels
}
