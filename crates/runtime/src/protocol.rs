//! What the daemon and a shim say to each other: JSON, one message a line, over a unix socket.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
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
