//! Objects through a real client: made, read, changed, deleted, by the rules of every kind.

mod support;

use http::Method;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use support::Server;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}})
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
           "spec": {"containers": [{"name": "c", "image": "registry.example.com/app:1"}]}})
}

#[tokio::test]
async fn a_typed_client_makes_reads_changes_and_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let maps: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    let made = maps
        .create(
            &PostParams::default(),
            &serde_json::from_value(map("a")).unwrap(),
        )
        .await
        .unwrap();
    assert_eq!(maps.get("a").await.unwrap(), made);
    let patch = Patch::Merge(json!({"data": {"more": "x"}}));
    let patched = maps
        .patch("a", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert_eq!(patched.data.as_ref().unwrap().len(), 2);
    assert_ne!(
        patched.metadata.resource_version,
        made.metadata.resource_version
    );
    assert_eq!(
        maps.list(&ListParams::default()).await.unwrap().items,
        std::slice::from_ref(&patched)
    );

    let stale = maps
        .replace("a", &PostParams::default(), &made)
        .await
        .unwrap_err();
    assert!(
        stale.to_string().contains("the object has been modified"),
        "{stale}"
    );
    maps.replace("a", &PostParams::default(), &patched)
        .await
        .unwrap();
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn every_cluster_has_its_namespaces_and_its_own_service() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let namespaces: Api<Namespace> = Api::all(server.client());
    let names: Vec<_> = namespaces
        .list(&ListParams::default())
        .await
        .unwrap()
        .into_iter()
        .filter_map(|n| n.metadata.name)
        .collect();
    assert_eq!(
        names,
        ["default", "kube-node-lease", "kube-public", "kube-system"]
    );
    let services: Api<Service> = Api::namespaced(server.client(), "default");
    let spec = services.get("kubernetes").await.unwrap().spec.unwrap();
    assert_eq!(spec.cluster_ip.as_deref(), Some("10.96.0.1"));
    let slice = server
        .get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
        .await
        .expect(200);
    assert_eq!(slice["endpoints"][0]["addresses"], json!(["192.0.2.1"]));
    // G-10
    let refused = server.delete("/api/v1/namespaces/default", json!({})).await;
    assert_eq!(
        (refused.code, refused.message().as_str()),
        (
            403,
            "namespaces \"default\" is forbidden: this namespace may not be deleted"
        )
    );
}

///
#[tokio::test]
async fn a_write_that_changes_nothing_keeps_the_resource_version() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let made = server.post(MAPS, map("a")).await.revision();
    assert_eq!(
        server
            .merge(&format!("{MAPS}/a"), json!({"data": {"k": "v"}}))
            .await
            .revision(),
        made
    );
    assert_eq!(
        server.put(&format!("{MAPS}/a"), map("a")).await.revision(),
        made
    );
    assert_eq!(
        server
            .merge(&format!("{MAPS}/a"), json!({"data": {"k": "w"}}))
            .await
            .revision(),
        made + 1
    );
}

/// §1.6.
#[tokio::test]
async fn refusals_have_the_code_and_text_of_upstream() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.post(MAPS, map("a")).await.expect(201);
    let cases = [
        (
            server.get(&format!("{MAPS}/b")).await,
            404,
            "configmaps \"b\" not found",
        ),
        (
            server.post(MAPS, map("a")).await,
            409,
            "configmaps \"a\" already exists",
        ),
        (
            server.put(&format!("{MAPS}/b"), map("b")).await,
            404,
            "configmaps \"b\" not found",
        ),
        (
            server.put(&format!("{MAPS}/a"), map("b")).await,
            400,
            "the name of the object (b) does not match the name on the URL (a)",
        ),
        (
            server
                .post("/api/v1/namespaces/absent/configmaps", map("a"))
                .await,
            404,
            "namespaces \"absent\" not found",
        ),
        (
            server.post("/api/v1/configmaps", map("a")).await,
            405,
            "the server does not allow this method on the requested resource",
        ),
        (
            server.get(&format!("{MAPS}?limit=x")).await,
            400,
            "strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            server.get(&format!("{MAPS}?resourceVersion=x")).await,
            400,
            "invalid resource version: resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax",
        ),
        // §13.2
        (
            server.get(&format!("{MAPS}/a?resourceVersion=x")).await,
            500,
            "resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax",
        ),
        (
            server
                .request(
                    Method::PATCH,
                    &format!("{MAPS}/a"),
                    "application/json",
                    "{}",
                )
                .await,
            415,
            "415: Unsupported Media Type",
        ),
        (
            server
                .get(&format!("{MAPS}?fieldSelector=data.k%3Dv"))
                .await,
            400,
            "\"data.k\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
        ),
    ];
    for (answer, code, message) in cases {
        assert_eq!((answer.code, answer.message().as_str()), (code, message));
    }
}

