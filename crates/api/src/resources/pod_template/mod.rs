//! The part pods and pod templates share: defaults, validation and warnings of a PodSpec. Knows no controllers.

mod container;
mod defaults;
mod env;
mod handlers;
pub(crate) mod internal;
mod scheduling;
mod security;
mod spec;
mod volume;
mod warnings;

pub(crate) use container::validate_container;
pub(crate) use defaults::{default_spec, default_template, fill_host_ports, request_limits};
pub(crate) use handlers::port;
pub(crate) use scheduling::{EFFECTS, validate_tolerations};
pub(crate) use spec::{validate_images_of_pod, validate_spec, validate_template};
pub(crate) use volume::host_path;
pub(crate) use warnings::{warn_spec, warn_template};
