//! What a Service must be and may become.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{has_cluster_ip, reachable_from_outside};
use crate::field::{FieldError, Path};
use crate::resources::checks::{each, label, named, one_of, special_address};
use crate::resources::object::{given, int, list, text};
use crate::resources::pod_template::port;
use crate::{meta, names};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
/// The node API's port; a load balancer in front of it would open every node.
const NODE_API: i64 = 10_250;
const AFFINITY_MAX: i64 = 86_400;

/// Faults of a new Service.
pub(super) fn create(object: &Value) -> Vec<FieldError> {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let (kind, ports) = (text(spec, "type"), list(spec, "ports"));
    let headless = text(spec, "clusterIP") == "None";
    let mut errors = Vec::new();
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    errors.extend(of_type(spec, &path, headless));
    let mut seen = HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        errors.extend(one_port(
            port,
            ports.len() > 1,
            &mut seen,
            &path.child("ports").index(index),
        ));
    }
    errors.extend(meta::labels(&spec["selector"], &path.child("selector")));
    errors.extend(affinity(spec, &path));
    errors.extend(cluster_ips(spec, &path));
    for (index, address) in list(spec, "externalIPs")
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        let at = path.child("externalIPs").index(index);
        match address.parse() {
            Ok(parsed) => {
                errors
                    .extend(special_address(parsed).map(|f| FieldError::invalid(&at, address, f)));
            }
            Err(_) => errors.extend(each(names::ip(address), &at, address)),
        }
    }
    errors.extend(one_of(spec, "type", &path, &TYPES, false));
    if kind == "ClusterIP" {
        for (index, port) in ports.iter().enumerate() {
            if int(port, "nodePort").unwrap_or(0) != 0 {
                let at = path.child("ports").index(index).child("nodePort");
                errors.push(FieldError::forbidden(
                    &at,
                    "may not be used when `type` is 'ClusterIP'",
                ));
            }
        }
    }
    errors.extend(duplicates(ports, &path));
    for (index, range) in list(spec, "loadBalancerSourceRanges")
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        errors.extend(each(
            names::cidr(range.trim()),
            &path.child("loadBalancerSourceRanges").index(index),
            range,
        ));
    }
    errors.extend(traffic(spec, &path));
    errors
}

/// Faults of an update.
pub(super) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let (after, before) = (&new["spec"], &old["spec"]);
    let mut errors = Vec::new();
    if has_cluster_ip(after) && has_cluster_ip(before) {
        let first = |spec: &Value| list(spec, "clusterIPs").first().cloned();
        if first(before).is_some() && first(before) != first(after) {
            let at = Path::new("spec.clusterIPs").index(0);
            errors.push(FieldError::invalid(
                &at,
                after["clusterIPs"].clone(),
                "may not change once set",
            ));
        }
    }
    errors.extend(create(new));
    errors
}

fn of_type(spec: &Value, path: &Path, headless: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let kind = text(spec, "type");
    if kind == "LoadBalancer" {
        for (index, port) in list(spec, "ports").iter().enumerate() {
            if int(port, "port") == Some(NODE_API) {
                let detail = "may not expose port 10250 externally since it is used by kubelet";
                errors.push(FieldError::invalid(
                    &path.child("ports").index(index),
                    NODE_API,
                    detail,
                ));
            }
        }
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.push(FieldError::invalid(
                &path.child("clusterIPs").index(0),
                "None",
                detail,
            ));
        }
        "ExternalName" => {
            for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if given(spec, field) && spec[field] != json!([]) {
                    errors.push(FieldError::forbidden(
                        &path.child(field),
                        "may not be set for ExternalName services",
                    ));
                }
            }
            // A trailing dot marks the name as complete.
            let (name, at) = (text(spec, "externalName"), path.child("externalName"));
            match name.strip_suffix('.').unwrap_or(name) {
                "" => errors.push(FieldError::required(&at, "")),
                stem => errors.extend(each(names::dns1123_subdomain(stem, false), &at, stem)),
            }
        }
        _ => {}
    }
    errors
}

fn one_port<'a>(
    port_spec: &'a Value,
    named: bool,
    seen: &mut HashSet<&'a str>,
    path: &Path,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = text(port_spec, "name");
    if named || !name.is_empty() {
        errors.extend(label(port_spec, "name", path));
        if !name.is_empty() && !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
    }
    let number = int(port_spec, "port").unwrap_or(0);
    errors.extend(
        names::port_number(number).map(|f| FieldError::invalid(&path.child("port"), number, f)),
    );
    errors.extend(one_of(port_spec, "protocol", path, &PROTOCOLS, false));
    errors.extend(port(&port_spec["targetPort"], &path.child("targetPort")));
    let protocol = text(port_spec, "appProtocol");
    if !protocol.is_empty() {
        errors.extend(each(
            names::qualified_name(protocol),
            &path.child("appProtocol"),
            protocol,
        ));
    }
    errors
}

