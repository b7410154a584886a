//! The shim's one loop: answers daemons, moves logs, notices ends. Never waits for a daemon or for a container.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use rustix::event::{PollFd, PollFlags};
use rustix::net::SendFlags;

use super::container::{Container, Phase};
use super::exec::{self, Exec};
use crate::cgroup::Cgroups;
use crate::protocol::{self, Answer, Call, FromSession, Message, Request, Streams};
use crate::record::{EXIT_NOT_STARTED, SandboxRecord};
use crate::sys;
use crate::types::ContainerId;

/// A daemon that leaves this many bytes unread is cut off; it connects again and asks for the list.
const MAX_UNREAD: usize = 1 << 20;
/// No honest request is longer.
const MAX_REQUEST: usize = 2 << 20;

/// A connected daemon.
struct Peer {
    stream: UnixStream,
    inbox: Vec<u8>,
    /// Came with what is in the inbox.
    descriptors: Vec<OwnedFd>,
    outbox: Vec<u8>,
    gone: bool,
}

/// A connection that has become a session's, and the streams that came over it.
struct Joined {
    connection: UnixStream,
    descriptors: Vec<OwnedFd>,
}

/// Who waits for an answer.
#[derive(Clone, Copy)]
struct Ticket {
    peer: u32,
    number: u64,
}

/// What poll found ready.
enum Ready {
    Listener,
    Peer(u32),
    Report(u32),
    End,
    Stream(u32, usize),
    Attached(u32, usize),
}

/// The state of a shim.
pub(super) struct Server {
    directory: PathBuf,
    record: SandboxRecord,
    cgroups: Cgroups,
    listener: UnixListener,
    peers: BTreeMap<u32, Peer>,
    containers: BTreeMap<u32, Container>,
    /// Who asked for a container's start: perhaps one daemon, and after its end the next.
    starters: BTreeMap<u32, Vec<Ticket>>,
    /// Children that look after programs run in containers, by process id.
    attendants: BTreeMap<i32, OwnedFd>,
    /// Set in such a child, which is no server any more.
    errand: Option<Exec>,
    /// Who asked for the end of everything.
    closing: Option<Ticket>,
    next_slot: u32,
    buffer: Vec<u8>,
}

