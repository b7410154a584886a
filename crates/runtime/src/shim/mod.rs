//! The process that holds a pod: its namespaces, its containers' lifetimes, logs and exit codes. One thread, no
//! runtime, small; it outlives the daemon and answers whichever daemon connects.

mod attach;
mod container;
mod exec;
mod inside;
mod logs;
mod oneshot;
mod overlay;
mod pod;
mod program;
mod pump;
mod server;
mod start;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use crate::cgroup::Cgroups;
use crate::protocol;
use crate::record::{self, ProcessIdentity, SANDBOX_FILE, SHIM_FILE, SHIM_SOCKET, SandboxRecord};

/// First argument of a shim for a pod; the second one is the sandbox's directory.
pub(crate) const SANDBOX: &str = "sandbox";
/// First argument of a shim for one command; what to run comes on standard input.
pub(crate) const RUN_ONCE: &str = "run-once";
/// What a sandbox's shim prints when it holds the pod and listens; anything else is why it does not.
pub(crate) const READY: &str = "ready\n";

/// Runs a shim; call it before anything else in `main` when the first argument is `shim`: no threads, no open files,
/// no subscriber. The arguments after that one choose what for.
pub fn shim_main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(2).collect();
    match arguments.first().and_then(|name| name.to_str()) {
        Some(SANDBOX) if arguments.len() == 2 => sandbox(Path::new(&arguments[1])),
        Some(RUN_ONCE) if arguments.len() == 1 => oneshot::main(),
        _ => {
            eprintln!("shim: started by hand; it is part of the runtime");
            ExitCode::from(2)
        }
    }
}

fn sandbox(directory: &Path) -> ExitCode {
    let server = match prepare(directory) {
        Ok(server) => server,
        Err((step, error)) => {
            // The daemon reads this; if it is gone, nobody needs it.
            let _ = write!(std::io::stdout(), "{step}: {error}");
            return ExitCode::FAILURE;
        }
    };
    match server.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn prepare(directory: &Path) -> Result<server::Server, pod::Failure> {
    pod::detach()?;
    let record: SandboxRecord =
        record::read(&directory.join(SANDBOX_FILE)).map_err(|e| ("read what to make", e))?;
    let cgroups = Cgroups::find().map_err(|e| ("find the cgroups", e))?;
    pod::enter(&record, directory, &cgroups)?;
    let listener = protocol::listen(&directory.join(SHIM_SOCKET)).map_err(|e| ("listen", e))?;
    let identity =
        ProcessIdentity::of(std::process::id().cast_signed()).map_err(|e| ("find itself", e))?;
    record::write(&directory.join(SHIM_FILE), &identity).map_err(|e| ("write its identity", e))?;
    let server =
        server::Server::new(directory, record, cgroups, listener).map_err(|e| ("set up", e))?;
    // Standard output is the daemon's; it must not be held open, nor be what containers' mistakes go to.
    std::io::stdout()
        .write_all(READY.as_bytes())
        .and_then(|()| std::io::stdout().flush())
        .map_err(|e| ("report", e))?;
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|e| ("open /dev/null", e))?;
    rustix::stdio::dup2_stdout(&null).map_err(|e| ("leave standard output", e.into()))?;
    Ok(server)
}
