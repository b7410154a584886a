//! A small cluster with its kubelets, played one write at a time; what the controller writes is compared as
//! text, and what must hold in every world is checked on random ones.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, DaemonSet},
        core::v1::{Node, Pod},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    backoff::Failures,
    placement::target,
    plan::{Action, Plan, World, plan},
    set::HASH_LABEL,
    status::status,
};
use crate::{ownership::controlled_by, writes::is_terminating};

struct Simulation {
    set: DaemonSet,
    nodes: BTreeMap<String, Arc<Node>>,
    pods: BTreeMap<String, Arc<Pod>>,
    revisions: BTreeMap<String, Arc<ControllerRevision>>,
    failures: Failures,
    now: Timestamp,
    again_in: Option<std::time::Duration>,
    log: Vec<String>,
    made: u32,
}

impl Simulation {
    fn new(spec: &Value, nodes: &[&str]) -> Self {
        let mut set = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "agent", "namespace": "ns", "uid": "set", "generation": 1,
                "annotations": {"deprecated.daemonset.template.generation": "1"}},
            "spec": {
                "selector": {"matchLabels": {"app": "agent"}},
                "template": {
                    "metadata": {"labels": {"app": "agent"}},
                    "spec": {"containers": [{"name": "main", "image": "v1"}]}
                }
            }
        });
        merge(&mut set["spec"], spec);
        let mut world = Self {
            set: serde_json::from_value(set).expect("a DaemonSet"),
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            revisions: BTreeMap::new(),
            failures: Failures::default(),
            now: "2026-01-01T00:00:00Z".parse().expect("a time"),
            again_in: None,
            log: Vec::new(),
            made: 0,
        };
        for node in nodes {
            world.node(node, &json!({}));
        }
        world
    }

    fn node(&mut self, name: &str, more: &Value) {
        let mut node = json!({"metadata": {"name": name, "labels": {"disk": "ssd"}}});
        merge(&mut node, more);
        let node = serde_json::from_value(node).expect("a node");
        self.nodes.insert(name.to_owned(), Arc::new(node));
    }

    fn edit(&mut self, patch: &Value) {
        let mut set = serde_json::to_value(&self.set).expect("serializes");
        merge(&mut set, patch);
        self.set = serde_json::from_value(set).expect("a DaemonSet");
        let meta = &mut self.set.metadata;
        meta.generation = meta.generation.map(|generation| generation + 1);
        let generation = meta.generation.unwrap_or_default().to_string();
        self.set.annotations_mut().insert(
            "deprecated.daemonset.template.generation".to_owned(),
            generation,
        );
    }

    fn image(&mut self, image: &str) {
        self.log.push(format!("== image {image}"));
        self.edit(&json!({"spec": {"template": {"spec":
            {"containers": [{"name": "main", "image": image}]}}}}));
    }

    fn world<T>(&self, then: impl FnOnce(&World<'_>) -> T) -> T {
        let nodes: Vec<_> = self.nodes.values().cloned().collect();
        let pods: Vec<_> = self.pods.values().cloned().collect();
        let revisions: Vec<_> = self.revisions.values().cloned().collect();
        then(&World {
            set: &self.set,
            nodes: &nodes,
            pods: &pods,
            revisions: &revisions,
            revision_named: &|name| self.revisions.get(name).cloned(),
            failures: &self.failures,
        })
    }

    fn plan(&self) -> Plan {
        self.world(|world| plan(world, self.now)).expect("a plan")
    }

    fn settle(&mut self) {
        for _ in 0..100 {
            let plan = self.plan();
            self.again_in = plan.again_in;
            let actions = if plan.prepare.is_empty() {
                plan.pods.iter().chain(&plan.prune)
            } else {
                plan.prepare.iter().chain(&[])
            };
            let actions: Vec<_> = actions.cloned().collect();
            for action in &actions {
                self.execute(action);
            }
            let told = self
                .world(|world| status(world, self.now))
                .expect("a status");
            let quiet = actions.is_empty() && told.is_none();
            if let Some(status) = told {
                let count = |count: Option<i32>| count.unwrap_or(0);
                self.log.push(format!(
                    "STATUS desired={} current={} misscheduled={} ready={} updated={} available={}",
                    status.desired_number_scheduled,
                    status.current_number_scheduled,
                    status.number_misscheduled,
                    status.number_ready,
                    count(status.updated_number_scheduled),
                    count(status.number_available),
                ));
                self.set.status = Some(status);
            }
            if quiet {
                return;
            }
        }
        panic!("never quiet:\n{}", self.log.join("\n"));
    }

    fn execute(&mut self, action: &Action) {
        match action {
            Action::AdoptPod(which) => {
                let owner = controlled_by(&self.set);
                let pod = Arc::make_mut(self.pods.get_mut(&which.name).expect("exists"));
                pod.owner_references_mut().push(owner);
                self.log.push(format!("PATCH Pod {}: adopt", which.name));
            }
            Action::ReleasePod(which) => {
                let pod = Arc::make_mut(self.pods.get_mut(&which.name).expect("exists"));
                pod.owner_references_mut().clear();
                self.log.push(format!("PATCH Pod {}: release", which.name));
            }
            Action::AdoptRevision(which) => {
                let owner = controlled_by(&self.set);
                let revision = Arc::make_mut(self.revisions.get_mut(&which.name).expect("exists"));
                revision.owner_references_mut().push(owner);
                self.log.push("PATCH ControllerRevision: adopt".to_owned());
            }
            Action::CreateRevision(revision) => {
                let mut revision = (**revision).clone();
                let number = revision.revision;
                revision.metadata.uid = Some(format!("r{number}"));
                let name = revision.name_any();
                self.revisions.insert(name, Arc::new(revision));
                self.log.push(format!("POST ControllerRevision {number}"));
            }
            Action::RenumberRevision(which, number) => {
                let revision = self.revisions.get_mut(&which.name).expect("exists");
                Arc::make_mut(revision).revision = *number;
                self.log.push(format!("PATCH ControllerRevision: {number}"));
            }
            Action::DeleteRevision(which) => {
                let gone = self.revisions.remove(&which.name).expect("exists");
                self.log
                    .push(format!("DELETE ControllerRevision {}", gone.revision));
            }
            Action::CreatePod(pod) => {
                self.made += 1;
                let mut pod = (**pod).clone();
                let name = format!("agent-{}", self.made);
                let node = target(&pod).unwrap_or_default().to_owned();
                pod.metadata.uid = Some(format!("u{}", self.made));
                pod.metadata.name = Some(name.clone());
                pod.metadata.creation_timestamp = Some(Time(self.now));
                self.pods.insert(name.clone(), Arc::new(pod));
                self.log.push(format!("POST Pod {name} for {node}"));
            }
            Action::DeletePod(which) => self.delete(&which.name),
            Action::DeleteEnded { pod, node, failed } => {
                if *failed {
                    self.failures.note(node, self.now);
                }
                self.delete(&pod.name);
            }
        }
    }

    fn delete(&mut self, name: &str) {
        let now = self.now;
        let pod = Arc::make_mut(self.pods.get_mut(name).expect("exists"));
        pod.metadata.deletion_timestamp = Some(Time(now));
        self.log.push(format!("DELETE Pod {name}"));
    }

    fn report(&mut self, name: &str, phase: &str) {
        let now = self.now.to_string();
        let ready = if phase == "Running" { "True" } else { "False" };
        let pod = self.pods.get(name).expect("exists");
        let node = target(pod).map(str::to_owned);
        let mut pod = serde_json::to_value(&**pod).expect("serializes");
        merge(
            &mut pod,
            &json!({"spec": {"nodeName": node}, "status": {"phase": phase, "conditions":
                [{"type": "Ready", "status": ready, "lastTransitionTime": now}]}}),
        );
        let pod = serde_json::from_value(pod).expect("a pod");
        self.pods.insert(name.to_owned(), Arc::new(pod));
        self.log.push(format!("  [{phase} {name}]"));
    }

    /// Lets the kubelets do their work, one step at a time, until all is quiet. `stuck` ones never run.
    fn run(&mut self, stuck: &[&str]) {
        self.settle();
        for _ in 0..200 {
            let next = self.pods.iter().find_map(|(name, pod)| {
                let going = is_terminating(&**pod);
                let starts = pod.status.is_none() && !stuck.contains(&name.as_str());
                (going || starts).then(|| (name.clone(), going))
            });
            let Some((name, going)) = next else { return };
            if going {
                self.pods.remove(&name);
                self.log.push(format!("  [gone {name}]"));
            } else {
                self.report(&name, "Running");
            }
            self.settle();
        }
        panic!("never quiet:\n{}", self.log.join("\n"));
    }

    fn text(&self) -> String {
        self.log.join("\n")
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            target.as_object_mut().expect("an object").remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

/// One pod a node, bound by the node's name and tolerant of its troubles.
#[test]
fn a_pod_is_made_for_its_node() {
    let spec = json!({"template": {"spec": {"hostNetwork": true, "tolerations": [{"key": "own", "operator": "Exists"}]}}});
    let mut world = Simulation::new(&spec, &["a"]);
    world.settle();
    let pod = world.pods.values().next().expect("a pod");
    insta::assert_snapshot!(crate::testing::text(&**pod));
}

/// One at a time, each only when the last is available again (§12: daemonset-rolling).
#[test]
fn an_update_takes_one_node_after_the_other() {
    let mut world = Simulation::new(&json!({}), &["a", "b", "c"]);
    world.run(&[]);
    world.image("v2");
    world.run(&[]);
    insta::assert_snapshot!(world.text());
}

/// What does not serve anyway costs nothing.
#[test]
fn an_update_replaces_broken_pods_first() {
    let mut world = Simulation::new(&json!({}), &["a", "b", "c"]);
    world.run(&["agent-3"]);
    world.image("v2");
    world.run(&[]);
    insta::assert_snapshot!(world.text());
}

/// maxSurge: the new pod serves before the old one goes.
#[test]
fn a_surging_update_never_leaves_a_node_without() {
    let spec = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}});
    let mut world = Simulation::new(&spec, &["a", "b"]);
    world.run(&[]);
    world.image("v2");
    world.run(&[]);
    insta::assert_snapshot!(world.text());
}

