//! Ingress (networking.k8s.io/v1): which Service answers for a host and path. Another program carries it out.

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::names;
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::checks::{each, named};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{ensure, given, int, list, text};
use crate::resources::references::typed_reference;
use crate::resources::{first_generation, keep, next_generation};
use crate::{meta, table};

/// A row shows this many hosts or addresses.
const SHOWN: usize = 3;
/// The old way to name a class.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "networking.k8s.io",
        version: "v1",
        kind: "Ingress",
        list_kind: "IngressList",
        plural: "ingresses",
        singular: "ingress",
        short_names: &["ing"],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        ensure(object, "spec");
        ensure(ensure(object, "status"), "loadBalancer");
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({"loadBalancer": {}});
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        next_generation("networking.k8s.io", "v1", "Ingress", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = spec(&object["spec"]);
        let old_way = &object["metadata"]["annotations"][CLASS_ANNOTATION];
        let class = &object["spec"]["ingressClassName"];
        if old_way.is_string() && class.is_string() && old_way != class {
            let detail = "must match `ingressClassName` when both are specified";
            let at = Path::new("annotations").child(CLASS_ANNOTATION);
            errors.push(FieldError::invalid(&at, old_way.clone(), detail));
        }
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        spec(&new["spec"])
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let path = Path::new("status.loadBalancer.ingress");
        let mut errors = Vec::new();
        for (index, ingress) in list(&new["status"]["loadBalancer"], "ingress")
            .iter()
            .enumerate()
        {
            let (ip, hostname) = (text(ingress, "ip"), text(ingress, "hostname"));
            if !ip.is_empty() {
                errors.extend(each(names::ip(ip), &path.index(index).child("ip"), ip));
            }
            if !hostname.is_empty() {
                let at = path.index(index).child("hostname");
                errors.extend(each(
                    names::dns1123_subdomain(hostname, false),
                    &at,
                    hostname,
                ));
                errors.extend(no_address(hostname, &at));
            }
        }
        errors
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let old_way = new["metadata"]["annotations"][CLASS_ANNOTATION].is_string();
        if old_way && old.is_none() {
            vec![format!(
                "annotation {CLASS_ANNOTATION:?} is deprecated, please use 'spec.ingressClassName' instead"
            )]
        } else {
            Vec::new()
        }
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let class = match text(spec, "ingressClassName") {
            "" => match text(&object["metadata"]["annotations"], CLASS_ANNOTATION) {
                "" => "<none>",
                class => class,
            },
            class => class,
        };
        let ports = if list(spec, "tls").is_empty() {
            "80"
        } else {
            "80, 443"
        };
        vec![
            meta::name(object).into(),
            class.into(),
            hosts(spec).into(),
            addresses(object).into(),
            ports.into(),
            table::age(object, now),
        ]
    }
}

fn hosts(spec: &Value) -> String {
    let named: Vec<&str> = list(spec, "rules")
        .iter()
        .map(|rule| text(rule, "host"))
        .filter(|host| !host.is_empty())
        .collect();
    match named.len() {
        0 => "*".to_owned(),
        count if count > SHOWN => {
            format!("{} + {} more...", named[..SHOWN].join(","), count - SHOWN)
        }
        _ => named.join(","),
    }
}

fn addresses(object: &Value) -> String {
    let ingress = list(&object["status"]["loadBalancer"], "ingress").iter();
    let shown = ingress.map(|point| match text(point, "ip") {
        "" => text(point, "hostname"),
        ip => ip,
    });
    shown
        .filter(|address| !address.is_empty())
        .collect::<Vec<_>>()
        .join(",")
}

fn spec(spec: &Value) -> Vec<FieldError> {
    let (path, mut errors) = (Path::new("spec"), Vec::new());
    let rules = list(spec, "rules");
    if rules.is_empty() && !given(spec, "defaultBackend") {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid(&path, spec["rules"].clone(), detail));
    }
    if given(spec, "defaultBackend") {
        errors.extend(backend(
            &spec["defaultBackend"],
            &path.child("defaultBackend"),
        ));
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = path.child("rules").index(index);
        let host = text(rule, "host");
        if !host.is_empty() {
            errors.extend(no_address(host, &at.child("host")));
            errors.extend(host_name(host, &at.child("host")));
        }
        if given(rule, "http") {
            errors.extend(paths(&rule["http"], &at.child("http").child("paths")));
        }
    }
    for (index, tls) in list(spec, "tls").iter().enumerate() {
        let at = path.child("tls").index(index);
        for (index, host) in list(tls, "hosts").iter().enumerate() {
            let host = host.as_str().unwrap_or_default();
            errors.extend(host_name(host, &at.child("hosts").index(index)));
        }
        errors.extend(named(tls, "secretName", &at, names::dns1123_subdomain));
    }
    if let Some(class) = spec["ingressClassName"].as_str() {
        let at = path.child("ingressClassName");
        errors.extend(each(names::dns1123_subdomain(class, false), &at, class));
    }
    errors
}

fn host_name(host: &str, path: &Path) -> Vec<FieldError> {
    let faults = if host.contains('*') {
        names::wildcard_dns1123_subdomain(host)
    } else {
        names::dns1123_subdomain(host, false)
    };
    each(faults, path, host)
}

fn no_address(host: &str, path: &Path) -> Option<FieldError> {
    let detail = "must be a DNS name, not an IP address";
    host.parse::<IpAddr>()
        .is_ok()
        .then(|| FieldError::invalid(path, host, detail))
}

