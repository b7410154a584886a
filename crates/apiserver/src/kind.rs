//! A kind as this server holds it: its description, its schema, the shape of its bytes and its live objects; and
//! all kinds that are served at a moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use plinth_api::{Gvk, Resource, TypeSchema, catalogue, schema_of};

use crate::cache::KindCache;
use crate::convert::Conversion;
use crate::encode::Layout;
use crate::write::Resets;

/// One served kind.
pub(crate) struct Kind {
    pub(crate) resource: &'static Resource,
    pub(crate) schema: &'static TypeSchema,
    pub(crate) gvk: Gvk,
    /// How objects of this kind are written as bytes.
    pub(crate) layout: Layout,
    /// What its endpoints cannot change.
    pub(crate) resets: Resets,
    /// The live objects; kinds that are forms of one another share them.
    pub(crate) cache: Arc<KindCache>,
    /// First segment of storage keys: `pods`, `statefulsets.apps`.
    pub(crate) storage: String,
    /// How this kind's form and the stored one become each other; `None` when this is the only form there is.
    pub(crate) conversion: Option<Conversion>,
}

/// The kinds that one CustomResourceDefinition describes.
#[derive(Clone)]
pub(crate) struct CustomKinds {
    pub(crate) served: Vec<Arc<Kind>>,
    /// The kind in whose form objects are stored; clients need not be able to use it.
    pub(crate) stored: Arc<Kind>,
    /// `spec.conversion`.
    pub(crate) conversion: serde_json::Value,
}

/// The kinds that are served at a moment, found by path and by storage key.
struct Table {
    /// In the catalogue's order, custom kinds behind.
    all: Vec<Arc<Kind>>,
    built_in: Vec<Arc<Kind>>,
    /// By the definition's name.
    custom: BTreeMap<String, CustomKinds>,
    /// Places in `all` by plural name: few kinds share one.
    by_plural: HashMap<&'static str, Vec<usize>>,
    /// The kind in whose form objects are stored, by storage segment.
    by_storage: HashMap<String, Arc<Kind>>,
}

/// Every served kind. Reading takes the table of the moment and never waits.
pub(crate) struct Kinds {
    table: ArcSwap<Table>,
    /// Held while caches are filled from the store's events and while they are exchanged: an event that fell between
    /// would be lost.
    gate: Mutex<()>,
}

/// A kind of the catalogue has no schema, which only a wrong build can cause.
#[derive(Debug, thiserror::Error)]
#[error("there is no schema for {0}")]
pub(crate) struct NoSchema(String);

impl Kinds {
    /// The catalogue, with empty caches.
    pub(crate) fn new() -> Result<Self, NoSchema> {
        let (stored, forms): (Vec<_>, Vec<_>) = catalogue()
            .iter()
            .partition(|resource| resource.strategy.conversion().is_none());
        let mut kinds: Vec<Arc<Kind>> = Vec::with_capacity(catalogue().len());
        for resource in stored.into_iter().chain(forms) {
            let schema = schema_of(resource.group, resource.version, resource.kind);
            let missing = |what: String| NoSchema(format!("{what}, kind {}", resource.kind));
            let schema = schema.ok_or_else(|| missing(resource.api_version()))?;
            let stored = match resource.strategy.conversion() {
                None => None,
                Some(conversion) => {
                    let (group, version, plural) = conversion.stored;
                    let found = kinds.iter().find(|k| k.is(group, version, plural));
                    let hub =
                        found.ok_or_else(|| missing(format!("{group}/{version} {plural}")))?;
                    Some((hub.clone(), conversion))
                }
            };
            kinds.push(Arc::new(Kind {
                resource,
                schema,
                gvk: Gvk::of(resource.group, resource.version, resource.kind),
                layout: Layout::of(resource),
                resets: Resets::of(resource),
                cache: stored
                    .as_ref()
                    .map_or_else(Arc::default, |(hub, _)| hub.cache.clone()),
                storage: stored
                    .as_ref()
                    .map_or_else(|| resource.group_resource(), |(hub, _)| hub.storage.clone()),
                conversion: stored.map(|(hub, by)| Conversion::Form { stored: hub, by }),
            }));
        }
        let order = |kind: &Arc<Kind>| {
            catalogue()
                .iter()
                .position(|resource| std::ptr::eq(resource, kind.resource))
        };
        kinds.sort_by_key(order);
        Ok(Self {
            table: ArcSwap::from_pointee(Table::of(kinds, BTreeMap::new())),
            gate: Mutex::default(),
        })
    }

