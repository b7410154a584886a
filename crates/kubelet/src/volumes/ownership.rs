//! Gives a volume to the pod's `fsGroup`.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

/// Makes everything below `dir` belong to `group`, writable by it unless `read_only`; new files inherit the group.
/// With `only_if_root_differs`, a directory that belongs to the group already is taken as done.
pub(super) fn give_to_group(
    dir: &Path,
    group: u32,
    read_only: bool,
    only_if_root_differs: bool,
) -> io::Result<()> {
    let root = fs::metadata(dir)?;
    if only_if_root_differs && root.gid() == group && root.permissions().mode() & 0o2000 != 0 {
        return Ok(());
    }
    give(dir, group, read_only)
}

fn give(path: &Path, group: u32, read_only: bool) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    lchown(path, None, Some(group))?;
    if meta.file_type().is_symlink() {
        return Ok(());
    }
    let mut mode = meta.permissions().mode() & 0o7777;
    mode |= if read_only { 0o440 } else { 0o660 };
    if meta.is_dir() {
        mode |= 0o2110;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), group, read_only)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_goes_to_the_group_but_never_through_a_symlink() {
        let dir = tempfile::tempdir().expect("directory");
        let outside = tempfile::NamedTempFile::new().expect("file");
        let root = dir.path().join("v");
        fs::create_dir_all(root.join("d")).expect("made");
        fs::write(root.join("d/f"), "").expect("file");
        std::os::unix::fs::symlink(outside.path(), root.join("link")).expect("link");
        give_to_group(&root, 4321, false, false).expect("needs root");
        for path in ["", "d", "d/f"] {
            assert_eq!(
                fs::metadata(root.join(path)).expect(path).gid(),
                4321,
                "{path}"
            );
        }
        assert_eq!(
            fs::metadata(root.join("d"))
                .expect("d")
                .permissions()
                .mode()
                & 0o2070,
            0o2070
        );
        assert_ne!(fs::metadata(outside.path()).expect("outside").gid(), 4321);
    }
}
