//! Looks after one program that was started inside a running container: hands it its streams, passes on resizes, tells
//! how it ended, and kills it when the connection that asked for it is gone. Runs in a child of the shim made for it,
//! so the shim itself never waits.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::wait::{WaitStatus, waitpid};
use oci_spec::runtime::Spec;
use rustix::event::{PollFd, PollFlags};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use rustix::termios::Winsize;
use rustix::thread::ThreadNameSpaceType;

use super::inside::{Entry, Stdio};
use super::pump::Pump;
use crate::cgroup::Cgroups;
use crate::protocol::{self, FromSession, Streams, ToSession};
use crate::sys;

/// Everything a program that joins a container needs.
pub(super) struct Exec {
    pub(super) argv: Vec<String>,
    pub(super) tty: bool,
    pub(super) wanted: Streams,
    pub(super) streams: Vec<OwnedFd>,
    /// Who asked; the program lives no longer.
    pub(super) connection: UnixStream,
    /// A pidfd of the container's init.
    pub(super) init: OwnedFd,
    /// The container's `config.json`.
    pub(super) specification: PathBuf,
    pub(super) cgroup: String,
    pub(super) cgroups: Cgroups,
}

/// The program at work.
struct Running {
    pid: Pid,
    pidfd: OwnedFd,
    connection: UnixStream,
    terminal: Option<Terminal>,
    inbox: Vec<u8>,
}

/// The program's terminal between its streams.
struct Terminal {
    master: OwnedFd,
    input: Option<Pump>,
    output: Option<Pump>,
}

impl Exec {
    /// Runs the program to its end.
    pub(super) fn run(mut self) {
        let connection = self.connection.try_clone();
        let streams = std::mem::take(&mut self.streams);
        match self.begin(streams) {
            Ok(running) => running.attend(),
            Err(reason) => {
                if let Ok(connection) = connection {
                    say(&connection, &FromSession::Refused(reason));
                }
            }
        }
    }

    fn begin(self, streams: Vec<OwnedFd>) -> Result<Running, String> {
        let [stdin, stdout, stderr] = in_order(self.wanted, streams)?;
        let spec = Spec::load(&self.specification)
            .map_err(|e| format!("read {}: {e}", self.specification.display()))?;
        let process = spec
            .process()
            .as_ref()
            .ok_or("the container has no process")?;
        let (failure, to_failure) =
            rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| format!("make a pipe: {e}"))?;
        let (ours, theirs) = UnixStream::pair().map_err(|e| format!("make a socket: {e}"))?;
        // Only for children: this process itself stays outside.
        rustix::thread::move_into_thread_name_spaces(
            self.init.as_fd(),
            ThreadNameSpaceType::PROCESS_ID,
        )
        .map_err(|e| match e {
            rustix::io::Errno::SRCH => "the container is not running".to_owned(),
            e => format!("join the container's processes: {e}"),
        })?;
        let null = || File::options().read(true).write(true).open("/dev/null");
        let or_null = |stream: &Option<OwnedFd>| match stream {
            Some(stream) => stream.try_clone(),
            None => null().map(OwnedFd::from),
        };
        let stdio = if self.tty {
            Stdio::Terminal(theirs)
        } else {
            let all = || Ok([or_null(&stdin)?, or_null(&stdout)?, or_null(&stderr)?]);
            Stdio::Plain(all().map_err(|e: io::Error| format!("duplicate a stream: {e}"))?)
        };
        let Some(child) = sys::fork_single_threaded().map_err(|e| match e {
            nix::errno::Errno::ENOMEM => "the container is not running".to_owned(),
            e => format!("fork: {}", e.desc()),
        })?
        else {
            drop((ours, failure, stdin, stdout, stderr, self.connection));
            let entry = Entry {
                argv: self.argv,
                process,
                init: &self.init,
                cgroup: &self.cgroup,
                cgroups: &self.cgroups,
                stdio,
            };
            let Err(reason) = entry.execute();
            let told = File::from(to_failure).write_all(reason.as_bytes());
            std::process::exit(i32::from(told.is_err()));
        };
        drop((to_failure, stdio));
        let pid = Pid::from_raw(child.as_raw()).ok_or("fork gave no process id")?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())
            .map_err(|e| format!("open a pidfd: {e}"))?;
        let mut reason = String::new();
        // Ends when the program is executed, or with the reason why not.
        File::from(failure)
            .read_to_string(&mut reason)
            .map_err(|e| format!("read a pipe: {e}"))?;
        if !reason.is_empty() {
            let _ = waitpid(child, None); // its reason is what counts
            return Err(format!("unable to start container process: {reason}"));
        }
        let terminal = if self.tty {
            Some(
                Terminal::new(&ours, stdin, stdout)
                    .map_err(|e| format!("take the terminal: {e}"))?,
            )
        } else {
            None
        };
        say(&self.connection, &FromSession::Begun);
        Ok(Running {
            pid,
            pidfd,
            connection: self.connection,
            terminal,
            inbox: Vec::new(),
        })
    }
}

