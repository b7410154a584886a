//! What the daemon and a shim say to each other: JSON, one message a line, over a unix socket.

use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};

use crate::record::RunRecord;
use crate::types::ContainerId;

/// A request; every one is answered by a [`Answer`] with the same number.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) number: u64,
    pub(crate) call: Call,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Call {
    /// What is known of every container ever started here; answered after all earlier events.
    List,
    /// Starts a recorded container; answered when its program runs or cannot.
    Start { container: ContainerId },
    /// Sends a signal to the container's init. No error if it is gone.
    Signal { container: ContainerId, signal: i32 },
    /// Forgets a container that has ended.
    Forget { container: ContainerId },
    /// Kills everything and ends the shim; answered when nothing lives.
    Shutdown,
    /// Runs a program in a running container. The streams come as descriptors with the request; from here on the
    /// connection speaks [`FromSession`] and [`ToSession`], and the program lives no longer than it.
    Exec {
        container: ContainerId,
        argv: Vec<String>,
        tty: bool,
        streams: Streams,
    },
    /// Joins the streams of a running container, as [`Call::Exec`] does with those of a new program.
    Attach {
        container: ContainerId,
        streams: Streams,
    },
}

/// Which streams a session has; their descriptors come in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Streams {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

/// What a shim says on the connection of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FromSession {
    /// The streams are connected.
    Begun,
    /// They are not, and nothing follows.
    Refused(String),
    /// The program ended with this code (128 + signal if killed); nothing follows.
    Ended(i32),
}

/// What a daemon says on the connection of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToSession {
    /// The client's terminal has this many columns and rows.
    Resize { width: u16, height: u16 },
}

/// What a shim sends.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// The answer to the request of this number.
    Answer {
        number: u64,
        result: Result<Answer, String>,
    },
    /// A container's record changed.
    Changed {
        container: ContainerId,
        run: RunRecord,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    Containers(Vec<(ContainerId, RunRecord)>),
}

/// One message with its line end.
pub(crate) fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // Our own messages are strings, numbers and maps with string keys, which always have a JSON form.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Takes the next whole line out of `inbox`.
pub(crate) fn take_line(inbox: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = inbox.iter().position(|byte| *byte == b'\n')?;
    let rest = inbox.split_off(end + 1);
    let mut line = std::mem::replace(inbox, rest);
    line.pop();
    Some(line)
}

/// Runs `f` on a path to `path` that fits into a socket address, however long `path` is.
fn with_short_path<T>(path: &Path, f: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    use std::os::fd::AsRawFd;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a socket path",
        ));
    };
    let dir = rustix::fs::open(
        parent,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    f(&Path::new("/proc/self/fd")
        .join(dir.as_raw_fd().to_string())
        .join(name))
}

/// Listens at `path`, which must not exist.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    with_short_path(path, |short| UnixListener::bind(short))
}

/// Connects to the shim that listens at `path`.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    with_short_path(path, |short| UnixStream::connect(short))
}

/// A session has no more streams than these.
pub(crate) const MAX_DESCRIPTORS: usize = 3;

/// Sends `line` and, with its first byte, descriptors.
pub(crate) fn send_with(
    mut stream: &UnixStream,
    line: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "too many descriptors",
        ));
    }
    let sent = rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(
            stream,
            &[IoSlice::new(line)],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )
    })?;
    stream.write_all(&line[sent..])
}

/// Reads into `buffer` what is there, and the descriptors that came with it.
pub(crate) fn receive_with(
    stream: impl AsFd,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        stream,
        &mut [IoSliceMut::new(buffer)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read as _;

    #[test]
    fn descriptors_come_with_their_line() {
        let (here, there) = UnixStream::pair().expect("pair");
        let (read, write) = rustix::pipe::pipe().expect("pipe");
        send_with(&here, b"line\n", &[write.as_fd()]).expect("sent");
        drop(write);
        let (mut buffer, mut descriptors) = ([0; 64], Vec::new());
        let count = receive_with(&there, &mut buffer, &mut descriptors).expect("received");
        assert_eq!(&buffer[..count], b"line\n");
        File::from(descriptors.pop().expect("a descriptor"))
            .write_all(b"through")
            .expect("write");
        let mut text = String::new();
        File::from(read).read_to_string(&mut text).expect("read");
        assert_eq!(text, "through");
    }
}
