use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::ResourceExt;

use super::plan::*;
use crate::testing::{object, text};

const SERVICE: &str = "
metadata: {name: web, namespace: default, uid: s1, labels: {app: web}, creationTimestamp: '2026-01-01T00:00:00Z'}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}";

fn pod(index: usize, ready: bool) -> Pod {
    let status = if ready { "True" } else { "False" };
    object(&format!(
        "
metadata: {{name: web-{index}, namespace: default, uid: p{index}, labels: {{app: web}}}}
spec: {{nodeName: n1, hostname: web-{index}, subdomain: web, containers: [{{name: c, ports: [{{name: http, containerPort: 8080}}]}}]}}
status: {{phase: Running, podIP: 10.244.{}.{}, conditions: [{{type: Ready, status: '{status}', lastTransitionTime: '2026-01-01T00:00:03Z'}}]}}",
        index / 250,
        index % 250
    ))
}

fn terminating(mut pod: Pod) -> Pod {
    pod.metadata.deletion_timestamp = object("'2026-01-01T00:01:00Z'");
    pod.metadata.deletion_grace_period_seconds = Some(30);
    pod
}

/// The slices of one service, and the writes applied to them as the API would.
struct Cluster {
    service: Option<Service>,
    pods: Vec<Arc<Pod>>,
    nodes: BTreeMap<String, Arc<Node>>,
    slices: Vec<Arc<EndpointSlice>>,
    made: usize,
}

impl Cluster {
    fn new(service: &str, pods: impl IntoIterator<Item = Pod>) -> Self {
        let node: Node = object("metadata: {name: n1, labels: {topology.kubernetes.io/zone: z1}}");
        Self {
            service: Some(object(service)),
            pods: pods.into_iter().map(Arc::new).collect(),
            nodes: [("n1".to_owned(), Arc::new(node))].into(),
            slices: Vec::new(),
            made: 0,
        }
    }

    fn plan(&self) -> Vec<Action> {
        plan(&World {
            service: self.service.as_ref(),
            pods: &self.pods,
            nodes: &self.nodes,
            slices: &self.slices,
        })
    }

    /// Applies one plan and shows that the next one is empty (invariant 6).
    fn settle(&mut self) -> Vec<Action> {
        let actions = self.plan();
        for action in actions.clone() {
            match action {
                Action::Create(mut slice) => {
                    self.made += 1;
                    slice.metadata.name = Some(format!("web-{:05}", self.made));
                    slice.metadata.uid = Some(format!("u{}", self.made));
                    self.slices.push(Arc::new(slice));
                }
                Action::Update(slice) => {
                    let name = slice.name_any();
                    let at = self
                        .slices
                        .iter()
                        .position(|s| s.name_any() == name)
                        .expect("exists");
                    self.slices[at] = Arc::new(slice);
                }
                Action::Delete { name, .. } => self.slices.retain(|slice| slice.name_any() != name),
            }
        }
        assert_eq!(self.plan(), [], "quiet after one round");
        actions
    }

    fn sizes(&self) -> Vec<usize> {
        self.slices
            .iter()
            .map(|slice| slice.endpoints.iter().flatten().count())
            .collect()
    }

    /// (ready, serving, terminating) of every endpoint.
    fn conditions(&self) -> Vec<(bool, bool, bool)> {
        let endpoints = self
            .slices
            .iter()
            .flat_map(|slice| slice.endpoints.iter().flatten());
        endpoints
            .map(|endpoint| {
                let c = endpoint.conditions.clone().expect("conditions");
                (
                    c.ready == Some(true),
                    c.serving == Some(true),
                    c.terminating == Some(true),
                )
            })
            .collect()
    }
}

/// N-11, N-12, N-13, N-15.
#[test]
fn a_headless_service_names_its_pods() {
    let mut cluster = Cluster::new(SERVICE, [pod(1, false), pod(0, true)]);
    cluster.settle();
    insta::assert_snapshot!(text(&*cluster.slices[0]));
}

