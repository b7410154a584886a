//! A container is started, runs with what it was promised, ends, and leaves nothing behind.

mod support;

use std::time::Duration;

use plinth_runtime::{ContainerConfig, ContainerState, Mount, Resources, RuntimeError, UserSpec};
use support::{Node, alive, log_text, shell};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_logs_and_ends() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    assert!(pod.ready && alive(pod.pid));
    let status = node
        .ran(&pod, shell("echo out; echo err >&2; printf half; exit 3"))
        .await;
    assert_eq!(
        (status.exit_code, status.reason.as_str(), status.signal),
        (Some(3), "Error", None)
    );
    assert!(status.started_at <= status.finished_at && status.pid.is_none());
    let log = std::fs::read_to_string(&status.log_path).expect("log");
    let mut lines: Vec<_> = log
        .lines()
        .map(|line| line.split_once(' ').expect("a time").1)
        .collect();
    lines.sort_unstable(); // the two streams have no common order
    assert_eq!(lines, ["stderr F err", "stdout F half", "stdout F out"]);
    assert_eq!(node.ran(&pod, shell("true")).await.reason, "Completed");
    let killed = node
        .ran(
            &pod,
            shell("kill -USR1 $$; sleep 1000 & trap : TERM; kill -9 -1; wait"),
        )
        .await;
    assert_eq!(
        killed.exit_code,
        Some(0),
        "{killed:?}: signal 9 spares the init of a namespace"
    );

    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    assert!(!alive(pod.pid));
    assert!(node.runtime.containers().await.is_empty());
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_a_pod_share_network_name_and_memory_but_not_processes() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let server = node
        .run(&pod, shell("touch /dev/shm/shared; exec sleep 1000"))
        .await;
    let pid = node.status(&server).await.pid.expect("running");
    let link = |pid: u32, ns: &str| std::fs::read_link(format!("/proc/{pid}/ns/{ns}")).expect("ns");
    for shared in ["net", "uts", "ipc"] {
        assert_eq!(link(pid, shared), link(pod.pid, shared), "{shared}");
        assert_ne!(
            link(pid, shared),
            link(std::process::id(), shared),
            "{shared}"
        );
    }
    for own in ["pid", "mnt"] {
        assert_ne!(link(pid, own), link(pod.pid, own), "{own}");
    }
    let script = "hostname; echo $HOSTNAME; ls /dev/shm; echo /proc/[0-9]*; ip link show lo";
    let output = node.output(&pod, script).await;
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines[..3], ["web-0", "web-0", "shared"]);
    assert!(
        !lines[3].contains(&pid.to_string()) && lines[3].starts_with("/proc/1"),
        "{}",
        lines[3]
    );
    assert!(output.contains("LOOPBACK,UP"), "{output}");
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_finds_the_environment_it_was_promised() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let data = node.directory.path().join("data");
    std::fs::create_dir(&data).expect("mkdir");
    std::fs::write(data.join("file"), "from the host\n").expect("write");
    let script = "id -u; id -g; id -G; pwd; echo $HOME; echo $GREETING; cat /data/file; touch /data/new && echo written; \
        touch /ro/new 2>&1; grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status; \
        ls -l /proc/interrupts; cat /proc/sys/kernel/hostname; echo x 2>&1 >/proc/sys/kernel/domainname";
    let config = ContainerConfig {
        user: Some(UserSpec {
            uid: Some(1000),
            supplemental: vec![3000],
            ..UserSpec::default()
        }),
        working_dir: Some("/srv/made/here".into()),
        env: vec![
            ("GREETING".into(), "hello".into()),
            ("GREETING".into(), "hello again".into()),
        ],
        mounts: vec![
            Mount {
                host_path: data.clone(),
                container_path: "/data".into(),
                ..Mount::default()
            },
            Mount {
                host_path: data.clone(),
                container_path: "/ro".into(),
                read_only: true,
                ..Mount::default()
            },
        ],
        no_new_privileges: true,
        ..shell(script)
    };
    std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .expect("chmod");
    let output = log_text(&node.ran(&pod, config).await);
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(
        lines[..8],
        [
            "1000",
            "1001",
            "1001 44 3000",
            "/srv/made/here",
            "/home/node",
            "hello again",
            "from the host",
            "written"
        ],
        "{output}"
    );
    assert!(lines[8].contains("Read-only file system"), "{output}");
    assert_eq!(
        lines[9], "CapEff:\t0000000000000000",
        "a user that is not root has none"
    );
    assert_eq!(lines[10], "NoNewPrivs:\t1");
    assert!(
        lines[11].contains("1,   3"),
        "a masked file is /dev/null: {output}"
    );

    let output = node.output(&pod, "grep -E 'CapEff|NoNewPrivs' /proc/self/status; touch /etc/x && echo writable; \
        echo 1 > /proc/sys/kernel/panic; head -c 1 /tmp/disk; mknod /dev/disk b 254 0 && head -c 1 /dev/disk; touch /sys/fs/cgroup/memory/x; \
        grep -c . /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max").await;
    // Docker's default set, but without device nodes where no cgroup guards devices.
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let capabilities = if unified { "a00425fb" } else { "a80425fb" };
    assert!(
        output.contains(&format!("CapEff:\t00000000{capabilities}")),
        "{output}"
    );
    assert!(
        output.contains("NoNewPrivs:\t0") && output.contains("writable"),
        "{output}"
    );
    assert!(
        output.contains("/proc/sys/kernel/panic: Read-only file system"),
        "{output}"
    );
    assert!(
        output.contains("head: /tmp/disk: Permission denied")
            && output.contains("/dev/disk: Operation not permitted"),
        "the host's disk is out of reach: {output}"
    );
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    assert!(
        data.join("new").exists() && data.join("file").exists(),
        "what was mounted stays"
    );
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_says_why() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let of = |command: &[&str]| ContainerConfig {
        command: command.iter().map(|s| (*s).to_owned()).collect(),
        ..shell("")
    };
    let missing_mount = ContainerConfig {
        mounts: vec![Mount {
            host_path: "/no/such/path".into(),
            container_path: "/data".into(),
            ..Mount::default()
        }],
        ..shell("true")
    };
    let init = "unable to start container process: error during container init: ";
    for (config, reason) in [
        (
            of(&["serve"]),
            format!("{init}exec: \"serve\": executable file not found in $PATH"),
        ),
        (
            of(&["/bin/serve"]),
            format!("{init}exec: \"/bin/serve\": stat /bin/serve: no such file or directory"),
        ),
        (
            of(&["/etc"]),
            format!("{init}exec: \"/etc\": is a directory"),
        ),
        (
            of(&["/etc/passwd"]),
            format!("{init}exec: \"/etc/passwd\": permission denied"),
        ),
        (
            of(&["script-without-interpreter"]),
            format!("{init}exec script-without-interpreter: no such file or directory"),
        ),
        (
            missing_mount,
            "failed to mount /no/such/path at /data: No such file or directory (os error 2)".into(),
        ),
    ] {
        let id = node
            .runtime
            .create_container(&pod.id, config)
            .await
            .expect("create");
        let error = node
            .runtime
            .start_container(&id)
            .await
            .expect_err("must not start");
        assert!(
            matches!(&error, RuntimeError::Start { message, .. } if *message == reason),
            "{error}"
        );
        let status = node.status(&id).await;
        assert_eq!(
            (status.state, status.exit_code),
            (ContainerState::Exited, Some(128))
        );
        assert_eq!(
            (status.reason.as_str(), status.message),
            ("StartError", reason)
        );
        let again = node
            .runtime
            .start_container(&id)
            .await
            .expect_err("once only");
        assert!(matches!(again, RuntimeError::WrongState { .. }), "{again}");
    }
    let root = ContainerConfig {
        user: Some(UserSpec {
            run_as_non_root: true,
            ..UserSpec::default()
        }),
        ..shell("true")
    };
    let error = node
        .runtime
        .create_container(&pod.id, root)
        .await
        .expect_err("root");
    assert!(matches!(error, RuntimeError::RunAsNonRoot(_)), "{error}");
    let unknown = ContainerConfig {
        image: "nonesuch".into(),
        ..shell("true")
    };
    let error = node
        .runtime
        .create_container(&pod.id, unknown)
        .await
        .expect_err("no image");
    assert!(matches!(error, RuntimeError::ImageNotFound(name) if name == "nonesuch"));
    // A shim that has failed often is none the worse for it.
    let descriptors = || {
        std::fs::read_dir(format!("/proc/{}/fd", pod.pid))
            .expect("fds")
            .count()
    };
    let before = descriptors();
    for _ in 0..3 {
        let id = node
            .runtime
            .create_container(&pod.id, of(&["serve"]))
            .await
            .expect("create");
        node.runtime
            .start_container(&id)
            .await
            .expect_err("must not start");
        node.runtime.remove_container(&id).await.expect("remove");
    }
    assert!(descriptors() <= before, "{} of {before}", descriptors());
    assert_eq!(
        node.output(&pod, "echo fine").await.lines().last(),
        Some("fine")
    );
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_asks_first_and_returns_when_all_is_dead() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let polite = node
        .run(
            &pod,
            shell("trap 'echo bye; exit 0' TERM; sleep 1000 & wait"),
        )
        .await;
    let quit = ContainerConfig {
        stop_signal: Some("SIGQUIT".into()),
        ..shell("trap 'exit 7' QUIT; trap : TERM; sleep 1000 & wait")
    };
    let quit = node.run(&pod, quit).await;
    let deaf = node
        .run(
            &pod,
            shell("trap '' TERM; sleep 1000 & (trap '' TERM; sleep 2000) & wait; wait"),
        )
        .await;
    let pids = [&polite, &quit, &deaf].map(Clone::clone);
    let mut init = Vec::new();
    for id in &pids {
        init.push(node.status(id).await.pid.expect("running"));
    }
    for id in [&polite, &quit] {
        node.runtime
            .stop_container(id, Duration::from_secs(30))
            .await
            .expect("stop");
    }
    node.runtime
        .stop_container(&deaf, Duration::from_millis(200))
        .await
        .expect("stop");
    assert!(init.iter().all(|pid| !alive(*pid)));
    assert_eq!(node.status(&polite).await.exit_code, Some(0));
    assert_eq!(
        log_text(&node.status(&polite).await).lines().next(),
        Some("bye")
    );
    assert_eq!(node.status(&quit).await.exit_code, Some(7));
    let status = node.status(&deaf).await;
    assert_eq!(
        (status.exit_code, status.signal, status.reason.as_str()),
        (Some(137), Some(9), "Error")
    );
    node.runtime
        .stop_container(&deaf, Duration::ZERO)
        .await
        .expect("stopping again is no error");
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_over_its_memory_limit_is_killed_and_says_so() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let greedy = ContainerConfig {
        resources: Resources {
            memory_limit: Some(16 << 20),
            cpu_shares: Some(102),
            cpu_quota: Some(50_000),
            pids_limit: Some(64),
            oom_score_adj: Some(500),
            ..Resources::default()
        },
        ..shell("cat /proc/self/oom_score_adj; exec dd if=/dev/zero of=/dev/null bs=64M")
    };
    let status = node.ran(&pod, greedy).await;
    assert_eq!(
        (status.exit_code, status.reason.as_str()),
        (Some(137), "OOMKilled"),
        "{status:?}"
    );
    assert_eq!(log_text(&status), "500\n");
    let score =
        |pid| std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("oom_score_adj");
    // Without CAP_SYS_RESOURCE (as in some build machines) nobody may lower it.
    assert!(
        ["-998\n".to_owned(), score(std::process::id())].contains(&score(pod.pid)),
        "{}",
        score(pod.pid)
    );
    let limits = ContainerConfig {
        resources: Resources {
            memory_limit: Some(32 << 20),
            pids_limit: Some(64),
            ..Resources::default()
        },
        ..shell(
            "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max \
            /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null",
        )
    };
    assert_eq!(
        log_text(&node.ran(&pod, limits).await).lines().last(),
        Some("64")
    );
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_name_has_one_live_sandbox() {
    let node = Node::start().await;
    let first = node.pod("web-0").await;
    let id = node.run(&first, shell("trap '' TERM; sleep 1000")).await;
    let pid = node.status(&id).await.pid.expect("running");
    let mut config = node.pod_config("web-0");
    config.uid = "another".into();
    let error = node
        .runtime
        .run_pod_sandbox(config.clone())
        .await
        .expect_err("refused");
    assert!(
        matches!(&error, RuntimeError::NameInUse { holder, holder_uid, .. }
            if *holder == first.id && holder_uid == "uid-of-web-0"),
        "{error}"
    );
    let mut elsewhere = config.clone();
    elsewhere.namespace = "other".into();
    let other = node
        .runtime
        .run_pod_sandbox(elsewhere)
        .await
        .expect("another namespace is another name");
    node.runtime
        .stop_pod_sandbox(&first.id)
        .await
        .expect("stop");
    assert!(!alive(pid));
    assert_eq!(node.status(&id).await.exit_code, Some(137));
    assert!(!node.runtime.pod_sandboxes().await[0].ready);
    let error = node
        .runtime
        .create_container(&first.id, shell("true"))
        .await
        .expect_err("stopped");
    assert!(matches!(error, RuntimeError::SandboxNotReady(_)), "{error}");
    node.runtime
        .stop_pod_sandbox(&other.id)
        .await
        .expect("stop");
    let second = node
        .runtime
        .run_pod_sandbox(config)
        .await
        .expect("the name is free");
    for sandbox in [first, other, second] {
        node.runtime
            .remove_pod_sandbox(&sandbox.id)
            .await
            .expect("remove");
    }
    assert!(node.runtime.pod_sandboxes().await.is_empty());
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn much_output_is_logged_whole_and_stops_nobody() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let chatty = node.run(&pod, shell("while :; do echo noise; done")).await;
    let counted = node
        .ran(
            &pod,
            ContainerConfig {
                log_path: "count.log".into(),
                ..shell("seq 1 200000")
            },
        )
        .await;
    let expected: String =
        (1..=200_000).fold(String::new(), |text, n| text + &n.to_string() + "\n");
    assert!(log_text(&counted) == expected, "every line, in order");
    node.runtime
        .stop_container(&chatty, Duration::ZERO)
        .await
        .expect("stop");
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_privileged_container_has_all_that_the_runtime_has() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let script =
        "grep CapEff /proc/self/status; echo /dev/kmsg; mount -o remount,rw /sys && echo remounted";
    let privileged = ContainerConfig {
        privileged: true,
        ..shell(script)
    };
    let output = log_text(&node.ran(&pod, privileged).await);
    let own = std::fs::read_to_string("/proc/self/status").expect("status");
    let own = own
        .lines()
        .find(|line| line.starts_with("CapPrm"))
        .expect("CapPrm");
    assert_eq!(
        output.lines().collect::<Vec<_>>(),
        [
            own.replace("CapPrm", "CapEff").as_str(),
            "/dev/kmsg",
            "remounted"
        ]
    );
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_root_takes_no_writes_but_its_volumes_do() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let data = node.directory.path().join("data");
    std::fs::create_dir(&data).expect("mkdir");
    let config = ContainerConfig {
        read_only_rootfs: true,
        working_dir: Some("/made".into()),
        drop_caps: vec!["ALL".into()],
        add_caps: vec!["NET_BIND_SERVICE".into()],
        mounts: vec![Mount {
            host_path: data.clone(),
            container_path: "/deep/in/data".into(),
            ..Mount::default()
        }],
        ..shell("touch /x || touch /deep/in/data/x && pwd; grep CapEff /proc/self/status")
    };
    let status = node.ran(&pod, config).await;
    let text = log_text(&status);
    assert!(text.contains("touch: /x: Read-only file system"), "{text}");
    assert!(
        text.ends_with("/made\nCapEff:\t0000000000000400\n"),
        "{text}"
    );
    assert!(data.join("x").exists());
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_can_share_the_hosts_network_and_set_its_own_parameters() {
    let node = Node::start().await;
    let mut config = node.pod_config("host-0");
    config.host_network = true;
    let pod = node.runtime.run_pod_sandbox(config).await.expect("run");
    let host = std::fs::read_link("/proc/self/ns/net").expect("ns");
    assert_eq!(
        std::fs::read_link(node.runtime.netns(&pod)).expect("ns"),
        host
    );
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("hostname");
    assert_eq!(
        node.output(&pod, "hostname; echo $HOSTNAME").await,
        format!("{name}{name}")
    );
    let mut config = node.pod_config("web-0");
    config.host_network = true;
    config.sysctls = [("net.ipv4.ip_local_port_range".into(), "2000\t3000".into())].into();
    let error = node
        .runtime
        .run_pod_sandbox(config.clone())
        .await
        .expect_err("the host's");
    assert!(
        matches!(&error, RuntimeError::Shim { message, .. }
            if message == "set a kernel parameter: \"net.ipv4.ip_local_port_range\" is not a parameter of the pod"),
        "{error}"
    );
    config.host_network = false;
    let own = node
        .runtime
        .run_pod_sandbox(config)
        .await
        .expect("the name is free");
    assert_eq!(
        node.output(&own, "cat /proc/sys/net/ipv4/ip_local_port_range")
            .await,
        "2000\t3000\n"
    );
    for sandbox in [&pod.id, &own.id] {
        node.runtime
            .remove_pod_sandbox(sandbox)
            .await
            .expect("remove");
    }
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pods_start_and_end_at_once() {
    let node = Node::start().await;
    let pods = (0..12).map(|n| {
        let node = &node;
        async move {
            for attempt in 0..2 {
                let name = format!("web-{n}");
                let mut config = node.pod_config(&name);
                config.attempt = attempt;
                let pod = node.runtime.run_pod_sandbox(config).await.expect("run");
                let text = node.output(&pod, "hostname").await;
                assert_eq!(text.lines().last(), Some(name.as_str()));
                let deaf = node.run(&pod, shell("trap '' TERM; sleep 1000")).await;
                let pid = node.status(&deaf).await.pid.expect("running");
                node.runtime
                    .remove_pod_sandbox(&pod.id)
                    .await
                    .expect("remove");
                assert!(!alive(pid) && !alive(pod.pid));
            }
        }
    });
    futures::future::join_all(pods).await;
    node.assert_clean();
}
