//! Brings one container up: root file system, specification, libcontainer. Runs in a short-lived child of the shim,
//! because libcontainer changes its caller (working directory, OOM score, dumpable flag), leaks descriptors when it
//! fails, and keeps the caller busy for tens of milliseconds.

use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use rustix::mount::UnmountFlags;
use rustix::pipe::PipeFlags;

use super::overlay;
use super::program::{Program, REASON, Witness};
use crate::cgroup::Cgroups;
use crate::protocol;
use crate::record::Launch;
use crate::spec::inroot::Root;
use crate::spec::{self, Surroundings, user};

/// A container's directory in the state of its sandbox: specification, mount point, libcontainer's notes.
pub(super) struct Bundle {
    directory: PathBuf,
    id: String,
}

/// What a new container reads and writes.
pub(super) enum Stdio {
    /// Descriptors that the shim hands over.
    Plain {
        stdin: OwnedFd,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    /// A terminal of its own; the master comes over [`Bundle::console`].
    Terminal,
}

impl Bundle {
    /// The bundle of container `id` below `state`.
    pub(super) fn new(state: &Path, id: &str) -> Self {
        Self {
            directory: state.join("bundles").join(id),
            id: id.to_owned(),
        }
    }

    /// Where its root file system is mounted.
    pub(super) fn rootfs(&self) -> PathBuf {
        self.directory.join("rootfs")
    }

    /// Listens for the master of the container's terminal.
    pub(super) fn console(&self) -> io::Result<UnixListener> {
        fs::create_dir_all(&self.directory)?;
        let listener = protocol::listen(&self.console_socket())?;
        // It is asked only when the terminal must have come.
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    fn console_socket(&self) -> PathBuf {
        self.directory.join("console.sock")
    }

    /// What the container was made from.
    pub(super) fn specification(&self) -> PathBuf {
        self.directory.join("config.json")
    }

    /// Unmounts and removes it. Its processes must be gone.
    pub(super) fn remove(&self) -> io::Result<()> {
        match rustix::mount::unmount(self.rootfs(), UnmountFlags::DETACH) {
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes the directory and mounts the root file system, which is gone with [`Self::remove`].
    pub(super) fn mount(&self, launch: &Launch) -> Result<(), String> {
        let rootfs = self.rootfs();
        for directory in [&rootfs, &self.notes()] {
            fs::create_dir_all(directory)
                .map_err(|e| format!("make {}: {e}", directory.display()))?;
        }
        overlay::mount(
            &launch.lower_dirs,
            &launch.upper_dir,
            &launch.work_dir,
            &rootfs,
            launch.privileged,
        )
        .map_err(|e| format!("failed to mount the root file system: {e}"))
    }

    /// libcontainer's own directory.
    fn notes(&self) -> PathBuf {
        self.directory.join("youki")
    }

    /// Starts the container in the mounted root file system and answers the process id of its init once its program
    /// is executed. The words of an error are for a user.
    pub(super) fn start(
        &self,
        launch: &Launch,
        hostname: &str,
        shared_memory: Option<&Path>,
        cgroups: &Cgroups,
        stdio: Stdio,
    ) -> Result<i32, String> {
        let rootfs = self.rootfs();
        for mount in &launch.mounts {
            fs::metadata(&mount.host_path).map_err(|e| {
                format!(
                    "failed to mount {} at {}: {e}",
                    mount.host_path.display(),
                    mount.container_path.display()
                )
            })?;
        }
        let identity = identity(launch, &rootfs)?;
        let root = Root::open(&rootfs).map_err(|e| format!("open the root file system: {e}"))?;
        root.make_directory(&launch.cwd)
            .map_err(|e| format!("mkdir {}: {e}", launch.cwd.display()))?;

        let around = Surroundings {
            rootfs: &rootfs,
            hostname,
            shared_memory,
            cgroups,
            identity: &identity,
            limits_swap: launch
                .cgroup
                .rsplit_once('/')
                .is_some_and(|(pod, _)| cgroups.limits_swap(pod)),
        };
        let spec = spec::build(launch, &around)?;
        spec.save(self.specification())
            .map_err(|e| format!("write config.json: {e}"))?;
        self.run(stdio)
    }

    fn run(&self, stdio: Stdio) -> Result<i32, String> {
        let pipe =
            || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| format!("make a pipe: {e}"));
        let (heard, failure) = pipe()?;
        let witness = Witness {
            failure: failure
                .try_clone()
                .map_err(|e| format!("duplicate a pipe: {e}"))?,
        };
        let failure = Rc::new(failure);
        let outcome = tracing::subscriber::with_default(witness, || {
            let builder = ContainerBuilder::new(self.id.clone(), SyscallType::default())
                .with_root_path(self.notes())?
                .with_executor(Program {
                    failure: Rc::clone(&failure),
                });
            let builder = match stdio {
                Stdio::Plain {
                    stdin,
                    stdout,
                    stderr,
                } => builder
                    .with_stdin(stdin)
                    .with_stdout(stdout)
                    .with_stderr(stderr),
                Stdio::Terminal => builder.with_console_socket(Some(self.console_socket())),
            };
            let mut container = builder
                .validate_id()?
                .as_init(&self.directory)
                .with_systemd(false)
                .with_detach(true)
                .build()?;
            let pid = container.pid().map(nix_pid);
            container.start()?;
            Ok::<_, libcontainer::error::LibcontainerError>(pid)
        });
        // The init process holds the last other end until it executes the program or dies.
        drop(failure);
        let mut remarks = String::new();
        fs::File::from(heard)
            .read_to_string(&mut remarks)
            .map_err(|e| format!("read a pipe: {e}"))?;
        if let Some(reason) = remarks.lines().find_map(|line| line.strip_prefix(REASON)) {
            return Err(format!(
                "unable to start container process: error during container init: {reason}"
            ));
        }
        match outcome {
            Ok(Some(pid)) => Ok(pid),
            Ok(None) => Err("libcontainer gave no process id".into()),
            Err(error) => {
                let detail = remarks
                    .lines()
                    .next()
                    .map(|line| format!(" ({line})"))
                    .unwrap_or_default();
                Err(format!("unable to create container: {error}{detail}"))
            }
        }
    }
}

/// libcontainer's process ids are of another version of `nix`.
fn nix_pid(pid: impl std::fmt::Display) -> i32 {
    pid.to_string().parse().unwrap_or(0)
}

fn identity(launch: &Launch, rootfs: &Path) -> Result<user::Identity, String> {
    let root = Root::open(rootfs).map_err(|e| format!("open the root file system: {e}"))?;
    let read = |path: &str| root.read(path).map_err(|e| format!("read {path}: {e}"));
    let passwd = read("/etc/passwd")?.unwrap_or_default();
    let group = read("/etc/group")?.unwrap_or_default();
    user::resolve(&launch.image_user, launch.user.as_ref(), &passwd, &group)
}
