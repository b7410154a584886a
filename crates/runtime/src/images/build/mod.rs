//! Builds images from Dockerfiles. Knows how to make layers; who runs the commands of RUN is the caller's affair.
//!
//! A step that changes files works on the merged tree of the layers below it and a new upper directory; the kernel's
//! overlayfs does copy-up, whiteouts and symlinks, and the upper directory then becomes the layer. `dockerfile` reads,
//! `ground` finds what stages stand on, `state` decides, `builder` and `steps` act, `cache` remembers.

mod builder;
mod cache;
mod copy;
mod dockerfile;
mod ground;
mod merged;
mod pattern;
mod sources;
mod state;
mod steps;
mod text;
mod tree;

use std::fmt;
use std::path::PathBuf;

use crate::oneshot::{Output, RunOnce, RunOnceError};

use super::error::ImageError;

pub use builder::build;

/// What to build.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    /// Names for the result; without any it is known by its id alone.
    pub tags: Vec<String>,
    /// The directory whose files COPY and ADD see.
    pub context: PathBuf,
    /// Without one: `Dockerfile` in the context.
    pub dockerfile: Option<PathBuf>,
    /// Values for ARGs.
    pub build_args: Vec<(String, String)>,
    /// The stage to build, by name or number; without one: the last.
    pub target: Option<String>,
    /// Do every step, also those done before.
    pub no_cache: bool,
}

/// What a build tells while it works; `Display` gives the line for a terminal.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// A step begins, or was found done.
    Step {
        /// From 1, over all stages that are needed.
        number: usize,
        /// How many there are.
        total: usize,
        /// The instruction as written, on one line.
        text: &'a str,
        /// Nothing is done: the result of an earlier build is taken.
        cached: bool,
    },
    /// The command of a RUN printed something; not necessarily whole lines.
    Output(Output<'a>),
    /// Something was read and has no effect.
    Warning(&'a str),
}

impl fmt::Display for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step {
                number,
                total,
                text,
                cached,
            } => {
                write!(f, "[{number}/{total}] {text}")?;
                if *cached {
                    f.write_str(" CACHED")
                } else {
                    Ok(())
                }
            }
            Self::Output(Output::Stdout(bytes) | Output::Stderr(bytes)) => {
                f.write_str(&String::from_utf8_lossy(bytes))
            }
            Self::Warning(text) => write!(f, "warning: {text}"),
        }
    }
}

/// Runs the command of a RUN to its end and answers with its exit code: [`crate::run_once`] with its shim.
pub type Runner<'a> =
    dyn FnMut(&RunOnce, &mut dyn FnMut(Output<'_>)) -> Result<i32, RunOnceError> + 'a;

/// A build failed; nothing was named. Steps that were finished are found again by the next build.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The Dockerfile, the context or a `.dockerignore` cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The Dockerfile is wrong, or asks for something that is not there.
    #[error("{}:{line}: {reason}", file.display())]
    Dockerfile {
        /// The Dockerfile.
        file: PathBuf,
        /// Of the instruction, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The command of a RUN failed; what it printed went to the progress.
    #[error("{}:{line}: {text}: the command returned exit code {code}", file.display())]
    Command {
        /// The Dockerfile.
        file: PathBuf,
        /// Of the instruction, from 1.
        line: usize,
        /// The instruction.
        text: String,
        /// 128 + signal if a signal ended it.
        code: i32,
    },
    /// There is no such stage.
    #[error("target stage {0:?} could not be found")]
    NoTarget(String),
    /// The image store failed.
    #[error(transparent)]
    Image(#[from] ImageError),
}