/// OnDelete waits for the user; a rollback takes the old revision up again; the history is cut to its limit.
#[test]
fn pods_of_a_patient_set_are_replaced_when_the_user_deletes_them() {
    let spec = json!({"updateStrategy": {"type": "OnDelete"}, "revisionHistoryLimit": 1});
    let mut world = Simulation::new(&spec, &["a"]);
    world.run(&[]);
    world.image("v2");
    world.run(&[]);
    world.delete("agent-1");
    world.run(&[]);
    world.image("v1");
    world.run(&[]);
    world.image("v3");
    world.run(&[]);
    world.image("v4");
    world.run(&[]);
    insta::assert_snapshot!(world.text());
}

/// Labels and NoExecute taints send pods away, NoSchedule taints only keep new ones off; with a node that
/// is gone goes the pod that waits for it.
#[test]
fn nodes_come_and_go() {
    let spec = json!({"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}});
    let mut world = Simulation::new(&spec, &["a", "b", "c"]);
    world.run(&["agent-3"]);
    let taint = |effect| json!({"spec": {"taints": [{"key": "k", "effect": effect}]}});
    world
        .log
        .push("== NoSchedule on a, NoExecute on b, c is gone".to_owned());
    world.node("a", &taint("NoSchedule"));
    world.node("b", &taint("NoExecute"));
    world.nodes.remove("c");
    world.run(&[]);
    world
        .log
        .push("== another label on a, b is free again".to_owned());
    world.node("a", &json!({"metadata": {"labels": {"disk": "hdd"}}}));
    world.node("b", &json!({}));
    world.run(&[]);
    insta::assert_snapshot!(world.text());
}

/// A failed pod is deleted and made anew, with a pause when that goes on.
#[test]
fn failed_pods_are_replaced_with_pauses() {
    let mut world = Simulation::new(&json!({}), &["a"]);
    world.run(&[]);
    world.report("agent-1", "Failed");
    world.run(&["agent-2"]);
    world.report("agent-2", "Failed");
    world.settle();
    let wait = world.again_in.expect("a pause");
    world.log.push(format!("== wait {wait:?}"));
    world.now += SignedDuration::try_from(wait).expect("short");
    world.run(&[]);
    insta::assert_snapshot!(world.text());
}

/// C-7.
#[test]
fn pods_are_taken_in_and_let_go() {
    let mut world = Simulation::new(&json!({}), &["a", "b"]);
    let stray = json!({"metadata": {"name": "stray", "namespace": "ns", "uid": "s", "labels": {"app": "agent"}},
        "spec": {"nodeName": "a", "containers": []}});
    let stray = serde_json::from_value(stray).expect("a pod");
    world.pods.insert("stray".to_owned(), Arc::new(stray));
    world.settle();
    let pod = Arc::make_mut(world.pods.get_mut("agent-1").expect("a pod"));
    pod.labels_mut().clear();
    world.settle();
    insta::assert_snapshot!(world.text());
}

proptest! {
    /// Whatever nodes and kubelets do: never two pods of one template on a node, never more missing than
    /// allowed because of an update, and at the end every node has its pod of the last template.
    #[test]
    fn every_node_gets_the_last_template(
        surge in 0..3i32,
        unavailable in 0..3i32,
        events in proptest::collection::vec((0..5u8, 0..4usize), 0..40),
    ) {
        let spec = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate":
            {"maxSurge": surge, "maxUnavailable": if surge == 0 { unavailable.max(1) } else { 0 }}}});
        let names = ["a", "b", "c", "d"];
        let mut world = Simulation::new(&spec, &names);
        world.run(&[]);
        let mut images = 1;
        for (event, at) in events {
            match event {
                0 => {
                    images += 1;
                    world.image(&format!("v{images}"));
                }
                1 => world.node(names[at], &json!({"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}})),
                2 => world.node(names[at], &json!({})),
                _ => {
                    let name = world.pods.keys().nth(at).cloned();
                    if let Some(name) = name {
                        if is_terminating(&*world.pods[&name]) {
                            world.pods.remove(&name);
                        } else {
                            world.report(&name, "Running");
                        }
                    }
                }
            }
            world.settle();
            let mut seen = std::collections::HashSet::new();
            for pod in world.pods.values().filter(|pod| !is_terminating(&***pod)) {
                let hash = pod.labels().get(HASH_LABEL).cloned();
                prop_assert!(seen.insert((target(pod).map(str::to_owned), hash)), "{}", world.text());
            }
        }
        for name in names {
            world.node(name, &json!({}));
        }
        world.run(&[]);
        prop_assert_eq!(world.pods.len(), names.len());
        let status = world.set.status.clone().unwrap_or_default();
        prop_assert_eq!(status.updated_number_scheduled, Some(4));
        prop_assert_eq!(status.number_available, Some(4));
    }
}
