//! A host with nothing but cgroup v2, made of this one by a mount namespace. No controller is free for it on a host
//! that uses v1, so this shows groups, namespaces and devices, not limits.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use plinth_runtime::ContainerId;
use support::{Node, log_text};

const SCRIPT: &str = "cat /proc/self/cgroup; grep CapEff /proc/self/status; head -c 1 /tmp/disk 2>&1; echo /sys/fs/cgroup/cgroup.*rocs; exec sleep 1000";

#[tokio::test(flavor = "multi_thread")]
async fn pods_run_where_only_cgroup_v2_is_mounted() {
    let mut node = Node::start().await;
    let alone = "umount -a -t cgroup,cgroup2; umount /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec \"$@\"";
    let mut daemon = Command::new("unshare")
        .args(["--mount", "sh", "-c", alone, "sh"])
        .arg(support::shim_exe())
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
    let id = ContainerId(line.trim().to_owned());
    daemon.kill().expect("kill -9");
    daemon.wait().expect("wait");

    node.reopen().await;
    let status = node.status(&id).await;
    let pid = status.pid.expect("running");
    let v2 = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("cgroup");
    let expected = format!("0::{}/poduid-of-web-0/{id}", node.config.cgroup_root);
    assert!(v2.lines().any(|line| line == expected), "{v2}");
    let lines: Vec<_> = loop {
        let text = log_text(&status);
        if text.contains("/sys/fs/cgroup/cgroup") {
            break text.lines().map(str::to_owned).collect();
        }
        tokio::task::yield_now().await;
    };
    let own = lines
        .iter()
        .position(|line| line.starts_with("0::"))
        .map(|at| lines[at].clone());
    assert_eq!(
        own.as_deref(),
        Some("0::/"),
        "a container sees itself at the root: {lines:?}"
    );
    assert!(
        lines.contains(&"CapEff:\t00000000a00425fb".to_owned()),
        "no device nodes without a guard: {lines:?}"
    );
    let refusal = "head: /tmp/disk: Permission denied".to_owned();
    assert!(
        lines.contains(&refusal),
        "an image's devices do not open: {lines:?}"
    );
    assert_eq!(
        lines.last().map(String::as_str),
        Some("/sys/fs/cgroup/cgroup.procs")
    );

    let pod = node.runtime.pod_sandboxes().await[0].clone();
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}
