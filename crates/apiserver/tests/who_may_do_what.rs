//! Invariant 7 and what roles, tokens and impersonation promise, from the outside: over TLS, with certificates and tokens.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use support::{Authority, Server};
use tokio::net::TcpStream;

/// Somebody outside: an authority for their certificate, if they have one, and headers.
#[derive(Default, Clone)]
struct Caller<'a> {
    certificate: Option<(&'a Authority, &'a str, Option<&'a str>)>,
    headers: Vec<(&'static str, String)>,
}

impl<'a> Caller<'a> {
    fn certified(authority: &'a Authority, name: &'a str, group: Option<&'a str>) -> Self {
        Self {
            certificate: Some((authority, name, group)),
            headers: Vec::new(),
        }
    }

    fn bearer(token: &str) -> Self {
        Self::default().with("authorization", format!("Bearer {token}"))
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A server on the loopback.
struct Open {
    server: Server,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Open {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(directory.path()).await;
        let (address, _, _) = server.listen().await;
        Self {
            server,
            address,
            _directory: directory,
        }
    }

    fn admin(&self) -> Caller<'_> {
        Caller::certified(&self.server.authority, "admin", Some("system:masters"))
    }

    fn become_(&self, user: &str) -> Caller<'_> {
        self.admin().with("impersonate-user", user)
    }

    async fn ask(
        &self,
        caller: &Caller<'_>,
        method: Method,
        path: &str,
        body: Value,
    ) -> (u16, Value) {
        let identity = caller
            .certificate
            .map(|(authority, name, group)| authority.issue(name, group));
        let mut tls = (*self.server.authority.client_tls(identity)).clone();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let socket = TcpStream::connect(self.address).await.unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(tls))
            .connect(ServerName::try_from("localhost").unwrap(), socket)
            .await
            .unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json");
        for (name, value) in &caller.headers {
            request = request.header(*name, value);
        }
        let body = if body.is_null() {
            Bytes::new()
        } else {
            body.to_string().into()
        };
        let response = sender
            .send_request(request.body(Full::new(body)).unwrap())
            .await
            .unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn get(&self, caller: &Caller<'_>, path: &str) -> (u16, Value) {
        self.ask(caller, Method::GET, path, Value::Null).await
    }

    async fn code(&self, caller: &Caller<'_>, path: &str) -> u16 {
        self.get(caller, path).await.0
    }

    async fn make(&self, path: &str, object: Value) -> Value {
        self.server.post(path, object).await.expect(201)
    }

    async fn token(&self, account: &str, spec: Value) -> String {
        let path = format!("/api/v1/namespaces/default/serviceaccounts/{account}/token");
        let request =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
        let answer = self.make(&path, request).await;
        answer["status"]["token"].as_str().unwrap().to_owned()
    }

    async fn account(&self, name: &str) {
        let object =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        self.make("/api/v1/namespaces/default/serviceaccounts", object)
            .await;
    }
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn strangers_hear_of_health_and_version_alone() {
    let open = Open::start().await;
    let nobody = Caller::default();
    for path in ["/livez", "/readyz", "/healthz", "/version"] {
        assert_eq!(open.code(&nobody, path).await, 200, "{path}");
    }
    let (code, body) = open.get(&nobody, MAPS).await;
    assert_eq!(
        (code, body["message"].as_str().unwrap()),
        (
            403,
            r#"configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps" in API group "" in the namespace "default""#
        )
    );
    for path in [
        "/",
        "/api",
        "/apis",
        "/openapi/v3",
        "/metrics",
        "/openid/v1/jwks",
        "/api/v1/namespaces/default/nothing",
    ] {
        assert_eq!(open.code(&nobody, path).await, 403, "{path}");
    }
    let other = Authority::new();
    for wrong in [
        Caller::bearer("wrong"),
        Caller::bearer("a.b.c"),
        Caller::certified(&other, "admin", Some("system:masters")),
        Caller::certified(&other, "admin", Some("system:masters"))
            .with("authorization", "Bearer wrong"),
    ] {
        let (code, body) = open.get(&wrong, "/version").await;
        assert_eq!(
            (code, body["reason"].as_str().unwrap()),
            (401, "Unauthorized")
        );
    }
    assert_eq!(open.code(&open.admin(), MAPS).await, 200);
    let guest = Caller::certified(&open.server.authority, "guest", None);
    assert_eq!(open.code(&guest, MAPS).await, 403);
    assert_eq!(
        open.code(&guest, "/apis").await,
        200,
        "whoever is known may look around"
    );
}

#[tokio::test]
async fn a_token_is_its_accounts_until_account_or_pod_are_gone() {
    let open = Open::start().await;
    open.account("bot").await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {
        "serviceAccountName": "bot", "containers": [{"name": "c", "image": "i"}]}});
    let pod = open.make("/api/v1/namespaces/default/pods", pod).await;
    let bound = json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": pod["metadata"]["uid"]}});
    let (of_pod, plain) = (
        open.token("bot", bound).await,
        open.token("bot", json!({})).await,
    );
    let elsewhere = open.token("bot", json!({"audiences": ["vault"]})).await;
    let whoami = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (code, me) = open
        .ask(&Caller::bearer(&of_pod), Method::POST, path, whoami)
        .await;
    assert_eq!(code, 201, "{me}");
    let user = &me["status"]["userInfo"];
    assert_eq!(user["username"], "system:serviceaccount:default:bot");
    assert_eq!(
        user["groups"],
        json!([
            "system:serviceaccounts",
            "system:serviceaccounts:default",
            "system:authenticated"
        ])
    );
    assert_eq!(
        user["extra"]["authentication.kubernetes.io/pod-name"],
        json!(["p"])
    );
    let discovery = "/.well-known/openid-configuration";
    assert_eq!(open.code(&Caller::bearer(&plain), discovery).await, 200);
    assert_eq!(open.code(&Caller::bearer(&elsewhere), discovery).await, 401);
    let hidden = URL_SAFE_NO_PAD.encode(&plain);
    let browser = Caller::default().with(
        "sec-websocket-protocol",
        format!("v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.{hidden}"),
    );
    assert_eq!(open.code(&browser, discovery).await, 200);
    let mut tampered = plain.clone();
    tampered.pop();
    assert_eq!(open.code(&Caller::bearer(&tampered), discovery).await, 401);

    let review = |token: &str, audiences: Value| json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token, "audiences": audiences}});
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let seen = open
        .make(reviews, review(&elsewhere, json!(["vault", "x"])))
        .await;
    assert_eq!(seen["status"]["audiences"], json!(["vault"]));
    let unseen = open.make(reviews, review(&elsewhere, Value::Null)).await;
    assert_eq!(
        unseen["status"],
        json!({"user": {}, "error": "invalid bearer token"})
    );

    let now = json!({"gracePeriodSeconds": 0});
    open.server
        .delete("/api/v1/namespaces/default/pods/p", now)
        .await
        .expect(200);
    assert_eq!(open.code(&Caller::bearer(&of_pod), discovery).await, 401);
    assert_eq!(open.code(&Caller::bearer(&plain), discovery).await, 200);
    let account = "/api/v1/namespaces/default/serviceaccounts/bot";
    open.server.delete(account, json!({})).await.expect(200);
    open.account("bot").await;
    assert_eq!(
        open.code(&Caller::bearer(&plain), discovery).await,
        401,
        "the new account is another one"
    );
}

