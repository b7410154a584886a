//! A node of one's own for a test: directories, a cgroup and a busybox image, all gone at the end. Needs root.

#![allow(dead_code)] // each test file uses its part

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plinth_runtime::{
    ContainerConfig, ContainerId, ContainerState, ContainerStatus, ImageConfig, ImageStore,
    PodSandbox, PodSandboxConfig, Runtime, RuntimeConfig,
};

/// Everything that a test waits for happens within this time, or not at all.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Node {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) config: RuntimeConfig,
    pub(crate) runtime: Runtime,
}

/// The shim of the tests.
pub(crate) fn shim_exe() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_plinth-runtime-test"))
}

/// A root file system with busybox and a user.
pub(crate) fn make_rootfs(root: &Path) {
    for directory in ["bin", "etc", "tmp", "home/node"] {
        fs::create_dir_all(root.join(directory)).expect("mkdir");
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
    for applet in [
        "sh", "cat", "echo", "sleep", "id", "mount", "grep", "ls", "tail", "hostname", "seq", "ip",
        "dd", "mknod", "env", "touch", "kill", "head", "nslookup", "wc",
    ] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).expect("symlink");
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1001::/home/node:/bin/sh\n",
    )
    .expect("write");
    fs::write(
        root.join("etc/group"),
        "root:x:0:\nnode:x:1001:\nvideo:x:44:node\n",
    )
    .expect("write");
    fs::write(
        root.join("bin/script-without-interpreter"),
        "#!/no/such/shell\n",
    )
    .expect("write");
    make_disk(&root.join("tmp/disk"));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(root.join("bin/script-without-interpreter"), mode).expect("chmod");
}

/// A device node of a disk, as a hostile image may contain it.
pub(crate) fn make_disk(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let disk = fs::read_to_string("/proc/partitions").expect("partitions");
    let numbers: Vec<u32> = disk
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    let number = makedev(*numbers.first().expect("a disk"), 0);
    mknodat(
        CWD,
        path,
        FileType::BlockDevice,
        Mode::from_raw_mode(0o666),
        number,
    )
    .expect("mknod");
}

