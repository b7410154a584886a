//! The daemon's side of one container: its record on disk and its latest state. Starts and stops nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::error::{Result, RuntimeError};
use crate::images::Image;
use crate::record::{
    self, CONTAINER_FILE, ContainerRecord, Launch, RunRecord, STATUS_FILE, SandboxRecord,
};
use crate::types::{ContainerConfig, ContainerId, ContainerState, ContainerStatus, SandboxId};

/// One container.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) record: ContainerRecord,
    /// `<root>/containers/<id>`.
    directory: PathBuf,
    run: watch::Sender<RunRecord>,
}

impl Container {
    /// Writes the record of a new container.
    pub(crate) fn create(
        sandbox: &SandboxRecord,
        id: &ContainerId,
        config: ContainerConfig,
        image: &Image,
        lower_dirs: Vec<PathBuf>,
    ) -> Result<Self> {
        let directory = sandbox.containers.join(id.as_str());
        let argv = command_line(&config, &image.config.entrypoint, &image.config.cmd);
        if argv.is_empty() {
            return Err(RuntimeError::InvalidConfig("no command specified".into()));
        }
        if config.log_path.as_os_str().is_empty() {
            return Err(RuntimeError::InvalidConfig("no log path specified".into()));
        }
        let image_user = image.config.user.as_deref().unwrap_or_default();
        verify_not_root(sandbox, &config, image_user)?;
        let cwd = config.working_dir.as_deref().filter(|dir| !dir.is_empty());
        let stop_signal = config
            .stop_signal
            .as_deref()
            .or(image.config.stop_signal.as_deref());
        let launch = Launch {
            lower_dirs,
            upper_dir: directory.join("upper"),
            work_dir: directory.join("work"),
            argv,
            env: image
                .config
                .env
                .iter()
                .chain(&config.env)
                .cloned()
                .collect(),
            cwd: PathBuf::from(cwd.or(image.config.working_dir.as_deref()).unwrap_or("/")),
            image_user: image_user.to_owned(),
            user: config.user.clone(),
            mounts: config.mounts.clone(),
            privileged: config.privileged,
            read_only_rootfs: config.read_only_rootfs,
            add_caps: config.add_caps.clone(),
            drop_caps: config.drop_caps.clone(),
            no_new_privileges: config.no_new_privileges,
            resources: config.resources.clone(),
            stdin: config.stdin,
            stdin_once: config.stdin_once,
            tty: config.tty,
            cgroup: format!("{}/{id}", sandbox.cgroup),
            log_path: sandbox.config.log_directory.join(&config.log_path),
        };
        let record = ContainerRecord {
            id: id.clone(),
            sandbox: sandbox.id.clone(),
            image_id: image.id.clone(),
            created_at: Timestamp::now(),
            stop_signal: stop_signal.map_or(Ok(libc::SIGTERM), signal_number)?,
            config,
            launch,
        };
        fs::create_dir_all(&directory).map_err(RuntimeError::io("make", &directory))?;
        let file = directory.join(CONTAINER_FILE);
        record::write(&file, &record).map_err(RuntimeError::io("write", &file))?;
        Ok(Self {
            record,
            directory,
            run: watch::Sender::new(RunRecord::created()),
        })
    }

