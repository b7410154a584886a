//! What the levels of the Pod Security Standards ask of a pod. Pure: pods in, faults out, in upstream's order.

use std::collections::BTreeSet;

use serde_json::Value;

/// How much a pod may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Everything.
    Privileged,
    /// Nothing that is known to give power over the host.
    Baseline,
    /// What a hardened application needs.
    Restricted,
}

impl Level {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "privileged" => Self::Privileged,
            "baseline" => Self::Baseline,
            "restricted" => Self::Restricted,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// One thing a pod may not do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) reason: String,
    pub(super) detail: String,
}

type Check = fn(&Pod) -> Option<Violation>;

const BASELINE: &[Check] = &[
    app_armor,
    default_capabilities,
    host_namespaces,
    host_paths,
    host_ports,
    host_probes,
    privileged,
    proc_mount,
    se_linux,
    bad_seccomp,
    sysctls,
    host_process,
];
/// Where the restricted level asks for more than a check of the baseline, its own check stands instead.
const RESTRICTED: &[Check] = &[
    app_armor,
    host_namespaces,
    host_ports,
    host_probes,
    privileged,
    proc_mount,
    se_linux,
    sysctls,
    host_process,
    privilege_escalation,
    no_capabilities,
    volumes,
    non_root,
    root_user,
    seccomp,
];

/// What a pod does that its level does not allow.
pub(super) fn violations(level: Level, pod: &Value) -> Vec<Violation> {
    let checks = match level {
        Level::Privileged => return Vec::new(),
        Level::Baseline => BASELINE,
        Level::Restricted => RESTRICTED,
    };
    let pod = Pod(pod);
    checks.iter().filter_map(|check| check(&pod)).collect()
}

struct Pod<'p>(&'p Value);

impl<'p> Pod<'p> {
    fn spec(&self) -> &'p Value {
        &self.0["spec"]
    }

    fn security(&self) -> &'p Value {
        &self.spec()["securityContext"]
    }

    /// Init containers, containers, ephemeral containers.
    fn containers(&self) -> impl Iterator<Item = &'p Value> {
        let spec = self.spec();
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(move |field| spec[field].as_array().into_iter().flatten())
    }

    fn is_windows(&self) -> bool {
        self.spec()["os"]["name"] == "windows"
    }

    /// Names of containers of which something is true.
    fn containers_that(&self, is: impl Fn(&Value) -> bool) -> Vec<String> {
        self.containers()
            .filter(|container| is(container))
            .map(name)
            .collect()
    }
}

fn name(container: &Value) -> String {
    container["name"].as_str().unwrap_or_default().to_owned()
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "every check returns at once what this makes"
)]
fn violation(reason: &str, detail: String) -> Option<Violation> {
    Some(Violation {
        reason: reason.to_owned(),
        detail,
    })
}

fn plural<'t>(one: &'t str, many: &'t str, count: usize) -> &'t str {
    if count == 1 { one } else { many }
}

fn quoted<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let quoted = items.into_iter().map(|item| format!("{:?}", item.as_ref()));
    quoted.collect::<Vec<_>>().join(", ")
}

/// `container "a"`, `containers "a", "b"`.
fn those(containers: &[String]) -> String {
    let word = plural("container", "containers", containers.len());
    format!("{word} {}", quoted(containers))
}

/// The pod itself, and those of its containers, that set something.
fn setters(pod_sets: bool, containers: &[String]) -> Vec<String> {
    let pod = pod_sets.then(|| "pod".to_owned());
    let containers = (!containers.is_empty()).then(|| those(containers));
    pod.into_iter().chain(containers).collect()
}

