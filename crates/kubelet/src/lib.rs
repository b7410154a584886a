//! The node agent: makes what the API says about this node's pods true, and tells the API how they are.
//!
//! It decides nothing about which pods there should be, and knows containers only in the words of
//! [`plinth_runtime`]. One worker per pod (`worker`) observes, asks the pure `plan` what to do, does it, and writes the
//! pure `status`. `pods` sees to it that one pod of a name is at work at a time.

mod container;
mod context;
mod files;
mod identity;
mod kubelet;
mod node;
mod plan;
mod pods;
mod probe;
mod references;
mod serve;
mod services;
mod spec;
mod status;
mod volumes;
mod worker;

pub use kubelet::{KubeletConfig, KubeletError, run};
#[cfg(fuzzing)]
pub use serve::fuzzing;
pub use volumes::unmount_below;
