//! Mounts layers over each other. Knows nothing of images or containers.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags};

/// Mounts `lower` (top first) with `upper` over it at `target`. Changes the working directory on older kernels.
///
/// Device nodes in it open only with `devices`: no image can bring a way to the host's disks.
///
/// Volatile: what is written dies with its container (or is archived before anyone relies on it), so nobody waits for
/// the disk when it is unmounted.
pub(super) fn mount(
    lower: &[PathBuf],
    upper: &Path,
    work: &Path,
    target: &Path,
    devices: bool,
) -> io::Result<()> {
    for directory in [upper, work] {
        std::fs::create_dir_all(directory)?;
    }
    let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&fs, "source", "overlay")?;
    for (index, layer) in lower.iter().enumerate() {
        match rustix::mount::fsconfig_set_string(&fs, "lowerdir+", layer.as_path()) {
            // Linux before 6.8 does not know layers one by one.
            Err(rustix::io::Errno::INVAL) if index == 0 => {
                return mount_in_one_line(lower, upper, work, target, devices);
            }
            other => other.map_err(|e| at(layer, e))?,
        }
    }
    rustix::mount::fsconfig_set_string(&fs, "upperdir", upper).map_err(|e| at(upper, e))?;
    rustix::mount::fsconfig_set_string(&fs, "workdir", work).map_err(|e| at(work, e))?;
    rustix::mount::fsconfig_set_flag(&fs, "volatile")?;
    rustix::mount::fsconfig_create(&fs)?;
    let attributes = if devices {
        MountAttrFlags::empty()
    } else {
        MountAttrFlags::MOUNT_ATTR_NODEV
    };
    let mount = rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    rustix::mount::move_mount(
        &mount,
        "",
        rustix::fs::CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    Ok(())
}

/// mount(2) takes at most a page of options, so the layers are named relative to the directory they share.
fn mount_in_one_line(
    lower: &[PathBuf],
    upper: &Path,
    work: &Path,
    target: &Path,
    devices: bool,
) -> io::Result<()> {
    let shared = shared_ancestor(lower);
    let mut options = b"lowerdir=".to_vec();
    for (index, layer) in lower.iter().enumerate() {
        if index > 0 {
            options.push(b':');
        }
        options.extend(escaped(layer.strip_prefix(&shared).unwrap_or(layer)));
    }
    for (name, path) in [("upperdir", upper), ("workdir", work)] {
        options.extend_from_slice(format!(",{name}=").as_bytes());
        options.extend(escaped(path));
    }
    options.extend_from_slice(b",volatile");
    if options.len() >= 4096 {
        return Err(io::Error::other(format!(
            "{} layers are too many for this kernel",
            lower.len()
        )));
    }
    std::env::set_current_dir(&shared)?;
    let options = CString::new(options)?;
    let flags = if devices {
        MountFlags::empty()
    } else {
        MountFlags::NODEV
    };
    rustix::mount::mount(
        "overlay",
        target,
        "overlay",
        flags,
        Some(options.as_c_str()),
    )?;
    Ok(())
}

fn shared_ancestor(paths: &[PathBuf]) -> PathBuf {
    let mut shared = paths
        .first()
        .and_then(|path| path.parent())
        .unwrap_or(Path::new("/"))
        .to_path_buf();
    while !paths.iter().all(|path| path.starts_with(&shared)) && shared.pop() {}
    shared
}

/// Colons separate layers and commas separate options.
fn escaped(path: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b':' | b',' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

fn at(path: &Path, error: rustix::io::Errno) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_named_from_the_directory_they_share() {
        let of =
            |paths: &[&str]| shared_ancestor(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(of(&["/l/a/diff", "/l/b/diff"]), Path::new("/l"));
        assert_eq!(of(&["/l/a"]), Path::new("/l"));
        assert_eq!(of(&["/l/a", "/m/b"]), Path::new("/"));
        assert_eq!(escaped(Path::new("a:b,c")), b"a\\:b\\,c");
    }
}