fn app_armor(pod: &Pod) -> Option<Violation> {
    let mut values = BTreeSet::new();
    let mut bad = |context: &Value| {
        let kind = context["appArmorProfile"]["type"].as_str();
        let kind = kind.filter(|kind| !matches!(*kind, "RuntimeDefault" | "Localhost"));
        kind.is_some_and(|kind| {
            values.insert(kind.to_owned());
            true
        })
    };
    let pod_sets = bad(pod.security());
    let containers: Vec<String> = pod
        .containers()
        .filter(|c| bad(&c["securityContext"]))
        .map(name)
        .collect();
    let mut who = setters(pod_sets, &containers);
    let mut values: Vec<String> = values.into_iter().collect();
    let annotations = pod.0["metadata"]["annotations"].as_object();
    let annotations: Vec<String> = annotations
        .into_iter()
        .flatten()
        .filter(|(key, _)| key.starts_with("container.apparmor.security.beta.kubernetes.io/"))
        .map(|(key, value)| (key, value.as_str().unwrap_or_default()))
        .filter(|(_, value)| {
            !value.is_empty() && *value != "runtime/default" && !value.starts_with("localhost/")
        })
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    if !annotations.is_empty() {
        who.push(plural("annotation", "annotations", annotations.len()).to_owned());
        values.extend(annotations);
    }
    if who.is_empty() {
        return None;
    }
    let reason = plural(
        "forbidden AppArmor profile",
        "forbidden AppArmor profiles",
        values.len(),
    );
    let detail = format!(
        "{} must not set AppArmor profile type to {}",
        who.join(" and "),
        quoted(values)
    );
    violation(reason, detail)
}

fn added(container: &Value) -> impl Iterator<Item = &str> {
    let added = container["securityContext"]["capabilities"]["add"].as_array();
    added.into_iter().flatten().filter_map(Value::as_str)
}

fn default_capabilities(pod: &Pod) -> Option<Violation> {
    const DEFAULT: [&str; 13] = [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ];
    let beyond = |container: &Value| -> Vec<String> {
        added(container)
            .filter(|c| !DEFAULT.contains(c))
            .map(str::to_owned)
            .collect()
    };
    let bad = pod.containers_that(|container| !beyond(container).is_empty());
    let capabilities: BTreeSet<String> = pod.containers().flat_map(beyond).collect();
    if bad.is_empty() {
        return None;
    }
    let detail = format!(
        "{} must not include {} in securityContext.capabilities.add",
        those(&bad),
        quoted(capabilities)
    );
    violation("non-default capabilities", detail)
}

fn host_namespaces(pod: &Pod) -> Option<Violation> {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| pod.spec()[field] == true)
        .map(|field| format!("{field}=true"))
        .collect();
    if shared.is_empty() {
        return None;
    }
    violation("host namespaces", shared.join(", "))
}

fn host_paths(pod: &Pod) -> Option<Violation> {
    let volumes = pod.spec()["volumes"].as_array().into_iter().flatten();
    let paths: Vec<String> = volumes
        .filter(|volume| volume["hostPath"].is_object())
        .map(name)
        .collect();
    if paths.is_empty() {
        return None;
    }
    let word = plural("volume", "volumes", paths.len());
    violation("hostPath volumes", format!("{word} {}", quoted(&paths)))
}

fn host_ports(pod: &Pod) -> Option<Violation> {
    let ports = |container: &Value| -> Vec<String> {
        let ports = container["ports"].as_array().into_iter().flatten();
        let ports = ports.filter_map(|port| port["hostPort"].as_i64());
        ports
            .filter(|port| *port != 0)
            .map(|port| port.to_string())
            .collect()
    };
    let bad = pod.containers_that(|container| !ports(container).is_empty());
    let all: BTreeSet<String> = pod.containers().flat_map(ports).collect();
    if bad.is_empty() {
        return None;
    }
    let detail = format!(
        "{} {} {} {}",
        those(&bad),
        plural("uses", "use", bad.len()),
        plural("hostPort", "hostPorts", all.len()),
        all.into_iter().collect::<Vec<_>>().join(", ")
    );
    violation("hostPort", detail)
}

