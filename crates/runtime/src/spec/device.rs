//! Which devices a container may use.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};

/// Everything, or nothing but what libcontainer adds for every container (null, zero, full, random, tty, pts, …).
pub(super) fn rule(allow: bool) -> Result<LinuxDeviceCgroup, String> {
    LinuxDeviceCgroupBuilder::default()
        .allow(allow)
        .typ(LinuxDeviceType::A)
        .access("rwm")
        .build()
        .map_err(|e| e.to_string())
}

/// The host's devices, for a privileged container.
pub(super) fn of_host() -> Result<Vec<LinuxDevice>, String> {
    let mut devices = Vec::new();
    below(Path::new("/dev"), &mut devices)?;
    Ok(devices)
}

fn below(directory: &Path, devices: &mut Vec<LinuxDevice>) -> Result<(), String> {
    /// Mounted or made anew in every container.
    const OWN: &[&str] = &["pts", "shm", "mqueue", "fd", "console", "ptmx"];
    let at = |e: std::io::Error| format!("list {}: {e}", directory.display());
    for entry in std::fs::read_dir(directory).map_err(at)? {
        let entry = entry.map_err(at)?;
        if OWN.iter().any(|own| entry.file_name() == *own) {
            continue;
        }
        let Ok(metadata) = entry.metadata() else {
            continue;
        }; // unplugged meanwhile
        let kind = metadata.file_type();
        if kind.is_dir() {
            below(&entry.path(), devices)?;
        } else if kind.is_char_device() || kind.is_block_device() {
            let number = metadata.rdev();
            devices.push(
                LinuxDeviceBuilder::default()
                    .path(entry.path())
                    .typ(if kind.is_char_device() {
                        LinuxDeviceType::C
                    } else {
                        LinuxDeviceType::B
                    })
                    .major(i64::from(rustix::fs::major(number)))
                    .minor(i64::from(rustix::fs::minor(number)))
                    .file_mode(metadata.mode() & 0o7777)
                    .uid(metadata.uid())
                    .gid(metadata.gid())
                    .build()
                    .map_err(|e| e.to_string())?,
            );
        }
    }
    Ok(())
}
