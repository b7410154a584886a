//! Which objects belong to a workload, which are to be taken in and which let go (C-6..C-9), and the writes
//! that make it so. Knows no kind.

use std::{fmt::Debug, sync::Arc};

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::{Selector, SelectorExt},
};
use plinth_client::{Change, Informer, Object, WorkQueue};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    writes::{Name, is_terminating, name_of, unless_outrun},
    written::Written,
};

/// The reference to the owner that controls an object.
pub(crate) fn controller<K: Resource>(object: &K) -> Option<&OwnerReference> {
    let mut owners = object.owner_references().iter();
    owners.find(|owner| owner.controller == Some(true))
}

/// What a workload writes into the objects it makes or takes in.
pub(crate) fn controlled_by<W: Resource<DynamicType = ()>>(workload: &W) -> OwnerReference {
    OwnerReference {
        api_version: W::api_version(&()).into_owned(),
        kind: W::kind(&()).into_owned(),
        name: workload.name_any(),
        uid: workload.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// A workload's dependents as it sees them.
#[derive(Debug)]
pub(crate) struct Claims<K> {
    pub(crate) owned: Vec<Arc<K>>,
    /// Nobody's, but selected.
    pub(crate) adopt: Vec<Arc<K>>,
    /// Ours, but no longer selected.
    pub(crate) release: Vec<Arc<K>>,
}

impl<K> Claims<K> {
    /// Whether there is anything to write.
    pub(crate) fn are_settled(&self) -> bool {
        self.adopt.is_empty() && self.release.is_empty()
    }
}

/// Sorts the objects of a workload's namespace (C-7). A workload that is being deleted neither adopts
/// nor releases, and nothing that is being deleted is adopted.
pub(crate) fn sort<W: Resource, K: Resource>(
    workload: &W,
    selector: &Selector,
    objects: &[Arc<K>],
) -> Claims<K> {
    let mut claims = Claims {
        owned: Vec::new(),
        adopt: Vec::new(),
        release: Vec::new(),
    };
    let deleting = is_terminating(workload);
    let uid = workload.meta().uid.as_deref().unwrap_or_default();
    for object in objects {
        let list = match (controller(&**object), selector.matches(object.labels())) {
            (Some(owner), _) if owner.uid != uid => continue,
            (Some(_), true) => &mut claims.owned,
            (Some(_), false) if !deleting => &mut claims.release,
            (None, true) if !deleting && !is_terminating(&**object) => &mut claims.adopt,
            _ => continue,
        };
        list.push(Arc::clone(object));
    }
    claims
}

/// Takes in and lets go. Only a workload that lives, by a fresh look, takes anything in (C-7, A-41).
pub(crate) async fn settle<W, K>(
    client: &Client,
    workload: &W,
    claims: &Claims<K>,
    written: &Written<K>,
) -> Result<(), kube::Error>
where
    W: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug,
    K: Object + Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone,
{
    let namespace = workload.namespace().unwrap_or_default();
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    for object in &claims.release {
        let ours = json!({"$patch": "delete", "uid": workload.uid()});
        patch_owner(&api, &**object, &ours, written).await?;
    }
    if claims.adopt.is_empty() || !lives(client, workload).await? {
        return Ok(());
    }
    for object in &claims.adopt {
        patch_owner(&api, &**object, &json!(controlled_by(workload)), written).await?;
    }
    Ok(())
}

async fn patch_owner<K: Object + Clone>(
    api: &Api<K>,
    object: &K,
    owner: &Value,
    written: &Written<K>,
) -> Result<(), kube::Error> {
    let name = object.meta().name.as_deref().unwrap_or_default();
    let uid = &object.meta().uid;
    let patch = json!({"metadata": {"uid": uid, "ownerReferences": [owner]}});
    let answer = api
        .patch(name, &PatchParams::default(), &Patch::Strategic(patch))
        .await;
    if let Some(patched) = unless_outrun(answer)? {
        written.note(&patched);
    }
    Ok(())
}

async fn lives<W>(client: &Client, workload: &W) -> Result<bool, kube::Error>
where
    W: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let api: Api<W> = Api::namespaced(client.clone(), &workload.namespace().unwrap_or_default());
    let live = api.get_opt(&workload.name_any()).await?;
    Ok(live.is_some_and(|live| live.uid() == workload.uid() && !is_terminating(&live)))
}

/// Puts the workloads on the queue that a change of a dependent concerns (C-2): those that controlled
/// it before or after, and those that select it when nobody controls it.
pub(crate) fn wake<W, K>(
    workloads: &Informer<W>,
    change: &Change<K>,
    selects: impl Fn(&Arc<W>, &K) -> bool,
    queue: &WorkQueue<Name>,
) where
    W: Object + Resource<DynamicType = ()>,
    K: Object,
{
    for dependent in change.states() {
        let (namespace, _) = name_of(&**dependent);
        match controller(&**dependent) {
            Some(owner) if owner.kind == W::kind(&()) => {
                let workload = workloads.get(Some(&namespace), &owner.name);
                if workload.is_some_and(|workload| workload.meta().uid.as_ref() == Some(&owner.uid))
                {
                    queue.add((namespace, owner.name.clone()));
                }
            }
            Some(_) => {}
            None => {
                for workload in workloads.in_namespace(&namespace) {
                    if selects(&workload, dependent) {
                        queue.add(name_of(&*workload));
                    }
                }
            }
        }
    }
}