fn host_probes(pod: &Pod) -> Option<Violation> {
    let hosts = |container: &Value| -> Vec<String> {
        let probes =
            ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| &container[probe]);
        let hooks = ["postStart", "preStop"].map(|hook| &container["lifecycle"][hook]);
        let handlers = probes.into_iter().chain(hooks);
        let hosts = handlers.flat_map(|handler| {
            ["httpGet", "tcpSocket"].map(|kind| handler[kind]["host"].as_str().unwrap_or_default())
        });
        hosts
            .filter(|host| !host.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let bad: BTreeSet<String> = pod
        .containers_that(|container| !hosts(container).is_empty())
        .into_iter()
        .collect();
    let all: BTreeSet<String> = pod.containers().flat_map(hosts).collect();
    if bad.is_empty() {
        return None;
    }
    let bad: Vec<String> = bad.into_iter().collect();
    let detail = format!(
        "{} {} {} {}",
        those(&bad),
        plural("uses", "use", bad.len()),
        plural(
            "probe or lifecycle host",
            "probe or lifecycle hosts",
            all.len()
        ),
        quoted(all)
    );
    violation("probe or lifecycle host", detail)
}

fn privileged(pod: &Pod) -> Option<Violation> {
    let bad = pod.containers_that(|c| c["securityContext"]["privileged"] == true);
    if bad.is_empty() {
        return None;
    }
    violation(
        "privileged",
        format!(
            "{} must not set securityContext.privileged=true",
            those(&bad)
        ),
    )
}

fn proc_mount(pod: &Pod) -> Option<Violation> {
    let mount = |container: &Value| {
        let mount = container["securityContext"]["procMount"].as_str();
        mount.filter(|mount| *mount != "Default").map(str::to_owned)
    };
    let bad = pod.containers_that(|container| mount(container).is_some());
    let mounts: BTreeSet<String> = pod.containers().filter_map(mount).collect();
    if bad.is_empty() {
        return None;
    }
    let detail = format!(
        "{} must not set securityContext.procMount to {}",
        those(&bad),
        quoted(mounts)
    );
    violation("procMount", detail)
}

fn se_linux(pod: &Pod) -> Option<Violation> {
    const TYPES: [&str; 5] = [
        "",
        "container_t",
        "container_init_t",
        "container_kvm_t",
        "container_engine_t",
    ];
    let mut types = BTreeSet::new();
    let (mut user, mut role) = (false, false);
    let mut bad = |context: &Value| {
        let options = &context["seLinuxOptions"];
        let text = |field: &str| options[field].as_str().unwrap_or_default();
        let bad_type = !TYPES.contains(&text("type"));
        if bad_type {
            types.insert(text("type").to_owned());
        }
        user |= !text("user").is_empty();
        role |= !text("role").is_empty();
        bad_type || !text("user").is_empty() || !text("role").is_empty()
    };
    let pod_sets = bad(pod.security());
    let containers: Vec<String> = pod
        .containers()
        .filter(|c| bad(&c["securityContext"]))
        .map(name)
        .collect();
    let who = setters(pod_sets, &containers);
    if who.is_empty() {
        return None;
    }
    let mut faults = Vec::new();
    if !types.is_empty() {
        faults.push(format!(
            "{} {}",
            plural("type", "types", types.len()),
            quoted(types)
        ));
    }
    faults.extend(user.then(|| "user may not be set".to_owned()));
    faults.extend(role.then(|| "role may not be set".to_owned()));
    let detail = format!(
        "{} set forbidden securityContext.seLinuxOptions: {}",
        who.join(" and "),
        faults.join("; ")
    );
    violation("seLinuxOptions", detail)
}

fn seccomp_type(context: &Value) -> Option<&str> {
    context["seccompProfile"]["type"].as_str()
}

/// Who sets a seccomp profile that is none, and which.
fn bad_seccomp(pod: &Pod) -> Option<Violation> {
    let bad = |context: &Value| {
        seccomp_type(context)
            .filter(|kind| !matches!(*kind, "RuntimeDefault" | "Localhost"))
            .map(str::to_owned)
    };
    let of_container = |container: &Value| bad(&container["securityContext"]);
    let own = bad(pod.security());
    let containers = pod.containers_that(|container| of_container(container).is_some());
    let who = setters(own.is_some(), &containers);
    let values: BTreeSet<String> = own
        .into_iter()
        .chain(pod.containers().filter_map(of_container))
        .collect();
    if who.is_empty() {
        return None;
    }
    let detail = format!(
        "{} must not set securityContext.seccompProfile.type to {}",
        who.join(" and "),
        quoted(values)
    );
    violation("seccompProfile", detail)
}

fn sysctls(pod: &Pod) -> Option<Violation> {
    const ALLOWED: [&str; 12] = [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    ];
    let set = pod.security()["sysctls"].as_array().into_iter().flatten();
    let bad: Vec<String> = set
        .map(name)
        .filter(|name| !ALLOWED.contains(&name.as_str()))
        .collect();
    if bad.is_empty() {
        return None;
    }
    let reason = plural("forbidden sysctl", "forbidden sysctls", bad.len());
    violation(reason, bad.join(", "))
}

fn host_process(pod: &Pod) -> Option<Violation> {
    let sets = |context: &Value| context["windowsOptions"]["hostProcess"] == true;
    let containers = pod.containers_that(|container| sets(&container["securityContext"]));
    let who = setters(sets(pod.security()), &containers);
    if who.is_empty() {
        return None;
    }
    let who = who.join(" and ");
    let detail = format!("{who} must not set securityContext.windowsOptions.hostProcess=true");
    violation("hostProcess", detail)
}

fn privilege_escalation(pod: &Pod) -> Option<Violation> {
    if pod.is_windows() {
        return None;
    }
    let bad = pod.containers_that(|c| c["securityContext"]["allowPrivilegeEscalation"] != false);
    if bad.is_empty() {
        return None;
    }
    let who = those(&bad);
    let detail = format!("{who} must set securityContext.allowPrivilegeEscalation=false");
    violation("allowPrivilegeEscalation != false", detail)
}

fn no_capabilities(pod: &Pod) -> Option<Violation> {
    if pod.is_windows() {
        return None;
    }
    let drops_all = |container: &Value| {
        let dropped = container["securityContext"]["capabilities"]["drop"].as_array();
        dropped
            .into_iter()
            .flatten()
            .any(|capability| capability == "ALL")
    };
    let adds = |container: &Value| -> Vec<String> {
        added(container)
            .filter(|c| *c != "NET_BIND_SERVICE")
            .map(str::to_owned)
            .collect()
    };
    let keeping = pod.containers_that(|container| !drops_all(container));
    let adding = pod.containers_that(|container| !adds(container).is_empty());
    let capabilities: BTreeSet<String> = pod.containers().flat_map(adds).collect();
    let mut details = Vec::new();
    if !keeping.is_empty() {
        let who = those(&keeping);
        details.push(format!(
            "{who} must set securityContext.capabilities.drop=[\"ALL\"]"
        ));
    }
    if !adding.is_empty() {
        details.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            those(&adding),
            quoted(capabilities)
        ));
    }
    if details.is_empty() {
        return None;
    }
    violation("unrestricted capabilities", details.join("; "))
}

