//! How many pods there should be, by the controllers behind the pods there are. Only looks.

use std::{collections::HashSet, sync::Arc};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet, StatefulSet},
        core::v1::{Pod, ReplicationController},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{Resource, ResourceExt};
use plinth_client::{Change, Informer, Object, code};

use crate::{
    Context,
    ownership::controller,
    scales::{ScaleError, scale},
};

/// The kinds of controllers that are watched; others are asked for their scale.
pub(crate) struct Controllers {
    deployments: Informer<Deployment>,
    sets: Informer<ReplicaSet>,
    stateful: Informer<StatefulSet>,
    replication: Informer<ReplicationController>,
}

/// What was found for some pods.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) replicas: i32,
    /// Whether there are pods that nobody controls.
    pub(crate) unmanaged: bool,
}

impl Controllers {
    pub(crate) fn new(cx: &Context) -> Self {
        Self {
            deployments: cx.informers.of(),
            sets: cx.informers.of(),
            stateful: cx.informers.of(),
            replication: cx.informers.of(),
        }
    }

    pub(crate) async fn synced(&self) {
        self.deployments.synced().await;
        self.sets.synced().await;
        self.stateful.synced().await;
        self.replication.synced().await;
    }

    /// Calls `told` with the namespace of every controller that is told another number of pods.
    pub(crate) fn on_scaled(&self, told: impl Fn(&str) + Clone + Send + Sync + 'static) {
        fn listen<K: Object>(
            informer: &Informer<K>,
            replicas: fn(&K) -> Option<i32>,
            told: impl Fn(&str) + Send + Sync + 'static,
        ) {
            informer.on_change(move |change: &Change<K>| {
                let of = |state: &Option<Arc<K>>| state.as_ref().map(|state| replicas(state));
                if of(&change.old) != of(&change.new) {
                    told(&change.latest().namespace().unwrap_or_default());
                }
            });
        }
        listen(&self.deployments, of_deployment, told.clone());
        listen(&self.sets, of_set, told.clone());
        listen(&self.stateful, of_stateful, told.clone());
        listen(&self.replication, of_replication, told);
    }

    /// The numbers of pods that the controllers of these pods are told to have, each counted once.
    pub(crate) async fn expected(
        &self,
        client: &kube::Client,
        pods: &[Arc<Pod>],
    ) -> Result<Found, String> {
        let mut found = Found::default();
        let mut counted = HashSet::new();
        for pod in pods {
            let Some(owner) = controller(&**pod) else {
                found.unmanaged = true;
                continue;
            };
            let namespace = pod.namespace().unwrap_or_default();
            let Some((uid, replicas)) = self.scale_of(client, &namespace, owner).await? else {
                return Err(format!(
                    "found no controllers for pod \"{}\"",
                    pod.name_any()
                ));
            };
            if counted.insert(uid) {
                found.replicas = found.replicas.saturating_add(replicas);
            }
        }
        Ok(found)
    }

    /// The UID of what decides about an owner's pods, and the number; a ReplicaSet's Deployment
    /// decides for it.
    async fn scale_of(
        &self,
        client: &kube::Client,
        namespace: &str,
        owner: &OwnerReference,
    ) -> Result<Option<(String, i32)>, String> {
        let group = owner
            .api_version
            .rsplit_once('/')
            .map_or("", |(group, _)| group);
        match (group, owner.kind.as_str()) {
            ("apps", "StatefulSet") => Ok(number(&self.stateful, namespace, owner, of_stateful)),
            ("", "ReplicationController") => {
                Ok(number(&self.replication, namespace, owner, of_replication))
            }
            ("apps", "ReplicaSet") => {
                let set = self.sets.get(Some(namespace), &owner.name);
                let above = set.as_ref().and_then(|set| controller(&**set));
                match above.filter(|above| above.kind == "Deployment") {
                    Some(above) => Ok(number(&self.deployments, namespace, above, of_deployment)),
                    None => Ok(number(&self.sets, namespace, owner, of_set)),
                }
            }
            (group, kind) => match scale(client, namespace, group, kind, &owner.name).await {
                Ok(scale) if scale.metadata.uid.as_ref() == Some(&owner.uid) => {
                    let replicas = scale.spec.and_then(|spec| spec.replicas);
                    Ok(Some((owner.uid.clone(), replicas.unwrap_or(0))))
                }
                Ok(_) | Err(ScaleError::NoKind { .. }) => Ok(None),
                Err(ScaleError::Api(error)) if code(&error) == Some(404) => Ok(None),
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

fn number<K: Object + Resource<DynamicType = ()>>(
    informer: &Informer<K>,
    namespace: &str,
    owner: &OwnerReference,
    replicas: fn(&K) -> Option<i32>,
) -> Option<(String, i32)> {
    let object = informer.get(Some(namespace), &owner.name)?;
    let same = object.meta().uid.as_ref() == Some(&owner.uid);
    same.then(|| (owner.uid.clone(), replicas(&object).unwrap_or(1)))
}

fn of_deployment(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.replicas
}

fn of_set(set: &ReplicaSet) -> Option<i32> {
    set.spec.as_ref()?.replicas
}

fn of_stateful(set: &StatefulSet) -> Option<i32> {
    set.spec.as_ref()?.replicas
}

fn of_replication(controller: &ReplicationController) -> Option<i32> {
    controller.spec.as_ref()?.replicas
}
