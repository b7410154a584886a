use plinth_api::find;
use serde_json::{Value, json};

use super::*;

fn put(rbac: &Rbac, storage: &str, namespace: &str, name: &str, object: &Value) {
    rbac.apply(
        storage,
        namespace,
        name,
        Some(object.to_string().as_bytes()),
    );
}

fn may(rbac: &Rbac, user: &UserInfo, verb: &str, namespace: &str, path: &str) -> Decision {
    let (resource, name) = path.split_once(' ').unwrap_or((path, ""));
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    rbac.decide(&Attributes {
        user,
        verb,
        subject: Subject::Resource {
            group: "",
            resource,
            subresource,
            namespace,
            name,
        },
        selectors: None,
    })
}

fn jane() -> UserInfo {
    UserInfo::named("jane", &["devs"])
}

#[test]
fn a_binding_gives_its_role_in_its_namespace() {
    assert!(find("rbac.authorization.k8s.io", "v1", "roles").is_some());
    let rbac = Rbac::default();
    let role = json!({"rules": [
        {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["open"]},
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*/scale"]}]});
    put(&rbac, ROLES, "ns", "reader", &role);
    let binding = json!({"roleRef": {"kind": "Role", "name": "reader"},
                         "subjects": [{"kind": "Group", "name": "devs"}, {"kind": "ServiceAccount", "name": "bot"}]});
    put(&rbac, BINDINGS, "ns", "b", &binding);

    let yes = may(&rbac, &jane(), "get", "ns", "configmaps open");
    assert_eq!(
        (yes.allowed, yes.reason.as_str()),
        (
            true,
            r#"RBAC: allowed by RoleBinding "b/ns" of Role "reader" to Group "devs""#
        )
    );
    assert!(may(&rbac, &jane(), "patch", "ns", "deployments/scale x").allowed);
    assert!(
        may(
            &rbac,
            &UserInfo::service_account("ns", "bot"),
            "get",
            "ns",
            "configmaps open"
        )
        .allowed
    );
    for (user, verb, namespace, path) in [
        (jane(), "get", "ns", "configmaps closed"),
        (jane(), "get", "ns", "configmaps"),
        (jane(), "list", "ns", "configmaps open"),
        (jane(), "get", "other", "configmaps open"),
        (jane(), "get", "", "configmaps open"),
        (jane(), "patch", "ns", "deployments"),
        (UserInfo::named("joe", &[]), "get", "ns", "configmaps open"),
        (
            UserInfo::service_account("other", "bot"),
            "get",
            "ns",
            "configmaps open",
        ),
    ] {
        assert!(
            !may(&rbac, &user, verb, namespace, path).allowed,
            "{} {verb} {namespace} {path}",
            user.name
        );
    }

    rbac.apply(BINDINGS, "ns", "b", None);
    assert!(!may(&rbac, &jane(), "get", "ns", "configmaps open").allowed);
}

#[test]
fn a_changed_binding_no_longer_gives_what_it_gave() {
    let rbac = Rbac::default();
    let everything = json!({"rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]});
    put(&rbac, CLUSTER_ROLES, "", "all", &everything);
    let to = |user: &str| json!({"roleRef": {"kind": "ClusterRole", "name": "all"}, "subjects": [{"kind": "User", "name": user}]});
    put(&rbac, CLUSTER_BINDINGS, "", "b", &to("jane"));
    assert!(may(&rbac, &jane(), "delete", "", "nodes n").allowed);
    put(&rbac, CLUSTER_BINDINGS, "", "b", &to("joe"));
    assert!(!may(&rbac, &jane(), "delete", "", "nodes n").allowed);
    rbac.apply(CLUSTER_ROLES, "", "all", None);
    let refused = may(&rbac, &UserInfo::named("joe", &[]), "get", "ns", "pods");
    assert_eq!(
        refused.reason,
        r#"RBAC: clusterrole.rbac.authorization.k8s.io "all" not found"#
    );
}

#[test]
fn what_is_beyond_ones_own_is_named() {
    let rules = |value: Value| Rule::list(&value);
    let held = rules(json!([
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "*/scale"]},
        {"verbs": ["get"], "nonResourceURLs": ["/healthz/*"]}]));
    let beyond = |value: Value| -> Vec<String> {
        Rule::beyond(&held, &rules(value))
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert!(
        beyond(json!([
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]},
        {"verbs": ["list"], "apiGroups": [""], "resources": ["deployments/scale"]},
        {"verbs": ["get"], "nonResourceURLs": ["/healthz/ping"]}]))
        .is_empty()
    );
    assert_eq!(
        beyond(
            json!([{"verbs": ["get", "watch", "delete"], "apiGroups": [""], "resources": ["pods"]},
                      {"verbs": ["get"], "nonResourceURLs": ["*"]}])
        ),
        [
            r#"{APIGroups:[""], Resources:["pods"], Verbs:["watch" "delete"]}"#,
            r#"{NonResourceURLs:["*"], Verbs:["get"]}"#
        ]
    );
}
