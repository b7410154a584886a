//! What a COPY takes: finds it, lists it in a fixed order and hashes it. Changes nothing.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use sha2::{Digest as _, Sha256};

use super::pattern::{Ignore, component, has_wildcard};
use super::tree::{Tree, kind, look, names, plain};

/// What one COPY takes. Holds paths, not open files: a wildcard may fit more files than a process may open.
pub(super) struct Sources<'t> {
    tree: &'t Tree,
    pub(super) items: Vec<Item>,
}

/// One source: a path in the tree, perhaps a symlink to what is meant.
pub(super) enum Item {
    File {
        path: PathBuf,
        stat: Stat,
    },
    /// The content of a directory, parents before children, names sorted.
    Directory {
        path: PathBuf,
        stat: Stat,
        nodes: Vec<Node>,
    },
}

/// Something below a copied directory.
pub(super) struct Node {
    /// Relative to the directory.
    pub(super) path: PathBuf,
    pub(super) stat: Stat,
}

/// Finds the sources of a COPY in `tree`, in the order written; wildcards give their matches sorted.
///
/// # Errors
/// A text that names the source.
pub(super) fn find<'t>(
    tree: &'t Tree,
    ignore: &Ignore,
    words: &[String],
) -> Result<Sources<'t>, String> {
    let mut items = Vec::new();
    for word in words {
        let path = plain(Path::new(word))
            .ok_or_else(|| format!("{word:?} is outside of the build context"))?;
        let paths = if has_wildcard(word) {
            matches(tree, ignore, &path)?
        } else {
            vec![path]
        };
        let before = items.len();
        for path in paths {
            let failed = |error: io::Error| format!("{}: {error}", path.display());
            let stat = tree.stat(&path).map_err(failed)?;
            // A directory may be ignored and yet contain something that is not.
            let is_directory = stat
                .as_ref()
                .is_some_and(|stat| kind(stat) == FileType::Directory);
            if ignore.ignores(&path) && !(is_directory && ignore.has_exceptions()) {
                continue;
            }
            match stat {
                None => {}
                Some(stat) if is_directory => {
                    let root = tree
                        .directory(&path)
                        .map_err(failed)?
                        .ok_or_else(|| format!("{}: vanished", path.display()))?;
                    let mut nodes = Vec::new();
                    list(&root, Path::new(""), &path, ignore, &mut nodes).map_err(failed)?;
                    items.push(Item::Directory { path, stat, nodes });
                }
                Some(stat) if kind(&stat) == FileType::RegularFile => {
                    items.push(Item::File { path, stat });
                }
                Some(_) => {
                    return Err(format!(
                        "{}: neither a file nor a directory",
                        path.display()
                    ));
                }
            }
        }
        if items.len() == before {
            let hint = if ignore.ignores(&plain(Path::new(word)).unwrap_or_default()) {
                " (excluded by .dockerignore)"
            } else {
                ""
            };
            return Err(format!("{word:?} not found{hint}"));
        }
    }
    Ok(Sources { tree, items })
}

/// The paths that fit a pattern, component by component.
fn matches(tree: &Tree, ignore: &Ignore, pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![PathBuf::new()];
    for part in pattern {
        let part = part.to_string_lossy();
        let regex = component(&part)?;
        let mut next = Vec::new();
        for directory in found {
            let failed = |error: io::Error| format!("{}: {error}", directory.display());
            let Some(open) = tree.directory(&directory).map_err(failed)? else {
                continue;
            };
            let fitting = names(&open)
                .map_err(failed)?
                .into_iter()
                .filter(|name| regex.is_match(name.as_bytes()));
            next.extend(fitting.map(|name| directory.join(name)));
        }
        found = next;
    }
    found.retain(|path| !ignore.ignores(path) || ignore.has_exceptions());
    Ok(found)
}

fn list(
    directory: &OwnedFd,
    below: &Path,
    context: &Path,
    ignore: &Ignore,
    nodes: &mut Vec<Node>,
) -> io::Result<()> {
    for name in names(directory)? {
        let path = below.join(&name);
        let ignored = ignore.ignores(&context.join(&path));
        let Some(stat) = look(directory, &name)? else {
            continue;
        };
        if kind(&stat) == FileType::Directory {
            if ignored && !ignore.has_exceptions() {
                continue;
            }
            let how = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let child = rustix::fs::openat(directory, &name, how, Mode::empty())?;
            let place = nodes.len();
            nodes.push(Node {
                path: path.clone(),
                stat,
            });
            list(&child, &path, context, ignore, nodes)?;
            if ignored && nodes.len() == place + 1 {
                // Nothing below was brought back.
                nodes.pop();
            }
        } else if !ignored && kind(&stat) != FileType::Socket {
            nodes.push(Node { path, stat });
        }
    }
    Ok(())
}

/// Opens a regular file that [`find`] listed.
pub(super) fn open(root: &OwnedFd, path: &Path) -> io::Result<File> {
    let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(File::from(rustix::fs::openat2(
        root,
        path,
        how,
        Mode::empty(),
        resolve,
    )?))
}

/// Where a symlink that [`find`] listed points to.
pub(super) fn target(root: &OwnedFd, path: &Path) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(root, path, Vec::new())?.into_bytes())
}

impl Sources<'_> {
    /// A source that is a file.
    pub(super) fn file(&self, path: &Path) -> io::Result<File> {
        self.tree.file(path)
    }

    /// A source that is a directory.
    pub(super) fn directory(&self, path: &Path) -> io::Result<OwnedFd> {
        self.tree
            .directory(path)?
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Hashes what a copy would take over: paths, kinds, modes and content, but not times; owners if they are kept.
    pub(super) fn hash(&self, keep_owners: bool) -> io::Result<[u8; 32]> {
        let mut hash = Sha256::new();
        for item in &self.items {
            match item {
                Item::File { path, stat } => {
                    describe(
                        &mut hash,
                        path.file_name().unwrap_or_default().as_bytes(),
                        stat,
                        keep_owners,
                    );
                    io::copy(&mut self.file(path)?, &mut hash)?;
                }
                Item::Directory { path, stat, nodes } => {
                    describe(&mut hash, b"/", stat, keep_owners);
                    let root = self.directory(path)?;
                    for node in nodes {
                        describe(
                            &mut hash,
                            node.path.as_os_str().as_bytes(),
                            &node.stat,
                            keep_owners,
                        );
                        match kind(&node.stat) {
                            FileType::RegularFile => {
                                io::copy(&mut open(&root, &node.path)?, &mut hash)?;
                            }
                            FileType::Symlink => hash.update(target(&root, &node.path)?),
                            _ => hash.update(node.stat.st_rdev.to_le_bytes()),
                        }
                    }
                }
            }
        }
        Ok(hash.finalize().into())
    }
}

fn describe(hash: &mut Sha256, name: &[u8], stat: &Stat, keep_owners: bool) {
    hash.update((name.len() as u64).to_le_bytes());
    hash.update(name);
    hash.update(stat.st_mode.to_le_bytes());
    if kind(stat) == FileType::RegularFile {
        hash.update(stat.st_size.to_le_bytes());
    }
    if keep_owners {
        hash.update(stat.st_uid.to_le_bytes());
        hash.update(stat.st_gid.to_le_bytes());
    }
}
