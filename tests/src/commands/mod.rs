//! What people type at kubectl every day, line by line, against one server with a node: what it prints and why it
//! refuses.

mod access;
mod discovery;
mod namespaces;
mod objects;
mod pods;
mod refusals;
mod sets;
mod streams;

use anyhow::Result;

use crate::desk::{Desk, PATIENCE};
use crate::story::{Cast, Stage};

/// Types every command from an empty cluster to an empty directory.
pub fn typed_every_day(cast: Cast) -> Result<()> {
    let mut stage = Stage::prepare(cast)?;
    let result = all(&mut stage);
    if result.is_err() {
        stage.print_log();
    }
    let reset = stage.reset();
    result?;
    reset
}

fn all(stage: &mut Stage) -> Result<()> {
    stage.start_server()?;
    stage.import_base()?;
    let desk = Desk {
        shell: stage.shell.clone(),
    };
    desk.says(
        "kubectl wait --for=condition=Ready node/lab --timeout=60s",
        &["node/lab condition met"],
    )?;
    discovery::commands(&desk)?;
    objects::commands(&desk)?;
    refusals::commands(&desk)?;
    pods::commands(&desk)?;
    streams::commands(&desk)?;
    streams::server_lost(stage, &desk)?;
    sets::commands(&desk)?;
    access::commands(&desk)?;
    namespaces::commands(&desk)
}

/// A file of `tests/fixtures/commands`.
fn fixture(name: &str) -> String {
    format!("tests/fixtures/commands/{name}.yaml")
}
