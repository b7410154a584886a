//! The files every container finds in `/etc`: resolver, hosts, host name. Their text is pure; writing them is not.

mod hosts;
mod resolv;

use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use plinth_runtime::Mount;

use crate::spec;

pub(crate) use hosts::hosts;
pub(crate) use resolv::{ClusterDns, Resolver, resolver};

/// Writes the files of a pod's `/etc` into `dir`; replaces what is there.
pub(crate) fn write(
    dir: &Path,
    pod: &Pod,
    pod_ip: Option<&str>,
    dns: &ClusterDns,
    node_name: &str,
) -> io::Result<Resolver> {
    let host_network = pod.spec.as_ref().is_some_and(spec::is_host_network);
    let resolver = resolver(pod, dns);
    let host_file = if host_network {
        std::fs::read_to_string("/etc/hosts").ok()
    } else {
        None
    };
    let hostname = if host_network {
        node_name.to_owned()
    } else {
        spec::hostname(pod, &dns.domain).unwrap_or_else(|| spec::short_hostname(pod))
    };
    std::fs::create_dir_all(dir)?;
    replace(&dir.join("resolv.conf"), &resolver.text)?;
    replace(
        &dir.join("hosts"),
        &hosts(pod, pod_ip, &dns.domain, host_file.as_deref()),
    )?;
    replace(&dir.join("hostname"), &format!("{hostname}\n"))?;
    Ok(resolver)
}

/// Replaces the text in place: the file is bind-mounted into running containers, which hold on to its inode.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    std::fs::write(path, text)
}

/// The mounts of the files in `dir`, but for those paths where the container mounts something of its own.
pub(crate) fn mounts(dir: &Path, taken: &[PathBuf], read_only: bool) -> Vec<Mount> {
    ["resolv.conf", "hosts", "hostname"]
        .into_iter()
        .map(|name| (dir.join(name), Path::new("/etc").join(name)))
        .filter(|(_, inside)| !taken.contains(inside))
        .map(|(host_path, container_path)| Mount {
            host_path,
            container_path,
            read_only,
            ..Mount::default()
        })
        .collect()
}
