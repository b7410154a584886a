//! An image as its users see it, and the OCI configuration document behind it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Result;
use super::digest::Digest;
use super::error::ImageError;

/// An image on this host.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// The digest of the configuration, `sha256:<hex>`: what `docker image ls` calls IMAGE ID and CRI calls image id.
    pub id: String,
    /// Canonical names with a tag, sorted: `docker.io/library/kubia:latest`.
    pub names: Vec<String>,
    /// Canonical names with a digest, sorted: `docker.io/library/kubia@sha256:…`; only pulled or OCI images have some.
    pub digests: Vec<String>,
    /// How to run it.
    pub config: ImageConfig,
    /// Bottom first.
    pub layers: Vec<Layer>,
    /// Bytes of all files in all layers, unpacked.
    pub size: u64,
    /// When it was built, if the configuration says.
    pub created: Option<Timestamp>,
    /// For example `amd64`.
    pub architecture: String,
    /// For example `linux`.
    pub os: String,
}

/// What an image says about the process to run in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// In the image's order; a later entry with the same name does not occur.
    pub env: Vec<(String, String)>,
    /// Runs before `cmd`; empty if the image has none.
    pub entrypoint: Vec<String>,
    /// Arguments of the entry point, or the command itself.
    pub cmd: Vec<String>,
    /// `None` means `/`.
    pub working_dir: Option<String>,
    /// `name|uid[:group|gid]`; `None` means root.
    pub user: Option<String>,
    /// `SIGTERM`, `15`, `RTMIN+3`; `None` means SIGTERM.
    pub stop_signal: Option<String>,
    /// Absolute paths in the container.
    pub volumes: BTreeSet<String>,
    /// `8080/tcp`.
    pub exposed_ports: BTreeSet<String>,
    /// As given by LABEL.
    pub labels: BTreeMap<String, String>,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Digest of the uncompressed archive; names the unpacked directory.
    pub diff_id: Digest,
    /// Bytes of its regular files, unpacked.
    pub size: u64,
    /// The archive as it was received; `None` for layers built here, whose archive is written again when needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
}

/// A layer archive kept as a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// Digest of the archive's bytes (compressed or not).
    pub digest: Digest,
    /// Bytes of the archive.
    pub size: u64,
    /// How the archive is compressed.
    pub compression: Compression,
}

/// How a layer archive is compressed; recognised by its first bytes, whatever its media type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// A plain tar.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// The OCI image configuration (`application/vnd.oci.image.config.v1+json`) as docker and the OCI specification write it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct ConfigFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<String>,
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) variant: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) config: RunConfig,
    pub(super) rootfs: RootFs,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) history: Vec<History>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RootFs {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self {
            kind: "layers".to_owned(),
            diff_ids: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct History {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) empty_layer: bool,
}

/// The `config` member: field names are Go's, hence the capitals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RunConfig {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) user: String,
    #[serde(default, with = "keys", skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) exposed_ports: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) env: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) entrypoint: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cmd: Option<Vec<String>>,
    #[serde(default, with = "keys", skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) volumes: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) working_dir: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) labels: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stop_signal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shell: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) healthcheck: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) on_build: Option<Vec<String>>,
}

/// Sets, which Go writes as objects with empty objects for values.
mod keys {
    use std::collections::{BTreeMap, BTreeSet};

    use serde::ser::SerializeMap;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        keys: &BTreeSet<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(keys.len()))?;
        keys.iter()
            .try_for_each(|key| map.serialize_entry(key, &serde_json::Map::new()))?;
        map.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<String>, D::Error> {
        let map: Option<BTreeMap<String, serde_json::Value>> = Option::deserialize(deserializer)?;
        Ok(map.into_iter().flatten().map(|(key, _)| key).collect())
    }
}

fn null_is_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl ConfigFile {
    pub(super) fn parse(what: &str, bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes)
            .map_err(|e| ImageError::malformed(what, format!("image configuration: {e}")))
    }

    pub(super) fn run_config(&self) -> ImageConfig {
        let config = &self.config;
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut env: Vec<(String, String)> = Vec::new();
        for variable in config.env.iter().flatten() {
            let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
            match env.iter_mut().find(|(known, _)| known == name) {
                Some(known) => value.clone_into(&mut known.1),
                None => env.push((name.to_owned(), value.to_owned())),
            }
        }
        ImageConfig {
            env,
            entrypoint: config.entrypoint.clone().unwrap_or_default(),
            cmd: config.cmd.clone().unwrap_or_default(),
            working_dir: some(&config.working_dir),
            user: some(&config.user),
            stop_signal: config.stop_signal.as_deref().and_then(some),
            volumes: config.volumes.clone(),
            exposed_ports: config.exposed_ports.clone(),
            labels: config.labels.clone().unwrap_or_default(),
        }
    }
}

impl ConfigFile {
    pub(super) fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| ImageError::malformed("image configuration", e))
    }
}

impl From<&ImageConfig> for RunConfig {
    fn from(config: &ImageConfig) -> Self {
        let list = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        let env: Vec<String> = config
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        Self {
            user: config.user.clone().unwrap_or_default(),
            exposed_ports: config.exposed_ports.clone(),
            env: list(&env),
            entrypoint: list(&config.entrypoint),
            cmd: list(&config.cmd),
            volumes: config.volumes.clone(),
            working_dir: config.working_dir.clone().unwrap_or_default(),
            labels: (!config.labels.is_empty()).then(|| config.labels.clone()),
            stop_signal: config.stop_signal.clone(),
            ..Self::default()
        }
    }
}
