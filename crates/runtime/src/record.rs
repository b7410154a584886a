//! What is written to disk of sandboxes and containers, by the daemon and by the shim. Knows nothing of how it came
//! about.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::types::{
    ContainerConfig, ContainerId, ContainerState, Mount, PodSandboxConfig, Resources, SandboxId,
    UserSpec,
};

/// The exit code of a container whose end nobody saw (upstream: `ContainerStatusUnknown`).
pub(crate) const EXIT_UNKNOWN: i32 = 137;
/// The exit code of a container that could not be started.
pub(crate) const EXIT_NOT_STARTED: i32 = 128;

/// Survives reboots: `<root>/sandboxes/<id>.json`. The shim reads the copy in its own directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SandboxRecord {
    pub(crate) id: SandboxId,
    pub(crate) config: PodSandboxConfig,
    pub(crate) created_at: Timestamp,
    /// The pod's cgroup, absolute in every hierarchy.
    pub(crate) cgroup: String,
    /// `<root>/containers`: where the shim finds what to run and writes how it went.
    pub(crate) containers: PathBuf,
    /// Proven gone. The pod's next sandbox has the same cgroup, so the proof must not be tried again.
    #[serde(default)]
    pub(crate) gone: bool,
}

/// Names a process so that its number cannot be mistaken for another's: `<state>/sandboxes/<id>/shim.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    pub(crate) pid: i32,
    /// Clock ticks since boot (`/proc/<pid>/stat`, field 22).
    pub(crate) start_ticks: u64,
    pub(crate) boot_id: String,
}

impl ProcessIdentity {
    /// The identity of a process that exists now.
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        let (_, start_ticks) = stat(pid)?;
        Ok(Self {
            pid,
            start_ticks,
            boot_id: boot_id()?,
        })
    }

    /// Whether that very process still lives (a zombie does not).
    pub(crate) fn is_alive(&self) -> bool {
        matches!(stat(self.pid), Ok((state, ticks)) if ticks == self.start_ticks && state != 'Z' && state != 'X')
            && boot_id().is_ok_and(|boot| boot == self.boot_id)
    }
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// State letter and start time of a process.
fn stat(pid: i32) -> io::Result<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in parentheses and may contain anything.
    let rest = text.rsplit_once(") ").map(|(_, rest)| rest);
    let mut fields = rest.unwrap_or_default().split(' ');
    let state = fields.next().and_then(|s| s.chars().next());
    let ticks = fields.nth(18).and_then(|s| s.parse().ok());
    state.zip(ticks).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("/proc/{pid}/stat: {text}"),
        )
    })
}

/// Written last when a container is created; a directory without it was never finished: `container.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    pub(crate) id: ContainerId,
    pub(crate) sandbox: SandboxId,
    pub(crate) config: ContainerConfig,
    pub(crate) image_id: String,
    pub(crate) created_at: Timestamp,
    pub(crate) stop_signal: i32,
    pub(crate) launch: Launch,
}

/// Everything the shim must know to run a program in a container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools)] // each is a wish of its own, as in CRI
pub(crate) struct Launch {
    /// Top first.
    pub(crate) lower_dirs: Vec<PathBuf>,
    pub(crate) upper_dir: PathBuf,
    pub(crate) work_dir: PathBuf,
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: PathBuf,
    /// The image's `USER`: `user[:group]` by name or number.
    pub(crate) image_user: String,
    pub(crate) user: Option<UserSpec>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) privileged: bool,
    pub(crate) read_only_rootfs: bool,
    pub(crate) add_caps: Vec<String>,
    pub(crate) drop_caps: Vec<String>,
    pub(crate) no_new_privileges: bool,
    pub(crate) resources: Resources,
    pub(crate) stdin: bool,
    pub(crate) stdin_once: bool,
    pub(crate) tty: bool,
    /// Absolute in every hierarchy.
    pub(crate) cgroup: String,
    /// Absolute; empty if the output goes elsewhere.
    pub(crate) log_path: PathBuf,
}

/// What became of a container, written by the shim (or, once it is dead, by the daemon): `status.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    pub(crate) state: ContainerState,
    #[serde(default)]
    pub(crate) pid: Option<u32>,
    #[serde(default)]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) finished_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) exit_code: Option<i32>,
    #[serde(default)]
    pub(crate) signal: Option<i32>,
    #[serde(default)]
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) message: String,
}

impl RunRecord {
    /// Recorded, never started.
    pub(crate) fn created() -> Self {
        Self {
            state: ContainerState::Created,
            pid: None,
            started_at: None,
            finished_at: None,
            exit_code: None,
            signal: None,
            reason: String::new(),
            message: String::new(),
        }
    }

    /// Its program runs as `pid`.
    pub(crate) fn running(pid: u32, now: Timestamp) -> Self {
        Self {
            state: ContainerState::Running,
            pid: Some(pid),
            started_at: Some(now),
            ..Self::created()
        }
    }

    /// It could not be started.
    pub(crate) fn not_started(message: String, now: Timestamp) -> Self {
        Self {
            state: ContainerState::Exited,
            started_at: Some(now),
            finished_at: Some(now),
            exit_code: Some(EXIT_NOT_STARTED),
            reason: "StartError".into(),
            message,
            ..Self::created()
        }
    }

    /// It is gone and nobody saw how it ended.
    pub(crate) fn lost(self, now: Timestamp) -> Self {
        Self {
            state: ContainerState::Exited,
            pid: None,
            finished_at: Some(now),
            exit_code: Some(EXIT_UNKNOWN),
            reason: "ContainerStatusUnknown".into(),
            message: "The container could not be located when the pod was terminated".into(),
            ..self
        }
    }
}

/// File names inside a container's directory.
pub(crate) const CONTAINER_FILE: &str = "container.json";
pub(crate) const STATUS_FILE: &str = "status.json";
/// File names inside a sandbox's state directory.
pub(crate) const SANDBOX_FILE: &str = "sandbox.json";
pub(crate) const SHIM_FILE: &str = "shim.json";
pub(crate) const SHIM_SOCKET: &str = "shim.sock";
pub(crate) const SHIM_LOG: &str = "shim.log";

/// Replaces a file so that a reader (or a crash of this process) sees the old or the new content, never a part.
/// Power loss may lose it: what it describes would be gone too.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec(value)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = PathBuf::from(name);
    fs::File::create(&temporary)?.write_all(&bytes)?;
    fs::rename(&temporary, path)
}

/// Reads what [`write`] wrote.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_more_than_its_number() {
        let me = ProcessIdentity::of(std::process::id().cast_signed()).expect("own stat");
        assert!(me.is_alive());
        assert!(
            !ProcessIdentity {
                start_ticks: me.start_ticks + 1,
                ..me.clone()
            }
            .is_alive()
        );
        assert!(
            !ProcessIdentity {
                boot_id: "another".into(),
                ..me
            }
            .is_alive()
        );
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = std::process::Command::new("/bin/cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat");
        let identity = ProcessIdentity::of(child.id().cast_signed()).expect("stat");
        assert!(identity.is_alive());
        let pidfd = rustix::process::pidfd_open(
            rustix::process::Pid::from_child(&child),
            rustix::process::PidfdFlags::empty(),
        )
        .expect("pidfd");
        drop(child.stdin.take());
        rustix::event::poll(
            &mut [rustix::event::PollFd::new(
                &pidfd,
                rustix::event::PollFlags::IN,
            )],
            None,
        )
        .expect("poll");
        assert!(!identity.is_alive(), "it has ended but was not waited for");
        child.wait().expect("wait");
    }
}
