//! Validation of containers and init containers.

use std::collections::HashSet;

use serde_json::Value;

use super::env::validate_env;
use super::handlers::validate_handlers;
use super::security::validate_container_security;
use super::volume::{names_of, relative_path};
use crate::field::{FieldError, Path};
use crate::names;
use crate::resources::checks::{amount, each, label, one_of};
use crate::resources::object::{amount_of, given, list, text};
use crate::resources::resource_names;

const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// The regular containers of a spec.
pub(super) fn validate_containers(
    spec: &Value,
    volumes: &HashSet<&str>,
    path: &Path,
) -> Vec<FieldError> {
    let (containers, path) = (list(spec, "containers"), path.child("containers"));
    if containers.is_empty() {
        return vec![FieldError::required(&path, "")];
    }
    let (mut errors, mut seen) = (Vec::new(), HashSet::new());
    for (index, container) in containers.iter().enumerate() {
        let at = path.index(index);
        errors.extend(common(container, volumes, &at));
        let name = text(container, "name");
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        errors.extend(validate_handlers(container, &at));
    }
    errors.extend(host_port_conflicts(containers, &path));
    errors
}

/// The init containers of a spec, sidecars among them.
pub(super) fn validate_init_containers(
    spec: &Value,
    volumes: &HashSet<&str>,
    path: &Path,
) -> Vec<FieldError> {
    let path = path.child("initContainers");
    let mut seen: HashSet<_> = list(spec, "containers")
        .iter()
        .map(|c| text(c, "name"))
        .collect();
    let mut errors = Vec::new();
    for (index, container) in list(spec, "initContainers").iter().enumerate() {
        let at = path.index(index);
        errors.extend(common(container, volumes, &at));
        let name = text(container, "name");
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        match text(container, "restartPolicy") {
            "Always" => errors.extend(validate_handlers(container, &at)),
            policy => {
                if !policy.is_empty() {
                    let at = at.child("restartPolicy");
                    errors.push(FieldError::not_supported(&at, policy, &["Always"]));
                }
                for field in [
                    "lifecycle",
                    "livenessProbe",
                    "readinessProbe",
                    "startupProbe",
                ] {
                    if given(container, field) {
                        let detail =
                            "may not be set for init containers without restartPolicy=Always";
                        errors.push(FieldError::forbidden(&at.child(field), detail));
                    }
                }
            }
        }
    }
    errors
}

/// One container of any sort, on its own.
pub(crate) fn validate_container(container: &Value, spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = common(container, &names_of(spec), path);
    let image = text(container, "image");
    if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.child("image"), image, detail));
    }
    errors
}

fn common(container: &Value, volumes: &HashSet<&str>, path: &Path) -> Vec<FieldError> {
    let mut errors = label(container, "name", path);
    if text(container, "image").is_empty() {
        errors.push(FieldError::required(&path.child("image"), ""));
    }
    let messages = ["File", "FallbackToLogsOnError"];
    errors.extend(one_of(
        container,
        "terminationMessagePolicy",
        path,
        &messages,
        false,
    ));
    errors.extend(ports(container, &path.child("ports")));
    errors.extend(validate_env(container, path));
    errors.extend(mounts(container, volumes, &path.child("volumeMounts")));
    errors.extend(one_of(
        container,
        "imagePullPolicy",
        path,
        &PULL_POLICIES,
        false,
    ));
    errors.extend(resources(&container["resources"], &path.child("resources")));
    errors.extend(resize_policies(container, &path.child("resizePolicy")));
    errors.extend(validate_container_security(
        &container["securityContext"],
        &path.child("securityContext"),
    ));
    errors
}

fn ports(container: &Value, path: &Path) -> Vec<FieldError> {
    let (mut errors, mut seen) = (Vec::new(), HashSet::new());
    for (index, port) in list(container, "ports").iter().enumerate() {
        let at = path.index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            let faults = names::port_name(name);
            if faults.is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(&at.child("name"), name));
            }
            errors.extend(each(faults, &at.child("name"), name));
        }
        let number = |field: &str| port[field].as_i64().unwrap_or(0);
        let checked = |field: &str| {
            let fault = names::port_number(number(field))?;
            Some(FieldError::invalid(&at.child(field), number(field), fault))
        };
        if number("containerPort") == 0 {
            errors.push(FieldError::required(&at.child("containerPort"), ""));
        } else {
            errors.extend(checked("containerPort"));
        }
        if number("hostPort") != 0 {
            errors.extend(checked("hostPort"));
        }
        errors.extend(one_of(port, "protocol", &at, &PROTOCOLS, false));
    }
    errors
}

