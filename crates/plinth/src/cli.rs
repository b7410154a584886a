//! The commands and what each of them starts.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::Settings;
use crate::{check, image, reset, server};

/// A Kubernetes cluster for stateful workloads, in one binary.
#[derive(Parser, Debug)]
#[command(
    name = "plinth",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the cluster: API, store, controllers, scheduler, node, DNS and volumes, in this process
    ///
    /// Pods outlive it: they keep running when it stops, and it finds them again when it starts.
    Server {
        /// Read settings from this YAML file; its keys are the names of the flags below
        #[arg(long, value_name = "PATH")]
        config: Option<PathBuf>,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Build, import and look after the images of this host
    Image {
        #[command(subcommand)]
        command: image::Command,
        #[command(flatten)]
        place: image::Place,
    },
    /// Say what this host lacks to run pods, and how to get it
    Check {
        /// The data directory to be used
        #[arg(
            long,
            value_name = "DIR",
            env = "PLINTH_DATA_DIR",
            default_value = "/var/lib/plinth"
        )]
        data_dir: PathBuf,
    },
    /// Stop all pods and remove everything that Plinth has left on this host
    ///
    /// Volumes are kept unless --volumes is given. The server must not be running.
    Reset {
        /// Read the server's settings from this YAML file
        #[arg(long, value_name = "PATH")]
        config: Option<PathBuf>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Delete the volumes and what is in them, too
        #[arg(long)]
        volumes: bool,
        #[command(flatten)]
        settings: Box<Settings>,
    },
}

impl Cli {
    /// Runs the command to its end.
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Server { config, settings } => {
                log("info");
                let config = settings.with_file(config.as_deref())?.resolve()?;
                server::run(config)?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Image { command, place } => {
                log("warn");
                command.run(&place)?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Check { data_dir } => Ok(check::run(&data_dir)),
            Command::Reset {
                config,
                yes,
                volumes,
                settings,
            } => {
                log("warn");
                let config = settings.with_file(config.as_deref())?.resolve()?;
                reset::run(&config, yes, volumes)
            }
        }
    }
}

/// Log lines go to standard error; `PLINTH_LOG` takes filters such as `debug` or `plinth_kubelet=debug`.
fn log(default: &str) {
    // hickory tells of every question at the level of our own rare messages.
    let filter = EnvFilter::try_from_env("PLINTH_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("{default},hickory_server=warn")));
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .init();
}
