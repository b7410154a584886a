//! What a service's slices should hold together, before it is cut into slices. Pure. (N-10..N-12, N-15)

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::{Endpoint, EndpointConditions, EndpointPort},
};
use kube::ResourceExt;

use crate::{
    endpoints::member::{self, Family},
    writes::is_terminating,
};

const ZONE: &str = "topology.kubernetes.io/zone";

/// What makes two pods share slices: the family and the resolved ports, in the service's order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    pub(crate) family: Family,
    pub(crate) ports: Vec<Port>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    name: String,
    protocol: String,
    number: i32,
    app_protocol: Option<String>,
}

impl Port {
    pub(crate) fn written(&self) -> EndpointPort {
        EndpointPort {
            name: Some(self.name.clone()),
            protocol: Some(self.protocol.clone()),
            port: Some(self.number),
            app_protocol: self.app_protocol.clone(),
        }
    }
}

/// The endpoints of each group, by address: the order in which slices show them.
pub(crate) type Desired = BTreeMap<Group, BTreeMap<IpAddr, Endpoint>>;

/// Gathers every endpoint the service should have.
pub(crate) fn desired(
    service: &Service,
    pods: &[Arc<Pod>],
    nodes: &BTreeMap<String, Arc<Node>>,
) -> Desired {
    let mut desired = Desired::new();
    for family in member::families(service) {
        for pod in pods {
            if !member::selects(service, pod) || member::is_over(pod) {
                continue;
            }
            let Some(address) = member::address(pod, family) else {
                continue;
            };
            let node = member::node_name(pod).and_then(|name| nodes.get(name));
            if node.is_none() && !member::publishes_unready(service) {
                continue;
            }
            let group = Group {
                family,
                ports: ports(service, pod),
            };
            let endpoint = endpoint(service, pod, address, node.map(Arc::as_ref));
            desired.entry(group).or_default().insert(address, endpoint);
        }
    }
    desired
}

fn ports(service: &Service, pod: &Pod) -> Vec<Port> {
    member::ports(service)
        .iter()
        .filter_map(|port| {
            Some(Port {
                name: port.name.clone().unwrap_or_default(),
                protocol: member::protocol(port.protocol.as_deref()).to_owned(),
                number: member::target_port(pod, port)?,
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect()
}

fn endpoint(service: &Service, pod: &Pod, address: IpAddr, node: Option<&Node>) -> Endpoint {
    let serving = member::is_ready(pod);
    let terminating = is_terminating(pod);
    let ready = member::publishes_unready(service) || (serving && !terminating);
    Endpoint {
        addresses: vec![address.to_string()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: member::hostname(service, pod),
        node_name: member::node_name(pod).map(str::to_owned),
        target_ref: Some(member::target_ref(pod)),
        zone: node.and_then(|node| node.labels().get(ZONE)).cloned(),
        ..Endpoint::default()
    }
}
