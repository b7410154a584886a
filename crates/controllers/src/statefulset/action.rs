//! What a plan may ask for. Values only: they can be printed, compared and played on a model.

use k8s_openapi::{
    api::{
        apps::v1::ControllerRevision,
        core::v1::{PersistentVolumeClaim, Pod, Volume},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use std::collections::BTreeMap;

/// One write. Writes to something that exists name its UID, so that they cannot hit its successor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Make the set the controller of a pod; only after a fresh look at the set (C-7).
    AdoptPod {
        name: String,
        uid: String,
    },
    /// Take the set from a pod's owners.
    ReleasePod {
        name: String,
        uid: String,
    },
    AdoptRevision {
        name: String,
        uid: String,
    },
    CreateRevision(Box<ControllerRevision>),
    /// A rollback gives an old revision the newest number.
    RenumberRevision {
        name: String,
        uid: String,
        revision: i64,
    },
    DeleteRevision {
        name: String,
        uid: String,
    },
    CreatePod(Box<Pod>),
    /// Put the member's labels right, and its volumes if they are given (C-40, C-41).
    RepairPod {
        name: String,
        uid: String,
        labels: BTreeMap<String, String>,
        volumes: Option<Vec<Volume>>,
    },
    DeletePod {
        name: String,
        uid: String,
    },
    CreateClaim(Box<PersistentVolumeClaim>),
    /// Make these the claim's only owners. `version` is the resourceVersion this was decided on;
    /// `None` for a claim that the same task has created.
    OwnClaim {
        name: String,
        version: Option<String>,
        owners: Vec<OwnerReference>,
    },
    /// Tell the user that a claim is controlled by somebody else (C-56b).
    TellConflict {
        claim: String,
    },
    /// The task cannot go on, and why.
    Refuse(String),
}

/// What a task does to its member: the word in its events (§2.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Create,
    Update,
    Delete,
    /// Nothing worth an event unless it fails.
    Tend,
}

/// The writes for one member, in order; a failed one ends the task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Task {
    pub(crate) pod: String,
    pub(crate) verb: Verb,
    pub(crate) actions: Vec<Action>,
}

/// Tasks of one kind. A failed task ends its stage and those after it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stage {
    /// Whether the tasks may run side by side (Parallel sets, C-23).
    pub(crate) concurrent: bool,
    pub(crate) tasks: Vec<Task>,
}
