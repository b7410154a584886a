//! Unpacks a layer archive into a directory, overlay-ready. The archive's author is not trusted: every path is resolved
//! by the kernel with the layer as root (`openat2`, `RESOLVE_IN_ROOT`), so nothing outside it can be reached.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use super::super::Result;
use super::super::error::ImageError;
use super::attributes::{Attributes, attributes};
use super::stream::{Metered, copy_sparse};
use super::tree::{delete_tree, set_opaque};
use super::{OPAQUE_ENTRY, WHITEOUT};

/// Unpacks an uncompressed layer archive into the existing, empty directory `root`, reading `archive` to its end; answers with the
/// bytes of its regular files.
///
/// Entries may come in any order. A directory that is implied but has no entry gets mode 0755 and owner root. Names
/// containing `..` are refused; a leading `/` is ignored; symlinks inside the layer are followed inside the layer.
pub(in super::super) fn unpack(archive: impl Read, root: &Path) -> Result<u64> {
    let fd = rustix::fs::open(
        root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(ImageError::io("open", root))?;
    let mut unpacker = Unpacker {
        path: root,
        root: fd,
        parent: None,
        directory_times: BTreeMap::new(),
        size: 0,
    };
    let (metered, allowance) = Metered::new(archive);
    let mut archive = Archive::new(metered);
    let broken = |error: io::Error| ImageError::malformed("layer archive", error);
    allowance.headers();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        allowance.content();
        unpacker.entry(&mut entry)?;
        io::copy(&mut entry, &mut io::sink()).map_err(broken)?;
        allowance.headers();
    }
    allowance.content();
    // What follows the end marker counts for the digest.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    unpacker.finish()
}

struct Unpacker<'a> {
    path: &'a Path,
    root: OwnedFd,
    /// The directory of the previous entry: archives list a directory's files one after the other.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Set at the end, because every file made in a directory changes its time.
    directory_times: BTreeMap<PathBuf, Timespec>,
    size: u64,
}

