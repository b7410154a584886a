//! The door of the image store: find, list, name and remove images. Content comes in through [`super::ingest`].

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Result;
use super::digest::Digest;
use super::error::ImageError;
use super::image::{ConfigFile, Image};
use super::index::{Index, IndexFile};
use super::name::ImageName;

/// The images under one directory. Cheap to clone; any number of stores, in any number of processes, may work on the
/// same directory at once.
#[derive(Debug, Clone)]
pub struct ImageStore {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    root: PathBuf,
    pub(super) index: IndexFile,
}

/// What [`ImageStore::remove`] took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names that no longer mean an image.
    pub untagged: Vec<String>,
    /// The image's id, if it was its last name or it was removed by id.
    pub deleted: Option<String>,
}

impl ImageStore {
    /// Opens, or creates, the store under `root` (`<data>/runtime`) and clears away what interrupted work left there.
    ///
    /// # Errors
    /// [`ImageError::Io`] if the directories cannot be made.
    pub fn open(root: &Path) -> Result<Self> {
        let images = root.join("images");
        for directory in [
            images.join("blobs/sha256"),
            images.join("holds"),
            images.join("staging"),
            root.join("layers"),
        ] {
            fs::create_dir_all(&directory)
                .map_err(ImageError::io("create directory", &directory))?;
        }
        for private in [&images, &root.join("layers")] {
            // Layers contain set-id programs and other people's secrets; overlayfs reads them with the mounter's rights.
            fs::set_permissions(private, fs::Permissions::from_mode(0o700))
                .map_err(ImageError::io("change mode of", private))?;
        }
        let root = fs::canonicalize(root).map_err(ImageError::io("resolve", root))?;
        let index = IndexFile::new(root.join("images"));
        let store = Self {
            inner: Arc::new(Inner { root, index }),
        };
        store.clear_staging()?;
        Ok(store)
    }

    /// Finds an image by short or complete name, by name with digest, by id (`sha256:…`) or by a prefix of the id's hex
    /// digits. A name wins over an id prefix. `Ok(None)`: well-formed, but not on this host.
    ///
    /// # Errors
    /// [`ImageError::InvalidName`], [`ImageError::Ambiguous`], or the store cannot be read.
    pub fn resolve(&self, name: &str) -> Result<Option<Image>> {
        let index = self.inner.index.read()?;
        find(&index, name)?
            .map(|id| self.load(&index, &id))
            .transpose()
    }

    /// Like [`Self::resolve`], but absence is [`ImageError::NotFound`]: the data of `image inspect`.
    pub fn inspect(&self, name: &str) -> Result<Image> {
        self.resolve(name)?
            .ok_or_else(|| ImageError::NotFound(name.to_owned()))
    }

    /// The configuration document of an image, byte for byte.
    pub fn config_json(&self, image: &Image) -> Result<Vec<u8>> {
        let id =
            Digest::try_from(image.id.clone()).map_err(|e| ImageError::malformed(&image.id, e))?;
        self.read_blob(&id)
    }

    /// All images, ordered by name, nameless ones last. One that cannot be read is left out, with a warning.
    pub fn list(&self) -> Result<Vec<Image>> {
        let index = self.inner.index.read()?;
        let readable = |id| {
            self.load(&index, id)
                .inspect_err(|error| tracing::warn!(image = %id, %error, "unreadable image"))
        };
        let mut images: Vec<Image> = index
            .images
            .keys()
            .filter_map(|id| readable(id).ok())
            .collect();
        images.sort_by(|a, b| {
            (a.names.is_empty(), &a.names, &a.id).cmp(&(b.names.is_empty(), &b.names, &b.id))
        });
        Ok(images)
    }

    /// Gives an image one more name, taking that name from whatever had it.
    pub fn tag(&self, source: &str, target: &str) -> Result<Image> {
        let name = ImageName::parse(target)?;
        if name.digest().is_some() {
            return Err(ImageError::InvalidName {
                name: target.to_owned(),
                reason: "refusing to create a tag with a digest reference".to_owned(),
            });
        }
        self.inner.index.change(|index| {
            let id = find(index, source)?.ok_or_else(|| ImageError::NotFound(source.to_owned()))?;
            index.names.insert(name.key(), id.clone());
            self.load(index, &id)
        })
    }

