//! Makes volumes of class `local-path`: a directory on the node that the scheduler chose. Acts only for
//! its own node, inside its base directory. Binding is the binder's.

mod directory;
mod plan;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use k8s_openapi::api::{
    core::v1::{Node, PersistentVolume, PersistentVolumeClaim},
    storage::v1::StorageClass,
};
use kube::{Api, ResourceExt, api::PostParams};
use plinth_client::{ApiError, EventKind, Informer, Recorder, WorkQueue, run_workers};
use tokio::task::{JoinError, JoinSet, spawn_blocking};

use crate::{
    Context,
    volume_binder::{names::SELECTED_NODE, reference, requested_class, volume_reference},
    writes::{
        annotation, delete_only, has_finalizer, is_terminating, name_of, revision, unless_outrun,
    },
};
use directory::{Base, DirectoryError};
use plan::{
    ClaimWorld, Deletion, Provisioning, plan_claim, plan_volume, storage_class, volume_name,
};

/// The provisioner's name and that of its class (§4.7).
const PROVISIONER: &str = "rancher.io/local-path";
const CLASS: &str = "local-path";
/// Keeps a volume of policy Delete until its data is gone (V-24).
const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";
/// On a volume: the node that has its data (V-34).
const VOLUME_NODE: &str = "local.path.provisioner/selected-node";

const WORKERS: usize = 4;

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// The class itself, once at start: a user who deletes it later means it.
    Class,
    Claim(String, String),
    Volume(String),
}

/// Why a volume could not be made or deleted; the attempt is repeated with back-off.
#[derive(Debug, thiserror::Error)]
enum LocalPathError {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("{0}")]
    Refused(String),
    #[error("file system work was broken off: {0}")]
    Broken(#[from] JoinError),
}

struct Provisioner {
    client: kube::Client,
    recorder: Recorder,
    base: Base,
    node_name: String,
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<PersistentVolume>,
    classes: Informer<StorageClass>,
    nodes: Informer<Node>,
}

/// Starts the provisioner where there is a place for its volumes.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let Some(base) = cx.config.local_path_base.clone() else {
        return;
    };
    let node_name = cx.config.node_name.clone();
    let provisioner = Arc::new(Provisioner {
        client: cx.client(),
        recorder: cx.recorder(&format!("{PROVISIONER}_{node_name}")),
        base: Base::new(base),
        node_name,
        claims: cx.informers.of(),
        volumes: cx.informers.of(),
        classes: cx.informers.of(),
        nodes: cx.informers.of(),
    });
    let queue = cx.queue("local_path");
    queue.add(Key::Class);
    provisioner.subscribe(&queue);
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        provisioner.claims.synced().await;
        provisioner.volumes.synced().await;
        provisioner.classes.synced().await;
        provisioner.nodes.synced().await;
        run_workers(queue, WORKERS, shutdown, move |key| {
            let provisioner = Arc::clone(&provisioner);
            async move { provisioner.reconcile(key).await }
        })
        .await;
    });
}

impl Provisioner {
    fn subscribe(&self, queue: &WorkQueue<Key>) {
        let to = queue.clone();
        self.claims.on_change(move |change| {
            let (namespace, name) = name_of(&**change.latest());
            to.add(Key::Claim(namespace, name));
        });
        let to = queue.clone();
        self.volumes
            .on_change(move |change| to.add(Key::Volume(change.latest().name_any())));
        // A node that goes may leave claims and volumes behind that nobody else will see to.
        let (to, claims, volumes) = (queue.clone(), self.claims.clone(), self.volumes.clone());
        self.nodes.on_change(move |change| {
            if change.old.is_some() && change.new.is_some() {
                return;
            }
            let node = change.latest().name_any();
            for claim in claims
                .list()
                .iter()
                .filter(|claim| annotation(&***claim, SELECTED_NODE) == Some(&node))
            {
                let (namespace, name) = name_of(&**claim);
                to.add(Key::Claim(namespace, name));
            }
            for volume in volumes
                .list()
                .iter()
                .filter(|volume| annotation(&***volume, VOLUME_NODE) == Some(&node))
            {
                to.add(Key::Volume(volume.name_any()));
            }
        });
    }

    async fn reconcile(&self, key: Key) -> Result<(), LocalPathError> {
        match key {
            Key::Class => {
                let classes: Api<StorageClass> = Api::all(self.client.clone());
                unless_outrun(
                    classes
                        .create(&PostParams::default(), &storage_class())
                        .await,
                )?;
                Ok(())
            }
            Key::Claim(namespace, name) => match self.claims.get(Some(&namespace), &name) {
                Some(claim) => self.provide(&claim).await,
                None => Ok(()),
            },
            Key::Volume(name) => match self.volumes.get(None, &name) {
                Some(volume) => self.reclaim(&volume).await,
                None => Ok(()),
            },
        }
    }

