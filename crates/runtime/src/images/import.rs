//! Images from files: `docker save` archives, OCI archives and layouts, plain root file systems. Knows no registry.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;

use super::Result;
use super::digest::Digest;
use super::error::ImageError;
use super::image::{ConfigFile, History, Image, ImageConfig, Layer, RunConfig};
use super::ingest::{Ingest, NewImage, Spooled, hash_file, mismatch};
use super::layers::write_canonical;
use super::manifest::{Descriptor, Document, Manifest, Platform, expect_image, for_host};
use super::name::ImageName;
use super::source::{Source, blob_name, read_document, spool_members};
use super::store::ImageStore;

/// How deep indexes may lie in indexes.
const MAX_NESTING: u32 = 4;

impl ImageStore {
    /// Imports every image of a `docker save` archive or an OCI archive, compressed or not: all of them or none.
    ///
    /// Images without a name in the archive get none; [`ImageStore::tag`] gives them one by their id.
    pub fn import(&self, archive: impl Read) -> Result<Vec<Image>> {
        let mut ingest = Ingest::begin(self)?;
        let members = spool_members(&mut ingest, archive)?;
        import_from(ingest, &Source::Archive(members))
    }

    /// Imports an archive file, or a directory with an OCI layout (or an unpacked `docker save` archive) in it.
    pub fn import_path(&self, path: &Path) -> Result<Vec<Image>> {
        if path.is_dir() {
            return import_from(Ingest::begin(self)?, &Source::Directory(path.to_owned()));
        }
        self.import(File::open(path).map_err(ImageError::io("open", path))?)
    }

    /// Makes a one-layer image of a tar of a root file system, compressed or not (`docker import`). The same tar, name and
    /// configuration give the same image id.
    pub fn import_rootfs(&self, name: &str, tar: impl Read, config: &ImageConfig) -> Result<Image> {
        let name = ImageName::parse(name)?;
        let mut ingest = Ingest::begin(self)?;
        let archive = ingest.spool(tar)?;
        let layer = ingest.archive(&archive, None, "root file system archive")?;
        publish_rootfs(ingest, &name, layer, config)
    }

    /// Like [`Self::import_rootfs`], from a directory.
    pub fn import_rootfs_directory(
        &self,
        name: &str,
        root: &Path,
        config: &ImageConfig,
    ) -> Result<Image> {
        let name = ImageName::parse(name)?;
        let mut ingest = Ingest::begin(self)?;
        let path = ingest.path();
        let file = File::create(&path).map_err(ImageError::io("create", &path))?;
        write_canonical(root, io::BufWriter::new(file))?;
        let layer = ingest.archive(&hash_file(&path)?, None, "root file system")?;
        publish_rootfs(ingest, &name, layer, config)
    }
}

fn publish_rootfs(
    ingest: Ingest,
    name: &ImageName,
    layer: Layer,
    config: &ImageConfig,
) -> Result<Image> {
    let host = Platform::host();
    let mut document = ConfigFile {
        architecture: host.architecture,
        os: host.os,
        config: RunConfig::from(config),
        history: vec![History {
            comment: Some("imported root file system".to_owned()),
            ..History::default()
        }],
        ..ConfigFile::default()
    };
    document.rootfs.diff_ids.push(layer.diff_id.clone());
    let image = NewImage {
        config: document.to_json()?,
        layers: vec![layer],
        names: vec![name.key()],
    };
    ingest
        .publish(vec![image])?
        .pop()
        .ok_or_else(|| ImageError::NotFound(name.to_string()))
}

/// One image of a `docker save` archive, in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

fn import_from(mut ingest: Ingest, source: &Source) -> Result<Vec<Image>> {
    let images = if let Some(manifest) = source.document("manifest.json")? {
        let images: Vec<DockerImage> = serde_json::from_slice(&manifest)
            .map_err(|e| ImageError::malformed("manifest.json", e))?;
        images
            .into_iter()
            .map(|image| docker_image(&mut ingest, source, image))
            .collect::<Result<Vec<_>>>()?
    } else if let Some(index) = source.document("index.json")? {
        oci_images(&mut ingest, source, &index)?
    } else {
        return Err(ImageError::malformed(
            "image archive",
            "it has neither manifest.json (docker save) nor index.json (OCI)",
        ));
    };
    if images.is_empty() {
        return Err(ImageError::malformed(
            "image archive",
            "it contains no image",
        ));
    }
    ingest.publish(images)
}

