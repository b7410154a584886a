//! The one way content enters the store: it is made in a staging directory, then published all at once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FlockOperation;

use super::Result;
use super::digest::{Digest, Hashing};
use super::error::ImageError;
use super::image::{Archive, Image, Layer};
use super::index::{Record, lock, sync_directory};
use super::layers::{decoder, delete_tree, sniff, tidy_upper, unpack, write_canonical};
use super::store::ImageStore;

/// Work in progress. Dropping it without [`Ingest::publish`] leaves nothing behind; being killed leaves a staging
/// directory that the next [`ImageStore::open`] or sweep deletes.
pub(super) struct Ingest {
    store: ImageStore,
    directory: PathBuf,
    next: u64,
    /// Made here; an image may mention one layer several times.
    taken: BTreeMap<Digest, Layer>,
    /// Not yet at their places.
    layers: BTreeMap<Digest, PathBuf>,
    blobs: BTreeMap<Digest, PathBuf>,
    /// Shared: as long as somebody brings content in, nobody sweeps.
    _no_sweep: File,
}

/// A file in staging whose digest is known.
#[derive(Debug, Clone)]
pub(super) struct Spooled {
    pub(super) path: PathBuf,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// An image about to exist.
pub(super) struct NewImage {
    /// The configuration document; its digest becomes the id.
    pub(super) config: Vec<u8>,
    /// Bottom first.
    pub(super) layers: Vec<Layer>,
    /// Index keys.
    pub(super) names: Vec<String>,
}

impl Ingest {
    pub(super) fn begin(store: &ImageStore) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let no_sweep = lock(&store.images_path("sweep.lock"), FlockOperation::LockShared)?;
        let now = jiff::Timestamp::now().as_nanosecond();
        let name = format!(
            "{}-{now}-{}",
            process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let directory = store.images_path("staging").join(name);
        fs::create_dir(&directory).map_err(ImageError::io("create directory", &directory))?;
        Ok(Self {
            store: store.clone(),
            directory,
            next: 0,
            taken: BTreeMap::new(),
            layers: BTreeMap::new(),
            blobs: BTreeMap::new(),
            _no_sweep: no_sweep,
        })
    }

    /// A new path in the staging directory.
    pub(super) fn path(&mut self) -> PathBuf {
        self.next += 1;
        self.directory.join(self.next.to_string())
    }

    /// Writes a stream to a staging file.
    pub(super) fn spool(&mut self, reader: impl Read) -> Result<Spooled> {
        let path = self.path();
        let file = File::create(&path).map_err(ImageError::io("create", &path))?;
        let mut hashing = Hashing::new(reader);
        io::copy(&mut hashing, &mut &file).map_err(ImageError::io("write", &path))?;
        let (_, digest, size) = hashing.finish();
        Ok(Spooled { path, digest, size })
    }

    /// Takes in a layer archive (a spooled file, or a file of somebody else's, which is copied): verifies its diff id,
    /// unpacks it unless the layer is here already, and keeps the archive for exports.
    ///
    /// `expected` is what the image's configuration says; without one, the layer is whatever it is.
    pub(super) fn archive(
        &mut self,
        archive: &Spooled,
        expected: Option<&Digest>,
        what: &str,
    ) -> Result<Layer> {
        if let Some(diff_id) = expected
            && let Some(known) = self.known_layer(diff_id)?
        {
            return Ok(known);
        }
        let open = || File::open(&archive.path).map_err(ImageError::io("open", &archive.path));
        let compression =
            sniff(&mut BufReader::new(open()?)).map_err(|e| ImageError::malformed(what, e))?;
        let root = self.path();
        fs::create_dir(&root).map_err(ImageError::io("create directory", &root))?;
        let (_, plain) = decoder(BufReader::with_capacity(1 << 16, open()?))
            .map_err(|e| ImageError::malformed(what, e))?;
        let mut hashing = Hashing::new(plain);
        let size = unpack(&mut hashing, &root)?;
        let (_, diff_id, _) = hashing.finish();
        if let Some(expected) = expected.filter(|expected| **expected != diff_id) {
            delete_tree(&root)?;
            return Err(mismatch(what, expected, &diff_id));
        }
        self.layers.insert(diff_id.clone(), root);
        let path = if archive.path.starts_with(&self.directory) {
            archive.path.clone()
        } else {
            let copy = self.spool(open()?)?;
            if copy.digest != archive.digest {
                return Err(mismatch(what, &archive.digest, &copy.digest));
            }
            copy.path
        };
        self.blobs.insert(archive.digest.clone(), path);
        let archive = Archive {
            digest: archive.digest.clone(),
            size: archive.size,
            compression,
        };
        Ok(self.take(Layer {
            diff_id,
            size,
            archive: Some(archive),
        }))
    }

