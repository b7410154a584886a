//! Puts files into a volume so that a reader sees all of the old content or all of the new, never a mixture.
//!
//! The layout is upstream's, which programs watch: `name -> ..data/name`, `..data -> ..<version>`, and the files in
//! the version's directory. A change is a new directory and one rename of `..data`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::payload::Payload;

const DATA: &str = "..data";
const NEXT: &str = "..data_tmp";

/// Makes `payload` the content of `dir`; true if anything changed. `version` names the new content and must differ
/// from call to call.
pub(crate) fn replace(dir: &Path, payload: &Payload, version: &str) -> io::Result<bool> {
    fs::create_dir_all(dir)?;
    let old = fs::read_link(dir.join(DATA)).ok();
    if let Some(old) = &old
        && is_same(&dir.join(old), payload)
    {
        return Ok(false);
    }
    let name = format!("..{version}");
    let fresh = dir.join(&name);
    fs::create_dir(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))?;
    for (path, file) in payload {
        let target = fresh.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&target, &file.bytes)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(file.mode))?;
    }
    let next = dir.join(NEXT);
    remove_if_there(&next)?;
    symlink(&name, &next)?;
    fs::rename(&next, dir.join(DATA))?;
    let visible: BTreeSet<&str> = payload
        .keys()
        .filter_map(|path| path.split('/').next())
        .collect();
    for name in &visible {
        let link = dir.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(name), &link)?;
        }
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !visible.contains(name.as_ref()) {
            fs::remove_file(entry.path())?;
        }
    }
    if let Some(old) = old {
        fs::remove_dir_all(dir.join(old))?;
    }
    Ok(true)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn is_same(dir: &Path, payload: &Payload) -> bool {
    let mut count = 0;
    if !count_files(dir, &mut count) || count != payload.len() {
        return false;
    }
    payload.iter().all(|(path, file)| {
        let at = dir.join(path);
        let mode = fs::metadata(&at).map(|m| m.permissions().mode() & 0o7777);
        mode.is_ok_and(|m| m == file.mode) && fs::read(&at).is_ok_and(|bytes| bytes == file.bytes)
    })
}

fn count_files(dir: &Path, count: &mut usize) -> bool {
    let Ok(entries) = fs::read_dir(dir) else {
        return false;
    };
    entries.flatten().all(|entry| {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            count_files(&entry.path(), count)
        } else {
            *count += 1;
            true
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::payload::File;

    fn payload(files: &[(&str, &str)]) -> Payload {
        files
            .iter()
            .map(|(p, t)| {
                (
                    (*p).to_owned(),
                    File {
                        bytes: t.as_bytes().to_vec(),
                        mode: 0o640,
                    },
                )
            })
            .collect()
    }

    #[test]
    fn content_is_replaced_whole_and_an_open_directory_keeps_its_version() {
        let dir = tempfile::tempdir().expect("directory");
        let at = dir.path();
        assert!(replace(at, &payload(&[("a", "1"), ("d/b", "2")]), "v1").expect("first"));
        assert_eq!(fs::read_to_string(at.join("a")).expect("a"), "1");
        assert_eq!(fs::read_to_string(at.join("d/b")).expect("b"), "2");
        assert_eq!(
            fs::metadata(at.join("a"))
                .expect("mode")
                .permissions()
                .mode()
                & 0o7777,
            0o640
        );
        assert!(!replace(at, &payload(&[("a", "1"), ("d/b", "2")]), "v2").expect("same"));
        assert!(replace(at, &payload(&[("a", "3")]), "v3").expect("second"));
        assert_eq!(fs::read_to_string(at.join("a")).expect("a"), "3");
        assert!(
            fs::symlink_metadata(at.join("d")).is_err(),
            "a file that went is no longer shown"
        );
        let names: Vec<String> = fs::read_dir(at)
            .expect("list")
            .map(|e| e.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names.len(), 3, "the old version is gone: {names:?}");
    }
}
