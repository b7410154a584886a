//! The `plinth` binary: command line, configuration and composition. No logic of its own: every promise is
//! kept in the crate whose noun it is about.

mod check;
mod cli;
mod config;
mod image;
mod kubeconfig;
mod memory;
mod pki;
mod reset;
mod server;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // A shim is this binary started anew; it must stay single-threaded and small, so nothing is set up
    // before it branches off.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == "shim")
    {
        return plinth_runtime::shim_main();
    }
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("plinth: {error:#}");
            ExitCode::FAILURE
        }
    }
}
