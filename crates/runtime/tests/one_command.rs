//! One command in a container, as a Dockerfile's RUN needs it: output and exit code come back, and nothing stays.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plinth_runtime::{Mount, Output, RunOnce, RunOnceError, run_once};
use support::{cgroup_mounts, processes_of, shim_exe};

struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("plinth-once-")
            .tempdir()
            .expect("tempdir");
        support::make_rootfs(&directory.path().join("rootfs"));
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, script: &str) -> RunOnce {
        RunOnce {
            lower_dirs: vec![self.path("rootfs")],
            upper_dir: self.path("upper"),
            work_dir: self.path("work"),
            args: vec!["sh".into(), "-c".into(), script.into()],
            ..RunOnce::default()
        }
    }

    /// Nothing but what was there and what the command wrote.
    fn assert_clean(&self) {
        let base = self.directory.path().to_str().expect("UTF-8");
        assert_eq!(processes_of(base), Vec::<String>::new());
        assert!(
            !fs::read_to_string("/proc/self/mountinfo")
                .expect("mountinfo")
                .contains(base)
        );
        let mut left: Vec<_> = entries(self.directory.path());
        left.retain(|name| name != "rootfs" && name != "upper" && name != "hosts");
        assert_eq!(left, Vec::<String>::new());
    }
}

fn entries(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    names
}

fn run(command: &RunOnce) -> (i32, String, String) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let code = run_once(&shim_exe(), command, &mut |output| match output {
        Output::Stdout(piece) => stdout.extend_from_slice(piece),
        Output::Stderr(piece) => stderr.extend_from_slice(piece),
    })
    .expect("run");
    (
        code,
        String::from_utf8(stdout).expect("UTF-8"),
        String::from_utf8(stderr).expect("UTF-8"),
    )
}

#[test]
fn output_code_and_files_come_back() {
    let bench = Bench::new();
    fs::write(bench.path("hosts"), "127.0.0.1 here\n").expect("write");
    let command = RunOnce {
        env: vec![("GREETING".into(), "hello".into())],
        cwd: "/work/dir".into(),
        user: "node".into(),
        mounts: vec![Mount {
            host_path: bench.path("hosts"),
            container_path: "/etc/deep/hosts".into(),
            read_only: true,
            ..Mount::default()
        }],
        ..bench.command(
            "echo $GREETING from $(id -u) in $(pwd); cat /etc/deep/hosts; echo oops >&2; exit 9",
        )
    };
    let (code, stdout, stderr) = run(&command);
    assert_eq!(code, 9);
    assert_eq!(stdout, "hello from 1000 in /work/dir\n127.0.0.1 here\n");
    assert_eq!(stderr, "oops\n");
    assert_eq!(
        entries(&bench.path("upper")),
        ["etc", "work"],
        "what was made to mount on is gone"
    );
    assert_eq!(entries(&bench.path("upper/etc")), Vec::<String>::new());

    let (code, ..) = run(&bench.command(
        "echo data > /etc/new; rm -f /etc/passwd || busybox rm /etc/passwd; kill -9 $$; exit 3",
    ));
    assert_eq!(code, 3, "the init of a namespace cannot kill itself");
    assert_eq!(
        fs::read_to_string(bench.path("upper/etc/new")).expect("written"),
        "data\n"
    );
    bench.assert_clean();
}

#[test]
fn the_network_is_the_hosts_unless_a_private_one_is_wanted() {
    let bench = Bench::new();
    let host = fs::read_link("/proc/self/ns/net").expect("ns");
    let script = "ls -l /proc/self/ns/net";
    assert!(
        run(&bench.command(script))
            .1
            .contains(host.to_str().expect("UTF-8"))
    );
    let private = RunOnce {
        private_network: true,
        hostname: "builder".into(),
        ..bench.command("hostname; ls -l /proc/self/ns/net")
    };
    let stdout = run(&private).1;
    assert!(
        stdout.starts_with("builder\n") && !stdout.contains(host.to_str().expect("UTF-8")),
        "{stdout}"
    );
    bench.assert_clean();
}

#[test]
fn what_cannot_be_started_says_why() {
    let bench = Bench::new();
    let command = RunOnce {
        args: vec!["compile".into()],
        ..bench.command("")
    };
    let error = run_once(&shim_exe(), &command, &mut |_| {}).expect_err("no such program");
    assert!(
        matches!(&error, RunOnceError::Start(why)
        if why.ends_with("exec: \"compile\": executable file not found in $PATH")),
        "{error}"
    );
    bench.assert_clean();
}

#[test]
fn much_output_comes_through() {
    let bench = Bench::new();
    let (code, stdout, _) = run(&bench.command("seq 1 100000"));
    assert_eq!(code, 0);
    assert!(stdout == (1..=100_000).fold(String::new(), |text, n| text + &n.to_string() + "\n"));
    bench.assert_clean();
}

#[test]
fn a_killed_caller_takes_the_command_with_it() {
    use std::io::BufRead;
    let bench = Bench::new();
    let scratch = bench.path("scratch");
    fs::create_dir(&scratch).expect("mkdir");
    let mut caller = Command::new(shim_exe())
        .arg("once")
        .args([bench.path("rootfs"), scratch.clone()])
        .arg("echo up; trap '' TERM; sleep 12345 & wait")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the caller");
    let mut line = String::new();
    std::io::BufReader::new(caller.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("output");
    let groups = || {
        let groups = cgroup_mounts()
            .into_iter()
            .map(|mount| mount.join("plinth-run"));
        groups
            .filter(|group| group.exists())
            .flat_map(|group| entries(&group))
            .filter(|name| name.len() == 64)
            .count()
    };
    assert!(groups() > 0);
    let state = entries(&scratch)
        .into_iter()
        .find(|name| name.starts_with(".run-"))
        .expect("its directory");
    caller.kill().expect("kill -9");
    caller.wait().expect("wait");
    // The shim removes its directory last; an inotify watch tells when.
    let inotify =
        rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC).expect("inotify");
    rustix::fs::inotify::add_watch(&inotify, &scratch, rustix::fs::inotify::WatchFlags::DELETE)
        .expect("watch");
    let timeout = rustix::event::Timespec {
        tv_sec: 30,
        tv_nsec: 0,
    };
    while scratch.join(&state).exists() {
        let mut fds = [rustix::event::PollFd::new(
            &inotify,
            rustix::event::PollFlags::IN,
        )];
        assert_eq!(
            rustix::event::poll(&mut fds, Some(&timeout)),
            Ok(1),
            "{:?}",
            entries(&scratch.join(&state))
        );
        let mut events = [0; 1024];
        rustix::io::read(&inotify, &mut events).expect("read");
    }
    assert_eq!(processes_of("sleep 12345"), Vec::<String>::new());
    fs::remove_dir_all(&scratch).expect("remove");
    bench.assert_clean();
}
