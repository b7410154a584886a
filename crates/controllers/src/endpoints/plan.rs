//! Decides what a service's Endpoints object should say. Pure: no clock, no I/O. (N-20..N-22)

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use k8s_openapi::{
    api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;

use super::member;
use crate::writes::is_terminating;

/// Marks Endpoints that this controller keeps.
pub(crate) const MANAGED_BY: (&str, &str) =
    ("endpoints.kubernetes.io/managed-by", "endpoint-controller");

const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// Addresses beyond this many are left out (N-21).
const CAPACITY: usize = 1000;

/// What is known of one service.
pub(crate) struct World<'a> {
    /// The service, if it exists.
    pub(crate) service: Option<&'a Service>,
    /// The pods of its namespace.
    pub(crate) pods: &'a [Arc<Pod>],
    /// The Endpoints of the service's name, if they exist.
    pub(crate) existing: Option<&'a Endpoints>,
}

/// The one write that makes the Endpoints right.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// There are none yet.
    Create(Endpoints),
    /// They say something else; carries the observed resourceVersion.
    Update(Endpoints),
    /// Their service is gone (N-22).
    Delete {
        /// The observed object.
        uid: String,
    },
}

/// The write that is needed; `None` when all is well or the service is none of ours (N-3).
pub(crate) fn plan(world: &World<'_>) -> Option<Action> {
    let Some(service) = world.service else {
        let uid = world.existing?.uid()?;
        return Some(Action::Delete { uid });
    };
    if !member::is_managed(service) {
        return None;
    }
    let members: Vec<&Pod> = world
        .pods
        .iter()
        .map(Arc::as_ref)
        .filter(|pod| member::selects(service, pod) && !member::is_over(pod))
        .filter(|pod| !is_terminating(*pod) || member::publishes_unready(service))
        .collect();
    let (subsets, truncated) = subsets(service, &members);
    let wanted = Wanted {
        labels: member::labels(service, &[MANAGED_BY]),
        subsets,
        truncated,
    };
    match world.existing {
        Some(existing) if wanted.is_met_by(existing) => None,
        Some(existing) => Some(Action::Update(wanted.written_over(
            existing.clone(),
            service,
            &members,
        ))),
        None => {
            let empty = Endpoints {
                metadata: ObjectMeta {
                    name: service.metadata.name.clone(),
                    namespace: service.metadata.namespace.clone(),
                    ..ObjectMeta::default()
                },
                subsets: None,
            };
            Some(Action::Create(
                wanted.written_over(empty, service, &members),
            ))
        }
    }
}

struct Wanted {
    labels: BTreeMap<String, String>,
    subsets: Vec<EndpointSubset>,
    truncated: bool,
}

impl Wanted {
    fn is_met_by(&self, existing: &Endpoints) -> bool {
        let marked = existing
            .annotations()
            .get(OVER_CAPACITY)
            .map(String::as_str);
        existing.labels() == &self.labels
            && existing.subsets.as_deref().unwrap_or_default() == self.subsets
            && marked == self.truncated.then_some("truncated")
    }

    /// The trigger time alone is no reason to write, so it is set only here.
    fn written_over(
        self,
        mut endpoints: Endpoints,
        service: &Service,
        members: &[&Pod],
    ) -> Endpoints {
        endpoints.metadata.labels = Some(self.labels);
        endpoints.subsets = (!self.subsets.is_empty()).then_some(self.subsets);
        let annotations = endpoints.annotations_mut();
        annotations.remove(OVER_CAPACITY);
        if self.truncated {
            annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
        }
        if let Some(at) = member::trigger_time(service, members.iter().copied()) {
            annotations.insert(member::TRIGGER_TIME.to_owned(), at);
        }
        endpoints
    }
}

/// A port as the order of subsets sees it: name, number, protocol, application protocol.
type Port = (String, i32, String, Option<String>);

/// An address of a subset: its place in the order, whether it is ready, and the pod it is of.
type Member = (IpAddr, usize, bool);

/// Groups the ports that are found at the same addresses (N-20). The flag tells that addresses were
/// left out.
fn subsets(service: &Service, members: &[&Pod]) -> (Vec<EndpointSubset>, bool) {
    let family = member::families(service)[0];
    let mut at: BTreeMap<Option<Port>, BTreeSet<Member>> = BTreeMap::new();
    let mut count = 0;
    let mut truncated = false;
    for (index, pod) in members.iter().enumerate() {
        let Some(ip) = member::address(pod, family) else {
            continue;
        };
        let ports = ports(service, pod);
        if ports.is_empty() {
            continue;
        }
        if count == CAPACITY {
            truncated = true;
            break;
        }
        count += 1;
        let ready = member::is_ready(pod) || member::publishes_unready(service);
        for port in ports {
            at.entry(port).or_default().insert((ip, index, ready));
        }
    }
    let mut groups: BTreeMap<BTreeSet<Member>, Vec<Port>> = BTreeMap::new();
    for (port, addresses) in at {
        groups.entry(addresses).or_default().extend(port);
    }
    let subsets = groups
        .into_iter()
        .map(|(addresses, ports)| subset(service, members, &addresses, ports))
        .collect();
    (subsets, truncated)
}

/// The service's ports on a pod. A headless service without ports yields one absent port: the
/// addresses count all the same.
fn ports(service: &Service, pod: &Pod) -> Vec<Option<Port>> {
    let declared = member::ports(service);
    if declared.is_empty() && member::is_headless(service) {
        return vec![None];
    }
    declared
        .iter()
        .filter_map(|port| {
            let number = member::target_port(pod, port)?;
            Some(Some((
                port.name.clone().unwrap_or_default(),
                number,
                member::protocol(port.protocol.as_deref()).to_owned(),
                port.app_protocol.clone(),
            )))
        })
        .collect()
}

fn subset(
    service: &Service,
    members: &[&Pod],
    at: &BTreeSet<Member>,
    ports: Vec<Port>,
) -> EndpointSubset {
    let of = |wanted: bool| {
        let addresses: Vec<EndpointAddress> = at
            .iter()
            .filter(|(_, _, ready)| *ready == wanted)
            .map(|(ip, index, _)| EndpointAddress {
                ip: ip.to_string(),
                hostname: member::hostname(service, members[*index]),
                node_name: member::node_name(members[*index]).map(str::to_owned),
                target_ref: Some(member::target_ref(members[*index])),
            })
            .collect();
        (!addresses.is_empty()).then_some(addresses)
    };
    let ports: Vec<EndpointPort> = ports
        .into_iter()
        .map(|(name, port, protocol, app_protocol)| EndpointPort {
            name: (!name.is_empty()).then_some(name),
            port,
            protocol: Some(protocol),
            app_protocol,
        })
        .collect();
    EndpointSubset {
        addresses: of(true),
        not_ready_addresses: of(false),
        ports: (!ports.is_empty()).then_some(ports),
    }
}
