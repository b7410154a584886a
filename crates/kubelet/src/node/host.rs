//! What this machine is and has, read from the kernel.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use k8s_openapi::api::core::v1::NodeSystemInfo;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::spec::Amounts;

/// What pods may use of this machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capacity {
    /// All there is, in the API's words.
    pub(crate) all: Amounts,
    /// What pods may ask for.
    pub(crate) allocatable: Amounts,
    /// Bytes of memory.
    pub(crate) memory: i64,
}

/// How many pods a node takes, as upstream.
const MOST_PODS: &str = "110";

impl Capacity {
    /// Of this machine; `root` tells which file system pods write to.
    pub(crate) fn of_host(root: &Path) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let memory_kib = meminfo("MemTotal").unwrap_or(0);
        let disk_bytes = disk(root).map_or(0, |d| d.size);
        let all: Amounts = [
            ("cpu", cpus.to_string()),
            ("ephemeral-storage", format!("{}Ki", disk_bytes / 1024)),
            ("memory", format!("{memory_kib}Ki")),
            ("pods", MOST_PODS.to_owned()),
        ]
        .into_iter()
        .map(|(name, amount)| (name.to_owned(), Quantity(amount)))
        .collect();
        Self {
            allocatable: all.clone(),
            all,
            memory: i64::try_from(memory_kib * 1024).unwrap_or(i64::MAX),
        }
    }
}

/// What runs short, by the thresholds at which upstream's node begins to evict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pressure {
    pub(super) memory: bool,
    pub(super) disk: bool,
    pub(super) pids: bool,
}

impl Pressure {
    pub(super) fn of_host(root: &Path) -> Self {
        const LEAST_MEMORY_KIB: u64 = 100 * 1024;
        let pids = || {
            let most: u64 = read("/proc/sys/kernel/pid_max").parse().ok()?;
            let used: u64 = read("/proc/loadavg")
                .split(' ')
                .nth(3)?
                .split('/')
                .nth(1)?
                .parse()
                .ok()?;
            Some(most.saturating_sub(used) < most / 20)
        };
        Self {
            memory: meminfo("MemAvailable").is_some_and(|kib| kib < LEAST_MEMORY_KIB),
            disk: disk(root).is_some_and(|d| d.available < d.size / 10),
            pids: pids().unwrap_or(false),
        }
    }
}

struct Disk {
    size: u64,
    available: u64,
}

fn disk(path: &Path) -> Option<Disk> {
    // The directory may not exist yet; its nearest parent is on the same file system.
    let there = path.ancestors().find(|p| p.exists())?;
    let stat = nix::sys::statvfs::statvfs(there).ok()?;
    let block = stat.fragment_size();
    Some(Disk {
        size: stat.blocks() * block,
        available: stat.blocks_available() * block,
    })
}

fn meminfo(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// The API version this node speaks.
const KUBELET_VERSION: &str = "v1.36.2";

/// The identity of the machine and its software.
pub(super) fn system_info() -> NodeSystemInfo {
    let release: BTreeMap<String, String> = read("/etc/os-release")
        .lines()
        .filter_map(|l| l.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.trim_matches('"').to_owned()))
        .collect();
    let uuid = read("/sys/class/dmi/id/product_uuid");
    let machine_id = read("/etc/machine-id");
    NodeSystemInfo {
        architecture: architecture().to_owned(),
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: format!("plinth://{}", env!("CARGO_PKG_VERSION")),
        kernel_version: read("/proc/sys/kernel/osrelease"),
        kube_proxy_version: String::new(),
        kubelet_version: KUBELET_VERSION.to_owned(),
        system_uuid: if uuid.is_empty() {
            machine_id.clone()
        } else {
            uuid
        },
        machine_id,
        operating_system: "linux".to_owned(),
        os_image: release
            .get("PRETTY_NAME")
            .cloned()
            .unwrap_or_else(|| "Linux".to_owned()),
        swap: None,
    }
}

/// The architecture in Go's words, which the API uses.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cpus_memory_and_a_disk() {
        let capacity = Capacity::of_host(Path::new("/nonexistent/below/root"));
        for name in ["cpu", "memory", "ephemeral-storage", "pods"] {
            let amount: plinth_api::Quantity = capacity.all[name].0.parse().expect(name);
            assert!(amount.sign().is_gt(), "{name}");
        }
        assert!(!system_info().kernel_version.is_empty());
    }
}
