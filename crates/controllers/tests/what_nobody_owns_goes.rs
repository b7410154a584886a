//! Ownership, namespaces, and what every namespace is given.

mod support;

use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace, Node, Pod, ServiceAccount},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::json;
use support::{Cluster, NODE, create, until, until_gone};

async fn map(
    api: &Api<ConfigMap>,
    name: &str,
    owners: &[&ConfigMap],
    finalizers: &[&str],
) -> ConfigMap {
    let owners: Vec<OwnerReference> = owners
        .iter()
        .map(|owner| OwnerReference {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            name: owner.name_any(),
            uid: owner.uid().expect("uid"),
            block_owner_deletion: Some(true),
            controller: None,
        })
        .collect();
    create(
        api,
        &json!({"metadata": {"name": name, "ownerReferences": owners, "finalizers": finalizers}}),
    )
    .await
}

async fn drop_finalizers(api: &Api<ConfigMap>, name: &str) {
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch(name, &PatchParams::default(), &none)
        .await
        .expect("finalizers dropped");
}

/// G-1, G-2, G-3, G-4.
#[tokio::test]
async fn dependents_go_stay_or_wait_as_the_deletion_says() {
    let cluster = Cluster::start().await;
    let maps: Api<ConfigMap> = cluster.api();
    let (a, b) = (
        map(&maps, "a", &[], &[]).await,
        map(&maps, "b", &[], &[]).await,
    );
    map(&maps, "of-a", &[&a], &[]).await;
    map(&maps, "of-both", &[&a, &b], &[]).await;
    maps.delete("a", &DeleteParams::background())
        .await
        .expect("deleted");
    until_gone(&maps, "of-a").await;
    until(&maps, "of-both", "of one", |map| {
        map.is_some_and(|map| map.owner_references().len() == 1)
    })
    .await;

    maps.delete("b", &DeleteParams::orphan())
        .await
        .expect("deleted");
    until_gone(&maps, "b").await;
    assert!(
        maps.get("of-both")
            .await
            .expect("stays")
            .owner_references()
            .is_empty()
    );

    let top = map(&maps, "top", &[], &[]).await;
    let middle = map(&maps, "middle", &[&top], &[]).await;
    map(&maps, "leaf", &[&middle], &["example.com/hold"]).await;
    maps.delete("top", &DeleteParams::foreground())
        .await
        .expect("deleted");
    until(&maps, "leaf", "asked to go", |leaf| {
        leaf.is_some_and(|leaf| leaf.metadata.deletion_timestamp.is_some())
    })
    .await;
    for waiting in ["top", "middle"] {
        assert!(
            maps.get(waiting)
                .await
                .expect("waits")
                .metadata
                .deletion_timestamp
                .is_some(),
            "{waiting}"
        );
    }
    drop_finalizers(&maps, "leaf").await;
    for name in ["leaf", "middle", "top"] {
        until_gone(&maps, name).await;
    }

    let mut never = top;
    never.metadata.uid = Some("00000000-0000-4000-8000-000000000000".to_owned());
    map(&maps, "stale", &[&never], &[]).await;
    until_gone(&maps, "stale").await;
}

/// G-8, G-10.
#[tokio::test]
async fn a_namespace_is_furnished_and_emptied() {
    let cluster = Cluster::start().await;
    let namespaces: Api<Namespace> = cluster.all();
    create(&namespaces, &json!({"metadata": {"name": "x"}})).await;
    let accounts: Api<ServiceAccount> = cluster.within("x");
    let maps: Api<ConfigMap> = cluster.within("x");
    let pods: Api<Pod> = cluster.within("x");
    until(&accounts, "default", "made", |account| account.is_some()).await;
    until(&maps, "kube-root-ca.crt", "published", |map| {
        map.and_then(|map| map.data.as_ref()?.get("ca.crt"))
            .is_some_and(|pem| pem == "the authority")
    })
    .await;
    create(&maps, &json!({"metadata": {"name": "notes"}})).await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": NODE, "containers": [{"name": "c", "image": "x"}]}});
    create(&pods, &pod).await;

    namespaces
        .delete("x", &DeleteParams::default())
        .await
        .expect("deletion begins");
    until(&pods, "p", "asked to go", |pod| {
        pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some())
    })
    .await;
    until(&namespaces, "x", "telling why", |namespace| {
        let conditions =
            namespace.and_then(|namespace| namespace.status.as_ref()?.conditions.as_ref());
        conditions
            .into_iter()
            .flatten()
            .any(|c| c.type_ == "NamespaceContentRemaining" && c.status == "True")
    })
    .await;
    assert!(maps.get("notes").await.is_ok(), "pods go first");
    let now = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    pods.delete("p", &now).await.expect("the node confirms");
    until_gone(&namespaces, "x").await;
    assert!(maps.get_opt("notes").await.expect("answer").is_none());
}

