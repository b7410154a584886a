//! One container as its shim sees it: from the request to start it until its exit is on record.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::wait::WaitStatus;
use rustix::pipe::PipeFlags;
use rustix::process::PidfdFlags;

use super::attach::Attached;
use super::exec;
use super::logs::{Log, Stream, StreamName};
use super::start::{Bundle, Stdio};
use crate::cgroup::Cgroups;
use crate::protocol::Streams;
use crate::record::{
    self, CONTAINER_FILE, ContainerRecord, EXIT_UNKNOWN, RunRecord, STATUS_FILE, SandboxRecord,
};
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
    pub(super) attached: Vec<Attached>,
    log: Option<Log>,
    /// Where what is typed goes, as long as it may be typed.
    stdin: Option<OwnedFd>,
    stdin_once: bool,
    /// It was made to be typed at: it waits for a slow reader instead of leaving it behind.
    interactive: bool,
    terminal: Option<OwnedFd>,
    /// Where its terminal will come from.
    console: Option<UnixListener>,
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
        let bundle = Bundle::new(state, id.as_str());
        let mut ours = Ours::default();
        let stdio = if launch.tty {
            let console = bundle.console().map_err(|e| format!("listen: {e}"))?;
            ours.console = Some(console);
            Stdio::Terminal
        } else {
            ours.pipes(launch.stdin)?
        };
        let shared_memory = state.join("shm");
        let Some(helper) =
            sys::fork_single_threaded().map_err(|e| format!("fork: {}", e.desc()))?
        else {
            // The other ends of the container's streams would keep them from ending.
            drop((report, ours));
            let report: Report = bundle.mount(&launch).and_then(|()| {
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
            streams: ours.streams,
            attached: Vec::new(),
            log: Some(log),
            stdin: ours.stdin,
            stdin_once: launch.stdin_once,
            interactive: launch.stdin,
            terminal: None,
            console: ours.console,
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
            })
            .and_then(|started| self.take_terminal().map(|()| started));
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

    /// Takes over the terminal of a container that has one. Its init has sent it before it became the program.
    fn take_terminal(&mut self) -> Result<(), String> {
        let Some(console) = self.console.take() else {
            return Ok(());
        };
        let mut take = || -> io::Result<OwnedFd> {
            let (from, _) = console.accept()?;
            from.set_nonblocking(false)?;
            from.set_read_timeout(Some(PATIENCE))?;
            let master = exec::receive_terminal(&from)?;
            rustix::io::ioctl_fionbio(&master, true)?;
            self.streams
                .push(Stream::new(StreamName::Stdout, master.try_clone()?));
            if self.interactive {
                self.stdin = Some(master.try_clone()?);
            }
            Ok(master)
        };
        self.terminal = Some(take().map_err(|e| format!("take the terminal: {e}"))?);
        Ok(())
    }

    /// Lets somebody join its streams.
    pub(super) fn attach(
        &mut self,
        connection: UnixStream,
        wanted: Streams,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), String> {
        let stdin = self.stdin.as_ref().map(OwnedFd::try_clone).transpose();
        let stdin = stdin.map_err(|e| format!("duplicate the container's input: {e}"))?;
        let attached = Attached::new(connection, wanted, descriptors, stdin)?;
        self.attached.push(attached);
        Ok(())
    }

    /// Serves one who has joined.
    pub(super) fn serve(&mut self, index: usize, buffer: &mut [u8]) {
        if let Some(attached) = self.attached.get_mut(index)
            && attached.turn(buffer, self.terminal.as_ref())
        {
            self.input_ended();
        }
    }

    /// Who typed has left. A terminal cannot be closed from outside.
    fn input_ended(&mut self) {
        if self.stdin_once && self.terminal.is_none() {
            self.stdin = None;
            for attached in &mut self.attached {
                attached.close_input();
            }
        }
    }

    /// Forgets those who have left.
    pub(super) fn dismiss(&mut self) {
        let typed = self.attached.iter().any(|a| a.is_over() && a.has_input());
        self.attached.retain(|attached| !attached.is_over());
        if typed {
            self.input_ended();
        }
    }

    /// Whether it has to wait until its readers have caught up.
    pub(super) fn is_held_up(&self) -> bool {
        self.interactive && self.attached.iter().any(Attached::is_behind)
    }

    /// What somebody needs to run a program in it, while it runs.
    pub(super) fn inside(&self) -> Result<(OwnedFd, PathBuf, String), String> {
        let Phase::Running { pidfd, .. } = &self.phase else {
            return Err("the container is not running".to_owned());
        };
        let init = pidfd
            .try_clone()
            .map_err(|e| format!("duplicate a pidfd: {e}"))?;
        Ok((init, self.bundle.specification(), self.cgroup.clone()))
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
            let (attached, waits) = (&mut self.attached, self.interactive);
            let mut also = |name: StreamName, bytes: &[u8]| {
                for one in attached.iter_mut() {
                    one.printed(name, bytes, waits);
                }
            };
            for stream in self.streams.drain(..) {
                stream.drain(&mut log, &mut buffer, &mut also);
            }
        }
        self.stdin = None;
        self.terminal = None;
        self.run = run;
        self.save();
        for attached in &mut self.attached {
            attached.end(self.run.exit_code.unwrap_or(EXIT_UNKNOWN));
        }
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
        let (attached, waits) = (&mut self.attached, self.interactive);
        let mut also = |name: StreamName, bytes: &[u8]| {
            for one in attached.iter_mut() {
                one.printed(name, bytes, waits);
            }
        };
        if let (Some(log), Some(stream)) = (&mut self.log, self.streams.get_mut(index))
            && !stream.pump(log, buffer, &mut also)
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

/// The shim's ends of a new container's streams.
#[derive(Default)]
struct Ours {
    streams: Vec<Stream>,
    stdin: Option<OwnedFd>,
    console: Option<UnixListener>,
}

impl Ours {
    /// Makes pipes; the container's ends are returned.
    fn pipes(&mut self, typed: bool) -> Result<Stdio, String> {
        let end = |stream: OwnedFd| {
            // Only our ends: a program that finds its output non-blocking may fail.
            rustix::io::ioctl_fionbio(&stream, true).map_err(|e| format!("set up a pipe: {e}"))?;
            Ok::<_, String>(stream)
        };
        let (out, stdout) = pipe(PipeFlags::CLOEXEC)?;
        let (err, stderr) = pipe(PipeFlags::CLOEXEC)?;
        self.streams = vec![
            Stream::new(StreamName::Stdout, end(out)?),
            Stream::new(StreamName::Stderr, end(err)?),
        ];
        let stdin = if typed {
            let (stdin, to) = pipe(PipeFlags::CLOEXEC)?;
            self.stdin = Some(end(to)?);
            stdin
        } else {
            dev_null()?
        };
        Ok(Stdio::Plain {
            stdin,
            stdout,
            stderr,
        })
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
