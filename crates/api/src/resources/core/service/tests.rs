use rstest::rstest;

use super::*;
use crate::resources::testing::texts;

#[expect(
    clippy::needless_pass_by_value,
    reason = "json!(..) reads better without a reference"
)]
fn service(spec: Value) -> Value {
    let mut service = json!({"metadata": {"name": "web"}, "spec": spec});
    Rules.default(&mut service);
    complete_addresses(&mut service["spec"]);
    service
}

#[test]
fn a_minimal_service_is_completed() {
    let mut web = service(
        json!({"ports": [{"port": 80, "targetPort": "http", "name": "web"}, {"port": 53, "protocol": "UDP", "name": "dns"}], "selector": {"app": "web"}}),
    );
    Rules.prepare_create(&mut web);
    assert_eq!(
        web,
        json!({"metadata": {"name": "web"}, "status": {"loadBalancer": {}}, "spec": {
            "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "web", "port": 80, "protocol": "TCP", "targetPort": "http"}, {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53}],
            "selector": {"app": "web"}, "sessionAffinity": "None", "type": "ClusterIP"}})
    );
    assert!(Rules.validate(&web).is_empty());
    let headless = service(json!({"clusterIP": "None"}));
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    assert!(Rules.validate(&headless).is_empty());
    let external = service(json!({"type": "ExternalName", "externalName": "x.example.com"}));
    assert_eq!(
        external["spec"],
        json!({"externalName": "x.example.com", "sessionAffinity": "None", "type": "ExternalName"})
    );
    let sticky = service(json!({"sessionAffinity": "ClientIP"}));
    assert_eq!(
        sticky["spec"]["sessionAffinityConfig"],
        json!({"clientIP": {"timeoutSeconds": 10800}})
    );
    let balanced = service(json!({"type": "LoadBalancer", "ports": [{"port": 80}]}));
    assert_eq!(balanced["spec"]["allocateLoadBalancerNodePorts"], true);
    assert_eq!(balanced["spec"]["externalTrafficPolicy"], "Cluster");
}

#[rstest]
#[case(json!({"selector": {"a": "b"}}), &["spec.ports: Required value"])]
#[case(json!({"ports": [{"port": 1}, {"port": 2}]}), &["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"])]
#[case(json!({"ports": [{"port": 0}]}), &["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive", "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive"])]
#[case(json!({"ports": [{"port": 80, "protocol": "ICMP"}]}), &["spec.ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\""])]
#[case(json!({"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 1}]}), &["spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":1,\"TargetPort\":0,\"NodePort\":0}"])]
#[case(json!({"type": "Magic", "ports": [{"port": 1}]}), &["spec.type: Unsupported value: \"Magic\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\""])]
#[case(json!({"ports": [{"port": 1, "targetPort": "UPPER_case"}]}), &["spec.ports[0].targetPort: Invalid value: \"UPPER_case\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"])]
#[case(json!({"type": "ExternalName"}), &["spec.externalName: Required value"])]
#[case(json!({"externalIPs": ["0.0.0.0"], "ports": [{"port": 1}]}), &["spec.externalIPs[0]: Invalid value: \"0.0.0.0\": may not be unspecified (0.0.0.0)"])]
#[case(json!({"sessionAffinity": "Sticky", "ports": [{"port": 1}]}), &["spec.sessionAffinity: Unsupported value: \"Sticky\": supported values: \"ClientIP\", \"None\""])]
#[case(json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}, "ports": [{"port": 1}]}), &["spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400"])]
#[case(json!({"clusterIP": "not-an-ip", "ports": [{"port": 1}]}), &["spec.clusterIPs[0]: Invalid value: \"not-an-ip\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"])]
#[case(json!({"clusterIP": "None", "type": "LoadBalancer", "ports": [{"port": 1}]}), &["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for LoadBalancer services"])]
#[case(json!({"ipFamilies": ["IPv6"], "ports": [{"port": 1}]}), &["spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster"])]
#[case(json!({"externalTrafficPolicy": "Local", "ports": [{"port": 1}]}), &["spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services"])]
fn faults_read_like_upstreams(#[case] spec: Value, #[case] want: &[&str]) {
    assert_eq!(texts(&Rules.validate(&service(spec))), want);
}

fn stored() -> Value {
    service(json!({"clusterIP": "10.96.0.9", "ports": [{"port": 80}]}))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "json!(..) reads better without a reference"
)]
fn updated(change: Value) -> Value {
    let mut new = stored();
    json_patch::merge(&mut new["spec"], &change);
    Rules.default(&mut new);
    Rules.prepare_update(&mut new, &stored());
    new
}

#[test]
fn the_cluster_ip_stays() {
    let moved = updated(json!({"clusterIP": "10.96.77.77"}));
    assert_eq!(
        texts(&Rules.validate_update(&moved, &stored())),
        ["spec.clusterIPs[0]: Invalid value: [\"10.96.77.77\"]: may not change once set"]
    );
    for omitted in [
        json!({"clusterIP": null}),
        json!({"clusterIP": null, "clusterIPs": null}),
        json!({"clusterIPs": null}),
    ] {
        let kept = updated(omitted.clone());
        assert_eq!(kept["spec"], stored()["spec"], "{omitted}");
        assert!(Rules.validate_update(&kept, &stored()).is_empty());
    }
}

#[test]
fn a_service_may_become_an_alias() {
    let alias = updated(json!({"type": "ExternalName", "externalName": "db.example.com"}));
    assert_eq!(
        alias["spec"],
        json!({"externalName": "db.example.com", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            "sessionAffinity": "None", "type": "ExternalName"})
    );
    assert!(Rules.validate_update(&alias, &stored()).is_empty());
}

#[test]
fn node_ports_go_with_the_type() {
    let old = service(
        json!({"type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30080}]}),
    );
    let mut same =
        service(json!({"type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 80}]}));
    Rules.prepare_update(&mut same, &old);
    assert_eq!(same["spec"]["ports"][0]["nodePort"], 30080);
    let mut inside = old.clone();
    inside["spec"]["type"] = "ClusterIP".into();
    Rules.prepare_update(&mut inside, &old);
    assert_eq!(inside["spec"]["ports"][0].get("nodePort"), None);
    assert_eq!(inside["spec"].get("externalTrafficPolicy"), None);
    assert!(Rules.validate_update(&inside, &old).is_empty());
}

#[test]
fn rows_show_addresses_and_ports() {
    // K-6
    let cells =
        |spec: Value| Value::from(Rules.row(&service(spec), Timestamp::UNIX_EPOCH)[1..5].to_vec());
    assert_eq!(
        cells(
            json!({"clusterIP": "10.0.0.1", "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}]})
        ),
        json!(["ClusterIP", "10.0.0.1", "<none>", "80/TCP,53/UDP"])
    );
    assert_eq!(
        cells(json!({"clusterIP": "None"})),
        json!(["ClusterIP", "None", "<none>", "<none>"])
    );
    assert_eq!(
        cells(
            json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1", "ports": [{"port": 80, "nodePort": 30080}]})
        ),
        json!(["LoadBalancer", "10.0.0.1", "<pending>", "80:30080/TCP"])
    );
    assert_eq!(
        cells(json!({"type": "ExternalName", "externalName": "x.y"})),
        json!(["ExternalName", "<none>", "x.y", "<none>"])
    );
}
