//! A Plinth server under measurement, started in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;

use crate::api::Api;

/// What a measurement takes.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) plinth: PathBuf,
    pub(crate) base_image: PathBuf,
    pub(crate) example: PathBuf,
    pub(crate) directory: PathBuf,
    pub(crate) cgroup_root: String,
}

/// A running server and when it was started.
pub(crate) struct Server {
    child: Child,
    config: PathBuf,
    pub(crate) started: Instant,
    pub(crate) api: Api,
}

impl Place {
    fn data(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Runs a `plinth image` command for the data directory `name`.
    pub(crate) fn image(&self, name: &str, args: &[&str]) -> Result<()> {
        let status = Command::new(&self.plinth)
            .arg("image")
            .args(args)
            .env("PLINTH_DATA_DIR", self.data(name).join("data"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        ensure!(status.success(), "plinth image {args:?} failed: {status}");
        Ok(())
    }

    /// Starts a server in the directory `name`, with the certificates of an earlier one in `pki` if given, and
    /// returns it as soon as `/readyz` answers with success, with the time that took.
    pub(crate) async fn start(&self, name: &str, pki: Option<&str>) -> Result<(Server, Duration)> {
        let directory = self.data(name);
        std::fs::create_dir_all(directory.join("data"))?;
        if let Some(earlier) = pki {
            let status = Command::new("cp")
                .arg("-a")
                .args([self.data(earlier).join("data/pki"), directory.join("data/")])
                .status()?;
            ensure!(status.success(), "copying the certificates failed");
        }
        std::fs::write(self.directory.join("resolv.conf"), "")?;
        let at = |file: &str| directory.join(file).display().to_string();
        let config = directory.join("config.yaml");
        std::fs::write(
            &config,
            format!(
                "data-dir: {}\nrun-dir: {}\nlog-dir: {}\nwrite-kubeconfig: {}\ncgroup-root: {}\nresolv-conf: {}\nnode-name: bench\n",
                at("data"),
                at("run"),
                at("logs"),
                at("kubeconfig.yaml"),
                self.cgroup_root,
                self.directory.join("resolv.conf").display()
            ),
        )?;
        let log = std::fs::File::create(directory.join("server.log"))?;
        let started = Instant::now();
        let child = Command::new(&self.plinth)
            .args(["server", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        wait_until_listening(started).await?;
        let kubeconfig = directory.join("kubeconfig.yaml");
        while !kubeconfig.exists() {
            ensure!(
                started.elapsed() < Duration::from_mins(1),
                "no kubeconfig was written"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let api = Api::from_kubeconfig(&kubeconfig)?;
        while api.get("/readyz").await.is_err() {
            ensure!(
                started.elapsed() < Duration::from_mins(1),
                "the server does not get ready"
            );
        }
        let ready = started.elapsed();
        Ok((
            Server {
                child,
                config,
                started,
                api,
            },
            ready,
        ))
    }
}

async fn wait_until_listening(started: Instant) -> Result<()> {
    while TcpStream::connect("127.0.0.1:6443").await.is_err() {
        ensure!(
            started.elapsed() < Duration::from_mins(1),
            "nothing listens on 127.0.0.1:6443"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops the server and leaves everything else as it is.
    pub(crate) fn stop(&mut self) -> Result<()> {
        kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        )?;
        self.child.wait().context("waiting for the server")?;
        Ok(())
    }

    /// Stops the server and takes everything away that it left.
    pub(crate) fn stop_and_reset(mut self, plinth: &Path) -> Result<()> {
        self.stop()?;
        let status = Command::new(plinth)
            .args(["reset", "--yes", "--volumes", "--config"])
            .arg(&self.config)
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "plinth reset failed: {status}");
        Ok(())
    }
}
