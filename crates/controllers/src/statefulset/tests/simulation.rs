//! A small API with its kubelets, played one write at a time and written down as a timeline. Knows what
//! the API does with a write, nothing of why it comes.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, StatefulSet},
        core::v1::{PersistentVolumeClaim, Pod, PodCondition, PodStatus},
    },
    apimachinery::pkg::apis::meta::v1::{OwnerReference, Time},
};
use kube::{Resource, ResourceExt};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::statefulset::{
    action::{Action, Task},
    identity,
    plan::{Plan, Sync, World, plan},
};

/// Everything there is, and what was written so far.
#[derive(Clone)]
pub(crate) struct Simulation {
    pub(crate) set: StatefulSet,
    pub(crate) pods: BTreeMap<String, Arc<Pod>>,
    pub(crate) claims: BTreeMap<String, Arc<PersistentVolumeClaim>>,
    pub(crate) revisions: BTreeMap<String, Arc<ControllerRevision>>,
    pub(crate) now: Timestamp,
    pub(crate) log: Vec<String>,
    /// Revisions by the letter they are called in the log, in order of appearance.
    letters: Vec<String>,
    writes: u64,
}

impl Simulation {
    pub(crate) fn new(mut set: Value) -> Self {
        let kind = plinth_api::find("apps", "v1", "statefulsets").expect("in the catalogue");
        kind.strategy.default(&mut set);
        let mut set: StatefulSet = serde_json::from_value(set).expect("a StatefulSet");
        set.metadata.namespace = Some("ns".to_owned());
        set.metadata.uid = Some("set".to_owned());
        set.metadata.generation = Some(1);
        Self {
            set,
            pods: BTreeMap::new(),
            claims: BTreeMap::new(),
            revisions: BTreeMap::new(),
            now: "2026-01-01T00:00:00Z".parse().expect("a time"),
            log: Vec::new(),
            letters: Vec::new(),
            writes: 0,
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        let pods: Vec<_> = self.pods.values().cloned().collect();
        let revisions: Vec<_> = self.revisions.values().cloned().collect();
        let world = World {
            set: &self.set,
            pods: &pods,
            revisions: &revisions,
            revision_named: &|name| self.revisions.get(name).cloned(),
            claim_named: &|name| self.claims.get(name).cloned(),
        };
        plan(&world, self.now).expect("a plan")
    }

    /// Plans and writes until there is nothing to write.
    pub(crate) fn settle(&mut self) {
        self.settle_watched(&mut |_, _| ());
    }

    /// Like [`Self::settle`]; `watch` sees each write before it happens.
    pub(crate) fn settle_watched(&mut self, watch: &mut dyn FnMut(&Self, &Action)) {
        for _ in 0..200 {
            if !self.round(watch) {
                return;
            }
        }
        panic!("never quiet:\n{}", self.log.join("\n"));
    }

    /// One round as the controller does it; whether anything was written.
    pub(crate) fn round(&mut self, watch: &mut dyn FnMut(&Self, &Action)) -> bool {
        match self.plan() {
            Plan::Prepare(actions) => {
                for action in &actions {
                    watch(self, action);
                    self.execute(action);
                }
                true
            }
            Plan::Sync(sync) => self.run(&sync, watch),
        }
    }

    fn run(&mut self, sync: &Sync, watch: &mut dyn FnMut(&Self, &Action)) -> bool {
        let before = self.writes;
        let mut refused = false;
        'stages: for stage in &sync.stages {
            for task in &stage.tasks {
                if !self.task(task, watch) {
                    refused = true;
                    break 'stages;
                }
            }
        }
        if let Some(status) = &sync.status {
            let mut line = format!("STATUS replicas={}", status.replicas);
            let count = |count: Option<i32>| count.unwrap_or(0);
            let name = |name: &Option<String>| name.clone().unwrap_or_default();
            let (current, update) = (
                name(&status.current_revision),
                name(&status.update_revision),
            );
            let (current, update) = (self.letter(&current), self.letter(&update));
            write!(
                line,
                " ready={} available={} current={}@{current} updated={}@{update}",
                count(status.ready_replicas),
                count(status.available_replicas),
                count(status.current_replicas),
                count(status.updated_replicas),
            )
            .expect("strings take writes");
            self.set.status = Some((**status).clone());
            self.wrote(line);
        }
        if !refused {
            for action in &sync.prune {
                self.execute(action);
            }
        }
        self.writes != before
    }

    fn task(&mut self, task: &Task, watch: &mut dyn FnMut(&Self, &Action)) -> bool {
        task.actions.iter().all(|action| {
            watch(self, action);
            self.execute(action)
        })
    }

