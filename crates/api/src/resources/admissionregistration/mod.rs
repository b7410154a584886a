//! The kinds of this API group, one file each, and what webhooks and policies share. Expressions are kept as text.

mod matching;
pub(crate) mod mutatingadmissionpolicy;
pub(crate) mod mutatingadmissionpolicybinding;
pub(crate) mod mutatingwebhookconfiguration;
mod policy;
pub(crate) mod validatingadmissionpolicy;
pub(crate) mod validatingadmissionpolicybinding;
pub(crate) mod validatingwebhookconfiguration;
mod webhook;

const GROUP: &str = "admissionregistration.k8s.io";
