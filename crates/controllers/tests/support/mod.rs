//! A real API server in memory of this process with all controllers on it, and no node: the tests play
//! the kubelet.
#![allow(dead_code)] // each test binary uses its own part

use std::{
    fmt::Debug,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Node, Pod},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::wait::await_condition,
};
use plinth_apiserver::{
    ApiServer, ApiServerConfig, Credentials, EncryptionKeys, NodeClientTls, UserInfo,
};
use plinth_client::{Informers, QueueMeters};
use plinth_controllers::{Context, ControllersConfig};
use plinth_store::{Options, Store};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// The node that the controllers believe to be on.
pub(crate) const NODE: &str = "n1";

/// Anything that takes this long has failed. A busy disk alone can hold a write for seconds.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) volumes: PathBuf,
    server: ApiServer,
    controllers: (Informers, AbortOnDropHandle<()>),
    _directory: tempfile::TempDir,
}

impl Cluster {
    /// A new cluster with one Ready node.
    pub(crate) async fn start() -> Self {
        // What the controllers said is shown when a test fails.
        let _ = tracing_subscriber::fmt()
            .with_env_filter("info,plinth_controllers=debug,plinth_client=debug")
            .with_test_writer()
            .try_init();
        // Nothing here is about durability, so memory will do where there is such a directory.
        let directory = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .expect("temporary directory");
        let volumes = directory.path().join("volumes");
        let store =
            Store::open(&directory.path().join("store"), &Options::default()).expect("store");
        let server = ApiServer::new(ApiServerConfig {
            store,
            service_cidr: "10.96.0.0/16".to_owned(),
            advertise: ([10, 0, 0, 1].into(), 6443),
            node_client: NodeClientTls { config: no_nodes() },
            credentials: Credentials::internal().expect("a key"),
            audit: None,
            encryption: EncryptionKeys::default(),
        })
        .await
        .expect("API server");
        let cluster = Self {
            client: Client::new(server.service(UserInfo::internal("test")), "default"),
            controllers: controllers(&server, &volumes),
            server,
            volumes,
            _directory: directory,
        };
        cluster.register_node().await;
        cluster
    }

    /// Breaks all controllers off wherever they are, and starts new ones that know nothing.
    pub(crate) async fn crash_controllers(&mut self) {
        let (informers, running) = &mut self.controllers;
        running.abort();
        informers.shutdown().await;
        self.controllers = controllers(&self.server, &self.volumes);
    }

    async fn register_node(&self) {
        let nodes: Api<Node> = self.all();
        let node = json!({"metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}}});
        nodes
            .create(&PostParams::default(), &object(&node))
            .await
            .expect("node");
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}});
        nodes
            .patch_status(NODE, &PatchParams::default(), &Patch::Merge(ready))
            .await
            .expect("ready");
    }

    pub(crate) fn all<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    pub(crate) fn within<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The API of the namespace `default`.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        self.within("default")
    }

    /// Makes a pod that is on the node, and reports it Running and Ready as a kubelet would.
    pub(crate) async fn run_pod(&self, mut pod: serde_json::Value, ip: &str) -> Pod {
        pod["spec"]["nodeName"] = json!(NODE);
        pod["spec"]["containers"] = json!([{"name": "c", "image": "x", "ports": [{"name": "http", "containerPort": 8080}]}]);
        let made = create(&self.api::<Pod>(), &pod).await;
        let status = json!({"status": {
            "phase": "Running",
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }});
        let pods: Api<Pod> = self.api();
        pods.patch_status(
            &made.name_any(),
            &PatchParams::default(),
            &Patch::Merge(status),
        )
        .await
        .expect("running")
    }

    /// Ends a pod as a kubelet confirms it: gone at once.
    pub(crate) async fn end_pod(&self, name: &str) {
        let now = DeleteParams {
            grace_period_seconds: Some(0),
            ..DeleteParams::default()
        };
        self.api::<Pod>()
            .delete(name, &now)
            .await
            .expect("pod deleted");
    }
}

fn controllers(server: &ApiServer, volumes: &Path) -> (Informers, AbortOnDropHandle<()>) {
    let client = Client::new(server.service(UserInfo::internal("controllers")), "default");
    let informers = Informers::new(client);
    let queues = QueueMeters::new();
    let measured = queues.clone();
    server.also_measure(move || measured.page());
    let context = Context {
        queues,
        informers: informers.clone(),
        config: ControllersConfig {
            local_path_base: Some(volumes.to_owned()),
            node_name: NODE.to_owned(),
            cluster_ca_pem: "the authority".to_owned(),
            authority: None,
        },
        shutdown: CancellationToken::new(),
    };
    let running = tokio::spawn(plinth_controllers::run(context));
    (informers, AbortOnDropHandle::new(running))
}

/// Nothing here speaks to a node.
fn no_nodes() -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Arc::new(config)
}

pub(crate) fn object<K: DeserializeOwned>(json: &serde_json::Value) -> K {
    serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{error}: {json}"))
}

pub(crate) async fn create<K>(api: &Api<K>, json: &serde_json::Value) -> K
where
    K: Clone + DeserializeOwned + Serialize + Debug,
{
    api.create(&PostParams::default(), &object(json))
        .await
        .unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// Waits until an object is as it should be, `None` being gone.
pub(crate) async fn until<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    condition: impl Fn(Option<&K>) -> bool,
) where
    K: Clone + Debug + Send + DeserializeOwned + Resource + Serialize + 'static,
{
    let waiting = Box::pin(await_condition(api.clone(), name, |object: Option<&K>| {
        condition(object)
    }));
    if let Ok(answer) = tokio::time::timeout(PATIENCE, waiting).await {
        return drop(answer.expect("watch"));
    }
    let last = Box::pin(api.get_opt(name)).await;
    panic!("{name}: never {what}: {last:#?}");
}

/// Waits until an object is gone.
pub(crate) async fn until_gone<K>(api: &Api<K>, name: &str)
where
    K: Clone + Debug + Send + DeserializeOwned + Resource + Serialize + 'static,
{
    until(api, name, "gone", |object| object.is_none()).await;
}
