//! The merged view of layers: an overlay mount that belongs to an open directory and vanishes with it, also when this
//! process is killed. The kernel does the merging, copy-up and whiteouts.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{Mode, OFlags};

use super::super::Result;
use super::super::error::ImageError;
use super::tree::Tree;

/// Mounts `lowers` (top first) below `upper`, with `scratch` (a directory that does not exist yet, on the upper's file
/// system) for overlayfs' own use.
pub(super) fn writable(lowers: &[PathBuf], upper: &Path, scratch: &Path) -> Result<Tree> {
    let work = make(&scratch.join("work"))?;
    let empty = make(&scratch.join("empty"))?;
    let lowers = if lowers.is_empty() {
        std::slice::from_ref(&empty)
    } else {
        lowers
    };
    overlay(lowers, Some((upper, &work)), scratch)
}

/// Shows `lowers` (top first), read-only.
pub(super) fn readable(lowers: &[PathBuf], scratch: &Path) -> Result<Tree> {
    match lowers {
        [] => Tree::open(&make(&scratch.join("empty"))?),
        [single] => Tree::open(single),
        several => overlay(several, None, scratch),
    }
}

fn overlay(lowers: &[PathBuf], upper: Option<(&Path, &Path)>, scratch: &Path) -> Result<Tree> {
    // mount(2) takes one page of options: descriptors are shorter than paths, and hold no colons or commas.
    let open = |path: &Path| {
        rustix::fs::open(
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map(File::from)
        .map_err(ImageError::io("open layer", path))
    };
    let by_descriptor = |file: &File| format!("/proc/self/fd/{}", file.as_raw_fd());
    let lowers = lowers
        .iter()
        .map(|path| open(path))
        .collect::<Result<Vec<_>>>()?;
    let lower: Vec<String> = lowers.iter().map(by_descriptor).collect();
    let mut options = format!(
        "redirect_dir=off,metacopy=off,index=off,lowerdir={}",
        lower.join(":")
    );
    let upper = upper
        .map(|(upper, work)| Ok::<_, ImageError>((open(upper)?, open(work)?)))
        .transpose()?;
    if let Some((upper, work)) = &upper {
        options = format!(
            "{options},upperdir={},workdir={}",
            by_descriptor(upper),
            by_descriptor(work)
        );
    }
    let target = make(&scratch.join("mount"))?;
    mount(
        Some("overlay"),
        &target,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .map_err(ImageError::io("mount overlay on", &target))?;
    let tree = Tree::open(&target);
    // Out of every namespace at once; the open directory keeps it alive.
    umount2(&target, MntFlags::MNT_DETACH).map_err(ImageError::io("detach", &target))?;
    tree
}

fn make(path: &Path) -> Result<PathBuf> {
    fs::create_dir_all(path).map_err(ImageError::io("create directory", path))?;
    Ok(path.to_owned())
}