#[tokio::test]
async fn a_dry_run_answers_like_the_real_thing_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let dry = server
        .post(&format!("{MAPS}?dryRun=All"), map("a"))
        .await
        .expect(201);
    assert!(
        dry["metadata"]["uid"].is_string() && dry["metadata"]["resourceVersion"].is_null(),
        "{dry}"
    );
    assert_eq!(server.get(&format!("{MAPS}/a")).await.code, 404);
    let made = server.post(MAPS, map("a")).await.expect(201);
    assert_eq!(
        server
            .post(&format!("{MAPS}?dryRun=All"), map("a"))
            .await
            .code,
        409
    );
    let patched = server
        .merge(&format!("{MAPS}/a?dryRun=All"), json!({"data": {"k": "w"}}))
        .await
        .expect(200);
    assert_eq!(patched["data"]["k"], "w");
    let dry = server
        .request(Method::DELETE, &format!("{MAPS}/a?dryRun=All"), "", "")
        .await;
    assert_eq!(dry.code, 200);
    assert_eq!(server.get(&format!("{MAPS}/a")).await.json(), made);
}

#[tokio::test]
async fn unknown_fields_warn_are_refused_or_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let odd = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "extra": 1});
    let warned = server.post(MAPS, odd("a")).await;
    assert_eq!(
        warned.headers["warning"],
        "299 - \"unknown field \\\"extra\\\"\""
    );
    assert!(warned.expect(201)["extra"].is_null());
    let strict = server
        .post(&format!("{MAPS}?fieldValidation=Strict"), odd("b"))
        .await;
    assert_eq!(strict.code, 400);
    assert!(
        strict
            .message()
            .ends_with("strict decoding error: unknown field \"extra\""),
        "{}",
        strict.message()
    );
    assert!(
        !server
            .post(&format!("{MAPS}?fieldValidation=Ignore"), odd("c"))
            .await
            .headers
            .contains_key("warning")
    );
}

/// L-30, L-31, L-34.
#[tokio::test]
async fn a_running_pod_is_deleted_in_two_steps() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let pods = "/api/v1/namespaces/default/pods";
    server.post(pods, pod("a")).await.expect(201);
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}});
    server
        .post(&format!("{pods}/a/binding"), binding.clone())
        .await
        .expect(201);
    let again = server.post(&format!("{pods}/a/binding"), binding).await;
    assert_eq!(
        again.message(),
        "Operation cannot be fulfilled on pods/binding \"a\": pod a is already assigned to node \"n\""
    );

    let marked = server
        .delete(&format!("{pods}/a"), json!({}))
        .await
        .expect(200);
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(marked["metadata"]["generation"], 2);
    let longer = server
        .delete(&format!("{pods}/a"), json!({"gracePeriodSeconds": 60}))
        .await
        .expect(200);
    assert_eq!(longer, marked, "a longer time is not granted");
    let shorter = server
        .delete(&format!("{pods}/a"), json!({"gracePeriodSeconds": 5}))
        .await
        .expect(200);
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    let wrong = server
        .delete(
            &format!("{pods}/a"),
            json!({"gracePeriodSeconds": 0, "preconditions": {"uid": "other"}}),
        )
        .await;
    assert_eq!(wrong.code, 409);
    let uid = marked["metadata"]["uid"].clone();
    server
        .delete(
            &format!("{pods}/a"),
            json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}),
        )
        .await
        .expect(200);
    assert_eq!(server.get(&format!("{pods}/a")).await.code, 404);

    // A pod nobody runs goes at once.
    server.post(pods, pod("b")).await.expect(201);
    server
        .delete(&format!("{pods}/b"), json!({}))
        .await
        .expect(200);
    assert_eq!(server.get(&format!("{pods}/b")).await.code, 404);
}

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let mut held = map("a");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    server.post(MAPS, held).await.expect(201);
    let marked = server
        .delete(
            &format!("{MAPS}/a"),
            json!({"propagationPolicy": "Foreground"}),
        )
        .await
        .expect(200);
    assert_eq!(
        marked["metadata"]["finalizers"],
        json!(["example.com/hold", "foregroundDeletion"])
    );
    let exists = server.post(MAPS, map("a")).await;
    assert_eq!(
        exists.message(),
        "object is being deleted: configmaps \"a\" already exists"
    );
    server
        .merge(
            &format!("{MAPS}/a"),
            json!({"metadata": {"finalizers": ["foregroundDeletion"]}}),
        )
        .await
        .expect(200);
    assert_eq!(server.get(&format!("{MAPS}/a")).await.code, 200);
    server
        .merge(
            &format!("{MAPS}/a"),
            json!({"metadata": {"finalizers": null}}),
        )
        .await
        .expect(200);
    assert_eq!(server.get(&format!("{MAPS}/a")).await.code, 404);
}

