//! What a DaemonSet says of itself. Pure.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSetStatus;

use super::{
    placement::Place,
    plan::{PlanError, World, members, survey},
    revision::{self, Reading},
    set::Set,
};
use crate::pods::is_ready;

/// The status as it should be; `None` when it is so already, or cannot be told.
pub(crate) fn status(
    world: &World<'_>,
    now: Timestamp,
) -> Result<Option<DaemonSetStatus>, PlanError> {
    let set = Set::parse(world.set)?;
    if world.set.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let Reading::History(history) = revision::read(&set, world.revisions, world.revision_named)?
    else {
        return Ok(None);
    };
    let members = members(&set, world.pods);
    let (spots, _) = survey(&set, world.nodes, &members);
    let mut status = DaemonSetStatus {
        observed_generation: world.set.metadata.generation,
        collision_count: set.status.collision_count,
        conditions: set.status.conditions.clone(),
        ..DaemonSetStatus::default()
    };
    let (mut updated, mut available) = (0, 0);
    for spot in &spots {
        // The oldest speaks for its node.
        let pod = spot.pods.first();
        if spot.place != Place::Wanted {
            status.number_misscheduled += i32::from(pod.is_some());
            continue;
        }
        status.desired_number_scheduled += 1;
        let Some(pod) = pod else { continue };
        status.current_number_scheduled += 1;
        status.number_ready += i32::from(is_ready(pod));
        available += i32::from(set.is_available(pod, now));
        updated += i32::from(set.is_updated(pod, &history.hash));
    }
    let positive = |count: i32| (count > 0).then_some(count);
    status.updated_number_scheduled = positive(updated);
    status.number_available = positive(available);
    status.number_unavailable = positive(status.desired_number_scheduled - available);
    Ok((status != set.status).then_some(status))
}
