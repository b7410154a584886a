//! Waits for a log file to grow, by inotify.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// Tells of changes to one file.
pub(super) struct Growth {
    /// An inotify descriptor reads like a non-blocking pipe: events come in, an empty queue is not ready.
    events: pipe::Receiver,
}

impl Growth {
    /// Watches from now on: what is written after this call is told.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        inotify.add_watch(path, AddWatchFlags::IN_MODIFY)?;
        Ok(Self {
            events: pipe::Receiver::from_owned_fd_unchecked(OwnedFd::from(inotify))?,
        })
    }

    /// Returns when the file has been written since the last call.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        // Only that something happened matters, so whole events need not be told apart.
        let mut events = [0; 4096];
        self.events.read(&mut events).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn a_write_after_the_watch_began_is_told() {
        let mut file = tempfile::NamedTempFile::new().expect("file");
        let mut growth = Growth::of(file.path()).expect("watch");
        file.write_all(b"x").expect("write");
        growth.changed().await.expect("told");
    }
}
