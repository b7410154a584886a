//! `in-lab COMMAND [ARGUMENT…]`: runs a command in a lab of its own and clears the lab away.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use plinth_lab::Lab;

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("in-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<i32> {
    let mut arguments = env::args_os().skip(1);
    let program = arguments
        .next()
        .context("which command? usage: in-lab COMMAND [ARGUMENT…]")?;
    let arguments: Vec<OsString> = arguments.collect();
    let lab = Lab::new()?;
    let code = lab.run(Path::new(&program), &arguments)?;
    lab.close()?;
    Ok(code)
}
