//! Endpoints and slices follow pods, nodes and the service itself.

mod support;

use futures::StreamExt;
use k8s_openapi::api::{
    core::v1::{Endpoints, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use support::{Cluster, create, until, until_gone};

fn addresses(endpoints: Option<&Endpoints>) -> (Vec<&str>, Vec<&str>) {
    let subsets = || {
        endpoints
            .into_iter()
            .flat_map(|endpoints| endpoints.subsets.iter().flatten())
    };
    (
        subsets()
            .flat_map(|s| s.addresses.iter().flatten())
            .map(|a| a.ip.as_str())
            .collect(),
        subsets()
            .flat_map(|s| s.not_ready_addresses.iter().flatten())
            .map(|a| a.ip.as_str())
            .collect(),
    )
}

/// (hostname, ready) of every endpoint, once they are as wanted.
async fn until_slices(api: &Api<EndpointSlice>, wanted: &[(&str, bool)]) {
    let selection = "kubernetes.io/service-name=web";
    let mut changes = watcher(api.clone(), watcher::Config::default().labels(selection))
        .touched_objects()
        .boxed();
    loop {
        let slices = api
            .list(&ListParams::default().labels(selection))
            .await
            .expect("slices")
            .items;
        let shown: Vec<(String, bool)> = slices
            .iter()
            .flat_map(|slice| slice.endpoints.iter().flatten())
            .map(|e| {
                let ready = e.conditions.as_ref().and_then(|c| c.ready) == Some(true);
                (e.hostname.clone().unwrap_or_default(), ready)
            })
            .collect();
        if shown
            .iter()
            .map(|(name, ready)| (name.as_str(), *ready))
            .eq(wanted.iter().copied())
        {
            return;
        }
        let next = tokio::time::timeout(std::time::Duration::from_mins(2), changes.next()).await;
        next.unwrap_or_else(|_| panic!("never {wanted:?}, but {shown:?}"))
            .expect("open")
            .expect("watch");
    }
}

/// N-10..N-13, N-20..N-22, N-34.
#[tokio::test]
async fn endpoints_follow_the_pods_of_a_headless_service() {
    let cluster = Cluster::start().await;
    let services: Api<Service> = cluster.api();
    let endpoints: Api<Endpoints> = cluster.api();
    let slices: Api<EndpointSlice> = cluster.api();
    let service = json!({"metadata": {"name": "web"}, "spec": {"clusterIP": "None", "selector": {"app": "web"},
        "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}});
    create(&services, &service).await;
    until(&endpoints, "web", "made", |e| {
        e.is_some_and(|e| e.subsets.is_none())
    })
    .await;
    until_slices(&slices, &[]).await;
    for (name, ip) in [("web-0", "10.244.0.5"), ("web-1", "10.244.0.6")] {
        let pod = json!({"metadata": {"name": name, "labels": {"app": "web"}},
            "spec": {"hostname": name, "subdomain": "web"}});
        cluster.run_pod(pod, ip).await;
    }
    until(&endpoints, "web", "complete", |e| {
        addresses(e) == (vec!["10.244.0.5", "10.244.0.6"], vec![])
    })
    .await;
    until_slices(&slices, &[("web-0", true), ("web-1", true)]).await;

    let pods: Api<Pod> = cluster.api();
    let unready = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    pods.patch_status("web-1", &PatchParams::default(), &Patch::Merge(unready))
        .await
        .expect("unready");
    until(&endpoints, "web", "without web-1", |e| {
        addresses(e) == (vec!["10.244.0.5"], vec!["10.244.0.6"])
    })
    .await;
    pods.delete("web-0", &DeleteParams::default())
        .await
        .expect("deletion begins");
    until(&endpoints, "web", "without web-0", |e| {
        addresses(e) == (vec![], vec!["10.244.0.6"])
    })
    .await;
    until_slices(&slices, &[("web-0", false), ("web-1", false)]).await;

    services
        .delete("web", &DeleteParams::default())
        .await
        .expect("service deleted");
    until_gone(&endpoints, "web").await;
    until_slices(&slices, &[]).await;
    let left = slices
        .list(&ListParams::default().labels("kubernetes.io/service-name=web"))
        .await
        .expect("slices");
    assert!(left.items.len() <= 1);
}
