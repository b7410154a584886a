//! Programs run inside running containers, and joining what runs there: the daemon's ends of the streams. What is done
//! for them is the shim's business; they live no longer than this process holds them.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::pipe::PipeFlags;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::error::{Result, RuntimeError};
use crate::protocol::{self, Call, FromSession, Request, Streams, ToSession};
use crate::runtime::blocking;
use crate::types::{ContainerId, ExecOutput, SessionStreams};

/// A program's streams, as far as they were asked for. Dropping [`Self::ending`] or [`Self::terminal`] ends what was
/// begun: a program that was executed is killed, a container that was joined runs on.
#[derive(Debug)]
pub struct Session {
    /// Dropping it ends the program's input.
    pub stdin: Option<pipe::Sender>,
    /// Ends when nobody can write to it any more, which may be after the program's end.
    pub stdout: Option<pipe::Receiver>,
    /// As `stdout`.
    pub stderr: Option<pipe::Receiver>,
    /// The size of the program's terminal.
    pub terminal: TerminalSize,
    /// How the program ends.
    pub ending: Ending,
}

/// Sets the size of a session's terminal.
#[derive(Debug)]
pub struct TerminalSize(OwnedWriteHalf);

/// Tells how a session's program ended.
#[derive(Debug)]
pub struct Ending(Lines<BufReader<OwnedReadHalf>>);

impl TerminalSize {
    /// Tells the program's terminal, if it has one, how large the client's is.
    pub async fn set(&mut self, width: u16, height: u16) -> io::Result<()> {
        let line = protocol::encode(&ToSession::Resize { width, height });
        self.0.write_all(&line).await
    }
}

impl Ending {
    /// Waits for the exit code (128 + signal if killed).
    pub async fn wait(&mut self) -> io::Result<i32> {
        match next(&mut self.0).await? {
            FromSession::Ended(code) => Ok(code),
            other => Err(io::Error::other(format!("unexpected {other:?}"))),
        }
    }
}

async fn next(lines: &mut Lines<BufReader<OwnedReadHalf>>) -> io::Result<FromSession> {
    let line = lines.next_line().await?;
    let line = line.ok_or_else(|| io::Error::other("the connection to the shim is lost"))?;
    Ok(serde_json::from_str(&line)?)
}

/// Where a session is begun.
pub(crate) struct Door {
    pub(crate) container: ContainerId,
    /// The shim's socket.
    pub(crate) socket: PathBuf,
}

impl Door {
    /// Begins a session with `call`, which asks for exactly `streams`.
    pub(crate) async fn begin(self, call: Call, streams: SessionStreams) -> Result<Session> {
        let Self { container, socket } = self;
        let failed = |source| RuntimeError::Io {
            step: "begin a session at",
            path: socket.clone(),
            source,
        };
        let (stdin, stdout, stderr) = (|| {
            let pipe = |wanted: bool| {
                wanted
                    .then(|| rustix::pipe::pipe_with(PipeFlags::CLOEXEC))
                    .transpose()
            };
            io::Result::Ok((
                pipe(streams.stdin)?,
                pipe(streams.stdout)?,
                pipe(streams.stderr)?,
            ))
        })()
        .map_err(failed)?;
        let (stdin, to_stdin) = stdin.map_or((None, None), |(r, w)| (Some(r), Some(w)));
        let (from_stdout, stdout) = stdout.map_or((None, None), |(r, w)| (Some(r), Some(w)));
        let (from_stderr, stderr) = stderr.map_or((None, None), |(r, w)| (Some(r), Some(w)));
        let line = protocol::encode(&Request { number: 0, call });
        let path = socket.clone();
        let connection = blocking(move || {
            let connection = protocol::connect(&path)?;
            let theirs: Vec<OwnedFd> = [stdin, stdout, stderr].into_iter().flatten().collect();
            let theirs: Vec<BorrowedFd<'_>> = theirs.iter().map(|fd| fd.as_fd()).collect();
            protocol::send_with(&connection, &line, &theirs)?;
            connection.set_nonblocking(true)?;
            io::Result::Ok(connection)
        })
        .await
        .map_err(failed)?;
        let connect = || {
            let (read, write) = UnixStream::from_std(connection)?.into_split();
            io::Result::Ok(Session {
                stdin: to_stdin.map(pipe::Sender::from_owned_fd).transpose()?,
                stdout: from_stdout.map(pipe::Receiver::from_owned_fd).transpose()?,
                stderr: from_stderr.map(pipe::Receiver::from_owned_fd).transpose()?,
                terminal: TerminalSize(write),
                ending: Ending(BufReader::new(read).lines()),
            })
        };
        let mut session = connect().map_err(failed)?;
        match next(&mut session.ending.0).await.map_err(failed)? {
            FromSession::Begun => Ok(session),
            FromSession::Refused(message) => Err(RuntimeError::Session {
                id: container,
                message,
            }),
            FromSession::Ended(code) => Err(failed(io::Error::other(format!("ended with {code}")))),
        }
    }
}

impl Session {
    /// Waits for the program and collects what it prints, the first `limit` bytes of it. `None` if it has not ended
    /// within `patience`; then it is killed.
    pub(crate) async fn collect(
        mut self,
        patience: Duration,
        limit: usize,
    ) -> Result<Option<ExecOutput>, io::Error> {
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let run = async {
            let read = tokio::try_join!(beginning(stdout, limit), beginning(stderr, limit))?;
            io::Result::Ok((read, self.ending.wait().await?))
        };
        match tokio::time::timeout(patience, run).await {
            Ok(ended) => {
                let ((mut output, stderr), exit_code) = ended?;
                output.extend(stderr);
                output.truncate(limit);
                Ok(Some(ExecOutput { output, exit_code }))
            }
            Err(_) => Ok(None),
        }
    }
}

/// Reads `stream` to its end and keeps the first `limit` bytes.
async fn beginning(stream: Option<pipe::Receiver>, limit: usize) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else {
        return Ok(kept);
    };
    let mut piece = vec![0; 8192];
    loop {
        let count = stream.read(&mut piece).await?;
        if count == 0 {
            return Ok(kept);
        }
        let room = limit.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(&piece[..room]);
    }
}

impl From<SessionStreams> for Streams {
    fn from(streams: SessionStreams) -> Self {
        Self {
            stdin: streams.stdin,
            stdout: streams.stdout,
            stderr: streams.stderr,
        }
    }
}
