//! Puts the sources of a COPY into the merged tree of a build.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::sources::{Item, Sources, open, target};
use super::tree::{Tree, kind, look, plain};

/// How to copy.
pub(super) struct Rules {
    /// For everything copied and every directory made. Without it, owners are kept (`keep_owners`) or root.
    pub(super) owner: Option<(u32, u32)>,
    /// For everything copied; without it, the source's.
    pub(super) mode: Option<u32>,
    /// What comes from another image keeps its owner; what comes from the build context belongs to root.
    pub(super) keep_owners: bool,
}

/// Copies `sources` to `destination`, an absolute path as written (a final `/` means a directory).
///
/// # Errors
/// A text for the author of the Dockerfile.
pub(super) fn copy(
    tree: &Tree,
    sources: &Sources<'_>,
    destination: &str,
    rules: &Rules,
) -> Result<(), String> {
    let items = &sources.items;
    let path = plain(Path::new(destination))
        .ok_or_else(|| format!("destination {destination:?} leaves the root directory"))?;
    let failed = |error: io::Error| format!("{destination}: {error}");
    let slash = destination.ends_with('/') || destination.ends_with("/.");
    let is_directory = slash || tree.directory(&path).map_err(failed)?.is_some();
    if items.len() > 1 && !is_directory {
        return Err(
            "with more than one source file, the destination must be a directory and end with a /"
                .to_owned(),
        );
    }
    let newest = items
        .iter()
        .map(|item| modified(stat_of(item)))
        .max_by_key(|time| (time.tv_sec, time.tv_nsec));
    let mut copier = Copier {
        tree,
        rules,
        times: BTreeMap::new(),
        time: newest.unwrap_or(Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }),
    };
    for item in items {
        match item {
            Item::File { path: from, stat } => {
                let place = if is_directory {
                    path.join(from.file_name().unwrap_or_default())
                } else {
                    path.clone()
                };
                let parent = place.parent().unwrap_or(Path::new(""));
                let directory = copier.ensure(parent).map_err(failed)?;
                let name = place
                    .file_name()
                    .ok_or_else(|| format!("{destination}: not a file name"))?;
                let file = sources
                    .file(from)
                    .map_err(|e| format!("{}: {e}", from.display()))?;
                copier
                    .file(&directory, name, file, stat)
                    .map_err(|e| format!("{}: {e}", place.display()))?;
            }
            Item::Directory {
                path: from,
                nodes,
                stat,
            } => {
                let root = sources
                    .directory(from)
                    .map_err(|e| format!("{}: {e}", from.display()))?;
                copier.directory(&path, stat).map_err(failed)?;
                for node in nodes {
                    let place = path.join(&node.path);
                    copier
                        .node(&root, &node.path, &node.stat, &place)
                        .map_err(|e| format!("{}: {e}", place.display()))?;
                }
            }
        }
    }
    copier.finish().map_err(failed)
}

/// Makes a directory and what is missing above it, owned by root; answers whether anything was missing.
pub(super) fn make_directory(tree: &Tree, path: &Path) -> Result<bool, String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    if tree.directory(path).map_err(failed)?.is_some() {
        return Ok(false);
    }
    let rules = Rules {
        owner: None,
        mode: None,
        keep_owners: false,
    };
    let mut copier = Copier {
        tree,
        rules: &rules,
        times: BTreeMap::new(),
        time: Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
    };
    copier.ensure(path).map_err(failed)?;
    copier.finish().map_err(failed)?;
    Ok(true)
}

struct Copier<'a> {
    tree: &'a Tree,
    rules: &'a Rules,
    /// The time each directory written to gets in the end: making something in a directory changes its time, and a layer
    /// must not depend on when it was made.
    times: BTreeMap<PathBuf, Timespec>,
    /// For directories that no source speaks of.
    time: Timespec,
}

