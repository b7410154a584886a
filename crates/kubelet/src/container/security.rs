//! Users, capabilities and the wishes this node must refuse rather than ignore. Pure.

use k8s_openapi::api::core::v1::{Container, PodSpec, SeccompProfile};
use plinth_runtime::{ContainerConfig, UserSpec};

/// The first thing the specification asks for that this node cannot give, if any.
pub(crate) fn unsupported(spec: &PodSpec, container: &Container) -> Option<String> {
    let pod = spec.security_context.as_ref();
    let own = container.security_context.as_ref();
    let seccomp = own
        .and_then(|c| c.seccomp_profile.as_ref())
        .or(pod.and_then(|p| p.seccomp_profile.as_ref()));
    let confined = |profile: &&SeccompProfile| profile.type_ != "Unconfined";
    let app_armor = own
        .and_then(|c| c.app_armor_profile.as_ref())
        .or(pod.and_then(|p| p.app_armor_profile.as_ref()));
    let wish = |asked: Option<bool>, name: &str| (asked == Some(true)).then(|| name.to_owned());
    wish(spec.host_pid, "hostPID")
        .or_else(|| wish(spec.host_ipc, "hostIPC"))
        .or_else(|| wish(spec.share_process_namespace, "shareProcessNamespace"))
        .or_else(|| wish(spec.host_users.map(|shared| !shared), "hostUsers: false"))
        .or_else(|| {
            container
                .volume_devices
                .as_ref()
                .filter(|d| !d.is_empty())
                .map(|_| "volumeDevices".to_owned())
        })
        .or_else(|| host_port(spec, container).then(|| "hostPort".to_owned()))
        .or_else(|| {
            seccomp
                .filter(confined)
                .map(|p| format!("seccompProfile {}", p.type_))
        })
        .or_else(|| {
            app_armor
                .filter(|p| p.type_ != "Unconfined")
                .map(|p| format!("appArmorProfile {}", p.type_))
        })
}

fn host_port(spec: &PodSpec, container: &Container) -> bool {
    let wanted = container
        .ports
        .iter()
        .flatten()
        .any(|p| p.host_port.is_some_and(|port| port > 0));
    wanted && spec.host_network != Some(true)
}

/// Fills in the user, capabilities and privileges of `config`.
pub(super) fn apply(spec: &PodSpec, container: &Container, config: &mut ContainerConfig) {
    let pod = spec.security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let id = |asked: i64| u32::try_from(asked).ok();
    let supplemental = pod
        .supplemental_groups
        .iter()
        .flatten()
        .copied()
        .chain(pod.fs_group)
        .filter_map(id)
        .collect();
    let user = UserSpec {
        uid: own.run_as_user.or(pod.run_as_user).and_then(id),
        gid: own.run_as_group.or(pod.run_as_group).and_then(id),
        supplemental,
        run_as_non_root: own.run_as_non_root.or(pod.run_as_non_root).unwrap_or(false),
    };
    config.user = (user != UserSpec::default()).then_some(user);
    config.privileged = own.privileged.unwrap_or(false);
    config.read_only_rootfs = own.read_only_root_filesystem.unwrap_or(false);
    config.no_new_privileges = own.allow_privilege_escalation == Some(false);
    let capabilities = own.capabilities.unwrap_or_default();
    config.add_caps = capabilities.add.unwrap_or_default();
    config.drop_caps = capabilities.drop.unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(json: serde_json::Value) -> PodSpec {
        serde_json::from_value(json).expect("spec")
    }

    #[test]
    fn the_container_wins_over_the_pod_and_groups_add_up() {
        let spec = spec(json!({
            "securityContext": {"runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 3000, "supplementalGroups": [4000], "runAsNonRoot": true},
            "containers": [{"name": "c", "securityContext": {"runAsUser": 7, "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}}],
        }));
        let mut config = ContainerConfig::default();
        apply(&spec, &spec.containers[0], &mut config);
        let user = UserSpec {
            uid: Some(7),
            gid: Some(2000),
            supplemental: vec![4000, 3000],
            run_as_non_root: true,
        };
        assert_eq!(config.user, Some(user));
        assert!(config.no_new_privileges && config.read_only_rootfs && !config.privileged);
        assert_eq!(
            (config.drop_caps, config.add_caps),
            (vec!["ALL".to_owned()], vec!["NET_BIND_SERVICE".to_owned()])
        );
    }

    #[test]
    fn confinement_that_cannot_be_given_is_refused_not_dropped() {
        let case = |pod: serde_json::Value| {
            let spec = spec(pod);
            unsupported(&spec, &spec.containers[0])
        };
        assert_eq!(case(json!({"containers": [{"name": "c"}]})), None);
        assert_eq!(
            case(json!({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}, "containers": [{"name": "c"}]})).as_deref(),
            Some("seccompProfile RuntimeDefault")
        );
        assert_eq!(
            case(json!({"hostPID": true, "containers": [{"name": "c"}]})).as_deref(),
            Some("hostPID")
        );
    }
}