fn volumes(pod: &Pod) -> Option<Violation> {
    const ALLOWED: [&str; 9] = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    let source = |volume: &Value| {
        let mut fields = volume.as_object().into_iter().flatten();
        let source = fields.find(|(key, value)| *key != "name" && !value.is_null());
        source.map_or_else(|| "unknown".to_owned(), |(key, _)| key.clone())
    };
    let volumes = pod.spec()["volumes"].as_array().into_iter().flatten();
    let bad: Vec<(String, String)> = volumes
        .map(|volume| (name(volume), source(volume)))
        .filter(|(_, source)| !ALLOWED.contains(&source.as_str()))
        .collect();
    if bad.is_empty() {
        return None;
    }
    let types: BTreeSet<&str> = bad.iter().map(|(_, source)| source.as_str()).collect();
    let detail = format!(
        "{} {} {} {} {}",
        plural("volume", "volumes", bad.len()),
        quoted(bad.iter().map(|(name, _)| name)),
        plural("uses", "use", bad.len()),
        plural(
            "restricted volume type",
            "restricted volume types",
            types.len()
        ),
        quoted(types)
    );
    violation("restricted volume types", detail)
}

fn non_root(pod: &Pod) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    let set = |context: &Value| context["runAsNonRoot"].as_bool();
    let of_container = |container: &Value| set(&container["securityContext"]);
    let own = set(pod.security());
    let refusing = pod.containers_that(|container| of_container(container) == Some(false));
    let who = setters(own == Some(false), &refusing);
    if !who.is_empty() {
        let who = who.join(" and ");
        return violation(
            REASON,
            format!("{who} must not set securityContext.runAsNonRoot=false"),
        );
    }
    let silent = pod.containers_that(|container| of_container(container).is_none());
    if own == Some(true) || silent.is_empty() {
        return None;
    }
    let who = those(&silent);
    violation(
        REASON,
        format!("pod or {who} must set securityContext.runAsNonRoot=true"),
    )
}

