//! Which kind of volume a specification means. Pure.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, DownwardAPIVolumeSource, EmptyDirVolumeSource, HostPathVolumeSource,
    PersistentVolumeClaimVolumeSource, ProjectedVolumeSource, SecretVolumeSource, Volume,
};

/// A volume's source, of the kinds this node knows.
#[derive(Debug, PartialEq)]
pub(crate) enum Source<'a> {
    EmptyDir(&'a EmptyDirVolumeSource),
    HostPath(&'a HostPathVolumeSource),
    ConfigMap(&'a ConfigMapVolumeSource),
    Secret(&'a SecretVolumeSource),
    DownwardApi(&'a DownwardAPIVolumeSource),
    Projected(&'a ProjectedVolumeSource),
    Claim(&'a PersistentVolumeClaimVolumeSource),
    /// The name of the field that holds the source.
    Unsupported(String),
}

/// The source of `volume`; one without any is an empty directory, as the API defaults it.
pub(crate) fn source(volume: &Volume) -> Source<'_> {
    const EMPTY: &EmptyDirVolumeSource = &EmptyDirVolumeSource {
        medium: None,
        size_limit: None,
    };
    if let Some(source) = &volume.empty_dir {
        Source::EmptyDir(source)
    } else if let Some(source) = &volume.host_path {
        Source::HostPath(source)
    } else if let Some(source) = &volume.config_map {
        Source::ConfigMap(source)
    } else if let Some(source) = &volume.secret {
        Source::Secret(source)
    } else if let Some(source) = &volume.downward_api {
        Source::DownwardApi(source)
    } else if let Some(source) = &volume.projected {
        Source::Projected(source)
    } else if let Some(source) = &volume.persistent_volume_claim {
        Source::Claim(source)
    } else {
        let object = serde_json::to_value(volume).unwrap_or_default();
        let kind = object
            .as_object()
            .and_then(|o| o.keys().find(|k| *k != "name").cloned());
        kind.map_or(Source::EmptyDir(EMPTY), Source::Unsupported)
    }
}
