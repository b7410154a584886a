//! Pods do not notice the daemon's end, and a daemon that starts finds what became of them.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plinth_runtime::{ContainerId, ContainerState, SandboxId};
use support::{DEADLINE, Node, alive, log_text, shell};

/// Says something now and then; SIGTERM makes it end with code 5.
const SCRIPT: &str = "trap 'echo bye; exit 5' TERM; while :; do echo tick; sleep 0.05; done";

/// A daemon of its own process with one running container.
fn daemon(node: &Node) -> (Child, ContainerId) {
    let mut daemon = Command::new(support::shim_exe())
        .arg("daemon")
        .args([&node.config.root, &node.config.state])
        .args([&node.config.cgroup_root, SCRIPT])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the daemon");
    let mut line = String::new();
    BufReader::new(daemon.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("an id");
    (daemon, ContainerId(line.trim().to_owned()))
}

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).expect("kill");
}

/// Waits for a process that is not our child.
fn wait_gone(pid: u32) {
    let Some(number) = rustix::process::Pid::from_raw(pid.cast_signed()) else {
        return;
    };
    let Ok(pidfd) = rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty())
    else {
        return;
    };
    let timeout = rustix::event::Timespec {
        tv_sec: DEADLINE.as_secs().cast_signed(),
        tv_nsec: 0,
    };
    let mut fds = [rustix::event::PollFd::new(
        &pidfd,
        rustix::event::PollFlags::IN,
    )];
    assert_eq!(
        rustix::event::poll(&mut fds, Some(&timeout)),
        Ok(1),
        "{pid} does not end"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_is_not_noticed_and_the_next_one_takes_over() {
    let mut node = Node::start().await;
    let (mut daemon, id) = daemon(&node);
    node.reopen().await;
    let before = node.status(&id).await;
    let (pid, pod) = (
        before.pid.expect("running"),
        node.runtime.pod_sandboxes().await[0].clone(),
    );
    daemon.kill().expect("kill -9");
    daemon.wait().expect("wait");

    node.reopen().await;
    assert_eq!(node.status(&id).await, before);
    assert_eq!(
        node.runtime.pod_sandboxes().await,
        std::slice::from_ref(&pod)
    );
    assert!(alive(pid) && alive(pod.pid));
    // A shim ends when it is told to, and not by a signal that was meant for somebody else.
    for stray in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signal(pod.pid, stray);
    }
    // The new daemon has the whole pod: its network, its events, its ends.
    assert!(node.runtime.netns(&pod).exists());
    node.runtime
        .stop_container(&id, DEADLINE)
        .await
        .expect("stop");
    let after = node.status(&id).await;
    assert_eq!((after.exit_code, after.reason.as_str()), (Some(5), "Error"));
    assert_eq!(log_text(&after).lines().last(), Some("bye"));
    assert_eq!(
        node.output(&pod, "echo another container")
            .await
            .lines()
            .last(),
        Some("another container")
    );
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_no_daemon_saw_is_on_record() {
    let mut node = Node::start().await;
    let (mut daemon, id) = daemon(&node);
    node.reopen().await;
    let pid = node.status(&id).await.pid.expect("running");
    daemon.kill().expect("kill -9");
    daemon.wait().expect("wait");
    node.without_daemon().await;
    signal(pid, Signal::SIGTERM);
    wait_gone(pid);
    node.reopen().await;
    let status = node.reaches(&id, ContainerState::Exited).await;
    assert_eq!(
        (status.exit_code, status.reason.as_str(), status.pid),
        (Some(5), "Error", None)
    );
    assert!(status.finished_at > status.started_at);
    let pod = node.runtime.pod_sandboxes().await[0].clone();
    assert!(pod.ready);
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shim_takes_its_pod_with_it() {
    let mut node = Node::start().await;
    let pod = node.pod("web-0").await;
    let id = node
        .run(&pod, shell("trap '' TERM; sleep 1000 & wait"))
        .await;
    let ended = node.ran(&pod, shell("exit 4")).await;
    let never = node
        .runtime
        .create_container(&pod.id, shell("true"))
        .await
        .expect("create");
    let pid = node.status(&id).await.pid.expect("running");
    let mut events = node.runtime.events();
    signal(pod.pid, Signal::SIGKILL);
    let status = node.reaches(&id, ContainerState::Exited).await;
    assert_eq!(
        (status.exit_code, status.reason.as_str()),
        (Some(137), "ContainerStatusUnknown")
    );
    assert!(
        !alive(pid),
        "what the shim left is dead when it is reported"
    );
    assert_eq!(node.status(&ended.id).await, ended);
    assert_eq!(node.status(&never).await.state, ContainerState::Created);
    let gone = tokio::time::timeout(DEADLINE, async {
        loop {
            let event = events.recv().await.expect("an event");
            if event.container.is_none() {
                return event.sandbox;
            }
        }
    });
    assert_eq!(gone.await.expect("the sandbox's end is told"), pod.id);
    assert!(!node.runtime.pod_sandboxes().await[0].ready);
    let mut config = node.pod_config("web-0");
    config.attempt = 1;
    let next = node
        .runtime
        .run_pod_sandbox(config)
        .await
        .expect("the name is free");
    assert_eq!(node.output(&next, "echo back").await, "back\n");
    // Both have the cgroup of their pod's uid: a daemon that finds the dead one must leave the living one alone.
    let survivor = node.run(&next, shell("sleep 1000")).await;
    node.reopen().await;
    assert_eq!(node.status(&survivor).await.state, ContainerState::Running);
    for sandbox in [&pod.id, &next.id] {
        node.runtime
            .remove_pod_sandbox(sandbox)
            .await
            .expect("remove");
    }
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_died_while_no_daemon_ran_is_cleaned_up_by_the_next() {
    let mut node = Node::start().await;
    let (mut daemon, id) = daemon(&node);
    node.reopen().await;
    let pod = node.runtime.pod_sandboxes().await[0].clone();
    let pid = node.status(&id).await.pid.expect("running");
    daemon.kill().expect("kill -9");
    daemon.wait().expect("wait");
    node.without_daemon().await;
    signal(pod.pid, Signal::SIGKILL);
    wait_gone(pod.pid);
    assert!(alive(pid), "nobody was there to kill it");
    node.reopen().await;
    assert!(!alive(pid));
    let status = node.status(&id).await;
    assert_eq!(
        (status.state, status.reason.as_str()),
        (ContainerState::Exited, "ContainerStatusUnknown")
    );
    assert!(!node.runtime.pod_sandboxes().await[0].ready);
    // What is known does not change with the next daemon.
    node.reopen().await;
    assert_eq!(node.status(&id).await, status);
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    assert!(
        node.runtime
            .stop_pod_sandbox(&SandboxId("nonesuch".into()))
            .await
            .is_err()
    );
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reboot_pods_are_known_and_not_ready() {
    let mut node = Node::start().await;
    let pod = node.pod("web-0").await;
    let id = node.run(&pod, shell("sleep 1000")).await;
    node.without_daemon().await;
    // A reboot: no process, no cgroup, an empty /run.
    support::kill_group(&node.config.cgroup_root);
    wait_gone(pod.pid);
    std::fs::remove_dir_all(&node.config.state).expect("remove");
    node.reopen().await;
    assert!(!node.runtime.pod_sandboxes().await[0].ready);
    let status = node.status(&id).await;
    assert_eq!(
        (status.exit_code, status.reason.as_str()),
        (Some(137), "ContainerStatusUnknown")
    );
    let next = node.pod("web-0").await;
    assert!(next.ready);
    for sandbox in [&pod.id, &next.id] {
        node.runtime
            .remove_pod_sandbox(sandbox)
            .await
            .expect("remove");
    }
    node.assert_clean();
}

/// Whatever the moment, the next daemon finds a pod that it can run or remove.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_while_it_starts_a_pod_leaves_nothing_that_cannot_be_removed() {
    let mut node = Node::start().await;
    node.without_daemon().await;
    let base = node.directory.path().to_str().expect("UTF-8").to_owned();
    for step in 0..12u64 {
        let mut daemon = Command::new(support::shim_exe())
            .arg("daemon")
            .args([&node.config.root, &node.config.state])
            .args([&node.config.cgroup_root, SCRIPT])
            .stdout(Stdio::null())
            .spawn()
            .expect("the daemon");
        // A fault at another moment each time; nothing depends on which.
        tokio::time::sleep(std::time::Duration::from_millis(step * step)).await;
        daemon.kill().expect("kill -9");
        daemon.wait().expect("wait");
        node.reopen().await;
        // What was created but not started, or not seen to start, is started like any other.
        for container in node.runtime.containers().await {
            if container.state == ContainerState::Created {
                let ready = node
                    .runtime
                    .pod_sandboxes()
                    .await
                    .iter()
                    .any(|pod| pod.ready);
                let started = node.runtime.start_container(&container.id).await;
                assert_eq!(started.is_ok(), ready, "{started:?}");
            }
        }
        for pod in node.runtime.pod_sandboxes().await {
            node.runtime
                .remove_pod_sandbox(&pod.id)
                .await
                .expect("remove");
        }
        assert!(node.runtime.containers().await.is_empty());
    }
    // A shim that its daemon never heard of ends by itself.
    let gone = async {
        while !support::processes_of(&base).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, gone)
        .await
        .expect("no process is left");
    support::kill_group(&node.config.cgroup_root);
    std::fs::remove_dir_all(node.config.state.join("sandboxes")).expect("remove");
    std::fs::create_dir(node.config.state.join("sandboxes")).expect("mkdir");
    node.assert_clean();
}
