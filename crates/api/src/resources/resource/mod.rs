//! The kinds of this API group, one file each, and what claims and classes of devices share. Selectors are text here.

pub(crate) mod deviceclass;
mod devices;
pub(crate) mod resourceclaim;
pub(crate) mod resourceclaimtemplate;
pub(crate) mod resourceslice;

const GROUP: &str = "resource.k8s.io";
