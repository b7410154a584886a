//! Turns what is to be launched into an OCI runtime specification. Looks into the root file system for users only;
//! starts nothing.

pub(crate) mod capability;
mod device;
pub(crate) mod inroot;
mod mount;
pub(crate) mod user;

use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpuBuilder, LinuxMemoryBuilder, LinuxNamespace,
    LinuxNamespaceBuilder, LinuxNamespaceType, LinuxPidsBuilder, LinuxResources,
    LinuxResourcesBuilder, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};

use crate::cgroup::Cgroups;
use crate::record::Launch;
use user::Identity;

/// What a container is put into.
pub(crate) struct Surroundings<'a> {
    pub(crate) rootfs: &'a Path,
    pub(crate) hostname: &'a str,
    /// The pod's `/dev/shm`; `None` gives the container its own.
    pub(crate) shared_memory: Option<&'a Path>,
    pub(crate) cgroups: &'a Cgroups,
    /// Who it runs as.
    pub(crate) identity: &'a Identity,
    /// Whether memory and swap can be limited together on this host.
    pub(crate) limits_swap: bool,
}

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/sys/fs/cgroup",
];

/// The specification of one container. The namespaces that it does not name (net, uts, ipc) are inherited from the
/// shim, which made them for the pod.
pub(crate) fn build(launch: &Launch, around: &Surroundings<'_>) -> Result<Spec, String> {
    let mut namespaces = vec![
        namespace(LinuxNamespaceType::Pid)?,
        namespace(LinuxNamespaceType::Mount)?,
    ];
    if around.cgroups.is_unified() {
        namespaces.push(namespace(LinuxNamespaceType::Cgroup)?);
    }
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces)
        .cgroups_path(PathBuf::from(&launch.cgroup))
        .resources(resources(launch, around)?)
        .rootfs_propagation("slave")
        .build()
        .map_err(|e| e.to_string())?;
    if launch.privileged {
        linux
            .set_devices(Some(device::of_host()?))
            .set_masked_paths(None)
            .set_readonly_paths(None);
    } else {
        let own = |paths: &[&str]| Some(paths.iter().map(|path| (*path).to_owned()).collect());
        linux
            .set_masked_paths(own(MASKED))
            .set_readonly_paths(own(READ_ONLY));
    }
    let mut spec = SpecBuilder::default()
        .version("1.1.0")
        .root(
            RootBuilder::default()
                .path(around.rootfs)
                .readonly(launch.read_only_rootfs)
                .build()
                .map_err(|e| e.to_string())?,
        )
        .mounts(mount::all(launch, around)?)
        .process(process(launch, around)?)
        .linux(linux)
        .build()
        .map_err(|e| e.to_string())?;
    // The UTS namespace is the pod's; libcontainer refuses a name without one of the container's own.
    spec.set_hostname(None);
    Ok(spec)
}

fn namespace(typ: LinuxNamespaceType) -> Result<LinuxNamespace, String> {
    LinuxNamespaceBuilder::default()
        .typ(typ)
        .build()
        .map_err(|e| e.to_string())
}

fn process(launch: &Launch, around: &Surroundings<'_>) -> Result<Process, String> {
    let identity = around.identity;
    let user = UserBuilder::default()
        .uid(identity.uid)
        .gid(identity.gid)
        .additional_gids(identity.groups.clone())
        .build()
        .map_err(|e| e.to_string())?;
    let unified = around.cgroups.is_unified();
    let set = if launch.privileged {
        capability::all()
    } else {
        capability::chosen(&launch.add_caps, &launch.drop_caps, !unified)?
    };
    let set = capability::that_we_have(&set)?;
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(set.clone())
        .effective(set.clone())
        .permitted(set)
        .inheritable([])
        .ambient([])
        .build()
        .map_err(|e| e.to_string())?;
    let cwd = if launch.cwd.as_os_str().is_empty() {
        PathBuf::from("/")
    } else {
        launch.cwd.clone()
    };
    let mut process = ProcessBuilder::default()
        .terminal(launch.tty)
        .user(user)
        .args(launch.argv.clone())
        .env(environment(launch, around))
        .cwd(cwd)
        .capabilities(capabilities)
        .build()
        .map_err(|e| e.to_string())?;
    // libcontainer takes `Some(false)` for a wish too.
    process.set_no_new_privileges(launch.no_new_privileges.then_some(true));
    process.set_rlimits(None);
    process.set_oom_score_adj(Some(launch.resources.oom_score_adj.unwrap_or(0)));
    Ok(process)
}

/// PATH, HOME and HOSTNAME unless given; of several values of a name the last one.
fn environment(launch: &Launch, around: &Surroundings<'_>) -> Vec<String> {
    let mut env: Vec<(&str, &str)> = vec![
        ("PATH", DEFAULT_PATH),
        ("HOSTNAME", around.hostname),
        ("HOME", &around.identity.home),
    ];
    if around.hostname.is_empty() {
        env.remove(1);
    }
    for (name, value) in &launch.env {
        match env.iter_mut().find(|(known, _)| known == name) {
            Some(entry) => entry.1 = value,
            None => env.push((name, value)),
        }
    }
    env.into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

fn resources(launch: &Launch, around: &Surroundings<'_>) -> Result<LinuxResources, String> {
    let wanted = &launch.resources;
    let mut resources = LinuxResourcesBuilder::default()
        .devices(vec![device::rule(launch.privileged)?])
        .build()
        .map_err(|e| e.to_string())?;
    if let Some(limit) = wanted.memory_limit {
        let mut memory = LinuxMemoryBuilder::default()
            .limit(limit)
            .build()
            .map_err(|e| e.to_string())?;
        memory.set_swap(around.limits_swap.then_some(limit));
        resources.set_memory(Some(memory));
        if around.cgroups.is_unified() {
            // As the kubelet does on v2: a container is killed as a whole, not process by process.
            resources.set_unified(Some(
                [("memory.oom.group".to_owned(), "1".to_owned())].into(),
            ));
        }
    }
    if wanted.cpu_shares.is_some() || wanted.cpu_quota.is_some() {
        let mut cpu = LinuxCpuBuilder::default()
            .build()
            .map_err(|e| e.to_string())?;
        cpu.set_shares(wanted.cpu_shares);
        cpu.set_quota(wanted.cpu_quota);
        cpu.set_period(wanted.cpu_quota.and(wanted.cpu_period.or(Some(100_000))));
        resources.set_cpu(Some(cpu));
    }
    if let Some(limit) = wanted.pids_limit {
        resources.set_pids(Some(
            LinuxPidsBuilder::default()
                .limit(limit)
                .build()
                .map_err(|e| e.to_string())?,
        ));
    }
    Ok(resources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_variables_win_and_path_home_and_hostname_are_always_there() {
        let cgroups = Cgroups::find().expect("mountinfo");
        let identity = Identity {
            home: "/root".into(),
            ..Identity::default()
        };
        let around = Surroundings {
            rootfs: Path::new("/"),
            hostname: "web-0",
            shared_memory: None,
            cgroups: &cgroups,
            identity: &identity,
            limits_swap: false,
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let launch = Launch {
            env: vec![pair("A", "1"), pair("HOME", "/srv"), pair("A", "2")],
            ..Launch::default()
        };
        let path = format!("PATH={DEFAULT_PATH}");
        assert_eq!(
            environment(&launch, &around),
            [&path, "HOSTNAME=web-0", "HOME=/srv", "A=2"]
        );
    }
}
