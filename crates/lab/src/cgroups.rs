//! Finds and removes the cgroups of a lab in every hierarchy of the host. Starts and kills nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{LabError, step};

/// Removes the cgroup `root` (e.g. `/plinth-lab-Xy12`) and all below it, in every hierarchy.
pub(crate) fn remove(root: &str) -> Result<(), LabError> {
    for hierarchy in hierarchies().map_err(step("reading /proc/mounts"))? {
        let path = hierarchy.join(root.trim_start_matches('/'));
        remove_tree(&path).map_err(step(format!("removing cgroup {}", path.display())))?;
    }
    Ok(())
}

fn hierarchies() -> io::Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let fields = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    Ok(fields
        .filter(|fields| matches!(fields.get(2), Some(&"cgroup" | &"cgroup2")))
        .filter_map(|fields| fields.get(1).map(PathBuf::from))
        .collect())
}

/// Children first: a cgroup can be removed only when it has none.
fn remove_tree(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
