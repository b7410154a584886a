//! Service (core/v1): a stable name and address for a set of pods.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::FieldError;
use crate::names::{self, Rule};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::columns::{AGE, NAME, cell, wide};
use crate::resources::keep;
use crate::resources::object::{ensure, fill, given, int, items, list, put, remove, text};
use crate::{meta, table};

mod validation;

const AFFINITY_SECONDS: i64 = 10_800;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "Service",
        list_kind: "ServiceList",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        categories: &["all"],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Proxy, Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        let spec = ensure(object, "spec");
        fill(spec, "sessionAffinity", "None");
        match text(spec, "sessionAffinity") {
            "None" => remove(spec, "sessionAffinityConfig"),
            "ClientIP" => {
                let config = ensure(ensure(spec, "sessionAffinityConfig"), "clientIP");
                fill(config, "timeoutSeconds", AFFINITY_SECONDS);
            }
            _ => {}
        }
        fill(spec, "type", "ClusterIP");
        for port in items(spec, "ports") {
            fill(port, "protocol", "TCP");
            if matches!(port.get("targetPort"), None | Some(Value::Null))
                || port["targetPort"] == 0
                || port["targetPort"] == ""
            {
                let number = port["port"].clone();
                put(port, "targetPort", number);
            }
        }
        if reachable_from_outside(spec) {
            fill(spec, "externalTrafficPolicy", "Cluster");
        }
        if has_cluster_ip(spec) {
            fill(spec, "internalTrafficPolicy", "Cluster");
        }
        if text(spec, "type") == "LoadBalancer" {
            fill(spec, "allocateLoadBalancerNodePorts", true);
        }
        let balancer = ensure(ensure(object, "status"), "loadBalancer");
        for ingress in items(balancer, "ingress") {
            if !text(ingress, "ip").is_empty() {
                fill(ingress, "ipMode", "VIP");
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({"loadBalancer": {}}));
        complete_addresses(ensure(object, "spec"));
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        let (after, before) = (ensure(new, "spec"), &old["spec"]);
        complete_addresses(after);
        follow_cluster_ip(after, before);
        drop_unneeded(after, before);
        carry_allocated(after, before);
        if !matches!(text(after, "type"), "LoadBalancer") {
            put(new, "status", json!({"loadBalancer": {}}));
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        validation::create(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        validation::update(new, old)
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let spec = &new["spec"];
        let mut warnings = Vec::new();
        if text(spec, "trafficDistribution") == "PreferClose" {
            warnings.push(
                "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\""
                    .to_owned(),
            );
        }
        if text(spec, "clusterIP") == "None" && text(spec, "sessionAffinity") != "None" {
            warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
        }
        warnings
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let or_none = |shown: &str| {
            if shown.is_empty() {
                "<none>".to_owned()
            } else {
                shown.to_owned()
            }
        };
        let selector = spec["selector"].as_object().into_iter().flatten();
        let selector: Vec<_> = selector
            .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
            .collect();
        vec![
            meta::name(object).into(),
            text(spec, "type").into(),
            or_none(text(spec, "clusterIP")).into(),
            external_ip(object).into(),
            or_none(&ports(spec)).into(),
            table::age(object, now),
            or_none(&selector.join(",")).into(),
        ]
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let spec = &object["spec"];
        vec![
            ("spec.clusterIP", text(spec, "clusterIP").to_owned()),
            ("spec.type", text(spec, "type").to_owned()),
        ]
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn name_rule(&self) -> Rule {
        names::dns1123_label
    }

    fn shown_when_deleted(&self) -> bool {
        true
    }
}

/// Whether services of this type get an address in the cluster.
fn has_cluster_ip(spec: &Value) -> bool {
    matches!(
        text(spec, "type"),
        "ClusterIP" | "NodePort" | "LoadBalancer"
    )
}

/// Whether traffic may come from outside the cluster.
fn reachable_from_outside(spec: &Value) -> bool {
    match text(spec, "type") {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => !list(spec, "externalIPs").is_empty(),
        _ => false,
    }
}

/// What a Service says about its addresses without being told: its family, and `clusterIP` as the first of
/// `clusterIPs`. These are no defaults: nobody manages them.
fn complete_addresses(spec: &mut Value) {
    if has_cluster_ip(spec) {
        // This cluster has one family of addresses.
        fill(spec, "ipFamilyPolicy", "SingleStack");
        if list(spec, "ipFamilies").is_empty() {
            put(spec, "ipFamilies", json!(["IPv4"]));
        }
    }
    let first = text(spec, "clusterIP").to_owned();
    if !first.is_empty() && list(spec, "clusterIPs").is_empty() {
        put(spec, "clusterIPs", json!([first]));
    }
}

/// A client that changes or clears only `clusterIP` means both fields.
fn follow_cluster_ip(after: &mut Value, before: &Value) {
    let (old, new) = (
        text(before, "clusterIP"),
        text(after, "clusterIP").to_owned(),
    );
    let untouched = list(after, "clusterIPs") == list(before, "clusterIPs");
    if new.is_empty() && !given(after, "clusterIP") && untouched && !old.is_empty() {
        // Left out by a client that sends the whole object without knowing its address.
        remove(after, "clusterIPs");
    } else if new != old && untouched {
        put(
            after,
            "clusterIPs",
            if new.is_empty() {
                Value::Null
            } else {
                json!([new])
            },
        );
    } else if new == old && list(after, "clusterIPs").is_empty() {
        remove(after, "clusterIP");
    }
}

/// What the old type needed and the new one does not goes, unless the client set it anew.
fn drop_unneeded(after: &mut Value, before: &Value) {
    if has_cluster_ip(before) && !has_cluster_ip(after) {
        for name in ["clusterIP", "clusterIPs"] {
            if after[name] == before[name] {
                remove(after, name);
            }
        }
        for name in ["ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            if after[name] == before[name] {
                remove(after, name);
            }
        }
    }
    let node_ports = |spec: &Value| matches!(text(spec, "type"), "NodePort" | "LoadBalancer");
    if node_ports(before) && !node_ports(after) {
        let known: Vec<_> = list(before, "ports")
            .iter()
            .filter_map(|port| int(port, "nodePort"))
            .collect();
        for port in items(after, "ports") {
            if int(port, "nodePort").is_some_and(|number| known.contains(&number)) {
                remove(port, "nodePort");
            }
        }
    }
    if reachable_from_outside(before) && !reachable_from_outside(after) {
        for name in ["externalTrafficPolicy", "healthCheckNodePort"] {
            if after[name] == before[name] {
                remove(after, name);
            }
        }
    }
    if text(before, "type") == "LoadBalancer" && text(after, "type") != "LoadBalancer" {
        for name in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if after[name] == before[name] {
                remove(after, name);
            }
        }
    }
}

