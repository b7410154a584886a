//! Runs containers: images, sandboxes, containers and the shim that outlives the daemon. Speaks in the terms of
//! CRI; knows nothing of the Kubernetes API.

mod error;
mod images;
mod oneshot;
mod runtime;
mod shim;
mod types;

pub use error::{Result, RuntimeError};
pub use images::{
    Archive, Compression, Digest, Image, ImageConfig, ImageError, ImageName, ImageStore, Layer, Removed,
};
pub use oneshot::{Output, RunOnce, RunOnceError, run_once};
pub use runtime::Runtime;
pub use shim::shim_main;
pub use types::{
    ContainerConfig, ContainerEvent, ContainerId, ContainerState, ContainerStatus, Mount, MountPropagation,
    PodSandbox, PodSandboxConfig, Resources, RuntimeConfig, SandboxId, UserSpec,
};