    /// Does what the API does; whether it accepted.
    pub(crate) fn execute(&mut self, action: &Action) -> bool {
        match action {
            Action::AdoptPod { name, uid } => {
                let set = self.owner();
                let pod = change(&mut self.pods, name, uid);
                pod.owner_references_mut().push(set);
                self.wrote(format!("PATCH Pod {name}: adopt"));
            }
            Action::ReleasePod { name, uid } => {
                let pod = change(&mut self.pods, name, uid);
                pod.owner_references_mut()
                    .retain(|owner| owner.uid != "set");
                self.wrote(format!("PATCH Pod {name}: release"));
            }
            Action::AdoptRevision { name, uid } => {
                let set = self.owner();
                let revision = change(&mut self.revisions, name, uid);
                revision.owner_references_mut().push(set);
                let letter = self.letter(name);
                self.wrote(format!("PATCH ControllerRevision {letter}: adopt"));
            }
            Action::CreateRevision(revision) => {
                let letter = self.letter(&revision.name_any());
                let number = revision.revision;
                let revision = self.admit((**revision).clone());
                assert!(
                    self.revisions
                        .insert(revision.name_any(), revision)
                        .is_none()
                );
                self.wrote(format!(
                    "POST ControllerRevision {letter} revision={number}"
                ));
            }
            Action::RenumberRevision {
                name,
                uid,
                revision: number,
            } => {
                change(&mut self.revisions, name, uid).revision = *number;
                let letter = self.letter(name);
                self.wrote(format!(
                    "PATCH ControllerRevision {letter}: revision={number}"
                ));
            }
            Action::DeleteRevision { name, .. } => {
                self.revisions.remove(name).expect("exists");
                let letter = self.letter(name);
                self.wrote(format!("DELETE ControllerRevision {letter}"));
            }
            Action::CreatePod(pod) => return self.create_pod(pod),
            Action::RepairPod {
                name,
                uid,
                labels,
                volumes,
            } => {
                if volumes.is_some() {
                    self.log.push(format!("PATCH Pod {name}: volumes -> 422"));
                    return false;
                }
                let pod = change(&mut self.pods, name, uid);
                pod.labels_mut().extend(labels.clone());
                self.wrote(format!("PATCH Pod {name}: labels"));
            }
            Action::DeletePod { name, uid } => {
                let now = self.now;
                let pod = change(&mut self.pods, name, uid);
                pod.metadata.deletion_timestamp = Some(Time(now));
                self.wrote(format!("DELETE Pod {name}"));
            }
            Action::CreateClaim(claim) => {
                let name = claim.name_any();
                let claim = self.admit((**claim).clone());
                assert!(
                    self.claims.insert(name.clone(), claim).is_none(),
                    "{name} exists"
                );
                self.wrote(format!("POST PersistentVolumeClaim {name}"));
            }
            Action::OwnClaim { name, owners, .. } => {
                let claim = Arc::make_mut(self.claims.get_mut(name).expect("exists"));
                claim.metadata.owner_references = Some(owners.clone());
                let owners: Vec<_> = owners
                    .iter()
                    .map(|owner| format!("{}/{}", owner.kind, owner.name))
                    .collect();
                let owners = owners.join(",");
                self.wrote(format!(
                    "PATCH PersistentVolumeClaim {name}: owners=[{owners}]"
                ));
            }
            Action::TellConflict { claim } => {
                self.log
                    .push(format!("EVENT ConflictingController {claim}"));
            }
            Action::Refuse(why) => {
                self.log.push(format!("REFUSED {why}"));
                return false;
            }
        }
        true
    }

    fn create_pod(&mut self, pod: &Pod) -> bool {
        let name = pod.name_any();
        let letter = self.letter(identity::revision(pod));
        if self.pods.contains_key(&name) {
            self.log
                .push(format!("POST Pod {name} @{letter} -> AlreadyExists"));
            return false;
        }
        let mut pod = self.admit(pod.clone());
        Arc::make_mut(&mut pod).status = Some(PodStatus {
            phase: Some("Pending".to_owned()),
            ..PodStatus::default()
        });
        self.pods.insert(name.clone(), pod);
        self.wrote(format!("POST Pod {name} @{letter}"));
        true
    }

    fn admit<K: Resource + Clone>(&mut self, mut object: K) -> Arc<K> {
        self.writes += 1;
        let uid = format!("u{}", self.writes);
        object.meta_mut().uid = Some(uid);
        object.meta_mut().resource_version = Some(self.writes.to_string());
        object.meta_mut().creation_timestamp = Some(Time(self.now));
        Arc::new(object)
    }

    fn wrote(&mut self, line: String) {
        self.writes += 1;
        self.log.push(line);
    }

    fn owner(&self) -> OwnerReference {
        self.set
            .controller_owner_ref(&())
            .expect("the set has a name and a UID")
    }

