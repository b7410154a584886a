//! Decides what service ranges say of themselves and which addresses are written down. Pure.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        core::v1::Service,
        networking::v1::{IPAddress, IPAddressSpec, ParentReference, ServiceCIDR},
    },
    apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time},
};
use kube::ResourceExt;

use crate::writes::{has_finalizer, is_terminating};

/// Keeps a range while addresses of it are in use.
const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const MANAGED_BY: (&str, &str) = ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";

/// What a range needs next.
#[derive(Debug, PartialEq)]
pub(super) enum RangeAction {
    /// Its finalizer.
    Hold(Box<ServiceCIDR>),
    /// To say how it is.
    Say(Box<Condition>),
    /// To go.
    Free(Box<ServiceCIDR>),
}

/// The next step for a range, given all ranges and addresses.
pub(super) fn plan_range(
    range: &ServiceCIDR,
    others: &[std::sync::Arc<ServiceCIDR>],
    addresses: &[std::sync::Arc<IPAddress>],
    now: Timestamp,
) -> Option<RangeAction> {
    if !is_terminating(range) {
        if !has_finalizer(range, FINALIZER) {
            let mut held = range.clone();
            held.finalizers_mut().push(FINALIZER.to_owned());
            return Some(RangeAction::Hold(Box::new(held)));
        }
        let said = say(range, "True", "", "Kubernetes Service CIDR is ready", now);
        return said.map(|said| RangeAction::Say(Box::new(said)));
    }
    if !has_finalizer(range, FINALIZER) {
        return None;
    }
    let covered = |address: IpAddr| {
        others
            .iter()
            .filter(|other| other.name_any() != range.name_any() && !is_terminating(&***other))
            .any(|other| contains(other, address))
    };
    let used = addresses
        .iter()
        .filter_map(|address| address.name_any().parse().ok())
        .any(|address| contains(range, address) && !covered(address));
    if used {
        let message = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
        let said = say(range, "False", "Terminating", message, now);
        return said.map(|said| RangeAction::Say(Box::new(said)));
    }
    let mut free = range.clone();
    free.finalizers_mut().retain(|held| held != FINALIZER);
    Some(RangeAction::Free(Box::new(free)))
}

fn say(
    range: &ServiceCIDR,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Option<Condition> {
    let conditions = range
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let said = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready");
    if said.is_some_and(|said| said.status == status && said.message == message) {
        return None;
    }
    Some(Condition {
        type_: "Ready".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: Time(now),
        observed_generation: None,
    })
}

fn contains(range: &ServiceCIDR, address: IpAddr) -> bool {
    let cidrs = range.spec.as_ref().and_then(|spec| spec.cidrs.as_ref());
    cidrs.into_iter().flatten().any(|cidr| {
        let Some((base, bits)) = cidr.split_once('/') else {
            return false;
        };
        let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else {
            return false;
        };
        match (base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let beyond = 32u32.saturating_sub(bits);
                u64::from(u32::from(base)) >> beyond == u64::from(u32::from(address)) >> beyond
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let beyond = 128u32.saturating_sub(bits);
                let part = |ip: std::net::Ipv6Addr| u128::from(ip).checked_shr(beyond).unwrap_or(0);
                part(base) == part(address)
            }
            _ => false,
        }
    })
}

/// The addresses a Service has.
pub(super) fn addresses_of(service: &Service) -> Vec<String> {
    let spec = service.spec.as_ref();
    let addresses = spec
        .and_then(|spec| spec.cluster_ips.clone())
        .unwrap_or_default();
    addresses
        .into_iter()
        .filter(|address| address.parse::<IpAddr>().is_ok())
        .collect()
}

/// What is to be done about the record of an address.
#[derive(Debug, PartialEq)]
pub(super) enum AddressAction {
    /// It is written down.
    Record(Box<IPAddress>),
    /// It is struck out.
    Strike,
}

