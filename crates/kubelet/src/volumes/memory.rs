//! Volumes held in memory: Secrets, which must not reach a disk, and `emptyDir` with `medium: Memory`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Mounts a tmpfs on `dir` unless one is there. `size` limits it in bytes.
pub(super) fn mount_tmpfs(dir: &Path, size: Option<i64>, mode: u32) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    if mounts_below(dir)?.iter().any(|at| at == dir) {
        return Ok(());
    }
    let size = size.map(|s| format!(",size={s}")).unwrap_or_default();
    let options = format!("mode={mode:o}{size}");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("tmpfs"),
        dir,
        Some("tmpfs"),
        flags,
        Some(options.as_str()),
    )
    .map_err(io::Error::from)
}

/// Unmounts everything below `dir`, so that its removal cannot reach into something mounted there.
pub fn unmount_below(dir: &Path) -> io::Result<()> {
    let mut mounts = mounts_below(dir)?;
    // Inner mounts first.
    mounts.sort_by_key(|at| std::cmp::Reverse(at.components().count()));
    for at in mounts {
        umount2(&at, MntFlags::MNT_DETACH)?;
    }
    Ok(())
}

fn mounts_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let points = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|p| PathBuf::from(unescape(p)));
    Ok(points.filter(|p| p.starts_with(dir)).collect())
}

/// The kernel writes blanks and backslashes in paths as three octal digits.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = tail
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|d| std::str::from_utf8(d).ok());
        if let Some(byte) = octal.and_then(|d| u8::from_str_radix(d, 8).ok()) {
            bytes.push(byte);
            rest = &tail[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_volume_is_mounted_once_and_unmounted_with_its_pod() {
        let dir = tempfile::tempdir().expect("directory");
        let at = dir.path().join("a b");
        mount_tmpfs(&at, Some(1 << 20), 0o755).expect("needs root");
        fs::write(at.join("x"), "1").expect("write");
        mount_tmpfs(&at, Some(1 << 20), 0o755).expect("again");
        assert_eq!(fs::read_to_string(at.join("x")).expect("kept"), "1");
        unmount_below(dir.path()).expect("unmount");
        assert!(!at.join("x").exists());
    }
}