fn affinity(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<_> = one_of(spec, "sessionAffinity", path, &["ClientIP", "None"], false)
        .into_iter()
        .collect();
    let at = path
        .child("sessionAffinityConfig")
        .child("clientIP")
        .child("timeoutSeconds");
    let seconds = int(&spec["sessionAffinityConfig"]["clientIP"], "timeoutSeconds");
    if let Some(seconds) = seconds
        .filter(|s| text(spec, "sessionAffinity") == "ClientIP" && !(1..=AFFINITY_MAX).contains(s))
    {
        errors.push(FieldError::invalid(
            &at,
            seconds,
            "must be greater than 0 and less than 86400",
        ));
    }
    errors
}

fn cluster_ips(spec: &Value, path: &Path) -> Vec<FieldError> {
    if !has_cluster_ip(spec) {
        return Vec::new();
    }
    let mut errors = Vec::new();
    let (addresses, at) = (list(spec, "clusterIPs"), path.child("clusterIPs"));
    let first = text(spec, "clusterIP");
    if addresses.first().is_some_and(|address| address != first) {
        errors.push(FieldError::invalid(
            &at,
            addresses.to_vec(),
            "first value must match `clusterIP`",
        ));
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    errors.extend(one_of(spec, "ipFamilyPolicy", path, &policies, true));
    for (index, family) in list(spec, "ipFamilies")
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        let at = path.child("ipFamilies").index(index);
        match family {
            "IPv4" => {}
            "IPv6" => errors.push(FieldError::invalid(
                &at,
                family,
                "not configured on this cluster",
            )),
            other => errors.push(FieldError::not_supported(&at, other, &["IPv4", "IPv6"])),
        }
    }
    if addresses.len() > 1 && addresses.iter().any(|address| address == "None") {
        let detail = "'None' must be the first and only value";
        errors.push(FieldError::invalid(&at, addresses.to_vec(), detail));
        return errors;
    }
    for (index, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
        if address != "None" {
            errors.extend(each(names::ip(address), &at.index(index), address));
        }
    }
    errors
}

/// Ports must differ in number or protocol, and so must the ports they take on the nodes.
fn duplicates(ports: &[Value], path: &Path) -> Vec<FieldError> {
    let (mut errors, mut seen, mut on_nodes) = (Vec::new(), HashSet::new(), HashSet::new());
    let path = path.child("ports");
    for (index, port) in ports.iter().enumerate() {
        let (protocol, node) = (text(port, "protocol"), int(port, "nodePort").unwrap_or(0));
        if node != 0 && !on_nodes.insert((protocol, node)) {
            let shown = shown(protocol, 0, node);
            errors.push(
                FieldError::duplicate(&path.index(index).child("nodePort"), Value::Null)
                    .showing(shown),
            );
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let (protocol, number) = (text(port, "protocol"), int(port, "port").unwrap_or(0));
        if !seen.insert((protocol, number)) {
            let shown = shown(protocol, number, 0);
            errors.push(FieldError::duplicate(&path.index(index), Value::Null).showing(shown));
        }
    }
    errors
}

/// The key of a port under the names upstream prints.
fn shown(protocol: &str, port: i64, node_port: i64) -> String {
    format!(
        "{{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{port},\"TargetPort\":0,\"NodePort\":{node_port}}}",
        json!(protocol)
    )
}

fn traffic(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let external = path.child("externalTrafficPolicy");
    if reachable_from_outside(spec) {
        errors.extend(one_of(
            spec,
            "externalTrafficPolicy",
            path,
            &["Cluster", "Local"],
            false,
        ));
    } else if given(spec, "externalTrafficPolicy") {
        let detail = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid(
            &external,
            text(spec, "externalTrafficPolicy"),
            detail,
        ));
    }
    if has_cluster_ip(spec) {
        errors.extend(one_of(
            spec,
            "internalTrafficPolicy",
            path,
            &["Cluster", "Local"],
            true,
        ));
    }
    let distributions = ["PreferClose", "PreferSameNode", "PreferSameZone"];
    errors.extend(one_of(
        spec,
        "trafficDistribution",
        path,
        &distributions,
        true,
    ));
    if text(spec, "type") != "LoadBalancer" {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if given(spec, field) {
                errors.push(FieldError::forbidden(
                    &path.child(field),
                    "may only be used when `type` is 'LoadBalancer'",
                ));
            }
        }
        if !list(spec, "loadBalancerSourceRanges").is_empty() {
            let at = path.child("loadBalancerSourceRanges");
            errors.push(FieldError::forbidden(
                &at,
                "may only be used when `type` is 'LoadBalancer'",
            ));
        }
    }
    errors.extend(named(spec, "loadBalancerClass", path, |name, _| {
        names::qualified_name(name)
    }));
    errors
}
