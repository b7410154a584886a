//! Makes a pod: the namespaces its containers share, held by this process.

use std::fs;
use std::io;
use std::path::Path;

use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use rustix::mount::{MountFlags, MountPropagationFlags};

use crate::cgroup::Cgroups;
use crate::record::SandboxRecord;
use crate::sys;

/// The shim's own share of CPU time and memory is counted here, beside the containers.
const SHIM_GROUP: &str = "shim";
/// Killed after everything it holds.
const OOM_SCORE: &str = "-998";

/// What failed, with the step for the daemon's error.
pub(super) type Failure = (&'static str, io::Error);

/// Detaches this process from its daemon: nothing that happens to the daemon reaches it, and it ends only when told
/// to over its socket, or by SIGKILL.
pub(super) fn detach() -> Result<(), Failure> {
    nix::unistd::setsid().map_err(|e| ("start a session", e.into()))?;
    let this = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(this))
        .map_err(|e| ("become a subreaper", e.into()))?;
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ] {
        sys::disregard(signal).map_err(|e| ("set a signal handler", e.into()))?;
    }
    nix::sys::signal::SigSet::empty()
        .thread_set_mask()
        .map_err(|e| ("clear the signal mask", e.into()))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    guard_from_oom();
    Ok(())
}

/// Asks the kernel to spare the shim when memory is short. Without the right to ask (a nested container) it runs on
/// like everybody.
fn guard_from_oom() {
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
}

/// Moves this process into the pod's cgroup and into new namespaces.
pub(super) fn enter(
    record: &SandboxRecord,
    directory: &Path,
    cgroups: &Cgroups,
) -> Result<(), Failure> {
    cgroups
        .join(&format!("{}/{SHIM_GROUP}", record.cgroup))
        .map_err(|e| ("join the pod's cgroup", e))?;
    let own = !record.config.host_network;
    let mut namespaces = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC;
    if own {
        namespaces |= CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWNET;
    }
    nix::sched::unshare(namespaces).map_err(|e| ("make namespaces", e.into()))?;
    private_mounts()?;
    if own {
        rustix::system::sethostname(record.config.hostname.as_bytes())
            .map_err(|e| ("set the host name", e.into()))?;
        sys::loopback_up().map_err(|e| ("set up the loopback interface", e))?;
        // As containerd does: in a network of one's own the low ports and ping belong to everyone.
        for (name, value) in [
            ("ip_unprivileged_port_start", "0"),
            ("ping_group_range", "0 2147483647"),
        ] {
            fs::write(format!("/proc/sys/net/ipv4/{name}"), value)
                .map_err(|e| ("open the low ports", e))?;
        }
    }
    for (name, value) in &record.config.sysctls {
        set_sysctl(name, value, own).map_err(|e| ("set a kernel parameter", e))?;
    }
    shared_memory(&directory.join("shm"))
}

/// What is mounted from here on is seen only in this pod and vanishes with its last process; what the host mounts is
/// seen here too.
pub(super) fn private_mounts() -> Result<(), Failure> {
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags).map_err(|e| ("make mounts private", e.into()))
}

fn shared_memory(path: &Path) -> Result<(), Failure> {
    let mount = || {
        fs::create_dir_all(path)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        rustix::mount::mount("shm", path, "tmpfs", flags, Some(c"mode=1777,size=65536k"))?;
        Ok(())
    };
    mount().map_err(|e: io::Error| ("mount shared memory", e))
}

/// Only what belongs to the pod's own namespaces may be set: the rest is the host's.
fn set_sysctl(name: &str, value: &str, own_network: bool) -> io::Result<()> {
    const IPC: &[&str] = &["kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue."];
    let namespaced = (own_network && name.starts_with("net."))
        || IPC.iter().any(|prefix| name.starts_with(prefix));
    if !namespaced || name.contains("..") || name.contains('/') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} is not a parameter of the pod"),
        ));
    }
    fs::write(Path::new("/proc/sys").join(name.replace('.', "/")), value)
        .map_err(|e| io::Error::new(e.kind(), format!("{name}={value}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::set_sysctl;

    #[test]
    fn the_hosts_parameters_are_out_of_reach() {
        for name in [
            "kernel.hostname",
            "vm.swappiness",
            "net..ipv4",
            "net.ipv4/../../kernel.panic",
            "kernel.core_pattern",
        ] {
            assert!(
                set_sysctl(name, "1", true)
                    .is_err_and(|e| e.to_string().contains("not a parameter")),
                "{name}"
            );
        }
        assert!(set_sysctl("net.ipv4.ip_forward", "0", false).is_err());
    }
}
