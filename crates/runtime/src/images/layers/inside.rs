//! The inside of a layer while it is unpacked. Whatever the archive names is resolved by the kernel with the layer as
//! root (`openat2`, `RESOLVE_IN_ROOT`).

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::super::Result;
use super::super::error::ImageError;
use super::tree::{delete_tree, set_opaque};

/// The directory that a layer is unpacked into.
pub(super) struct LayerRoot<'a> {
    path: &'a Path,
    fd: OwnedFd,
    /// The directory of the previous entry: archives list a directory's files one after the other.
    parent: Option<(PathBuf, OwnedFd)>,
}

impl<'a> LayerRoot<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self> {
        let how = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd =
            rustix::fs::open(path, how, Mode::empty()).map_err(ImageError::io("open", path))?;
        Ok(Self {
            path,
            fd,
            parent: None,
        })
    }

    /// The directory that contains `path`, made if it is not there.
    pub(super) fn parent_of(&mut self, path: &Path) -> Result<OwnedFd> {
        let directory = path.parent().unwrap_or(Path::new(""));
        if let Some((cached, fd)) = self.parent.take()
            && cached == directory
        {
            return Ok(fd);
        }
        match self.directory(directory) {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            other => return other.map_err(self.io("open", directory)),
        }
        let mut above = self
            .directory(Path::new(""))
            .map_err(self.io("open", Path::new("")))?;
        let mut so_far = PathBuf::new();
        for component in directory {
            so_far.push(component);
            above = match self.directory(&so_far) {
                Err(error @ (Errno::NOENT | Errno::NOTDIR)) => {
                    let stat = look(&above, component).map_err(self.io("inspect", &so_far))?;
                    let deleted = stat.as_ref().is_some_and(marks_deletion);
                    if deleted {
                        self.clear(&above, component, &so_far)?;
                    } else if stat.is_some() {
                        return Err(self.io("enter", &so_far)(error));
                    }
                    rustix::fs::mkdirat(&above, component, Mode::from_raw_mode(0o755))
                        .map_err(self.io("create directory", &so_far))?;
                    // After mkdir, whose mode the umask cuts.
                    rustix::fs::chmodat(
                        &above,
                        component,
                        Mode::from_raw_mode(0o755),
                        AtFlags::empty(),
                    )
                    .map_err(self.io("change mode of", &so_far))?;
                    if deleted {
                        set_opaque(&through(&above, component))?;
                    }
                    self.directory(&so_far)
                }
                other => other,
            }
            .map_err(self.io("open", &so_far))?;
        }
        Ok(above)
    }

    /// Remembers the directory of `path` for the next entry.
    pub(super) fn keep_parent(&mut self, path: &Path, parent: OwnedFd) {
        self.parent = Some((path.parent().unwrap_or(Path::new("")).to_owned(), parent));
    }

    /// The directory at `path`, symlinks followed inside the layer.
    pub(super) fn directory(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let how = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat2(
            &self.fd,
            path,
            how,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
    }

    /// To be called when a directory may have gone away or been replaced.
    pub(super) fn forget_parent(&mut self) {
        self.parent = None;
    }

    /// Takes away what an earlier entry made under this name: the last entry wins.
    pub(super) fn clear(&mut self, parent: &OwnedFd, name: &OsStr, path: &Path) -> Result<()> {
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => {
                self.parent = None;
                delete_tree(&through(parent, name))
            }
            Err(error) => Err(self.io("replace", path)(error)),
        }
    }

    /// For `map_err`: names the step and the path inside the layer.
    pub(super) fn io<E: Into<io::Error>>(
        &self,
        step: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> ImageError + use<E> {
        ImageError::io(step, self.path.join(path))
    }
}

/// The entry's path below the layer's root.
pub(super) fn inside(raw: &[u8]) -> Result<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(raw)).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(hostile(raw, "the path leaves the layer"));
            }
        }
    }
    Ok(path)
}

/// An entry that is refused.
pub(super) fn hostile(raw: &[u8], reason: &str) -> ImageError {
    ImageError::HostileLayer {
        entry: String::from_utf8_lossy(raw).into_owned(),
        reason: reason.to_owned(),
    }
}

pub(super) fn set_time(parent: &OwnedFd, name: &OsStr, time: Timespec) -> rustix::io::Result<()> {
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

/// What has this name in a directory, symlinks not followed.
pub(super) fn look(parent: &OwnedFd, name: &OsStr) -> rustix::io::Result<Option<Stat>> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        other => other.map(Some),
    }
}

pub(super) fn is(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}

pub(super) fn marks_deletion(stat: &Stat) -> bool {
    is(stat, FileType::CharacterDevice) && stat.st_rdev == 0
}

/// A path for the calls that take no directory descriptor; goes through the open directory, not through the tree.
pub(super) fn through(parent: &OwnedFd, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd")
        .join(parent.as_raw_fd().to_string())
        .join(name)
}
