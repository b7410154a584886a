//! The words of this crate: sandboxes, containers and what is known of them. Data only.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a runtime keeps its things on this host.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// What must survive a reboot: images, writable layers, the record and last status of every container.
    pub root: PathBuf,
    /// What must not: sockets, process ids, bundles. Usually below `/run`.
    pub state: PathBuf,
    /// The cgroup all pods live below, absolute in every hierarchy, e.g. `/plinth`.
    pub cgroup_root: String,
    /// The program that calls [`crate::shim_main`] when its first argument is `shim`.
    pub shim_exe: PathBuf,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier! {
    /// Names a pod sandbox: 64 hexadecimal digits, never used twice.
    SandboxId
}
identifier! {
    /// Names a container: 64 hexadecimal digits, never used twice.
    ContainerId
}

/// What a pod's containers share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodSandboxConfig {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// UID of the pod; names the pod's cgroup.
    pub uid: String,
    /// How many sandboxes this pod has had before.
    pub attempt: u32,
    /// Host name inside the pod; ignored with `host_network`.
    pub hostname: String,
    /// Shares the host's network and host name instead of having its own.
    pub host_network: bool,
    /// Directory that containers' `log_path`s are relative to.
    pub log_directory: PathBuf,
    /// Kernel parameters of the pod's own namespaces, by dotted name.
    pub sysctls: BTreeMap<String, String>,
    /// Kept and given back untouched.
    pub annotations: BTreeMap<String, String>,
}

/// A pod's sandbox as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSandbox {
    /// Its id.
    pub id: SandboxId,
    /// Process id of the shim that holds the pod's namespaces; 0 once it is gone.
    pub pid: u32,
    /// What it was made from.
    pub config: PodSandboxConfig,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether the shim lives. A sandbox never becomes ready again.
    pub ready: bool,
}

/// How a container is to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools)] // each is a wish of its own, as in CRI
pub struct ContainerConfig {
    /// Name within the pod.
    pub name: String,
    /// How many containers of this name the pod has had before.
    pub attempt: u32,
    /// Name or id of an image that is present.
    pub image: String,
    /// Replaces the image's entry point (and then its arguments too) if not empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments if not empty.
    pub args: Vec<String>,
    /// Replaces the image's working directory; made if missing.
    pub working_dir: Option<String>,
    /// Added to the image's environment; later entries win.
    pub env: Vec<(String, String)>,
    /// Host paths to show inside.
    pub mounts: Vec<Mount>,
    /// Replaces the image's user.
    pub user: Option<UserSpec>,
    /// All capabilities, all devices, nothing masked.
    pub privileged: bool,
    /// The root file system may not be written.
    pub read_only_rootfs: bool,
    /// Capabilities beyond the default set, without `CAP_`; `ALL` for every one.
    pub add_caps: Vec<String>,
    /// Capabilities taken away; `ALL` for every one. In both lists `ALL` is applied first.
    pub drop_caps: Vec<String>,
    /// Executables cannot gain privileges (`allowPrivilegeEscalation: false`).
    pub no_new_privileges: bool,
    /// Limits.
    pub resources: Resources,
    /// The log file, relative to the sandbox's `log_directory`.
    pub log_path: PathBuf,
    /// Replaces the image's stop signal, e.g. `SIGQUIT`.
    pub stop_signal: Option<String>,
    /// Its standard input is kept open for whoever attaches; otherwise it is empty.
    pub stdin: bool,
    /// The first who attaches to its standard input and leaves closes it.
    pub stdin_once: bool,
    /// Has a terminal; then its standard error is its standard output.
    pub tty: bool,
    /// Kept and given back in [`ContainerStatus`] untouched.
    pub annotations: BTreeMap<String, String>,
}

/// A host path shown inside a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    /// Must exist.
    pub host_path: PathBuf,
    /// Absolute inside the container; made if missing.
    pub container_path: PathBuf,
    /// Writes fail.
    pub read_only: bool,
    /// Whether later mounts below `host_path` appear inside.
    pub propagation: MountPropagation,
}

/// Whether mounts made after a container's start are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountPropagation {
    /// In neither direction.
    #[default]
    Private,
    /// The container sees the host's.
    HostToContainer,
    /// Treated as [`Self::HostToContainer`]: a pod's mounts die with its shim and never reach the host.
    Bidirectional,
}

/// A user by numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserSpec {
    /// `None`: the image's user.
    pub uid: Option<u32>,
    /// `None`: the primary group that the image's `/etc/passwd` gives the user, or 0.
    pub gid: Option<u32>,
    /// Further groups, added to those of the image's `/etc/group`.
    pub supplemental: Vec<u32>,
    /// Refuses to be created if it may run as uid 0, with [`crate::RuntimeError::RunAsNonRoot`].
    pub run_as_non_root: bool,
}

/// Limits of one container; `None` is unlimited or the kernel's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Relative weight in the terms of cgroup v1 (2..262144, 1024 = one CPU).
    pub cpu_shares: Option<u64>,
    /// Microseconds of CPU per period.
    pub cpu_quota: Option<i64>,
    /// Length of the period in microseconds.
    pub cpu_period: Option<u64>,
    /// Bytes; swap is not given in addition.
    pub memory_limit: Option<i64>,
    /// Processes and threads.
    pub pids_limit: Option<i64>,
    /// −1000..1000.
    pub oom_score_adj: Option<i32>,
}

/// Where a container is in its life; it only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ContainerState {
    /// Recorded, never started.
    Created,
    /// Its init process lives.
    Running,
    /// No process of it lives.
    Exited,
    /// Its record cannot be read.
    Unknown,
}

impl ContainerState {
    /// In words.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Unknown => "in an unknown state",
        }
    }
}

/// What is known of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Its id.
    pub id: ContainerId,
    /// The sandbox it belongs to.
    pub sandbox: SandboxId,
    /// Name within the pod.
    pub name: String,
    /// How many containers of this name the pod has had before.
    pub attempt: u32,
    /// The image as it was asked for.
    pub image: String,
    /// The image's id, `sha256:…`.
    pub image_id: String,
    /// Where it is in its life.
    pub state: ContainerState,
    /// Process id of its init on the host, while running.
    pub pid: Option<u32>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When its process began.
    pub started_at: Option<Timestamp>,
    /// When its last process was gone.
    pub finished_at: Option<Timestamp>,
    /// 128 + signal for a killed one, 128 if it could not be started, 137 if its end was not seen.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// `Completed`, `Error`, `OOMKilled`, `StartError` or `ContainerStatusUnknown`; empty before the end.
    pub reason: String,
    /// Words for a person, e.g. why it could not be started.
    pub message: String,
    /// Absolute path of the log file.
    pub log_path: PathBuf,
    /// Those of its [`ContainerConfig`].
    pub annotations: BTreeMap<String, String>,
}

/// A container changed its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEvent {
    /// The pod's sandbox.
    pub sandbox: SandboxId,
    /// `None`: the sandbox itself is gone (its shim died or was stopped).
    pub container: Option<ContainerId>,
    /// The state it is in now.
    pub state: ContainerState,
}

/// A program to run in a running container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecConfig {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Give it a terminal; then its standard error is its standard output.
    pub tty: bool,
    /// Which of its streams are wanted; the others are `/dev/null`.
    pub streams: SessionStreams,
}

/// Which streams a session connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionStreams {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error; never with a terminal.
    pub stderr: bool,
}

/// What a program that was waited for said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Standard output, then standard error, up to a limit.
    pub output: Vec<u8>,
    /// 128 + signal if killed.
    pub exit_code: i32,
}
