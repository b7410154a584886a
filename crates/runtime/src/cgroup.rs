//! The control groups of a pod in every hierarchy of the host: v1, v2 or both side by side, found by looking.
//! Limits are libcontainer's business; this makes, joins, empties and removes groups.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

/// Where a hierarchy is mounted and what it controls.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    mount_point: PathBuf,
    /// v1 controllers; none for v2 and for a named hierarchy.
    controllers: Vec<String>,
    unified: bool,
}

/// The hierarchies of this host.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    hierarchies: Vec<Hierarchy>,
}

const V1_CONTROLLERS: &[&str] = &[
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
];

impl Cgroups {
    /// Looks at what is mounted.
    pub(crate) fn find() -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string("/proc/self/mountinfo")?))
    }

    fn parse(mountinfo: &str) -> Self {
        let mut hierarchies = Vec::<Hierarchy>::new();
        for line in mountinfo.lines() {
            let Some((mount, source)) = line.split_once(" - ") else {
                continue;
            };
            let mut source = source.split(' ');
            let (Some(kind), Some(options)) = (source.next(), source.nth(1)) else {
                continue;
            };
            let mut mount = mount.split(' ').skip(3);
            let (Some(root), Some(point)) = (mount.next(), mount.next()) else {
                continue;
            };
            // A bind mount of a part (as inside a container) is not where new groups can be made by absolute path,
            // but the root of a cgroup namespace shows as `/` and is.
            if root != "/" || !(kind == "cgroup" || kind == "cgroup2") {
                continue;
            }
            let controllers: Vec<String> = options
                .split(',')
                .filter(|option| kind == "cgroup" && V1_CONTROLLERS.contains(option))
                .map(str::to_owned)
                .collect();
            let hierarchy = Hierarchy {
                mount_point: PathBuf::from(point),
                controllers,
                unified: kind == "cgroup2",
            };
            let known = |h: &Hierarchy| {
                h.mount_point == hierarchy.mount_point
                    || (h.unified && hierarchy.unified)
                    || (!h.controllers.is_empty() && h.controllers == hierarchy.controllers)
            };
            if !hierarchies.iter().any(known) {
                hierarchies.push(hierarchy);
            }
        }
        Self { hierarchies }
    }

    /// Whether v2 governs resources, i.e. there are no v1 controllers.
    pub(crate) fn is_unified(&self) -> bool {
        self.hierarchies.iter().all(|h| h.unified)
    }

    /// The v1 controllers and the directory of `group` in each.
    pub(crate) fn v1_directories(&self, group: &str) -> Vec<(&str, PathBuf)> {
        let in_hierarchy = |h: &Hierarchy| directory(h, group);
        self.hierarchies
            .iter()
            .flat_map(|h| {
                h.controllers
                    .iter()
                    .map(move |c| (c.as_str(), in_hierarchy(h)))
            })
            .collect()
    }

    /// Makes `group` everywhere and moves this process into it.
    pub(crate) fn join(&self, group: &str) -> io::Result<()> {
        for hierarchy in &self.hierarchies {
            let attempt = || {
                self.make(hierarchy, group)?;
                fs::write(directory(hierarchy, group).join("cgroup.procs"), "0")
            };
            match attempt() {
                // The end of another pod took away the empty group above both.
                Err(error) if error.kind() == io::ErrorKind::NotFound => attempt()?,
                other => other?,
            }
        }
        Ok(())
    }

    /// Moves this process into `group` wherever it exists; makes nothing, so that a group that is being removed stays
    /// removed.
    pub(crate) fn enter(&self, group: &str) -> io::Result<()> {
        let mut entered = Err(io::ErrorKind::NotFound.into());
        for hierarchy in &self.hierarchies {
            match fs::write(directory(hierarchy, group).join("cgroup.procs"), "0") {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => entered = Ok(other?),
            }
        }
        entered
    }

    fn make(&self, hierarchy: &Hierarchy, group: &str) -> io::Result<()> {
        let available = if hierarchy.unified && self.is_unified() {
            fs::read_to_string(hierarchy.mount_point.join("cgroup.controllers"))?
        } else {
            String::new()
        };
        let mut path = hierarchy.mount_point.clone();
        for part in group.split('/').filter(|part| !part.is_empty()) {
            for controller in available.split_whitespace() {
                // Best effort: a controller that cannot be handed down is missed when a limit needs it, with its name.
                let _ = fs::write(
                    path.join("cgroup.subtree_control"),
                    format!("+{controller}"),
                );
            }
            path.push(part);
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            if hierarchy.controllers.iter().any(|c| c == "cpuset") {
                inherit_cpuset(&path)?;
            }
        }
        Ok(())
    }

    /// The processes in `group` and below it, in any hierarchy.
    pub(crate) fn processes(&self, group: &str) -> io::Result<BTreeSet<i32>> {
        let mut pids = BTreeSet::new();
        for hierarchy in &self.hierarchies {
            collect_processes(&directory(hierarchy, group), &mut pids)?;
        }
        Ok(pids)
    }

    /// SIGKILLs everything in `group` and below until nothing is left or the deadline has passed; answers what is
    /// left. Never kills the caller.
    pub(crate) fn kill(&self, group: &str, patience: Duration) -> io::Result<BTreeSet<i32>> {
        let deadline = Instant::now() + patience;
        let me = std::process::id().cast_signed();
        loop {
            let mut pids = self.processes(group)?;
            pids.remove(&me);
            if pids.is_empty() {
                return Ok(pids);
            }
            // Opened before the kill: a number that is reused meanwhile is not in our group's list again.
            let dying: Vec<_> = pids
                .iter()
                .filter_map(|pid| Pid::from_raw(*pid))
                .filter_map(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok())
                .collect();
            for pidfd in &dying {
                let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL); // gone already: what we want
            }
            for pidfd in &dying {
                if !wait_gone(pidfd, deadline) {
                    return self.processes(group);
                }
            }
            if Instant::now() >= deadline {
                return self.processes(group);
            }
        }
    }

    /// Removes `group` and the groups below it everywhere. They must be empty of processes.
    pub(crate) fn remove(&self, group: &str) -> io::Result<()> {
        for hierarchy in &self.hierarchies {
            remove_tree(&directory(hierarchy, group))?;
        }
        Ok(())
    }

    /// Removes `group` where nothing is left in it.
    pub(crate) fn remove_if_unused(&self, group: &str) {
        for hierarchy in &self.hierarchies {
            let _ = fs::remove_dir(directory(hierarchy, group)); // in use by another pod, or not there
        }
    }

    /// How many processes of `group` the kernel has killed for want of memory.
    pub(crate) fn oom_kills(&self, group: &str) -> u64 {
        self.hierarchies
            .iter()
            .filter(|h| h.unified || h.controllers.iter().any(|c| c == "memory"))
            .filter_map(|h| {
                let file = if h.unified {
                    "memory.events"
                } else {
                    "memory.oom_control"
                };
                let text = fs::read_to_string(directory(h, group).join(file)).ok()?;
                text.lines()
                    .find_map(|line| line.strip_prefix("oom_kill "))?
                    .trim()
                    .parse::<u64>()
                    .ok()
            })
            .sum()
    }

    /// Whether a limit on memory and swap together can be set in `group`, which must exist.
    pub(crate) fn limits_swap(&self, group: &str) -> bool {
        self.hierarchies.iter().any(|h| {
            let directory = directory(h, group);
            directory.join("memory.memsw.limit_in_bytes").exists()
                || directory.join("memory.swap.max").exists()
        })
    }
}

