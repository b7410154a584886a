//! Decides what a Deployment needs next. Pure: no client, no clock.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet},
    core::v1::Pod,
};
use kube::{ResourceExt, core::Selector};
use tracing::error;

use super::{
    conditions::{self, PAUSED, PROGRESSING, TIMED_OUT, condition},
    revision, rolling,
    rollout::{Rollout, Strategy},
    scale,
    sets::{Set, Sets},
    status,
};
use crate::{
    ownership::{self, Claims},
    pods::is_finished,
    writes::is_terminating,
};

/// What a plan is made from.
pub(crate) struct World<'a> {
    pub(crate) deployment: &'a Deployment,
    /// The sets of its namespace that are its own or nobody's.
    pub(crate) sets: &'a [Arc<ReplicaSet>],
    /// Any set of the namespace, by name.
    pub(crate) set_named: &'a (dyn Fn(&str) -> Option<Arc<ReplicaSet>> + Sync),
    /// The pods that a set controls, by the set's UID.
    pub(crate) pods_of: &'a (dyn Fn(&str) -> Vec<Arc<Pod>> + Sync),
}

/// What is to be done. What a plan brings about wakes the Deployment again.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Settle which sets belong to it.
    Claim(Claims<ReplicaSet>),
    Sync(Box<Round>),
}

/// The writes of a round, in order.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// Sets to be made or changed.
    pub(crate) write: Vec<Set>,
    /// Sets that are past history.
    pub(crate) delete: Vec<Arc<ReplicaSet>>,
    /// The Deployment with a new status and revision.
    pub(crate) report: Option<Deployment>,
    /// When the deadline for progress comes.
    pub(crate) again_in: Option<Duration>,
}

/// Decides; `None` when the Deployment cannot be worked on before somebody edits it.
pub(crate) fn plan(world: &World<'_>, now: Timestamp) -> Option<Plan> {
    let object = world.deployment;
    let spec = object.spec.as_ref()?;
    let selector = Selector::try_from(spec.selector.clone())
        // Validation keeps it out; only an edit could help.
        .inspect_err(|error| error!(deployment = ?object.metadata.name, %error, "invalid selector"))
        .ok()?;
    let claims = ownership::sort(object, &selector, world.sets);
    if !claims.are_settled() {
        return Some(Plan::Claim(claims));
    }
    Some(Plan::Sync(Box::new(sync(world, spec, &claims.owned, now))))
}

fn sync(
    world: &World<'_>,
    spec: &DeploymentSpec,
    owned: &[Arc<ReplicaSet>],
    now: Timestamp,
) -> Round {
    let rollout = Rollout::of(world.deployment, spec, now);
    let mut sets = Sets::sort(&rollout, owned);
    let mut known = world.deployment.status.clone().unwrap_or_default();
    let mut delete = Vec::new();
    if is_terminating(world.deployment) {
        revision::renew(&rollout, &mut sets, &mut known);
        let status = status::count(&rollout, &sets, &known);
        return finish(&rollout, sets, delete, status);
    }
    note_pause(&rollout, &mut known);
    revision::renew(&rollout, &mut sets, &mut known);
    let status = if rollout.paused || scale::is_due(&rollout, &sets) {
        scale::pass(&rollout, &mut sets);
        if rollout.paused {
            delete = revision::past_history(&rollout, &sets);
        }
        status::count(&rollout, &sets, &known)
    } else {
        let scaled = match rollout.strategy {
            Strategy::Rolling { .. } => {
                revision::ensure(world, &rollout, &mut sets, &mut known);
                rolling::pass(&rollout, &mut sets)
            }
            Strategy::Recreate => recreate(world, &rollout, &mut sets, &mut known),
        };
        if !scaled
            && status::is_complete(
                &rollout,
                &world.deployment.status.clone().unwrap_or_default(),
            )
        {
            delete = revision::past_history(&rollout, &sets);
        }
        status::progress(&rollout, &sets, &known)
    };
    finish(&rollout, sets, delete, status)
}

/// D-4: the old pods go, and only when none of them runs any more the new ones come.
fn recreate(
    world: &World<'_>,
    rollout: &Rollout<'_>,
    sets: &mut Sets,
    known: &mut DeploymentStatus,
) -> bool {
    let mut scaled = false;
    for set in sets.old.iter_mut().filter(|set| set.replicas() > 0) {
        scaled |= set.scale(rollout, 0);
    }
    let runs = |set: &Set| {
        let pods = (world.pods_of)(&set.object.uid().unwrap_or_default());
        set.actual() > 0 || pods.iter().any(|pod| !is_finished(pod))
    };
    if scaled || sets.old.iter().any(runs) {
        return true;
    }
    revision::ensure(world, rollout, sets, known);
    if let Some(new) = &mut sets.new
        && new.replicas() != rollout.replicas
    {
        new.scale(rollout, rollout.replicas);
    }
    false
}

/// D-11: a pause stops the clock; a rollout that has timed out stays so.
fn note_pause(rollout: &Rollout<'_>, known: &mut DeploymentStatus) {
    if rollout.deadline.is_none() || conditions::is_for(known, PROGRESSING, TIMED_OUT) {
        return;
    }
    let was_paused = conditions::is_for(known, PROGRESSING, PAUSED);
    let (reason, message) = match (rollout.paused, was_paused) {
        (true, false) => (PAUSED, "Deployment is paused"),
        (false, true) => ("DeploymentResumed", "Deployment is resumed"),
        _ => return,
    };
    let changed = condition(rollout, PROGRESSING, "Unknown", reason, message.to_owned());
    conditions::set(known, changed);
}

/// Reads off what is to be written.
fn finish(
    rollout: &Rollout<'_>,
    sets: Sets,
    delete: Vec<Arc<ReplicaSet>>,
    status: DeploymentStatus,
) -> Round {
    let mut report = rollout.object.clone();
    if let Some(new) = &sets.new {
        super::annotations::show_revision(&mut report, &new.object);
    }
    // A pause stops the clock.
    let again_in = status::deadline_in(rollout, &status).filter(|_| !rollout.paused);
    report.status = Some(status);
    let write = sets.new.into_iter().chain(sets.old);
    Round {
        write: write.filter(Set::is_changed).collect(),
        delete,
        report: (report != *rollout.object).then_some(report),
        again_in,
    }
}
