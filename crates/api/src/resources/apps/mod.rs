//! The kinds of this API group, one file each.

pub(crate) mod controllerrevision;
pub(crate) mod statefulset;
