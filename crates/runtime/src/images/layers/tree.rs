//! Layer directories on their own: making an overlay upper directory fit to become a layer, and deleting trees.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags, ResolveFlags, XattrFlags};
use rustix::io::Errno;

use super::super::Result;
use super::super::error::ImageError;
use super::{OPAQUE, OVERLAY_PRIVATE, WHITEOUT};

/// Whether overlayfs takes this for a deletion.
pub(super) fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

/// Deletes a directory and all below it; symlinks are deleted, not followed. Absence is fine.
pub(in super::super) fn delete_tree(path: &Path) -> Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => gone(fs::remove_dir_all(path)),
        Ok(_) => gone(fs::remove_file(path)),
        Err(error) => gone(Err(error)),
    }
    .map_err(ImageError::io("delete", path))
}

/// Makes an empty upper directory whose root looks like the root of the layers below (top first): overlayfs shows the
/// upper root's owner and mode.
pub(in super::super) fn make_upper(path: &Path, lowers: &[PathBuf]) -> Result<()> {
    fs::create_dir(path).map_err(ImageError::io("create directory", path))?;
    let (mode, uid, gid) = match lowers.first() {
        Some(lower) => {
            let metadata = fs::metadata(lower).map_err(ImageError::io("inspect", lower))?;
            (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
        }
        None => (0o755, 0, 0),
    };
    std::os::unix::fs::chown(path, Some(uid), Some(gid))
        .map_err(ImageError::io("change owner of", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(ImageError::io("change mode of", path))
}

/// Turns what overlayfs left in an upper directory into a layer: its private marks go, and so do sockets, which no
/// archive can hold, and opaque marks on directories that hide nothing in `lowers`.
///
/// # Errors
/// [`ImageError::HostileLayer`] for a file whose name an archive would take for a whiteout, and for what overlayfs
/// writes only with `redirect_dir` or `metacopy` switched on.
pub(in super::super) fn tidy_upper(upper: &Path, lowers: &[PathBuf]) -> Result<()> {
    let lowers: Vec<_> = lowers
        .iter()
        .map(fs::File::open)
        .collect::<io::Result<_>>()
        .map_err(ImageError::io("open layers below", upper))?;
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let path = upper.join(&relative);
        let metadata = fs::symlink_metadata(&path).map_err(ImageError::io("inspect", &path))?;
        strip_private_marks(&path, || hides_something(&lowers, &relative))?;
        if metadata.file_type().is_socket() {
            fs::remove_file(&path).map_err(ImageError::io("remove socket", &path))?;
        }
        if metadata.is_dir() {
            for entry in fs::read_dir(&path).map_err(ImageError::io("list", &path))? {
                let name = entry.map_err(ImageError::io("list", &path))?.file_name();
                if name.as_encoded_bytes().starts_with(WHITEOUT) {
                    return Err(ImageError::HostileLayer {
                        entry: relative.join(&name).display().to_string(),
                        reason: "names beginning with .wh. mean deletions in image layers and cannot be stored".to_owned(),
                    });
                }
                pending.push(relative.join(name));
            }
        }
    }
    Ok(())
}

fn strip_private_marks(path: &Path, hides_something: impl Fn() -> bool) -> Result<()> {
    for name in xattr_names(path)? {
        let Some(mark) = name.strip_prefix(OVERLAY_PRIVATE) else {
            continue;
        };
        match mark {
            "opaque" if hides_something() => {}
            "redirect" | "metacopy" => {
                return Err(ImageError::HostileLayer {
                    entry: path.display().to_string(),
                    reason: format!(
                        "overlayfs stored a {mark} mark; mount with redirect_dir=off,metacopy=off"
                    ),
                });
            }
            _ => rustix::fs::lremovexattr(path, &name)
                .map_err(ImageError::io("remove extended attribute of", path))?,
        }
    }
    Ok(())
}

/// Whether a layer below has a directory at this path. The paths of an upper directory are real paths of the merged
/// tree, so no symlink may be followed.
fn hides_something(lowers: &[fs::File], relative: &Path) -> bool {
    lowers.iter().any(|lower| {
        let how = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat2(
            lower,
            relative,
            how,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        )
        .is_ok()
    })
}

/// The names of a file's extended attributes, sorted; names that are not UTF-8 are left out.
pub(super) fn xattr_names(path: &Path) -> Result<Vec<String>> {
    let mut list = Vec::with_capacity(256);
    loop {
        match rustix::fs::llistxattr(path, spare_capacity(&mut list)) {
            Ok(_) => break,
            Err(Errno::RANGE) => list.reserve(list.capacity() * 2),
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(error) => return Err(ImageError::io("list extended attributes of", path)(error)),
        }
    }
    let mut names: Vec<String> = list
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .filter_map(|name| String::from_utf8(name.to_vec()).ok())
        .collect();
    names.sort();
    Ok(names)
}

/// The value of one extended attribute.
pub(super) fn xattr(path: &Path, name: &str) -> Result<Vec<u8>> {
    let mut value = Vec::with_capacity(256);
    loop {
        match rustix::fs::lgetxattr(path, name, spare_capacity(&mut value)) {
            Ok(_) => return Ok(value),
            Err(Errno::RANGE) => value.reserve(value.capacity() * 2),
            Err(error) => return Err(ImageError::io("read extended attribute of", path)(error)),
        }
    }
}

/// Marks a directory as hiding its lower namesakes.
pub(super) fn set_opaque(path: &Path) -> Result<()> {
    rustix::fs::lsetxattr(path, OPAQUE, b"y", XattrFlags::empty())
        .map_err(ImageError::io("make opaque", path))
}
