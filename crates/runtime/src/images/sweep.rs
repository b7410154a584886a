//! Who stands on which layers, and the deletion of what nobody needs.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::Result;
use super::digest::Digest;
use super::error::ImageError;
use super::image::Image;
use super::index::{lock, replace};
use super::layers::delete_tree;
use super::store::ImageStore;

/// One file in `holds`, named after its owner.
#[derive(Serialize, Deserialize)]
struct Hold {
    image: Digest,
    layers: Vec<Digest>,
}

impl ImageStore {
    /// Records that `owner` (a container id: a plain file name) stands on this image, and answers with
    /// [`Self::lower_dirs`]. Its layers outlive the image until [`Self::release`]. Idempotent per owner.
    ///
    /// The rule for safe removal: hold before mounting, release after unmounting. Holds are files, so they survive
    /// restarts and bind every process.
    pub fn hold(&self, owner: &str, image: &Image) -> Result<Vec<PathBuf>> {
        let path = self.hold_path(owner)?;
        // Shared: a sweep between the look at the layers and the note of the hold would take them away.
        let _no_sweep = lock(&self.images_path("sweep.lock"), FlockOperation::LockShared)?;
        let lower = self.lower_dirs(image)?;
        let hold = Hold {
            image: Digest::try_from(image.id.clone())
                .map_err(|e| ImageError::malformed(&image.id, e))?,
            layers: image
                .layers
                .iter()
                .map(|layer| layer.diff_id.clone())
                .collect(),
        };
        let bytes = serde_json::to_vec(&hold).map_err(|e| ImageError::malformed(owner, e))?;
        replace(&path, &bytes)?;
        Ok(lower)
    }

    /// Ends the hold of `owner`, if there is one. Layers that only it kept go with the next sweep.
    pub fn release(&self, owner: &str) -> Result<()> {
        let path = self.hold_path(owner)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ImageError::io("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Deletes layers and blobs that no image and no hold needs. Does nothing while content is coming in anywhere: the
    /// next sweep finds the same.
    pub fn sweep(&self) -> Result<()> {
        let Some(_alone) = self.try_alone()? else {
            return Ok(());
        };
        self.empty_staging()?;
        let index = self.inner.index.read()?;
        let records = index.images.values().flat_map(|record| &record.layers);
        let mut layers: BTreeSet<Digest> =
            records.clone().map(|layer| layer.diff_id.clone()).collect();
        for (_, hold) in self.holds()? {
            layers.extend(hold.layers);
        }
        let blobs: BTreeSet<Digest> = records
            .filter_map(|layer| Some(layer.archive.as_ref()?.digest.clone()))
            .chain(index.images.keys().cloned())
            .collect();
        let unused = |path: &Path, used: &BTreeSet<Digest>| {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            Digest::parse(&format!("sha256:{name}")).is_none_or(|digest| !used.contains(&digest))
        };
        for path in entries(&self.layers_path())? {
            if unused(&path, &layers) {
                // Out of sight first: half a layer must never be found under its name.
                let doomed = self
                    .images_path("staging")
                    .join(path.file_name().unwrap_or_default());
                fs::rename(&path, &doomed).map_err(ImageError::io("move away", &path))?;
            }
        }
        for path in entries(&self.images_path("blobs/sha256"))? {
            if unused(&path, &blobs) {
                fs::remove_file(&path).map_err(ImageError::io("remove", &path))?;
            }
        }
        self.forget_useless_steps()?;
        self.empty_staging()
    }

    /// At the opening of a store: deletes what interrupted work left in `staging`.
    pub(super) fn clear_staging(&self) -> Result<()> {
        if entries(&self.images_path("staging"))?.is_empty() {
            return Ok(());
        }
        match self.try_alone()? {
            Some(_alone) => self.empty_staging(),
            None => Ok(()),
        }
    }

    /// The owners that hold this image, sorted.
    pub(super) fn holders(&self, image: &Digest) -> Result<Vec<String>> {
        Ok(self
            .holds()?
            .into_iter()
            .filter(|(_, hold)| hold.image == *image)
            .map(|(owner, _)| owner)
            .collect())
    }

    fn holds(&self) -> Result<Vec<(String, Hold)>> {
        let mut holds = Vec::new();
        for path in entries(&self.images_path("holds"))? {
            let Some(owner) = path
                .file_name()
                .and_then(OsStr::to_str)
                .and_then(|name| name.strip_suffix(".json"))
            else {
                continue;
            };
            match fs::read(&path) {
                Ok(bytes) => {
                    let hold = serde_json::from_slice(&bytes)
                        .map_err(|e| ImageError::malformed(path.display().to_string(), e))?;
                    holds.push((owner.to_owned(), hold));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(ImageError::io("read", &path)(error)),
            }
        }
        Ok(holds)
    }

    fn hold_path(&self, owner: &str) -> Result<PathBuf> {
        let plain = !owner.is_empty()
            && owner
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !plain {
            return Err(ImageError::malformed(
                format!("hold owner {owner:?}"),
                "not a plain file name",
            ));
        }
        Ok(self.images_path("holds").join(format!("{owner}.json")))
    }

    /// The sweep lock, exclusively, if nobody has it.
    fn try_alone(&self) -> Result<Option<fs::File>> {
        match lock(
            &self.images_path("sweep.lock"),
            FlockOperation::NonBlockingLockExclusive,
        ) {
            Ok(alone) => Ok(Some(alone)),
            Err(ImageError::Io { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn empty_staging(&self) -> Result<()> {
        entries(&self.images_path("staging"))?
            .iter()
            .try_for_each(|path| delete_tree(path))
    }
}

/// The entries of a directory, sorted.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let read = || {
        fs::read_dir(directory)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()
    };
    let mut paths = read().map_err(ImageError::io("list", directory))?;
    paths.sort();
    Ok(paths)
}
