//! Every interleaving of a small world: users edit, the kubelet works, informers lag behind each other,
//! the controller crashes between any two writes. Identity and order hold in all of them, and nothing
//! comes to rest but at the goal.
//!
//! What the checker walks is a small value; each plan is made by the real `plan` on objects built from
//! what the controller has seen. A controller reads its own writes (C-4): it plans only after both
//! informers have caught up with what it wrote, but they may be behind on everybody else's.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, StatefulSet},
    core::v1::Pod,
};
use kube::ResourceExt;
use serde_json::json;
use stateright::{Checker, Model, Property};

use crate::{
    history::{canonical, data, name_hash, revision_name},
    statefulset::{
        action::Action,
        identity,
        plan::{Plan, World, plan},
    },
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SetState {
    replicas: i32,
    template: u8,
    generation: i64,
    status: Status,
}

/// Revisions stand for their template's number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Status {
    observed: i64,
    replicas: i32,
    ready: i32,
    available: i32,
    current: i32,
    updated: i32,
    current_revision: Option<u8>,
    update_revision: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PodState {
    uid: u8,
    revision: u8,
    ready: bool,
    terminating: bool,
}

type Pods = BTreeMap<u32, PodState>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Write {
    Create { ordinal: u32, revision: u8 },
    Delete { ordinal: u32, uid: u8 },
    Status(Status),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Cluster {
    set: SetState,
    pods: Pods,
    uids: u8,
    seen_set: SetState,
    seen_pods: Pods,
    must_see_set: bool,
    must_see_pods: bool,
    /// What is left of the controller's round.
    round: Vec<Write>,
    edits: Vec<Edit>,
    crashes: u8,
    fault: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Edit {
    Scale(i32),
    Template(u8),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
    Edit(usize),
    Ready(u32),
    Gone(u32),
    SeeSet,
    SeePods,
    Plan(Vec<Write>),
    Write,
    Crash,
}

struct Small {
    ordered: bool,
    edits: Vec<Edit>,
    names: Vec<String>,
    revisions: Vec<Arc<ControllerRevision>>,
}

impl Small {
    fn new(ordered: bool, edits: Vec<Edit>) -> Self {
        let mut small = Self {
            ordered,
            edits,
            names: Vec::new(),
            revisions: Vec::new(),
        };
        for template in 0..2u8 {
            let set = small.object(&initial(template));
            let template = &set.spec.as_ref().expect("a spec").template;
            let data = data(serde_json::to_value(template).expect("serializes"));
            let name = revision_name("web", &name_hash(&canonical(&data), 0));
            let revision = json!({
                "metadata": {"name": name, "namespace": "ns", "uid": name,
                    "labels": {"app": "web"}, "ownerReferences": [owner()]},
                "data": data, "revision": small.names.len() + 1,
            });
            small.names.push(name);
            let revision = serde_json::from_value(revision).expect("a revision");
            small.revisions.push(Arc::new(revision));
        }
        small
    }

    fn object(&self, set: &SetState) -> StatefulSet {
        let status = &set.status;
        let name = |revision: Option<u8>| revision.map(|r| self.names[usize::from(r)].clone());
        let mut object = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "web", "namespace": "ns", "uid": "set",
                "generation": set.generation},
            "spec": {
                "replicas": set.replicas, "serviceName": "web",
                "podManagementPolicy": if self.ordered { "OrderedReady" } else { "Parallel" },
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "main", "image": format!("v{}", set.template)}]}},
            },
        });
        if status.observed > 0 {
            object["status"] = json!({
                "observedGeneration": status.observed, "replicas": status.replicas,
                "readyReplicas": status.ready, "availableReplicas": status.available,
                "currentReplicas": status.current, "updatedReplicas": status.updated,
                "currentRevision": name(status.current_revision),
                "updateRevision": name(status.update_revision), "collisionCount": 0,
            });
        }
        serde_json::from_value(object).expect("a set")
    }

    fn pod(&self, ordinal: u32, pod: &PodState) -> Arc<Pod> {
        let name = format!("web-{ordinal}");
        let deleted = pod.terminating.then_some("2026-01-01T00:00:00Z");
        let object = json!({
            "metadata": {"name": name, "namespace": "ns", "uid": pod.uid.to_string(),
                "deletionTimestamp": deleted, "ownerReferences": [owner()],
                "labels": {"app": "web", identity::POD_NAME_LABEL: name,
                    identity::REVISION_LABEL: self.names[usize::from(pod.revision)]}},
            "status": {"phase": if pod.ready { "Running" } else { "Pending" },
                "conditions": [{"type": "Ready", "status": if pod.ready { "True" } else { "False" }}]},
        });
        Arc::new(serde_json::from_value(object).expect("a pod"))
    }

    /// The real plan, on what the controller has seen.
    fn plan(&self, state: &Cluster) -> Vec<Write> {
        let set = self.object(&state.seen_set);
        let pods: Vec<_> = state
            .seen_pods
            .iter()
            .map(|(o, pod)| self.pod(*o, pod))
            .collect();
        let known = &self.revisions[..=usize::from(state.seen_set.template)];
        let world = World {
            set: &set,
            pods: &pods,
            revisions: known,
            revision_named: &|name| known.iter().find(|r| r.name_any() == name).cloned(),
            claim_named: &|_| None,
        };
        let Plan::Sync(sync) = plan(&world, Timestamp::UNIX_EPOCH).expect("a plan") else {
            panic!("nothing needs preparation here");
        };
        let actions = sync
            .stages
            .iter()
            .flat_map(|stage| &stage.tasks)
            .flat_map(|t| &t.actions);
        let mut round: Vec<Write> = actions.map(|action| self.write(action)).collect();
        round.extend(sync.status.map(|status| {
            let number = |name: &Option<String>| name.as_ref().and_then(|name| self.number(name));
            Write::Status(Status {
                observed: status.observed_generation.unwrap_or(0),
                replicas: status.replicas,
                ready: status.ready_replicas.unwrap_or(0),
                available: status.available_replicas.unwrap_or(0),
                current: status.current_replicas.unwrap_or(0),
                updated: status.updated_replicas.unwrap_or(0),
                current_revision: number(&status.current_revision),
                update_revision: number(&status.update_revision),
            })
        }));
        round
    }

    fn number(&self, name: &str) -> Option<u8> {
        let at = self.names.iter().position(|known| known == name)?;
        u8::try_from(at).ok()
    }

    fn write(&self, action: &Action) -> Write {
        let ordinal = |name: &str| {
            let (_, digits) = name.rsplit_once('-').expect("a member's name");
            digits.parse().expect("an ordinal")
        };
        match action {
            Action::CreatePod(pod) => Write::Create {
                ordinal: ordinal(&pod.name_any()),
                revision: self.number(identity::revision(pod)).expect("known"),
            },
            Action::DeletePod { name, uid } => Write::Delete {
                ordinal: ordinal(name),
                uid: uid.parse().expect("a number"),
            },
            other => panic!("not in this world: {other:?}"),
        }
    }

    fn perform(&self, state: &mut Cluster, write: Write) {
        match write {
            Write::Create { ordinal, revision } => {
                if state.pods.contains_key(&ordinal) {
                    // AlreadyExists ends the round; the status is still written.
                    state
                        .round
                        .retain(|write| matches!(write, Write::Status(_)));
                    return;
                }
                let lower = (0..ordinal).map(|lower| state.pods.get(&lower));
                let ready = |pod: Option<&PodState>| pod.is_some_and(|p| p.ready && !p.terminating);
                if self.ordered && !lower.into_iter().all(ready) {
                    state.fault = Some("a member was made before those below it were ready");
                }
                state.uids += 1;
                let pod = PodState {
                    uid: state.uids,
                    revision,
                    ready: false,
                    terminating: false,
                };
                state.pods.insert(ordinal, pod);
                state.must_see_pods = true;
            }
            Write::Delete { ordinal, uid } => {
                let others = |state: &Cluster| {
                    state
                        .pods
                        .iter()
                        .any(|(o, pod)| *o != ordinal && pod.terminating)
                };
                if self.ordered && others(state) {
                    state.fault = Some("two members were on their way out");
                }
                match state.pods.get_mut(&ordinal) {
                    Some(pod) if pod.uid == uid => {
                        if pod.terminating {
                            state.fault = Some("a member was deleted twice");
                        }
                        pod.terminating = true;
                        state.must_see_pods = true;
                    }
                    // The precondition turns the deletion of a successor into nothing.
                    _ => state.fault = Some("the controller was wrong about who is there"),
                }
            }
            Write::Status(status) => {
                state.set.status = status;
                state.must_see_set = true;
            }
        }
    }
}

