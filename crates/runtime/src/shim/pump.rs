//! Moves bytes from one descriptor to another without ever waiting; holds one read's worth, no more.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

/// Reads that one turn may take before others have theirs.
const TURN: usize = 8;

/// A one-way street; both ends must be non-blocking.
pub(super) struct Pump {
    from: Option<OwnedFd>,
    to: Option<OwnedFd>,
    /// Read and not yet written.
    held: Vec<u8>,
}

impl Pump {
    /// Makes both ends non-blocking, which nobody else may mind.
    pub(super) fn new(from: OwnedFd, to: OwnedFd) -> rustix::io::Result<Self> {
        for end in [&from, &to] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        Ok(Self {
            from: Some(from),
            to: Some(to),
            held: Vec::new(),
        })
    }

    /// What it waits for.
    pub(super) fn interest(&self) -> Option<PollFd<'_>> {
        let (end, flags) = if self.held.is_empty() {
            (self.from.as_ref()?, PollFlags::IN)
        } else {
            (self.to.as_ref()?, PollFlags::OUT)
        };
        Some(PollFd::from_borrowed_fd(end.as_fd(), flags))
    }

    /// Nothing more will come out of it, or can go into it.
    pub(super) fn is_done(&self) -> bool {
        self.to.is_none() || (self.from.is_none() && self.held.is_empty())
    }

    /// Moves what can be moved now.
    pub(super) fn turn(&mut self, buffer: &mut [u8]) {
        for _ in 0..TURN {
            if !self.held.is_empty() && !self.write() {
                return;
            }
            let Some(from) = &self.from else { return };
            match rustix::io::read(from, &mut *buffer) {
                Ok(count) if count > 0 => self.held.extend_from_slice(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // The end; a terminal whose last user is gone says EIO.
                _ => self.from = None,
            }
        }
    }

    /// True when everything held has been written.
    fn write(&mut self) -> bool {
        while !self.held.is_empty() {
            let Some(to) = &self.to else { break };
            match rustix::io::write(to, &self.held) {
                Ok(count) => drop(self.held.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return false,
                Err(_) => {
                    // Nobody reads any more.
                    self.to = None;
                    self.from = None;
                    self.held.clear();
                }
            }
        }
        self.held = Vec::new();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read as _, Write as _};

    #[test]
    fn what_cannot_be_written_yet_is_held_and_not_read() {
        let (from, mut source) = rustix::pipe::pipe()
            .map(|(r, w)| (r, File::from(w)))
            .expect("pipe");
        let (mut sink, to) = rustix::pipe::pipe()
            .map(|(r, w)| (File::from(r), w))
            .expect("pipe");
        let mut pump = Pump::new(from, to).expect("pump");
        let mut buffer = vec![0; 16 * 1024];
        let piece = vec![b'x'; 60 * 1024];
        let mut written = 0;
        // Two pipes and one read are full long before this.
        rustix::io::ioctl_fionbio(&source, true).expect("non-blocking");
        while let Ok(count) = source.write(&piece) {
            written += count;
            pump.turn(&mut buffer);
            assert!(pump.held.len() <= buffer.len());
            assert!(written < 1 << 20);
        }
        drop(source);
        let mut arrived = 0;
        while !pump.is_done() {
            let mut part = vec![0; 32 * 1024];
            arrived += sink.read(&mut part).expect("read");
            pump.turn(&mut buffer);
        }
        drop(pump);
        arrived += sink.read_to_end(&mut Vec::new()).expect("the rest");
        assert_eq!(arrived, written);
    }
}