/// G-8.
#[tokio::test]
async fn a_namespace_goes_when_its_finalizer_is_taken_off() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}});
    let made = server
        .post("/api/v1/namespaces", namespace)
        .await
        .expect(201);
    assert_eq!(made["spec"]["finalizers"], json!(["kubernetes"]));
    let marked = server
        .delete("/api/v1/namespaces/x", json!({}))
        .await
        .expect(200);
    assert_eq!(marked["status"]["phase"], "Terminating");
    let late = server
        .post("/api/v1/namespaces/x/configmaps", map("late"))
        .await;
    assert_eq!(late.code, 403);
    assert_eq!(
        late.json()["details"]["causes"][0]["reason"],
        "NamespaceTerminating"
    );
    let done = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}, "spec": {"finalizers": []}});
    server
        .put("/api/v1/namespaces/x/finalize", done)
        .await
        .expect(200);
    assert_eq!(server.get("/api/v1/namespaces/x").await.code, 404);
}

///
#[tokio::test]
async fn scaling_changes_the_replicas_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let sets = "/apis/apps/v1/namespaces/default/statefulsets";
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"}, "spec": {
        "replicas": 1, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let made = server.post(sets, set).await.expect(201);
    let scale = server
        .merge(
            &format!("{sets}/web/scale"),
            json!({"spec": {"replicas": 4}}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&scale["kind"], &scale["spec"]["replicas"]),
        (&json!("Scale"), &json!(4))
    );
    let now = server.get(&format!("{sets}/web")).await.expect(200);
    assert_eq!(
        (&now["spec"]["replicas"], &now["metadata"]["generation"]),
        (&json!(4), &json!(2))
    );
    assert_eq!(now["spec"]["template"], made["spec"]["template"]);
    let absent = server
        .merge(
            &format!("{sets}/none/scale"),
            json!({"spec": {"replicas": 4}}),
        )
        .await;
    assert_eq!(
        absent.message(),
        "statefulsets/scale.apps \"none\" not found"
    );
}

#[tokio::test]
async fn many_writers_of_one_object_all_get_through() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.post(MAPS, map("a")).await.expect(201);
    let patches = (0..24).map(|n| {
        let server = &server;
        async move {
            server
                .merge(
                    &format!("{MAPS}/a"),
                    json!({"data": {format!("k{n}"): "v"}}),
                )
                .await
                .expect(200)
        }
    });
    futures::future::join_all(patches).await;
    let data = server.get(&format!("{MAPS}/a")).await.expect(200)["data"].clone();
    assert_eq!(data.as_object().unwrap().len(), 25);
}

#[tokio::test]
async fn names_are_made_from_a_prefix_and_claims_get_the_default_class() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let generated =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "gen-"}});
    let name = server.post(MAPS, generated).await.expect(201)["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(name.starts_with("gen-") && name.len() == 9, "{name}");

    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "p", "metadata": {"name": "fast",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}});
    server
        .post("/apis/storage.k8s.io/v1/storageclasses", class)
        .await
        .expect(201);
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = |name: &str, class: Value| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": {"requests": {"storage": "1Mi"}}}})
    };
    let made = server
        .post(claims, claim("a", Value::Null))
        .await
        .expect(201);
    assert_eq!(made["spec"]["storageClassName"], "fast");
    assert_eq!(
        made["metadata"]["finalizers"],
        json!(["kubernetes.io/pvc-protection"])
    );
    let classless = server.post(claims, claim("b", json!(""))).await.expect(201);
    assert_eq!(classless["spec"]["storageClassName"], "");
}