    /// Removes a name, and the image with its last name; or, given an id, the image.
    ///
    /// An image that somebody holds (see [`Self::hold`]) keeps its last name, and an id does not take away several names,
    /// unless `force`. A held image's layers stay on disk, whatever happens to its names, until they are released.
    ///
    /// # Errors
    /// [`ImageError::NotFound`], [`ImageError::InUse`], [`ImageError::Ambiguous`].
    pub fn remove(&self, name: &str, force: bool) -> Result<Removed> {
        let removed = self.inner.index.change(|index| {
            let id = find(index, name)?.ok_or_else(|| ImageError::NotFound(name.to_owned()))?;
            let key = ImageName::parse(name)
                .ok()
                .map(|name| name.key())
                .filter(|key| index.names.contains_key(key));
            // Digest names come with a pull, beside the tag; they do not keep an image alive.
            let tags: Vec<String> = index
                .names_of(&id)
                .filter(|name| !name.contains('@'))
                .cloned()
                .collect();
            if let Some(key) = &key
                && tags.iter().any(|tag| tag != key)
            {
                index.names.remove(key);
                return Ok(Removed {
                    untagged: vec![key.clone()],
                    deleted: None,
                });
            }
            if !force {
                let in_use = |reason| {
                    Err(ImageError::InUse {
                        image: name.to_owned(),
                        reason,
                    })
                };
                if key.is_none() && tags.len() > 1 {
                    return in_use(format!("it is also called {}", tags.join(", ")));
                }
                let holders = self.holders(&id)?;
                if !holders.is_empty() {
                    return in_use(format!("held by {}", holders.join(", ")));
                }
            }
            let untagged = index.names_of(&id).cloned().collect();
            index.forget(&id);
            Ok(Removed {
                untagged,
                deleted: Some(id.to_string()),
            })
        })?;
        if removed.deleted.is_some() {
            self.sweep()?;
        }
        Ok(removed)
    }

    /// The image's layers as overlayfs lower directories, **top first**, ready to mount.
    ///
    /// The paths stay valid as long as the image has a name or is held; see [`Self::hold`].
    pub fn lower_dirs(&self, image: &Image) -> Result<Vec<PathBuf>> {
        let paths: Vec<PathBuf> = image
            .layers
            .iter()
            .rev()
            .map(|layer| self.layer_path(&layer.diff_id))
            .collect();
        match paths.iter().find(|path| !path.is_dir()) {
            Some(missing) => Err(ImageError::malformed(
                format!("image {}", image.id),
                format!(
                    "layer {} is gone; import or pull the image again",
                    missing.display()
                ),
            )),
            None => Ok(paths),
        }
    }

    pub(super) fn load(&self, index: &Index, id: &Digest) -> Result<Image> {
        let record = index
            .images
            .get(id)
            .ok_or_else(|| ImageError::NotFound(id.to_string()))?;
        let config = ConfigFile::parse(id.as_str(), &self.read_blob(id)?)?;
        let (digests, names) = index
            .names_of(id)
            .cloned()
            .partition(|name| name.contains('@'));
        Ok(Image {
            id: id.to_string(),
            names,
            digests,
            config: config.run_config(),
            layers: record.layers.clone(),
            size: record.layers.iter().map(|layer| layer.size).sum(),
            created: config.created.as_deref().and_then(|text| text.parse().ok()),
            architecture: config.architecture,
            os: config.os,
        })
    }

    pub(super) fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.blob_path(digest);
        fs::read(&path).map_err(ImageError::io("read blob", &path))
    }

    pub(super) fn images_path(&self, below: &str) -> PathBuf {
        self.inner.root.join("images").join(below)
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.images_path("blobs/sha256").join(digest.hex())
    }

    pub(super) fn layers_path(&self) -> PathBuf {
        self.inner.root.join("layers")
    }

    pub(super) fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.layers_path().join(diff_id.hex())
    }
}

/// The id of the image that `name` means.
pub(super) fn find(index: &Index, name: &str) -> Result<Option<Digest>> {
    let parsed = ImageName::parse(name);
    if let Ok(parsed) = &parsed
        && let Some(id) = index.names.get(&parsed.key())
    {
        return Ok(Some(id.clone()));
    }
    let prefix = name.strip_prefix("sha256:").unwrap_or(name);
    let hex = !prefix.is_empty()
        && prefix.len() <= 64
        && prefix
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if hex {
        let fits: Vec<&Digest> = index
            .images
            .keys()
            .filter(|id| id.hex().starts_with(prefix))
            .collect();
        return match fits[..] {
            [] => Ok(None),
            [id] => Ok(Some(id.clone())),
            _ => Err(ImageError::Ambiguous {
                prefix: name.to_owned(),
                candidates: fits.into_iter().map(Digest::to_string).collect(),
            }),
        };
    }
    parsed.map(|_| None)
}
