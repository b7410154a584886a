//! What one round of a StatefulSet has written, by kind. Knows nothing of why it was written.

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, StatefulSet},
    core::v1::{PersistentVolumeClaim, Pod},
};
use plinth_client::Informer;

use crate::written;

/// The informers of everything a StatefulSet is made of.
#[derive(Clone)]
pub(crate) struct Views {
    pub(crate) sets: Informer<StatefulSet>,
    pub(crate) pods: Informer<Pod>,
    pub(crate) claims: Informer<PersistentVolumeClaim>,
    pub(crate) revisions: Informer<ControllerRevision>,
}

impl Views {
    pub(crate) async fn synced(&self) {
        self.sets.synced().await;
        self.pods.synced().await;
        self.claims.synced().await;
        self.revisions.synced().await;
    }
}

/// The writes of a round.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) sets: written::Written<StatefulSet>,
    pub(crate) pods: written::Written<Pod>,
    pub(crate) claims: written::Written<PersistentVolumeClaim>,
    pub(crate) revisions: written::Written<ControllerRevision>,
}

impl Written {
    /// Waits until all of it is visible.
    pub(crate) async fn visible(self, views: &Views) {
        self.sets.visible(&views.sets).await;
        self.pods.visible(&views.pods).await;
        self.claims.visible(&views.claims).await;
        self.revisions.visible(&views.revisions).await;
    }
}