    /// Reads a container that was created before; `None` if that was never finished.
    pub(crate) fn load(
        directory: &Path,
        sandbox: impl Fn(&SandboxId) -> Option<PathBuf>,
    ) -> io::Result<Option<Self>> {
        let record: ContainerRecord = match record::read(&directory.join(CONTAINER_FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let container = Self {
            directory: directory.to_path_buf(),
            run: watch::Sender::new(RunRecord::created()),
            record,
        };
        match record::read(&directory.join(STATUS_FILE)) {
            Ok(run) => container.run.send_replace(run),
            Err(error) if error.kind() == io::ErrorKind::NotFound => RunRecord::created(),
            // Written, but lost with the power: it ran.
            Err(_) => container
                .run
                .send_replace(RunRecord::created().lost(Timestamp::now())),
        };
        if sandbox(&container.record.sandbox).is_none()
            && container.run().state == ContainerState::Running
        {
            // Its sandbox was proven gone before its record was removed.
            let lost = container.run().lost(Timestamp::now());
            container.run.send_replace(lost);
        }
        Ok(Some(container))
    }

    /// The latest that is known.
    pub(crate) fn run(&self) -> RunRecord {
        self.run.borrow().clone()
    }

    /// Follows what is known.
    pub(crate) fn watch(&self) -> watch::Receiver<RunRecord> {
        self.run.subscribe()
    }

    /// Takes note of what its shim says; `false` if it is nothing new. A container never goes back in its life.
    pub(crate) fn take(&self, run: RunRecord) -> bool {
        self.run.send_if_modified(|known| {
            let news = run.state > known.state;
            if news {
                *known = run;
            }
            news
        })
    }

    /// What its shim wrote last.
    pub(crate) fn saved(&self) -> Option<RunRecord> {
        record::read(&self.directory.join(STATUS_FILE)).ok()
    }

    /// Writes what its shim no longer can.
    pub(crate) fn save(&self, run: &RunRecord) -> Result<()> {
        let file = self.directory.join(STATUS_FILE);
        record::write(&file, run).map_err(RuntimeError::io("write", &file))
    }

    /// Removes its record and its writable layer. Its root file system must be unmounted.
    pub(crate) fn remove_files(&self) -> Result<()> {
        // First the record: what is left after an interruption counts as never finished.
        let file = self.directory.join(CONTAINER_FILE);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(RuntimeError::io("remove", file)(error));
            }
            _ => {}
        }
        remove_tree(&self.directory)
    }

    /// As callers see it.
    pub(crate) fn status(&self) -> ContainerStatus {
        let run = self.run();
        let record = &self.record;
        ContainerStatus {
            id: record.id.clone(),
            sandbox: record.sandbox.clone(),
            name: record.config.name.clone(),
            attempt: record.config.attempt,
            image: record.config.image.clone(),
            image_id: record.image_id.clone(),
            state: run.state,
            pid: run.pid,
            created_at: record.created_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            exit_code: run.exit_code,
            signal: run.signal,
            reason: run.reason,
            message: run.message,
            log_path: record.launch.log_path.clone(),
            annotations: record.config.annotations.clone(),
        }
    }
}

/// Removes a directory of ours, if it is there.
pub(crate) fn remove_tree(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(RuntimeError::io("remove", directory)(error))
        }
        _ => Ok(()),
    }
}

/// A command replaces the image's entry point and its arguments; arguments alone replace only those.
fn command_line(config: &ContainerConfig, entrypoint: &[String], cmd: &[String]) -> Vec<String> {
    let (first, rest) = match (config.command.is_empty(), config.args.is_empty()) {
        (false, _) => (&config.command[..], &config.args[..]),
        (true, false) => (entrypoint, &config.args[..]),
        (true, true) => (entrypoint, cmd),
    };
    first.iter().chain(rest).cloned().collect()
}

/// With `run_as_non_root`, what will run must be known not to be root, as the kubelet demands it.
fn verify_not_root(
    sandbox: &SandboxRecord,
    config: &ContainerConfig,
    image_user: &str,
) -> Result<()> {
    let Some(user) = config.user.as_ref().filter(|user| user.run_as_non_root) else {
        return Ok(());
    };
    let name = image_user.split(':').next().unwrap_or_default();
    let problem = match (user.uid, name.parse::<u32>()) {
        (Some(0), _) => "container's runAsUser breaks non-root policy".to_owned(),
        (Some(_), _) => return Ok(()),
        (None, Ok(uid)) if uid != 0 => return Ok(()),
        (None, Err(_)) if !name.is_empty() => format!(
            "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
        ),
        (None, _) => "container has runAsNonRoot and image will run as root".to_owned(),
    };
    let pod = &sandbox.config;
    Err(RuntimeError::RunAsNonRoot(format!(
        "{problem} (pod: \"{}_{}({})\", container: {})",
        pod.name, pod.namespace, pod.uid, config.name
    )))
}

