//! The parts of an image archive, wherever they lie: spooled from a tar, or in a directory.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, EntryType};

use super::Result;
use super::digest::Digest;
use super::error::ImageError;
use super::ingest::{Ingest, Spooled, hash_file, mismatch};
use super::layers::{Metered, decoder};
use super::manifest::{Descriptor, MAX_DOCUMENT};

/// Where the members of an image archive are.
pub(super) enum Source {
    Archive(HashMap<PathBuf, Member>),
    Directory(PathBuf),
}

pub(super) enum Member {
    File(Spooled),
    /// Older docker writes a shared layer once and links to it.
    Link(PathBuf),
}

/// Where a blob lies in an OCI layout.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A JSON document; a large file is refused unread.
pub(super) fn read_document(what: &str, path: &Path) -> Result<Vec<u8>> {
    let metadata = fs::metadata(path).map_err(ImageError::io("inspect", path))?;
    if metadata.len() > MAX_DOCUMENT {
        return Err(ImageError::malformed(
            what,
            format!("{} bytes are too large for a document", metadata.len()),
        ));
    }
    fs::read(path).map_err(ImageError::io("read", path))
}

impl Source {
    fn find(&self, name: &str) -> Result<Option<Spooled>> {
        let Some(mut path) = plain(Path::new(""), Path::new(name)) else {
            return Ok(None);
        };
        match self {
            Self::Directory(directory) => {
                let path = directory.join(path);
                if path.is_file() {
                    hash_file(&path).map(Some)
                } else {
                    Ok(None)
                }
            }
            Self::Archive(members) => {
                for _ in 0..8 {
                    match members.get(&path) {
                        Some(Member::File(file)) => return Ok(Some(file.clone())),
                        Some(Member::Link(target)) => path.clone_from(target),
                        None => return Ok(None),
                    }
                }
                Err(ImageError::malformed(name, "too many links in the archive"))
            }
        }
    }

    /// A member that must be there.
    pub(super) fn require(&self, name: &str) -> Result<Spooled> {
        self.find(name)?
            .ok_or_else(|| ImageError::malformed("image archive", format!("{name} is missing")))
    }

    /// A small member, read whole; `None` if it is not there.
    pub(super) fn document(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.find(name)?
            .map(|file| read_document(name, &file.path))
            .transpose()
    }

    /// A blob, verified.
    pub(super) fn blob(&self, descriptor: &Descriptor) -> Result<Spooled> {
        let name = blob_name(&descriptor.digest);
        let file = self.require(&name)?;
        if file.digest == descriptor.digest {
            Ok(file)
        } else {
            Err(mismatch(&name, &descriptor.digest, &file.digest))
        }
    }

    /// A blob that is a JSON document, verified and read whole.
    pub(super) fn blob_document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let file = self.blob(descriptor)?;
        read_document(&blob_name(&descriptor.digest), &file.path)
    }
}

/// Writes the members of an archive to staging, under numbers: their names are never paths on this host.
pub(super) fn spool_members(
    ingest: &mut Ingest,
    archive: impl Read,
) -> Result<HashMap<PathBuf, Member>> {
    let broken = |error: io::Error| ImageError::malformed("image archive", error);
    let (_, plain_tar) = decoder(BufReader::with_capacity(1 << 16, archive)).map_err(broken)?;
    let (metered, allowance) = Metered::new(plain_tar);
    let mut archive = Archive::new(metered);
    let mut members = HashMap::new();
    allowance.headers();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        allowance.content();
        let name = entry.path().map_err(broken)?.into_owned();
        let kind = entry.header().entry_type();
        if let Some(name) = plain(Path::new(""), &name) {
            let link = entry
                .link_name()
                .map_err(broken)?
                .map(std::borrow::Cow::into_owned)
                .unwrap_or_default();
            match kind {
                EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                    let expected = entry.size();
                    let file = ingest.spool(&mut entry)?;
                    if file.size != expected {
                        return Err(ImageError::malformed(
                            "image archive",
                            format!("cut short in {}", name.display()),
                        ));
                    }
                    members.insert(name, Member::File(file));
                }
                EntryType::Symlink => {
                    let target = plain(name.parent().unwrap_or(Path::new("")), &link);
                    members.extend(target.map(|target| (name, Member::Link(target))));
                }
                EntryType::Link => {
                    members.extend(
                        plain(Path::new(""), &link).map(|target| (name, Member::Link(target))),
                    );
                }
                _ => {}
            }
        }
        io::copy(&mut entry, &mut io::sink()).map_err(broken)?;
        allowance.headers();
    }
    Ok(members)
}

/// A member's path by its letters, without `.` and `..`; `None` if it leaves the archive.
fn plain(directory: &Path, path: &Path) -> Option<PathBuf> {
    let mut plain = directory.to_owned();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => plain.pop().then_some(())?,
            Component::CurDir | Component::RootDir => {}
            Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}
