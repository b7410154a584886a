//! One container as its shim sees it: from the request to start it until its exit is on record.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::wait::WaitStatus;
use rustix::pipe::PipeFlags;
use rustix::process::PidfdFlags;

use super::logs::{Log, Stream, StreamName};
use super::start::{Bundle, Stdio};
use crate::cgroup::Cgroups;
use crate::record::{self, CONTAINER_FILE, ContainerRecord, RunRecord, STATUS_FILE, SandboxRecord};
use crate::sys;
use crate::types::{ContainerId, ContainerState};

/// How long killed leftovers of a container may take to die before the shim goes on without them; whoever stops the
/// pod looks again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a container is, as far as its processes go.
pub(super) enum Phase {
    /// A child of the shim brings it up and will say on `report` how that went.
    Starting { helper: i32, report: OwnedFd },
    /// Its init process lives; `pidfd` becomes readable when it has ended.
    Running { pid: i32, pidfd: OwnedFd },
    /// Nothing of it lives.
    Ended,
}

/// A container of this shim.
pub(super) struct Container {
    pub(super) id: ContainerId,
    pub(super) phase: Phase,
    pub(super) run: RunRecord,
    pub(super) streams: Vec<Stream>,
    log: Option<Log>,
    directory: PathBuf,
    cgroup: String,
    bundle: Bundle,
    /// The shim was asked to SIGKILL it, so its end by SIGKILL says nothing about memory.
    killed: bool,
}

/// What the child that starts a container reports: the process id of its init, or why there is none.
type Report = Result<i32, String>;

impl Container {
    /// Begins to start a recorded container.
    pub(super) fn begin(
        id: &ContainerId,
        sandbox: &SandboxRecord,
        state: &Path,
        cgroups: &Cgroups,
    ) -> Result<Self, String> {
        let directory = sandbox.containers.join(id.as_str());
        let record: ContainerRecord = record::read(&directory.join(CONTAINER_FILE))
            .map_err(|e| format!("read the record of container {id}: {e}"))?;
        let launch = record.launch;
        let log = Log::open(&launch.log_path)
            .map_err(|e| format!("open {}: {e}", launch.log_path.display()))?;
        let (report, to_report) = pipe(PipeFlags::CLOEXEC)?;
        let (out, to_out) = pipe(PipeFlags::CLOEXEC)?;
        let (err, to_err) = pipe(PipeFlags::CLOEXEC)?;
        for end in [&out, &err] {
            // Only our ends: a program that finds its output non-blocking may fail.
            rustix::io::ioctl_fionbio(end, true).map_err(|e| format!("set up a log pipe: {e}"))?;
        }
        let bundle = Bundle::new(state, id.as_str());
        let shared_memory = state.join("shm");
        let Some(helper) =
            sys::fork_single_threaded().map_err(|e| format!("fork: {}", e.desc()))?
        else {
            let report: Report = dev_null().and_then(|stdin| {
                bundle.mount(&launch)?;
                let stdio = Stdio {
                    stdin,
                    stdout: to_out,
                    stderr: to_err,
                };
                let hostname = hostname(sandbox);
                bundle.start(&launch, &hostname, Some(&shared_memory), cgroups, stdio)
            });
            let bytes = serde_json::to_vec(&report).unwrap_or_default();
            let sent = fs::File::from(to_report).write_all(&bytes);
            std::process::exit(i32::from(sent.is_err()));
        };
        Ok(Self {
            id: id.clone(),
            phase: Phase::Starting {
                helper: helper.as_raw(),
                report,
            },
            run: RunRecord::created(),
            streams: vec![
                Stream::new(StreamName::Stdout, out),
                Stream::new(StreamName::Stderr, err),
            ],
            log: Some(log),
            directory,
            cgroup: launch.cgroup,
            bundle,
            killed: false,
        })
    }

