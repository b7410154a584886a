//! Unpacks a layer archive into a directory, overlay-ready. The archive's author is not trusted: every path is resolved
//! by the kernel with the layer as root (`openat2`, `RESOLVE_IN_ROOT`), so nothing outside it can be reached.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Uid, XattrFlags};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use super::super::Result;
use super::super::error::ImageError;
use super::attributes::{Attributes, attributes};
use super::inside::{LayerRoot, hostile, inside, is, look, marks_deletion, set_time, through};
use super::stream::{Metered, copy_sparse};
use super::tree::set_opaque;
use super::{OPAQUE_ENTRY, WHITEOUT};

/// Unpacks an uncompressed layer archive into the existing, empty directory `root`, reading `archive` to its end; answers with the
/// bytes of its regular files.
///
/// Entries may come in any order. A directory that is implied but has no entry gets mode 0755 and owner root. Names
/// containing `..` are refused; a leading `/` is ignored; symlinks inside the layer are followed inside the layer.
pub(in super::super) fn unpack(archive: impl Read, root: &Path) -> Result<u64> {
    let mut unpacker = Unpacker {
        root: LayerRoot::open(root)?,
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
    root: LayerRoot<'a>,
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
        let parent = self.root.parent_of(&path)?;
        self.root.clear(&parent, name, &path)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(&parent, name, &path, entry)?;
            }
            EntryType::Link => self.hard_link(&parent, name, &raw, entry)?,
            EntryType::Symlink => {
                let target = entry
                    .link_name_bytes()
                    .ok_or_else(|| hostile(&raw, "symlink without a target"))?;
                rustix::fs::symlinkat(&*target, &parent, name)
                    .map_err(self.root.io("create symlink", &path))?;
                self.apply(&parent, name, &path, &attributes(entry, &raw)?, true)?;
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                self.device(&parent, name, &path, entry)?;
            }
            other => {
                return Err(hostile(
                    &raw,
                    &format!("unsupported entry type {:?}", other.as_byte() as char),
                ));
            }
        }
        self.root.keep_parent(&path, parent);
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
            .map_err(self.root.io("create", path))?;
        let mut file = File::from(file);
        let expected = entry.size();
        let length = copy_sparse(&mut *entry, &mut file).map_err(self.root.io("write", path))?;
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
        let directory = self
            .root
            .directory(target.parent().unwrap_or(Path::new("")));
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
            .map_err(self.root.io("create device", path))?;
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
        self.root.forget_parent();
        let (parent, name) = match path.file_name() {
            Some(name) => (self.root.parent_of(path)?, name),
            None => (
                self.root
                    .directory(path)
                    .map_err(self.root.io("open", path))?,
                OsStr::new("."),
            ),
        };
        let existing = look(&parent, name).map_err(self.root.io("inspect", path))?;
        if !existing
            .as_ref()
            .is_some_and(|stat| is(stat, FileType::Directory))
        {
            self.root.clear(&parent, name, path)?;
            rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o700))
                .map_err(self.root.io("create directory", path))?;
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
        let parent = self.root.parent_of(path)?;
        if name.as_bytes() == OPAQUE_ENTRY {
            set_opaque(&through(&parent, OsStr::new(".")))?;
        } else if !name.as_bytes().starts_with(b".wh..wh.") {
            let hidden = OsStr::from_bytes(&name.as_bytes()[WHITEOUT.len()..]);
            if matches!(hidden.as_bytes(), b"" | b"." | b"..") {
                return Err(hostile(raw, "a whiteout of nothing"));
            }
            match look(&parent, hidden).map_err(self.root.io("inspect", path))? {
                Some(stat) if is(&stat, FileType::Directory) => {
                    set_opaque(&through(&parent, hidden))?;
                }
                Some(_) => {}
                None => rustix::fs::mknodat(
                    &parent,
                    hidden,
                    FileType::CharacterDevice,
                    Mode::empty(),
                    0,
                )
                .map_err(self.root.io("create whiteout", path))?,
            }
        }
        self.root.keep_parent(path, parent);
        Ok(())
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
        .map_err(self.root.io("change owner of", path))?;
        // After the owner, whose change takes capabilities and set-id bits away.
        for (key, value) in &attributes.xattrs {
            match rustix::fs::lsetxattr(through(parent, name), key, value, XattrFlags::empty()) {
                Err(Errno::OPNOTSUPP) => {
                    tracing::warn!(path = %path.display(), key, "file system has no such attribute");
                }
                other => other.map_err(self.root.io("set extended attribute of", path))?,
            }
        }
        if !symlink {
            rustix::fs::chmodat(
                parent,
                name,
                Mode::from_raw_mode(attributes.mode),
                AtFlags::empty(),
            )
            .map_err(self.root.io("change mode of", path))?;
        }
        set_time(parent, name, attributes.time).map_err(self.root.io("set time of", path))
    }

    fn finish(self) -> Result<u64> {
        for (path, time) in &self.directory_times {
            // A later entry may have put something else in the directory's place.
            if let Ok(directory) = self.root.directory(path) {
                set_time(&directory, OsStr::new("."), *time)
                    .map_err(self.root.io("set time of", path))?;
            }
        }
        Ok(self.size)
    }
}
