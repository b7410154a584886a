//! Which build steps were done before. A step is known by a key that says all it depends on: the step before it, the
//! instruction with its variables expanded, and the content it takes in.
//!
//! An entry never keeps a layer alive: it counts while the layer is there, and a sweep deletes it with the layer.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::super::Result;
use super::super::digest::Digest;
use super::super::error::ImageError;
use super::super::image::Layer;
use super::super::index::replace;
use super::super::store::ImageStore;

/// The key of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// The key of an image, or of `scratch`, as the ground of a stage.
    pub(super) fn base(id: &str) -> Self {
        Self(Sha256::digest(format!("plinth build 1\0{id}")).into())
    }

    /// The key of the step after this one.
    pub(super) fn then(&self, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix(self.0);
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

/// What a step gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) struct Entry {
    /// RFC 3339; a step that is found again keeps it, so that the image keeps its id.
    pub(super) created: String,
    /// `None` if the step changed no file.
    pub(super) layer: Option<Layer>,
    /// The uppermost layer after the step: the entry is of no use without it.
    top: Option<Digest>,
}

impl Entry {
    pub(super) fn new(created: String, layer: Option<Layer>, below: &[Layer]) -> Self {
        let top = layer
            .as_ref()
            .or(below.last())
            .map(|layer| layer.diff_id.clone());
        Self {
            created,
            layer,
            top,
        }
    }
}

impl ImageStore {
    pub(super) fn cached_step(&self, key: &Key) -> Result<Option<Entry>> {
        let path = self.step_path(key);
        let entry: Entry = match fs::read(&path) {
            // An entry that cannot be read is a step that was not done.
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(entry) => entry,
                Err(_) => return Ok(None),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ImageError::io("read", &path)(error)),
        };
        Ok(Some(entry).filter(|entry| self.is_useful(entry)))
    }

    pub(super) fn remember_step(&self, key: &Key, entry: &Entry) -> Result<()> {
        let directory = self.images_path("cache");
        fs::create_dir_all(&directory).map_err(ImageError::io("create directory", &directory))?;
        let bytes =
            serde_json::to_vec(entry).map_err(|e| ImageError::malformed("build cache entry", e))?;
        replace(&self.step_path(key), &bytes)
    }

    /// Part of a sweep: deletes the entries whose layers are gone.
    pub(in super::super) fn forget_useless_steps(&self) -> Result<()> {
        let directory = self.images_path("cache");
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(ImageError::io("list", &directory)(error)),
        };
        for entry in entries {
            let path = entry.map_err(ImageError::io("list", &directory))?.path();
            let bytes = fs::read(&path).map_err(ImageError::io("read", &path))?;
            if !serde_json::from_slice(&bytes).is_ok_and(|entry| self.is_useful(&entry)) {
                fs::remove_file(&path).map_err(ImageError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    fn is_useful(&self, entry: &Entry) -> bool {
        entry
            .top
            .as_ref()
            .is_none_or(|top| self.layer_path(top).is_dir())
    }

    fn step_path(&self, key: &Key) -> PathBuf {
        self.images_path("cache")
            .join(format!("{}.json", hex::encode(key.0)))
    }
}
