//! Sets up a pod's volumes. Idempotent: it is called again after a restart and whenever content changed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod,
    ProjectedVolumeSource, Secret, Volume,
};
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::payload::{self, Payload};
use super::{PodDir, Source, Tokens, content, hostpath, memory, ownership, source};
use crate::container::{Facts, FieldError};
use crate::spec;

/// A volume that containers may mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadyVolume {
    /// On the host.
    pub(crate) path: PathBuf,
    /// The volume itself, whatever its mounts say.
    pub(crate) read_only: bool,
}

/// Why a volume is not ready; the text is what `FailedMount` says after the volume's name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error("{kind} \"{name}\" not found")]
    NotFound { kind: &'static str, name: String },
    #[error("{object} references non-existent config key: {key}")]
    NoKey { object: String, key: String },
    #[error("invalid path {0:?} in volume")]
    BadPath(String),
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error("volumes of type {0} are not supported by this node")]
    Unsupported(String),
    #[error("failed to fetch token: {0}")]
    Token(Box<kube::Error>),
    #[error("PersistentVolumeClaim \"{0}\" is not bound")]
    NotBound(String),
    #[error("path \"{0}\" does not exist")]
    NoPath(String),
    #[error("{0}")]
    HostPath(String),
    #[error("{step} {}: {source}", path.display())]
    Io {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("asking the API server for {kind} \"{name}\": {source}")]
    Api {
        kind: &'static str,
        name: String,
        source: Box<kube::Error>,
    },
}

impl VolumeError {
    fn io(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            step,
            path: path.to_owned(),
            source,
        }
    }
}

/// One pod's volumes being set up.
pub(crate) struct Setup<'a> {
    pub(crate) client: &'a Client,
    pub(crate) dir: &'a PodDir,
    pub(crate) pod: &'a Pod,
    pub(crate) facts: &'a Facts<'a>,
    /// The tokens the pod has already.
    pub(crate) tokens: &'a Tokens,
    /// Names new content; unique to the call.
    pub(crate) version: String,
}

