//! Files inside a root file system that is not to be trusted: no symbolic link leads out of it.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags};

/// The root directory of a container.
pub(crate) struct Root(OwnedFd);

/// No honest `/etc/passwd` is larger.
const MAX_FILE: u64 = 4 << 20;

impl Root {
    /// Opens `path`, which itself is trusted.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(
            &self.0,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        )?)
    }

    /// The content of a regular file; `None` if there is none.
    pub(crate) fn read(&self, path: &str) -> io::Result<Option<String>> {
        // Non-blocking: a pipe in its place must not stop us.
        let file = match self.resolve(Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(fd) => std::fs::File::from(fd),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Whether anything is at `path`.
    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.resolve(path, OFlags::PATH).is_ok()
    }

    /// Makes `path` and what is missing above it.
    pub(crate) fn make_directory(&self, path: &Path) -> io::Result<()> {
        let mut so_far = std::path::PathBuf::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => {
                    let parent = self.resolve(
                        &Path::new("/").join(&so_far),
                        OFlags::PATH | OFlags::DIRECTORY,
                    )?;
                    match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    so_far.push(name);
                }
                Component::ParentDir => {
                    so_far.pop();
                }
                _ => {}
            }
        }
        let end = Path::new("/").join(&so_far);
        self.resolve(&end, OFlags::PATH | OFlags::DIRECTORY)
            .map(drop)
    }

    /// Removes the empty file or directory at `path`; anything with content stays.
    pub(crate) fn remove_if_empty(&self, path: &Path) -> io::Result<()> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(());
        };
        let parent = self.resolve(parent, OFlags::PATH | OFlags::DIRECTORY)?;
        let stat = rustix::fs::statat(&parent, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
        let removal = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::Directory => rustix::fs::AtFlags::REMOVEDIR,
            rustix::fs::FileType::RegularFile if stat.st_size == 0 => rustix::fs::AtFlags::empty(),
            _ => return Ok(()),
        };
        match rustix::fs::unlinkat(&parent, name, removal) {
            Ok(()) | Err(rustix::io::Errno::NOTEMPTY) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_do_not_lead_out() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        std::fs::create_dir_all(root.join("etc")).expect("mkdir");
        std::fs::create_dir(&outside).expect("mkdir");
        std::fs::write(outside.join("passwd"), "secret").expect("write");
        symlink("../../outside/passwd", root.join("etc/passwd")).expect("symlink");
        symlink(&outside, root.join("var")).expect("symlink");
        let root_dir = Root::open(&root).expect("open");
        assert_eq!(root_dir.read("/etc/passwd").expect("read"), None);
        assert!(root_dir.make_directory(Path::new("/var/data")).is_err());
        assert!(!outside.join("data").exists());
        root_dir
            .make_directory(Path::new("/srv/a/../b"))
            .expect("mkdir");
        assert!(root.join("srv/b").is_dir());
    }
}
