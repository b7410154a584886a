//! Reads a pod's specification: what its fields mean to the node. Pure; knows nothing of what is running.

mod hash;
mod resources;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub(crate) use hash::container_hash;
pub(crate) use resources::{Amounts, amount, container_resources, qos_class};

/// What happens when a container ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    /// It is started again.
    Always,
    /// It is started again unless it exited with 0.
    OnFailure,
    /// It stays ended.
    Never,
}

impl RestartPolicy {
    pub(crate) fn of(spec: &PodSpec) -> Self {
        match spec.restart_policy.as_deref() {
            Some("OnFailure") => Self::OnFailure,
            Some("Never") => Self::Never,
            _ => Self::Always,
        }
    }

    /// Whether a container that ended with `exit_code` is to run again.
    pub(crate) fn restarts(self, exit_code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => exit_code != 0,
            Self::Never => false,
        }
    }
}

/// The part a container plays in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to its end before the next begins.
    Init,
    /// An init container with `restartPolicy: Always`: runs beside all that follow.
    Sidecar,
    /// What the pod is for.
    Main,
}

/// Every container with its role, in starting order.
pub(crate) fn containers(spec: &PodSpec) -> impl Iterator<Item = (Role, &Container)> {
    let init = spec.init_containers.iter().flatten().map(|c| {
        let sidecar = c.restart_policy.as_deref() == Some("Always");
        (if sidecar { Role::Sidecar } else { Role::Init }, c)
    });
    init.chain(spec.containers.iter().map(|c| (Role::Main, c)))
}

/// The restart policy that holds for one container of the pod.
pub(crate) fn restart_policy(spec: &PodSpec, role: Role) -> RestartPolicy {
    match (role, RestartPolicy::of(spec)) {
        (Role::Sidecar, _) => RestartPolicy::Always,
        // A finished init container is done; a failed one is tried again under Always as under OnFailure.
        (Role::Init, RestartPolicy::Always) => RestartPolicy::OnFailure,
        (_, policy) => policy,
    }
}

/// The pod's specification; the default one if the object has none, which the API refuses.
pub(crate) fn spec_of(pod: &Pod) -> PodSpec {
    pod.spec.clone().unwrap_or_default()
}

/// Whether the API has been asked to delete the pod.
pub(crate) fn is_deleting(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether the pod has reached the phase it will keep (L-2).
pub(crate) fn is_terminal(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The shortest time between SIGTERM and SIGKILL (L-32).
pub(crate) const MINIMUM_GRACE: Duration = Duration::from_secs(1);

/// When the containers of a pod that is being deleted must be dead, or `None` if it is not being deleted.
///
/// A deadline rather than a duration, so that a daemon restarted in the middle does not begin the grace anew.
pub(crate) fn deletion_deadline(pod: &Pod, now: Timestamp) -> Option<Timestamp> {
    let Time(deadline) = pod.metadata.deletion_timestamp.as_ref()?;
    let grace = pod
        .metadata
        .deletion_grace_period_seconds
        .unwrap_or(0)
        .max(1);
    // deletionTimestamp is cut to whole seconds; the user gets the grace that was asked for in full.
    let latest = now + Duration::from_secs(grace.unsigned_abs());
    let asked = *deadline + Duration::from_secs(1);
    Some(asked.min(latest).max(now + MINIMUM_GRACE))
}

/// The grace of a container that is killed for another reason than the pod's deletion.
pub(crate) fn spec_grace(spec: &PodSpec) -> Duration {
    let seconds = spec.termination_grace_period_seconds.unwrap_or(30).max(1);
    Duration::from_secs(seconds.unsigned_abs())
}

/// Whether the pod lives in the host's network.
pub(crate) fn is_host_network(spec: &PodSpec) -> bool {
    spec.host_network.unwrap_or(false)
}

/// The host name inside the pod (N-42); `None` when the fully qualified form was asked for and is too long.
pub(crate) fn hostname(pod: &Pod, domain: &str) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let short = short_hostname(pod);
    match fqdn(pod, domain) {
        Some(full) if spec.set_hostname_as_fqdn == Some(true) => (full.len() <= 64).then_some(full),
        _ => Some(short),
    }
}

/// The pod's `hostname` or name, cut to what the kernel and DNS labels take.
pub(crate) fn short_hostname(pod: &Pod) -> String {
    let chosen = pod
        .spec
        .as_ref()
        .and_then(|s| s.hostname.as_deref())
        .filter(|h| !h.is_empty());
    let name = chosen.or(pod.metadata.name.as_deref()).unwrap_or_default();
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// `<hostname>.<subdomain>.<namespace>.svc.<domain>`, if the pod has a subdomain.
pub(crate) fn fqdn(pod: &Pod, domain: &str) -> Option<String> {
    let subdomain = pod
        .spec
        .as_ref()?
        .subdomain
        .as_deref()
        .filter(|s| !s.is_empty())?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    Some(format!(
        "{}.{subdomain}.{namespace}.svc.{domain}",
        short_hostname(pod)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: serde_json::Value) -> Pod {
        serde_json::from_value(json).expect("a pod")
    }

    #[test]
    fn n42_host_name_is_cut_to_63_characters_and_never_ends_in_a_dash() {
        let name = format!("{}-tail", "a".repeat(62));
        let pod = pod(serde_json::json!({"metadata": {"name": name}, "spec": {"containers": []}}));
        assert_eq!(
            hostname(&pod, "cluster.local").as_deref(),
            Some("a".repeat(62).as_str())
        );
    }

    #[test]
    fn n42_fully_qualified_host_name_needs_a_subdomain_and_64_characters() {
        let mut p = pod(
            serde_json::json!({"metadata": {"name": "web-0", "namespace": "default"},
            "spec": {"containers": [], "subdomain": "nginx", "setHostnameAsFQDN": true}}),
        );
        assert_eq!(
            hostname(&p, "cluster.local").as_deref(),
            Some("web-0.nginx.default.svc.cluster.local")
        );
        p.metadata.namespace = Some("n".repeat(60));
        assert_eq!(hostname(&p, "cluster.local"), None);
        p.spec.as_mut().expect("spec").subdomain = None;
        assert_eq!(hostname(&p, "cluster.local").as_deref(), Some("web-0"));
    }

    #[test]
    fn l32_a_restarted_daemon_goes_on_with_the_grace_that_is_left() {
        let now: Timestamp = "2026-01-01T00:00:10Z".parse().expect("time");
        let deleting = |at: &str, grace: i64| {
            pod(
                serde_json::json!({"metadata": {"name": "p", "deletionTimestamp": at, "deletionGracePeriodSeconds": grace}}),
            )
        };
        let left = |p: &Pod| deletion_deadline(p, now).map(|d| d.as_second() - now.as_second());
        assert_eq!(left(&deleting("2026-01-01T00:00:40Z", 30)), Some(30));
        assert_eq!(left(&deleting("2026-01-01T00:00:15Z", 30)), Some(6));
        assert_eq!(
            left(&deleting("2026-01-01T00:00:01Z", 30)),
            Some(1),
            "an overdue deletion still gets a second"
        );
        assert_eq!(left(&deleting("2026-01-01T00:00:10Z", 0)), Some(1));
        assert_eq!(
            left(&pod(serde_json::json!({"metadata": {"name": "p"}}))),
            None
        );
    }
}