fn initial(template: u8) -> SetState {
    SetState {
        replicas: 2,
        template,
        generation: 1,
        status: Status::default(),
    }
}

fn owner() -> serde_json::Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "set",
        "controller": true, "blockOwnerDeletion": true})
}

fn at_goal(state: &Cluster) -> bool {
    let set = &state.set;
    let wanted = u32::try_from(set.replicas).expect("not negative");
    let status = &set.status;
    state.pods.keys().copied().eq(0..wanted)
        && state
            .pods
            .values()
            .all(|p| p.ready && !p.terminating && p.revision == set.template)
        && status.observed == set.generation
        && [
            status.replicas,
            status.ready,
            status.available,
            status.current,
            status.updated,
        ]
        .iter()
        .all(|count| *count == set.replicas)
        && status.current_revision == Some(set.template)
        && status.update_revision == Some(set.template)
}

impl Model for Small {
    type State = Cluster;
    type Action = Step;

    fn init_states(&self) -> Vec<Cluster> {
        let set = initial(0);
        vec![Cluster {
            seen_set: set.clone(),
            set,
            pods: Pods::new(),
            uids: 0,
            seen_pods: Pods::new(),
            must_see_set: false,
            must_see_pods: false,
            round: Vec::new(),
            edits: self.edits.clone(),
            crashes: 1,
            fault: None,
        }]
    }

