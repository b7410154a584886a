//! Validation of security contexts, of pods and of containers.

use std::collections::HashSet;

use serde_json::Value;

use super::volume::relative_path;
use crate::field::{FieldError, Path};
use crate::resources::checks::one_of;
use crate::resources::object::{given, int, list, text};

const SYSCTL_MAX: usize = 253;

/// The security context of a pod, and what it has to fit.
pub(super) fn validate_pod_security(spec: &Value, path: &Path) -> Vec<FieldError> {
    let (context, path) = (&spec["securityContext"], path.child("securityContext"));
    let mut errors: Vec<_> = ["fsGroup", "runAsUser", "runAsGroup"]
        .iter()
        .filter_map(|field| identity(context, field, &path))
        .collect();
    for (index, group) in list(context, "supplementalGroups").iter().enumerate() {
        let at = path.child("supplementalGroups").index(index);
        errors.extend(out_of_range(group.as_i64().unwrap_or(0), &at));
    }
    if spec["shareProcessNamespace"] == true && spec["hostPID"] == true {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        let at = path.child("shareProcessNamespace");
        errors.push(FieldError::invalid(&at, true, detail));
    }
    errors.extend(sysctls(context, &path.child("sysctls")));
    let policies = ["Always", "OnRootMismatch"];
    errors.extend(one_of(
        context,
        "fsGroupChangePolicy",
        &path,
        &policies,
        true,
    ));
    errors.extend(profiles(context, &path));
    let policies = ["Merge", "Strict"];
    errors.extend(one_of(
        context,
        "supplementalGroupsPolicy",
        &path,
        &policies,
        true,
    ));
    errors
}

/// The security context of a container.
pub(super) fn validate_container_security(context: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<_> = ["runAsUser", "runAsGroup"]
        .iter()
        .filter_map(|field| identity(context, field, path))
        .collect();
    let mounts = ["Default", "Unmasked"];
    errors.extend(one_of(context, "procMount", path, &mounts, true));
    errors.extend(profiles(context, path));
    if context["allowPrivilegeEscalation"] == false {
        if context["privileged"] == true {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(path, context.clone(), detail));
        }
        let added = list(&context["capabilities"], "add");
        if added
            .iter()
            .any(|c| c == "CAP_SYS_ADMIN" || c == "SYS_ADMIN")
        {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(path, context.clone(), detail));
        }
    }
    errors
}

/// A user or group id.
fn identity(context: &Value, field: &str, path: &Path) -> Option<FieldError> {
    out_of_range(int(context, field)?, &path.child(field))
}

fn out_of_range(id: i64, path: &Path) -> Option<FieldError> {
    let detail = "must be between 0 and 2147483647, inclusive";
    (!(0..=i64::from(i32::MAX)).contains(&id)).then(|| FieldError::invalid(path, id, detail))
}

fn sysctls(context: &Value, path: &Path) -> Vec<FieldError> {
    let (mut errors, mut seen) = (Vec::new(), HashSet::new());
    for (index, sysctl) in list(context, "sysctls").iter().enumerate() {
        let (name, at) = (text(sysctl, "name"), path.index(index).child("name"));
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !is_sysctl(name) {
            let segment = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
            let detail = format!(
                "must have at most {SYSCTL_MAX} characters and match regex ^({segment}[\\./])*{segment}$"
            );
            errors.push(FieldError::invalid(&at, name, detail));
        } else if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
    }
    errors
}

/// Lower-case words of a kernel setting, joined by dots or slashes.
fn is_sysctl(name: &str) -> bool {
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let word = |word: &str| {
        let bytes = word.as_bytes();
        bytes.first().is_some_and(edge)
            && bytes.last().is_some_and(edge)
            && bytes.iter().all(|b| edge(b) || b"-_".contains(b))
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(word)
}

/// The profiles that confine a process.
fn profiles(context: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, called) in [
        ("seccompProfile", "seccomp"),
        ("appArmorProfile", "AppArmor"),
    ] {
        if !given(context, field) {
            continue;
        }
        let (profile, at) = (&context[field], path.child(field));
        let (kind, kind_at) = (text(profile, "type"), at.child("type"));
        let kinds = ["Localhost", "RuntimeDefault", "Unconfined"];
        if kind.is_empty() {
            let detail = format!("type is required when {field} is set");
            errors.push(FieldError::required(&kind_at, detail));
        } else if !kinds.contains(&kind) {
            errors.push(FieldError::not_supported(&kind_at, kind, &kinds));
        }
        let at = at.child("localhostProfile");
        match (kind, profile["localhostProfile"].as_str()) {
            ("Localhost", None) => {
                let detail = format!("must be set when {called} type is Localhost");
                errors.push(FieldError::required(&at, detail));
            }
            ("Localhost", Some(file)) => errors.extend(relative_path(file, &at)),
            (_, Some(file)) => {
                let detail = format!("can only be set when {called} type is Localhost");
                errors.push(FieldError::invalid(&at, file, detail));
            }
            (_, None) => {}
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[rstest]
    #[case(json!({"securityContext": {"runAsUser": -1}}),
        "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive")]
    #[case(json!({"shareProcessNamespace": true, "hostPID": true}),
        "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled")]
    #[case(json!({"securityContext": {"sysctls": [{"name": "Net.core", "value": "1"}]}}),
        "spec.securityContext.sysctls[0].name: Invalid value: \"Net.core\": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$")]
    #[case(json!({"securityContext": {"sysctls": [{"name": "a.b", "value": "1"}, {"name": "a.b", "value": "2"}]}}),
        "spec.securityContext.sysctls[1].name: Duplicate value: \"a.b\"")]
    #[case(json!({"securityContext": {"seccompProfile": {"type": "Localhost"}}}),
        "spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost")]
    #[case(json!({"securityContext": {"seccompProfile": {"type": "Odd"}}}),
        "spec.securityContext.seccompProfile.type: Unsupported value: \"Odd\": supported values: \"Localhost\", \"RuntimeDefault\", \"Unconfined\"")]
    fn pods(#[case] spec: Value, #[case] want: &str) {
        assert_eq!(
            texts(&validate_pod_security(&spec, &Path::new("spec"))),
            [want]
        );
    }

    #[test]
    fn containers() {
        let context =
            json!({"allowPrivilegeEscalation": false, "privileged": true, "procMount": "Odd"});
        assert_eq!(
            texts(&validate_container_security(&context, &Path::new("c"))),
            [
                "c.procMount: Unsupported value: \"Odd\": supported values: \"Default\", \"Unmasked\"",
                "c: Invalid value: {\"allowPrivilegeEscalation\":false,\"privileged\":true,\"procMount\":\"Odd\"}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            ]
        );
    }
}
