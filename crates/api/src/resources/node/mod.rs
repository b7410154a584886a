//! The kinds of this API group, one file each.

pub(crate) mod runtimeclass;
