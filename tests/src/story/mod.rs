//! The kubia story: a StatefulSet through its whole life, every command shown and checked. It is the demo
//! and a test at once.

mod birth;
mod change;
mod loss;
mod storage;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{Output, Process, Server, Shell, Stop, processes};

/// The longest any single wait may take. Generous: the story checks what happens, not how fast.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the story is played with.
#[derive(Debug)]
pub struct Cast {
    /// The `plinth` binary.
    pub plinth: PathBuf,
    /// The `kubectl` binary.
    pub kubectl: PathBuf,
    /// The root of the project's work tree.
    pub project: PathBuf,
    /// A directory of the story's own, on disk.
    pub directory: PathBuf,
    /// The cgroup that pods may use.
    pub cgroup_root: String,
}

/// A cluster in the making: its directory, its server, and a shell beside it.
pub(crate) struct Stage {
    cast: Cast,
    pub(crate) shell: Shell,
    config: PathBuf,
    server: Option<Server>,
}

/// Plays the story from an empty directory to an empty directory.
pub fn play(cast: Cast) -> Result<()> {
    let mut stage = Stage::prepare(cast)?;
    let result = stage.tell();
    if result.is_err() {
        stage.print_log();
    }
    // Whatever happened, what the server left is taken away by its own means, which is part of the story.
    let reset = stage.reset();
    result?;
    reset?;
    heading("the story has run to its end");
    Ok(())
}

/// Prints what comes next, with the time since the first heading.
fn heading(text: &str) {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    let elapsed = BEGIN.get_or_init(Instant::now).elapsed();
    println!("\n=== [{:5.1} s] {text}", elapsed.as_secs_f64());
}

impl Stage {
    pub(crate) fn prepare(cast: Cast) -> Result<Self> {
        let directory = &cast.directory;
        let tools = directory.join("bin");
        fs::create_dir_all(&tools)?;
        std::os::unix::fs::symlink(&cast.plinth, tools.join("plinth"))?;
        std::os::unix::fs::symlink(&cast.kubectl, tools.join("kubectl"))?;
        // Names outside the cluster have nowhere to be asked in a lab.
        fs::write(directory.join("resolv.conf"), "")?;
        let config = directory.join("config.yaml");
        let at = |name: &str| directory.join(name).display().to_string();
        fs::write(
            &config,
            format!(
                "data-dir: {}\nrun-dir: {}\nlog-dir: {}\nwrite-kubeconfig: {}\nresolv-conf: {}\ncgroup-root: {}\nnode-name: lab\n",
                at("data"),
                at("run"),
                at("logs"),
                at("kubeconfig.yaml"),
                at("resolv.conf"),
                cast.cgroup_root
            ),
        )?;
        let path = std::env::var("PATH").unwrap_or_default();
        let shell = Shell::new(
            &cast.project,
            vec![
                ("PATH".to_owned(), format!("{}:{path}", tools.display())),
                ("KUBECONFIG".to_owned(), at("kubeconfig.yaml")),
                ("PLINTH_DATA_DIR".to_owned(), at("data")),
                ("PLINTH_RUN_DIR".to_owned(), at("run")),
                ("HOME".to_owned(), at("home")),
                ("LAB_DIR".to_owned(), directory.display().to_string()),
            ],
        );
        Ok(Self {
            cast,
            shell,
            config,
            server: None,
        })
    }

    fn tell(&mut self) -> Result<()> {
        heading("the cluster starts");
        self.start_server()?;
        self.shell.run("kubectl version")?.ok()?;
        self.shell
            .run("kubectl wait --for=condition=Ready node/lab --timeout=60s")?
            .ok()?;
        self.build_images()?;
        self.create_the_set()?;
        self.look_at_everything()?;
        self.store_something()?;
        self.lose_a_pod()?;
        self.resolve_names()?;
        self.explain_and_describe()?;
        self.roll_out_and_back()?;
        self.scale_up_and_down()?;
        self.bind_volumes_made_by_hand()?;
        self.restart_the_server()?;
        self.replace_a_stubborn_member()?;
        self.refuse_bad_input()
    }

    pub(crate) fn start_server(&mut self) -> Result<()> {
        let log = self.cast.directory.join("server.log");
        self.server = Some(Server::start(&self.cast.plinth, &self.config, &log)?);
        Ok(())
    }

    pub(crate) fn stop_server(&mut self, how: Stop) -> Result<()> {
        self.server.take().context("no server runs")?.stop(how)
    }

    /// Shows the end of the server's log, if a server runs.
    pub(crate) fn print_log(&self) {
        if let Some(server) = &self.server {
            eprintln!("---- the end of the server's log:\n{}", server.log_tail());
        }
    }

    /// Stops the server and lets it take away what it left on the host.
    pub(crate) fn reset(&mut self) -> Result<()> {
        heading("everything is taken away again");
        if let Some(server) = self.server.take() {
            server.stop(Stop::Terminate)?;
        }
        self.shell
            .run(&format!(
                "plinth reset --config {} --yes --volumes",
                self.config.display()
            ))?
            .ok()?;
        for name in ["data", "run", "logs", "kubeconfig.yaml"] {
            ensure!(
                !self.cast.directory.join(name).exists(),
                "{name} was left behind"
            );
        }
        let links = self.shell.run("ip -o link")?.ok()?.stdout;
        ensure!(
            links
                .lines()
                .all(|line| line.contains("lo:") || line.contains("NONE")),
            "a link was left behind"
        );
        for part in ["/app.js", "plinth shim", "trap ''"] {
            ensure!(
                processes(part).is_empty(),
                "left running: {:?}",
                processes(part)
            );
        }
        Ok(())
    }

    /// The IP of a pod, as the API tells it.
    pub(crate) fn pod_ip(&self, pod: &str) -> Result<String> {
        let ip = self
            .shell
            .quietly(&format!(
                "kubectl get pod {pod} -o jsonpath={{.status.podIP}}"
            ))?
            .ok()?
            .stdout;
        ensure!(!ip.is_empty(), "{pod} has no address");
        Ok(ip)
    }

    /// Asks a member's server. Without a readiness probe a pod is Ready when its process runs, which is a moment
    /// before the process listens: a refused connection is tried again.
    pub(crate) fn curl(&self, arguments: &str) -> Result<Output> {
        self.shell
            .until(&format!("curl -sS {arguments}"), PATIENCE, |output| {
                output.code == 0
            })
    }

    /// Waits until the set has finished what it was asked for.
    pub(crate) fn rolled_out(&self, set: &str) -> Result<()> {
        self.shell
            .run(&format!(
                "kubectl rollout status statefulset/{set} --timeout={}s",
                PATIENCE.as_secs()
            ))?
            .ok()?;
        Ok(())
    }

    /// The example files' directory.
    fn example(name: &str) -> PathBuf {
        Path::new("examples/kubia").join(name)
    }

    /// The servers that run inside containers.
    fn apps() -> Vec<Process> {
        processes("node /app.js")
    }
}
