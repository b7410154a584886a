//! What a container sees of its pod's volumes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Container;
use plinth_runtime::{Mount, MountPropagation};

use super::setup::ReadyVolume;
use super::subpath;
use crate::container::{ConfigError, expand};

/// The mounts of one container, outer paths before inner ones.
pub(crate) fn container_mounts(
    container: &Container,
    volumes: &BTreeMap<String, ReadyVolume>,
    env: &[(String, String)],
) -> Result<Vec<Mount>, ConfigError> {
    let mut mounts = Vec::new();
    for asked in container.volume_mounts.iter().flatten() {
        let volume = volumes
            .get(&asked.name)
            .ok_or_else(|| ConfigError::Mount(format!("volume {} is not set up", asked.name)))?;
        let lookup = |name: &str| {
            env.iter()
                .rev()
                .find(|(k, _)| k == name)
                .map(|(_, v)| v.clone())
        };
        let sub = match (&asked.sub_path_expr, &asked.sub_path) {
            (Some(text), _) if !text.is_empty() => Some(expand(text, lookup)),
            (_, Some(text)) if !text.is_empty() => Some(text.clone()),
            _ => None,
        };
        let host_path = match sub {
            Some(sub) => subpath::resolve(&volume.path, &sub).map_err(ConfigError::Mount)?,
            None => volume.path.clone(),
        };
        mounts.push(Mount {
            host_path,
            container_path: PathBuf::from(&asked.mount_path),
            read_only: volume.read_only || asked.read_only == Some(true),
            propagation: match asked.mount_propagation.as_deref() {
                Some("HostToContainer") => MountPropagation::HostToContainer,
                Some("Bidirectional") => MountPropagation::Bidirectional,
                _ => MountPropagation::Private,
            },
        });
    }
    mounts.sort_by_key(|m| m.container_path.components().count());
    Ok(mounts)
}
