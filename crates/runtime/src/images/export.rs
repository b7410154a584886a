//! Images to files: one tar that is both an OCI layout and a `docker save` archive. The same images give the same bytes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};

use rustix::fs::FlockOperation;
use serde::Serialize;
use tar::{Builder, EntryType, Header};

use super::Result;
use super::digest::{Digest, Hashing};
use super::error::ImageError;
use super::image::{Compression, Image, Layer};
use super::index::lock;
use super::ingest::mismatch;
use super::layers::write_canonical;
use super::manifest::{
    Descriptor, ImageIndex, Manifest, NAME_ANNOTATION, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST,
    Platform, REF_ANNOTATION,
};
use super::name::ImageName;
use super::store::ImageStore;

/// One image of `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl ImageStore {
    /// Writes the images as one archive that `docker load`, [`ImageStore::import`] and OCI tools read. An image asked for by
    /// a tag has that tag in the archive; one asked for by id or digest has none.
    pub fn export(&self, names: &[&str], to: impl Write) -> Result<()> {
        // Shared: layers must not be swept away while they are read.
        let _no_sweep = lock(&self.images_path("sweep.lock"), FlockOperation::LockShared)?;
        let mut writer = Writer {
            store: self,
            tar: Builder::new(to),
            written: BTreeSet::new(),
        };
        let mut docker: Vec<DockerImage> = Vec::new();
        let mut index = ImageIndex {
            schema_version: 2,
            media_type: OCI_INDEX.to_owned(),
            manifests: Vec::new(),
        };
        for name in names {
            let image = self.inspect(name)?;
            let tag = ImageName::parse(name)
                .ok()
                .filter(|tag| image.names.contains(&tag.key()));
            let (manifest, descriptor) = writer.image(&image, tag.as_ref())?;
            index.manifests.push(descriptor);
            let config = path_of(&manifest.config.digest);
            let familiar = tag.map(|tag| tag.familiar());
            match docker.iter_mut().find(|known| known.config == config) {
                Some(known) => known.repo_tags.get_or_insert_default().extend(familiar),
                None => docker.push(DockerImage {
                    config,
                    repo_tags: familiar.map(|name| vec![name]),
                    layers: manifest
                        .layers
                        .iter()
                        .map(|layer| path_of(&layer.digest))
                        .collect(),
                }),
            }
        }
        writer.document("index.json", &index)?;
        writer.document("manifest.json", &docker)?;
        writer.document(
            "oci-layout",
            &serde_json::json!({"imageLayoutVersion": "1.0.0"}),
        )?;
        writer
            .tar
            .into_inner()
            .and_then(|mut to| to.flush())
            .map_err(broken("finish"))
    }
}

struct Writer<'a, W: Write> {
    store: &'a ImageStore,
    tar: Builder<W>,
    written: BTreeSet<Digest>,
}

impl<W: Write> Writer<'_, W> {
    /// Writes what the image consists of; answers with its manifest and the manifest's descriptor.
    fn image(&mut self, image: &Image, tag: Option<&ImageName>) -> Result<(Manifest, Descriptor)> {
        let layers = image
            .layers
            .iter()
            .map(|layer| self.layer(layer))
            .collect::<Result<_>>()?;
        let config = self.store.config_json(image)?;
        let config = self.blob(OCI_CONFIG, &config)?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: OCI_MANIFEST.to_owned(),
            config,
            layers,
        };
        let bytes =
            serde_json::to_vec(&manifest).map_err(|e| ImageError::malformed("manifest", e))?;
        let mut descriptor = self.blob(OCI_MANIFEST, &bytes)?;
        descriptor.platform = Some(Platform {
            architecture: image.architecture.clone(),
            os: image.os.clone(),
            variant: None,
        });
        descriptor.annotations = tag.map(|tag| {
            let reference = tag.tag().unwrap_or_default().to_owned();
            [
                (NAME_ANNOTATION.to_owned(), tag.to_string()),
                (REF_ANNOTATION.to_owned(), reference),
            ]
            .into()
        });
        Ok((manifest, descriptor))
    }

    fn layer(&mut self, layer: &Layer) -> Result<Descriptor> {
        if let Some(archive) = &layer.archive {
            if self.written.insert(archive.digest.clone()) {
                let path = self.store.blob_path(&archive.digest);
                let file = File::open(&path).map_err(ImageError::io("open", &path))?;
                self.member(&path_of(&archive.digest), archive.size, file)?;
            }
            return Ok(descriptor(
                archive.compression.layer_media_type(),
                &archive.digest,
                archive.size,
            ));
        }
        // A tar member's length comes before its content: once through for the length, once more for the content.
        let root = self.store.layer_path(&layer.diff_id);
        let mut measure = Hashing::new(io::sink());
        write_canonical(&root, &mut measure)?;
        let (_, digest, size) = measure.finish();
        if digest != layer.diff_id {
            return Err(mismatch(
                &format!("layer directory {}", root.display()),
                &layer.diff_id,
                &digest,
            ));
        }
        if self.written.insert(digest.clone()) {
            let mut header = header(&path_of(&digest), size)?;
            header.set_cksum();
            let to = self.tar.get_mut();
            to.write_all(header.as_bytes())
                .map_err(broken("write layer of"))?;
            write_canonical(&root, &mut *to)?;
            let padding = usize::try_from(size.next_multiple_of(512) - size).unwrap_or(0);
            to.write_all(&[0; 512][..padding])
                .map_err(broken("write layer of"))?;
        }
        Ok(descriptor(
            Compression::None.layer_media_type(),
            &digest,
            size,
        ))
    }

    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let digest = Digest::of(bytes);
        if self.written.insert(digest.clone()) {
            self.member(&path_of(&digest), bytes.len() as u64, bytes)?;
        }
        Ok(descriptor(media_type, &digest, bytes.len() as u64))
    }

    fn document(&mut self, name: &str, document: &impl Serialize) -> Result<()> {
        let bytes = serde_json::to_vec(document).map_err(|e| ImageError::malformed(name, e))?;
        self.member(name, bytes.len() as u64, bytes.as_slice())
    }

    fn member(&mut self, name: &str, size: u64, content: impl Read) -> Result<()> {
        let mut header = header(name, size)?;
        header.set_cksum();
        self.tar
            .append(&header, content)
            .map_err(broken("write member of"))
    }
}

fn header(name: &str, size: u64) -> Result<Header> {
    let mut header = Header::new_ustar();
    header.set_path(name).map_err(broken("name a member of"))?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    Ok(header)
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: digest.clone(),
        size,
        platform: None,
        annotations: None,
    }
}

fn path_of(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn broken(step: &'static str) -> impl FnOnce(io::Error) -> ImageError {
    ImageError::io(step, "image archive")
}
