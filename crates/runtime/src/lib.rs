//! Runs containers: images, sandboxes, containers and the shim that outlives the daemon. Speaks in the terms of
//! CRI; knows nothing of the Kubernetes API.

mod cgroup;
mod connection;
mod container;
mod error;
mod forward;
mod id;
mod images;
mod oneshot;
mod protocol;
mod record;
mod runtime;
mod sandbox;
mod session;
mod shim;
mod spec;
mod sys;
mod types;

pub use error::{Result, RuntimeError};
pub use images::{
    Archive, BuildError, BuildOptions, Compression, Digest, Image, ImageConfig, ImageError,
    ImageName, ImageStore, Layer, Progress, PullOptions, PullProgress, Removed, Runner, build,
};
pub use oneshot::{Output, RunOnce, RunOnceError, run_once};
pub use runtime::Runtime;
pub use session::{Ending, Session, TerminalSize};
pub use shim::shim_main;
pub use types::{
    ContainerConfig, ContainerEvent, ContainerId, ContainerState, ContainerStatus, ExecConfig,
    ExecOutput, Mount, MountPropagation, PodSandbox, PodSandboxConfig, Resources, RuntimeConfig,
    SandboxId, SessionStreams, UserSpec,
};
