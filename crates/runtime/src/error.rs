//! What can go wrong with a sandbox or a container, in words a user can act on.

use std::io;
use std::path::PathBuf;

use crate::types::{ContainerId, SandboxId};

/// Why a runtime call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// No sandbox of this id is known.
    #[error("sandbox {0} not found")]
    SandboxNotFound(SandboxId),
    /// No container of this id is known.
    #[error("container {0} not found")]
    ContainerNotFound(ContainerId),
    /// Another pod of this namespace and name still has a live sandbox on this host: its processes must be
    /// gone before this one may start.
    #[error(
        "pod {namespace}/{name} still has a live sandbox {holder} of uid {holder_uid} on this node"
    )]
    NameInUse {
        /// Namespace of both pods.
        namespace: String,
        /// Name of both pods.
        name: String,
        /// The sandbox in the way.
        holder: SandboxId,
        /// The uid of the pod it belongs to.
        holder_uid: String,
    },
    /// The sandbox's shim is gone; nothing can be started in it.
    #[error("sandbox {0} is not ready")]
    SandboxNotReady(SandboxId),
    /// The call does not fit the container's state.
    #[error("container {id} is {state}, cannot {action}")]
    WrongState {
        /// The container.
        id: ContainerId,
        /// Its state.
        state: &'static str,
        /// What was asked.
        action: &'static str,
    },
    /// No image of this name or id is present.
    #[error("image {0:?} not found")]
    ImageNotFound(String),
    /// The image store failed.
    #[error("image {image:?}: {message}")]
    Image {
        /// The image as it was asked for.
        image: String,
        /// The store's words.
        message: String,
    },
    /// The configuration cannot be run, e.g. there is no command (upstream: `CreateContainerError`).
    #[error("{0}")]
    InvalidConfig(String),
    /// `run_as_non_root` and the user is root (upstream: `CreateContainerConfigError`).
    #[error("{0}")]
    RunAsNonRoot(String),
    /// The container could not be started; its status says `StartError` (upstream: `RunContainerError`).
    #[error("{message}")]
    Start {
        /// The container.
        id: ContainerId,
        /// E.g. `exec: "serve": executable file not found in $PATH`.
        message: String,
    },
    /// The shim could not be started or refused.
    #[error("sandbox {sandbox}: shim failed to {step}: {message}")]
    Shim {
        /// The sandbox.
        sandbox: SandboxId,
        /// What it was doing.
        step: &'static str,
        /// Its words.
        message: String,
    },
    /// A program could not be run in a container, or its streams not be joined.
    #[error("{message}")]
    Session {
        /// The container.
        id: ContainerId,
        /// E.g. `exec: "serve": executable file not found in $PATH`.
        message: String,
    },
    /// Processes of the pod are still alive after SIGKILL; it may not be considered gone.
    #[error("cgroup {cgroup} still holds processes {pids:?}")]
    StillAlive {
        /// The cgroup directory.
        cgroup: PathBuf,
        /// The processes.
        pids: Vec<i32>,
    },
    /// The file system failed.
    #[error("{step} {path}: {source}", path = path.display())]
    Io {
        /// What was being done.
        step: &'static str,
        /// To which file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl RuntimeError {
    /// For `map_err`: names the step and the file.
    pub(crate) fn io(
        step: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { step, path, source }
    }
}

/// The result of a runtime call.
pub type Result<T, E = RuntimeError> = std::result::Result<T, E>;
