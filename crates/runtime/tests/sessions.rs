//! Programs run inside running containers and people join their streams; none of it outlives its connection.

mod support;

use std::time::Duration;

use plinth_runtime::{
    ContainerConfig, ContainerId, ContainerState, ExecConfig, ExecOutput, RuntimeError, Session,
    SessionStreams, UserSpec,
};
use support::{DEADLINE, Node, log_text, processes_of, shell};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const ALL: SessionStreams = SessionStreams {
    stdin: true,
    stdout: true,
    stderr: true,
};

fn config(script: &str, tty: bool) -> ExecConfig {
    ExecConfig {
        command: ["/bin/sh", "-c", script].map(str::to_owned).into(),
        tty,
        streams: ALL,
    }
}

async fn sync(node: &Node, id: &ContainerId, script: &str) -> ExecOutput {
    let command = ["sh", "-c", script].map(str::to_owned).into();
    let ran = node.runtime.exec_sync(id, command, DEADLINE, 1 << 16).await;
    ran.expect("run").expect("in time")
}

async fn text(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    tokio::time::timeout(DEADLINE, read)
        .await
        .expect("an end")
        .expect("read");
    String::from_utf8(bytes).expect("text")
}

/// Reads until `wanted` has come.
async fn until(stream: &mut (impl tokio::io::AsyncRead + Unpin), wanted: &str) -> String {
    let mut seen = Vec::new();
    let read = async {
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&seen).contains(wanted) {
            let count = stream.read(&mut piece).await.expect("read");
            assert!(
                count > 0,
                "ended after {:?}",
                String::from_utf8_lossy(&seen)
            );
            seen.extend_from_slice(&piece[..count]);
        }
    };
    let came = tokio::time::timeout(DEADLINE, read).await.is_ok();
    let seen = String::from_utf8(seen).expect("text");
    assert!(came, "{wanted:?} never came: {seen:?}");
    seen
}

async fn gone(text: &str) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !processes_of(text).is_empty() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{:?}",
            processes_of(text)
        );
        tokio::task::yield_now().await;
    }
}

