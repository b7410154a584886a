//! Fetches what a container's environment refers to. Always from the API: an informer could be a moment behind the
//! user who has just written the ConfigMap and the pod, and an environment is for the container's whole life.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret, Service};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::Worker;
use crate::container::{References, references, service_variables};

/// The objects that exist of those a container refers to.
pub(super) struct Fetched {
    pub(super) config_maps: BTreeMap<String, ConfigMap>,
    pub(super) secrets: BTreeMap<String, Secret>,
}

impl Worker {
    pub(super) async fn fetch(&self, container: &Container) -> Result<Fetched, kube::Error> {
        let References {
            config_maps,
            secrets,
        } = references(container);
        Ok(Fetched {
            config_maps: self.all(config_maps).await?,
            secrets: self.all(secrets).await?,
        })
    }

    async fn all<K>(
        &self,
        names: impl IntoIterator<Item = String>,
    ) -> Result<BTreeMap<String, K>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let api: Api<K> = Api::namespaced(self.node.client.clone(), &self.name.namespace);
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(object) = api.get_opt(&name).await? {
                found.insert(name, object);
            }
        }
        Ok(found)
    }

    /// The variables of the services that the pod may know of (N-43): the API's always, its neighbours' if wanted.
    pub(super) fn service_environment(&self, pod: &Pod) -> Vec<(String, String)> {
        let links = pod
            .spec
            .as_ref()
            .and_then(|s| s.enable_service_links)
            .unwrap_or(true);
        let mut services: Vec<_> = self
            .node
            .services
            .get(Some("default"), "kubernetes")
            .into_iter()
            .collect();
        if links {
            let mut own = self.node.services.in_namespace(&self.name.namespace);
            own.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
            services.extend(own);
        }
        services
            .iter()
            .flat_map(|s: &std::sync::Arc<Service>| service_variables(s))
            .collect()
    }
}
