//! `/etc/hosts` (N-41). Pure.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Pod;

use crate::spec;

/// The text of the file. `host_file` is the host's own, given for pods in its network.
pub(crate) fn hosts(
    pod: &Pod,
    pod_ip: Option<&str>,
    domain: &str,
    host_file: Option<&str>,
) -> String {
    let mut text = match host_file {
        Some(own) => format!("# Kubernetes-managed hosts file (host network).\n{own}"),
        None => "# Kubernetes-managed hosts file.\n\
                 127.0.0.1\tlocalhost\n\
                 ::1\tlocalhost ip6-localhost ip6-loopback\n\
                 fe00::0\tip6-localnet\n\
                 fe00::0\tip6-mcastprefix\n\
                 fe00::1\tip6-allnodes\n\
                 fe00::2\tip6-allrouters\n"
            .to_owned(),
    };
    if let (Some(ip), None) = (pod_ip, host_file) {
        let short = spec::short_hostname(pod);
        let names = spec::fqdn(pod, domain)
            .map_or_else(|| short.clone(), |full| format!("{full}\t{short}"));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{ip}\t{names}");
    }
    let aliases = pod
        .spec
        .as_ref()
        .and_then(|s| s.host_aliases.as_deref())
        .unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names = alias.hostnames.clone().unwrap_or_default().join("\t");
        let _ = writeln!(text, "{}\t{names}", alias.ip);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn n41_a_pod_with_a_subdomain_finds_its_full_name_first() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "kubia-1", "namespace": "default"},
            "spec": {"subdomain": "kubia", "hostname": "kubia-1", "containers": [],
                "hostAliases": [{"ip": "10.1.2.3", "hostnames": ["a", "b"]}]},
        }))
        .expect("pod");
        let text = hosts(&pod, Some("10.244.0.5"), "cluster.local", None);
        assert!(
            text.starts_with(
                "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost"
            )
        );
        assert!(text.contains("\n10.244.0.5\tkubia-1.kubia.default.svc.cluster.local\tkubia-1\n"));
        assert!(text.ends_with("\n# Entries added by HostAliases.\n10.1.2.3\ta\tb\n"));
        let host = hosts(
            &pod,
            Some("192.0.2.1"),
            "cluster.local",
            Some("127.0.0.1 h\n"),
        );
        assert!(host.contains("127.0.0.1 h\n") && !host.contains("192.0.2.1"));
    }

    #[test]
    fn n41_without_a_subdomain_only_the_short_name() {
        let pod: Pod = serde_json::from_value(
            json!({"metadata": {"name": "p", "namespace": "x"}, "spec": {"containers": []}}),
        )
        .expect("pod");
        assert!(
            hosts(&pod, Some("10.244.0.6"), "cluster.local", None).ends_with("10.244.0.6\tp\n")
        );
    }
}