    /// A revision's letter in the log: A for the first, B for the second, …
    fn letter(&mut self, name: &str) -> String {
        if name.is_empty() {
            return "-".to_owned();
        }
        let known = self.letters.iter().position(|known| known == name);
        let index = known.unwrap_or_else(|| {
            self.letters.push(name.to_owned());
            self.letters.len() - 1
        });
        char::from(b'A' + u8::try_from(index).expect("few revisions")).to_string()
    }
}

/// What users and kubelets do.
impl Simulation {
    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    pub(crate) fn edit_set(&mut self, patch: &Value) {
        let old = self.set.spec.clone();
        let mut object = serde_json::to_value(&self.set).expect("serializes");
        merge(&mut object, patch);
        let kind = plinth_api::find("apps", "v1", "statefulsets").expect("in the catalogue");
        kind.strategy.default(&mut object);
        self.set = serde_json::from_value(object).expect("a StatefulSet");
        if self.set.spec != old {
            self.set.metadata.generation = self.set.metadata.generation.map(|g| g + 1);
        }
    }

    pub(crate) fn edit<K>(objects: &mut BTreeMap<String, Arc<K>>, name: &str, patch: &Value)
    where
        K: Resource + Serialize + DeserializeOwned,
    {
        let mut object = match objects.get(name) {
            Some(object) => serde_json::to_value(&**object).expect("serializes"),
            None => {
                json!({"metadata": {"name": name, "namespace": "ns", "uid": format!("user-{name}")}})
            }
        };
        merge(&mut object, patch);
        let object = serde_json::from_value(object).expect("still the same kind");
        objects.insert(name.to_owned(), Arc::new(object));
    }

    /// The set is deleted with its dependents orphaned, and made again.
    pub(crate) fn orphan_all(&mut self) {
        self.set.status = None;
        self.set.metadata.generation = Some(1);
        for pod in self.pods.values_mut() {
            Arc::make_mut(pod).metadata.owner_references = None;
        }
        for revision in self.revisions.values_mut() {
            Arc::make_mut(revision).metadata.owner_references = None;
        }
    }

    /// The kubelet reports the pod's phase and readiness.
    pub(crate) fn report(&mut self, name: &str, phase: &str, ready: bool) {
        let now = self.now;
        let pod = Arc::make_mut(self.pods.get_mut(name).expect("exists"));
        let status = pod.status.get_or_insert_default();
        status.phase = Some(phase.to_owned());
        status.conditions = Some(vec![PodCondition {
            type_: "Ready".to_owned(),
            status: if ready { "True" } else { "False" }.to_owned(),
            last_transition_time: Some(Time(now)),
            ..PodCondition::default()
        }]);
    }

    pub(crate) fn delete_pod(&mut self, name: &str) {
        let pod = Arc::make_mut(self.pods.get_mut(name).expect("exists"));
        pod.metadata.deletion_timestamp = Some(Time(self.now));
    }

    /// The kubelet confirms a deletion; the garbage collector takes what belonged to the pod.
    pub(crate) fn gone(&mut self, name: &str) {
        let pod = self.pods.remove(name).expect("exists");
        let uid = pod.uid();
        self.claims.retain(|_, claim| {
            let owners = claim.owner_references();
            !owners.iter().any(|owner| Some(&owner.uid) == uid.as_ref())
        });
    }

    /// Lets the kubelets do their work, one step at a time and lowest name first, until all is quiet.
    /// `stuck` pods never get ready.
    pub(crate) fn run_kubelets(&mut self, stuck: &[String]) {
        self.settle();
        for _ in 0..1000 {
            let Some((name, terminating)) = self.next_step(stuck) else {
                return;
            };
            if terminating {
                self.gone(&name);
                self.log.push(format!("  [gone {name}]"));
            } else {
                self.report(&name, "Running", true);
                self.log.push(format!("  [ready {name}]"));
            }
            self.settle();
        }
        panic!("never quiet:\n{}", self.log.join("\n"));
    }

    fn next_step(&self, stuck: &[String]) -> Option<(String, bool)> {
        self.pods.values().find_map(|pod| {
            let name = pod.name_any();
            let terminating = pod.metadata.deletion_timestamp.is_some();
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            let starting = phase == Some("Pending") && !stuck.contains(&name);
            (terminating || starting).then_some((name, terminating))
        })
    }
}

fn change<'a, K: Resource + Clone>(
    objects: &'a mut BTreeMap<String, Arc<K>>,
    name: &str,
    uid: &str,
) -> &'a mut K {
    let object = objects.get_mut(name).expect("exists");
    assert_eq!(object.meta().uid.as_deref(), Some(uid), "another {name}");
    Arc::make_mut(object)
}

/// RFC 7386.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
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
