//! Runs one command in a container and waits for it, without a daemon: what a Dockerfile's RUN needs.

use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use serde::{Deserialize, Serialize};

use crate::record::{self, Launch};
use crate::shim;
use crate::types::{Mount, Resources};

/// One command and the file systems it runs in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunOnce {
    /// Read-only layers, top first; at least one.
    pub lower_dirs: Vec<PathBuf>,
    /// What the command writes ends up here, in overlayfs terms (whiteouts are 0:0 devices). Made if missing.
    pub upper_dir: PathBuf,
    /// Scratch of this run on the same file system as `upper_dir`; made, and removed afterwards.
    pub work_dir: PathBuf,
    /// Program and arguments.
    pub args: Vec<String>,
    /// Its environment; PATH, HOME and HOSTNAME are added if missing.
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
    /// It was not started, or not to its end; the words are fit for a user.
    #[error("{0}")]
    Start(String),
    /// A step around it failed.
    #[error("{step}: {source}")]
    Io {
        /// Which.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// What goes to the shim.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// A directory for this run alone.
    pub(crate) state: PathBuf,
    /// The cgroup for this run alone.
    pub(crate) group: String,
    pub(crate) launch: Launch,
    pub(crate) private_network: bool,
    pub(crate) hostname: String,
}

/// Where the shim leaves a `Result<i32, String>`, in [`Order::state`].
pub(crate) const RESULT_FILE: &str = "result.json";
/// The cgroup of all such runs.
const GROUP: &str = "/plinth-run";
/// From one read of a pipe to the sink.
const PIECE: usize = 16 * 1024;

/// Runs `command` to its end and answers its exit code (128 + signal if killed). Blocks. `shim_exe` is the program
/// that calls [`crate::shim_main`]; `sink` gets the output as it comes. The network is the host's. Leaves neither
/// mounts, processes nor cgroups behind, also when this process is killed.
pub fn run_once(
    shim_exe: &Path,
    command: &RunOnce,
    sink: &mut dyn FnMut(Output<'_>),
) -> Result<i32, RunOnceError> {
    if command.args.is_empty() {
        return Err(RunOnceError::Start("no command specified".into()));
    }
    let io = |step| move |source| RunOnceError::Io { step, source };
    let id = crate::id::random().map_err(io("make an id"))?;
    let state = sibling(&command.work_dir, &id);
    std::fs::create_dir_all(&state).map_err(io("make a directory for the run"))?;
    let group = format!("{GROUP}/{id}");
    let order = Order {
        state: state.clone(),
        launch: Launch {
            lower_dirs: command.lower_dirs.clone(),
            upper_dir: command.upper_dir.clone(),
            work_dir: command.work_dir.clone(),
            argv: command.args.clone(),
            env: command.env.clone(),
            cwd: command.cwd.clone(),
            image_user: command.user.clone(),
            mounts: command.mounts.clone(),
            resources: command.resources.clone(),
            cgroup: format!("{group}/run"),
            ..Launch::default()
        },
        group,
        private_network: command.private_network,
        hostname: command.hostname.clone(),
    };
    let ran = supervise(shim_exe, &order, sink);
    let result = record::read::<Result<i32, String>>(&state.join(RESULT_FILE));
    std::fs::remove_dir_all(&state).map_err(io("remove the directory of the run"))?;
    ran?;
    result
        .map_err(io("read the result of the run"))?
        .map_err(RunOnceError::Start)
}

/// Beside the work directory: it is on a disk of the caller's choice and never inside a layer.
fn sibling(work_dir: &Path, id: &str) -> PathBuf {
    let parent = work_dir
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let parent = std::path::absolute(parent).unwrap_or_else(|_| parent.to_path_buf());
    parent.join(format!(".run-{}", &id[..16]))
}

fn supervise(
    shim_exe: &Path,
    order: &Order,
    sink: &mut dyn FnMut(Output<'_>),
) -> Result<(), RunOnceError> {
    let io = |step| move |source| RunOnceError::Io { step, source };
    let mut shim = Command::new(shim_exe)
        .args(["shim", shim::RUN_ONCE])
        .current_dir("/")
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(io("start the shim"))?;
    let piped = || io::Error::other("not piped");
    let mut input = shim
        .stdin
        .take()
        .ok_or_else(piped)
        .map_err(io("start the shim"))?;
    let stdout = shim
        .stdout
        .take()
        .ok_or_else(piped)
        .map_err(io("start the shim"))?;
    let stderr = shim
        .stderr
        .take()
        .ok_or_else(piped)
        .map_err(io("start the shim"))?;
    input
        .write_all(&crate::protocol::encode(order))
        .map_err(io("tell the shim what to run"))?;

    let (send, receive) = mpsc::sync_channel::<(bool, Vec<u8>)>(16);
    std::thread::scope(|scope| {
        let other = send.clone();
        scope.spawn(move || forward(stdout, |piece| send.send((true, piece)).is_ok()));
        scope.spawn(move || forward(stderr, |piece| other.send((false, piece)).is_ok()));
        for (is_stdout, piece) in receive {
            sink(if is_stdout {
                Output::Stdout(&piece)
            } else {
                Output::Stderr(&piece)
            });
        }
    });
    // Both outputs have ended, so the command and the shim have too, or are about to. Only now: the end of its input
    // tells the shim to kill.
    shim.wait().map_err(io("wait for the shim"))?;
    drop(input);
    Ok(())
}

/// Passes on what `pipe` gives until it ends or nobody wants more.
fn forward(mut pipe: impl Read, mut pass: impl FnMut(Vec<u8>) -> bool) {
    let mut piece = vec![0; PIECE];
    loop {
        match pipe.read(&mut piece) {
            Ok(count) if count > 0 => {
                if !pass(piece[..count].to_vec()) {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}