async fn ended(session: &mut Session) -> i32 {
    tokio::time::timeout(DEADLINE, session.ending.wait())
        .await
        .expect("in time")
        .expect("an end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_runs_as_the_container_does() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let id = node
        .run(
            &pod,
            ContainerConfig {
                env: vec![("A".into(), "of the container".into())],
                working_dir: Some("/home/node".into()),
                user: Some(UserSpec {
                    uid: Some(1000),
                    ..UserSpec::default()
                }),
                no_new_privileges: true,
                drop_caps: vec!["CHOWN".into()],
                ..shell("exec sleep 1000")
            },
        )
        .await;
    let seen = "id; echo $A; echo ~; cat /proc/self/status | grep -E 'Cap|NoNew|^Groups'; \
                cat /proc/self/oom_score_adj; readlink /proc/self/cwd; umask; cat /proc/self/cgroup; \
                for n in mnt pid net ipc uts; do readlink /proc/self/ns/$n; done";
    let own = node
        .run(
            &pod,
            ContainerConfig {
                log_path: "other/0.log".into(),
                name: "other".into(),
                env: vec![("A".into(), "of the container".into())],
                working_dir: Some("/home/node".into()),
                user: Some(UserSpec {
                    uid: Some(1000),
                    ..UserSpec::default()
                }),
                no_new_privileges: true,
                drop_caps: vec!["CHOWN".into()],
                ..shell(&format!("{seen}; exec sleep 1000"))
            },
        )
        .await;
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let status = node.status(&own).await;
    while !log_text(&status).contains("uts:") {
        assert!(tokio::time::Instant::now() < deadline, "nothing is said");
        tokio::task::yield_now().await;
    }
    let inside = sync(&node, &own, &format!("{seen}; exit 3")).await;
    assert_eq!(inside.exit_code, 3);
    let inside = String::from_utf8(inside.output).expect("text");
    assert_eq!(inside, log_text(&status), "as the container's own program");
    assert!(inside.contains("uid=1000(node)") && inside.contains("of the container"));
    let processes = sync(&node, &id, "echo /proc/[0-9]*").await.output;
    let processes = String::from_utf8(processes).expect("text");
    assert!(processes.starts_with("/proc/1 "), "{processes}");

    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_flow_both_ways_and_apart() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let id = node.run(&pod, shell("exec sleep 1000")).await;
    let script = "while read line; do echo out $line; echo err $line >&2; done; exit 7";
    let mut session = node
        .runtime
        .exec(&id, config(script, false))
        .await
        .expect("exec");
    let mut stdin = session.stdin.take().expect("stdin");
    stdin.write_all(b"a\nb\n").await.expect("write");
    drop(stdin);
    let (mut out, mut err) = (
        session.stdout.take().expect("out"),
        session.stderr.take().expect("err"),
    );
    assert_eq!(text(&mut out).await, "out a\nout b\n");
    assert_eq!(text(&mut err).await, "err a\nerr b\n");
    assert_eq!(ended(&mut session).await, 7);

    // More than any buffer on the way, and nothing of it lost.
    let mut session = node
        .runtime
        .exec(&id, config("cat", false))
        .await
        .expect("exec");
    let (mut stdin, mut out) = (
        session.stdin.take().expect("stdin"),
        session.stdout.take().expect("out"),
    );
    let sent: Vec<u8> = (0..8u32 << 20).map(|n| (n % 251) as u8).collect();
    let copy = sent.clone();
    let write = tokio::spawn(async move { stdin.write_all(&copy).await });
    let mut back = Vec::new();
    out.read_to_end(&mut back).await.expect("read");
    write.await.expect("task").expect("write");
    assert!(back == sent, "{} of {} bytes", back.len(), sent.len());

    let killed = sync(&node, &id, "kill -9 $$").await;
    assert_eq!(killed.exit_code, 128 + 9);
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_the_containers_own_and_follows_the_clients_size() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let id = node.run(&pod, shell("exec sleep 1000")).await;
    let script = "tty; echo $TERM; trap 'stty size' WINCH; read a; busybox stty size; exit 5";
    let mut session = node
        .runtime
        .exec(&id, config(script, true))
        .await
        .expect("exec");
    assert!(session.stderr.is_none());
    let mut out = session.stdout.take().expect("out");
    let begun = until(&mut out, "xterm\r\n").await;
    assert!(begun.contains("/dev/pts/"), "{begun:?}");
    session.terminal.set(101, 33).await.expect("resize");
    let mut stdin = session.stdin.take().expect("stdin");
    // The size is set by another connection than this pipe: it is asked for until it is there.
    stdin.write_all(b"x\n").await.expect("type");
    let rest = text(&mut out).await;
    assert!(rest.starts_with("x\r\n"), "the terminal echoes: {rest:?}");
    assert_eq!(ended(&mut session).await, 5);
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_is_told_in_the_words_of_runc() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let id = node.run(&pod, shell("exec sleep 1000")).await;
    let failure = async |command: &str| {
        let config = ExecConfig {
            command: vec![command.into()],
            tty: command == "on-a-terminal",
            streams: ALL,
        };
        let refused = node
            .runtime
            .exec(&id, config)
            .await
            .expect_err("no such program");
        refused.to_string()
    };
    assert_eq!(
        failure("serve").await,
        "unable to start container process: exec: \"serve\": executable file not found in $PATH"
    );
    assert_eq!(
        failure("/etc/passwd").await,
        "unable to start container process: exec: \"/etc/passwd\": permission denied"
    );
    assert!(
        failure("on-a-terminal")
            .await
            .contains("not found in $PATH")
    );
    node.runtime
        .stop_container(&id, Duration::ZERO)
        .await
        .expect("stop");
    let ended = node.runtime.exec(&id, config("true", false)).await;
    assert!(
        matches!(ended, Err(RuntimeError::WrongState { .. })),
        "{ended:?}"
    );
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_does_not_outlive_its_connection() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let id = node.run(&pod, shell("exec sleep 1000")).await;
    for tty in [false, true] {
        let script = "trap '' TERM HUP; echo begun; sleep 4711 & sleep 4712";
        let mut session = node
            .runtime
            .exec(&id, config(script, tty))
            .await
            .expect("exec");
        let mut out = session.stdout.take().expect("out");
        until(&mut out, "begun").await;
        drop(session);
        gone("sleep 471").await;
    }
    let late = node
        .runtime
        .exec_sync(
            &id,
            vec!["sleep".into(), "4713".into()],
            Duration::from_millis(300),
            100,
        )
        .await;
    assert_eq!(late.expect("run"), None);
    gone("sleep 4713").await;
    // Nor does it outlive its container.
    let mut session = node
        .runtime
        .exec(&id, config("sleep 4714", false))
        .await
        .expect("exec");
    node.runtime
        .stop_container(&id, Duration::ZERO)
        .await
        .expect("stop");
    assert_eq!(ended(&mut session).await, 128 + 9);
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_leave_nothing_in_the_shim() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let id = node.run(&pod, shell("exec sleep 1000")).await;
    let descriptors = || {
        std::fs::read_dir(format!("/proc/{}/fd", pod.pid))
            .expect("fd")
            .count()
    };
    let before = descriptors();
    let all = (0..100).map(|n| {
        let (runtime, id) = (node.runtime.clone(), id.clone());
        tokio::spawn(async move {
            let command = ["sh", "-c", &format!("echo {n}; exit {n}")]
                .map(str::to_owned)
                .into();
            let ran = runtime.exec_sync(&id, command, DEADLINE, 100).await;
            (n, ran.expect("run").expect("in time"))
        })
    });
    for one in all.collect::<Vec<_>>() {
        let (n, ran) = one.await.expect("task");
        assert_eq!(
            (ran.exit_code, ran.output),
            (n, format!("{n}\n").into_bytes())
        );
    }
    let zombies = || {
        let children = format!("/proc/{0}/task/{0}/children", pod.pid);
        std::fs::read_to_string(children)
            .expect("children")
            .split_whitespace()
            .count()
    };
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while descriptors() != before || zombies() != 1 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{} {}",
            descriptors(),
            zombies()
        );
        tokio::task::yield_now().await;
    }
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_attaches_sees_what_is_logged_and_types_into_it() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let echo = ContainerConfig {
        stdin: true,
        stdin_once: true,
        ..shell("while read line; do echo got $line; echo err >&2; done; echo end; exit 4")
    };
    let id = node.run(&pod, echo).await;
    let mut watcher = node
        .runtime
        .attach(
            &id,
            SessionStreams {
                stdin: false,
                ..ALL
            },
        )
        .await
        .expect("attach");
    let mut session = node.runtime.attach(&id, ALL).await.expect("attach");
    let mut stdin = session.stdin.take().expect("stdin");
    stdin.write_all(b"one\ntwo\n").await.expect("type");
    drop(stdin);
    let mut out = session.stdout.take().expect("out");
    assert_eq!(text(&mut out).await, "got one\ngot two\nend\n");
    assert_eq!(ended(&mut session).await, 4);
    assert_eq!(
        text(&mut watcher.stdout.take().expect("out")).await,
        "got one\ngot two\nend\n"
    );
    assert_eq!(
        text(&mut watcher.stderr.take().expect("err")).await,
        "err\nerr\n"
    );
    assert_eq!(ended(&mut watcher).await, 4);
    let status = node.reaches(&id, ContainerState::Exited).await;
    assert!(log_text(&status).contains("got two\n"));
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_may_be_given_again_stays_open() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let config = ContainerConfig {
        stdin: true,
        ..shell("while read line; do echo got $line; done")
    };
    let id = node.run(&pod, config).await;
    for word in ["first", "second"] {
        let mut session = node.runtime.attach(&id, ALL).await.expect("attach");
        let mut stdin = session.stdin.take().expect("stdin");
        stdin
            .write_all(format!("{word}\n").as_bytes())
            .await
            .expect("type");
        drop(stdin);
        until(session.stdout.as_mut().expect("out"), word).await;
    }
    assert_eq!(node.status(&id).await.state, ContainerState::Running);
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_with_a_terminal_is_attached_to_like_a_screen() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let config = ContainerConfig {
        stdin: true,
        tty: true,
        ..shell(
            "while read line; do echo got $line on $(tty); busybox stty size; [ $line = quit ] && exit 6; done",
        )
    };
    let id = node.run(&pod, config).await;
    let mut session = node.runtime.attach(&id, ALL).await.expect("attach");
    assert!(session.stderr.is_none());
    session.terminal.set(120, 40).await.expect("resize");
    let (mut stdin, mut out) = (
        session.stdin.take().expect("stdin"),
        session.stdout.take().expect("out"),
    );
    stdin.write_all(b"hello\n").await.expect("type");
    let seen = until(&mut out, "got hello on /dev/").await;
    assert!(seen.starts_with("hello\r\n"), "{seen:?}");
    drop((session, stdin, out));
    let mut again = node.runtime.attach(&id, ALL).await.expect("attach again");
    let mut out = again.stdout.take().expect("out");
    again
        .stdin
        .as_mut()
        .expect("stdin")
        .write_all(b"quit\n")
        .await
        .expect("type");
    let seen = text(&mut out).await;
    assert!(
        seen.contains("got quit") && seen.contains("40 120\r\n"),
        "{seen:?}"
    );
    assert_eq!(ended(&mut again).await, 6);
    let status = node.reaches(&id, ContainerState::Exited).await;
    assert!(
        std::fs::read_to_string(&status.log_path)
            .expect("log")
            .contains("stdout F got hello")
    );
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_stops_a_conversation_but_no_service() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    // A service is not kept from its work: the reader is cut off.
    let script = "i=0; while [ $i -lt 400 ]; do head -c 10000 /dev/zero; i=$((i+1)); done; echo done; exec sleep 1000";
    let silent = ContainerConfig {
        log_path: "silent/0.log".into(),
        name: "silent".into(),
        ..shell(&format!("read -t 1 a; {script}"))
    };
    let service = node.run(&pod, silent).await;
    let mut session = node
        .runtime
        .attach(
            &service,
            SessionStreams {
                stdin: false,
                ..ALL
            },
        )
        .await
        .expect("attach");
    let cut = tokio::time::timeout(DEADLINE, session.ending.wait())
        .await
        .expect("in time");
    assert!(cut.is_err(), "{cut:?}");

    // A conversation waits for its reader, and goes on when it reads again.
    let config = ContainerConfig {
        stdin: true,
        ..shell(&format!("read a; {script}"))
    };
    let id = node.run(&pod, config).await;
    let mut session = node.runtime.attach(&id, ALL).await.expect("attach");
    session
        .stdin
        .as_mut()
        .expect("stdin")
        .write_all(b"go\n")
        .await
        .expect("type");
    let mut out = session.stdout.take().expect("out");
    let mut zeros = 0;
    let mut piece = vec![0; 64 << 10];
    while zeros < 4_000_000 {
        zeros += out.read(&mut piece).await.expect("read");
    }
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_opens_inside_the_pod() {
    let node = Node::start().await;
    let pod = node.pod("web-0").await;
    let script = "busybox nc -l -p 8080 -e /bin/cat & echo listening; exec sleep 1000";
    let id = node.run(&pod, shell(script)).await;
    let connect = async {
        loop {
            match node.runtime.connect(&pod.id, 8080).await {
                Ok(stream) => return stream,
                Err(error) => assert!(error.to_string().contains("refused"), "{error}"),
            }
        }
    };
    let connected = tokio::time::timeout(DEADLINE, connect).await;
    let mut stream = connected.expect("somebody listens");
    stream.write_all(b"ping").await.expect("write");
    stream.shutdown().await.expect("half closed");
    assert_eq!(text(&mut stream).await, "ping");
    let refused = node
        .runtime
        .connect(&pod.id, 9)
        .await
        .expect_err("nobody listens");
    assert!(
        refused.to_string().contains("Connection refused"),
        "{refused}"
    );
    assert_eq!(node.status(&id).await.state, ContainerState::Running);
    node.runtime
        .remove_pod_sandbox(&pod.id)
        .await
        .expect("remove");
    node.assert_clean();
}
