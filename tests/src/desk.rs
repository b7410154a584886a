//! Somebody at a terminal who knows what every command should say.

use std::process::Child;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{Output, Shell};

/// The longest any single wait may take.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A person at a terminal who judges every answer. Columns may be as wide as they like: a run of blanks counts as one.
pub(crate) struct Desk {
    pub(crate) shell: Shell,
}

impl Desk {
    /// The line succeeds and says each of `wanted`, on whichever output. Returns standard output.
    pub(crate) fn says(&self, line: &str, wanted: &[&str]) -> Result<String> {
        let output = self.shell.run(line)?.ok()?;
        contains(&output, wanted)?;
        Ok(output.stdout)
    }

    /// The line succeeds and prints `wanted` and nothing else.
    pub(crate) fn prints(&self, line: &str, wanted: &str) -> Result<()> {
        let printed = self.shell.run(line)?.ok()?.stdout;
        ensure!(
            printed.trim() == wanted,
            "`{line}` prints {printed:?}, not {wanted:?}"
        );
        Ok(())
    }

    /// The line fails and says each of `why`.
    pub(crate) fn refused(&self, line: &str, why: &[&str]) -> Result<()> {
        let output = self.shell.run(line)?;
        ensure!(output.code != 0, "`{line}` was not refused");
        contains(&output, why)
    }

    /// The line fails with this exit code and says each of `wanted`.
    pub(crate) fn ends_with(&self, line: &str, code: i32, wanted: &[&str]) -> Result<()> {
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
    pub(crate) fn answer(&self, line: &str) -> Result<String> {
        Ok(self.shell.run(line)?.ok()?.stdout.trim().to_owned())
    }

    /// Starts the line and lets it run, its output piped.
    pub(crate) fn spawn(&self, line: &str) -> Result<Child> {
        self.shell.spawn(line)
    }

    /// Sooner or later the line says each of `wanted`.
    pub(crate) fn comes_to_say(&self, line: &str, wanted: &[&str]) -> Result<()> {
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