/// What the server allocated stays when an update leaves it out.
fn carry_allocated(after: &mut Value, before: &Value) {
    if has_cluster_ip(before) && has_cluster_ip(after) {
        for name in ["clusterIP", "clusterIPs"] {
            if text(after, name).is_empty() && list(after, name).is_empty() {
                put(after, name, before.get(name).cloned().unwrap_or_default());
            }
        }
    }
    let node_ports = |spec: &Value| matches!(text(spec, "type"), "NodePort" | "LoadBalancer");
    if node_ports(before) && node_ports(after) {
        let key = |port: &Value| (int(port, "port"), text(port, "protocol").to_owned());
        for port in items(after, "ports") {
            let allocated = list(before, "ports")
                .iter()
                .find(|old| key(old) == key(port));
            if let Some(number) = allocated.and_then(|old| int(old, "nodePort"))
                && int(port, "nodePort").unwrap_or(0) == 0
            {
                put(port, "nodePort", number.into());
            }
        }
    }
}

/// K-6
fn external_ip(object: &Value) -> String {
    let spec = &object["spec"];
    let external: Vec<_> = list(spec, "externalIPs")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    match text(spec, "type") {
        "ExternalName" => text(spec, "externalName").to_owned(),
        "LoadBalancer" => {
            let ingress = list(&object["status"]["loadBalancer"], "ingress").iter();
            let mut all: Vec<_> = ingress
                .map(|i| {
                    if text(i, "ip").is_empty() {
                        text(i, "hostname")
                    } else {
                        text(i, "ip")
                    }
                })
                .collect();
            all.extend(external);
            if all.is_empty() {
                "<pending>".to_owned()
            } else {
                all.join(",")
            }
        }
        _ if external.is_empty() => "<none>".to_owned(),
        _ => external.join(","),
    }
}

