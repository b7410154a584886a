//! The scheduler on a real API: many pods at once, bindings in parallel, and no node gets more than it
//! has; what is freed is given out again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use plinth_apiserver::{
    ApiServer, ApiServerConfig, Credentials, EncryptionKeys, NodeClientTls, UserInfo,
};
use plinth_client::Informers;
use plinth_store::{Options, Store};
use serde_json::json;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Anything that takes this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

fn no_nodes() -> NodeClientTls {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    NodeClientTls {
        config: Arc::new(config),
    }
}

async fn make_node(client: &Client, name: &str) {
    let nodes: Api<Node> = Api::all(client.clone());
    let node = serde_json::from_value(json!({"metadata": {"name": name}})).expect("a node");
    nodes
        .create(&PostParams::default(), &node)
        .await
        .expect("created");
    let status = json!({"status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True"}]}});
    let patch = Patch::Merge(status);
    nodes
        .patch_status(name, &PatchParams::default(), &patch)
        .await
        .expect("ready");
    // New nodes are tainted until somebody sees that they are ready.
    let untainted = Patch::Merge(json!({"spec": {"taints": null}}));
    nodes
        .patch(name, &PatchParams::default(), &untainted)
        .await
        .expect("untainted");
}

fn pod(index: usize) -> Pod {
    let pod = json!({"metadata": {"name": format!("p{index}")}, "spec": {"containers": [
        {"name": "c", "image": "x", "resources": {"requests": {"cpu": "200m"}}}]}});
    serde_json::from_value(pod).expect("a pod")
}

/// Pods by node, and those that were told why they have none.
fn places(pods: &[Arc<Pod>]) -> (BTreeMap<String, usize>, usize) {
    let mut nodes = BTreeMap::new();
    let mut refused = 0;
    for pod in pods {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        if let Some(node) = node {
            *nodes.entry(node).or_default() += 1;
            continue;
        }
        let status = pod.status.as_ref();
        let told = status
            .and_then(|s| s.conditions.as_deref())
            .unwrap_or_default();
        refused += usize::from(told.iter().any(|condition| {
            let text = condition.message.as_deref().unwrap_or_default();
            condition.type_ == "PodScheduled" && text.contains("2 Insufficient cpu")
        }));
    }
    (nodes, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_pods_at_once_fill_the_nodes_exactly() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path(), &Options::default()).expect("a store");
    let server = ApiServer::new(ApiServerConfig {
        store,
        service_cidr: "10.96.0.0/16".to_owned(),
        advertise: ([10, 0, 0, 1].into(), 6443),
        node_client: no_nodes(),
        credentials: Credentials::internal().expect("a key"),
        audit: None,
        encryption: EncryptionKeys::default(),
    })
    .await
    .expect("an API server");
    let client = |name: &str| Client::new(server.service(UserInfo::internal(name)), "default");
    let test = client("test");
    make_node(&test, "a").await;
    make_node(&test, "b").await;
    let shutdown = CancellationToken::new();
    let scheduler = plinth_scheduler::run(
        Informers::new(client("scheduler")),
        client("scheduler"),
        shutdown.clone(),
    );
    let _scheduler = AbortOnDropHandle::new(tokio::spawn(scheduler));

    let pods: Api<Pod> = Api::namespaced(test.clone(), "default");
    let names = 0..30;
    let (post, own) = (PostParams::default(), names.map(pod).collect::<Vec<_>>());
    for created in futures::future::join_all(own.iter().map(|pod| pods.create(&post, pod))).await {
        created.expect("created");
    }
    let watching = Informers::new(test.clone());
    let seen = watching.of::<Pod>();
    let until = async |full: usize, refused: usize| {
        // Any pod will do: the condition is about all of them.
        let all = seen.until(Some("default"), "p0", |_| {
            let (nodes, told) = places(&seen.list());
            assert!(
                nodes.values().all(|count| *count <= 10),
                "overcommitted: {nodes:?}"
            );
            nodes.values().sum::<usize>() == full && told == refused
        });
        let waited = tokio::time::timeout(PATIENCE, all).await;
        waited.unwrap_or_else(|_| panic!("{:?}", places(&seen.list())));
    };
    until(20, 10).await;

    let bound = pods
        .list(&ListParams::default())
        .await
        .expect("listed")
        .items;
    let bound = bound
        .iter()
        .filter(|pod| pod.spec.as_ref().is_some_and(|s| s.node_name.is_some()));
    let now = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    for pod in bound.take(4) {
        pods.delete(&pod.name_any(), &now).await.expect("deleted");
    }
    until(20, 6).await;
    shutdown.cancel();
    watching.shutdown().await;
}