/// The streams by their numbers, of those that came.
pub(super) fn in_order(
    wanted: Streams,
    streams: Vec<OwnedFd>,
) -> Result<[Option<OwnedFd>; 3], String> {
    let mut streams = streams.into_iter();
    let all = [wanted.stdin, wanted.stdout, wanted.stderr];
    if streams.len() != all.iter().filter(|wanted| **wanted).count() {
        return Err("the streams did not come with the request".to_owned());
    }
    Ok(all.map(|wanted| if wanted { streams.next() } else { None }))
}

/// A daemon that is gone hears nothing, and needs nothing.
pub(super) fn say(connection: &UnixStream, what: &FromSession) {
    let _ = protocol::send_with(connection, &protocol::encode(what), &[]);
}

impl Terminal {
    fn new(from: &UnixStream, stdin: Option<OwnedFd>, stdout: Option<OwnedFd>) -> io::Result<Self> {
        let master = receive_terminal(from)?;
        let input = stdin
            .map(|stdin| io::Result::Ok(Pump::new(stdin, master.try_clone()?)?))
            .transpose()?;
        let output = stdout
            .map(|stdout| io::Result::Ok(Pump::new(master.try_clone()?, stdout)?))
            .transpose()?;
        Ok(Self {
            master,
            input,
            output,
        })
    }
}

/// The master of a terminal that a container's process made.
pub(super) fn receive_terminal(from: &UnixStream) -> io::Result<OwnedFd> {
    let mut descriptors = Vec::new();
    let mut buffer = [0; 4096];
    while descriptors.is_empty() {
        match protocol::receive_with(from, &mut buffer, &mut descriptors) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Not empty, as the loop has just seen.
    descriptors
        .pop()
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Tells the programs of a terminal how large it is.
pub(super) fn resize(terminal: &OwnedFd, ToSession::Resize { width, height }: ToSession) {
    let size = Winsize {
        ws_col: width,
        ws_row: height,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // Only a terminal that is gone refuses.
    let _ = rustix::termios::tcsetwinsize(terminal, size);
}

impl Running {
    fn attend(mut self) {
        let mut buffer = vec![0; 16 * 1024];
        let mut ended = None;
        loop {
            let drained = |terminal: &Terminal| terminal.output.as_ref().is_none_or(Pump::is_done);
            if let Some(code) = ended
                && self.terminal.as_ref().is_none_or(drained)
            {
                self.terminal = None; // closes the streams before the end is told
                say(&self.connection, &FromSession::Ended(code));
                return;
            }
            let (asked, exited) = match self.wait(ended.is_some()) {
                Ok(ready) => ready,
                Err(error) => {
                    eprintln!("shim: wait for a program: {error}");
                    return self.kill();
                }
            };
            if asked && !self.hear(&mut buffer) {
                if ended.is_none() {
                    self.kill();
                }
                return;
            }
            if let Some(terminal) = &mut self.terminal {
                for pump in [&mut terminal.input, &mut terminal.output]
                    .into_iter()
                    .flatten()
                {
                    pump.turn(&mut buffer);
                }
            }
            if exited {
                ended = Some(self.reap());
                if let Some(terminal) = &mut self.terminal {
                    terminal.input = None;
                }
            }
        }
    }

    /// Waits until the daemon has said something, or the program has ended, or bytes can be moved.
    fn wait(&self, ended: bool) -> rustix::io::Result<(bool, bool)> {
        let mut fds = vec![PollFd::new(&self.connection, PollFlags::IN)];
        if !ended {
            fds.push(PollFd::new(&self.pidfd, PollFlags::IN));
        }
        if let Some(terminal) = &self.terminal {
            let pumps = [&terminal.input, &terminal.output].into_iter().flatten();
            fds.extend(pumps.filter_map(Pump::interest));
        }
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, None))?;
        let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        Ok((ready(&fds[0]), !ended && ready(&fds[1])))
    }

    /// Does what the daemon says; false when it is gone.
    fn hear(&mut self, buffer: &mut [u8]) -> bool {
        match rustix::io::read(&self.connection, &mut *buffer) {
            Ok(count) if count > 0 => self.inbox.extend_from_slice(&buffer[..count]),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return true,
            _ => return false,
        }
        while let Some(line) = protocol::take_line(&mut self.inbox) {
            let Ok(said) = serde_json::from_slice::<ToSession>(&line) else {
                return false;
            };
            if let Some(terminal) = &self.terminal {
                resize(&terminal.master, said);
            }
        }
        true
    }

    fn reap(&self) -> i32 {
        let pid = nix::unistd::Pid::from_raw(self.pid.as_raw_nonzero().get());
        loop {
            match waitpid(pid, None) {
                Ok(WaitStatus::Exited(_, code)) => return code,
                Ok(WaitStatus::Signaled(_, signal, _)) => return 128 + signal as i32,
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return crate::record::EXIT_UNKNOWN,
            }
        }
    }

    /// Nobody wants the program any more.
    fn kill(self) {
        // The group first: its number is the program's, which is ours until we have waited for it.
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        self.reap();
    }
}
