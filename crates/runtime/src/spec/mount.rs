//! What a container's mount namespace shows besides its root file system.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, MountBuilder};

use super::Surroundings;
use crate::record::Launch;

/// The kernel's file systems, then the container's own mounts, outer before inner.
pub(super) fn all(launch: &Launch, around: &Surroundings<'_>) -> Result<Vec<Mount>, String> {
    let mut mounts = vec![
        special("/proc", "proc", &["nosuid", "noexec", "nodev"])?,
        special(
            "/dev",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        )?,
        special(
            "/dev/pts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        )?,
        special("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"])?,
    ];
    mounts.push(match around.shared_memory {
        Some(path) => bind(path, Path::new("/dev/shm"), &["nosuid", "noexec", "nodev"])?,
        None => special(
            "/dev/shm",
            "tmpfs",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        )?,
    });
    let access = if launch.privileged { "rw" } else { "ro" };
    mounts.push(special(
        "/sys",
        "sysfs",
        &["nosuid", "noexec", "nodev", access],
    )?);
    mounts.extend(control_groups(launch, around, access)?);

    let mut own: Vec<_> = launch.mounts.iter().collect();
    own.sort_by_key(|mount| mount.container_path.components().count());
    for mount in own {
        let access = if mount.read_only { "ro" } else { "rw" };
        mounts.push(bind(&mount.host_path, &mount.container_path, &[access])?);
    }
    Ok(mounts)
}

/// On v1 the container's own group of every controller, where programs look for their limits. libcontainer's own
/// v1 mounts are writable, which would let a container lift its limits.
fn control_groups(
    launch: &Launch,
    around: &Surroundings<'_>,
    access: &str,
) -> Result<Vec<Mount>, String> {
    let target = Path::new("/sys/fs/cgroup");
    if around.cgroups.is_unified() {
        return Ok(vec![
            builder(
                target,
                "cgroup",
                &["nosuid", "noexec", "nodev", "relatime", access],
            )
            .source("cgroup")
            .build()
            .map_err(|e| e.to_string())?,
        ]);
    }
    let mut mounts = vec![special(
        "/sys/fs/cgroup",
        "tmpfs",
        &["nosuid", "noexec", "nodev", "mode=755"],
    )?];
    for (controller, directory) in around.cgroups.v1_directories(&launch.cgroup) {
        let options = ["nosuid", "noexec", "nodev", "relatime", access];
        mounts.push(bind(&directory, &target.join(controller), &options)?);
    }
    Ok(mounts)
}

fn builder(target: &Path, kind: &str, options: &[&str]) -> MountBuilder {
    MountBuilder::default()
        .destination(target)
        .typ(kind)
        .options(
            options
                .iter()
                .map(|option| (*option).to_owned())
                .collect::<Vec<_>>(),
        )
}

fn special(target: &str, kind: &str, options: &[&str]) -> Result<Mount, String> {
    builder(Path::new(target), kind, options)
        .source(PathBuf::from(kind))
        .build()
        .map_err(|e| e.to_string())
}

fn bind(source: &Path, target: &Path, options: &[&str]) -> Result<Mount, String> {
    let options: Vec<&str> = std::iter::once("rbind")
        .chain(options.iter().copied())
        .collect();
    builder(target, "bind", &options)
        .source(source)
        .build()
        .map_err(|e| e.to_string())
}
