//! The pass over the members that should be: creates, heals and repairs, lowest ordinal first
//! (C-15..C-27, C-40..C-43). Pure.

use std::{collections::HashMap, sync::Arc};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{
    action::{Action, Stage, Task, Verb},
    claims::{self, Ownership},
    health, identity,
    plan::{Flow, PlanError, Round},
    set::Ordinal,
    template,
};

/// Plans the pass. `Stop` when an OrderedReady set must wait for a member.
pub(crate) fn pass(round: &Round<'_>, stages: &mut Vec<Stage>) -> Result<Flow, PlanError> {
    let ordered = round.set.ordered;
    let mut tasks = Vec::new();
    let mut templates = HashMap::new();
    let mut flow = Flow::GoOn;
    for (index, slot) in round.slots.iter().enumerate() {
        let ordinal = round.ordinal(index);
        let settled = match slot {
            None => {
                if !waits_for_former_claim(round, ordinal) {
                    let (revision, template) = round.revision_for(ordinal, &mut templates)?;
                    let pod = template::pod(round.set, ordinal, &revision, template);
                    tasks.push(create(round, ordinal, pod));
                }
                false
            }
            Some(pod) => tend(round, ordinal, pod, &mut tasks),
        };
        if ordered && !settled {
            flow = Flow::Stop;
            break;
        }
    }
    stages.push(Stage {
        concurrent: !ordered,
        tasks,
    });
    Ok(flow)
}

/// Looks after a member that exists; whether an ordered set may go on to the next.
fn tend(round: &Round<'_>, ordinal: Ordinal, pod: &Arc<Pod>, tasks: &mut Vec<Task>) -> bool {
    let terminating = health::is_terminating(pod);
    if health::is_finished(pod) {
        if !terminating {
            tasks.push(delete(pod));
        }
        return false;
    }
    if health::is_pending(pod) && !terminating {
        // C-18: a claim that was deleted under a waiting pod comes back.
        let actions = missing_claims(round, ordinal);
        if !actions.is_empty() {
            tasks.push(Task {
                pod: pod.name_any(),
                verb: Verb::Tend,
                actions,
            });
        }
    }
    if round.is_unavailable(pod) && round.set.ordered {
        return false;
    }
    if !terminating {
        tasks.extend(repair(round, ordinal, pod));
    }
    true
}

/// C-16: the claim of an earlier pod of this name is still to be collected; a pod made now would
/// lose it.
fn waits_for_former_claim(round: &Round<'_>, ordinal: Ordinal) -> bool {
    let pod = identity::pod_name(round.set, ordinal);
    round.set.retention.delete_when_scaled
        && claims::claim_names(round.set, ordinal)
            .filter_map(|name| round.claim(&name))
            .any(|claim| claims::belongs_to_former_pod(&claim, &pod, None))
}

/// Claims first, so that the pod never waits for one that nobody makes; owners last (C-17).
fn create(round: &Round<'_>, ordinal: Ordinal, pod: Pod) -> Task {
    let name = pod.name_any();
    let mut actions = missing_claims(round, ordinal);
    let refused = matches!(actions.last(), Some(Action::Refuse(_)));
    if !refused {
        actions.push(Action::CreatePod(Box::new(pod)));
        for wanted in claims::new_claims(round.set, ordinal) {
            let existing = round.claim(&wanted.name_any());
            let claim = existing.as_deref().unwrap_or(&wanted);
            own(round, ordinal, None, claim, &mut actions);
        }
    }
    Task {
        pod: name,
        verb: Verb::Create,
        actions,
    }
}

/// Creates what claims of the member do not exist; refuses while one is being deleted (C-53).
fn missing_claims(round: &Round<'_>, ordinal: Ordinal) -> Vec<Action> {
    let mut actions = Vec::new();
    for wanted in claims::new_claims(round.set, ordinal) {
        let name = wanted.name_any();
        match round.claim(&name) {
            None => actions.push(Action::CreateClaim(Box::new(wanted))),
            Some(claim) if claim.metadata.deletion_timestamp.is_some() => {
                actions.push(Action::Refuse(format!("pvc {name} is being deleted")));
                break;
            }
            Some(_) => {}
        }
    }
    actions
}

pub(crate) fn own(
    round: &Round<'_>,
    ordinal: Ordinal,
    pod_uid: Option<&str>,
    claim: &k8s_openapi::api::core::v1::PersistentVolumeClaim,
    actions: &mut Vec<Action>,
) {
    let owners = match claims::ownership(round.set, ordinal, pod_uid, claim) {
        Ownership::Settled => return,
        Ownership::Change(owners) => owners,
        Ownership::Conflicting(owners) => {
            // Told when the pod is created and when something is done about it, not in each round.
            if pod_uid.is_none() || owners.is_some() {
                actions.push(Action::TellConflict {
                    claim: claim.name_any(),
                });
            }
            match owners {
                Some(owners) => owners,
                None => return,
            }
        }
    };
    actions.push(Action::OwnClaim {
        name: claim.name_any(),
        version: claim.resource_version(),
        owners,
    });
}

/// Puts identity, storage and claim owners right (C-22).
fn repair(round: &Round<'_>, ordinal: Ordinal, pod: &Pod) -> Option<Task> {
    let set = round.set;
    let mut actions = Vec::new();
    let storage_is_right = claims::storage_is_right(set, ordinal, pod);
    if !storage_is_right {
        actions.extend(missing_claims(round, ordinal));
    }
    for claim in claims::claim_names(set, ordinal).filter_map(|name| round.claim(&name)) {
        own(
            round,
            ordinal,
            pod.metadata.uid.as_deref(),
            &claim,
            &mut actions,
        );
    }
    if !storage_is_right || !identity::is_right(set, ordinal, pod) {
        let of_pod = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref());
        actions.push(Action::RepairPod {
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            labels: identity::labels(set, ordinal),
            volumes: (!storage_is_right)
                .then(|| claims::volumes(set, ordinal, of_pod.unwrap_or_default())),
        });
    }
    (!actions.is_empty()).then(|| Task {
        pod: pod.name_any(),
        verb: Verb::Update,
        actions,
    })
}

/// The deletion of a member, with its normal grace.
pub(crate) fn delete(pod: &Pod) -> Task {
    Task {
        pod: pod.name_any(),
        verb: Verb::Delete,
        actions: vec![Action::DeletePod {
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
        }],
    }
}
