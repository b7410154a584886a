//! Every kind of the API by its metadata alone: for controllers that treat all objects alike. Knows
//! names and scopes, not meanings.
//!
//! The kinds of the catalogue are there from the beginning; those of CustomResourceDefinitions come and go
//! with them, each with an informer of its own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, PartialObjectMeta},
};
use plinth_api::{Scope, catalogue};
use plinth_client::{Informer, Informers};

/// An object of any kind: names, owners, finalizers.
pub(crate) type Metadata = PartialObjectMeta<DynamicObject>;

/// A kind and the informer of its objects' metadata.
#[derive(Clone)]
pub(crate) struct Kind {
    pub(crate) resource: ApiResource,
    pub(crate) is_namespaced: bool,
    pub(crate) informer: Informer<Metadata>,
}

/// All kinds that can be listed, watched and deleted. Events are left out: they own nothing, and
/// nothing that owns them is worth waiting for.
#[derive(Clone)]
pub(crate) struct Kinds {
    /// By index. A kind that is gone leaves its place empty, so that an index never means another kind.
    all: Arc<RwLock<Vec<Option<Arc<Kind>>>>>,
    client: Client,
    definitions: Informer<CustomResourceDefinition>,
}

/// A kind that has come or gone.
pub(crate) enum Turn {
    Came,
    Went,
}

/// A custom kind that is served, and what ends its informer.
struct Custom {
    index: usize,
    resource: ApiResource,
    is_namespaced: bool,
    informers: Informers,
}

impl Kinds {
    /// The kinds of the catalogue, each with its informer.
    pub(crate) fn new(informers: &Informers) -> Self {
        let kinds = catalogue()
            .iter()
            .filter(|kind| kind.kind != "Event" && kind.strategy.conversion().is_none())
            .filter(|kind| {
                ["list", "watch", "delete"]
                    .iter()
                    .all(|verb| kind.verbs.contains(verb))
            })
            .map(|kind| {
                let resource = resource(kind);
                Some(Arc::new(Kind {
                    is_namespaced: kind.scope == Scope::Namespaced,
                    informer: informers.metadata(&resource),
                    resource,
                }))
            });
        Self {
            all: Arc::new(RwLock::new(kinds.collect())),
            client: informers.client().clone(),
            definitions: informers.of(),
        }
    }

    /// The kinds there are now.
    pub(crate) fn list(&self) -> Vec<(usize, Arc<Kind>)> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let kinds = all.iter().enumerate();
        kinds
            .filter_map(|(index, kind)| Some((index, kind.clone()?)))
            .collect()
    }

    /// The kind of that index; `None` when it is gone.
    pub(crate) fn get(&self, index: usize) -> Option<Arc<Kind>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.get(index)?.clone()
    }

    /// Follows the definitions of custom kinds, from now on, and tells each kind that comes or goes: the one
    /// that came before its informer has read anything, the one that went when nothing more can be read.
    pub(crate) fn follow(&self, turned: impl Fn(usize, &Arc<Kind>, &Turn) + Send + Sync + 'static) {
        let kinds = self.clone();
        let served: Mutex<HashMap<String, Custom>> = Mutex::default();
        self.definitions.on_change(move |change| {
            let name = change.latest().name_any();
            let wanted = change.new.as_deref().and_then(described);
            let mut served = lock(&served);
            let same = |held: &Custom| {
                wanted.as_ref().is_some_and(|(resource, is_namespaced)| {
                    held.resource == *resource && held.is_namespaced == *is_namespaced
                })
            };
            if served.get(&name).is_some_and(same) {
                return;
            }
            if let Some(gone) = served.remove(&name) {
                if let Some(kind) = kinds.take(gone.index) {
                    turned(gone.index, &kind, &Turn::Went);
                }
                tokio::spawn(async move { gone.informers.shutdown().await });
            }
            if let Some((resource, is_namespaced)) = wanted {
                let informers = Informers::new(kinds.client.clone());
                let kind = Arc::new(Kind {
                    informer: informers.metadata(&resource),
                    resource: resource.clone(),
                    is_namespaced,
                });
                let index = kinds.put(Arc::clone(&kind));
                turned(index, &kind, &Turn::Came);
                let custom = Custom {
                    index,
                    resource,
                    is_namespaced,
                    informers,
                };
                served.insert(name, custom);
            }
        });
    }

    fn put(&self, kind: Arc<Kind>) -> usize {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.push(Some(kind));
        all.len() - 1
    }

    fn take(&self, index: usize) -> Option<Arc<Kind>> {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.get_mut(index)?.take()
    }

    /// The kind an owner reference speaks of, in whatever version.
    pub(crate) fn of_owner(&self, owner: &OwnerReference) -> Option<(usize, Arc<Kind>)> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let mut kinds = all.iter().enumerate();
        kinds.find_map(|(index, kind)| {
            let kind = kind.as_ref()?;
            kind.is_named_by(owner).then(|| (index, Arc::clone(kind)))
        })
    }

    /// Waits until the first list of every kind there is now is in.
    pub(crate) async fn synced(&self) {
        self.definitions.synced().await;
        for (_, kind) in self.list() {
            kind.informer.synced().await;
        }
    }
}