impl Unpacker<'_> {
    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<()> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
            return Ok(());
        }
        let raw = entry.path_bytes().into_owned();
        let path = inside(&raw)?;
        let Some(name) = path.file_name() else {
            return if kind.is_dir() {
                self.directory(Path::new(""), entry)
            } else {
                Err(hostile(&raw, "no file name"))
            };
        };
        if path
            .iter()
            .rev()
            .skip(1)
            .any(|above| above.as_bytes().starts_with(WHITEOUT))
        {
            return Err(hostile(&raw, "a whiteout cannot contain anything"));
        }
        if name.as_bytes().starts_with(WHITEOUT) {
            return self.whiteout(&raw, &path, name);
        }
        if kind.is_dir() {
            return self.directory(&path, entry);
        }
        let parent = self.parent_of(&path)?;
        self.clear(&parent, name, &path)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(&parent, name, &path, entry)?
            }
            EntryType::Link => self.hard_link(&parent, name, &raw, entry)?,
            EntryType::Symlink => {
                let target = entry
                    .link_name_bytes()
                    .ok_or_else(|| hostile(&raw, "symlink without a target"))?;
                rustix::fs::symlinkat(&*target, &parent, name)
                    .map_err(self.io("create symlink", &path))?;
                self.apply(&parent, name, &path, &attributes(entry, &raw)?, true)?;
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                self.device(&parent, name, &path, entry)?
            }
            other => {
                return Err(hostile(
                    &raw,
                    &format!("unsupported entry type {:?}", other.as_byte() as char),
                ));
            }
        }
        self.keep_parent(&path, parent);
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &Path,
        entry: &mut Entry<'_, R>,
    ) -> Result<()> {
        let attributes = attributes(entry, path.as_os_str().as_bytes())?;
        let how =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, name, how, Mode::from_raw_mode(0o600))
            .map_err(self.io("create", path))?;
        let mut file = File::from(file);
        let expected = entry.size();
        let length = copy_sparse(&mut *entry, &mut file).map_err(self.io("write", path))?;
        if length != expected {
            return Err(ImageError::malformed(
                "layer archive",
                format!("cut short in {}", path.display()),
            ));
        }
        self.size += length;
        self.apply(parent, name, path, &attributes, false)
    }

    fn hard_link<R: Read>(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        raw: &[u8],
        entry: &Entry<'_, R>,
    ) -> Result<()> {
        let target = entry
            .link_name_bytes()
            .ok_or_else(|| hostile(raw, "hard link without a target"))?;
        let target = inside(&target)?;
        let target_name = target
            .file_name()
            .ok_or_else(|| hostile(raw, "hard link to the root"))?;
        let directory = self.open_directory(target.parent().unwrap_or(Path::new("")));
        directory
            .and_then(|directory| {
                rustix::fs::linkat(&directory, target_name, parent, name, AtFlags::empty())
            })
            .map_err(|error| hostile(raw, &format!("hard link to {}: {error}", target.display())))
    }

    fn device<R: Read>(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &Path,
        entry: &mut Entry<'_, R>,
    ) -> Result<()> {
        let kind = match entry.header().entry_type() {
            EntryType::Char => FileType::CharacterDevice,
            EntryType::Block => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let number = |field: io::Result<Option<u32>>| field.ok().flatten().unwrap_or(0);
        let header = entry.header();
        let device =
            rustix::fs::makedev(number(header.device_major()), number(header.device_minor()));
        if kind == FileType::CharacterDevice && device == 0 {
            return Err(hostile(
                path.as_os_str().as_bytes(),
                "a character device 0:0 would hide a file of another layer",
            ));
        }
        rustix::fs::mknodat(parent, name, kind, Mode::from_raw_mode(0o600), device)
            .map_err(self.io("create device", path))?;
        self.apply(
            parent,
            name,
            path,
            &attributes(entry, path.as_os_str().as_bytes())?,
            false,
        )
    }

    fn directory<R: Read>(&mut self, path: &Path, entry: &mut Entry<'_, R>) -> Result<()> {
        let attributes = attributes(entry, path.as_os_str().as_bytes())?;
        self.parent = None;
        let (parent, name) = match path.file_name() {
            Some(name) => (self.parent_of(path)?, name),
            None => (
                self.open_directory(path).map_err(self.io("open", path))?,
                OsStr::new("."),
            ),
        };
        let existing = look(&parent, name).map_err(self.io("inspect", path))?;
        if !existing
            .as_ref()
            .is_some_and(|stat| is(stat, FileType::Directory))
        {
            self.clear(&parent, name, path)?;
            rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o700))
                .map_err(self.io("create directory", path))?;
            if existing.as_ref().is_some_and(marks_deletion) {
                set_opaque(&through(&parent, name))?;
            }
        }
        self.directory_times
            .insert(path.to_owned(), attributes.time);
        self.apply(&parent, name, path, &attributes, false)
    }

    /// Applies to the layers below only: what this layer itself has under that name stays.
    fn whiteout(&mut self, raw: &[u8], path: &Path, name: &OsStr) -> Result<()> {
        let parent = self.parent_of(path)?;
        if name.as_bytes() == OPAQUE_ENTRY {
            set_opaque(&through(&parent, OsStr::new(".")))?;
        } else if !name.as_bytes().starts_with(b".wh..wh.") {
            let hidden = OsStr::from_bytes(&name.as_bytes()[WHITEOUT.len()..]);
            if matches!(hidden.as_bytes(), b"" | b"." | b"..") {
                return Err(hostile(raw, "a whiteout of nothing"));
            }
            match look(&parent, hidden).map_err(self.io("inspect", path))? {
                Some(stat) if is(&stat, FileType::Directory) => {
                    set_opaque(&through(&parent, hidden))?
                }
                Some(_) => {}
                None => rustix::fs::mknodat(
                    &parent,
                    hidden,
                    FileType::CharacterDevice,
                    Mode::empty(),
                    0,
                )
                .map_err(self.io("create whiteout", path))?,
            }
        }
        self.keep_parent(path, parent);
        Ok(())
    }

    /// Takes away what an earlier entry made under this name: the last entry wins.
    fn clear(&mut self, parent: &OwnedFd, name: &OsStr, path: &Path) -> Result<()> {
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => {
                self.parent = None;
                delete_tree(&through(parent, name))
            }
            Err(error) => Err(self.io("replace", path)(error)),
        }
    }

    fn apply(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &Path,
        attributes: &Attributes,
        symlink: bool,
    ) -> Result<()> {
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        rustix::fs::chownat(
            parent,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(self.io("change owner of", path))?;
        // After the owner, whose change takes capabilities and set-id bits away.
        for (key, value) in &attributes.xattrs {
            match rustix::fs::lsetxattr(through(parent, name), key, value, XattrFlags::empty()) {
                Err(Errno::OPNOTSUPP) => {
                    tracing::warn!(path = %path.display(), key, "file system has no such attribute")
                }
                other => other.map_err(self.io("set extended attribute of", path))?,
            }
        }
        if !symlink {
            rustix::fs::chmodat(
                parent,
                name,
                Mode::from_raw_mode(attributes.mode),
                AtFlags::empty(),
            )
            .map_err(self.io("change mode of", path))?;
        }
        set_time(parent, name, attributes.time).map_err(self.io("set time of", path))
    }

    /// The directory that contains `path`, made if it is not there.
    fn parent_of(&mut self, path: &Path) -> Result<OwnedFd> {
        let directory = path.parent().unwrap_or(Path::new(""));
        if let Some((cached, fd)) = self.parent.take()
            && cached == directory
        {
            return Ok(fd);
        }
        match self.open_directory(directory) {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            other => return other.map_err(self.io("open", directory)),
        }
        let mut above = self
            .open_directory(Path::new(""))
            .map_err(self.io("open", Path::new("")))?;
        let mut so_far = PathBuf::new();
        for component in directory {
            so_far.push(component);
            above = match self.open_directory(&so_far) {
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
                    self.open_directory(&so_far)
                }
                other => other,
            }
            .map_err(self.io("open", &so_far))?;
        }
        Ok(above)
    }

    fn keep_parent(&mut self, path: &Path, parent: OwnedFd) {
        self.parent = Some((path.parent().unwrap_or(Path::new("")).to_owned(), parent));
    }

    fn open_directory(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let how = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat2(
            &self.root,
            path,
            how,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
    }

    fn finish(self) -> Result<u64> {
        for (path, time) in &self.directory_times {
            // A later entry may have put something else in the directory's place.
            if let Ok(directory) = self.open_directory(path) {
                set_time(&directory, OsStr::new("."), *time)
                    .map_err(self.io("set time of", path))?;
            }
        }
        Ok(self.size)
    }

    fn io<E: Into<io::Error>>(
        &self,
        step: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> ImageError + use<E> {
        ImageError::io(step, self.path.join(path))
    }
}

/// The entry's path below the layer's root.
fn inside(raw: &[u8]) -> Result<PathBuf> {
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

pub(super) fn hostile(raw: &[u8], reason: &str) -> ImageError {
    ImageError::HostileLayer {
        entry: String::from_utf8_lossy(raw).into_owned(),
        reason: reason.to_owned(),
    }
}

fn set_time(parent: &OwnedFd, name: &OsStr, time: Timespec) -> rustix::io::Result<()> {
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

fn look(parent: &OwnedFd, name: &OsStr) -> rustix::io::Result<Option<Stat>> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        other => other.map(Some),
    }
}

fn is(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}

fn marks_deletion(stat: &Stat) -> bool {
    is(stat, FileType::CharacterDevice) && stat.st_rdev == 0
}

/// A path for the calls that take no directory descriptor; goes through the open directory, not through the tree.
fn through(parent: &OwnedFd, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd")
        .join(parent.as_raw_fd().to_string())
        .join(name)
}