/// K-6
fn ports(spec: &Value) -> String {
    let one = |port: &Value| {
        let (number, protocol) = (int(port, "port").unwrap_or(0), text(port, "protocol"));
        match int(port, "nodePort").unwrap_or(0) {
            0 => format!("{number}/{protocol}"),
            node => format!("{number}:{node}/{protocol}"),
        }
    };
    list(spec, "ports")
        .iter()
        .map(one)
        .collect::<Vec<_>>()
        .join(",")
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Type",
        "type determines how the Service is exposed. Defaults to ClusterIP. Valid options are ExternalName, ClusterIP, NodePort, and LoadBalancer. \"ClusterIP\" allocates a cluster-internal IP address for load-balancing to endpoints. Endpoints are determined by the selector or if that is not specified, by manual construction of an Endpoints object or EndpointSlice objects. If clusterIP is \"None\", no virtual IP is allocated and the endpoints are published as a set of endpoints rather than a virtual IP. \"NodePort\" builds on ClusterIP and allocates a port on every node which routes to the same endpoints as the clusterIP. \"LoadBalancer\" builds on NodePort and creates an external load-balancer (if supported in the current cloud) which routes to the same endpoints as the clusterIP. \"ExternalName\" aliases this service to the specified externalName. Several other fields do not apply to ExternalName services. More info: https://kubernetes.io/docs/concepts/services-networking/service/#publishing-services-service-types",
    ),
    cell(
        "Cluster-IP",
        "clusterIP is the IP address of the service and is usually assigned randomly. If an address is specified manually, is in-range (as per system configuration), and is not in use, it will be allocated to the service; otherwise creation of the service will fail. This field may not be changed through updates unless the type field is also being changed to ExternalName (which requires this field to be blank) or the type field is being changed from ExternalName (in which case this field may optionally be specified, as describe above).  Valid values are \"None\", empty string (\"\"), or a valid IP address. Setting this to \"None\" makes a \"headless service\" (no virtual IP), which is useful when direct endpoint connections are preferred and proxying is not required.  Only applies to types ClusterIP, NodePort, and LoadBalancer. If this field is specified when creating a Service of type ExternalName, creation will fail. This field will be wiped when updating a Service to type ExternalName. More info: https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies",
    ),
    cell(
        "External-IP",
        "externalIPs is a list of IP addresses for which nodes in the cluster will also accept traffic for this service.  These IPs are not managed by Kubernetes.  The user is responsible for ensuring that traffic arrives at a node with this IP.  A common example is external load-balancers that are not part of the Kubernetes system.",
    ),
    cell(
        "Port(s)",
        "The list of ports that are exposed by this service. More info: https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies",
    ),
    AGE,
    wide(
        "Selector",
        "Route service traffic to pods with label keys and values matching this selector. If empty or not present, the service is assumed to have an external process managing its endpoints, which Kubernetes will not modify. Only applies to types ClusterIP, NodePort, and LoadBalancer. Ignored if type is ExternalName. More info: https://kubernetes.io/docs/concepts/services-networking/service/",
    ),
];

#[cfg(test)]
mod tests;
