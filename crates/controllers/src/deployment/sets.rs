//! A Deployment's ReplicaSets while a plan changes them. Values only: what is to be written is read off at
//! the end.

use std::{cmp::Ordering, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
use kube::ResourceExt;

use super::{annotations, rollout::Rollout};

/// One set: as it is, and as it is to be.
#[derive(Debug, Clone)]
pub(crate) struct Set {
    /// `None` for a set that is still to be made.
    original: Option<Arc<ReplicaSet>>,
    pub(crate) object: ReplicaSet,
    /// What is told to the user once the set is written.
    pub(crate) tell: Vec<String>,
}

impl Set {
    pub(crate) fn existing(object: &Arc<ReplicaSet>) -> Self {
        Self {
            original: Some(Arc::clone(object)),
            object: ReplicaSet::clone(object),
            tell: Vec::new(),
        }
    }

    pub(crate) fn new(object: ReplicaSet) -> Self {
        Self {
            original: None,
            object,
            tell: Vec::new(),
        }
    }

    pub(crate) fn is_new(&self) -> bool {
        self.original.is_none()
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.original.as_deref() != Some(&self.object)
    }

    pub(crate) fn name(&self) -> String {
        self.object.name_any()
    }

    /// The pods it is told to have.
    pub(crate) fn replicas(&self) -> i32 {
        let spec = self.object.spec.as_ref();
        spec.and_then(|spec| spec.replicas).unwrap_or(1)
    }

    pub(crate) fn spec_mut(&mut self) -> &mut ReplicaSetSpec {
        self.object.spec.get_or_insert_default()
    }

    fn count(&self, of: impl Fn(&ReplicaSetStatus) -> Option<i32>) -> i32 {
        self.object.status.as_ref().and_then(of).unwrap_or(0)
    }

    /// The pods it has.
    pub(crate) fn actual(&self) -> i32 {
        self.count(|status| Some(status.replicas))
    }

    pub(crate) fn ready(&self) -> i32 {
        self.count(|status| status.ready_replicas)
    }

    pub(crate) fn available(&self) -> i32 {
        self.count(|status| status.available_replicas)
    }

    /// The available pods it will keep: those it was told to drop, and could not, are not counted on.
    pub(crate) fn lasting(&self) -> i32 {
        self.available().min(self.replicas())
    }

    /// `None` as long as nobody has counted.
    pub(crate) fn terminating(&self) -> Option<i32> {
        self.object.status.as_ref()?.terminating_replicas
    }

    /// Whether its controller has seen what it was last told.
    pub(crate) fn is_observed(&self) -> bool {
        let status = self.object.status.as_ref();
        let observed = status.and_then(|status| status.observed_generation);
        self.object.metadata.generation.unwrap_or(0) <= observed.unwrap_or(0)
    }

    /// Tells it a number of pods and the bounds that this number was found in (D-2, D-8).
    pub(crate) fn scale(&mut self, rollout: &Rollout<'_>, replicas: i32) -> bool {
        let old = self.replicas();
        self.spec_mut().replicas = Some(replicas);
        annotations::set_bounds(&mut self.object, rollout);
        if old == replicas {
            return false;
        }
        let direction = if old < replicas { "up" } else { "down" };
        self.tell.push(format!(
            "Scaled {direction} replica set {} from {old} to {replicas}",
            self.name()
        ));
        true
    }
}

/// Oldest first, then by name.
pub(crate) fn by_age(a: &Set, b: &Set) -> Ordering {
    // A set that is still to be made is the youngest.
    let created = |set: &Set| -> (bool, Option<Timestamp>) {
        let created = set.object.metadata.creation_timestamp.as_ref();
        (set.is_new(), created.map(|time| time.0))
    };
    created(a)
        .cmp(&created(b))
        .then_with(|| a.name().cmp(&b.name()))
}

/// The sets of a Deployment: the one with its template, and the others, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    pub(crate) new: Option<Set>,
    pub(crate) old: Vec<Set>,
}

impl Sets {
    /// The oldest set with the wanted template is the new one.
    pub(crate) fn sort(rollout: &Rollout<'_>, owned: &[Arc<ReplicaSet>]) -> Self {
        let mut old: Vec<Set> = owned.iter().map(Set::existing).collect();
        old.sort_by(by_age);
        let wanted = old.iter().position(|set| {
            let spec = set.object.spec.as_ref();
            let template = spec.and_then(|spec| spec.template.as_ref());
            template.is_some_and(|template| rollout.wants(template))
        });
        let new = wanted.map(|index| old.remove(index));
        Self { new, old }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(&self.new)
    }

    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Set> {
        self.old.iter_mut().chain(&mut self.new)
    }

    pub(crate) fn sum(&self, of: impl Fn(&Set) -> i32) -> i32 {
        self.all().map(of).sum()
    }
}
