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

use std::process::Child;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::story::{Cast, Stage};
use crate::{Output, Shell};

/// The longest any single wait may take.
const PATIENCE: Duration = Duration::from_mins(1);

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

/// A person at a terminal who judges every answer. Columns may be as wide as they like: a run of blanks counts as one.
struct Desk {
    shell: Shell,
}

impl Desk {
    /// The line succeeds and says each of `wanted`, on whichever output. Returns standard output.
    fn says(&self, line: &str, wanted: &[&str]) -> Result<String> {
        let output = self.shell.run(line)?.ok()?;
        contains(&output, wanted)?;
        Ok(output.stdout)
    }

    /// The line succeeds and prints `wanted` and nothing else.
    fn prints(&self, line: &str, wanted: &str) -> Result<()> {
        let printed = self.shell.run(line)?.ok()?.stdout;
        ensure!(
            printed.trim() == wanted,
            "`{line}` prints {printed:?}, not {wanted:?}"
        );
        Ok(())
    }

    /// The line fails and says each of `why`.
    fn refused(&self, line: &str, why: &[&str]) -> Result<()> {
        let output = self.shell.run(line)?;
        ensure!(output.code != 0, "`{line}` was not refused");
        contains(&output, why)
    }

    /// The line fails with this exit code and says each of `wanted`.
    fn ends_with(&self, line: &str, code: i32, wanted: &[&str]) -> Result<()> {
        let output = self.shell.run(line)?;
        ensure!(
            output.code == code,
            "`{line}` exited with {}, not {code}: {}{}",
            output.code,
            output.stdout,
            output.stderr
        );
        contains(&output, wanted)
    }

    /// What the line prints.
    fn answer(&self, line: &str) -> Result<String> {
        Ok(self.shell.run(line)?.ok()?.stdout.trim().to_owned())
    }

    /// Starts the line and lets it run, its output piped.
    fn spawn(&self, line: &str) -> Result<Child> {
        self.shell.spawn(line)
    }

    /// Sooner or later the line says each of `wanted`.
    fn comes_to_say(&self, line: &str, wanted: &[&str]) -> Result<()> {
        self.shell
            .until(line, PATIENCE, |output| contains(output, wanted).is_ok())?;
        Ok(())
    }
}

fn contains(output: &Output, wanted: &[&str]) -> Result<()> {
    let said = squeezed(&format!("{}\n{}", output.stdout, output.stderr));
    for text in wanted {
        ensure!(
            said.contains(&squeezed(text)),
            "`{}` does not say {text:?}:\n{said}",
            output.command
        );
    }
    Ok(())
}

fn squeezed(text: &str) -> String {
    text.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n")
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// A file of `tests/fixtures/commands`.
fn fixture(name: &str) -> String {
    format!("tests/fixtures/commands/{name}.yaml")
}