    /// Makes a directory in staging that overlayfs or a copy has filled into a layer. `lowers` are the layers below it,
    /// top first.
    pub(super) fn seal(&mut self, upper: PathBuf, lowers: &[PathBuf]) -> Result<Layer> {
        tidy_upper(&upper, lowers)?;
        let mut hashing = Hashing::new(io::sink());
        let size = write_canonical(&upper, &mut hashing)?;
        let (_, diff_id, _) = hashing.finish();
        if let Some(known) = self.known_layer(&diff_id)? {
            delete_tree(&upper)?;
            return Ok(known);
        }
        self.layers.insert(diff_id.clone(), upper);
        Ok(self.take(Layer {
            diff_id,
            size,
            archive: None,
        }))
    }

    /// Makes the layers and blobs taken in so far durable and moves them to their places, where the builder finds them
    /// again. They live on only if an image is published that mentions them.
    pub(super) fn settle(&mut self) -> Result<()> {
        if self.layers.is_empty() && self.blobs.is_empty() {
            return Ok(());
        }
        let directory =
            File::open(&self.directory).map_err(ImageError::io("open", &self.directory))?;
        rustix::fs::syncfs(&directory).map_err(ImageError::io("flush", &self.directory))?;
        for (diff_id, staged) in std::mem::take(&mut self.layers) {
            move_unless_there(&staged, &self.store.layer_path(&diff_id))?;
        }
        for (digest, staged) in std::mem::take(&mut self.blobs) {
            move_unless_there(&staged, &self.store.blob_path(&digest))?;
        }
        sync_directory(&self.store.layers_path())?;
        sync_directory(&self.store.images_path("blobs/sha256"))
    }

    /// Makes the images exist, all or none, together with the layers taken in so far.
    pub(super) fn publish(mut self, images: Vec<NewImage>) -> Result<Vec<Image>> {
        for image in &images {
            let config = self.spool(image.config.as_slice())?;
            self.blobs.insert(config.digest, config.path);
        }
        self.settle()?;
        self.store.inner.index.change(|index| {
            let mut ids = Vec::new();
            for image in images {
                let id = Digest::of(&image.config);
                index.images.entry(id.clone()).or_insert(Record {
                    layers: image.layers,
                });
                index
                    .names
                    .extend(image.names.into_iter().map(|name| (name, id.clone())));
                ids.push(id);
            }
            ids.iter().map(|id| self.store.load(index, id)).collect()
        })
    }

    fn take(&mut self, layer: Layer) -> Layer {
        self.taken.insert(layer.diff_id.clone(), layer.clone());
        layer
    }

    /// What is known of a layer that is here already: made earlier in this work, or part of an image.
    pub(super) fn known_layer(&self, diff_id: &Digest) -> Result<Option<Layer>> {
        if let Some(taken) = self.taken.get(diff_id) {
            return Ok(Some(taken.clone()));
        }
        if !self.store.layer_path(diff_id).is_dir() {
            return Ok(None);
        }
        let index = self.store.inner.index.read()?;
        Ok(index
            .images
            .values()
            .flat_map(|record| &record.layers)
            .find(|layer| layer.diff_id == *diff_id)
            .cloned())
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if let Err(error) = delete_tree(&self.directory) {
            tracing::warn!(%error, "staging directory stays until the next sweep");
        }
    }
}

/// Content-addressed: what is there already is the same.
fn move_unless_there(staged: &Path, place: &Path) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, staged, CWD, place, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        other => other.map_err(ImageError::io("move into place", place)),
    }
}

pub(super) fn mismatch(what: &str, expected: &Digest, found: &Digest) -> ImageError {
    ImageError::DigestMismatch {
        what: what.to_owned(),
        expected: expected.clone(),
        found: found.clone(),
    }
}

/// The digest and size of an existing file.
pub(super) fn hash_file(path: &Path) -> Result<Spooled> {
    let mut file = File::open(path).map_err(ImageError::io("open", path))?;
    file.rewind().map_err(ImageError::io("rewind", path))?;
    let mut hashing = Hashing::new(file);
    io::copy(&mut hashing, &mut io::sink()).map_err(ImageError::io("read", path))?;
    let (_, digest, size) = hashing.finish();
    Ok(Spooled {
        path: path.to_owned(),
        digest,
        size,
    })
}
