//! The processes of this machine, as /proc shows them.

use std::fs;

/// A process that is more than a zombie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id, as seen from here.
    pub pid: u32,
    /// The id of its parent.
    pub parent: u32,
    /// When it started, in clock ticks since boot: with the id, this names a process for good.
    pub started: u64,
    /// Its command line, arguments separated by spaces.
    pub command: String,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        // A process may end between two of these reads; then it is not there.
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Fields are counted after the command name, which may itself contain spaces and parentheses.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        if *fields.first()? == "Z" {
            return None;
        }
        let parent = fields.get(1)?.parse().ok()?;
        let started = fields.get(19)?.parse().ok()?;
        let command = String::from_utf8_lossy(&command)
            .trim_end_matches('\0')
            .replace('\0', " ");
        Some(Self {
            pid,
            parent,
            started,
            command,
        })
    }

    /// Whether exactly this process still runs.
    pub fn is_alive(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.started == self.started)
    }
}

/// Every process whose command line contains `part`, by id. A child that still has its parent's command line,
/// because it has not yet executed its own, does not count.
pub fn processes(part: &str) -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Process::read)
        .filter(|process| process.command.contains(part))
        .collect();
    found.sort_by_key(|process| process.pid);
    let ids: Vec<u32> = found.iter().map(|process| process.pid).collect();
    found.retain(|process| !ids.contains(&process.parent));
    found
}
