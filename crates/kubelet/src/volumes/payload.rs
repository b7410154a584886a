//! The files that ConfigMaps, Secrets and the downward API put into a volume. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, DownwardAPIVolumeFile, KeyToPath, Secret};

use super::setup::VolumeError;
use crate::container::{Facts, pod_field, resource_field};
use crate::spec;

/// One file of a content volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    /// Permission bits.
    pub(crate) mode: u32,
}

/// Files by their path in the volume.
pub(crate) type Payload = BTreeMap<String, File>;

/// The keys and values of a ConfigMap, text and binary alike.
pub(crate) fn config_map_data(map: &ConfigMap) -> BTreeMap<String, Vec<u8>> {
    let text = map
        .data
        .iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.clone().into_bytes()));
    let binary = map
        .binary_data
        .iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.0.clone()));
    text.chain(binary).collect()
}

/// The keys and values of a Secret.
pub(crate) fn secret_data(secret: &Secret) -> BTreeMap<String, Vec<u8>> {
    secret
        .data
        .iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.0.clone()))
        .collect()
}

/// All keys, or the items asked for under their paths. `object` is named when a key is missing.
pub(crate) fn project(
    data: BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    default_mode: Option<i32>,
    optional: bool,
    object: &str,
) -> Result<Payload, VolumeError> {
    let default = mode(default_mode, 0o644);
    let Some(items) = items.filter(|i| !i.is_empty()) else {
        return Ok(data
            .into_iter()
            .map(|(key, bytes)| {
                (
                    key,
                    File {
                        bytes,
                        mode: default,
                    },
                )
            })
            .collect());
    };
    let mut payload = Payload::new();
    for item in items {
        match data.get(&item.key) {
            Some(bytes) => {
                let file = File {
                    bytes: bytes.clone(),
                    mode: mode(item.mode, default),
                };
                payload.insert(inside(&item.path)?, file);
            }
            None if optional => {}
            None => {
                return Err(VolumeError::NoKey {
                    object: object.to_owned(),
                    key: item.key.clone(),
                });
            }
        }
    }
    Ok(payload)
}

/// The files of the downward API.
pub(crate) fn downward(
    items: &[DownwardAPIVolumeFile],
    default_mode: Option<i32>,
    facts: &Facts<'_>,
) -> Result<Payload, VolumeError> {
    let default = mode(default_mode, 0o644);
    let pod_spec = spec::spec_of(facts.pod);
    let mut payload = Payload::new();
    for item in items {
        let value = if let Some(field) = &item.field_ref {
            pod_field(facts, &field.field_path)?
        } else if let Some(selector) = &item.resource_field_ref {
            let Some(first) = pod_spec.containers.first() else {
                continue;
            };
            resource_field(facts, first, selector)?
        } else {
            continue;
        };
        payload.insert(
            inside(&item.path)?,
            File {
                bytes: value.into_bytes(),
                mode: mode(item.mode, default),
            },
        );
    }
    Ok(payload)
}

/// One file.
pub(crate) fn single(
    path: &str,
    content: String,
    default_mode: Option<i32>,
) -> Result<Payload, VolumeError> {
    let file = File {
        bytes: content.into_bytes(),
        mode: mode(default_mode, 0o644),
    };
    Ok(Payload::from([(inside(path)?, file)]))
}

fn mode(asked: Option<i32>, default: u32) -> u32 {
    asked
        .and_then(|m| u32::try_from(m).ok())
        .map_or(default, |m| m & 0o7777)
}

/// Refuses paths that would leave the volume; the API refuses them first.
fn inside(path: &str) -> Result<String, VolumeError> {
    let bad = path.is_empty()
        || path.starts_with('/')
        || path.split('/').any(|part| part == ".." || part.is_empty());
    if bad {
        Err(VolumeError::BadPath(path.to_owned()))
    } else {
        Ok(path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(key: &str, path: &str, mode: Option<i32>) -> KeyToPath {
        KeyToPath {
            key: key.into(),
            path: path.into(),
            mode,
        }
    }

    #[test]
    fn all_keys_or_the_chosen_ones_with_their_modes() {
        let data = || {
            BTreeMap::from([
                ("a".to_owned(), b"1".to_vec()),
                ("b".to_owned(), b"2".to_vec()),
            ])
        };
        let all = project(data(), None, Some(0o400), false, "configmap \"cm\"").expect("payload");
        assert_eq!(all.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert!(all.values().all(|f| f.mode == 0o400));
        let items = [item("a", "dir/x", Some(0o755))];
        let some = project(data(), Some(&items), None, false, "configmap \"cm\"").expect("payload");
        assert_eq!(
            some.into_iter().collect::<Vec<_>>(),
            [(
                "dir/x".to_owned(),
                File {
                    bytes: b"1".to_vec(),
                    mode: 0o755
                }
            )]
        );
    }

    #[test]
    fn a_missing_key_or_an_escaping_path_is_an_error_unless_optional() {
        let none = BTreeMap::new;
        let missing = [item("z", "z", None)];
        let error =
            project(none(), Some(&missing), None, false, "configmap \"cm\"").expect_err("missing");
        assert_eq!(
            error.to_string(),
            "configmap \"cm\" references non-existent config key: z"
        );
        assert!(
            project(none(), Some(&missing), None, true, "x")
                .expect("optional")
                .is_empty()
        );
        let data = BTreeMap::from([("a".to_owned(), Vec::new())]);
        assert!(project(data, Some(&[item("a", "../x", None)]), None, false, "x").is_err());
    }
}
