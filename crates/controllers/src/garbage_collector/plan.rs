//! Decides what becomes of one object, given what is known of its owners and dependents. Pure. (G-1..G-4)

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// Keeps an owner until its blocking dependents are gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Keeps an owner until its dependents no longer name it.
pub(crate) const ORPHAN: &str = "orphan";

/// What is known of the object an owner reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It exists, or is of a kind that cannot be looked up here and is given the benefit of the doubt.
    Present,
    /// It exists and waits for its dependents to go first.
    AwaitsDependents,
    /// It does not exist (any more) under that UID.
    Absent,
    /// It is not known here; the API must be asked.
    Unknown,
}

/// An object that names this one as owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dependent {
    /// Its reference says `blockOwnerDeletion`.
    pub(crate) blocks: bool,
    /// It waits for its own dependents to go first.
    pub(crate) awaits_dependents: bool,
}

/// What is known of one object.
pub(crate) struct World<'a> {
    pub(crate) meta: &'a ObjectMeta,
    /// Its owner references and what each names.
    pub(crate) owners: &'a [(OwnerReference, Owner)],
    pub(crate) dependents: &'a [Dependent],
}

/// How a deletion goes on to the object's own dependents (G-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Background,
    Foreground,
    Orphan,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Ask the API for this owner, then look again.
    Verify(OwnerReference),
    /// No owner wants the object any more.
    Delete(Policy),
    /// These owners are gone or going, others stay (G-2): keep only the others.
    KeepOwners(Vec<OwnerReference>),
    /// The last blocking dependent is gone.
    FinishForeground,
    /// Take the object's UID out of all its dependents, then let it go.
    OrphanDependents,
}

/// Whether the object waits for its dependents to go first.
pub(crate) fn awaits_dependents(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some() && has(meta, FOREGROUND)
}

/// Whether the object waits for its dependents to forget it.
pub(crate) fn awaits_orphaning(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some() && has(meta, ORPHAN)
}

fn has(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers
        .iter()
        .flatten()
        .any(|held| held == finalizer)
}

/// The steps to take now.
pub(crate) fn plan(world: &World<'_>) -> Vec<Action> {
    if world.meta.deletion_timestamp.is_some() {
        return deleting(world);
    }
    let unknown: Vec<Action> = which(world, Owner::Unknown)
        .cloned()
        .map(Action::Verify)
        .collect();
    if !unknown.is_empty() || world.owners.is_empty() {
        return unknown;
    }
    let present: Vec<OwnerReference> = which(world, Owner::Present).cloned().collect();
    if present.len() == world.owners.len() {
        return Vec::new();
    }
    if !present.is_empty() {
        return vec![Action::KeepOwners(present)];
    }
    vec![Action::Delete(policy(world))]
}

fn which<'a>(world: &'a World<'_>, state: Owner) -> impl Iterator<Item = &'a OwnerReference> {
    world
        .owners
        .iter()
        .filter(move |(_, owner)| *owner == state)
        .map(|(reference, _)| reference)
}

fn deleting(world: &World<'_>) -> Vec<Action> {
    if awaits_orphaning(world.meta) {
        return vec![Action::OrphanDependents];
    }
    let blocked = world.dependents.iter().any(|dependent| dependent.blocks);
    if awaits_dependents(world.meta) && !blocked {
        return vec![Action::FinishForeground];
    }
    Vec::new()
}

/// A finalizer that is on the object already says how its user wants it to go. Below an owner that
/// waits, its own dependents go first too, unless one of them waits for this object: a ring would wait
/// for ever.
fn policy(world: &World<'_>) -> Policy {
    let owner_waits = which(world, Owner::AwaitsDependents).next().is_some();
    let in_ring = world
        .dependents
        .iter()
        .any(|dependent| dependent.awaits_dependents);
    if has(world.meta, ORPHAN) {
        Policy::Orphan
    } else if has(world.meta, FOREGROUND)
        || (owner_waits && !world.dependents.is_empty() && !in_ring)
    {
        Policy::Foreground
    } else {
        Policy::Background
    }
}
