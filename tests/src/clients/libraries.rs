//! The client libraries' own test programs, in `tests/clients`: each is a file of tests in its language's manner.

use anyhow::{Result, ensure};

use crate::desk::Desk;

pub(super) fn python(desk: &Desk, tools: &str) -> Result<()> {
    passes(
        desk,
        &format!(
            "PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={tools}/python \
             python3 -W ignore::ResourceWarning -m unittest discover --verbose --start-directory tests/clients/python --pattern '*.py'"
        ),
    )
}

pub(super) fn javascript(desk: &Desk) -> Result<()> {
    passes(desk, "node --test tests/clients/javascript/*.test.mjs")
}

fn passes(desk: &Desk, line: &str) -> Result<()> {
    let output = desk.shell.run(line)?;
    ensure!(
        output.code == 0,
        "`{line}` failed:\n{}{}",
        output.stdout,
        output.stderr
    );
    Ok(())
}
