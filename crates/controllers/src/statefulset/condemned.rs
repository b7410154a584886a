//! The pass over the members that should go, highest ordinal first (C-28..C-33). Pure.

use kube::ResourceExt;

use super::{
    action::{Stage, Task, Verb},
    claims, health,
    membership::Member,
    plan::{Flow, Round},
    replicas,
};

/// Plans the pass. It is entered only when no wanted member holds an ordered set back.
pub(crate) fn pass(round: &Round<'_>, stages: &mut Vec<Stage>) -> Flow {
    let ordered = round.set.ordered;
    stages.push(Stage {
        concurrent: !ordered,
        tasks: round
            .condemned
            .iter()
            .filter_map(|member| hand_over_claims(round, member))
            .collect(),
    });
    let mut tasks = Vec::new();
    for member in round.condemned {
        if ordered {
            if !health::is_terminating(&member.pod) && may_go(round, member) {
                tasks.push(replicas::delete(&member.pod));
            }
            break;
        }
        if !health::is_terminating(&member.pod) {
            tasks.push(replicas::delete(&member.pod));
        }
    }
    stages.push(Stage {
        concurrent: !ordered,
        tasks,
    });
    if ordered && !round.condemned.is_empty() {
        Flow::Stop
    } else {
        Flow::GoOn
    }
}

/// An unhealthy member goes only when nothing below it is unhealthy: taking a healthy one away while
/// another is down could cost a quorum (C-28, C-29).
fn may_go(round: &Round<'_>, member: &Member) -> bool {
    if !round.is_unavailable(&member.pod) {
        return true;
    }
    let in_range = round.slots.iter().any(|slot| match slot {
        Some(pod) => round.is_unavailable(pod),
        None => true,
    });
    let lowest = round
        .condemned
        .iter()
        .rev()
        .find(|other| round.is_unavailable(&other.pod));
    !in_range && lowest.is_some_and(|lowest| lowest.ordinal == member.ordinal)
}

/// Under whenScaled=Delete the claims of a condemned pod go with it, so they become its own first.
fn hand_over_claims(round: &Round<'_>, member: &Member) -> Option<Task> {
    let mut actions = Vec::new();
    let uid = member.pod.metadata.uid.as_deref();
    for claim in
        claims::claim_names(round.set, member.ordinal).filter_map(|name| round.claim(&name))
    {
        replicas::own(round, member.ordinal, uid, &claim, &mut actions);
    }
    (!actions.is_empty()).then(|| Task {
        pod: member.pod.name_any(),
        verb: Verb::Tend,
        actions,
    })
}
