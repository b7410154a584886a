//! Takes the binder's steps through the API. Decides nothing.

use std::sync::PoisonError;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::{Api, ResourceExt, api::PostParams};
use plinth_client::ApiError;

use super::{
    Binder, Key,
    action::{Action, Notice},
    matching::{claim_ref, is_promised_to, uid},
};
use crate::writes::{revision, unless_outrun};

/// Which part of an object a write is about.
#[derive(Clone, Copy)]
enum Part {
    Spec,
    Status,
}

impl Binder {
    /// Takes one step; tells whether it changed anything, and then only after the change is visible here.
    pub(super) async fn act(&self, key: &Key, action: Action) -> Result<bool, kube::Error> {
        match action {
            Action::Tell(notice) => {
                self.tell(key, notice);
                Ok(false)
            }
            Action::UpdateVolume(volume) => self.put_volume(key, &volume, Part::Spec).await,
            Action::UpdateVolumeStatus(volume) => self.put_volume(key, &volume, Part::Status).await,
            Action::ReleaseVolume(volume) => {
                if self.claim_exists(&volume).await? {
                    return Ok(false);
                }
                self.put_volume(key, &volume, Part::Status).await
            }
            Action::UpdateClaim(claim) => self.put_claim(&claim, Part::Spec).await,
            Action::UpdateClaimStatus(claim) => self.put_claim(&claim, Part::Status).await,
            Action::LoseClaim(claim, notice) => {
                if self.volume_exists(&claim).await? {
                    return Ok(false);
                }
                self.tell(key, notice);
                self.put_claim(&claim, Part::Status).await
            }
        }
    }

    async fn put_volume(
        &self,
        key: &Key,
        volume: &PersistentVolume,
        part: Part,
    ) -> Result<bool, kube::Error> {
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let (name, post) = (volume.name_any(), PostParams::default());
        let answer = match part {
            Part::Spec => volumes.replace(&name, &post, volume).await,
            Part::Status => volumes.replace_status(&name, &post, volume).await,
        };
        let Some(written) = unless_outrun(answer)? else {
            // Another claim may have taken the volume; its events do not speak of this claim.
            self.queue.retry(key.clone());
            return Ok(false);
        };
        self.volumes.seen(revision(&written)).await;
        Ok(revision(&written) != revision(volume))
    }

    async fn put_claim(
        &self,
        claim: &PersistentVolumeClaim,
        part: Part,
    ) -> Result<bool, kube::Error> {
        let namespace = claim.namespace().unwrap_or_default();
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &namespace);
        let (name, post) = (claim.name_any(), PostParams::default());
        let answer = match part {
            Part::Spec => claims.replace(&name, &post, claim).await,
            Part::Status => claims.replace_status(&name, &post, claim).await,
        };
        let Some(written) = unless_outrun(answer)? else {
            return Ok(false);
        };
        self.claims.seen(revision(&written)).await;
        Ok(revision(&written) != revision(claim))
    }

    /// Asks the API itself, for the informer of another kind may lag behind: a release is not undone.
    async fn claim_exists(&self, volume: &PersistentVolume) -> Result<bool, kube::Error> {
        let Some(promise) = claim_ref(volume) else {
            return Ok(false);
        };
        let namespace = promise.namespace.as_deref().unwrap_or_default();
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        let claim = api
            .get_opt(promise.name.as_deref().unwrap_or_default())
            .await?;
        Ok(claim.is_some_and(|claim| claim.uid().as_deref() == Some(uid(promise))))
    }

    async fn volume_exists(&self, claim: &PersistentVolumeClaim) -> Result<bool, kube::Error> {
        let Some(name) = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.as_deref())
        else {
            return Ok(false);
        };
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        match api.get(name).await {
            Ok(volume) => Ok(claim_ref(&volume).is_none() || is_promised_to(&volume, claim)),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn tell(&self, key: &Key, notice: Notice) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = told.get(key).is_none_or(|last| {
            (last.reason, &last.message, &last.regarding.uid)
                != (notice.reason, &notice.message, &notice.regarding.uid)
        });
        if is_news {
            self.recorder.event(
                &notice.regarding,
                notice.kind,
                notice.reason,
                &notice.message,
            );
            told.insert(key.clone(), notice);
        }
    }
}