fn host_port_conflicts(containers: &[Value], path: &Path) -> Vec<FieldError> {
    let (mut errors, mut seen) = (Vec::new(), HashSet::new());
    for (c, container) in containers.iter().enumerate() {
        for (p, port) in list(container, "ports").iter().enumerate() {
            let number = port["hostPort"].as_i64().unwrap_or(0);
            let key = format!(
                "{}/{}/{number}",
                text(port, "protocol"),
                text(port, "hostIP")
            );
            if number != 0 && !seen.insert(key.clone()) {
                let at = path.index(c).child("ports").index(p).child("hostPort");
                errors.push(FieldError::duplicate(&at, key));
            }
        }
    }
    errors
}

fn mounts(container: &Value, volumes: &HashSet<&str>, path: &Path) -> Vec<FieldError> {
    let (mut errors, mut seen) = (Vec::new(), HashSet::new());
    for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
        let at = path.index(index);
        let (name, target) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        }
        if !volumes.contains(name) {
            errors.push(FieldError::not_found(&at.child("name"), name));
        }
        if target.is_empty() {
            errors.push(FieldError::required(&at.child("mountPath"), ""));
        } else if !seen.insert(target) {
            errors.push(FieldError::invalid(
                &at.child("mountPath"),
                target,
                "must be unique",
            ));
        }
        errors.extend(relative_path(text(mount, "subPath"), &at.child("subPath")));
        let expression = text(mount, "subPathExpr");
        if !expression.is_empty() {
            if !text(mount, "subPath").is_empty() {
                let detail = "subPathExpr and subPath are mutually exclusive";
                errors.push(FieldError::invalid(
                    &at.child("subPathExpr"),
                    expression,
                    detail,
                ));
            }
            errors.extend(relative_path(expression, &at.child("subPathExpr")));
        }
        let modes = ["Bidirectional", "HostToContainer", "None"];
        errors.extend(one_of(mount, "mountPropagation", &at, &modes, true));
    }
    errors
}

/// What becomes of a container when it may have more or less of something.
fn resize_policies(container: &Value, path: &Path) -> Vec<FieldError> {
    let (mut errors, mut seen) = (Vec::new(), HashSet::new());
    for (index, policy) in list(container, "resizePolicy").iter().enumerate() {
        let (name, at) = (text(policy, "resourceName"), path.index(index));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
        errors.extend(one_of(
            policy,
            "resourceName",
            &at,
            &["cpu", "memory"],
            false,
        ));
        let policies = ["NotRequired", "RestartContainer"];
        errors.extend(one_of(policy, "restartPolicy", &at, &policies, false));
    }
    errors
}

/// Requests and limits: known names, amounts that fit each other.
pub(super) fn resources(resources: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let limits = resources["limits"].as_object();
    for (field, amounts) in [
        ("limits", limits),
        ("requests", resources["requests"].as_object()),
    ] {
        for (name, value) in amounts.into_iter().flatten() {
            let at = path.child(field).key(name);
            errors.extend(resource_names::of_container(name, &at));
            errors.extend(amount(value, &at, false));
            let given = amount_of(value);
            if resource_names::whole(name) && given.is_some_and(|q| !q.is_whole()) {
                errors.push(FieldError::invalid(
                    &at,
                    given.map_or_else(String::new, |q| q.to_string()),
                    "must be an integer",
                ));
            }
            if field == "limits" {
                continue;
            }
            let limit = limits.and_then(|l| l.get(name)).and_then(amount_of);
            let (at, exact) = (path.child("requests"), !resource_names::overcommitted(name));
            match (given, limit) {
                (Some(request), Some(limit)) if exact && request != limit => {
                    let detail = format!("must be equal to {name} limit of {limit}");
                    errors.push(FieldError::invalid(&at, request.to_string(), detail));
                }
                (Some(request), Some(limit)) if request > limit => {
                    let detail = format!("must be less than or equal to {name} limit of {limit}");
                    errors.push(FieldError::invalid(&at, request.to_string(), detail));
                }
                (Some(_), None) if exact => {
                    let at = path.child("limits");
                    errors.push(FieldError::required(
                        &at,
                        "Limit must be set for non overcommitable resources",
                    ));
                }
                _ => {}
            }
        }
    }
    let asked = |wanted: fn(&str) -> bool| {
        ["limits", "requests"]
            .iter()
            .filter_map(|field| resources[*field].as_object())
            .flatten()
            .any(|(name, _)| wanted(name))
    };
    if asked(resource_names::huge_pages) && !asked(|name| matches!(name, "cpu" | "memory")) {
        errors.push(FieldError::forbidden(
            path,
            "HugePages require cpu or memory",
        ));
    }
    errors
}
