//! What a ReplicaSet and a ReplicationController differ in. A controller is read as the set that means the
//! same, and a set's status is written back as a controller's.

use std::{fmt::Debug, sync::Arc};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus},
        core::v1::{
            ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
        },
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::Resource;
use plinth_client::Object;
use serde::{Serialize, de::DeserializeOwned};

/// A kind this controller serves.
pub(crate) trait Kind:
    Object
    + Clone
    + Debug
    + PartialEq
    + Serialize
    + DeserializeOwned
    + Resource<DynamicType = (), Scope = NamespaceResourceScope>
{
    /// The source of its events.
    const COMPONENT: &'static str;
    /// What its work queue is called in metrics.
    const QUEUE: &'static str;

    /// The object as a ReplicaSet.
    fn set(self: &Arc<Self>) -> Arc<ReplicaSet>;

    /// The object with the status that was found for it as a ReplicaSet.
    fn with_status(&self, status: ReplicaSetStatus) -> Self;
}

impl Kind for ReplicaSet {
    const COMPONENT: &'static str = "replicaset-controller";
    const QUEUE: &'static str = "replicaset";

    fn set(self: &Arc<Self>) -> Arc<ReplicaSet> {
        Arc::clone(self)
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Self {
        Self {
            status: Some(status),
            ..self.clone()
        }
    }
}

impl Kind for ReplicationController {
    const COMPONENT: &'static str = "replication-controller";
    const QUEUE: &'static str = "replicationmanager";

    fn set(self: &Arc<Self>) -> Arc<ReplicaSet> {
        let spec = self.spec.clone().unwrap_or_default();
        Arc::new(ReplicaSet {
            metadata: self.metadata.clone(),
            spec: Some(ReplicaSetSpec {
                min_ready_seconds: spec.min_ready_seconds,
                replicas: spec.replicas,
                selector: LabelSelector {
                    match_labels: spec.selector,
                    match_expressions: None,
                },
                template: spec.template,
            }),
            status: self.status.clone().map(read),
        })
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Self {
        Self {
            status: Some(write(status)),
            ..self.clone()
        }
    }
}

fn read(status: ReplicationControllerStatus) -> ReplicaSetStatus {
    let condition = |c: ReplicationControllerCondition| ReplicaSetCondition {
        last_transition_time: c.last_transition_time,
        message: c.message,
        reason: c.reason,
        status: c.status,
        type_: c.type_,
    };
    ReplicaSetStatus {
        available_replicas: status.available_replicas,
        conditions: status
            .conditions
            .map(|all| all.into_iter().map(condition).collect()),
        fully_labeled_replicas: status.fully_labeled_replicas,
        observed_generation: status.observed_generation,
        ready_replicas: status.ready_replicas,
        replicas: status.replicas,
        terminating_replicas: None,
    }
}

/// A controller does not tell how many pods are on their way out.
fn write(status: ReplicaSetStatus) -> ReplicationControllerStatus {
    let condition = |c: ReplicaSetCondition| ReplicationControllerCondition {
        last_transition_time: c.last_transition_time,
        message: c.message,
        reason: c.reason,
        status: c.status,
        type_: c.type_,
    };
    ReplicationControllerStatus {
        available_replicas: status.available_replicas,
        conditions: status
            .conditions
            .map(|all| all.into_iter().map(condition).collect()),
        fully_labeled_replicas: status.fully_labeled_replicas,
        observed_generation: status.observed_generation,
        ready_replicas: status.ready_replicas,
        replicas: status.replicas,
    }
}
