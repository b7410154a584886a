//! The documents that tie an image together: OCI and docker manifests, indexes and descriptors. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Result;
use super::digest::Digest;
use super::error::ImageError;
use super::image::Compression;

/// Larger documents are refused unread.
pub(super) const MAX_DOCUMENT: u64 = 8 * 1024 * 1024;

pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(super) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(super) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// A complete image name, written by containerd and docker.
pub(super) const NAME_ANNOTATION: &str = "io.containerd.image.name";
/// A tag by the OCI specification; a complete name as podman writes it.
pub(super) const REF_ANNOTATION: &str = "org.opencontainers.image.ref.name";

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: Digest,
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Platform {
    pub(super) architecture: String,
    pub(super) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) variant: Option<String>,
}

/// One image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u32,
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// Several images, or one image for several platforms.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageIndex {
    pub(super) schema_version: u32,
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) manifests: Vec<Descriptor>,
}

/// What a descriptor or a registry's tag can lead to.
pub(super) enum Document {
    Manifest(Manifest),
    Index(ImageIndex),
}

impl Document {
    /// Tells manifest and index apart by their members, as the media type is optional inside the document.
    pub(super) fn parse(what: &str, bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shape {
            schema_version: Option<u32>,
            manifests: Option<serde::de::IgnoredAny>,
            layers: Option<serde::de::IgnoredAny>,
        }
        let malformed = |e: serde_json::Error| ImageError::malformed(what, e);
        let shape: Shape = serde_json::from_slice(bytes).map_err(malformed)?;
        match (shape.schema_version, shape.manifests, shape.layers) {
            (Some(2), Some(_), None) => Ok(Self::Index(
                serde_json::from_slice(bytes).map_err(malformed)?,
            )),
            (Some(2), None, Some(_)) => Ok(Self::Manifest(
                serde_json::from_slice(bytes).map_err(malformed)?,
            )),
            (Some(1), ..) => Err(ImageError::malformed(
                what,
                "image manifest version 1 is not supported",
            )),
            _ => Err(ImageError::malformed(
                what,
                "neither an image manifest nor an image index",
            )),
        }
    }
}

impl Platform {
    /// This machine, in Go's words.
    pub(super) fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        Self {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            variant: None,
        }
    }

    fn runs_on(&self, host: &Self) -> bool {
        self.os == host.os && self.architecture == host.architecture
    }

    fn text(&self) -> String {
        let variant = self
            .variant
            .as_ref()
            .map(|variant| format!("/{variant}"))
            .unwrap_or_default();
        format!("{}/{}{variant}", self.os, self.architecture)
    }
}

impl Descriptor {
    /// Attestations ride in indexes beside the images they speak of.
    pub(super) fn is_attestation(&self) -> bool {
        let annotations = self.annotations.as_ref();
        annotations.is_some_and(|all| all.contains_key("vnd.docker.reference.type"))
            || self
                .platform
                .as_ref()
                .is_some_and(|platform| platform.os == "unknown")
    }

    /// The complete name written beside the image, if there is one. A bare tag names no repository, hence no image.
    pub(super) fn written_name(&self) -> Option<&str> {
        let annotations = self.annotations.as_ref()?;
        let reference = annotations
            .get(REF_ANNOTATION)
            .filter(|name| name.contains(['/', ':']));
        annotations
            .get(NAME_ANNOTATION)
            .or(reference)
            .map(String::as_str)
    }
}

/// Picks the entry for this machine; one that names no platform fits if no other does.
pub(super) fn for_host<'d>(what: &str, entries: &[&'d Descriptor]) -> Result<&'d Descriptor> {
    let host = Platform::host();
    let images = || {
        entries
            .iter()
            .copied()
            .filter(|entry| !entry.is_attestation())
    };
    let fitting = |entry: &&Descriptor| {
        entry
            .platform
            .as_ref()
            .is_some_and(|platform| platform.runs_on(&host))
    };
    // The variant-less entry, or amd64's and arm64's baseline, runs everywhere.
    let baseline = |entry: &&Descriptor| {
        let variant = entry
            .platform
            .as_ref()
            .and_then(|platform| platform.variant.as_deref());
        fitting(entry) && matches!(variant, None | Some("v1" | "v8"))
    };
    images()
        .find(baseline)
        .or_else(|| images().find(fitting))
        .or_else(|| images().find(|entry| entry.platform.is_none()))
        .ok_or_else(|| ImageError::NoPlatform {
            what: what.to_owned(),
            wanted: host.text(),
            offered: images()
                .filter_map(|entry| entry.platform.as_ref().map(Platform::text))
                .collect(),
        })
}

impl Compression {
    /// The OCI media type of a layer compressed so.
    pub(super) fn layer_media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// Refuses a document that is an artifact of another kind (a chart, a signature) before its layers are unpacked.
pub(super) fn expect_image(what: &str, manifest: &Manifest) -> Result<()> {
    match manifest.config.media_type.as_str() {
        "" | OCI_CONFIG | DOCKER_CONFIG => Ok(()),
        other => Err(ImageError::malformed(
            what,
            format!("not a container image but {other}"),
        )),
    }
}
