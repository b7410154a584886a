//! Entering private namespaces and being the first process in one.
#![allow(unsafe_code)]

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, exit};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, wait, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use crate::{LabError, step};

/// Puts the calling thread, and the threads and processes it starts from now on, into a network and a
/// mount namespace of their own, with loopback up and nothing else. Needs root.
pub fn enter_private_network() -> Result<(), LabError> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .map_err(step("making namespaces"))?;
    private_mounts()?;
    loopback_up()
}

fn private_mounts() -> Result<(), LabError> {
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .map_err(step("making mounts private"))
}

fn loopback_up() -> Result<(), LabError> {
    let status = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status()
        .map_err(step("running ip (package iproute2)"))?;
    if status.success() {
        Ok(())
    } else {
        Err(step("bringing loopback up")(io::Error::other(
            status.to_string(),
        )))
    }
}

/// Forks a child that is the first process of new namespaces and runs `program` as its own child.
pub(crate) fn run_inside(
    program: &Path,
    args: &[OsString],
    env: &[(OsString, OsString)],
) -> Result<i32, LabError> {
    unshare(CloneFlags::CLONE_NEWPID)
        .map_err(step("making a process namespace (root is needed)"))?;
    // SAFETY: the caller promises a single thread, so the child may run ordinary code.
    match unsafe { fork() }.map_err(step("forking"))? {
        ForkResult::Parent { child } => exit_code_of(child),
        ForkResult::Child => match first_process(program, args, env) {
            Ok(code) => exit(code),
            Err(error) => {
                eprintln!("{error}");
                exit(125)
            }
        },
    }
}

fn exit_code_of(child: Pid) -> Result<i32, LabError> {
    loop {
        match waitpid(child, None).map_err(step("waiting for the lab"))? {
            WaitStatus::Exited(_, code) => return Ok(code),
            WaitStatus::Signaled(_, signal, _) => return Ok(128 + signal as i32),
            _ => {}
        }
    }
}

/// The life of process 1: set up, start the program, reap everything, end with the program. The kernel
/// kills whatever is left in the namespace when this process ends.
fn first_process(
    program: &Path,
    args: &[OsString],
    env: &[(OsString, OsString)],
) -> Result<i32, LabError> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(step("tying the lab to its caller"))?;
    // Here and not in the caller, which goes on to live in the host's.
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)
        .map_err(step("making namespaces"))?;
    private_mounts()?;
    mount(
        Some("proc"),
        "/proc",
        Some("proc"),
        MsFlags::empty(),
        None::<&str>,
    )
    .map_err(step("mounting /proc"))?;
    loopback_up()?;

    let child = Command::new(program)
        .args(args)
        .envs(env.iter().cloned())
        .spawn()
        .map_err(step(format!("starting {}", program.display())))?;
    let program_pid = Pid::from_raw(child.id().cast_signed());
    loop {
        match wait().map_err(step("reaping"))? {
            WaitStatus::Exited(pid, code) if pid == program_pid => return Ok(code),
            WaitStatus::Signaled(pid, signal, _) if pid == program_pid => {
                return Ok(128 + signal as i32);
            }
            _ => {}
        }
    }
}
