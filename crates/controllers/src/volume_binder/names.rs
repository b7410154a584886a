//! The annotations that binder, scheduler and provisioners speak through. Wire names only.

/// On a claim: its binding is finished (§4.3 step 3).
pub(crate) const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// On a claim and a volume: the binder chose the partner, not the user.
pub(crate) const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// On a claim: the node the scheduler has chosen for its first consumer (V-11).
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// On a claim: who is to make the volume (V-12).
pub(crate) const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// The older spelling that provisioners still read (V-12).
pub(crate) const BETA_STORAGE_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";
/// On a volume: who made it and will delete it (V-13).
pub(crate) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// The class of a claim or volume before it became a field; still honoured.
pub(crate) const BETA_STORAGE_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// On a class: claims without a class get it (V-3).
pub(crate) const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// A class of hand-made volumes only.
pub(crate) const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";
