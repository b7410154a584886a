//! Builds images from Dockerfiles written in a test.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plinth_runtime::{BuildError, BuildOptions, Image, ImageConfig, Progress, RunOnce, build};
use tempfile::TempDir;

use crate::fixture::{Fixture, Tar, mounted};

/// A store with the image `base`, a build context, and a stand-in for what RUN runs.
pub(crate) struct Bench {
    pub(crate) fixture: Fixture,
    pub(crate) context: TempDir,
    /// Commands of RUN, and what the stand-in does to the upper directory.
    pub(crate) ran: Vec<RunOnce>,
    pub(crate) run: fn(&RunOnce) -> i32,
    pub(crate) lines: Vec<String>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let (fixture, context) = (Fixture::new(), TempDir::new().unwrap());
        let base = Tar::new()
            .dir("etc")
            .file(
                "etc/passwd",
                "root:x:0:0::/root:/bin/sh\nnode:x:1000:1001::/home/node:/bin/sh\n",
            )
            .file("etc/group", "root:x:0:\nstaff:x:50:\n")
            .dir("usr")
            .dir("usr/lib")
            .symlink("lib", "usr/lib")
            .dir("old")
            .file("old/file", "old")
            .finish();
        let config = ImageConfig {
            env: vec![("PATH".into(), "/bin".into())],
            cmd: vec!["/bin/sh".into()],
            ..ImageConfig::default()
        };
        fixture
            .store
            .import_rootfs("base", base.as_slice(), &config)
            .unwrap();
        let run = |command: &RunOnce| {
            fs::write(command.upper_dir.join("ran"), command.args.join(" ")).unwrap();
            0
        };
        Self {
            fixture,
            context,
            ran: Vec::new(),
            run,
            lines: Vec::new(),
        }
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.context.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn build_with(
        &mut self,
        dockerfile: &str,
        change: impl FnOnce(&mut BuildOptions),
    ) -> Result<Image, BuildError> {
        self.write("Dockerfile", dockerfile);
        let mut options = BuildOptions {
            tags: vec!["out".into()],
            context: self.context.path().to_owned(),
            ..BuildOptions::default()
        };
        change(&mut options);
        self.lines.clear();
        let (ran, lines, run) = (&mut self.ran, &mut self.lines, self.run);
        build(
            &self.fixture.store,
            &options,
            &mut |command, sink| {
                ran.push(command.clone());
                sink(plinth_runtime::Output::Stdout(b"output\n"));
                Ok(run(command))
            },
            &mut |progress: Progress<'_>| lines.push(progress.to_string()),
        )
    }

    pub(crate) fn build(&mut self, dockerfile: &str) -> Image {
        self.build_with(dockerfile, |_| {}).unwrap()
    }

    pub(crate) fn error(&mut self, dockerfile: &str) -> String {
        self.build_with(dockerfile, |_| {})
            .unwrap_err()
            .to_string()
            .replace(self.context.path().to_str().unwrap(), "")
    }

    pub(crate) fn look<T>(&self, image: &Image, look: impl FnOnce(&Path) -> T) -> T {
        mounted(&self.fixture.store.lower_dirs(image).unwrap(), look)
    }

    /// Path, kind, mode, owner and content of everything in the image, one line each.
    pub(crate) fn tree(&self, image: &Image) -> Vec<String> {
        self.look(image, |root| {
            let mut lines = Vec::new();
            let mut pending = vec![PathBuf::new()];
            while let Some(relative) = pending.pop() {
                let path = root.join(&relative);
                let metadata = fs::symlink_metadata(&path).unwrap();
                let what = if metadata.is_dir() {
                    pending.extend(
                        fs::read_dir(&path)
                            .unwrap()
                            .map(|entry| relative.join(entry.unwrap().file_name())),
                    );
                    "/".to_owned()
                } else if metadata.is_symlink() {
                    format!(" -> {}", fs::read_link(&path).unwrap().display())
                } else {
                    format!(" = {}", fs::read_to_string(&path).unwrap())
                };
                if !relative.as_os_str().is_empty() {
                    let (mode, uid, gid) =
                        (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
                    lines.push(format!("{}{what} {mode:o} {uid}:{gid}", relative.display()));
                }
            }
            lines.sort();
            lines
        })
    }
}
