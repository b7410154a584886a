//! The binder against a small cluster in memory: steps are applied as the API would, with
//! resourceVersion preconditions.

mod properties;
mod stories;

use std::{collections::BTreeMap, sync::Arc};

use super::{
    action::{Action, volume_phase},
    claim, claims_of,
    matching::{claim_ref, is_promised_to, uid},
    volume,
};
use crate::testing::object;
use jiff::Timestamp;
use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim, Pod},
    storage::v1::StorageClass,
};
use kube::ResourceExt;

type Volumes = BTreeMap<String, Arc<PersistentVolume>>;
type Claims = BTreeMap<String, Arc<PersistentVolumeClaim>>;

/// What the API holds; a clone is what a controller saw at some moment.
#[derive(Clone, Default, Debug, PartialEq)]
struct Cluster {
    volumes: Volumes,
    claims: Claims,
    classes: Vec<Arc<StorageClass>>,
    pods: Vec<Arc<Pod>>,
    revision: u64,
    log: Vec<String>,
}

impl Cluster {
    fn volume(&mut self, yaml: &str) {
        let mut volume: PersistentVolume = object(yaml);
        self.stamp(&mut volume.metadata);
        self.volumes.insert(volume.name_any(), Arc::new(volume));
    }

    fn claim(&mut self, yaml: &str) {
        let mut claim: PersistentVolumeClaim = object(yaml);
        self.stamp(&mut claim.metadata);
        self.claims.insert(claim.name_any(), Arc::new(claim));
    }

    fn stamp(&mut self, meta: &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) {
        self.revision += 1;
        meta.resource_version = Some(self.revision.to_string());
        if meta.uid.is_none() {
            meta.uid = Some(format!("uid-{}", self.revision));
        }
    }

