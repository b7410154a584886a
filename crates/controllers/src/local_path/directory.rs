//! Makes and removes directories directly below one base directory, and never touches anything outside
//! it: no symbolic link is followed and no mount point entered. Knows nothing of volumes.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::DirBuilderExt},
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, Mode, OFlags, RenameFlags, ResolveFlags, fchmod, mkdirat, openat,
        openat2, renameat_with, unlinkat,
    },
    io::Errno,
};

/// What a volume's users may do with its root: containers run as any user (V-33).
const VOLUME_MODE: Mode = Mode::from_raw_mode(0o777);

/// Directories below this depth are moved up before they are removed, so that a deep tree costs neither
/// stack nor file descriptors.
const DEEPEST: usize = 32;

/// Why a directory could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectoryError {
    /// The path is not that of a directory directly below the base.
    #[error("{path} is not a directory directly below {base}")]
    Outside {
        /// What was asked for.
        path: PathBuf,
        /// The base.
        base: PathBuf,
    },
    /// The file system refused a step.
    #[error("{step} {path}: {source}")]
    Step {
        /// What was being done.
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
}

/// The base directory, which need not exist yet.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    path: PathBuf,
}

impl Base {
    /// A base at that absolute path.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The base's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The name of a directory directly below the base, from its full path.
    pub(crate) fn name_of(&self, path: &Path) -> Result<String, DirectoryError> {
        let below = path.strip_prefix(&self.path).ok();
        let mut parts = below.into_iter().flat_map(Path::components);
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(name)), None) => name.to_str().map(str::to_owned),
            _ => None,
        }
        .ok_or_else(|| DirectoryError::Outside {
            path: path.to_owned(),
            base: self.path.clone(),
        })
    }

    /// Makes a directory that everybody may write to. One that exists is left as it is but for its mode.
    pub(crate) fn create(&self, name: &str) -> Result<(), DirectoryError> {
        self.name_of(&self.path.join(name))?;
        // The volumes are open to every user who can reach them, so only root may pass the base.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(|source| DirectoryError::Step {
                step: "create",
                path: self.path.clone(),
                source,
            })?;
        let base = self.open()?;
        match mkdirat(&base, name, VOLUME_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.failed("create", name, errno)),
        }
        let directory =
            beneath(base.as_fd(), name).map_err(|errno| self.failed("open", name, errno))?;
        fchmod(&directory, VOLUME_MODE)
            .map_err(|errno| self.failed("change the mode of", name, errno))
    }

    /// Removes a directory with everything in it. One that does not exist counts as removed.
    pub(crate) fn remove(&self, name: &str) -> Result<(), DirectoryError> {
        self.name_of(&self.path.join(name))?;
        let base = match self.open() {
            Err(DirectoryError::Step { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                return Ok(());
            }
            opened => opened?,
        };
        remove_tree(base.as_fd(), name).map_err(|errno| self.failed("remove", name, errno))
    }

    fn open(&self) -> Result<OwnedFd, DirectoryError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, &self.path, flags, Mode::empty()).map_err(|errno| DirectoryError::Step {
            step: "open",
            path: self.path.clone(),
            source: errno.into(),
        })
    }

    fn failed(&self, step: &'static str, name: &str, errno: Errno) -> DirectoryError {
        DirectoryError::Step {
            step,
            path: self.path.join(name),
            source: errno.into(),
        }
    }
}

/// Opens a directory that is really inside `parent`: not a link, not another file system.
fn beneath<P: rustix::path::Arg>(parent: BorrowedFd<'_>, name: P) -> Result<OwnedFd, Errno> {
    openat2(
        parent,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
    )
}

/// Removes an entry of the base and all below it; an absent one counts as removed.
fn remove_tree(base: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
    match unlinkat(base, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    }
    let root = beneath(base, name)?;
    Removal {
        top: root.as_fd(),
        moved: 0,
    }
    .empty(&root, 0)?;
    unlinkat(base, name, AtFlags::REMOVEDIR)
}

/// One removal under way.
struct Removal<'a> {
    /// The volume's root, to which directories that lie too deep are moved.
    top: BorrowedFd<'a>,
    /// How many were moved, which numbers the next one.
    moved: u64,
}

impl Removal<'_> {
    /// Removes everything in a directory. What others remove meanwhile is as good as removed.
    fn empty(&mut self, directory: &OwnedFd, depth: usize) -> Result<(), Errno> {
        // A directory that grew while it was read, by a move or by a writer, is read again.
        loop {
            let entries = entries(directory)?;
            if entries.is_empty() {
                return Ok(());
            }
            for name in entries {
                match unlinkat(directory, &name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(Errno::ISDIR) if depth < DEEPEST => {
                        let inner = beneath(directory.as_fd(), &name)?;
                        self.empty(&inner, depth + 1)?;
                        unlinkat(directory, &name, AtFlags::REMOVEDIR)?;
                    }
                    Err(Errno::ISDIR) => self.move_up(directory, &name)?,
                    Err(errno) => return Err(errno),
                }
            }
        }
    }

    fn move_up(&mut self, parent: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
        loop {
            let free = format!(".removing-{}", self.moved);
            self.moved += 1;
            match renameat_with(parent, name, self.top, &free, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                done => return done,
            }
        }
    }
}

fn entries(directory: &OwnedFd) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
