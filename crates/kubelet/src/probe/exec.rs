//! Runs a command in a container for a probe or a hook. One way to run it for both, and for people: the runtime's.

use std::time::Duration;

use k8s_openapi::api::core::v1::ExecAction;
use plinth_runtime::{ContainerId, Runtime};

/// What is kept of a command's output for an event; as upstream.
const OUTPUT: usize = 10 << 10;

/// Why a command did not succeed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It ran and failed, or took too long: what a user is told.
    Exit(String),
    /// It could not be run, which says nothing of the container's health.
    NotRun(String),
}

/// Runs the command; it must end with 0 within `patience`.
pub(crate) async fn run(
    runtime: &Runtime,
    id: &ContainerId,
    action: &ExecAction,
    patience: Duration,
) -> Result<(), Failed> {
    let command = action.command.clone().unwrap_or_default();
    let shown = command.join(" ");
    match runtime.exec_sync(id, command, patience, OUTPUT).await {
        Ok(Some(ran)) if ran.exit_code == 0 => Ok(()),
        Ok(Some(ran)) => {
            let output = String::from_utf8_lossy(&ran.output).into_owned();
            Err(Failed::Exit(if output.is_empty() {
                format!("command {shown:?} exited with {}", ran.exit_code)
            } else {
                output
            }))
        }
        Ok(None) => {
            let seconds = patience.as_secs();
            Err(Failed::Exit(format!(
                "command timed out: {shown:?} timed out after {seconds}s"
            )))
        }
        Err(error) => Err(Failed::NotRun(error.to_string())),
    }
}