/// `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`.
fn signal_number(text: &str) -> Result<i32> {
    let unknown = || RuntimeError::InvalidConfig(format!("unknown stop signal {text:?}"));
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = if let Ok(number) = name.parse() {
        number
    } else if let Some(offset) = name.strip_prefix("RTMIN") {
        libc::SIGRTMIN()
            + if offset.is_empty() {
                0
            } else {
                offset
                    .trim_start_matches('+')
                    .parse()
                    .map_err(|_| unknown())?
            }
    } else if let Some(offset) = name.strip_prefix("RTMAX") {
        libc::SIGRTMAX()
            - if offset.is_empty() {
                0
            } else {
                offset
                    .trim_start_matches('-')
                    .parse()
                    .map_err(|_| unknown())?
            }
    } else {
        format!("SIG{name}")
            .parse::<nix::sys::signal::Signal>()
            .map_err(|_| unknown())? as i32
    };
    if (1..=libc::SIGRTMAX()).contains(&number) {
        Ok(number)
    } else {
        Err(unknown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{PodSandboxConfig, UserSpec};

    #[test]
    fn command_and_args_combine_as_in_kubernetes() {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let of = |command: &[&str], args: &[&str]| {
            let config = ContainerConfig {
                command: own(command),
                args: own(args),
                ..ContainerConfig::default()
            };
            command_line(&config, &own(&["entry"]), &own(&["cmd"])).join(" ")
        };
        assert_eq!(of(&[], &[]), "entry cmd");
        assert_eq!(of(&[], &["a"]), "entry a");
        assert_eq!(of(&["c"], &[]), "c");
        assert_eq!(of(&["c"], &["a"]), "c a");
    }

    #[test]
    fn who_must_not_be_root_is_known_not_to_be() {
        let sandbox = SandboxRecord {
            id: SandboxId("s".into()),
            config: PodSandboxConfig {
                namespace: "default".into(),
                name: "web-0".into(),
                uid: "u1".into(),
                ..PodSandboxConfig::default()
            },
            created_at: Timestamp::UNIX_EPOCH,
            cgroup: String::new(),
            containers: PathBuf::new(),
            gone: false,
        };
        let verdict = |uid: Option<u32>, image_user: &str| {
            let config = ContainerConfig {
                name: "main".into(),
                user: Some(UserSpec {
                    uid,
                    run_as_non_root: true,
                    ..UserSpec::default()
                }),
                ..ContainerConfig::default()
            };
            verify_not_root(&sandbox, &config, image_user).map_err(|e| e.to_string())
        };
        let says = |text: &str| {
            Err(format!(
                "{text} (pod: \"web-0_default(u1)\", container: main)"
            ))
        };
        let as_root = "container has runAsNonRoot and image will run as root";
        let unknown = "container has runAsNonRoot and image has non-numeric user (node), cannot verify user is non-root";
        assert_eq!(verdict(Some(7), ""), Ok(()));
        assert_eq!(verdict(None, "7:0"), Ok(()));
        assert_eq!(verdict(None, ""), says(as_root));
        assert_eq!(verdict(None, "0:7"), says(as_root));
        assert_eq!(verdict(None, "node"), says(unknown));
        assert_eq!(
            verdict(Some(0), "7"),
            says("container's runAsUser breaks non-root policy")
        );
    }

    #[test]
    fn stop_signals_are_read_in_every_spelling() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("quit", 3),
            ("9", 9),
            ("SIGRTMIN+3", libc::SIGRTMIN() + 3),
        ] {
            assert_eq!(signal_number(text).expect(text), number);
        }
        for text in ["", "SIGFLY", "0", "65", "RTMIN+x"] {
            assert!(signal_number(text).is_err(), "{text}");
        }
    }
}
