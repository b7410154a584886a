use super::plan::*;
use crate::testing::{object, objects, text};
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use std::sync::Arc;

const HEADLESS: &str = "
metadata: {name: web, namespace: default, uid: s1, labels: {app: web}, creationTimestamp: '2026-01-01T00:00:00Z'}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}";

fn pod(index: u8, ready: bool, more: &str) -> Arc<Pod> {
    let status = if ready { "True" } else { "False" };
    let mut pod: Pod = object(&format!(
        "
metadata: {{name: web-{index}, namespace: default, uid: p{index}, labels: {{app: web}}}}
spec: {{nodeName: n1, hostname: web-{index}, subdomain: web, containers: [{{name: c, ports: [{{name: http, containerPort: 8080}}]}}]}}
status: {{phase: Running, podIP: 10.244.0.{index}, conditions: [{{type: Ready, status: '{status}', lastTransitionTime: '2026-01-01T00:00:0{index}Z'}}]}}"
    ));
    match more {
        "terminating" => pod.metadata.deletion_timestamp = object("'2026-01-01T00:01:00Z'"),
        "over" => pod.status.as_mut().unwrap().phase = Some("Failed".into()),
        "without port" => pod.spec.as_mut().unwrap().containers[0].ports = None,
        "without address" => pod.status.as_mut().unwrap().pod_ip = None,
        _ => {}
    }
    Arc::new(pod)
}

fn planned(service: &str, pods: &[Arc<Pod>], existing: Option<&Endpoints>) -> Option<Action> {
    let service: Service = object(service);
    plan(&World {
        service: Some(&service),
        pods,
        existing,
    })
}

fn created(service: &str, pods: &[Arc<Pod>]) -> Endpoints {
    match planned(service, pods, None) {
        Some(Action::Create(endpoints)) => endpoints,
        other => panic!("{other:?}"),
    }
}

fn addresses(endpoints: &Endpoints) -> (Vec<&str>, Vec<&str>) {
    let subsets = endpoints.subsets.iter().flatten();
    let mut ready = Vec::new();
    let mut unready = Vec::new();
    for subset in subsets {
        ready.extend(subset.addresses.iter().flatten().map(|a| a.ip.as_str()));
        unready.extend(
            subset
                .not_ready_addresses
                .iter()
                .flatten()
                .map(|a| a.ip.as_str()),
        );
    }
    (ready, unready)
}

/// N-11, N-15, N-20, N-21.
#[test]
fn ready_and_unready_pods_of_a_headless_service() {
    let pods = [pod(2, true, ""), pod(1, false, ""), pod(0, true, "")];
    insta::assert_snapshot!(text(&created(HEADLESS, &pods)));
}

/// N-20: terminating, finished, addressless and portless pods are left out.
#[test]
fn pods_that_serve_nothing_are_left_out() {
    let pods = [
        pod(0, true, "terminating"),
        pod(1, true, "over"),
        pod(2, true, "without port"),
        pod(3, true, "without address"),
    ];
    assert_eq!(created(HEADLESS, &pods).subsets, None);
}

/// N-20: publishNotReadyAddresses keeps unready and terminating pods among the ready ones.
#[test]
fn unready_addresses_are_published_on_request() {
    let service = HEADLESS.replace(
        "clusterIP: None",
        "clusterIP: None, publishNotReadyAddresses: true",
    );
    let pods = [pod(0, false, ""), pod(1, true, "terminating")];
    let endpoints = created(&service, &pods);
    assert_eq!(
        addresses(&endpoints),
        (vec!["10.244.0.0", "10.244.0.1"], vec![])
    );
}

/// N-11: a service that is not the pod's subdomain gives it no name.
#[test]
fn a_second_service_gives_no_hostnames() {
    let service = HEADLESS.replace("name: web,", "name: other,");
    let endpoints = created(&service, &[pod(0, true, "")]);
    let subsets = endpoints.subsets.expect("one subset");
    assert_eq!(
        subsets[0].addresses.as_ref().expect("ready")[0].hostname,
        None
    );
}

/// N-20: ports found at the same addresses share a subset.
#[test]
fn ports_are_grouped_by_their_addresses() {
    let service = HEADLESS.replace("ports: [", "ports: [{name: db, port: 5432}, ");
    let pods = [pod(0, true, ""), pod(1, true, "without port")];
    let endpoints = created(&service, &pods);
    let groups: Vec<(Vec<&str>, usize)> = endpoints
        .subsets
        .iter()
        .flatten()
        .map(|s| {
            let names = s
                .ports
                .iter()
                .flatten()
                .filter_map(|p| p.name.as_deref())
                .collect();
            (names, s.addresses.iter().flatten().count())
        })
        .collect();
    assert_eq!(groups, [(vec!["http"], 1), (vec!["db"], 2)]);
}

/// Invariant 6: nothing is written when nothing changed, whatever the trigger time would be.
#[test]
fn a_right_object_is_left_alone() {
    let pods = [pod(0, true, ""), pod(1, false, "")];
    let mut existing = created(HEADLESS, &pods);
    existing.metadata.annotations = Some([("mine".to_owned(), "kept".to_owned())].into());
    assert_eq!(planned(HEADLESS, &pods, Some(&existing)), None);
    let Some(Action::Update(updated)) = planned(HEADLESS, &pods[1..], Some(&existing)) else {
        panic!("a pod left");
    };
    assert_eq!(addresses(&updated), (vec![], vec!["10.244.0.1"]));
    assert_eq!(
        updated.metadata.annotations.expect("annotations")["mine"],
        "kept"
    );
}

/// N-3: a service without selector, or an alias, is the user's own business.
#[test]
fn unmanaged_services_are_untouched() {
    let by_hand: Endpoints = object("metadata: {name: web, namespace: default, uid: e1}");
    for service in [
        HEADLESS.replace("selector: {app: web}, ", ""),
        HEADLESS.replace(
            "clusterIP: None",
            "type: ExternalName, externalName: example.com",
        ),
    ] {
        assert_eq!(planned(&service, &[pod(0, true, "")], Some(&by_hand)), None);
    }
}

/// N-22.
#[test]
fn endpoints_go_with_their_service() {
    let existing: Endpoints = object("metadata: {name: web, namespace: default, uid: e1}");
    let world = World {
        service: None,
        pods: &objects(""),
        existing: Some(&existing),
    };
    assert_eq!(plan(&world), Some(Action::Delete { uid: "e1".into() }));
    assert_eq!(
        plan(&World {
            existing: None,
            ..world
        }),
        None
    );
}

/// N-21.
#[test]
fn addresses_are_capped_and_the_cap_is_told() {
    let pods: Vec<Arc<Pod>> = (0..1001)
        .map(|n| {
            let mut one = (*pod(1, true, "")).clone();
            one.status.as_mut().expect("status").pod_ip =
                Some(format!("10.244.{}.{}", n / 250, n % 250));
            Arc::new(one)
        })
        .collect();
    let endpoints = created(HEADLESS, &pods);
    assert_eq!(addresses(&endpoints).0.len(), 1000);
    assert_eq!(
        endpoints.metadata.annotations.expect("annotations")["endpoints.kubernetes.io/over-capacity"],
        "truncated"
    );
}
