//! A kind as this server holds it: its description, its schema, the shape of its bytes and its live objects.

use std::sync::Arc;

use plinth_api::{Gvk, Resource, TypeSchema, catalogue, schema_of};

use crate::cache::KindCache;
use crate::encode::Layout;

/// One served kind.
pub(crate) struct Kind {
    pub(crate) resource: &'static Resource,
    pub(crate) schema: &'static TypeSchema,
    pub(crate) gvk: Gvk,
    /// How objects of this kind are written as bytes.
    pub(crate) layout: Layout,
    /// The live objects.
    pub(crate) cache: KindCache,
    /// First segment of storage keys: `pods`, `statefulsets.apps`.
    pub(crate) storage: String,
}

/// Every served kind, in the catalogue's order.
pub(crate) struct Kinds(Vec<Arc<Kind>>);

/// A kind of the catalogue has no schema, which only a wrong build can cause.
#[derive(Debug, thiserror::Error)]
#[error("there is no schema for {0}")]
pub(crate) struct NoSchema(String);

impl Kinds {
    /// The catalogue, with empty caches.
    pub(crate) fn new() -> Result<Self, NoSchema> {
        let kind = |resource: &'static Resource| {
            let schema =
                schema_of(resource.group, resource.version, resource.kind).ok_or_else(|| {
                    NoSchema(format!(
                        "{}, kind {}",
                        resource.api_version(),
                        resource.kind
                    ))
                })?;
            Ok(Arc::new(Kind {
                resource,
                schema,
                gvk: Gvk::of(resource.group, resource.version, resource.kind),
                layout: Layout::of(resource),
                cache: KindCache::default(),
                storage: resource.group_resource(),
            }))
        };
        catalogue()
            .iter()
            .map(kind)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.0.iter()
    }

    /// The kind served at this path.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.0.iter().find(|k| {
            k.resource.plural == plural
                && k.resource.group == group
                && k.resource.version == version
        })
    }

    /// The kind of a storage key's first segment.
    pub(crate) fn stored_as(&self, storage: &str) -> Option<&Arc<Kind>> {
        self.0.iter().find(|k| k.storage == storage)
    }

    /// Whether any kind is served in this group and version.
    pub(crate) fn serves(&self, group: &str, version: &str) -> bool {
        self.0
            .iter()
            .any(|k| k.resource.group == group && k.resource.version == version)
    }

    /// A kind of the core group that this server itself needs.
    pub(crate) fn core(&self, plural: &str) -> Option<&Arc<Kind>> {
        self.find("", "v1", plural)
    }
}

impl Kind {
    /// The storage key of an object; cluster-wide objects have an empty namespace.
    pub(crate) fn key(&self, namespace: &str, name: &str) -> String {
        format!("{}/{namespace}/{name}", self.storage)
    }
}

/// The parts of a storage key: storage segment, namespace, name.
pub(crate) fn split_key(key: &str) -> Option<(&str, &str, &str)> {
    let (storage, rest) = key.split_once('/')?;
    let (namespace, name) = rest.split_once('/')?;
    Some((storage, namespace, name))
}