fn paths(http: &Value, path: &Path) -> Vec<FieldError> {
    let paths = list(http, "paths");
    if paths.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    paths
        .iter()
        .enumerate()
        .flat_map(|(index, entry)| http_path(entry, &path.index(index)))
        .collect()
}

fn http_path(entry: &Value, at: &Path) -> Vec<FieldError> {
    let (path, mut errors) = (text(entry, "path"), Vec::new());
    let mut refuse =
        |detail: String| errors.push(FieldError::invalid(&at.child("path"), path, detail));
    match text(entry, "pathType") {
        "" => {
            let detail = "pathType must be specified";
            return vec![FieldError::required(&at.child("pathType"), detail)];
        }
        "Exact" | "Prefix" => {
            if !path.starts_with('/') {
                refuse("must be an absolute path".to_owned());
            }
            for sequence in ["//", "/./", "/../", "%2f", "%2F"] {
                if path.contains(sequence) {
                    refuse(format!("must not contain '{sequence}'"));
                }
            }
            for suffix in ["/..", "/."] {
                if path.ends_with(suffix) {
                    refuse(format!("cannot end with '{suffix}'"));
                }
            }
        }
        "ImplementationSpecific" if !path.is_empty() && !path.starts_with('/') => {
            refuse("must be an absolute path".to_owned());
        }
        "ImplementationSpecific" => {}
        other => errors.push(FieldError::not_supported(
            &at.child("pathType"),
            other,
            &["Exact", "ImplementationSpecific", "Prefix"],
        )),
    }
    errors.extend(backend(&entry["backend"], &at.child("backend")));
    errors
}

fn backend(backend: &Value, path: &Path) -> Vec<FieldError> {
    let refuse = |detail: &str| vec![FieldError::invalid(path, "", detail)];
    match (given(backend, "resource"), given(backend, "service")) {
        (true, true) => refuse("cannot set both resource and service backends"),
        (false, false) => refuse("resource or service backend is required"),
        (true, false) => typed_reference(&backend["resource"], &path.child("resource")),
        (false, true) => service(&backend["service"], path),
    }
}

fn service(service: &Value, path: &Path) -> Vec<FieldError> {
    let (name, at) = (text(service, "name"), path.child("service"));
    let mut errors = Vec::new();
    if name.is_empty() {
        errors.push(FieldError::required(&at.child("name"), ""));
    } else {
        errors.extend(each(
            names::dns1123_label(name, false),
            &at.child("name"),
            name,
        ));
    }
    let (port, at) = (&service["port"], at.child("port"));
    match (text(port, "name"), int(port, "number").unwrap_or(0)) {
        ("", 0) => errors.push(FieldError::required(
            path,
            "port name or number is required",
        )),
        ("", number) => errors.extend(
            names::port_number(number)
                .map(|detail| FieldError::invalid(&at.child("number"), number, detail)),
        ),
        (name, 0) => errors.extend(each(names::port_name(name), &at.child("name"), name)),
        _ => errors.push(FieldError::invalid(
            path,
            "",
            "cannot set both port name & port number",
        )),
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Class",
        "The name of the IngressClass resource that should be used for additional configuration",
    ),
    cell(
        "Hosts",
        "Hosts that incoming requests are matched against before the ingress rule",
    ),
    cell(
        "Address",
        "Address is a list containing ingress points for the load-balancer",
    ),
    cell("Ports", "Ports of TLS configurations that open"),
    AGE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn backends_hosts_and_paths_are_checked() {
        let service = json!({"service": {"name": "web", "port": {"number": 80}}});
        let rule = |path: &str, kind: &str| json!({"rules": [{"http": {"paths": [{"path": path, "pathType": kind, "backend": service}]}}]});
        let cases = [
            (
                json!({}),
                "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified",
            ),
            (
                json!({"defaultBackend": {}}),
                r#"spec.defaultBackend: Invalid value: "": resource or service backend is required"#,
            ),
            (
                json!({"defaultBackend": {"service": {"name": "web"}}}),
                "spec.defaultBackend: Required value: port name or number is required",
            ),
            (
                rule("x", "Prefix"),
                r#"spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path"#,
            ),
            (
                rule("/a/..", "Exact"),
                r#"spec.rules[0].http.paths[0].path: Invalid value: "/a/..": cannot end with '/..'"#,
            ),
            (
                rule("/", "Odd"),
                r#"spec.rules[0].http.paths[0].pathType: Unsupported value: "Odd": supported values: "Exact", "ImplementationSpecific", "Prefix""#,
            ),
            (
                json!({"rules": [{"host": "10.0.0.1"}]}),
                r#"spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address"#,
            ),
        ];
        for (spec, expected) in cases {
            assert_eq!(texts(&Rules.validate(&json!({"spec": spec}))), [expected]);
        }
        assert!(
            Rules
                .validate(&json!({"spec": rule("/a", "Prefix")}))
                .is_empty()
        );
    }

    #[test]
    fn a_row_shows_where_requests_come_in() {
        let object = json!({"metadata": {"name": "front"}, "spec": {"tls": [{}], "rules": [{"host": "a"}, {"host": "b"}, {"host": "c"}, {"host": "d"}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "lb"}]}}});
        let cells = Rules.row(&object, Timestamp::UNIX_EPOCH);
        assert_eq!(
            cells[1..5],
            [
                json!("<none>"),
                json!("a,b,c + 1 more..."),
                json!("1.2.3.4,lb"),
                json!("80, 443")
            ]
        );
    }
}