/// The next step for an address, given the Service that has it and what is written down.
pub(super) fn plan_address(
    address: &str,
    owner: Option<&Service>,
    record: Option<&IPAddress>,
) -> Option<AddressAction> {
    match (owner, record) {
        (Some(owner), None) => Some(AddressAction::Record(Box::new(record_of(address, owner)))),
        (None, Some(record)) => {
            // Records of others are none of ours.
            let ours = record
                .labels()
                .get(MANAGED_BY.0)
                .is_some_and(|by| by == MANAGED_BY.1);
            (ours && !is_terminating(record)).then_some(AddressAction::Strike)
        }
        _ => None,
    }
}

fn record_of(address: &str, owner: &Service) -> IPAddress {
    let family = if address.contains(':') {
        "IPv6"
    } else {
        "IPv4"
    };
    let labels = [MANAGED_BY, (FAMILY, family)];
    IPAddress {
        metadata: ObjectMeta {
            name: Some(address.to_owned()),
            labels: Some(
                labels
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            ..ObjectMeta::default()
        },
        spec: IPAddressSpec {
            parent_ref: ParentReference {
                group: None,
                resource: "services".to_owned(),
                namespace: owner.namespace(),
                name: owner.name_any(),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::networking::v1::ServiceCIDRStatus;

    use super::*;
    use crate::testing::object;

    fn range(extra: &str) -> ServiceCIDR {
        object(&format!(
            "{{metadata: {{name: r, {extra}}}, spec: {{cidrs: [10.77.0.0/24]}}}}"
        ))
    }

    fn address(name: &str) -> Arc<IPAddress> {
        Arc::new(object(&format!(
            "{{metadata: {{name: {name}, labels: {{ipaddress.kubernetes.io/managed-by: ipallocator.k8s.io}}}}, \
             spec: {{parentRef: {{resource: services, namespace: n, name: s}}}}}}"
        )))
    }

    #[test]
    fn a_range_is_held_then_ready_then_quiet() {
        let now = Timestamp::UNIX_EPOCH;
        let Some(RangeAction::Hold(held)) = plan_range(&range(""), &[], &[], now) else {
            panic!("not held")
        };
        let Some(RangeAction::Say(ready)) = plan_range(&held, &[], &[], now) else {
            panic!("not ready")
        };
        let mut said = *held;
        said.status = Some(ServiceCIDRStatus {
            conditions: Some(vec![*ready]),
        });
        assert_eq!(plan_range(&said, &[], &[], now), None);
    }

    #[test]
    fn a_range_in_use_stays() {
        let now = Timestamp::UNIX_EPOCH;
        let going = range(
            "deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [networking.k8s.io/service-cidr-finalizer]",
        );
        let used = [address("10.77.0.9")];
        assert!(matches!(
            plan_range(&going, &[], &used, now),
            Some(RangeAction::Say(_))
        ));
        let wider: ServiceCIDR = object("{metadata: {name: wide}, spec: {cidrs: [10.0.0.0/8]}}");
        assert!(matches!(
            plan_range(&going, &[Arc::new(wider)], &used, now),
            Some(RangeAction::Free(_))
        ));
        let elsewhere = [address("10.78.0.9")];
        assert!(matches!(
            plan_range(&going, &[], &elsewhere, now),
            Some(RangeAction::Free(_))
        ));
    }

    #[test]
    fn records_follow_services_and_strangers_are_left_alone() {
        let service: Service =
            object("{metadata: {name: s, namespace: n}, spec: {clusterIPs: [10.96.0.7]}}");
        assert_eq!(addresses_of(&service), ["10.96.0.7"]);
        let Some(AddressAction::Record(record)) = plan_address("10.96.0.7", Some(&service), None)
        else {
            panic!("not recorded")
        };
        assert_eq!(record.spec.parent_ref.name, "s");
        assert_eq!(
            plan_address("10.96.0.7", Some(&service), Some(&record)),
            None
        );
        assert_eq!(
            plan_address("10.96.0.7", None, Some(&record)),
            Some(AddressAction::Strike)
        );
        let stranger: IPAddress =
            object("{metadata: {name: 10.1.1.1}, spec: {parentRef: {resource: widgets, name: w}}}");
        assert_eq!(plan_address("10.1.1.1", None, Some(&stranger)), None);
    }
}