fn root_user(pod: &Pod) -> Option<Violation> {
    let root = |context: &Value| context["runAsUser"] == 0;
    let containers = pod.containers_that(|container| root(&container["securityContext"]));
    let who = setters(root(pod.security()), &containers);
    if who.is_empty() {
        return None;
    }
    violation(
        "runAsUser=0",
        format!("{} must not set runAsUser=0", who.join(" and ")),
    )
}

fn seccomp(pod: &Pod) -> Option<Violation> {
    if pod.is_windows() {
        return None;
    }
    if let Some(bad) = bad_seccomp(pod) {
        return Some(bad);
    }
    let silent = pod.containers_that(|c| seccomp_type(&c["securityContext"]).is_none());
    if seccomp_type(pod.security()).is_some() || silent.is_empty() {
        return None;
    }
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        those(&silent)
    );
    violation("seccompProfile", detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(level: Level, pod: &Value) -> Vec<String> {
        let each = violations(level, pod).into_iter();
        each.map(|violation| format!("{} ({})", violation.reason, violation.detail))
            .collect()
    }

    #[test]
    fn the_plainest_pod_is_baseline_but_not_restricted() {
        let pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
        assert!(told(Level::Privileged, &pod).is_empty());
        assert!(told(Level::Baseline, &pod).is_empty());
        assert_eq!(
            told(Level::Restricted, &pod),
            [
                r#"allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)"#,
                r#"unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"])"#,
                r#"runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)"#,
                r#"seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#,
            ]
        );
    }

    #[test]
    fn a_hardened_pod_is_restricted() {
        let context = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}});
        let pod = json!({"spec": {"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "c", "securityContext": context}], "volumes": [{"name": "v", "emptyDir": {}}]}});
        assert!(told(Level::Restricted, &pod).is_empty());
    }

    #[test]
    fn power_over_the_host_is_told_in_order() {
        let pod = json!({"spec": {"hostNetwork": true, "hostPID": true,
            "securityContext": {"sysctls": [{"name": "kernel.msgmax"}], "seccompProfile": {"type": "Unconfined"}},
            "volumes": [{"name": "a", "hostPath": {}}, {"name": "b", "hostPath": {}}],
            "containers": [
                {"name": "x", "securityContext": {"privileged": true, "capabilities": {"add": ["SYS_ADMIN", "CHOWN"]}, "seLinuxOptions": {"user": "u"}},
                 "ports": [{"hostPort": 80}, {"hostPort": 81}]},
                {"name": "y", "securityContext": {"procMount": "Unmasked"}, "livenessProbe": {"httpGet": {"host": "127.0.0.1"}}}]}});
        assert_eq!(
            told(Level::Baseline, &pod),
            [
                r#"non-default capabilities (container "x" must not include "SYS_ADMIN" in securityContext.capabilities.add)"#,
                "host namespaces (hostNetwork=true, hostPID=true)",
                r#"hostPath volumes (volumes "a", "b")"#,
                r#"hostPort (container "x" uses hostPorts 80, 81)"#,
                r#"probe or lifecycle host (container "y" uses probe or lifecycle host "127.0.0.1")"#,
                r#"privileged (container "x" must not set securityContext.privileged=true)"#,
                r#"procMount (container "y" must not set securityContext.procMount to "Unmasked")"#,
                r#"seLinuxOptions (container "x" set forbidden securityContext.seLinuxOptions: user may not be set)"#,
                r#"seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")"#,
                "forbidden sysctl (kernel.msgmax)",
            ]
        );
    }
}
