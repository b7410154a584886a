//! Runs one command in a container and waits for it, without a daemon: what a Dockerfile's RUN needs.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::types::{Mount, Resources};

/// One command and the file systems it runs in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunOnce {
    /// Read-only layers, top first; at least one.
    pub lower_dirs: Vec<PathBuf>,
    /// What the command writes ends up here, in overlayfs terms (whiteouts are 0:0 devices). Must exist.
    pub upper_dir: PathBuf,
    /// Scratch of this run on the same file system as `upper_dir`; made, and removed afterwards.
    pub work_dir: PathBuf,
    /// Program and arguments.
    pub args: Vec<String>,
    /// Its whole environment; PATH and HOME are added if missing.
    pub env: Vec<(String, String)>,
    /// Absolute; made if missing. Empty: `/`.
    pub cwd: PathBuf,
    /// `user[:group]` by name or number, resolved in the root file system. Empty: root.
    pub user: String,
    /// Host paths to show inside. Files and directories made only to mount on are removed again.
    pub mounts: Vec<Mount>,
    /// Own, empty network instead of the host's.
    pub private_network: bool,
    /// Host name inside; the host's if empty.
    pub hostname: String,
    /// Limits.
    pub resources: Resources,
}

/// A piece of what the command printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// From its standard output.
    Stdout(&'a [u8]),
    /// From its standard error.
    Stderr(&'a [u8]),
}

/// Why a command could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RunOnceError {
    /// It was not started; the words are fit for a user.
    #[error("{0}")]
    Start(String),
    /// A step around it failed.
    #[error("{step}: {source}")]
    Io {
        /// Which.
        step: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

/// Runs `command` to its end and answers its exit code (128 + signal if killed). Blocks. `shim_exe` is the program
/// that calls [`crate::shim_main`]; `sink` gets the output as it comes. The network is the host's. Leaves neither
/// mounts, processes nor cgroups behind, also when this process is killed.
pub fn run_once(
    shim_exe: &Path,
    command: &RunOnce,
    sink: &mut dyn FnMut(Output<'_>),
) -> Result<i32, RunOnceError> {
    let _ = (shim_exe, command, sink);
    Err(RunOnceError::Start("not built yet".into()))
}
