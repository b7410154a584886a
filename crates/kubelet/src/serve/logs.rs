//! Sends a container's log to a reader: from where it was asked for, as far as it goes, and on as it grows.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use plinth_runtime::{ContainerEvent, ContainerId, ContainerState, Runtime};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncSeekExt, BufReader, SeekFrom};
use tokio::sync::{broadcast, mpsc};

use super::follow::Growth;
use super::query::LogQuery;
use super::{line, tail};

/// One reading of one log.
pub(super) struct Reading {
    pub(super) runtime: Runtime,
    pub(super) container: ContainerId,
    pub(super) path: PathBuf,
    pub(super) query: LogQuery,
    /// Where the text goes; its closing ends the reading.
    pub(super) to: mpsc::Sender<io::Result<Bytes>>,
}

/// Text is sent when this much has gathered, or when the file has no more for now.
const CHUNK: usize = 32 * 1024;

impl Reading {
    /// Runs to the end of the log, or of the container when following, or of the reader.
    pub(super) async fn run(self) {
        let to = self.to.clone();
        if let Err(error) = self.read().await {
            // A reader that has gone away needs no error.
            let _ = to.send(Err(error)).await;
        }
    }

    async fn read(mut self) -> io::Result<()> {
        // Everything that tells of change is set up before the first look, so that nothing falls between.
        let mut events = self.runtime.events();
        let mut growth = if self.query.follow {
            Some(Growth::of(&self.path)?)
        } else {
            None
        };
        let mut file = File::open(&self.path).await?;
        if let Some(lines) = self.query.tail_lines {
            let at = tail::offset(&mut file, lines).await?;
            file.seek(SeekFrom::Start(at)).await?;
        }
        let mut file = BufReader::new(file);
        let mut text = Text {
            query: self.query.clone(),
            pending: Vec::new(),
            fresh: true,
            out: Vec::new(),
        };
        loop {
            let ended = !self.is_running().await;
            while file.read_until(b'\n', &mut text.pending).await? > 0 {
                text.take_line();
                if (text.out.len() >= CHUNK || text.is_full()) && !self.send(&mut text.out).await {
                    return Ok(());
                }
                if text.is_full() {
                    return Ok(());
                }
            }
            if !self.send(&mut text.out).await {
                return Ok(());
            }
            let Some(growth) = growth.as_mut().filter(|_| !ended) else {
                return Ok(());
            };
            tokio::select! {
                changed = growth.changed() => changed?,
                () = end_of(&mut events, &self.container) => {}
                () = self.to.closed() => return Ok(()),
            }
        }
    }

    async fn is_running(&self) -> bool {
        let status = self.runtime.container_status(&self.container).await;
        status.is_ok_and(|s| s.state == ContainerState::Running)
    }

    /// False when the reader is gone.
    async fn send(&mut self, out: &mut Vec<u8>) -> bool {
        out.is_empty()
            || self
                .to
                .send(Ok(Bytes::from(std::mem::take(out))))
                .await
                .is_ok()
    }
}

/// Returns at the next event that may mean the container's end.
async fn end_of(events: &mut broadcast::Receiver<ContainerEvent>, container: &ContainerId) {
    loop {
        match events.recv().await {
            Ok(event) if event.container.as_ref().is_some_and(|id| id != container) => {}
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Turns lines of the file into the text that is sent.
struct Text {
    query: LogQuery,
    /// A line of the file as far as it has been read.
    pending: Vec<u8>,
    /// The next piece begins a line of the program.
    fresh: bool,
    out: Vec<u8>,
}

impl Text {
    /// Takes the pending line if it is complete.
    fn take_line(&mut self) {
        if self.pending.last() != Some(&b'\n') {
            return;
        }
        let bytes = std::mem::take(&mut self.pending);
        let before = self.out.len();
        // What is not in the format was not written by the runtime's logger, and is not shown as the program's.
        if let Some(parsed) = line::parse(&bytes[..bytes.len() - 1]) {
            if parsed.is_since(self.query.since) {
                parsed.write(self.query.timestamps, self.fresh, &mut self.out);
            }
            self.fresh = !parsed.partial;
        }
        if let Some(limit) = &mut self.query.limit_bytes {
            let allowed = usize::try_from(*limit).unwrap_or(usize::MAX);
            let added = (self.out.len() - before).min(allowed);
            self.out.truncate(before + added);
            *limit -= added as u64;
        }
    }

    fn is_full(&self) -> bool {
        self.query.limit_bytes == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(query: LogQuery, lines: &[&str]) -> String {
        let mut text = Text {
            query,
            pending: Vec::new(),
            fresh: true,
            out: Vec::new(),
        };
        for line in lines {
            text.pending.extend_from_slice(line.as_bytes());
            text.take_line();
        }
        String::from_utf8(text.out).expect("text")
    }

    #[test]
    fn an_unfinished_line_waits_for_its_end_and_the_limit_cuts_exactly() {
        let lines = [
            "2026-01-01T00:00:00Z stdout F he",
            "llo\n",
            "2026-01-01T00:00:01Z stdout F world\n",
            "torn",
        ];
        assert_eq!(text(LogQuery::default(), &lines), "hello\nworld\n");
        let limited = LogQuery {
            limit_bytes: Some(8),
            ..LogQuery::default()
        };
        assert_eq!(text(limited, &lines), "hello\nwo");
        let since = LogQuery {
            since: "2026-01-01T00:00:01Z".parse().ok(),
            ..LogQuery::default()
        };
        assert_eq!(text(since, &lines), "world\n");
    }
}
