//! The last steps of a program that joins a running container: into its cgroup and namespaces, down to its user and
//! capabilities, and execute. Runs in a process of its own that is nothing but this program-to-be.
//!
//! Not libcontainer's way, because that leaves out the container's seccomp filter, needs a thread of its own for
//! terminals, and takes several times as long; probes run this every few seconds.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::unistd::{Gid, Uid};
use oci_spec::runtime::{LinuxCapabilities, Process};
use rustix::fs::{Mode, OFlags};
use rustix::process::{DumpableBehavior, Signal};
use rustix::pty::OpenptFlags;
use rustix::thread::{CapabilitySet, CapabilitySets, ThreadNameSpaceType};

use super::program;
use crate::cgroup::Cgroups;
use crate::protocol;
use crate::spec::capability;

/// Where a program that joins finds its terminal; the kernel's number for it.
const PTMX: &str = "/dev/pts/ptmx";
const DEVPTS: i64 = 0x1cd1;

/// What the joining program is.
pub(super) struct Entry<'a> {
    pub(super) argv: Vec<String>,
    /// The container's own program: its user, capabilities, environment and directory are the newcomer's too.
    pub(super) process: &'a Process,
    /// A pidfd of the container's init.
    pub(super) init: &'a OwnedFd,
    pub(super) cgroup: &'a str,
    pub(super) cgroups: &'a Cgroups,
    pub(super) stdio: Stdio,
}

/// What it reads and writes.
pub(super) enum Stdio {
    /// Standard input, output and error.
    Plain([OwnedFd; 3]),
    /// A new terminal of the container; its master goes over this socket.
    Terminal(UnixStream),
}

impl Entry<'_> {
    /// Becomes the program. Only a failure comes back, in words for a user.
    pub(super) fn execute(self) -> Result<Infallible, String> {
        let step = |what: &'static str| move |e: io::Error| format!("{what}: {e}");
        // What the container's processes could otherwise do to this one before it is one of them.
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .map_err(|e| step("hide from the container")(e.into()))?;
        self.cgroups
            .enter(self.cgroup)
            .map_err(step("join the container's cgroup"))?;
        let score = self.process.oom_score_adj().unwrap_or(0);
        // Without the right to (a nested container) it keeps the shim's.
        let _ = fs::write("/proc/self/oom_score_adj", score.to_string());
        let mut namespaces = ThreadNameSpaceType::MOUNT;
        if self.cgroups.is_unified() {
            namespaces |= ThreadNameSpaceType::CONTROL_GROUP;
        }
        rustix::thread::move_into_thread_name_spaces(self.init.as_fd(), namespaces)
            .map_err(|e| step("join the container's namespaces")(e.into()))?;
        nix::unistd::setsid().map_err(|e| step("start a session")(e.into()))?;
        rustix::process::umask(Mode::from_raw_mode(0o022));

        let user = self.process.user();
        let terminal = matches!(self.stdio, Stdio::Terminal(_));
        let [stdin, stdout, stderr] = match self.stdio {
            Stdio::Plain(streams) => streams,
            Stdio::Terminal(to) => {
                own_terminal(&to, user.uid()).map_err(step("make a terminal"))?
            }
        };
        rustix::stdio::dup2_stdin(&stdin)
            .and_then(|()| rustix::stdio::dup2_stdout(&stdout))
            .and_then(|()| rustix::stdio::dup2_stderr(&stderr))
            .map_err(|e| step("connect the streams")(e.into()))?;
        drop((stdin, stdout, stderr));

        let groups = user.additional_gids().iter().flatten();
        let groups: Vec<Gid> = groups.map(|gid| Gid::from_raw(*gid)).collect();
        take_identity(user.uid(), user.gid(), &groups, self.process)
            .map_err(step("take the container's user and capabilities"))?;
        // Set last: a change of user clears it. Whoever looks after this program takes it along when it dies.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|e| step("bind to the shim")(e.into()))?;

        let cwd = self.process.cwd();
        std::env::set_current_dir(cwd).map_err(|e| {
            let why = program::GoLike::go_like(&e);
            let cwd = cwd.display().to_string();
            format!("chdir to cwd ({cwd:?}) set in config.json failed: {why}")
        })?;
        let mut env = self.process.env().clone().unwrap_or_default();
        if terminal && !env.iter().any(|entry| entry.starts_with("TERM=")) {
            env.push("TERM=xterm".to_owned());
        }
        let nul = |_| "an argument contains a zero byte".to_owned();
        let env = env
            .into_iter()
            .map(CString::new)
            .collect::<Result<Vec<_>, _>>()
            .map_err(nul)?;
        program::execute(&self.argv, &env)
    }
}

/// A new terminal of this mount namespace, controlled by this session. Its master is sent away.
fn own_terminal(to: &UnixStream, uid: u32) -> io::Result<[OwnedFd; 3]> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let master = rustix::fs::open(PTMX, flags, Mode::empty())?;
    // A container's root could have put something else there.
    if i128::from(rustix::fs::fstatfs(&master)?.f_type) != i128::from(DEVPTS) {
        return Err(io::Error::other(format!("{PTMX} is no terminal device")));
    }
    rustix::pty::unlockpt(&master)?;
    let slave = rustix::pty::ioctl_tiocgptpeer(
        &master,
        OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
    )?;
    rustix::fs::fchown(&slave, Some(rustix::fs::Uid::from_raw(uid)), None)?;
    rustix::process::ioctl_tiocsctty(&slave)?;
    protocol::send_with(to, b"\n", &[master.as_fd()])?;
    Ok([slave.try_clone()?, slave.try_clone()?, slave])
}

/// Becomes the user with exactly the capabilities of the container's own program.
fn take_identity(uid: u32, gid: u32, groups: &[Gid], process: &Process) -> io::Result<()> {
    let none = LinuxCapabilities::default();
    let sets = process.capabilities().as_ref().unwrap_or(&none);
    let bits = |set: &Option<_>| {
        let bits = set.as_ref().map_or(0, capability::bits);
        CapabilitySet::from_bits_retain(bits)
    };
    let bounding = bits(sets.bounding());
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::capability_is_in_bounding_set(capability) {
            Ok(true) if !bounding.contains(capability) => {
                rustix::thread::remove_capability_from_bounding_set(capability)?;
            }
            Ok(_) => {}
            // The kernel knows no more.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    rustix::thread::set_keep_capabilities(true)?;
    nix::unistd::setgroups(groups)?;
    let gid = Gid::from_raw(gid);
    nix::unistd::setresgid(gid, gid, gid)?;
    let uid = Uid::from_raw(uid);
    nix::unistd::setresuid(uid, uid, uid)?;
    rustix::thread::set_keep_capabilities(false)?;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: bits(sets.effective()),
            permitted: bits(sets.permitted()),
            inheritable: bits(sets.inheritable()),
        },
    )?;
    for capability in bits(sets.ambient()).iter() {
        rustix::thread::configure_capability_in_ambient_set(capability, true)?;
    }
    if process.no_new_privileges() == Some(true) {
        rustix::thread::set_no_new_privs(true)?;
    }
    Ok(())
}
