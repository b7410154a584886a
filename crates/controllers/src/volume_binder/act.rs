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

impl Binder {
    /// Takes one step; tells whether it wrote, and then only after the write is visible here.
    pub(super) async fn act(&self, key: &Key, action: Action) -> Result<bool, kube::Error> {
        let post = PostParams::default();
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let claims = |claim: &PersistentVolumeClaim| -> Api<PersistentVolumeClaim> {
            Api::namespaced(self.client.clone(), &claim.namespace().unwrap_or_default())
        };
        let volume = match action {
            Action::Tell(notice) => {
                self.tell(key, notice);
                return Ok(false);
            }
            Action::UpdateVolume(volume) => {
                volumes.replace(&volume.name_any(), &post, &volume).await
            }
            Action::UpdateVolumeStatus(volume) => {
                volumes
                    .replace_status(&volume.name_any(), &post, &volume)
                    .await
            }
            Action::ReleaseVolume(volume) => {
                if self.claim_exists(&volume).await? {
                    return Ok(false);
                }
                volumes
                    .replace_status(&volume.name_any(), &post, &volume)
                    .await
            }
            Action::UpdateClaim(claim) => {
                let answer = claims(&claim)
                    .replace(&claim.name_any(), &post, &claim)
                    .await;
                return self.claim_written(answer).await;
            }
            Action::UpdateClaimStatus(claim) => {
                let answer = claims(&claim)
                    .replace_status(&claim.name_any(), &post, &claim)
                    .await;
                return self.claim_written(answer).await;
            }
            Action::LoseClaim(claim, notice) => {
                if self.volume_exists(&claim).await? {
                    return Ok(false);
                }
                self.tell(key, notice);
                let answer = claims(&claim)
                    .replace_status(&claim.name_any(), &post, &claim)
                    .await;
                return self.claim_written(answer).await;
            }
        };
        let Some(volume) = unless_outrun(volume)? else {
            // Another claim may have taken the volume; its events do not speak of this claim.
            self.queue.retry(key.clone());
            return Ok(false);
        };
        self.volumes.seen(revision(&volume)).await;
        Ok(true)
    }

    async fn claim_written(
        &self,
        answer: Result<PersistentVolumeClaim, kube::Error>,
    ) -> Result<bool, kube::Error> {
        let Some(claim) = unless_outrun(answer)? else {
            return Ok(false);
        };
        self.claims.seen(revision(&claim)).await;
        Ok(true)
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