    fn plan_claim(&self, name: &str) -> Vec<Action> {
        let Some(claim) = self.claims.get(name) else {
            return Vec::new();
        };
        let named = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.as_deref())
            .unwrap_or_default();
        let candidates: Vec<_> = self
            .volumes
            .values()
            .filter(|volume| claim_ref(volume).is_none() || is_promised_to(volume, claim))
            .cloned()
            .collect();
        let consumers: Vec<_> = self
            .pods
            .iter()
            .filter(|pod| claims_of(pod).any(|used| used == name))
            .cloned()
            .collect();
        let world = claim::World {
            claim,
            volume: self.volumes.get(named),
            candidates: &candidates,
            classes: &self.classes,
            consumers: &consumers,
        };
        claim::plan(&world, Timestamp::UNIX_EPOCH)
    }

    fn plan_volume(&self, name: &str) -> Vec<Action> {
        let Some(volume) = self.volumes.get(name) else {
            return Vec::new();
        };
        let promise = claim_ref(volume)
            .and_then(|promise| promise.name.clone())
            .unwrap_or_default();
        let world = volume::World {
            volume,
            claim: self.claims.get(&promise),
        };
        volume::plan(&world, Timestamp::UNIX_EPOCH)
    }

    /// Tells whether the action changed anything.
    fn apply(&mut self, action: Action) -> bool {
        match action {
            Action::UpdateVolume(volume) | Action::UpdateVolumeStatus(volume) => {
                self.put_volume(volume)
            }
            Action::ReleaseVolume(volume) => {
                let promise = claim_ref(&volume).expect("promised");
                let claim = self.claims.get(promise.name.as_deref().expect("name"));
                let gone = claim.is_none_or(|claim| claim.uid().as_deref() != Some(uid(promise)));
                gone && self.put_volume(volume)
            }
            Action::UpdateClaim(claim) | Action::UpdateClaimStatus(claim) => self.put_claim(claim),
            Action::LoseClaim(claim, notice) => {
                let named = claim
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.volume_name.as_deref())
                    .unwrap_or_default();
                let volume = self.volumes.get(named);
                if volume.is_some_and(|volume| {
                    claim_ref(volume).is_none() || is_promised_to(volume, &claim)
                }) {
                    return false;
                }
                self.apply(Action::Tell(notice));
                self.put_claim(claim)
            }
            Action::Tell(notice) => {
                let name = notice.regarding.name.unwrap_or_default();
                let line = format!(
                    "event {name} {:?} {}: {}",
                    notice.kind, notice.reason, notice.message
                );
                if !self.log.contains(&line) {
                    self.log.push(line);
                }
                false
            }
        }
    }

    fn put_volume(&mut self, mut volume: PersistentVolume) -> bool {
        let name = volume.name_any();
        if self
            .volumes
            .get(&name)
            .is_none_or(|held| held.resource_version() != volume.resource_version())
        {
            return false;
        }
        self.stamp(&mut volume.metadata);
        let promise = claim_ref(&volume).map_or("nobody".to_owned(), |promise| {
            let uid = if uid(promise).is_empty() {
                ""
            } else {
                " with uid"
            };
            format!("{}{uid}", promise.name.as_deref().unwrap_or_default())
        });
        self.log.push(format!(
            "pv {name}: {} for {promise}{}",
            volume_phase(&volume),
            marks(&volume)
        ));
        self.volumes.insert(name, Arc::new(volume));
        true
    }

    fn put_claim(&mut self, mut claim: PersistentVolumeClaim) -> bool {
        let name = claim.name_any();
        if self
            .claims
            .get(&name)
            .is_none_or(|held| held.resource_version() != claim.resource_version())
        {
            return false;
        }
        self.stamp(&mut claim.metadata);
        let spec = claim.spec.clone().unwrap_or_default();
        let status = claim.status.clone().unwrap_or_default();
        let size = status
            .capacity
            .and_then(|capacity| capacity.get("storage").map(|amount| amount.0.clone()));
        self.log.push(format!(
            "pvc {name}: {} volume={} class={} size={}{}",
            status.phase.unwrap_or_default(),
            spec.volume_name.unwrap_or_default(),
            spec.storage_class_name.unwrap_or_default(),
            size.unwrap_or_default(),
            marks(&claim)
        ));
        self.claims.insert(name, Arc::new(claim));
        true
    }

    /// Runs every plan until nothing is written any more, or until `budget` writes (a crash).
    fn settle_within(&mut self, mut budget: usize) {
        loop {
            let mut wrote = false;
            let keys: Vec<(bool, String)> = self
                .claims
                .keys()
                .map(|name| (true, name.clone()))
                .chain(self.volumes.keys().map(|name| (false, name.clone())))
                .collect();
            for (is_claim, name) in keys {
                let actions = if is_claim {
                    self.plan_claim(&name)
                } else {
                    self.plan_volume(&name)
                };
                for action in actions {
                    if budget == 0 {
                        return;
                    }
                    if self.apply(action) {
                        wrote = true;
                        budget -= 1;
                    }
                }
            }
            if !wrote {
                return;
            }
        }
    }

    fn settle(&mut self) -> String {
        self.settle_within(1000);
        std::mem::take(&mut self.log).join("\n")
    }
}

fn marks<K: kube::Resource>(object: &K) -> String {
    let keys = object.annotations().iter();
    let marks: Vec<String> = keys
        .map(|(key, value)| format!(" {}={value}", key.rsplit('/').next().unwrap_or_default()))
        .collect();
    marks.concat()
}

fn volume_yaml(name: &str, size: &str, more: &str) -> String {
    format!(
        "{{metadata: {{name: {name}}}, spec: {{capacity: {{storage: {size}}}, accessModes: [ReadWriteOnce], \
         persistentVolumeReclaimPolicy: Retain, {more} hostPath: {{path: /x}}}}}}"
    )
}

fn claim_yaml(name: &str, size: &str, more: &str) -> String {
    format!(
        "{{metadata: {{name: {name}, namespace: default}}, spec: {{accessModes: [ReadWriteOnce], {more} \
         resources: {{requests: {{storage: {size}}}}}}}}}"
    )
}

fn class(name: &str, mode: &str, default: bool) -> Arc<StorageClass> {
    Arc::new(object(&format!(
        "{{metadata: {{name: {name}, annotations: {{storageclass.kubernetes.io/is-default-class: '{default}'}}}}, \
         provisioner: example.com/p, volumeBindingMode: {mode}}}"
    )))
}