fn directory(hierarchy: &Hierarchy, group: &str) -> PathBuf {
    hierarchy.mount_point.join(group.trim_start_matches('/'))
}

/// A new v1 cpuset has neither CPUs nor memory nodes and takes no process until it has.
fn inherit_cpuset(path: &Path) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if fs::read_to_string(path.join(file))?.trim().is_empty()
            && let Some(parent) = path.parent()
        {
            fs::write(path.join(file), fs::read(parent.join(file))?)?;
        }
    }
    Ok(())
}

fn collect_processes(directory: &Path, pids: &mut BTreeSet<i32>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    match fs::read_to_string(directory.join("cgroup.procs")) {
        Ok(text) => pids.extend(
            text.lines()
                .filter_map(|line| line.parse::<i32>().ok())
                .filter(|pid| *pid > 0),
        ),
        // Removed between the two looks.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => {
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect_processes(&entry.path(), pids)?;
        }
    }
    Ok(())
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Waits until the process behind `pidfd` has ended; `false` if it has not by the deadline.
pub(crate) fn wait_gone(pidfd: &impl std::os::fd::AsFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match rustix::event::poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
42 31 0:32 / /mnt/memory-again rw - cgroup cgroup rw,memory
43 31 0:32 /docker/1 /mnt/part rw - cgroup cgroup rw,memory
27 1 254:0 / / rw - ext4 /dev/vda rw
";

    #[test]
    fn every_hierarchy_is_found_once() {
        let cgroups = Cgroups::parse(HYBRID);
        assert!(!cgroups.is_unified());
        assert_eq!(cgroups.hierarchies.len(), 4);
        assert_eq!(
            cgroups.v1_directories("/plinth/a"),
            [
                ("cpu", PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/plinth/a")),
                (
                    "cpuacct",
                    PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/plinth/a")
                ),
                ("memory", PathBuf::from("/sys/fs/cgroup/memory/plinth/a")),
            ]
        );
    }

    #[test]
    fn a_host_with_v2_alone_is_unified() {
        let cgroups =
            Cgroups::parse("30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n");
        assert!(cgroups.is_unified());
        assert!(cgroups.v1_directories("/plinth").is_empty());
    }
}