#[tokio::test]
async fn acting_as_others_needs_leave_for_each_part() {
    let open = Open::start().await;
    let (code, body) = open.get(&open.become_("joe"), MAPS).await;
    assert_eq!(
        (
            code,
            body["message"].as_str().unwrap().contains(r#"User "joe""#)
        ),
        (403, true)
    );
    let joe = Caller::certified(&open.server.authority, "joe", None);
    let (code, body) = open
        .get(&joe.clone().with("impersonate-user", "jane"), MAPS)
        .await;
    assert_eq!(
        (code, body["message"].as_str().unwrap()),
        (
            403,
            r#"users "jane" is forbidden: User "joe" cannot impersonate resource "users" in API group "" at the cluster scope"#
        )
    );
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "mimic"},
        "rules": [{"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"], "resourceNames": ["jane"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "mimic"},
        "roleRef": {"kind": "ClusterRole", "name": "mimic"}, "subjects": [{"kind": "User", "name": "joe"}]});
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    open.make(&format!("{rbac}/clusterroles"), role).await;
    open.make(&format!("{rbac}/clusterrolebindings"), binding)
        .await;
    let as_jane = joe.clone().with("impersonate-user", "jane");
    assert_eq!(open.code(&as_jane, "/apis").await, 200);
    let as_master = as_jane.with("impersonate-group", "system:masters");
    let (code, body) = open.get(&as_master, "/apis").await;
    assert_eq!(
        (code, body["details"]["kind"].as_str().unwrap()),
        (403, "groups")
    );
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_have() {
    let open = Open::start().await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let roles = format!("{rbac}/namespaces/default/roles");
    let bindings = format!("{rbac}/namespaces/default/rolebindings");
    let admin = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "maker"},
        "roleRef": {"kind": "ClusterRole", "name": "system:aggregate-to-admin"}, "subjects": [{"kind": "User", "name": "maker"}]});
    open.make(&bindings, admin).await;
    let maker = open.become_("maker");
    let role = |name: &str, resource: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name},
               "rules": [{"verbs": ["get"], "apiGroups": ["", "rbac.authorization.k8s.io"], "resources": [resource]}]})
    };
    let (code, body) = open
        .ask(&maker, Method::POST, &roles, role("a", "secrets"))
        .await;
    assert_eq!(
        (code, body["message"].as_str().unwrap()),
        (
            403,
            "roles.rbac.authorization.k8s.io \"a\" is forbidden: user \"maker\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n\
             {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}\n\
             {APIGroups:[\"rbac.authorization.k8s.io\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"
        )
    );
    let bind = |role: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b"},
               "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [{"kind": "User", "name": "maker"}]})
    };
    let (code, _) = open
        .ask(&maker, Method::POST, &bindings, bind("cluster-admin"))
        .await;
    assert_eq!(code, 403);
    let (code, body) = open
        .ask(&maker, Method::POST, &bindings, bind("absent"))
        .await;
    assert_eq!(
        (code, body["details"]["kind"].as_str().unwrap()),
        (404, "rolebindings")
    );
    let (code, body) = open
        .ask(
            &maker,
            Method::POST,
            &bindings,
            bind("system:aggregate-to-admin"),
        )
        .await;
    assert_eq!(code, 201, "{body}");
    // A change that gives no more than before is anybody's who may change it.
    let path = format!("{roles}/wide");
    open.make(&roles, role("wide", "secrets")).await;
    let mut wide = open.server.get(&path).await.expect(200);
    wide["metadata"]["labels"] = json!({"a": "b"});
    let (code, body) = open.ask(&maker, Method::PUT, &path, wide.clone()).await;
    assert_eq!(code, 200, "{body}");
    wide = body;
    wide["rules"][0]["verbs"] = json!(["get", "list"]);
    let (code, _) = open.ask(&maker, Method::PUT, &path, wide).await;
    assert_eq!(code, 403);
}

