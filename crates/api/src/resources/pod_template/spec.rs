//! Validation of a PodSpec as a whole, in the order upstream reports its faults.

use serde_json::Value;

use super::container::{validate_containers, validate_init_containers};
use super::scheduling::{
    validate_affinity, validate_node_selector, validate_rest, validate_tolerations,
};
use super::security::validate_pod_security;
use super::volume::{names_of, validate_volumes};
use crate::field::{FieldError, Path};
use crate::resources::checks::{each, named, one_of};
use crate::resources::object::{given, int, list, text};
use crate::{meta, names};

const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

/// Characters that search paths may have together.
const SEARCHES_MAX: usize = 2048;

/// Faults of a PodTemplateSpec.
pub(crate) fn validate_template(template: &Value, path: &Path) -> Vec<FieldError> {
    let (metadata, at) = (&template["metadata"], path.child("metadata"));
    let mut errors = meta::labels(&metadata["labels"], &at.child("labels"));
    errors.extend(meta::annotations(
        &metadata["annotations"],
        &at.child("annotations"),
    ));
    errors.extend(validate_spec(&template["spec"], &path.child("spec")));
    errors
}

/// Faults of a PodSpec, in a pod or in a template.
pub(crate) fn validate_spec(spec: &Value, path: &Path) -> Vec<FieldError> {
    let volumes = names_of(spec);
    let mut errors = validate_volumes(spec, path);
    errors.extend(validate_containers(spec, &volumes, path));
    errors.extend(validate_init_containers(spec, &volumes, path));
    errors.extend(host_network(spec, path));
    errors.extend(one_of(
        spec,
        "restartPolicy",
        path,
        &RESTART_POLICIES,
        false,
    ));
    errors.extend(one_of(spec, "dnsPolicy", path, &DNS_POLICIES, false));
    errors.extend(validate_node_selector(spec, path));
    errors.extend(validate_pod_security(spec, path));
    errors.extend(validate_affinity(
        &spec["affinity"],
        &path.child("affinity"),
    ));
    errors.extend(dns(spec, path));
    errors.extend(validate_rest(spec, path));
    errors.extend(named(
        spec,
        "serviceAccountName",
        path,
        names::dns1123_subdomain,
    ));
    errors.extend(named(spec, "nodeName", path, names::dns1123_subdomain));
    if let Some(seconds) = int(spec, "activeDeadlineSeconds")
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let detail = "must be between 1 and 2147483647, inclusive";
        errors.push(FieldError::invalid(
            &path.child("activeDeadlineSeconds"),
            seconds,
            detail,
        ));
    }
    errors.extend(named(spec, "hostname", path, names::dns1123_label));
    errors.extend(named(spec, "subdomain", path, names::dns1123_label));
    errors.extend(validate_tolerations(spec, path));
    errors.extend(host_aliases(spec, path));
    errors.extend(named(
        spec,
        "priorityClassName",
        path,
        names::dns1123_subdomain,
    ));
    errors.extend(named(
        spec,
        "runtimeClassName",
        path,
        names::dns1123_subdomain,
    ));
    let policies = ["Never", "PreemptLowerPriority"];
    errors.extend(one_of(spec, "preemptionPolicy", path, &policies, true));
    if given(spec, "os") {
        let at = path.child("os");
        errors.extend(one_of(
            &spec["os"],
            "name",
            &at,
            &["linux", "windows"],
            false,
        ));
    }
    errors
}

/// Templates keep images with white space for compatibility; pods do not.
pub(crate) fn validate_images_of_pod(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["containers", "initContainers"] {
        for (index, container) in list(spec, field).iter().enumerate() {
            let image = text(container, "image");
            if image.trim() != image {
                let at = path.child(field).index(index).child("image");
                errors.push(FieldError::invalid(
                    &at,
                    image,
                    "must not have leading or trailing whitespace",
                ));
            }
        }
    }
    errors
}

fn host_network(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if spec["hostNetwork"] != true {
        return errors;
    }
    for field in ["containers", "initContainers"] {
        for (c, container) in list(spec, field).iter().enumerate() {
            for (p, port) in list(container, "ports").iter().enumerate() {
                let host = int(port, "hostPort").unwrap_or(0);
                // A template may leave it open: a pod made from it gets the right one.
                if host != 0 && host != int(port, "containerPort").unwrap_or(0) {
                    let at = path
                        .child(field)
                        .index(c)
                        .child("ports")
                        .index(p)
                        .child("hostPort");
                    let detail = "must match `containerPort` when `hostNetwork` is true";
                    errors.push(FieldError::invalid(&at, host, detail));
                }
            }
        }
    }
    errors
}

fn dns(spec: &Value, path: &Path) -> Vec<FieldError> {
    let (config, at) = (&spec["dnsConfig"], path.child("dnsConfig"));
    let servers = list(config, "nameservers");
    let mut errors = Vec::new();
    if text(spec, "dnsPolicy") == "None" {
        if !given(spec, "dnsConfig") {
            return vec![FieldError::required(
                &at,
                "must provide `dnsConfig` when `dnsPolicy` is None",
            )];
        }
        if servers.is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return vec![FieldError::required(&at.child("nameservers"), detail)];
        }
    }
    if servers.len() > 3 {
        let detail = "must not have more than 3 nameservers";
        errors.push(FieldError::invalid(
            &at.child("nameservers"),
            servers.to_vec(),
            detail,
        ));
    }
    for (index, server) in servers.iter().filter_map(Value::as_str).enumerate() {
        errors.extend(each(
            names::ip(server),
            &at.child("nameservers").index(index),
            server,
        ));
    }
    let searches = list(config, "searches");
    if searches.len() > 32 {
        let detail = "must not have more than 32 search paths";
        errors.push(FieldError::invalid(
            &at.child("searches"),
            searches.to_vec(),
            detail,
        ));
    }
    let length: usize = searches
        .iter()
        .filter_map(Value::as_str)
        .map(str::len)
        .sum();
    if length + searches.len().saturating_sub(1) > SEARCHES_MAX {
        let detail = format!(
            "must not have more than {SEARCHES_MAX} characters (including spaces) in the search list"
        );
        let shown = searches.to_vec();
        errors.push(FieldError::invalid(&at.child("searches"), shown, detail));
    }
    for (index, search) in searches.iter().filter_map(Value::as_str).enumerate() {
        // Resolvers take a name with a dot at its end, and the root alone.
        let name = search.strip_suffix('.').unwrap_or(search);
        if search != "." {
            let at = at.child("searches").index(index);
            errors.extend(each(
                names::dns1123_subdomain(&name.replace('_', "-"), false),
                &at,
                search,
            ));
        }
    }
    for (index, option) in list(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            errors.push(FieldError::required(
                &at.child("options").index(index),
                "must not be empty",
            ));
        }
    }
    errors
}

fn host_aliases(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, alias) in list(spec, "hostAliases").iter().enumerate() {
        let at = path.child("hostAliases").index(index);
        errors.extend(each(
            names::ip(text(alias, "ip")),
            &at.child("ip"),
            text(alias, "ip"),
        ));
        for (index, name) in list(alias, "hostnames")
            .iter()
            .filter_map(Value::as_str)
            .enumerate()
        {
            let at = at.child("hostnames").index(index);
            errors.extend(each(names::dns1123_subdomain(name, false), &at, name));
        }
    }
    errors
}