impl Server {
    pub(super) fn new(
        directory: &Path,
        record: SandboxRecord,
        cgroups: Cgroups,
        listener: UnixListener,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            directory: directory.to_path_buf(),
            record,
            cgroups,
            listener,
            peers: BTreeMap::new(),
            containers: BTreeMap::new(),
            starters: BTreeMap::new(),
            attendants: BTreeMap::new(),
            errand: None,
            closing: None,
            next_slot: 0,
            buffer: vec![0; 16 * 1024],
        })
    }

    /// Runs until told to shut down.
    pub(super) fn run(mut self) -> io::Result<()> {
        loop {
            // Streams from the highest index down, because one that has ended is taken out.
            for ready in self.wait()?.into_iter().rev() {
                match ready {
                    Ready::Listener => self.accept(),
                    Ready::Peer(peer) => self.serve(peer),
                    Ready::Report(slot) => self.reported(slot),
                    Ready::End => self.reap(),
                    Ready::Stream(slot, index) => {
                        if let Some(container) = self.containers.get_mut(&slot) {
                            container.pump(index, &mut self.buffer);
                        }
                    }
                    Ready::Attached(slot, index) => {
                        if let Some(container) = self.containers.get_mut(&slot) {
                            container.serve(index, &mut self.buffer);
                        }
                    }
                }
                if let Some(exec) = self.errand.take() {
                    // Everything that is the shim's is closed here.
                    drop(self);
                    exec.run();
                    return Ok(());
                }
            }
            for container in self.containers.values_mut() {
                container.dismiss();
            }
            if let Some(ticket) = self.closing
                && self
                    .containers
                    .values()
                    .all(|c| matches!(c.phase, Phase::Ended))
            {
                self.answer(ticket, Ok(Answer::Done));
                return Ok(());
            }
            self.peers.retain(|_, peer| !peer.gone);
        }
    }

    /// Waits until something can be done. Ends come before streams, so that `rev` handles output first.
    fn wait(&self) -> io::Result<Vec<Ready>> {
        let mut names = vec![Ready::Listener];
        let mut fds = vec![PollFd::new(&self.listener, PollFlags::IN)];
        for (id, peer) in &self.peers {
            let interest = if peer.outbox.is_empty() {
                PollFlags::IN
            } else {
                PollFlags::IN | PollFlags::OUT
            };
            names.push(Ready::Peer(*id));
            fds.push(PollFd::new(&peer.stream, interest));
        }
        for (slot, container) in &self.containers {
            match &container.phase {
                Phase::Starting { report, .. } => {
                    names.push(Ready::Report(*slot));
                    fds.push(PollFd::new(report, PollFlags::IN));
                }
                Phase::Running { pidfd, .. } => {
                    names.push(Ready::End);
                    fds.push(PollFd::new(pidfd, PollFlags::IN));
                }
                Phase::Ended => {}
            }
            if !container.is_held_up() {
                for (index, stream) in container.streams.iter().enumerate() {
                    names.push(Ready::Stream(*slot, index));
                    fds.push(PollFd::new(&stream.pipe, PollFlags::IN));
                }
            }
            for (index, attached) in container.attached.iter().enumerate() {
                for fd in attached.interest() {
                    names.push(Ready::Attached(*slot, index));
                    fds.push(fd);
                }
            }
        }
        for attendant in self.attendants.values() {
            names.push(Ready::End);
            fds.push(PollFd::new(attendant, PollFlags::IN));
        }
        loop {
            match rustix::event::poll(&mut fds, None) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let ready = fds
            .iter()
            .map(|fd| !fd.revents().is_empty())
            .collect::<Vec<_>>();
        Ok(names
            .into_iter()
            .zip(ready)
            .filter_map(|(name, ready)| ready.then_some(name))
            .collect())
    }

    fn accept(&mut self) {
        // Gone again before we looked, or out of descriptors: whoever it was will try again.
        let Ok((stream, _)) = self.listener.accept() else {
            return;
        };
        if stream.set_nonblocking(true).is_ok() {
            let peer = Peer {
                stream,
                inbox: Vec::new(),
                descriptors: Vec::new(),
                outbox: Vec::new(),
                gone: false,
            };
            self.peers.insert(self.next_slot, peer);
            self.next_slot += 1;
        }
    }

    fn serve(&mut self, id: u32) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.flush();
        loop {
            match protocol::receive_with(&peer.stream, &mut self.buffer, &mut peer.descriptors) {
                Ok(0) => peer.gone = true,
                Ok(count) => {
                    peer.inbox.extend_from_slice(&self.buffer[..count]);
                    if peer.inbox.len() < MAX_REQUEST
                        && peer.descriptors.len() <= protocol::MAX_DESCRIPTORS
                    {
                        continue;
                    }
                    peer.gone = true;
                }
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => {}
                Err(_) => peer.gone = true,
            }
            break;
        }
        let mut requests = Vec::new();
        while let Some(line) = protocol::take_line(&mut peer.inbox) {
            match serde_json::from_slice::<Request>(&line) {
                Ok(request) => requests.push(request),
                Err(error) => {
                    eprintln!("shim: a request that cannot be read: {error}");
                    peer.gone = true;
                }
            }
        }
        for Request { number, call } in requests {
            self.call(Ticket { peer: id, number }, call);
            if self.errand.is_some() {
                return;
            }
        }
    }

    fn call(&mut self, ticket: Ticket, call: Call) {
        let result = match call {
            Call::List => Ok(Answer::Containers(
                self.containers
                    .values()
                    .map(|c| (c.id.clone(), c.run.clone()))
                    .collect(),
            )),
            Call::Start { container } => match self.start(ticket, &container) {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => return, // answered when it runs or cannot
                Err(reason) => Err(reason),
            },
            Call::Signal { container, signal } => match self.slot(&container) {
                Some(slot) => self
                    .containers
                    .get_mut(&slot)
                    .map_or(Ok(()), |container| container.signal(signal, &self.cgroups))
                    .map(|()| Answer::Done),
                None => Ok(Answer::Done),
            },
            Call::Forget { container } => {
                if let Some(slot) = self.slot(&container)
                    && self
                        .containers
                        .get(&slot)
                        .is_some_and(|c| matches!(c.phase, Phase::Ended))
                {
                    self.containers.remove(&slot);
                }
                Ok(Answer::Done)
            }
            Call::Shutdown => {
                self.closing = Some(ticket);
                for container in self.containers.values_mut() {
                    if let Err(error) = container.signal(libc::SIGKILL, &self.cgroups) {
                        eprintln!("shim: container {}: {error}", container.id);
                    }
                }
                return; // answered when nothing lives
            }
            Call::Exec {
                container,
                argv,
                tty,
                streams,
            } => {
                return self.begin_session(ticket, &container, |server, slot, joined| {
                    server.exec(slot, argv, tty, streams, joined)
                });
            }
            Call::Attach { container, streams } => {
                return self.begin_session(ticket, &container, |server, slot, joined| {
                    let Joined {
                        connection,
                        descriptors,
                    } = joined;
                    match server.containers.get_mut(&slot) {
                        Some(container) => container.attach(connection, streams, descriptors),
                        None => Ok(()), // it was there a line ago
                    }
                });
            }
        };
        self.answer(ticket, result);
    }

    /// Turns a connection into that of a session, which is never an ordinary one again.
    fn begin_session(
        &mut self,
        ticket: Ticket,
        container: &ContainerId,
        begin: impl FnOnce(&mut Self, u32, Joined) -> Result<(), String>,
    ) {
        let Some(peer) = self.peers.remove(&ticket.peer) else {
            return;
        };
        let running = |slot: &u32| {
            let container = self.containers.get(slot);
            container.is_some_and(|c| matches!(c.phase, Phase::Running { .. }))
        };
        let begun = match self.slot(container).filter(running) {
            None => Err("the container is not running".to_owned()),
            Some(slot) => peer
                .stream
                .set_nonblocking(false)
                .and_then(|()| peer.stream.try_clone())
                .map_err(|e| format!("take the connection: {e}"))
                .and_then(|connection| {
                    let joined = Joined {
                        connection,
                        descriptors: peer.descriptors,
                    };
                    begin(self, slot, joined)
                }),
        };
        if let Err(reason) = begun {
            exec::say(&peer.stream, &FromSession::Refused(reason));
        }
    }

    /// Makes a child that runs a program in a container. In that child, [`Self::errand`] is set.
    fn exec(
        &mut self,
        slot: u32,
        argv: Vec<String>,
        tty: bool,
        wanted: Streams,
        joined: Joined,
    ) -> Result<(), String> {
        let Some(container) = self.containers.get(&slot) else {
            return Ok(()); // it was there a line ago
        };
        let (init, specification, cgroup) = container.inside()?;
        match sys::fork_single_threaded().map_err(|e| format!("fork: {}", e.desc()))? {
            None => {
                self.errand = Some(Exec {
                    argv,
                    tty,
                    wanted,
                    streams: joined.descriptors,
                    connection: joined.connection,
                    init,
                    specification,
                    cgroup,
                    cgroups: self.cgroups.clone(),
                });
            }
            Some(child) => {
                let pid = child.as_raw();
                let pidfd = rustix::process::Pid::from_raw(pid)
                    .ok_or(rustix::io::Errno::SRCH)
                    .and_then(|pid| {
                        rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
                    });
                match pidfd {
                    Ok(pidfd) => drop(self.attendants.insert(pid, pidfd)),
                    // It works all the same, and is waited for with the next that ends.
                    Err(error) => eprintln!("shim: watch a child: {error}"),
                }
            }
        }
        Ok(())
    }

    fn slot(&self, id: &ContainerId) -> Option<u32> {
        self.containers
            .iter()
            .find(|(_, container)| container.id == *id)
            .map(|(slot, _)| *slot)
    }

    /// Begins a start, or joins one that an earlier daemon asked for.
    fn start(&mut self, ticket: Ticket, id: &ContainerId) -> Result<Option<Answer>, String> {
        if self.closing.is_some() {
            return Err("the sandbox is being stopped".into());
        }
        let known = self.slot(id);
        if let Some(container) = known.and_then(|slot| self.containers.get(&slot)) {
            match container.phase {
                Phase::Starting { .. } => {}
                Phase::Ended if container.run.exit_code == Some(EXIT_NOT_STARTED) => {
                    return Err(container.run.message.clone());
                }
                Phase::Running { .. } | Phase::Ended => return Ok(Some(Answer::Done)),
            }
        }
        let slot = if let Some(slot) = known {
            slot
        } else {
            let container = Container::begin(id, &self.record, &self.directory, &self.cgroups)?;
            let slot = self.next_slot;
            self.next_slot += 1;
            self.containers.insert(slot, container);
            slot
        };
        self.starters.entry(slot).or_default().push(ticket);
        Ok(None)
    }

    fn reported(&mut self, slot: u32) {
        let Some(container) = self.containers.get_mut(&slot) else {
            return;
        };
        let outcome = container.take_report(&self.cgroups);
        self.changed(slot);
        for ticket in self.starters.remove(&slot).unwrap_or_default() {
            self.answer(ticket, outcome.clone().map(|()| Answer::Done));
        }
        if outcome.is_err()
            && let Some(container) = self.containers.get(&slot)
        {
            container.tidy(&self.cgroups);
        }
        if self.closing.is_some()
            && let Some(container) = self.containers.get_mut(&slot)
            && let Err(error) = container.signal(libc::SIGKILL, &self.cgroups)
        {
            eprintln!("shim: container {}: {error}", container.id);
        }
        // Its init may have ended before its pidfd was watched, and a failed start leaves children behind.
        self.reap();
    }

    /// Waits for every child that has ended; an orphan that came to us is of no interest.
    fn reap(&mut self) {
        loop {
            let status = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::ECHILD) => return,
                Ok(status) => status,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => {
                    eprintln!("shim: wait: {}", error.desc());
                    return;
                }
            };
            let Some(ended) = status.pid().map(nix::unistd::Pid::as_raw) else {
                continue;
            };
            self.attendants.remove(&ended);
            let slot = self.containers.iter().find_map(|(slot, container)| {
                matches!(container.phase, Phase::Running { pid, .. } if pid == ended)
                    .then_some(*slot)
            });
            if let Some(slot) = slot
                && let Some(container) = self.containers.get_mut(&slot)
            {
                container.ended(status, &self.cgroups);
                self.changed(slot);
                if let Some(container) = self.containers.get(&slot) {
                    container.tidy(&self.cgroups);
                }
            }
        }
    }

    fn changed(&mut self, slot: u32) {
        let Some(container) = self.containers.get(&slot) else {
            return;
        };
        let message = Message::Changed {
            container: container.id.clone(),
            run: container.run.clone(),
        };
        let line = protocol::encode(&message);
        for peer in self.peers.values_mut() {
            peer.send(&line);
        }
    }

    fn answer(&mut self, ticket: Ticket, result: Result<Answer, String>) {
        if let Some(peer) = self.peers.get_mut(&ticket.peer) {
            peer.send(&protocol::encode(&Message::Answer {
                number: ticket.number,
                result,
            }));
        }
    }
}

impl Peer {
    fn send(&mut self, line: &[u8]) {
        self.outbox.extend_from_slice(line);
        self.flush();
        self.gone |= self.outbox.len() > MAX_UNREAD;
    }

    fn flush(&mut self) {
        while !self.outbox.is_empty() {
            match rustix::net::send(
                &self.stream,
                &self.outbox,
                SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
            ) {
                Ok(count) => {
                    self.outbox.drain(..count);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
    }
}
