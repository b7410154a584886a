//! The index file: which images exist and their names. Replaced atomically, changed only under its lock.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::Result;
use super::digest::Digest;
use super::error::ImageError;
use super::image::Layer;

/// The whole truth about which images there are.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    /// By image id, the digest of the configuration blob.
    pub(super) images: BTreeMap<Digest, Record>,
    /// By [`super::ImageName::key`]; several names may mean one image.
    pub(super) names: BTreeMap<String, Digest>,
}

/// What the configuration blob does not say.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// Bottom first, as many as the configuration has diff ids.
    pub(super) layers: Vec<Layer>,
}

impl Index {
    pub(super) fn names_of<'a>(&'a self, id: &'a Digest) -> impl Iterator<Item = &'a String> {
        self.names
            .iter()
            .filter(move |(_, image)| *image == id)
            .map(|(name, _)| name)
    }

    /// Forgets an image and all its names.
    pub(super) fn forget(&mut self, id: &Digest) {
        self.images.remove(id);
        self.names.retain(|_, image| image != id);
    }
}

/// The directory of the index and its locks.
#[derive(Debug)]
pub(super) struct IndexFile {
    directory: PathBuf,
}

impl IndexFile {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("index.json")
    }

    /// The index as it is now. Needs no lock: the file is only ever replaced whole.
    pub(super) fn read(&self) -> Result<Index> {
        let path = self.path();
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|e| ImageError::malformed(format!("image index {}", path.display()), e)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Index::default()),
            Err(error) => Err(ImageError::io("read", &path)(error)),
        }
    }

    /// Changes the index; no other process changes it meanwhile. An error of `change` leaves it as it was.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Index) -> Result<T>) -> Result<T> {
        let _lock = lock(
            &self.directory.join("index.lock"),
            FlockOperation::LockExclusive,
        )?;
        let mut index = self.read()?;
        let answer = change(&mut index)?;
        let bytes =
            serde_json::to_vec(&index).map_err(|e| ImageError::malformed("image index", e))?;
        replace(&self.path(), &bytes)?;
        Ok(answer)
    }
}

/// Takes a flock(2) on `path`; dropping the file releases it.
pub(super) fn lock(path: &Path, operation: FlockOperation) -> Result<File> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(ImageError::io("open lock file", path))?;
    loop {
        match flock(&file, operation) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(|()| file).map_err(ImageError::io("lock", path)),
        }
    }
}

/// Makes `path` contain `bytes`, whole or not at all, also across a power cut.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new).map_err(ImageError::io("create", &new))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(ImageError::io("write", &new))?;
    fs::rename(&new, path).map_err(ImageError::io("replace", path))?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Makes renames inside a directory durable.
pub(super) fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(ImageError::io("flush", directory))
}