impl Copier<'_> {
    /// The directory at `path`, about to be written to; made, like those above it, if it is not there.
    fn ensure(&mut self, path: &Path) -> io::Result<OwnedFd> {
        if let Some(directory) = self.tree.directory(path)? {
            self.keep_time(path, &directory)?;
            return Ok(directory);
        }
        let mut so_far = PathBuf::new();
        let mut above = self.existing(&so_far)?;
        for name in path {
            so_far.push(name);
            if let Some(directory) = self.tree.directory(&so_far)? {
                above = directory;
                continue;
            }
            self.keep_time(so_far.parent().unwrap_or(Path::new("")), &above)?;
            rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o755))?;
            above = self.existing(&so_far)?;
            let (uid, gid) = self.rules.owner.unwrap_or((0, 0));
            rustix::fs::fchown(&above, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            // After mkdir, whose mode the umask cuts.
            rustix::fs::fchmod(&above, Mode::from_raw_mode(0o755))?;
            self.times.insert(so_far.clone(), self.time);
        }
        Ok(above)
    }

    fn existing(&self, path: &Path) -> io::Result<OwnedFd> {
        self.tree
            .directory(path)?
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn keep_time(&mut self, path: &Path, directory: &OwnedFd) -> io::Result<()> {
        if !self.times.contains_key(path) {
            self.times
                .insert(path.to_owned(), modified(&rustix::fs::fstat(directory)?));
        }
        Ok(())
    }

    /// A directory that a source speaks of. One that is there keeps its owner and mode.
    fn directory(&mut self, path: &Path, source: &Stat) -> io::Result<()> {
        if let Some(existing) = self.tree.directory(path)? {
            return self.keep_time(path, &existing);
        }
        let directory = self.ensure(path)?;
        let (uid, gid) = self.owner(source);
        rustix::fs::fchown(&directory, Some(uid), Some(gid))?;
        rustix::fs::fchmod(&directory, self.mode(source))?;
        self.times.insert(path.to_owned(), modified(source));
        Ok(())
    }

    fn node(&mut self, root: &OwnedFd, from: &Path, source: &Stat, to: &Path) -> io::Result<()> {
        if kind(source) == FileType::Directory {
            return self.directory(to, source);
        }
        let directory = self.ensure(to.parent().unwrap_or(Path::new("")))?;
        let name = to.file_name().unwrap_or_default();
        if kind(source) == FileType::RegularFile {
            return self.file(&directory, name, open(root, from)?, source);
        }
        make_room(&directory, name)?;
        if kind(source) == FileType::Symlink {
            rustix::fs::symlinkat(target(root, from)?, &directory, name)?;
        } else {
            rustix::fs::mknodat(
                &directory,
                name,
                kind(source),
                Mode::from_raw_mode(0o600),
                source.st_rdev,
            )?;
            rustix::fs::chmodat(&directory, name, self.mode(source), AtFlags::empty())?;
        }
        let (uid, gid) = self.owner(source);
        rustix::fs::chownat(
            &directory,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        Ok(rustix::fs::utimensat(
            &directory,
            name,
            &times(modified(source)),
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    fn file(
        &self,
        directory: &OwnedFd,
        name: &OsStr,
        mut from: File,
        source: &Stat,
    ) -> io::Result<()> {
        make_room(directory, name)?;
        let how =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut to = File::from(rustix::fs::openat(
            directory,
            name,
            how,
            Mode::from_raw_mode(0o600),
        )?);
        io::copy(&mut from, &mut to)?;
        let (uid, gid) = self.owner(source);
        rustix::fs::fchown(&to, Some(uid), Some(gid))?;
        copy_capabilities(&from, &to)?;
        rustix::fs::fchmod(&to, self.mode(source))?;
        Ok(rustix::fs::futimens(&to, &times(modified(source)))?)
    }

    fn owner(&self, source: &Stat) -> (Uid, Gid) {
        let kept = if self.rules.keep_owners {
            (source.st_uid, source.st_gid)
        } else {
            (0, 0)
        };
        let (uid, gid) = self.rules.owner.unwrap_or(kept);
        (Uid::from_raw(uid), Gid::from_raw(gid))
    }

    fn mode(&self, source: &Stat) -> Mode {
        Mode::from_raw_mode(self.rules.mode.unwrap_or(source.st_mode & 0o7777))
    }

    fn finish(self) -> io::Result<()> {
        for (path, time) in &self.times {
            rustix::fs::futimens(self.existing(path)?, &times(*time))?;
        }
        Ok(())
    }
}

/// Takes away what a file is about to replace; a directory is not replaced.
fn make_room(directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match look(directory, name)? {
        Some(stat) if kind(&stat) == FileType::Directory => Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "a directory is there, and a file cannot replace it",
        )),
        Some(_) => Ok(rustix::fs::unlinkat(directory, name, AtFlags::empty())?),
        None => Ok(()),
    }
}

/// The rights that a program has beyond its user's.
fn copy_capabilities(from: &File, to: &File) -> io::Result<()> {
    const CAPABILITY: &str = "security.capability";
    let mut value = Vec::with_capacity(64);
    match rustix::fs::fgetxattr(from, CAPABILITY, rustix::buffer::spare_capacity(&mut value)) {
        Ok(_) => Ok(rustix::fs::fsetxattr(
            to,
            CAPABILITY,
            &value,
            rustix::fs::XattrFlags::empty(),
        )?),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn stat_of(item: &Item) -> &Stat {
    match item {
        Item::File { stat, .. } | Item::Directory { stat, .. } => stat,
    }
}

fn modified(stat: &Stat) -> Timespec {
    Timespec {
        tv_sec: stat.st_mtime,
        tv_nsec: stat.st_mtime_nsec.try_into().unwrap_or(0),
    }
}

fn times(time: Timespec) -> Timestamps {
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