impl Node {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("plinth-runtime-")
            .tempdir()
            .expect("tempdir");
        let base = directory.path();
        let rootfs = base.join("rootfs");
        make_rootfs(&rootfs);
        let config = RuntimeConfig {
            root: base.join("root"),
            state: base.join("state"),
            cgroup_root: format!(
                "/{}",
                base.file_name().and_then(|n| n.to_str()).expect("UTF-8")
            ),
            shim_exe: shim_exe(),
        };
        fs::create_dir_all(&config.root).expect("mkdir");
        let images = ImageStore::open(&config.root).expect("image store");
        let image = ImageConfig {
            cmd: vec!["/bin/sh".into()],
            ..ImageConfig::default()
        };
        images
            .import_rootfs_directory("busybox", &rootfs, &image)
            .expect("import");
        let runtime = Runtime::open(config.clone()).await.expect("open");
        Self {
            directory,
            config,
            runtime,
        }
    }

    /// Another daemon on the same directories.
    pub(crate) async fn reopen(&mut self) {
        self.runtime = Runtime::open(self.config.clone())
            .await
            .expect("open again");
    }

    /// Until [`Self::reopen`], no daemon knows this node's pods.
    pub(crate) async fn without_daemon(&mut self) {
        let elsewhere = self.directory.path().join("elsewhere");
        let config = RuntimeConfig {
            root: elsewhere.join("root"),
            state: elsewhere.join("state"),
            ..self.config.clone()
        };
        self.runtime = Runtime::open(config).await.expect("open");
    }

    pub(crate) fn pod_config(&self, name: &str) -> PodSandboxConfig {
        PodSandboxConfig {
            namespace: "default".into(),
            name: name.into(),
            uid: format!("uid-of-{name}"),
            hostname: name.into(),
            log_directory: self.directory.path().join("logs").join(name),
            ..PodSandboxConfig::default()
        }
    }

    pub(crate) async fn pod(&self, name: &str) -> PodSandbox {
        self.runtime
            .run_pod_sandbox(self.pod_config(name))
            .await
            .expect("run the sandbox")
    }

    /// Creates and starts a container.
    pub(crate) async fn run(&self, pod: &PodSandbox, config: ContainerConfig) -> ContainerId {
        let id = self
            .runtime
            .create_container(&pod.id, config)
            .await
            .expect("create");
        self.runtime.start_container(&id).await.expect("start");
        id
    }

    pub(crate) async fn status(&self, id: &ContainerId) -> ContainerStatus {
        self.runtime.container_status(id).await.expect("status")
    }

    /// Waits until the container is in `state`.
    pub(crate) async fn reaches(&self, id: &ContainerId, state: ContainerState) -> ContainerStatus {
        let wait = async {
            loop {
                let mut events = self.runtime.events();
                let status = self.status(id).await;
                if status.state == state {
                    return status;
                }
                events.recv().await.expect("an event");
            }
        };
        tokio::time::timeout(DEADLINE, wait)
            .await
            .expect("the container changes its state")
    }

    /// Runs a container to its end.
    pub(crate) async fn ran(&self, pod: &PodSandbox, config: ContainerConfig) -> ContainerStatus {
        let id = self.run(pod, config).await;
        self.reaches(&id, ContainerState::Exited).await
    }

    /// Runs a shell script to its end and answers what it printed.
    pub(crate) async fn output(&self, pod: &PodSandbox, script: &str) -> String {
        let status = self.ran(pod, shell(script)).await;
        log_text(&status)
    }

    /// Checks that nothing is left of the test but files in its directory.
    pub(crate) fn assert_clean(&self) {
        let base = self.directory.path().to_str().expect("UTF-8");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        assert!(!mounts.contains(base), "a mount leaked:\n{mounts}");
        for hierarchy in cgroup_mounts() {
            let group = hierarchy.join(self.config.cgroup_root.trim_start_matches('/'));
            assert!(!group.exists(), "{} is left", group.display());
        }
        let left: Vec<_> = fs::read_dir(self.config.state.join("sandboxes"))
            .expect("state")
            .collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(processes_of(base), Vec::<String>::new());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A failed test must not leave a pod behind; a passed one has none.
        kill_group(&self.config.cgroup_root);
    }
}

/// Kills everything in a cgroup and removes it.
pub(crate) fn kill_group(group: &str) {
    for hierarchy in cgroup_mounts() {
        kill_directory(&hierarchy.join(group.trim_start_matches('/')));
    }
}

fn kill_directory(directory: &Path) {
    for pid in fs::read_to_string(directory.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
    {
        if let Ok(pid) = pid.parse::<i32>() {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            kill_directory(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}

pub(crate) fn cgroup_mounts() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|fields| fields[2] == "cgroup" || fields[2] == "cgroup2")
        .map(|fields| PathBuf::from(fields[1]))
        .collect()
}

/// Command lines of processes that mention `text`.
pub(crate) fn processes_of(text: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    processes
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.parse::<u32>().is_ok())
        })
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(text))
        .collect()
}

pub(crate) fn shell(script: &str) -> ContainerConfig {
    ContainerConfig {
        name: "main".into(),
        image: "busybox".into(),
        command: vec!["/bin/sh".into(), "-c".into(), script.into()],
        log_path: "main/0.log".into(),
        ..ContainerConfig::default()
    }
}

/// The texts of a container's log, without times.
pub(crate) fn log_text(status: &ContainerStatus) -> String {
    let log = fs::read_to_string(&status.log_path).expect("log");
    log.lines()
        .map(|line| line.splitn(4, ' ').nth(3).unwrap_or_default().to_owned() + "\n")
        .collect()
}

pub(crate) fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z'))
    })
}
