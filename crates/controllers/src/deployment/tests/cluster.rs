//! A cluster of one Deployment in memory: its plans and those of its sets are played on it, and a kubelet
//! that does what it is told. Pods of the image `broken` never become ready.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, ReplicaSet},
        core::v1::{Pod, PodCondition, PodStatus},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt;

use crate::{
    deployment::plan::{Plan, World, plan},
    ownership::{controlled_by, controller},
    pods::{is_active, is_ready},
    replicaset,
    testing::object,
};

/// More rounds than any rollout here needs.
const MANY: usize = 100;

#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) deployment: Deployment,
    pub(super) sets: BTreeMap<String, Arc<ReplicaSet>>,
    pub(super) pods: BTreeMap<String, Arc<Pod>>,
    /// Whether deleted pods stay, terminating, until they are confirmed.
    pub(super) linger: bool,
    made: i64,
}

impl Cluster {
    /// A Deployment of the image v1, with that in its spec.
    pub(super) fn new(spec: &str) -> Self {
        let deployment = object(&format!(
            "
metadata: {{name: web, namespace: default, uid: d1, generation: 1, annotations: {{note: kept}}}}
spec: {{{spec}, selector: {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: c, image: v1}}]}}}}}}"
        ));
        let mut cluster = Self {
            deployment,
            sets: BTreeMap::new(),
            pods: BTreeMap::new(),
            linger: false,
            made: 0,
        };
        cluster.edit(|spec| {
            let strategy = spec.strategy.get_or_insert_default();
            if strategy.type_.is_none() {
                *strategy = object(
                    "{type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}",
                );
            }
        });
        cluster
    }

    pub(super) fn edit(&mut self, edit: impl FnOnce(&mut DeploymentSpec)) {
        edit(self.deployment.spec.as_mut().expect("a spec"));
        *self
            .deployment
            .metadata
            .generation
            .as_mut()
            .expect("a generation") += 1;
    }

    pub(super) fn set_image(&mut self, image: &str) {
        self.edit(|spec| {
            let spec = spec.template.spec.as_mut().expect("a pod's spec");
            spec.containers[0].image = Some(image.to_owned());
        });
    }

    pub(super) fn take_name(&mut self, name: &str) {
        let set = object(&format!(
            "
metadata: {{name: {name}, namespace: default, uid: x}}
spec: {{selector: {{matchLabels: {{app: other}}}}}}"
        ));
        self.sets.insert(name.to_owned(), Arc::new(set));
    }

    pub(super) fn plan(&self, now: Timestamp) -> Plan {
        let sets: Vec<_> = self.sets.values().cloned().collect();
        let world = World {
            deployment: &self.deployment,
            sets: &sets,
            set_named: &|name| self.sets.get(name).cloned(),
            pods_of: &|uid| self.pods_of(uid),
        };
        plan(&world, now).expect("a Deployment that can be worked on")
    }

    fn pods_of(&self, uid: &str) -> Vec<Arc<Pod>> {
        let of = |pod: &&Arc<Pod>| controller(&***pod).is_some_and(|owner| owner.uid == uid);
        self.pods.values().filter(of).cloned().collect()
    }

    /// One round of the Deployment; whether it wrote anything.
    pub(super) fn reconcile(&mut self, now: Timestamp) -> bool {
        let Plan::Sync(round) = self.plan(now) else {
            panic!("no set comes or goes here");
        };
        let wrote = !round.write.is_empty() || !round.delete.is_empty() || round.report.is_some();
        for set in round.write {
            let mut object = set.object.clone();
            self.made += 1;
            if set.is_new() {
                object.metadata.uid = Some(format!("uid-{}", self.made));
                let made = Timestamp::from_second(self.made).expect("a time");
                object.metadata.creation_timestamp = Some(Time(made));
            }
            *object.metadata.generation.get_or_insert(0) += 1;
            self.sets.insert(set.name(), Arc::new(object));
        }
        for set in round.delete {
            self.sets.remove(&set.name_any());
        }
        if let Some(report) = round.report {
            self.deployment = report;
        }
        wrote
    }

    pub(super) fn reconcile_sets(&mut self, now: Timestamp) {
        let names: Vec<_> = self.sets.keys().cloned().collect();
        for name in names {
            while self.reconcile_set(&name, now) {}
        }
    }

    /// One round of a set; whether it wrote anything.
    pub(super) fn reconcile_set(&mut self, name: &str, now: Timestamp) -> bool {
        let set = Arc::clone(&self.sets[name]);
        let pods: Vec<_> = self.pods.values().cloned().collect();
        let world = replicaset::World {
            set: &set,
            owner: &controlled_by(&*set),
            pods: &pods,
            related: &|| pods.clone(),
        };
        match replicaset::plan(&world, now).expect("a set that can be worked on") {
            replicaset::Plan::Claim(_) => panic!("no pod comes or goes here"),
            replicaset::Plan::Create(count, template) => {
                for _ in 0..count {
                    self.made += 1;
                    let mut pod = Pod::clone(&template);
                    let name = format!("{name}-{}", self.made);
                    pod.metadata.uid = Some(name.clone());
                    pod.metadata.name = Some(name.clone());
                    pod.metadata.creation_timestamp = Some(Time(now));
                    self.pods.insert(name, Arc::new(pod));
                }
            }
            replicaset::Plan::Delete(victims) => {
                for pod in victims {
                    if self.linger {
                        let mut pod = Pod::clone(&pod);
                        pod.metadata.deletion_timestamp = Some(Time(now));
                        self.pods.insert(pod.name_any(), Arc::new(pod));
                    } else {
                        self.pods.remove(&pod.name_any());
                    }
                }
            }
            replicaset::Plan::Report(None, _) => return false,
            replicaset::Plan::Report(status, _) => {
                let mut set = ReplicaSet::clone(&set);
                set.status = status;
                self.sets.insert(name.to_owned(), Arc::new(set));
            }
        }
        true
    }

    pub(super) fn confirm_deletions(&mut self) {
        self.pods
            .retain(|_, pod| pod.metadata.deletion_timestamp.is_none());
        self.reconcile_sets(super::now());
    }

    /// Up to `count` pods become ready.
    pub(super) fn make_ready(&mut self, count: usize, now: Timestamp) {
        let unready =
            |pod: &&mut Arc<Pod>| is_active(pod) && !is_ready(pod) && image(pod) != "broken";
        for pod in self.pods.values_mut().filter(unready).take(count) {
            let pod = Arc::make_mut(pod);
            pod.status = Some(PodStatus {
                phase: Some("Running".to_owned()),
                conditions: Some(vec![PodCondition {
                    type_: "Ready".to_owned(),
                    status: "True".to_owned(),
                    last_transition_time: Some(Time(now)),
                    ..PodCondition::default()
                }]),
                ..PodStatus::default()
            });
        }
    }

    /// Plays everything until nothing is left to do.
    pub(super) fn settle(&mut self, now: Timestamp) {
        for _ in 0..MANY {
            self.make_ready(usize::MAX, now);
            self.reconcile_sets(now);
            if !self.reconcile(now) {
                return;
            }
        }
        panic!("it did not settle");
    }

    pub(super) fn is_quiet(&self, now: Timestamp) -> bool {
        !self.clone().reconcile(now)
    }

    pub(super) fn available(&self) -> usize {
        let ready = |pod: &&Arc<Pod>| is_active(pod) && is_ready(pod);
        self.pods.values().filter(ready).count()
    }

    /// The sizes that the sets are told, oldest first.
    pub(super) fn sizes(&self) -> Vec<i32> {
        let mut sets: Vec<_> = self.sets.values().collect();
        sets.sort_by_key(|set| set.metadata.creation_timestamp.clone().map(|time| time.0));
        let size = |set: &&Arc<ReplicaSet>| set.spec.as_ref().and_then(|spec| spec.replicas);
        sets.iter().filter_map(size).collect()
    }

    /// The images of all active pods.
    pub(super) fn images(&self) -> Vec<&str> {
        let active = self.pods.values().filter(|pod| is_active(pod));
        active.map(|pod| image(pod)).collect()
    }

    /// The images of all sets.
    pub(super) fn set_images(&self) -> Vec<String> {
        let template = |set: &Arc<ReplicaSet>| set.spec.as_ref()?.template.clone()?.spec;
        let specs = self.sets.values().filter_map(template);
        specs
            .filter_map(|spec| spec.containers[0].image.clone())
            .collect()
    }
}

fn image(pod: &Pod) -> &str {
    let spec = pod.spec.as_ref().expect("a spec");
    spec.containers[0].image.as_deref().unwrap_or_default()
}