    /// Keeps the set of kinds as it is while the guard lives.
    pub(crate) fn steady(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves the kinds of a definition; `make` gets those it described before and returns `None` when they are right.
    pub(crate) fn define(
        &self,
        name: &str,
        make: impl FnOnce(Option<&CustomKinds>) -> Option<CustomKinds>,
    ) {
        let _steady = self.steady();
        let table = self.table.load_full();
        let before = table.custom.get(name);
        let Some(made) = make(before) else { return };
        let retired = before
            .map(|before| before.stored.cache.clone())
            .filter(|cache| !Arc::ptr_eq(cache, &made.stored.cache));
        let mut custom = table.custom.clone();
        custom.insert(name.to_owned(), made);
        self.table
            .store(Arc::new(Table::of(table.built_in.clone(), custom)));
        if let Some(cache) = retired {
            cache.retire();
        }
    }

    /// Serves a definition's kinds no longer and frees what they held.
    pub(crate) fn undefine(&self, name: &str) {
        let _steady = self.steady();
        let table = self.table.load_full();
        let mut custom = table.custom.clone();
        if let Some(gone) = custom.remove(name) {
            self.table
                .store(Arc::new(Table::of(table.built_in.clone(), custom)));
            gone.stored.cache.retire();
        }
    }

    /// The names of the definitions whose kinds are served.
    pub(crate) fn defined(&self) -> Vec<String> {
        self.table.load().custom.keys().cloned().collect()
    }

    /// The custom kinds clients may use.
    pub(crate) fn custom(&self) -> Vec<&'static Resource> {
        let table = self.table.load();
        let served = table.custom.values().flat_map(|kinds| &kinds.served);
        served.map(|kind| kind.resource).collect()
    }

    /// The kind in whose form a definition's objects are stored.
    pub(crate) fn stored_by(&self, definition: &str) -> Option<Arc<Kind>> {
        let table = self.table.load();
        table
            .custom
            .get(definition)
            .map(|kinds| kinds.stored.clone())
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Arc<Kind>> + use<> {
        let table = self.table.load_full();
        (0..table.all.len()).map(move |at| table.all[at].clone())
    }

    /// The kind served at this path.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        let table = self.table.load();
        let places = table.by_plural.get(plural)?;
        let mut found = places.iter().map(|at| &table.all[*at]);
        found.find(|kind| kind.is(group, version, plural)).cloned()
    }

    /// The kind in whose form the objects below a storage key's first segment are stored.
    pub(crate) fn stored_as(&self, storage: &str) -> Option<Arc<Kind>> {
        self.table.load().by_storage.get(storage).cloned()
    }

    /// Whether any kind is served in this group.
    pub(crate) fn serves_group(&self, group: &str) -> bool {
        let table = self.table.load();
        table.all.iter().any(|kind| kind.resource.group == group)
    }

    /// Whether any kind of the catalogue is in this group.
    pub(crate) fn built_in(&self, group: &str) -> bool {
        let table = self.table.load();
        table
            .built_in
            .iter()
            .any(|kind| kind.resource.group == group)
    }

    /// Whether any kind is served in this group and version.
    pub(crate) fn serves(&self, group: &str, version: &str) -> bool {
        let served =
            |kind: &Arc<Kind>| kind.resource.group == group && kind.resource.version == version;
        self.table.load().all.iter().any(served)
    }

    /// A kind of the core group that this server itself needs.
    pub(crate) fn core(&self, plural: &str) -> Option<Arc<Kind>> {
        self.find("", "v1", plural)
    }
}

impl Table {
    fn of(built_in: Vec<Arc<Kind>>, custom: BTreeMap<String, CustomKinds>) -> Self {
        let served = custom.values().flat_map(|kinds| &kinds.served);
        let all: Vec<_> = built_in.iter().chain(served).cloned().collect();
        let mut by_plural: HashMap<_, Vec<usize>> = HashMap::new();
        let mut by_storage = HashMap::new();
        for (at, kind) in all.iter().enumerate() {
            by_plural.entry(kind.resource.plural).or_default().push(at);
            if kind.is_stored() {
                by_storage.insert(kind.storage.clone(), kind.clone());
            }
        }
        for kinds in custom.values() {
            by_storage.insert(kinds.stored.storage.clone(), kinds.stored.clone());
        }
        Self {
            all,
            built_in,
            custom,
            by_plural,
            by_storage,
        }
    }
}

impl Kind {
    fn is(&self, group: &str, version: &str, plural: &str) -> bool {
        self.resource.plural == plural
            && self.resource.group == group
            && self.resource.version == version
    }

    /// The kind in whose form this kind's objects are stored.
    pub(crate) fn stored(&self) -> &Self {
        self.conversion
            .as_ref()
            .and_then(Conversion::stored)
            .map_or(self, |stored| stored)
    }

    /// Whether objects are stored in this kind's form.
    pub(crate) fn is_stored(&self) -> bool {
        self.conversion
            .as_ref()
            .and_then(Conversion::stored)
            .is_none()
    }

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
