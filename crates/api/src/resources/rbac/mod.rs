//! The kinds of `rbac.authorization.k8s.io`: who may do what.

pub(crate) mod binding;
pub(crate) mod role;

/// The API group of all of them.
const GROUP: &str = "rbac.authorization.k8s.io";
