//! Somebody who has joined the streams of a running container: gets a copy of what it prints, and may type. Never makes
//! the shim wait.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::exec;
use super::logs::StreamName;
use super::pump::Pump;
use crate::protocol::{self, FromSession, Streams, ToSession};

/// A container that is typed at waits for a reader that is this far behind, as a program waits for its terminal.
const BEHIND: usize = 256 << 10;
/// Of any other container the log is the record: a reader this far behind is cut off.
const TOO_FAR_BEHIND: usize = 1 << 20;

/// One who joined.
pub(super) struct Attached {
    connection: UnixStream,
    inbox: Vec<u8>,
    outlets: Vec<Outlet>,
    input: Option<Pump>,
    /// The container has ended so; what is left is told, then this.
    ended: Option<i32>,
    gone: bool,
}

struct Outlet {
    name: StreamName,
    to: OwnedFd,
    held: Vec<u8>,
}

impl Attached {
    /// Joins; `stdin` is the container's, `None` if it has none.
    pub(super) fn new(
        connection: UnixStream,
        wanted: Streams,
        descriptors: Vec<OwnedFd>,
        stdin: Option<OwnedFd>,
    ) -> Result<Self, String> {
        let failed = |e: rustix::io::Errno| format!("connect the streams: {e}");
        let [input, stdout, stderr] = exec::in_order(wanted, descriptors)?;
        let outlet = |name, to: Option<OwnedFd>| -> Result<Option<Outlet>, String> {
            let Some(to) = to else { return Ok(None) };
            rustix::io::ioctl_fionbio(&to, true).map_err(failed)?;
            Ok(Some(Outlet {
                name,
                to,
                held: Vec::new(),
            }))
        };
        let outlets = [
            outlet(StreamName::Stdout, stdout)?,
            outlet(StreamName::Stderr, stderr)?,
        ];
        let input = match (input, stdin) {
            (Some(from), Some(to)) => Some(Pump::new(from, to).map_err(failed)?),
            _ => None,
        };
        exec::say(&connection, &FromSession::Begun);
        Ok(Self {
            connection,
            inbox: Vec::new(),
            outlets: outlets.into_iter().flatten().collect(),
            input,
            ended: None,
            gone: false,
        })
    }

    /// What it waits for.
    pub(super) fn interest(&self) -> Vec<PollFd<'_>> {
        let mut fds = vec![PollFd::new(&self.connection, PollFlags::IN)];
        fds.extend(self.input.as_ref().and_then(Pump::interest));
        let full = self.outlets.iter().filter(|o| !o.held.is_empty());
        fds.extend(full.map(|o| PollFd::new(&o.to, PollFlags::OUT)));
        fds
    }

    /// Moves what can be moved. True at the moment its input has come to an end.
    pub(super) fn turn(&mut self, buffer: &mut [u8], terminal: Option<&OwnedFd>) -> bool {
        let had_input = self.input.is_some();
        self.gone |= !self.hear(buffer, terminal);
        if let Some(input) = &mut self.input {
            input.turn(buffer);
            if input.is_done() || self.gone {
                self.input = None;
            }
        }
        self.flush();
        had_input && self.input.is_none()
    }

    fn hear(&mut self, buffer: &mut [u8], terminal: Option<&OwnedFd>) -> bool {
        match rustix::net::recv(
            &self.connection,
            &mut *buffer,
            rustix::net::RecvFlags::DONTWAIT,
        ) {
            Ok((count, _)) if count > 0 => self.inbox.extend_from_slice(&buffer[..count]),
            Err(Errno::INTR | Errno::AGAIN) => return true,
            _ => return false,
        }
        while let Some(line) = protocol::take_line(&mut self.inbox) {
            let Ok(said) = serde_json::from_slice::<ToSession>(&line) else {
                return false;
            };
            if let Some(terminal) = terminal {
                exec::resize(terminal, said);
            }
        }
        true
    }

    /// The container printed something.
    pub(super) fn printed(&mut self, name: StreamName, bytes: &[u8], waits: bool) {
        for outlet in self.outlets.iter_mut().filter(|o| o.name == name) {
            outlet.held.extend_from_slice(bytes);
        }
        self.flush();
        self.gone |= !waits && self.outlets.iter().any(|o| o.held.len() > TOO_FAR_BEHIND);
    }

    /// It should catch up before the container prints more.
    pub(super) fn is_behind(&self) -> bool {
        self.outlets.iter().any(|o| o.held.len() > BEHIND)
    }

    /// The container has ended.
    pub(super) fn end(&mut self, code: i32) {
        self.ended = Some(code);
        self.input = None;
        self.flush();
    }

    /// Nothing is left to do with it.
    pub(super) fn is_over(&self) -> bool {
        self.gone
    }

    /// It may still type.
    pub(super) fn has_input(&self) -> bool {
        self.input.is_some()
    }

    /// Takes its input away: it is closed for everybody.
    pub(super) fn close_input(&mut self) {
        self.input = None;
    }

    fn flush(&mut self) {
        for outlet in &mut self.outlets {
            while !outlet.held.is_empty() {
                match rustix::io::write(&outlet.to, &outlet.held) {
                    Ok(count) => drop(outlet.held.drain(..count)),
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => break,
                    // Its reader is gone; the others may not be.
                    Err(_) => outlet.held.clear(),
                }
            }
        }
        if let Some(code) = self.ended
            && !self.gone
            && self.outlets.iter().all(|o| o.held.is_empty())
        {
            self.outlets.clear(); // closes them before the end is told
            exec::say(&self.connection, &FromSession::Ended(code));
            self.gone = true;
        }
    }
}
