//! Decides what a StatefulSet should have written next. Pure: no clock, no I/O, no memory.
//!
//! A plan is made from what is visible now; after its writes are visible the next plan goes on from
//! there. Nothing is remembered between plans, so a crash at any point loses nothing.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, StatefulSet, StatefulSetStatus},
    core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec},
};
use kube::ResourceExt;

use super::{
    action::{Action, Stage},
    condemned, health,
    membership::{self, Member},
    replicas,
    revision::{self, History, Reading},
    rollout,
    set::{Ordinal, Set, SetError},
    status,
};

/// Everything a decision may look at.
pub(crate) struct World<'a> {
    pub(crate) set: &'a StatefulSet,
    /// The pods of the namespace that the set controls or that nobody does; others do no harm.
    pub(crate) pods: &'a [Arc<Pod>],
    /// The revisions of the namespace that the set controls or that nobody does.
    pub(crate) revisions: &'a [Arc<ControllerRevision>],
    /// Any revision of the namespace.
    pub(crate) revision_named: &'a dyn Fn(&str) -> Option<Arc<ControllerRevision>>,
    /// Any claim of the namespace.
    pub(crate) claim_named: &'a dyn Fn(&str) -> Option<Arc<PersistentVolumeClaim>>,
}

/// The next writes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plan {
    /// Membership or history must be settled first; plan again when these are visible.
    Prepare(Vec<Action>),
    Sync(Sync),
}

/// One round of §2.3, from phase 6 on.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Sync {
    pub(crate) stages: Vec<Stage>,
    /// Written even when a stage failed; `None` when nothing in it changed (C-62).
    pub(crate) status: Option<Box<StatefulSetStatus>>,
    /// Revisions to delete when all stages went well.
    pub(crate) prune: Vec<Action>,
    /// When the mere passing of time makes a difference (C-3).
    pub(crate) again_in: Option<Duration>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    #[error(transparent)]
    Set(#[from] SetError),
    #[error("ControllerRevision {0} holds no pod template")]
    NoTemplate(String),
    #[error("{0}: every revision name is taken")]
    NoName(String),
    #[error("a pod template does not decode: {0}")]
    Template(#[from] serde_json::Error),
}

/// What the passes of one round share.
pub(crate) struct Round<'a> {
    pub(crate) world: &'a World<'a>,
    pub(crate) set: &'a Set<'a>,
    pub(crate) history: &'a History,
    /// By index: the in-range members, `None` where there is no pod.
    pub(crate) slots: &'a [Option<Arc<Pod>>],
    /// Out of range, highest ordinal first (C-10).
    pub(crate) condemned: &'a [Member],
    pub(crate) now: Timestamp,
}

/// Whether the passes after this one may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    GoOn,
    Stop,
}

impl Round<'_> {
    pub(crate) fn ordinal(&self, index: usize) -> Ordinal {
        // An index is below spec.replicas, which is an int32 like the start.
        Ordinal(
            self.set
                .start
                .saturating_add(u32::try_from(index).unwrap_or(u32::MAX)),
        )
    }

    pub(crate) fn is_unavailable(&self, pod: &Pod) -> bool {
        health::is_unavailable(pod, self.set.min_ready_seconds, self.now)
    }

    pub(crate) fn claim(&self, name: &str) -> Option<Arc<PersistentVolumeClaim>> {
        (self.world.claim_named)(name)
    }

    /// The name and template of the revision that a member created now is made from (C-13).
    pub(crate) fn revision_for(
        &self,
        ordinal: Ordinal,
        templates: &mut HashMap<String, PodTemplateSpec>,
    ) -> Result<(String, PodTemplateSpec), PlanError> {
        let revision = if super::template::created_at_current(self.set, ordinal) {
            &self.history.current
        } else {
            &self.history.update
        };
        let name = revision.name_any();
        if let Some(template) = templates.get(&name) {
            return Ok((name, template.clone()));
        }
        let template = revision::pod_template(revision)?;
        templates.insert(name.clone(), template.clone());
        Ok((name, template))
    }
}

/// Makes the plan for one set.
pub(crate) fn plan(world: &World<'_>, now: Timestamp) -> Result<Plan, PlanError> {
    let set = Set::parse(world.set)?;
    let pods = membership::sort(&set, world.pods);
    if set.deleting {
        return Ok(Plan::Sync(Sync {
            status: status::while_deleting(&set, &pods.members, now).map(Box::new),
            ..Sync::default()
        }));
    }
    let mut prepare: Vec<Action> = pods.adopt.iter().map(|pod| adopt(pod)).collect();
    prepare.extend(pods.release.iter().map(|pod| release(pod)));
    let history = match revision::read(world, &set)? {
        Reading::History(history) if prepare.is_empty() => history,
        Reading::History(_) => return Ok(Plan::Prepare(prepare)),
        Reading::Prepare(revisions) => {
            prepare.extend(revisions);
            return Ok(Plan::Prepare(prepare));
        }
    };
    let (slots, condemned) = partition(&set, &pods.members);
    let round = Round {
        world,
        set: &set,
        history: &history,
        slots: &slots,
        condemned: &condemned,
        now,
    };
    let mut counts = status::count(&set, &history, &pods.members, now);
    let mut stages = Vec::new();
    let flow = replicas::pass(&round, &mut stages)?;
    let flow = match flow {
        Flow::GoOn => condemned::pass(&round, &mut stages),
        Flow::Stop => Flow::Stop,
    };
    if flow == Flow::GoOn {
        rollout::pass(&round, &mut stages, &mut counts);
    }
    stages.retain(|stage| !stage.tasks.is_empty());
    Ok(Plan::Sync(Sync {
        stages,
        status: status::if_changed(&set, status::finish(&set, counts)).map(Box::new),
        prune: revision::superfluous(&set, &history, &pods.members),
        again_in: status::next_availability(&set, &pods.members, now),
    }))
}

fn adopt(pod: &Pod) -> Action {
    Action::AdoptPod {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
    }
}

fn release(pod: &Pod) -> Action {
    Action::ReleasePod {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
    }
}

/// In-range slots by index, and the rest by descending ordinal (C-10).
fn partition(set: &Set<'_>, members: &[Member]) -> (Vec<Option<Arc<Pod>>>, Vec<Member>) {
    let mut slots = vec![None; set.replicas as usize];
    let mut condemned = Vec::new();
    for member in members {
        if set.in_range(member.ordinal) {
            slots[(member.ordinal.0 - set.start) as usize] = Some(Arc::clone(&member.pod));
        } else {
            condemned.push(member.clone());
        }
    }
    condemned.reverse();
    (slots, condemned)
}
