//! Every kind of the API by its metadata alone: for controllers that treat all objects alike. Knows
//! names and scopes, not meanings.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams, PartialObjectMeta},
};
use plinth_api::customresourcedefinition::has_condition;
use plinth_api::{Scope, catalogue};
use plinth_client::{Informer, Informers};
use serde_json::Value;

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
pub(crate) struct Kinds(Arc<[Kind]>);

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
                Kind {
                    is_namespaced: kind.scope == Scope::Namespaced,
                    informer: informers.metadata(&resource),
                    resource,
                }
            });
        Self(kinds.collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.0.iter()
    }

    pub(crate) fn get(&self, index: usize) -> &Kind {
        &self.0[index]
    }

    /// The kind an owner reference speaks of, in whatever version.
    pub(crate) fn of_owner(&self, owner: &OwnerReference) -> Option<&Kind> {
        self.index_of_owner(owner).map(|index| self.get(index))
    }

    pub(crate) fn index_of_owner(&self, owner: &OwnerReference) -> Option<usize> {
        let group = owner
            .api_version
            .split_once('/')
            .map_or("", |(group, _)| group);
        self.iter()
            .position(|kind| kind.resource.group == group && kind.resource.kind == owner.kind)
    }

    /// Waits until every kind's first list is in.
    pub(crate) async fn synced(&self) {
        for kind in self.iter() {
            kind.informer.synced().await;
        }
    }
}

impl Kind {
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
    let of_definitions = ApiResource {
        group: "apiextensions.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "apiextensions.k8s.io/v1".to_owned(),
        kind: "CustomResourceDefinition".to_owned(),
        plural: "customresourcedefinitions".to_owned(),
    };
    let definitions: Api<DynamicObject> = Api::all_with(client.clone(), &of_definitions);
    let definitions = definitions.list(&ListParams::default()).await?;
    Ok(definitions
        .iter()
        .filter_map(|definition| described(&definition.data))
        .collect())
}

fn described(definition: &Value) -> Option<ApiResource> {
    let spec = &definition["spec"];
    let names = &definition["status"]["acceptedNames"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if spec["scope"] != "Namespaced" || !has_condition(definition, "Established") {
        return None;
    }
    let mut versions = spec["versions"].as_array()?.iter();
    let version = text(&versions.find(|version| version["served"] == true)?["name"]);
    let group = text(&spec["group"]);
    Some(ApiResource {
        api_version: format!("{group}/{version}"),
        group,
        version,
        kind: text(&names["kind"]),
        plural: text(&names["plural"]),
    })
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