/// Has a kind `Thing` served.
async fn define_things(cluster: &Cluster) -> Api<CustomResourceDefinition> {
    let definitions: Api<CustomResourceDefinition> = cluster.all();
    let definition = json!({"metadata": {"name": "things.example.com"}, "spec": {"group": "example.com",
        "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    create(&definitions, &definition).await;
    until(
        &definitions,
        "things.example.com",
        "established",
        |definition| {
            let conditions = definition.and_then(|d| d.status.as_ref()?.conditions.as_ref());
            conditions
                .into_iter()
                .flatten()
                .any(|c| c.type_ == "Established" && c.status == "True")
        },
    )
    .await;
    definitions
}

/// G-1, G-2, G-3 for kinds that come and go while the collector runs: owned by them, owning them.
#[tokio::test]
async fn custom_resources_own_and_are_owned() {
    let cluster = Cluster::start().await;
    let maps: Api<ConfigMap> = cluster.api();
    for round in 0..2 {
        let definitions = define_things(&cluster).await;
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Thing"));
        let things: Api<DynamicObject> =
            Api::namespaced_with(definitions.clone().into_client(), "default", &kind);
        let make = async |name: &str, owners: serde_json::Value| {
            let mut thing = DynamicObject::new(name, &kind);
            thing.metadata.owner_references = serde_json::from_value(owners).expect("owners");
            things
                .create(&PostParams::default(), &thing)
                .await
                .expect("made")
        };
        let owned_by = |owner: &DynamicObject| {
            json!([{"apiVersion": "example.com/v1", "kind": "Thing", "name": owner.name_any(),
                "uid": owner.uid(), "blockOwnerDeletion": true}])
        };
        let top = make("top", json!([])).await;
        let middle = make("middle", owned_by(&top)).await;
        create(
            &maps,
            &json!({"metadata": {"name": "leaf", "ownerReferences": owned_by(&middle)}}),
        )
        .await;
        // An owner that never was.
        let mut never = owned_by(&top);
        never[0]["uid"] = json!("00000000-0000-4000-8000-000000000000");
        never[0]["name"] = json!("never");
        create(
            &maps,
            &json!({"metadata": {"name": "stale", "ownerReferences": never}}),
        )
        .await;
        until_gone(&maps, "stale").await;
        assert!(maps.get_opt("leaf").await.expect("answer").is_some());

        if round == 0 {
            things
                .delete("top", &DeleteParams::foreground())
                .await
                .expect("deletion begins");
            until_gone(&maps, "leaf").await;
            assert!(things.get_opt("middle").await.expect("answer").is_none());
        } else {
            let orphan = DeleteParams {
                propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
                ..DeleteParams::default()
            };
            things.delete("top", &orphan).await.expect("deleted");
            until(&things, "middle", "nobody's", |thing| {
                thing.is_some_and(|thing| thing.owner_references().is_empty())
            })
            .await;
        }
        // With the kind go its objects, and with them what they own.
        definitions
            .delete("things.example.com", &DeleteParams::default())
            .await
            .expect("deletion begins");
        until_gone(&definitions, "things.example.com").await;
        until_gone(&maps, "leaf").await;
    }
}

/// A namespace takes its custom resources along, and waits for those that are held.
#[tokio::test]
async fn a_namespace_is_emptied_of_custom_resources() {
    let cluster = Cluster::start().await;
    let namespaces: Api<Namespace> = cluster.all();
    create(&namespaces, &json!({"metadata": {"name": "x"}})).await;
    let definitions = define_things(&cluster).await;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Thing"));
    let things: Api<DynamicObject> = Api::namespaced_with(definitions.into_client(), "x", &kind);
    let mut thing = DynamicObject::new("a", &kind);
    thing.metadata.finalizers = Some(vec!["example.com/held".to_owned()]);
    things
        .create(&PostParams::default(), &thing)
        .await
        .expect("made");

    namespaces
        .delete("x", &DeleteParams::default())
        .await
        .expect("deletion begins");
    until(&namespaces, "x", "telling why", |namespace| {
        let conditions =
            namespace.and_then(|namespace| namespace.status.as_ref()?.conditions.as_ref());
        conditions
            .into_iter()
            .flatten()
            .any(|c| c.type_ == "NamespaceFinalizersRemaining" && c.status == "True")
    })
    .await;
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    things
        .patch("a", &PatchParams::default(), &free)
        .await
        .expect("freed");
    until_gone(&namespaces, "x").await;
}

/// L-43 (c): the operator's word frees the pods of a dead node.
#[tokio::test]
async fn pods_of_a_node_out_of_service_are_removed() {
    let cluster = Cluster::start().await;
    let nodes: Api<Node> = cluster.all();
    let pods: Api<Pod> = cluster.api();
    cluster
        .run_pod(
            json!({"metadata": {"name": "web-0"}, "spec": {}}),
            "10.244.0.7",
        )
        .await;
    pods.delete("web-0", &DeleteParams::default())
        .await
        .expect("deletion begins");
    let lost = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    nodes
        .patch_status(NODE, &PatchParams::default(), &Patch::Merge(lost))
        .await
        .expect("lost");
    until(&nodes, NODE, "unreachable", |node| {
        let taints = node.and_then(|node| node.spec.as_ref()?.taints.as_ref());
        taints
            .into_iter()
            .flatten()
            .any(|taint| taint.key == "node.kubernetes.io/unreachable")
    })
    .await;
    assert!(
        pods.get("web-0").await.is_ok(),
        "silence alone frees nothing"
    );
    let taint = json!({"spec": {"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]}});
    nodes
        .patch(NODE, &PatchParams::default(), &Patch::Strategic(taint))
        .await
        .expect("tainted");
    until_gone(&pods, "web-0").await;
}
