//! Finds a `subPath` in a volume without ever following a link out of it.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, fchmod, mkdirat};

/// The host path of `sub` in the volume at `root`. Missing directories are made with the permissions of the volume,
/// as upstream does; links are resolved as if the volume were the whole file system.
pub(super) fn resolve(root: &Path, sub: &str) -> Result<PathBuf, String> {
    let failed = |e: Errno| format!("failed to prepare subPath {sub:?} of volume: {e}");
    let parts: Vec<&std::ffi::OsStr> = Path::new(sub)
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(Ok(name)),
            Component::CurDir => None,
            _ => Some(Err(format!(
                "subPath {sub:?} must be a relative path without '..'"
            ))),
        })
        .collect::<Result<_, _>>()?;
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let root_fd = open(root, flags | OFlag::O_DIRECTORY, Mode::empty()).map_err(failed)?;
    let mode = fs::metadata(root).map_or(0o755, |m| m.permissions().mode());
    let mode = Mode::from_bits_truncate(mode);
    let mut at = open_within(&root_fd, Path::new("."), flags).map_err(failed)?;
    let mut so_far = PathBuf::new();
    for part in parts {
        so_far.push(part);
        at = match open_within(&root_fd, &so_far, flags) {
            Err(Errno::ENOENT) => {
                match mkdirat(&at, part, mode) {
                    Ok(()) => {
                        // Again without the umask.
                        let made = OFlag::O_RDONLY
                            | OFlag::O_DIRECTORY
                            | OFlag::O_NOFOLLOW
                            | OFlag::O_CLOEXEC;
                        let made = open_within(&root_fd, &so_far, made).map_err(failed)?;
                        fchmod(&made, mode).map_err(failed)?;
                    }
                    Err(Errno::EEXIST) => {}
                    Err(e) => return Err(failed(e)),
                }
                open_within(&root_fd, &so_far, flags).map_err(failed)?
            }
            other => other.map_err(failed)?,
        };
    }
    fs::read_link(format!("/proc/self/fd/{}", at.as_raw_fd()))
        .map_err(|e| format!("failed to prepare subPath {sub:?} of volume: {e}"))
}

fn open_within(root: &OwnedFd, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    openat2(root, path, OpenHow::new().flags(flags).resolve(resolve))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_sub_path_is_made_and_links_stay_inside_the_volume() {
        let dir = tempfile::tempdir().expect("directory");
        let root = fs::canonicalize(dir.path()).expect("canonical").join("v");
        fs::create_dir_all(root.join("real")).expect("made");
        assert_eq!(
            resolve(&root, "a/b").as_deref(),
            Ok(root.join("a/b").as_path())
        );
        assert!(root.join("a/b").is_dir());
        fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).expect("mode");
        resolve(&root, "c").expect("made");
        assert_eq!(
            fs::metadata(root.join("c"))
                .expect("c")
                .permissions()
                .mode()
                & 0o777,
            0o777
        );
        symlink("real", root.join("link")).expect("link");
        assert_eq!(
            resolve(&root, "link").as_deref(),
            Ok(root.join("real").as_path())
        );
        symlink("/etc", root.join("out")).expect("link");
        let got = resolve(&root, "out/passwd");
        assert!(
            got.as_ref().map_or(true, |p| p.starts_with(&root)),
            "{got:?}"
        );
        symlink("../../..", root.join("up")).expect("link");
        assert_eq!(resolve(&root, "up").as_deref(), Ok(root.as_path()));
        assert!(resolve(&root, "../x").is_err());
        assert!(resolve(&root, "/etc").is_err());
    }
}
