//! A shim for one command: its output is this process's output, and it ends with the one who started it.

use std::io::{self, BufRead as _};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use nix::sched::CloneFlags;
use nix::sys::wait::{WaitStatus, waitpid};
use rustix::event::{PollFd, PollFlags};
use rustix::process::PidfdFlags;

use super::container::dev_null;
use super::pod;
use super::start::{Bundle, Stdio};
use crate::cgroup::Cgroups;
use crate::oneshot::{Order, RESULT_FILE};
use crate::record::{self, Launch};
use crate::spec::inroot::Root;
use crate::sys;

/// How long killed processes may take to die.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the command that comes as one line of JSON on standard input. When that input ends, its sender is gone, and
/// the command is killed.
pub(super) fn main() -> ExitCode {
    let mut line = Vec::new();
    let order = io::stdin()
        .lock()
        .read_until(b'\n', &mut line)
        .and_then(|_| Ok(serde_json::from_slice(&line)?));
    let order: Order = match order {
        Ok(order) => order,
        Err(error) => {
            eprintln!("shim: read what to run: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = run(&order);
    // The sender removes the directory; without one, we do.
    let told = record::write(&order.state.join(RESULT_FILE), &result);
    if told.is_err() || sender_is_gone() {
        let _ = std::fs::remove_dir_all(&order.state);
    }
    ExitCode::SUCCESS
}

fn run(order: &Order) -> Result<i32, String> {
    let step = |(step, error): pod::Failure| format!("{step}: {error}");
    pod::detach().map_err(step)?;
    let cgroups = Cgroups::find().map_err(|e| format!("find the cgroups: {e}"))?;
    let group = &order.group;
    cgroups
        .join(&format!("{group}/shim"))
        .map_err(|e| format!("join cgroup {group}: {e}"))?;
    let outcome = in_own_namespaces(order, &cgroups);
    // Out of the group, so that it can be removed.
    let removed = cgroups.join("/").and_then(|()| cgroups.remove(group));
    if let Some((parent, _)) = group.rsplit_once('/') {
        cgroups.remove_if_unused(parent);
    }
    let code = outcome?;
    removed.map_err(|e| format!("remove cgroup {group}: {e}"))?;
    Ok(code)
}

fn in_own_namespaces(order: &Order, cgroups: &Cgroups) -> Result<i32, String> {
    let mut namespaces =
        CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    if order.private_network {
        namespaces |= CloneFlags::CLONE_NEWNET;
    }
    nix::sched::unshare(namespaces).map_err(|e| format!("make namespaces: {}", e.desc()))?;
    pod::private_mounts().map_err(|(step, error)| format!("{step}: {error}"))?;
    if order.private_network {
        sys::loopback_up().map_err(|e| format!("set up the loopback interface: {e}"))?;
    }
    if !order.hostname.is_empty() {
        rustix::system::sethostname(order.hostname.as_bytes())
            .map_err(|e| format!("set the host name: {e}"))?;
    }
    let bundle = Bundle::new(&order.state, "run");
    let outcome = bundle.mount(&order.launch).and_then(|()| {
        let root =
            Root::open(&bundle.rootfs()).map_err(|e| format!("open the root file system: {e}"))?;
        let stubs = missing_mount_points(&root, &order.launch);
        let outcome = start_and_wait(order, &bundle, cgroups);
        for stub in stubs.iter().rev() {
            // Used by the command itself, or never made.
            let _ = root.remove_if_empty(stub);
        }
        outcome
    });
    let killed = cgroups.kill(&format!("{}/run", order.group), PATIENCE);
    let removed =
        bundle
            .remove()
            .and_then(|()| match std::fs::remove_dir_all(&order.launch.work_dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            });
    let code = outcome?;
    killed.and(removed).map_err(|e| format!("tidy up: {e}"))?;
    Ok(code)
}

fn start_and_wait(order: &Order, bundle: &Bundle, cgroups: &Cgroups) -> Result<i32, String> {
    let duplicate =
        |fd: io::Result<std::os::fd::OwnedFd>| fd.map_err(|e| format!("duplicate an output: {e}"));
    let stdio = Stdio::Plain {
        stdin: dev_null()?,
        stdout: duplicate(std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned())?,
        stderr: duplicate(std::os::fd::AsFd::as_fd(&io::stderr()).try_clone_to_owned())?,
    };
    let hostname = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let pid = bundle.start(&order.launch, &hostname, None, cgroups, stdio)?;
    let number = rustix::process::Pid::from_raw(pid).ok_or("libcontainer gave no process id")?;
    let pidfd = rustix::process::pidfd_open(number, PidfdFlags::empty())
        .map_err(|e| format!("open a pidfd: {e}"))?;
    let stdin = io::stdin();
    loop {
        let mut fds = [
            PollFd::new(&pidfd, PollFlags::IN),
            PollFd::new(&stdin, PollFlags::IN),
        ];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("wait: {error}")),
        }
        if !fds[0].revents().is_empty() {
            break;
        }
        if !fds[1].revents().is_empty() {
            // The sender is gone: nobody wants the result.
            let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
            break;
        }
    }
    match waitpid(nix::unistd::Pid::from_raw(pid), None) {
        Ok(WaitStatus::Exited(_, code)) => Ok(code),
        Ok(WaitStatus::Signaled(_, signal, _)) => Ok(128 + signal as i32),
        Ok(other) => Err(format!("wait: {other:?}")),
        Err(error) => Err(format!("wait: {}", error.desc())),
    }
}

fn sender_is_gone() -> bool {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let now = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// What will be made only to be mounted on, outer before inner. It must not end up in a layer.
fn missing_mount_points(root: &Root, launch: &Launch) -> Vec<PathBuf> {
    let standard = ["/proc", "/dev", "/sys"].map(PathBuf::from);
    let targets = standard.into_iter().chain(
        launch
            .mounts
            .iter()
            .map(|mount| mount.container_path.clone()),
    );
    let mut missing = Vec::new();
    for target in targets {
        let mut so_far = PathBuf::from("/");
        for part in target
            .components()
            .filter(|part| matches!(part, Component::Normal(_)))
        {
            so_far.push(part);
            if !root.exists(Path::new(&so_far)) && !missing.contains(&so_far) {
                missing.push(so_far.clone());
            }
        }
    }
    missing.sort_by_key(|path| path.components().count());
    missing
}