/// Every edit under the lock leaves what it guards whole, so a poisoned lock holds good data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kind {
    /// Whether an owner reference speaks of this kind, in whatever version.
    pub(crate) fn is_named_by(&self, owner: &OwnerReference) -> bool {
        let group = owner
            .api_version
            .split_once('/')
            .map_or("", |(group, _)| group);
        self.resource.group == group && self.resource.kind == owner.kind
    }

    /// The API of this kind, in a namespace if it is namespaced.
    pub(crate) fn api(&self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        if self.is_namespaced {
            Api::namespaced_with(client.clone(), namespace, &self.resource)
        } else {
            Api::all_with(client.clone(), &self.resource)
        }
    }
}

/// Every namespaced kind whose objects can be listed and deleted, Events included.
pub(crate) fn namespaced() -> Vec<ApiResource> {
    catalogue()
        .iter()
        .filter(|kind| kind.scope == Scope::Namespaced && kind.strategy.conversion().is_none())
        .filter(|kind| {
            ["list", "deletecollection"]
                .iter()
                .all(|verb| kind.verbs.contains(verb))
        })
        .map(resource)
        .collect()
}

/// The namespaced kinds that established CustomResourceDefinitions describe, each in a version that is served.
pub(crate) async fn custom_namespaced(client: &Client) -> Result<Vec<ApiResource>, kube::Error> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definitions = definitions.list(&ListParams::default()).await?;
    let described = definitions.iter().filter_map(described);
    Ok(described
        .filter(|(_, is_namespaced)| *is_namespaced)
        .map(|(resource, _)| resource)
        .collect())
}

/// The kind that an established definition describes, and whether it is namespaced.
fn described(definition: &CustomResourceDefinition) -> Option<(ApiResource, bool)> {
    let spec = &definition.spec;
    let status = definition.status.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    let established = conditions.any(|held| held.type_ == "Established" && held.status == "True");
    let names = status.accepted_names.as_ref().filter(|_| established)?;
    let version = &spec.versions.iter().find(|version| version.served)?.name;
    let resource = ApiResource {
        group: spec.group.clone(),
        version: version.clone(),
        api_version: format!("{}/{version}", spec.group),
        kind: names.kind.clone(),
        plural: names.plural.clone(),
    };
    Some((resource, spec.scope == "Namespaced"))
}

/// A kind of the catalogue as the client names it.
fn resource(kind: &plinth_api::Resource) -> ApiResource {
    let api_version = match kind.group {
        "" => kind.version.to_owned(),
        group => format!("{group}/{}", kind.version),
    };
    ApiResource {
        group: kind.group.to_owned(),
        version: kind.version.to_owned(),
        api_version,
        kind: kind.kind.to_owned(),
        plural: kind.plural.to_owned(),
    }
}
