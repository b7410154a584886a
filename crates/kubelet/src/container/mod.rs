//! From a container's specification to what the runtime is asked to run. Pure; whatever must be fetched or
//! created is passed in.

mod config;
mod env;
mod expand;
mod fields;
mod security;
mod service_env;

pub(crate) use config::{ConfigInput, container_config};
pub(crate) use env::{Environment, References, environment, references};
pub(crate) use expand::expand;
pub(crate) use fields::{Facts, FieldError, pod_field, resource_field};
pub(crate) use security::unsupported;
pub(crate) use service_env::service_variables;

/// Why a container's configuration cannot be made; shown as `CreateContainerConfigError`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ConfigError {
    /// A referenced ConfigMap does not exist.
    #[error("configmap \"{0}\" not found")]
    NoConfigMap(String),
    /// A referenced Secret does not exist.
    #[error("secret \"{0}\" not found")]
    NoSecret(String),
    /// The object exists, the key does not.
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    NoKey {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// Of the pod.
        namespace: String,
        /// Of the object.
        name: String,
        /// What was looked for.
        key: String,
    },
    /// The value cannot be an environment variable.
    #[error("{kind} key {key} is not valid UTF-8 and cannot be an environment variable")]
    NotText {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// The key.
        key: String,
    },
    /// A field or resource reference cannot be resolved.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The specification asks for something this node cannot do; running without it would be worse.
    #[error("{0} is not supported by this node")]
    Unsupported(String),
    /// A volume mount cannot be resolved.
    #[error("{0}")]
    Mount(String),
}
