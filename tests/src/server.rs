//! A Plinth server as a child process: started, stopped kindly or not, started again.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How a server is asked to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM: it may finish what it is doing.
    Terminate,
    /// SIGKILL: at whatever point it is.
    Kill,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `plinth server --config config` and waits until its API is ready. Its log is appended to
    /// `log`.
    pub fn start(plinth: &Path, config: &Path, log: &Path) -> Result<Self> {
        let log_file = File::options().create(true).append(true).open(log)?;
        println!("$ plinth server --config {} &", config.display());
        let mut child = Command::new(plinth)
            .args(["server", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("starting {}", plinth.display()))?;
        let stdout = child.stdout.take().context("no output to read")?;
        let (sender, ready) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                println!("{line}");
                // Nobody listens any more once the server is known to be ready.
                let _ = sender.send(line);
            }
        });
        let server = Self {
            child,
            log: log.to_owned(),
        };
        loop {
            match ready.recv_timeout(Duration::from_mins(1)) {
                Ok(line) if line.contains("export KUBECONFIG=") => return Ok(server),
                Ok(_) => {}
                Err(error) => bail!(
                    "the server did not become ready ({error}):\n{}",
                    server.log_tail()
                ),
            }
        }
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops the server and waits until it is gone.
    pub fn stop(mut self, how: Stop) -> Result<()> {
        let signal = if how == Stop::Terminate {
            Signal::SIGTERM
        } else {
            Signal::SIGKILL
        };
        println!(
            "$ kill -{} {}",
            signal.as_str().trim_start_matches("SIG"),
            self.child.id()
        );
        kill(Pid::from_raw(self.child.id().cast_signed()), signal)?;
        let status = self.child.wait()?;
        if how == Stop::Terminate && !status.success() {
            bail!("the server ended with {status}:\n{}", self.log_tail());
        }
        Ok(())
    }

    /// The end of the server's log, for messages.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}