    async fn provide(&self, claim: &PersistentVolumeClaim) -> Result<(), LocalPathError> {
        let class = requested_class(claim).and_then(|name| self.classes.get(None, name));
        let node = annotation(claim, SELECTED_NODE).and_then(|name| self.nodes.get(None, name));
        let plan = plan_claim(&ClaimWorld {
            claim,
            class: class.as_deref(),
            node: node.as_deref(),
            volume_exists: self.volumes.get(None, &volume_name(claim)).is_some(),
            base: self.base.path(),
            our_node: &self.node_name,
        });
        match plan {
            Provisioning::Nothing => Ok(()),
            Provisioning::ChooseAgain(claim) => {
                let claims: Api<PersistentVolumeClaim> =
                    Api::namespaced(self.client.clone(), &claim.namespace().unwrap_or_default());
                unless_outrun(
                    claims
                        .replace(&claim.name_any(), &PostParams::default(), &claim)
                        .await,
                )?;
                Ok(())
            }
            Provisioning::Refuse(why) => {
                // Nothing but a change of the claim or its class can help, and that brings it back.
                self.failed(claim, &LocalPathError::Refused(why));
                Ok(())
            }
            Provisioning::Make { directory, volume } => {
                let of = reference(claim);
                let message = format!(
                    "External provisioner is provisioning volume for claim \"{}/{}\"",
                    claim.namespace().unwrap_or_default(),
                    claim.name_any()
                );
                self.recorder
                    .event(&of, EventKind::Normal, "Provisioning", &message);
                if let Err(error) = self.make(directory, &volume).await {
                    self.failed(claim, &error);
                    return Err(error);
                }
                let message = format!("Successfully provisioned volume {}", volume.name_any());
                self.recorder
                    .event(&of, EventKind::Normal, "ProvisioningSucceeded", &message);
                Ok(())
            }
        }
    }

    fn failed(&self, claim: &PersistentVolumeClaim, why: &LocalPathError) {
        let class = requested_class(claim).unwrap_or_default();
        let message = format!("failed to provision volume with StorageClass \"{class}\": {why}");
        self.recorder.event(
            &reference(claim),
            EventKind::Warning,
            "ProvisioningFailed",
            &message,
        );
    }

    async fn make(
        &self,
        directory: String,
        volume: &PersistentVolume,
    ) -> Result<(), LocalPathError> {
        let base = self.base.clone();
        spawn_blocking(move || base.create(&directory)).await??;
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        match volumes.create(&PostParams::default(), volume).await {
            Ok(made) => self.volumes.seen(revision(&made)).await,
            // An earlier attempt made it and then lost the answer.
            Err(error) if error.is_already_exists() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn reclaim(&self, volume: &PersistentVolume) -> Result<(), LocalPathError> {
        let node_exists = annotation(volume, VOLUME_NODE)
            .is_some_and(|name| self.nodes.get(None, name).is_some());
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let post = PostParams::default();
        let name = volume.name_any();
        match plan_volume(volume, node_exists, &self.node_name) {
            Deletion::Nothing => {}
            Deletion::Update(volume) => {
                unless_outrun(volumes.replace(&name, &post, &volume).await)?;
            }
            Deletion::Delete { path } => {
                if let Some(path) = path
                    && let Err(error) = self.remove(&path).await
                {
                    let of = volume_reference(volume);
                    self.recorder.event(
                        &of,
                        EventKind::Warning,
                        "VolumeFailedDelete",
                        &error.to_string(),
                    );
                    return Err(error);
                }
                if !is_terminating(volume) {
                    unless_outrun(
                        volumes
                            .delete(&name, &delete_only(&volume.uid().unwrap_or_default()))
                            .await,
                    )?;
                    // The deletion comes back as a change of the volume, and the finalizer goes then.
                    return Ok(());
                }
                if has_finalizer(volume, FINALIZER) {
                    let mut done = volume.clone();
                    done.finalizers_mut()
                        .retain(|finalizer| finalizer != FINALIZER);
                    unless_outrun(volumes.replace(&name, &post, &done).await)?;
                }
            }
        }
        Ok(())
    }

    async fn remove(&self, path: &str) -> Result<(), LocalPathError> {
        let name = self.base.name_of(Path::new(path))?;
        let base = self.base.clone();
        spawn_blocking(move || base.remove(&name)).await??;
        Ok(())
    }
}