    /// Takes the report of the child that starts it, which has ended or is about to. On an error nothing of the
    /// container is left, and its record says so.
    pub(super) fn take_report(&mut self, cgroups: &Cgroups) -> Result<(), String> {
        let Phase::Starting { helper, report } = std::mem::replace(&mut self.phase, Phase::Ended)
        else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        let read = fs::File::from(report).read_to_end(&mut bytes);
        // It has closed the pipe as its last act; its children become ours only when it is gone.
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(helper), None);
        let started = read
            .map_err(|e| format!("read a report: {e}"))
            .and_then(|_| {
                serde_json::from_slice::<Report>(&bytes)
                    .unwrap_or(Err("the start was interrupted".into()))
            })
            .and_then(|pid| {
                let number =
                    rustix::process::Pid::from_raw(pid).ok_or("libcontainer gave no process id")?;
                let pidfd = rustix::process::pidfd_open(number, PidfdFlags::empty())
                    .map_err(|e| format!("open a pidfd: {e}"))?;
                Ok((pid, pidfd))
            });
        match started {
            Ok((pid, pidfd)) => {
                self.run = RunRecord::running(pid.cast_unsigned(), Timestamp::now());
                self.phase = Phase::Running { pid, pidfd };
                self.save();
                Ok(())
            }
            Err(reason) => {
                self.end(
                    cgroups,
                    RunRecord::not_started(reason.clone(), Timestamp::now()),
                );
                Err(reason)
            }
        }
    }

    /// Sends a signal to its init. What has ended needs none.
    pub(super) fn signal(&mut self, signal: i32, cgroups: &Cgroups) -> Result<(), String> {
        self.killed |= signal == libc::SIGKILL;
        match &self.phase {
            Phase::Running { pid, .. } => match sys::kill_child(*pid, signal) {
                Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                    Err(format!("signal {signal}: {error}"))
                }
                _ => Ok(()),
            },
            Phase::Starting { helper, .. } if signal == libc::SIGKILL => {
                let _ = sys::kill_child(*helper, signal); // has just ended
                cgroups
                    .kill(&self.cgroup, PATIENCE)
                    .map(drop)
                    .map_err(|e| format!("kill: {e}"))
            }
            Phase::Starting { .. } | Phase::Ended => Ok(()),
        }
    }

    /// Its init was waited for.
    pub(super) fn ended(&mut self, status: WaitStatus, cgroups: &Cgroups) {
        let (code, signal) = match status {
            WaitStatus::Signaled(_, signal, _) => (128 + signal as i32, Some(signal as i32)),
            WaitStatus::Exited(_, code) => (code, None),
            _ => return,
        };
        let out_of_memory =
            signal == Some(libc::SIGKILL) && !self.killed && cgroups.oom_kills(&self.cgroup) > 0;
        let reason = match code {
            _ if out_of_memory => "OOMKilled",
            0 => "Completed",
            _ => "Error",
        };
        self.end(
            cgroups,
            RunRecord {
                state: ContainerState::Exited,
                pid: None,
                finished_at: Some(Timestamp::now()),
                exit_code: Some(code),
                signal,
                reason: reason.into(),
                ..self.run.clone()
            },
        );
    }

    /// Nothing of it may live on: its record is written when its last words are in the log and its processes dead.
    fn end(&mut self, cgroups: &Cgroups, run: RunRecord) {
        self.phase = Phase::Ended;
        match cgroups.kill(&self.cgroup, PATIENCE) {
            Ok(left) if left.is_empty() => {}
            Ok(left) => eprintln!("shim: container {}: processes {left:?} do not die", self.id),
            Err(error) => eprintln!("shim: container {}: kill: {error}", self.id),
        }
        if let Some(mut log) = self.log.take() {
            let mut buffer = vec![0; 8192];
            for stream in self.streams.drain(..) {
                stream.drain(&mut log, &mut buffer);
            }
        }
        self.run = run;
        self.save();
    }

    /// Unmounts and removes what only a living container needs.
    pub(super) fn tidy(&self, cgroups: &Cgroups) {
        let tidied = self
            .bundle
            .remove()
            .and_then(|()| cgroups.remove(&self.cgroup));
        if let Err(error) = tidied {
            eprintln!("shim: container {}: tidy: {error}", self.id);
        }
    }

    /// Moves output into the log; a stream that has ended is closed.
    pub(super) fn pump(&mut self, index: usize, buffer: &mut [u8]) {
        if let (Some(log), Some(stream)) = (&mut self.log, self.streams.get_mut(index))
            && !stream.pump(log, buffer)
        {
            self.streams.remove(index);
        }
    }

    /// A record that cannot be written is still told to whoever asks.
    fn save(&self) {
        if let Err(error) = record::write(&self.directory.join(STATUS_FILE), &self.run) {
            eprintln!("shim: container {}: write its status: {error}", self.id);
        }
    }
}

/// The name that programs in the pod see.
fn hostname(sandbox: &SandboxRecord) -> String {
    if sandbox.config.host_network {
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()
    } else {
        sandbox.config.hostname.clone()
    }
}

fn pipe(flags: PipeFlags) -> Result<(OwnedFd, OwnedFd), String> {
    rustix::pipe::pipe_with(flags).map_err(|e| format!("make a pipe: {e}"))
}

/// A container's standard input.
pub(super) fn dev_null() -> Result<OwnedFd, String> {
    fs::File::open("/dev/null")
        .map(OwnedFd::from)
        .map_err(|e: io::Error| format!("open /dev/null: {e}"))
}
