//! What processes and cgroups weigh, as the kernel counts it. Linux only.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Resident set of a process, in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    field(&format!("/proc/{pid}/smaps_rollup"), &["Rss:"])
}

/// The part of a process's resident set that it shares with nobody, in bytes.
pub(crate) fn unshared(pid: u32) -> Result<u64> {
    field(
        &format!("/proc/{pid}/smaps_rollup"),
        &["Private_Clean:", "Private_Dirty:"],
    )
}

fn field(path: &str, names: &[&str]) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    let sum: u64 = text
        .lines()
        .filter(|line| names.iter().any(|name| line.starts_with(name)))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum();
    Ok(sum * 1024)
}

/// Processes whose command line contains `part`.
pub(crate) fn processes(part: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            // A process that ended meanwhile is not there any more.
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
                String::from_utf8_lossy(&line)
                    .replace('\0', " ")
                    .contains(part)
            })
        })
        .collect()
}

/// Memory charged to a cgroup and all below it, page cache included; `None` if the host does not say.
pub(crate) fn cgroup(root: &str) -> Option<u64> {
    let root = root.trim_start_matches('/');
    ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"]
        .iter()
        .find_map(|hierarchy| {
            let path = Path::new(hierarchy).join(root);
            ["memory.usage_in_bytes", "memory.current"]
                .iter()
                .find_map(|file| {
                    fs::read_to_string(path.join(file))
                        .ok()?
                        .trim()
                        .parse()
                        .ok()
                })
        })
}