/// N-10, all rows without publishNotReadyAddresses, N-34.
#[test]
fn conditions_follow_readiness_and_deletion() {
    let pods = [
        pod(0, true),
        pod(1, false),
        terminating(pod(2, true)),
        terminating(pod(3, false)),
    ];
    let mut cluster = Cluster::new(SERVICE, pods);
    cluster.settle();
    assert_eq!(
        cluster.conditions(),
        [
            (true, true, false),
            (false, false, false),
            (false, true, true),
            (false, false, true)
        ]
    );
}

/// N-10 with publishNotReadyAddresses: always ready, and a missing node does not hide a pod.
#[test]
fn unready_addresses_are_published_on_request() {
    let service = SERVICE.replace(
        "clusterIP: None",
        "clusterIP: None, publishNotReadyAddresses: true",
    );
    let mut cluster = Cluster::new(&service, [pod(0, false), terminating(pod(1, true))]);
    cluster.nodes.clear();
    cluster.settle();
    assert_eq!(
        cluster.conditions(),
        [(true, false, false), (true, true, true)]
    );
}

/// N-10.
#[test]
fn a_pod_on_a_missing_node_is_skipped() {
    let mut cluster = Cluster::new(SERVICE, [pod(0, true)]);
    cluster.nodes.clear();
    cluster.settle();
    assert_eq!(cluster.sizes(), [0]);
}

/// N-14: an empty slice stands for a service without endpoints, and is then used, not replaced.
#[test]
fn the_empty_slice_is_filled_in_place() {
    let mut cluster = Cluster::new(SERVICE, []);
    cluster.settle();
    assert_eq!(cluster.slices[0].ports, None);
    cluster.pods.push(Arc::new(pod(0, true)));
    assert!(matches!(&cluster.settle()[..], [Action::Update(_)]));
    cluster.pods.clear();
    assert!(matches!(&cluster.settle()[..], [Action::Update(_)]));
    assert_eq!((cluster.sizes(), cluster.made), (vec![0], 1));
}

/// N-14: at most a hundred in a slice; a leaving pod changes one slice, a coming one fills the room.
#[test]
fn slices_hold_a_hundred_and_change_little() {
    let mut cluster = Cluster::new(SERVICE, (0..250).map(|index| pod(index, true)));
    cluster.settle();
    assert_eq!(cluster.sizes(), [100, 100, 50]);
    cluster.pods.remove(120);
    assert_eq!(cluster.settle().len(), 1);
    assert_eq!(cluster.sizes(), [100, 99, 50]);
    cluster.pods.push(Arc::new(pod(300, true)));
    assert_eq!(cluster.settle().len(), 1);
    cluster.pods.truncate(90);
    cluster.settle();
    assert_eq!(cluster.sizes(), [90]);
}

/// N-15: pods that resolve a named port differently are in different slices.
#[test]
fn each_port_set_has_its_own_slices() {
    let mut other = pod(1, true);
    other.spec.as_mut().expect("spec").containers[0]
        .ports
        .as_mut()
        .expect("ports")[0]
        .container_port = 9090;
    let mut without = pod(2, true);
    without.spec.as_mut().expect("spec").containers[0].ports = None;
    let mut cluster = Cluster::new(SERVICE, [pod(0, true), other, without]);
    cluster.settle();
    let ports: Vec<Vec<i32>> = cluster
        .slices
        .iter()
        .map(|slice| {
            slice
                .ports
                .iter()
                .flatten()
                .filter_map(|port| port.port)
                .collect()
        })
        .collect();
    assert_eq!(ports, [vec![], vec![8080], vec![9090]]);
}

/// N-3, N-22.
#[test]
fn slices_go_with_their_service_and_a_selectorless_one_is_untouched() {
    let mut cluster = Cluster::new(SERVICE, [pod(0, true)]);
    cluster.settle();
    let service = cluster
        .service
        .replace(object(&SERVICE.replace("selector: {app: web}, ", "")));
    assert_eq!(cluster.plan(), []);
    cluster.service = service;
    cluster.service = None;
    assert_eq!(
        cluster.plan(),
        [Action::Delete {
            name: "web-00001".into(),
            uid: "u1".into()
        }]
    );
}
