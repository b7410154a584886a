//! What every pod worker of this node shares.

use std::net::IpAddr;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service};
use kube::Client;
use plinth_client::{EventKind, Informer, Recorder};
use plinth_network::Network;
use plinth_runtime::Runtime;

use crate::files::ClusterDns;
use crate::identity::PodName;
use crate::node::Capacity;

/// This node.
pub(crate) struct Node {
    pub(crate) client: Client,
    pub(crate) runtime: Runtime,
    pub(crate) network: Network,
    pub(crate) recorder: Recorder,
    pub(crate) services: Informer<Service>,
    pub(crate) dns: ClusterDns,
    pub(crate) name: String,
    pub(crate) ip: IpAddr,
    /// Volumes and files of pods.
    pub(crate) root: PathBuf,
    /// Logs of pods.
    pub(crate) log_root: PathBuf,
    pub(crate) capacity: Capacity,
}

impl Node {
    /// The directory of a pod's logs, named as CRI log collectors expect it.
    pub(crate) fn log_directory(&self, name: &PodName, uid: &str) -> PathBuf {
        self.log_root
            .join(format!("{}_{}_{uid}", name.namespace, name.name))
    }

    /// Tells an event about a pod, or about one of its containers.
    pub(crate) fn event(
        &self,
        pod: &Pod,
        container: Option<&str>,
        kind: EventKind,
        reason: &str,
        message: &str,
    ) {
        let init = |name: &str| {
            let spec = pod.spec.as_ref();
            spec.and_then(|s| s.init_containers.as_ref())
                .is_some_and(|list| list.iter().any(|c| c.name == name))
        };
        let field_path = container.map(|name| {
            let list = if init(name) {
                "initContainers"
            } else {
                "containers"
            };
            format!("spec.{list}{{{name}}}")
        });
        let regarding = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            uid: pod.metadata.uid.clone(),
            resource_version: pod.metadata.resource_version.clone(),
            field_path,
        };
        self.recorder.event(&regarding, kind, reason, message);
    }
}
