//! Test support: a private network, mount and process namespace with a directory of its own, all gone at
//! the end. Knows nothing of clusters: what runs inside is up to the caller.
//!
//! [`Lab::run`] is for whole programs: they see a loopback, no route out, and a process table that dies
//! with them, so that nothing they start outlives the lab. [`enter_private_network`] is for a single test
//! function.

mod cgroups;
mod namespaces;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

pub use namespaces::enter_private_network;

/// What went wrong with the lab itself, not with what ran inside.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A step of the set-up or the clean-up failed.
    #[error("lab: {step}: {source}")]
    Step {
        /// What was being done.
        step: String,
        /// What the kernel said.
        source: io::Error,
    },
}

pub(crate) fn step<E: Into<io::Error>>(step: impl Into<String>) -> impl FnOnce(E) -> LabError {
    let step = step.into();
    move |source| LabError::Step {
        step,
        source: source.into(),
    }
}

/// A place for one run: a directory and a cgroup name that nobody else uses.
#[derive(Debug)]
pub struct Lab {
    directory: tempfile::TempDir,
    cgroup_root: String,
}

impl Lab {
    /// Makes a lab below the directory for temporary files.
    pub fn new() -> Result<Self, LabError> {
        let directory = tempfile::Builder::new()
            .prefix("plinth-lab-")
            .tempdir()
            .map_err(step("making its directory"))?;
        let name = directory
            .path()
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let cgroup_root = format!("/{}", name.unwrap_or_else(|| "plinth-lab".to_owned()));
        Ok(Self {
            directory,
            cgroup_root,
        })
    }

    /// The lab's directory, on the disk of the host.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The cgroup below which everything of this lab must stay, e.g. `/plinth-lab-Xy12`.
    pub fn cgroup_root(&self) -> &str {
        &self.cgroup_root
    }

    /// Runs `program` inside and returns its exit code, 128 + signal if one ended it. Whatever it left
    /// running has been killed when this returns.
    ///
    /// Must be called while this process has a single thread: it forks.
    /// The program sees `LAB_DIR` and `LAB_CGROUP` in its environment.
    pub fn run(&self, program: &Path, args: &[OsString]) -> Result<i32, LabError> {
        let env = [
            (
                OsString::from("LAB_DIR"),
                self.path().as_os_str().to_owned(),
            ),
            (
                OsString::from("LAB_CGROUP"),
                OsString::from(&self.cgroup_root),
            ),
        ];
        namespaces::run_inside(program, args, &env)
    }

    /// Removes the directory and the cgroups; fails if something could not be removed.
    pub fn close(self) -> Result<(), LabError> {
        cgroups::remove(&self.cgroup_root)?;
        let path: PathBuf = self.directory.path().to_owned();
        self.directory
            .close()
            .map_err(step(format!("removing {}", path.display())))
    }
}
