//! Host paths: what their `type` demands of the host (V-37).

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

/// Checks `path` against `kind`, making it where the kind says so. The error is upstream's text.
pub(crate) fn prepare(path: &Path, kind: &str) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    match kind {
        "DirectoryOrCreate" if !path.exists() => {
            fs::create_dir_all(path).map_err(failed)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        }
        "FileOrCreate" if !path.exists() => {
            fs::File::create(path).map_err(failed)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(failed)?;
        }
        _ => {}
    }
    let found = fs::metadata(path).ok().map(|m| m.file_type());
    let wrong = |what: &str| {
        format!(
            "hostPath type check failed: {} is not a {what}",
            path.display()
        )
    };
    let demand = |holds: fn(&fs::FileType) -> bool, what: &str| {
        if found.as_ref().is_some_and(holds) {
            Ok(())
        } else {
            Err(wrong(what))
        }
    };
    match kind {
        "DirectoryOrCreate" | "Directory" => demand(fs::FileType::is_dir, "directory"),
        "FileOrCreate" | "File" => demand(fs::FileType::is_file, "file"),
        "Socket" => demand(FileTypeExt::is_socket, "socket file"),
        "CharDevice" => demand(FileTypeExt::is_char_device, "character device"),
        "BlockDevice" => demand(FileTypeExt::is_block_device, "block device"),
        // Upstream lets the runtime make a directory of a path that is nowhere checked.
        _ if found.is_none() => fs::create_dir_all(path).map_err(failed),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v37_or_create_creates_and_the_others_demand() {
        let dir = tempfile::tempdir().expect("directory");
        let at = |name: &str| dir.path().join(name);
        prepare(&at("a/b"), "DirectoryOrCreate").expect("made");
        assert_eq!(
            fs::metadata(at("a/b")).expect("there").permissions().mode() & 0o777,
            0o755
        );
        prepare(&at("a/f"), "FileOrCreate").expect("made");
        let error = prepare(&at("a/f"), "Directory").expect_err("a file");
        assert_eq!(
            error,
            format!(
                "hostPath type check failed: {} is not a directory",
                at("a/f").display()
            )
        );
        assert!(prepare(&at("none"), "File").is_err());
        assert!(!at("none").exists());
        prepare(&at("plain"), "").expect("made");
    }
}