impl Setup<'_> {
    /// Sets up every volume; the first failure is returned with the volume's name.
    pub(crate) async fn run(&self) -> Result<BTreeMap<String, ReadyVolume>, (String, VolumeError)> {
        let spec = spec::spec_of(self.pod);
        let mut ready = BTreeMap::new();
        for volume in spec.volumes.iter().flatten() {
            let one = self
                .one(volume)
                .await
                .map_err(|e| (volume.name.clone(), e))?;
            ready.insert(volume.name.clone(), one);
        }
        Ok(ready)
    }

    async fn one(&self, volume: &Volume) -> Result<ReadyVolume, VolumeError> {
        let name = &volume.name;
        let writable = |path| ReadyVolume {
            path,
            read_only: false,
        };
        match source(volume) {
            Source::EmptyDir(empty) => {
                let path = self.dir.volume("empty-dir", name);
                let limit = empty
                    .size_limit
                    .as_ref()
                    .and_then(|q| q.0.parse().ok())
                    .map(plinth_api::Quantity::ceil);
                if empty.medium.as_deref() == Some("Memory") {
                    memory::mount_tmpfs(&path, limit, 0o777)
                        .map_err(VolumeError::io("mount memory on", &path))?;
                } else {
                    fs::create_dir_all(&path).map_err(VolumeError::io("create", &path))?;
                }
                let open = fs::Permissions::from_mode(0o777);
                fs::set_permissions(&path, open)
                    .map_err(VolumeError::io("set permissions of", &path))?;
                self.give_to_group(&path, false)?;
                Ok(writable(path))
            }
            Source::HostPath(host) => {
                let path = PathBuf::from(&host.path);
                hostpath::prepare(&path, host.type_.as_deref().unwrap_or_default())
                    .map_err(VolumeError::HostPath)?;
                Ok(writable(path))
            }
            Source::ConfigMap(s) => {
                let payload = self
                    .config_map(&s.name, s.items.as_deref(), s.default_mode, s.optional)
                    .await?;
                self.content("configmap", name, &payload, false)
            }
            Source::Secret(s) => {
                let secret = s.secret_name.as_deref().unwrap_or_default();
                let payload = self
                    .secret(secret, s.items.as_deref(), s.default_mode, s.optional)
                    .await?;
                self.content("secret", name, &payload, true)
            }
            Source::DownwardApi(s) => {
                let items = s.items.as_deref().unwrap_or_default();
                let payload = payload::downward(items, s.default_mode, self.facts)?;
                self.content("downward-api", name, &payload, true)
            }
            Source::Projected(s) => {
                let payload = self.projected(s).await?;
                self.content("projected", name, &payload, true)
            }
            Source::Claim(claim) => self.claim(claim).await,
            Source::Unsupported(kind) => Err(VolumeError::Unsupported(kind)),
        }
    }

    /// Fills a content volume. Containers cannot write it, as upstream.
    fn content(
        &self,
        kind: &str,
        name: &str,
        payload: &Payload,
        secret: bool,
    ) -> Result<ReadyVolume, VolumeError> {
        let path = self.dir.volume(kind, name);
        if secret {
            memory::mount_tmpfs(&path, None, 0o755)
                .map_err(VolumeError::io("mount memory on", &path))?;
        }
        content::replace(&path, payload, &self.version)
            .map_err(VolumeError::io("write content of", &path))?;
        self.give_to_group(&path, true)?;
        Ok(ReadyVolume {
            path,
            read_only: true,
        })
    }

    async fn projected(&self, of: &ProjectedVolumeSource) -> Result<Payload, VolumeError> {
        let mut all = Payload::new();
        for part in of.sources.iter().flatten() {
            let files = if let Some(s) = &part.config_map {
                self.config_map(&s.name, s.items.as_deref(), of.default_mode, s.optional)
                    .await?
            } else if let Some(s) = &part.secret {
                self.secret(&s.name, s.items.as_deref(), of.default_mode, s.optional)
                    .await?
            } else if let Some(s) = &part.downward_api {
                payload::downward(
                    s.items.as_deref().unwrap_or_default(),
                    of.default_mode,
                    self.facts,
                )?
            } else if let Some(s) = &part.service_account_token {
                let token = self
                    .tokens
                    .get(self.client, self.pod, s, Timestamp::now())
                    .await
                    .map_err(|error| VolumeError::Token(Box::new(error)))?;
                payload::single(&s.path, token, of.default_mode)?
            } else {
                return Err(VolumeError::Unsupported("projected (this source)".into()));
            };
            all.extend(files);
        }
        Ok(all)
    }

    async fn config_map(
        &self,
        name: &str,
        items: Option<&[k8s_openapi::api::core::v1::KeyToPath]>,
        mode: Option<i32>,
        optional: Option<bool>,
    ) -> Result<Payload, VolumeError> {
        let optional = optional == Some(true);
        let data = match self.get::<ConfigMap>("configmap", name).await {
            Ok(map) => payload::config_map_data(&map),
            Err(VolumeError::NotFound { .. }) if optional => BTreeMap::new(),
            Err(e) => return Err(e),
        };
        payload::project(
            data,
            items,
            mode,
            optional,
            &format!("configmap \"{name}\""),
        )
    }

    async fn secret(
        &self,
        name: &str,
        items: Option<&[k8s_openapi::api::core::v1::KeyToPath]>,
        mode: Option<i32>,
        optional: Option<bool>,
    ) -> Result<Payload, VolumeError> {
        let optional = optional == Some(true);
        let data = match self.get::<Secret>("secret", name).await {
            Ok(secret) => payload::secret_data(&secret),
            Err(VolumeError::NotFound { .. }) if optional => BTreeMap::new(),
            Err(e) => return Err(e),
        };
        payload::project(data, items, mode, optional, &format!("secret \"{name}\""))
    }

    async fn claim(
        &self,
        of: &PersistentVolumeClaimVolumeSource,
    ) -> Result<ReadyVolume, VolumeError> {
        let kind = "persistentvolumeclaim";
        let claim: PersistentVolumeClaim = self.get(kind, &of.claim_name).await?;
        let bound = claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
        let volume_name = claim
            .spec
            .as_ref()
            .and_then(|s| s.volume_name.clone())
            .filter(|_| bound);
        let volume_name =
            volume_name.ok_or_else(|| VolumeError::NotBound(of.claim_name.clone()))?;
        let volume: PersistentVolume = self.get_cluster("persistentvolume", &volume_name).await?;
        let source = volume.spec.clone().unwrap_or_default();
        let read_only = of.read_only == Some(true)
            || source
                .access_modes
                .as_ref()
                .is_some_and(|m| !m.is_empty() && m.iter().all(|m| m == "ReadOnlyMany"));
        let path = if let Some(host) = &source.host_path {
            let path = PathBuf::from(&host.path);
            hostpath::prepare(&path, host.type_.as_deref().unwrap_or_default())
                .map_err(VolumeError::HostPath)?;
            path
        } else if let Some(local) = &source.local {
            let path = PathBuf::from(&local.path);
            if !path.exists() {
                return Err(VolumeError::NoPath(local.path.clone()));
            }
            self.give_to_group(&path, read_only)?;
            path
        } else {
            return Err(VolumeError::Unsupported(format!(
                "that PersistentVolume {volume_name} names"
            )));
        };
        Ok(ReadyVolume { path, read_only })
    }

    /// Host paths are nobody's to give away; every other kind goes to the pod's `fsGroup`, if it has one.
    fn give_to_group(&self, path: &Path, read_only: bool) -> Result<(), VolumeError> {
        let context = self
            .pod
            .spec
            .as_ref()
            .and_then(|s| s.security_context.as_ref());
        let Some(group) = context
            .and_then(|c| c.fs_group)
            .and_then(|g| u32::try_from(g).ok())
        else {
            return Ok(());
        };
        let lazy =
            context.and_then(|c| c.fs_group_change_policy.as_deref()) == Some("OnRootMismatch");
        ownership::give_to_group(path, group, read_only, lazy)
            .map_err(VolumeError::io("change the group of", path))
    }

    async fn get<K>(&self, kind: &'static str, name: &str) -> Result<K, VolumeError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        found(
            kind,
            name,
            Api::namespaced(self.client.clone(), namespace)
                .get_opt(name)
                .await,
        )
    }

    async fn get_cluster<K>(&self, kind: &'static str, name: &str) -> Result<K, VolumeError>
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        found(
            kind,
            name,
            Api::all(self.client.clone()).get_opt(name).await,
        )
    }
}

fn found<K>(
    kind: &'static str,
    name: &str,
    answer: kube::Result<Option<K>>,
) -> Result<K, VolumeError> {
    match answer {
        Ok(Some(object)) => Ok(object),
        Ok(None) => Err(VolumeError::NotFound {
            kind,
            name: name.to_owned(),
        }),
        Err(source) => Err(VolumeError::Api {
            kind,
            name: name.to_owned(),
            source: Box::new(source),
        }),
    }
}
