//! What a client of a stream says and hears, whatever carries it: WebSocket or SPDY. Data only.

use bytes::Bytes;
use plinth_runtime::SessionStreams;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

/// Pieces that wait in either direction; with [`PIECE`] it bounds what one client can make this node hold.
pub(super) const QUEUE: usize = 8;
/// From one read of a program's output.
pub(super) const PIECE: usize = 32 * 1024;

/// What a client sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// For standard input.
    Stdin(Bytes),
    /// Standard input ends.
    StdinEnd,
    /// Its terminal's size.
    Resize(Size),
}

/// What a client is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    Stdout(Bytes),
    Stderr(Bytes),
    /// How it went; the last that is sent.
    End(Outcome),
}

/// Columns and rows of a terminal, as clients write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Size {
    pub(super) width: u16,
    pub(super) height: u16,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    /// The program's exit code is not 0.
    ExitCode {
        code: i32,
        command: Vec<String>,
    },
    /// It could not be begun, or not be followed to its end.
    Failed(String),
}

/// Both directions of a client. The end of `incoming` means that it is gone.
pub(super) struct Client {
    pub(super) incoming: mpsc::Receiver<Incoming>,
    pub(super) outgoing: mpsc::Sender<Outgoing>,
}

/// Which streams a client asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) streams: SessionStreams,
    pub(super) tty: bool,
}

impl Wanted {
    /// Reads the parameters of a request to a node; upstream's names.
    pub(super) fn parse(pairs: &[(String, String)]) -> Result<Self, String> {
        let flag = |name: &str| pairs.iter().any(|(key, value)| key == name && value == "1");
        let tty = flag("tty");
        let streams = SessionStreams {
            stdin: flag("input"),
            stdout: flag("output"),
            // A terminal has one output.
            stderr: flag("error") && !tty,
        };
        if streams == SessionStreams::default() {
            return Err("you must specify at least 1 of stdin, stdout, stderr".to_owned());
        }
        Ok(Self { streams, tty })
    }
}

impl Outcome {
    /// As a `Status` object, for clients of `v4.channel.k8s.io` and later.
    pub(super) fn status(&self) -> Vec<u8> {
        let status = match self {
            Self::Success => json!({"metadata": {}, "status": "Success"}),
            Self::ExitCode { code, .. } => json!({
                "metadata": {},
                "status": "Failure",
                "message": self.text(),
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Self::Failed(why) => json!({
                "metadata": {},
                "status": "Failure",
                "message": self.text(),
                "reason": "InternalError",
                "details": {"causes": [{"message": why}]},
                "code": 500,
            }),
        };
        status.to_string().into_bytes()
    }

    /// As text, for older clients; nothing to say of a success.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Success => String::new(),
            Self::ExitCode { code, command } => format!(
                "command terminated with non-zero exit code: error executing command [{}], exit code {code}",
                command.join(" ")
            ),
            Self::Failed(why) => format!("Internal error occurred: {why}"),
        }
    }
}

/// Takes whole sizes out of a stream of JSON documents; the last one counts. What is no size is dropped.
pub(super) fn take_sizes(buffer: &mut Vec<u8>) -> Option<Size> {
    let mut documents = serde_json::Deserializer::from_slice(buffer).into_iter::<Size>();
    let mut last = None;
    let mut used = 0;
    while let Some(document) = documents.next() {
        match document {
            Ok(size) => {
                last = Some(size);
                used = documents.byte_offset();
            }
            Err(error) if error.is_eof() => break,
            Err(_) => {
                used = buffer.len();
                break;
            }
        }
    }
    buffer.drain(..used);
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_in_any_pieces() {
        let mut buffer = Vec::new();
        let mut sizes = Vec::new();
        let text = "{\"Width\":80,\"Height\":24}\n{\"Width\":100,\"Height\":30}\n{\"Wi";
        for piece in text.as_bytes().chunks(7) {
            buffer.extend_from_slice(piece);
            sizes.extend(take_sizes(&mut buffer));
        }
        let size = |width, height| Size { width, height };
        assert_eq!(sizes, [size(80, 24), size(100, 30)]);
        buffer = b"nonsense".to_vec();
        assert_eq!(take_sizes(&mut buffer), None);
        assert!(buffer.is_empty());
    }

    #[test]
    fn an_exit_code_reaches_the_client_as_a_cause() {
        let outcome = Outcome::ExitCode {
            code: 3,
            command: vec!["sh".into(), "-c".into(), "exit 3".into()],
        };
        let status: serde_json::Value = serde_json::from_slice(&outcome.status()).expect("JSON");
        assert_eq!(
            status["details"]["causes"][0],
            json!({"reason": "ExitCode", "message": "3"})
        );
        assert_eq!(status["reason"], "NonZeroExitCode");
    }

    #[test]
    fn a_terminal_has_no_standard_error_and_nothing_is_no_session() {
        let pairs = |text: &str| -> Vec<(String, String)> {
            let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
            pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
        };
        let wanted = Wanted::parse(&pairs("output=1&error=1&tty=1")).expect("wanted");
        assert!(
            wanted.tty && wanted.streams.stdout && !wanted.streams.stderr && !wanted.streams.stdin
        );
        assert!(Wanted::parse(&pairs("error=1&tty=1")).is_err());
    }
}
