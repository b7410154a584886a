//! The nodes and what is placed on them, kept true change by change. Knows neither claims nor tasks.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;

use crate::demand::{Amounts, Demand, HostPort, add, subtract};

/// A node with everything that is placed on it.
#[derive(Default)]
pub(crate) struct NodeState {
    pub(crate) node: Arc<Node>,
    /// Whether the node itself is known; pods may be seen before their node.
    known: bool,
    used: Amounts,
    /// By UID.
    pods: BTreeMap<String, (Arc<Pod>, Demand)>,
}

impl NodeState {
    /// How much of a resource is taken.
    pub(crate) fn used(&self, name: &str) -> i64 {
        self.used.get(name).copied().unwrap_or(0)
    }

    /// How many pods are here.
    pub(crate) fn pods(&self) -> usize {
        self.pods.len()
    }

    /// The pods that are here.
    pub(crate) fn placed(&self) -> impl Iterator<Item = &Pod> + Clone {
        self.pods.values().map(|(pod, _)| &**pod)
    }

    /// How many pods of a controller are here.
    pub(crate) fn pods_of(&self, owner: &str) -> usize {
        let of_owner = |pod: &&Pod| controller(pod).as_deref() == Some(owner);
        self.placed().filter(of_owner).count()
    }

    pub(crate) fn ports(&self) -> impl Iterator<Item = &HostPort> {
        self.pods.values().flat_map(|(_, demand)| &demand.ports)
    }

    fn put(&mut self, pod: Arc<Pod>) {
        let uid = pod.uid().unwrap_or_default();
        self.take(&uid);
        let demand = Demand::of(&pod);
        add(&mut self.used, &demand.amounts);
        self.pods.insert(uid, (pod, demand));
    }

    fn take(&mut self, uid: &str) -> bool {
        match self.pods.remove(uid) {
            Some((_, demand)) => {
                subtract(&mut self.used, &demand.amounts);
                true
            }
            None => false,
        }
    }
}

/// All nodes, with the placements that were seen and those that were only decided.
#[derive(Default)]
pub(crate) struct Cluster {
    nodes: BTreeMap<String, NodeState>,
    /// The node of each placed pod, by UID.
    places: BTreeMap<String, String>,
}

impl Cluster {
    /// The nodes a pod could go to, by name.
    pub(crate) fn nodes(&self) -> Vec<&NodeState> {
        self.nodes.values().filter(|state| state.known).collect()
    }

    pub(crate) fn put_node(&mut self, node: Arc<Node>) {
        let state = self.nodes.entry(node.name_any()).or_default();
        state.node = node;
        state.known = true;
    }

    pub(crate) fn remove_node(&mut self, name: &str) {
        if let Some(state) = self.nodes.get_mut(name) {
            state.known = false;
            if state.pods.is_empty() {
                self.nodes.remove(name);
            }
        }
    }

    /// Takes a pod's state in: placed, or finished and no longer taking anything. A pod without a node
    /// says nothing, for its placement may have been decided and not be visible yet.
    pub(crate) fn put_pod(&mut self, pod: &Arc<Pod>) {
        let Some(node) = node_of(pod) else { return };
        let uid = pod.uid().unwrap_or_default();
        if is_finished(pod) {
            self.remove_pod(&uid);
        } else {
            self.place(Arc::clone(pod), node.to_owned());
        }
    }

    /// Counts a pod on a node, seen or decided.
    pub(crate) fn place(&mut self, pod: Arc<Pod>, node: String) {
        let uid = pod.uid().unwrap_or_default();
        if self.places.get(&uid).is_some_and(|place| *place != node) {
            self.remove_pod(&uid);
        }
        self.nodes.entry(node.clone()).or_default().put(pod);
        self.places.insert(uid, node);
    }

    /// Whether the pod is counted on some node, seen or decided.
    pub(crate) fn is_placed(&self, uid: &str) -> bool {
        self.places.contains_key(uid)
    }

    /// Forgets a pod; whether anything became free.
    pub(crate) fn remove_pod(&mut self, uid: &str) -> bool {
        let Some(node) = self.places.remove(uid) else {
            return false;
        };
        let Some(state) = self.nodes.get_mut(&node) else {
            return false;
        };
        let freed = state.take(uid);
        if !state.known && state.pods.is_empty() {
            self.nodes.remove(&node);
        }
        freed
    }
}

/// The node a pod is bound to.
pub(crate) fn node_of(pod: &Pod) -> Option<&str> {
    let node = pod.spec.as_ref()?.node_name.as_deref()?;
    (!node.is_empty()).then_some(node)
}

/// Whether a pod has ended for good.
pub(crate) fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The UID of a pod's controller.
pub(crate) fn controller(pod: &Pod) -> Option<String> {
    let mut owners = pod.owner_references().iter();
    owners
        .find(|owner| owner.controller == Some(true))
        .map(|owner| owner.uid.clone())
}
