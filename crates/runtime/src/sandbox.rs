//! The daemon's side of one pod sandbox: spawn its shim, take it over, prove it gone. Blocking; no tokio but where a
//! connection is opened.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use crate::cgroup::{self, Cgroups};
use crate::connection::Connection;
use crate::error::{Result, RuntimeError};
use crate::record::{
    self, ProcessIdentity, SANDBOX_FILE, SHIM_FILE, SHIM_LOG, SHIM_SOCKET, SandboxRecord,
};
use crate::shim;
use crate::types::PodSandbox;

/// A shim that does not report by then is broken.
const SHIM_START: Duration = Duration::from_secs(20);
/// How long processes may take to die of SIGKILL; longer is a hung disk or device, and then nobody may say that the
/// pod is gone.
pub(crate) const DEATH: Duration = Duration::from_secs(20);

/// Where a sandbox is in its life; it only ever moves down this list.
#[derive(Debug)]
pub(crate) enum Life {
    /// Its shim is being started. It counts as alive.
    Starting,
    /// Its shim holds the pod and answers.
    Ready {
        process: ProcessIdentity,
        connection: Connection,
    },
    /// Its shim is gone, but it is not proven that its processes are: it counts as alive.
    Doubtful,
    /// Nothing of it lives.
    Gone,
}

/// One sandbox.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) record: SandboxRecord,
    /// `<state>/sandboxes/<id>`.
    directory: PathBuf,
    life: Mutex<Life>,
    /// Held while the sandbox is being brought to its end, so that it happens once.
    pub(crate) ending: tokio::sync::Mutex<()>,
}

impl Sandbox {
    pub(crate) fn new(record: SandboxRecord, state: &Path, life: Life) -> Self {
        let directory = state.join("sandboxes").join(record.id.as_str());
        Self {
            record,
            directory,
            life: Mutex::new(life),
            ending: tokio::sync::Mutex::default(),
        }
    }

    fn life(&self) -> std::sync::MutexGuard<'_, Life> {
        // Every change is one assignment, so a panic elsewhere leaves nothing half-done.
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_life(&self, life: Life) {
        *self.life() = life;
    }

    /// Whether its processes may still exist.
    pub(crate) fn may_live(&self) -> bool {
        !matches!(*self.life(), Life::Gone)
    }

    /// The way to its shim, while it is ready.
    pub(crate) fn connection(&self) -> Option<Connection> {
        match &*self.life() {
            Life::Ready { connection, .. } => Some(connection.clone()),
            _ => None,
        }
    }

    /// As callers see it.
    pub(crate) fn view(&self) -> PodSandbox {
        let life = self.life();
        let pid = match &*life {
            Life::Ready { process, .. } => process.pid.cast_unsigned(),
            _ => 0,
        };
        PodSandbox {
            id: self.record.id.clone(),
            pid,
            config: self.record.config.clone(),
            created_at: self.record.created_at,
            ready: pid != 0,
        }
    }

    /// Where its shim listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join(SHIM_SOCKET)
    }

    /// The shim that was started for it, if it still lives.
    pub(crate) fn living_shim(&self) -> Option<ProcessIdentity> {
        let identity: ProcessIdentity = record::read(&self.directory.join(SHIM_FILE)).ok()?;
        identity.is_alive().then_some(identity)
    }

    /// Starts its shim and waits until it holds the pod.
    pub(crate) fn spawn_shim(&self, shim_exe: &Path) -> Result<ProcessIdentity> {
        let refused = |step, message: String| RuntimeError::Shim {
            sandbox: self.record.id.clone(),
            step,
            message,
        };
        fs::create_dir_all(&self.directory).map_err(RuntimeError::io("make", &self.directory))?;
        let file = self.directory.join(SANDBOX_FILE);
        record::write(&file, &self.record).map_err(RuntimeError::io("write", &file))?;
        let log = self.directory.join(SHIM_LOG);
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(RuntimeError::io("open", &log))?;
        let mut child = Command::new(shim_exe)
            .args(["shim", shim::SANDBOX])
            .arg(&self.directory)
            .current_dir("/")
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|e| refused("start", format!("{}: {e}", shim_exe.display())))?;
        let report = match child.stdout.take().map(read_report) {
            Some(Ok(report)) => report,
            Some(Err(error)) => error.to_string(),
            None => "not piped".into(),
        };
        if report == shim::READY {
            return record::read(&self.directory.join(SHIM_FILE))
                .map_err(RuntimeError::io("read", self.directory.join(SHIM_FILE)));
        }
        let _ = child.kill(); // it may have ended by itself
        let _ = child.wait();
        let report = if report.is_empty() {
            "ended without a word".to_owned()
        } else {
            report
        };
        Err(refused("make the pod", report))
    }

    /// Makes sure that nothing of the pod lives and removes its cgroups and its state. Afterwards it is
    /// [`Life::Gone`], also in the record at `file`, or [`Life::Doubtful`] with an error. The connection is not used.
    pub(crate) fn bury(&self, cgroups: &Cgroups, cgroup_root: &str, file: &Path) -> Result<()> {
        let before = std::mem::replace(&mut *self.life(), Life::Doubtful);
        if let Life::Ready { connection, .. } = &before {
            connection.close();
        }
        let shim: Option<ProcessIdentity> = match before {
            Life::Gone => {
                self.set_life(Life::Gone);
                return Ok(());
            }
            Life::Ready { process, .. } => Some(process),
            Life::Starting | Life::Doubtful => record::read(&self.directory.join(SHIM_FILE)).ok(),
        };
        let group = &self.record.cgroup;
        let in_group = |step| RuntimeError::io(step, Path::new(group));
        if let Some(shim) = &shim {
            end_shim(shim).map_err(in_group("end the shim of"))?;
        }
        let left = cgroups
            .kill(group, DEATH)
            .map_err(in_group("kill the processes of"))?;
        if !left.is_empty() {
            return Err(RuntimeError::StillAlive {
                cgroup: group.into(),
                pids: left.into_iter().collect(),
            });
        }
        cgroups.remove(group).map_err(in_group("remove cgroup"))?;
        cgroups.remove_if_unused(cgroup_root);
        let record = SandboxRecord {
            gone: true,
            ..self.record.clone()
        };
        record::write(file, &record).map_err(RuntimeError::io("write", file))?;
        self.set_life(Life::Gone);
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(RuntimeError::io("remove", &self.directory)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Kills the shim if it lives and waits for its end.
fn end_shim(shim: &ProcessIdentity) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(shim.pid) else {
        return Ok(());
    };
    // Opened before the look at who it is: after it, the number cannot change hands unnoticed.
    if let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty())
        && shim.is_alive()
    {
        let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL); // has ended meanwhile
        if !cgroup::wait_gone(&pidfd, Instant::now() + DEATH) {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("process {pid} does not die"),
            ));
        }
    }
    // It is our child if we started it, or if we are the init of our container; else this fails, and somebody else
    // waits for it.
    let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
    Ok(())
}

/// Everything the shim prints until it lets go of its standard output.
fn read_report(mut pipe: std::process::ChildStdout) -> io::Result<String> {
    let deadline = Instant::now() + SHIM_START;
    let mut report = Vec::new();
    let mut piece = [0; 512];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match rustix::event::poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "did not report in time",
                ));
            }
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match pipe.read(&mut piece)? {
            0 => return Ok(String::from_utf8_lossy(&report).into_owned()),
            count => report.extend_from_slice(&piece[..count]),
        }
    }
}