#[tokio::test]
async fn a_node_sees_and_writes_what_is_its_own() {
    let open = Open::start().await;
    let node = Caller::certified(
        &open.server.authority,
        "system:node:a",
        Some("system:nodes"),
    );
    let secrets = "/api/v1/namespaces/default/secrets";
    for name in ["used", "other"] {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
        open.make(secrets, secret).await;
    }
    for (name, place) in [("p", "a"), ("q", "b")] {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"nodeName": place,
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v", "secret": {"secretName": if place == "a" { "used" } else { "other" }}}]}});
        open.make("/api/v1/namespaces/default/pods", pod).await;
    }
    let pods = "/api/v1/pods";
    for (path, code) in [
        ("/api/v1/namespaces/default/secrets/used", 200),
        ("/api/v1/namespaces/default/secrets/other", 403),
        (secrets, 403),
        ("/api/v1/namespaces/default/pods/p", 200),
        ("/api/v1/namespaces/default/pods/q", 403),
        (pods, 403),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Da", 200),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Db", 403),
        ("/api/v1/nodes", 403),
        ("/api/v1/nodes/b", 403),
    ] {
        assert_eq!(open.code(&node, path).await, code, "{path}");
    }
    let object = |name: &str, labels: Value| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
    let (code, body) = open
        .ask(&node, Method::POST, "/api/v1/nodes", object("b", json!({})))
        .await;
    assert_eq!(
        (code, body["message"].as_str().unwrap()),
        (
            403,
            r#"nodes "b" is forbidden: node "a" is not allowed to modify node "b""#
        )
    );
    let role = json!({"node-role.kubernetes.io/control-plane": ""});
    let (code, _) = open
        .ask(&node, Method::POST, "/api/v1/nodes", object("a", role))
        .await;
    assert_eq!(code, 403);
    let (code, body) = open
        .ask(&node, Method::POST, "/api/v1/nodes", object("a", json!({})))
        .await;
    assert_eq!(code, 201, "{body}");
    for (name, code) in [("p", 200), ("q", 403)] {
        let path = format!("/api/v1/namespaces/default/pods/{name}/status");
        let mut pod = open
            .server
            .get(&format!("/api/v1/namespaces/default/pods/{name}"))
            .await
            .expect(200);
        pod["status"]["phase"] = "Running".into();
        let answer = open.ask(&node, Method::PUT, &path, pod).await;
        assert_eq!(answer.0, code, "{name}: {}", answer.1);
    }
    let (code, _) = open
        .ask(
            &node,
            Method::DELETE,
            "/api/v1/namespaces/default/pods/q",
            Value::Null,
        )
        .await;
    assert_eq!(code, 403);
}

#[tokio::test]
async fn taken_away_permissions_come_back_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:discovery";
    let own = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:basic-user";
    let rules = json!({"rules": [{"verbs": ["get"], "nonResourceURLs": ["/own"]}]});
    server.merge(role, rules.clone()).await.expect(200);
    let mut kept = rules;
    kept["metadata"]["annotations"] =
        json!({"rbac.authorization.kubernetes.io/autoupdate": "false"});
    server.merge(own, kept).await.expect(200);
    server.api.stop();
    server.store.close().await;
    drop(server);
    let server = Server::start(directory.path()).await;
    let healed = server.get(role).await.expect(200);
    let urls = healed["rules"].to_string();
    assert!(urls.contains("/own") && urls.contains("/healthz"), "{urls}");
    let kept = server.get(own).await.expect(200);
    assert_eq!(kept["rules"].as_array().unwrap().len(), 1);
    assert!(kept["rules"].to_string().contains("/own"));
}
