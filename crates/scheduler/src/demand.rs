//! What a pod asks of a node, and what a node has. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{Container, Node, Pod, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity as Amount,
};
use plinth_api::Quantity;

/// Amounts by resource name: thousandths of a core for `cpu`, whole units (bytes) for everything else.
pub(crate) type Amounts = BTreeMap<String, i64>;

/// A port on the node: protocol, address ("" for all) and number.
pub(crate) type HostPort = (String, String, i32);

/// What one pod takes away from a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) amounts: Amounts,
    pub(crate) ports: BTreeSet<HostPort>,
}

impl Demand {
    /// The demand of a pod: its containers together, or its greediest init container if that is more,
    /// plus the overhead. Init containers that keep running count with the containers.
    pub(crate) fn of(pod: &Pod) -> Self {
        let Some(spec) = &pod.spec else {
            return Self::default();
        };
        let mut running = Amounts::new();
        let mut peak = Amounts::new();
        for container in spec.init_containers.iter().flatten() {
            let own = requests(container.resources.as_ref());
            if container.restart_policy.as_deref() == Some("Always") {
                add(&mut running, &own);
                raise(&mut peak, &running);
            } else {
                let mut at_once = running.clone();
                add(&mut at_once, &own);
                raise(&mut peak, &at_once);
            }
        }
        for container in &spec.containers {
            add(&mut running, &requests(container.resources.as_ref()));
        }
        raise(&mut running, &peak);
        // A pod-level request, where given, stands for the whole pod.
        running.extend(requests(spec.resources.as_ref()));
        add(&mut running, &amounts(spec.overhead.iter().flatten()));
        running.retain(|_, amount| *amount > 0);
        Self {
            amounts: running,
            ports: ports(spec),
        }
    }
}

/// What a node has to give.
pub(crate) fn allocatable(node: &Node) -> Amounts {
    let status = node.status.as_ref();
    amounts(
        status
            .and_then(|s| s.allocatable.as_ref())
            .into_iter()
            .flatten(),
    )
}

/// Adds `more` to `sum`.
pub(crate) fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let total = sum.entry(name.clone()).or_default();
        *total = total.saturating_add(*amount);
    }
}

/// Takes `less` from `sum`.
pub(crate) fn subtract(sum: &mut Amounts, less: &Amounts) {
    for (name, amount) in less {
        if let Some(total) = sum.get_mut(name) {
            *total -= amount;
        }
    }
}

/// Whether two ports cannot be had on one node: 0.0.0.0 takes every address.
pub(crate) fn clash(a: &HostPort, b: &HostPort) -> bool {
    a.0 == b.0 && a.2 == b.2 && (a.1 == b.1 || a.1.is_empty() || b.1.is_empty())
}

fn raise(to: &mut Amounts, at_least: &Amounts) {
    for (name, amount) in at_least {
        let held = to.entry(name.clone()).or_default();
        *held = (*held).max(*amount);
    }
}

fn requests(resources: Option<&ResourceRequirements>) -> Amounts {
    amounts(
        resources
            .and_then(|r| r.requests.as_ref())
            .into_iter()
            .flatten(),
    )
}

fn amounts<'a>(quantities: impl Iterator<Item = (&'a String, &'a Amount)>) -> Amounts {
    quantities
        .filter_map(|(name, amount)| {
            // The API admits no other text.
            let quantity: Quantity = amount.0.parse().ok()?;
            let value = if name == "cpu" {
                quantity.millis_ceil()
            } else {
                quantity.ceil()
            };
            Some((name.clone(), value))
        })
        .collect()
}

fn ports(spec: &PodSpec) -> BTreeSet<HostPort> {
    let keep = |c: &&Container| c.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(keep);
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let address = port.host_ip.clone().unwrap_or_default();
            let address = if address == "0.0.0.0" {
                String::new()
            } else {
                address
            };
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            Some((protocol, address, number))
        })
        .collect()
}