fn docker_image(ingest: &mut Ingest, source: &Source, image: DockerImage) -> Result<NewImage> {
    let config = source.require(&image.config)?;
    verify_by_name(&image.config, &config)?;
    let config = read_document(&image.config, &config.path)?;
    let layers = image
        .layers
        .unwrap_or_default()
        .iter()
        .map(|path| {
            let layer = source.require(path)?;
            verify_by_name(path, &layer)?;
            Ok(layer)
        })
        .collect::<Result<Vec<_>>>()?;
    let names = image.repo_tags.unwrap_or_default();
    let names = names.iter().map(|name| Ok(ImageName::parse(name)?.key()));
    let names = names.collect::<Result<_>>()?;
    assemble(ingest, config, &layers, names)
}

fn oci_images(ingest: &mut Ingest, source: &Source, index: &[u8]) -> Result<Vec<NewImage>> {
    let Document::Index(index) = Document::parse("index.json", index)? else {
        return Err(ImageError::malformed("index.json", "not an image index"));
    };
    // Entries of one name are one image for several platforms.
    let mut by_name: BTreeMap<Option<&str>, Vec<&Descriptor>> = BTreeMap::new();
    for entry in index
        .manifests
        .iter()
        .filter(|entry| !entry.is_attestation())
    {
        by_name.entry(entry.written_name()).or_default().push(entry);
    }
    let mut images = Vec::new();
    for (name, entries) in by_name {
        let chosen = match (name, entries.as_slice()) {
            // Nameless entries without a platform are images of their own.
            (None, entries) if entries.iter().all(|entry| entry.platform.is_none()) => {
                entries.to_vec()
            }
            (_, entries) => vec![for_host(name.unwrap_or("index.json"), entries)?],
        };
        for entry in chosen {
            images.push(oci_image(ingest, source, entry, name, 0)?);
        }
    }
    Ok(images)
}

fn oci_image(
    ingest: &mut Ingest,
    source: &Source,
    entry: &Descriptor,
    name: Option<&str>,
    depth: u32,
) -> Result<NewImage> {
    let what = blob_name(&entry.digest);
    match Document::parse(&what, &source.blob_document(entry)?)? {
        Document::Index(_) if depth == MAX_NESTING => {
            Err(ImageError::malformed(what, "indexes nested too deep"))
        }
        Document::Index(index) => {
            let chosen = for_host(&what, &index.manifests.iter().collect::<Vec<_>>())?;
            oci_image(ingest, source, chosen, name, depth + 1)
        }
        Document::Manifest(manifest) => {
            expect_image(&what, &manifest)?;
            let names = name
                .map(|name| names_with_digest(name, &entry.digest))
                .transpose()?
                .unwrap_or_default();
            manifest_image(ingest, source, &manifest, names)
        }
    }
}

fn names_with_digest(name: &str, manifest: &Digest) -> Result<Vec<String>> {
    let name = ImageName::parse(name)?;
    Ok(vec![name.key(), name.with_digest(manifest.clone()).key()])
}

fn manifest_image(
    ingest: &mut Ingest,
    source: &Source,
    manifest: &Manifest,
    names: Vec<String>,
) -> Result<NewImage> {
    let config = source.blob_document(&manifest.config)?;
    let layers = manifest
        .layers
        .iter()
        .map(|layer| source.blob(layer))
        .collect::<Result<Vec<_>>>()?;
    assemble(ingest, config, &layers, names)
}

/// Takes in an image whose parts are all on disk and verified against their own digests; here the diff ids are.
fn assemble(
    ingest: &mut Ingest,
    config: Vec<u8>,
    layers: &[Spooled],
    names: Vec<String>,
) -> Result<NewImage> {
    let id = Digest::of(&config);
    let diff_ids = ConfigFile::parse(id.as_str(), &config)?.rootfs.diff_ids;
    if diff_ids.len() != layers.len() {
        let reason = format!(
            "its configuration lists {} layers, its manifest {}",
            diff_ids.len(),
            layers.len()
        );
        return Err(ImageError::malformed(format!("image {id}"), reason));
    }
    let layers = layers
        .iter()
        .zip(&diff_ids)
        .map(|(layer, diff_id)| {
            ingest.archive(
                layer,
                Some(diff_id),
                &format!("layer {diff_id} of image {id}"),
            )
        })
        .collect::<Result<_>>()?;
    Ok(NewImage {
        config,
        layers,
        names,
    })
}

/// Many archives name their members after the content's digest; then it must be true.
fn verify_by_name(path: &str, file: &Spooled) -> Result<()> {
    let stem = path.rsplit('/').next().unwrap_or(path);
    let stem = stem.strip_suffix(".json").unwrap_or(stem);
    match Digest::parse(&format!("sha256:{stem}")) {
        Some(expected) if expected != file.digest => Err(mismatch(path, &expected, &file.digest)),
        _ => Ok(()),
    }
}