    fn actions(&self, state: &Cluster, steps: &mut Vec<Step>) {
        steps.extend((0..state.edits.len()).map(Step::Edit));
        for (ordinal, pod) in &state.pods {
            if pod.terminating {
                steps.push(Step::Gone(*ordinal));
            } else if !pod.ready {
                steps.push(Step::Ready(*ordinal));
            }
        }
        if state.seen_set != state.set || state.must_see_set {
            steps.push(Step::SeeSet);
        }
        if state.seen_pods != state.pods || state.must_see_pods {
            steps.push(Step::SeePods);
        }
        if !state.round.is_empty() {
            steps.push(Step::Write);
            if state.crashes > 0 {
                steps.push(Step::Crash);
            }
        } else if !state.must_see_set && !state.must_see_pods {
            let round = self.plan(state);
            if !round.is_empty() {
                steps.push(Step::Plan(round));
            }
        }
    }

    fn next_state(&self, last: &Cluster, step: Step) -> Option<Cluster> {
        let mut state = last.clone();
        match step {
            Step::Edit(index) => {
                match state.edits.remove(index) {
                    Edit::Scale(replicas) => state.set.replicas = replicas,
                    Edit::Template(template) => state.set.template = template,
                }
                state.set.generation += 1;
            }
            Step::Ready(ordinal) => state.pods.get_mut(&ordinal)?.ready = true,
            Step::Gone(ordinal) => {
                state.pods.remove(&ordinal);
            }
            Step::SeeSet => {
                state.seen_set = state.set.clone();
                state.must_see_set = false;
            }
            Step::SeePods => {
                state.seen_pods = state.pods.clone();
                state.must_see_pods = false;
            }
            Step::Plan(round) => state.round = round,
            Step::Write => {
                let write = state.round.remove(0);
                self.perform(&mut state, write);
            }
            Step::Crash => {
                // A new process begins with a fresh list.
                state.crashes -= 1;
                state.round.clear();
                state.seen_set = state.set.clone();
                state.seen_pods = state.pods.clone();
                state.must_see_set = false;
                state.must_see_pods = false;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("identity and order", |_, state: &Cluster| {
                state.fault.is_none()
            }),
            Property::always("rest only at the goal", |model: &Self, state| {
                let mut steps = Vec::new();
                model.actions(state, &mut steps);
                !steps.is_empty() || at_goal(state)
            }),
            Property::eventually("the goal is reached", |_, state| at_goal(state)),
        ]
    }
}

fn check(ordered: bool, edits: &[Edit]) {
    Small::new(ordered, edits.to_vec())
        .checker()
        .threads(2)
        .spawn_bfs()
        .join()
        .assert_properties();
}

#[test]
fn ordered_scale_up_and_update() {
    check(true, &[Edit::Scale(3), Edit::Template(1)]);
}

#[test]
fn ordered_scale_down_and_update() {
    check(true, &[Edit::Scale(1), Edit::Template(1)]);
}

#[test]
fn ordered_up_and_down() {
    check(true, &[Edit::Scale(3), Edit::Scale(1)]);
}

#[test]
fn parallel_scale_up_and_update() {
    check(false, &[Edit::Scale(3), Edit::Template(1)]);
}
