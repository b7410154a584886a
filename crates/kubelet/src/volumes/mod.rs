//! A pod's volumes on this node: which directory each one is, what is in it, and what a container sees of it.
//!
//! Everything of a pod's own lies below `<root>/pods/<uid>`; claims and host paths lie where their objects say.

mod content;
mod hostpath;
mod memory;
mod mounts;
mod ownership;
mod payload;
mod setup;
mod source;
mod subpath;
mod token;

use std::path::{Path, PathBuf};

pub use memory::unmount_below;
pub(crate) use mounts::container_mounts;
pub(crate) use setup::{ReadyVolume, Setup, VolumeError};
pub(crate) use source::{Source, source};
pub(crate) use token::Tokens;

/// Where the node keeps what belongs to one pod.
#[derive(Clone, Debug)]
pub(crate) struct PodDir(PathBuf);

impl PodDir {
    /// Below the kubelet's root.
    pub(crate) fn new(root: &Path, uid: &str) -> Self {
        Self(root.join("pods").join(uid))
    }

    /// All of it.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// One of the pod's own volumes. The kind is in the path, as upstream has it, so that a volume whose kind
    /// changed under the same pod name never finds the other's content.
    pub(crate) fn volume(&self, kind: &str, name: &str) -> PathBuf {
        self.0
            .join("volumes")
            .join(format!("kubernetes.io~{kind}"))
            .join(name)
    }

    /// The files of `/etc`.
    pub(crate) fn etc(&self) -> PathBuf {
        self.0.join("etc")
    }

    /// What a container leaves as its last words (L-16).
    pub(crate) fn termination_message(&self, container: &str, attempt: u32) -> PathBuf {
        self.0
            .join("containers")
            .join(container)
            .join(format!("{attempt}.termination"))
    }
}
