//! Lists: pages of one state, selectors, old states, the forms clients ask for.

mod support;

use http::Request;
use serde_json::{Value, json};
use support::{Answer, Server};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn with_maps(server: &Server, names: &[&str]) {
    for name in names {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"g": "1", "n": name}}});
        server.post(MAPS, map).await.expect(201);
    }
}

fn names(list: &Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

async fn get_as(server: &Server, path: &str, accept: &str) -> Answer {
    server
        .request_with(Request::get(path).header("accept", accept), "")
        .await
}

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PARTIALS: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

#[tokio::test]
async fn pages_show_one_state_although_it_changes_between_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    with_maps(&server, &["a", "b", "c", "d", "e"]).await;
    let first = server.get(&format!("{MAPS}?limit=2")).await.expect(200);
    assert_eq!(
        (names(&first), &first["metadata"]["remainingItemCount"]),
        (vec!["a", "b"], &json!(3))
    );
    server
        .delete(&format!("{MAPS}/d"), json!({}))
        .await
        .expect(200);
    with_maps(&server, &["c2"]).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = server
        .get(&format!("{MAPS}?limit=2&continue={token}"))
        .await
        .expect(200);
    assert_eq!(
        (names(&second), &second["metadata"]["remainingItemCount"]),
        (vec!["c", "d"], &json!(1))
    );
    assert_eq!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    let token = second["metadata"]["continue"].as_str().unwrap();
    let third = server
        .get(&format!("{MAPS}?limit=2&continue={token}"))
        .await
        .expect(200);
    assert_eq!(
        (names(&third), &third["metadata"]["continue"]),
        (vec!["e"], &Value::Null)
    );
}

#[tokio::test]
async fn items_of_a_list_have_no_type_and_the_list_has_one() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    with_maps(&server, &["a", "b"]).await;
    let list = server.get(MAPS).await.expect(200);
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("ConfigMapList"), &json!("v1"))
    );
    assert!(
        list["items"][0]["kind"].is_null() && list["items"][1]["apiVersion"].is_null(),
        "{list}"
    );
    assert!(list["metadata"]["continue"].is_null());
}

#[tokio::test]
async fn earlier_states_can_be_listed_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    with_maps(&server, &["a"]).await;
    let before = server.get(MAPS).await.revision();
    server
        .merge(&format!("{MAPS}/a"), json!({"data": {"v": "2"}}))
        .await
        .expect(200);
    with_maps(&server, &["b"]).await;
    let old = server
        .get(&format!(
            "{MAPS}?resourceVersion={before}&resourceVersionMatch=Exact"
        ))
        .await
        .expect(200);
    assert_eq!(
        (names(&old), &old["items"][0]["data"]),
        (vec!["a"], &Value::Null)
    );
    let newer = server
        .get(&format!("{MAPS}?resourceVersion={before}"))
        .await
        .expect(200);
    assert_eq!(names(&newer), ["a", "b"]);
    let future = server.get(&format!("{MAPS}?resourceVersion=999999")).await;
    assert_eq!(future.code, 504);
    assert!(
        future
            .message()
            .starts_with("Timeout: Too large resource version: 999999, current: ")
    );
    let unset = server
        .get(&format!("{MAPS}?resourceVersionMatch=Exact"))
        .await;
    assert_eq!(
        unset.message(),
        "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
    );
}

#[tokio::test]
async fn selectors_run_on_labels_and_fields() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    with_maps(&server, &["a", "b", "c"]).await;
    for (query, expected) in [
        ("labelSelector=n%20in%20(a,c)", vec!["a", "c"]),
        ("labelSelector=g,n!%3Da", vec!["b", "c"]),
        ("fieldSelector=metadata.name%3Db", vec!["b"]),
        (
            "fieldSelector=metadata.name!%3Db&labelSelector=g",
            vec!["a", "c"],
        ),
        ("labelSelector=none", vec![]),
    ] {
        let list = server.get(&format!("{MAPS}?{query}")).await.expect(200);
        assert_eq!(names(&list), expected, "{query}");
        let everywhere = server
            .get(&format!("/api/v1/configmaps?{query}"))
            .await
            .expect(200);
        assert_eq!(names(&everywhere), expected, "{query}");
    }
    // K-23
    let unknown = server
        .get("/api/v1/pods?fieldSelector=spec.unknown%3Dx")
        .await;
    assert_eq!(
        (unknown.code, unknown.message().as_str()),
        (400, "field label not supported: spec.unknown")
    );
}

/// K-1, K-2.
#[tokio::test]
async fn a_list_can_be_a_table_or_metadata_alone() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    with_maps(&server, &["a", "b"]).await;
    let table = get_as(&server, MAPS, TABLE).await.expect(200);
    assert_eq!(
        (&table["kind"], &table["apiVersion"]),
        (&json!("Table"), &json!("meta.k8s.io/v1"))
    );
    assert_eq!(table["rows"][1]["cells"][0], "b");
    assert_eq!(table["rows"][1]["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(
        table["columnDefinitions"].as_array().unwrap().len(),
        table["rows"][0]["cells"].as_array().unwrap().len()
    );
    let partial = get_as(&server, MAPS, PARTIALS).await.expect(200);
    assert_eq!(
        (&partial["kind"], partial["items"].as_array().unwrap().len()),
        (&json!("PartialObjectMetadataList"), 2)
    );
    let yaml = get_as(&server, &format!("{MAPS}/a"), "application/yaml").await;
    assert_eq!(yaml.headers["content-type"], "application/yaml");
    assert!(String::from_utf8_lossy(&yaml.bytes).contains("kind: ConfigMap"));
    assert_eq!(
        get_as(&server, MAPS, "application/vnd.kubernetes.protobuf")
            .await
            .code,
        406
    );
}

/// G-7.
#[tokio::test]
async fn a_collection_is_deleted_by_selector_and_listed_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    with_maps(&server, &["a", "b", "c"]).await;
    let gone = server
        .delete(&format!("{MAPS}?labelSelector=n!%3Db"), json!({}))
        .await
        .expect(200);
    assert_eq!(names(&gone), ["a", "c"]);
    assert_eq!(names(&server.get(MAPS).await.expect(200)), ["b"]);
}
