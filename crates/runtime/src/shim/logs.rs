//! Container output as CRI log lines: `<RFC 3339 time> <stream> <F|P> <text>`. Knows nothing of containers.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use jiff::Timestamp;

/// A longer line is cut into partial ones (`P`), as containerd does.
const MAX_LINE: usize = 16 * 1024;
/// How much is taken from a pipe before others have their turn: what a pipe holds by default.
const TURN: usize = 64 * 1024;

/// Which of its two outputs a container wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamName {
    Stdout,
    Stderr,
}

impl StreamName {
    const fn text(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Cuts one stream into lines.
#[derive(Debug)]
struct Lines {
    name: StreamName,
    /// The beginning of a line whose end has not come yet.
    pending: Vec<u8>,
}

impl Lines {
    fn feed(&mut self, mut input: &[u8], stamp: &str, out: &mut Vec<u8>) {
        while !input.is_empty() {
            let window = &input[..input.len().min(MAX_LINE - self.pending.len())];
            if let Some(end) = window.iter().position(|byte| *byte == b'\n') {
                self.emit(b'F', &window[..end], stamp, out);
                input = &input[end + 1..];
            } else if self.pending.len() + window.len() == MAX_LINE {
                self.emit(b'P', window, stamp, out);
                input = &input[window.len()..];
            } else {
                self.pending.extend_from_slice(window);
                input = &[];
            }
        }
    }

    /// The stream ended: what is left is a line without its end.
    fn finish(&mut self, stamp: &str, out: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            self.emit(b'F', &[], stamp, out);
        }
    }

    fn emit(&mut self, tag: u8, rest: &[u8], stamp: &str, out: &mut Vec<u8>) {
        for part in [
            stamp.as_bytes(),
            b" ",
            self.name.text().as_bytes(),
            b" ",
            &[tag],
            b" ",
            &self.pending,
            rest,
            b"\n",
        ] {
            out.extend_from_slice(part);
        }
        // Given back, not kept: most containers write short lines most of the time.
        self.pending = Vec::new();
    }
}

/// One output of a container on its way into the log.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) pipe: OwnedFd,
    lines: Lines,
}

/// A container's log file.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    out: Vec<u8>,
}

impl Stream {
    /// Reads from `pipe`, which must not block.
    pub(super) fn new(name: StreamName, pipe: OwnedFd) -> Self {
        Self {
            pipe,
            lines: Lines {
                name,
                pending: Vec::new(),
            },
        }
    }

    /// Moves what the pipe holds into `log`, a limited amount at a time, and shows it to `also`. `false`: the stream
    /// has ended.
    pub(super) fn pump(
        &mut self,
        log: &mut Log,
        buffer: &mut [u8],
        also: &mut dyn FnMut(StreamName, &[u8]),
    ) -> bool {
        let mut moved = 0;
        let mut open = true;
        while moved < TURN {
            match rustix::io::read(&self.pipe, &mut *buffer) {
                Ok(0) => {
                    self.lines.finish(&stamp(), &mut log.out);
                    open = false;
                    break;
                }
                Ok(count) => {
                    self.lines.feed(&buffer[..count], &stamp(), &mut log.out);
                    also(self.lines.name, &buffer[..count]);
                    moved += count;
                    if count < buffer.len() {
                        break;
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => {
                    open = false;
                    break;
                }
            }
        }
        log.flush();
        open
    }

    /// Everything that is still in the pipe, however long; for when no writer of the container lives.
    pub(super) fn drain(
        mut self,
        log: &mut Log,
        buffer: &mut [u8],
        also: &mut dyn FnMut(StreamName, &[u8]),
    ) {
        loop {
            match rustix::io::read(&self.pipe, &mut *buffer) {
                Ok(count) if count > 0 => {
                    self.lines.feed(&buffer[..count], &stamp(), &mut log.out);
                    also(self.lines.name, &buffer[..count]);
                    log.flush();
                }
                Err(rustix::io::Errno::INTR) => {}
                _ => break,
            }
        }
        self.lines.finish(&stamp(), &mut log.out);
        log.flush();
    }
}

impl Log {
    /// Appends to `path`; makes the directories above it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        Ok(Self {
            file: OpenOptions::new().append(true).create(true).open(path)?,
            out: Vec::new(),
        })
    }

    /// A full disk loses log lines, not the container: a pipe that is not read would stop it.
    fn flush(&mut self) {
        if !self.out.is_empty() {
            let _ = self.file.write_all(&self.out);
            self.out = Vec::new();
        }
    }
}

fn stamp() -> String {
    format!("{:.9}", Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAMP: &str = "2026-01-02T03:04:05.000000006Z";

    fn fed(chunks: &[&[u8]]) -> String {
        let mut lines = Lines {
            name: StreamName::Stdout,
            pending: Vec::new(),
        };
        let mut out = Vec::new();
        for chunk in chunks {
            lines.feed(chunk, STAMP, &mut out);
        }
        lines.finish(STAMP, &mut out);
        String::from_utf8(out)
            .expect("ASCII in, ASCII out")
            .replace(STAMP, "T")
    }

    #[test]
    fn lines_are_found_across_reads() {
        assert_eq!(
            fed(&[b"a\nb", b"c\n\n", b"end"]),
            "T stdout F a\nT stdout F bc\nT stdout F \nT stdout F end\n"
        );
        assert_eq!(fed(&[]), "");
    }

    #[test]
    fn a_long_line_is_cut_into_partial_ones() {
        let long = "x".repeat(MAX_LINE + 5);
        let expected = format!("T stdout P {}\nT stdout F xxxxx\n", "x".repeat(MAX_LINE));
        assert_eq!(fed(&[long.as_bytes(), b"\n"]), expected);
    }

    #[test]
    fn time_stamps_have_nine_digits() {
        let stamp = stamp();
        assert_eq!(stamp.len(), STAMP.len(), "{stamp}");
        assert!(stamp.ends_with('Z'));
    }

    proptest! {
        /// Whatever the cuts between reads, the text comes out whole.
        #[test]
        fn nothing_is_lost(text in "[ab\n]{0,400}", cuts in proptest::collection::vec(0usize..400, 0..8)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
            let out = fed(&chunks);
            let back: Vec<&str> = out.lines().map(|line| &line["T stdout F ".len()..]).collect();
            let expected: Vec<&str> = text.lines().collect();
            prop_assert_eq!(back, expected);
        }
    }
}
