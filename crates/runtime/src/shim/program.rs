//! The last steps inside a new container: find the program, execute it, or say why not. Runs in the container's own
//! init process.

use std::convert::Infallible;
use std::ffi::CString;
use std::fmt::Write as _;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use nix::sys::signal::{SigSet, Signal};

/// Tells the starter, over a pipe that closes when the program is executed, what stood in the way.
#[derive(Clone)]
pub(super) struct Program {
    pub(super) failure: Rc<OwnedFd>,
}

/// Marks the reason proper; other lines of the pipe are what libcontainer remarked on the way.
pub(super) const REASON: &str = "reason:";

impl Program {
    fn refuse(&self, reason: &str) {
        // If even that fails, the starter has the library's words.
        let _ = rustix::io::write(&*self.failure, format!("{REASON}{reason}\n").as_bytes());
    }
}

impl Executor for Program {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let (name, path) = wanted(spec);
        find(&name, &path).map(drop).map_err(|reason| {
            let reason = format!("exec: {name:?}: {reason}");
            self.refuse(&reason);
            ExecutorValidationError::ArgValidationError(reason)
        })
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let (name, path) = wanted(spec);
        let args = spec
            .process()
            .as_ref()
            .and_then(|process| process.args().clone())
            .unwrap_or_default();
        // libcontainer has put the specification's environment into this process's.
        let execute = || -> Result<Infallible, String> {
            let file = find(&name, &path)?;
            let args = strings(args)?;
            ordinary_signals()?;
            nix::unistd::execv(&c_path(file)?, &args).map_err(|e| io::Error::from(e).go_like())
        };
        let Err(reason) = execute();
        let reason = format!("exec {name}: {reason}");
        self.refuse(&reason);
        Err(ExecutorError::Other(reason))
    }
}

/// Executes `argv` with `env`, whose PATH says where the program is looked for; or says why not.
pub(super) fn execute(argv: &[String], env: &[CString]) -> Result<Infallible, String> {
    let name = argv.first().map(String::as_str).unwrap_or_default();
    let path = env
        .iter()
        .find_map(|entry| entry.to_str().ok()?.strip_prefix("PATH="))
        .unwrap_or_default();
    let file = find(name, path).map_err(|reason| format!("exec: {name:?}: {reason}"))?;
    let args = strings(argv.to_vec())?;
    ordinary_signals()?;
    nix::unistd::execve(&c_path(file)?, &args, env)
        .map_err(|e| format!("exec {name}: {}", io::Error::from(e).go_like()))
}

fn strings(args: Vec<String>) -> Result<Vec<CString>, String> {
    args.into_iter()
        .map(CString::new)
        .collect::<Result<_, _>>()
        .map_err(|_| "an argument contains a zero byte".to_owned())
}

fn c_path(file: PathBuf) -> Result<CString, String> {
    CString::new(file.into_os_string().into_encoded_bytes())
        .map_err(|_| "the program's path contains a zero byte".to_owned())
}

/// Rust's start-up ignores SIGPIPE, and a daemon may have been started with signals blocked.
fn ordinary_signals() -> Result<(), String> {
    crate::sys::restore_default(Signal::SIGPIPE).map_err(|e| e.desc().to_owned())?;
    SigSet::empty()
        .thread_set_mask()
        .map_err(|e| e.desc().to_owned())
}

fn wanted(spec: &Spec) -> (String, String) {
    let process = spec.process().as_ref();
    let name = process
        .and_then(|p| p.args().as_ref())
        .and_then(|args| args.first())
        .cloned()
        .unwrap_or_default();
    let path = process
        .and_then(|p| p.env().as_ref())
        .and_then(|env| env.iter().find_map(|entry| entry.strip_prefix("PATH=")))
        .unwrap_or_default();
    (name, path.to_owned())
}

/// The file that `name` means, or why there is none, in the words users know from runc.
fn find(name: &str, path: &str) -> Result<PathBuf, String> {
    let executable = |file: &Path| -> Result<(), String> {
        let metadata = std::fs::metadata(file)
            .map_err(|e| format!("stat {}: {}", file.display(), e.go_like()))?;
        if metadata.is_dir() {
            Err("is a directory".into())
        } else if metadata.permissions().mode() & 0o111 == 0 {
            Err("permission denied".into())
        } else {
            Ok(())
        }
    };
    if name.contains('/') {
        return executable(Path::new(name)).map(|()| PathBuf::from(name));
    }
    let mut reason = "executable file not found in $PATH".to_owned();
    for directory in path
        .split(':')
        .filter(|directory| !directory.is_empty() && !name.is_empty())
    {
        let file = Path::new(directory).join(name);
        match executable(&file) {
            Ok(()) => return Ok(file),
            Err(why) if why == "permission denied" => reason = why,
            Err(_) => {}
        }
    }
    Err(reason)
}

/// Kernel errors in the words of Go programs: no number, no capital.
pub(super) trait GoLike {
    fn go_like(&self) -> String;
}

impl GoLike for io::Error {
    fn go_like(&self) -> String {
        let text = self.to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        text.to_lowercase()
    }
}

/// Hears what libcontainer says when it fails: its error values name the step but not the cause.
pub(super) struct Witness {
    pub(super) failure: OwnedFd,
}

impl tracing::Subscriber for Witness {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }

    fn event(&self, event: &tracing::Event<'_>) {
        struct Words(String);
        impl tracing::field::Visit for Words {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                let separator = if self.0.is_empty() { "" } else { " " };
                let _ = match field.name() {
                    "message" => write!(self.0, "{separator}{value:?}"),
                    name => write!(self.0, "{separator}{name}={value:?}"),
                };
            }
        }
        let mut words = Words(String::new());
        event.record(&mut words);
        let mut line = words.0.replace('\n', " ");
        line.truncate(line.floor_char_boundary(1000));
        line.push('\n');
        let _ = rustix::io::write(&self.failure, line.as_bytes());
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn a_missing_program_is_named_as_runc_names_it() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().to_str().expect("UTF-8");
        assert_eq!(
            find("serve", path),
            Err("executable file not found in $PATH".into())
        );
        assert_eq!(
            find("", path),
            Err("executable file not found in $PATH".into())
        );
        let absolute = format!("{path}/serve");
        assert_eq!(
            find(&absolute, ""),
            Err(format!("stat {absolute}: no such file or directory"))
        );
        std::fs::write(&absolute, "").expect("write");
        assert_eq!(find("serve", path), Err("permission denied".into()));
        assert_eq!(find(path, ""), Err("is a directory".into()));
    }
}
