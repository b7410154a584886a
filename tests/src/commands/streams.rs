//! Into containers and pods: exec, cp, attach, run, port-forward and proxy, over WebSocket and over SPDY.

use std::io::Read as _;
use std::process::{Child, ChildStdout};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};

use super::{Desk, PATIENCE, fixture};
use crate::story::Stage;
use crate::{Stop, processes};

/// What makes kubectl speak as it did before 1.31.
const SPDY: &str = "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false KUBECTL_PORT_FORWARD_WEBSOCKETS=false ";

pub(super) fn commands(desk: &Desk) -> Result<()> {
    desk.says(
        &format!("kubectl apply -f {}", fixture("streams")),
        &[
            "pod/echo created",
            "service/echo created",
            "pod/parrot created",
        ],
    )?;
    desk.says(
        "kubectl wait --for=condition=Ready pod/echo pod/parrot --timeout=60s",
        &["pod/echo condition met"],
    )?;
    for client in ["", SPDY] {
        exec(desk, client)?;
        terminal(desk, client)?;
        ports(desk, client)?;
    }
    copies(desk)?;
    attach(desk)?;
    proxies(desk)?;
    crowds(desk)
}

/// A program ends with the server that its client spoke through; the container it ran in goes on.
pub(super) fn server_lost(stage: &mut Stage, desk: &Desk) -> Result<()> {
    let running = || {
        processes("sleep 4712")
            .iter()
            .any(|p| !p.command.contains("kubectl"))
    };
    let mut kubectl = desk.spawn("exec kubectl exec echo -c main -- sleep 4712")?;
    until("the command runs", || Ok(running()))?;
    stage.stop_server(Stop::Kill)?;
    ensure!(
        !kubectl.wait()?.success(),
        "kubectl took the loss for an end"
    );
    until("the command is gone", || Ok(!running()))?;
    stage.start_server()?;
    desk.prints("kubectl exec echo -c main -- echo back", "back")?;
    desk.prints(
        "kubectl get pod echo -o jsonpath='{.status.containerStatuses[*].restartCount}'",
        "0 0",
    )?;
    desk.says(
        "kubectl delete pod/echo pod/parrot svc/echo --now",
        &["pod \"echo\" deleted"],
    )?;
    Ok(())
}

fn exec(desk: &Desk, client: &str) -> Result<()> {
    desk.prints(
        &format!("{client}kubectl exec echo -c side -- id -u"),
        "1000",
    )?;
    desk.ends_with(
        &format!("{client}kubectl exec echo -c main -- sh -c 'echo out; echo err >&2; exit 3'"),
        3,
        &["out\n", "err\n", "command terminated with exit code 3"],
    )?;
    desk.ends_with(
        &format!("{client}kubectl exec echo -c main -- sh -c 'kill -9 $$'"),
        128 + 9,
        &["command terminated with exit code 137"],
    )?;
    desk.prints(
        &format!("printf 'one\\ntwo\\n' | {client}kubectl exec -i echo -c main -- wc -l"),
        "2",
    )?;
    desk.refused(
        &format!("{client}kubectl exec echo -c main -- fly"),
        &["exec: \"fly\": executable file not found in $PATH"],
    )?;
    desk.refused(
        &format!("{client}kubectl exec echo -c wing -- true"),
        &["container wing"],
    )?;
    // More than every buffer on the way together, there and back.
    desk.prints(
        &format!(
            "head -c 100M /dev/zero | tr '\\0' x | {client}kubectl exec -i echo -c main -- cat | sha256sum | cut -c-16"
        ),
        &desk.answer("head -c 100M /dev/zero | tr '\\0' x | sha256sum | cut -c-16")?,
    )?;
    // Whoever leaves takes along what was run for them.
    let mut kubectl = desk.spawn(&format!(
        "{client}exec kubectl exec echo -c main -- sleep 4711"
    ))?;
    until("the command runs", || {
        Ok(!processes("sleep 4711")
            .iter()
            .all(|p| p.command.contains("kubectl")))
    })?;
    kubectl.kill()?;
    kubectl.wait()?;
    until("the command is gone", || {
        Ok(processes("sleep 4711").is_empty())
    })
}

/// Types on a real terminal. Its size comes on another way than what is typed, so it is waited for.
fn terminal(desk: &Desk, client: &str) -> Result<()> {
    const TYPED: &str = r#"for i in $(seq 100); do [ "$(stty size)" = "33 101" ] && break; sleep 0.05; done\nstty size; tty; exit 7\n"#;
    desk.ends_with(
        &format!(
            "printf '{TYPED}' | {client}script -qec 'stty rows 33 columns 101; kubectl exec -it echo -c main -- sh' /dev/null"
        ),
        7,
        &["33 101", "/dev/pts/"],
    )
}

fn ports(desk: &Desk, client: &str) -> Result<()> {
    for (target, port) in [("pod/echo", 8080), ("svc/echo", 80)] {
        let forward = Forward::begin(
            desk,
            &format!("{client}exec kubectl port-forward {target} :{port}"),
        )?;
        let local = forward.port;
        desk.prints(
            &format!("curl -sS --fail-with-body http://127.0.0.1:{local}/hello"),
            "GET /hello 0",
        )?;
        desk.prints(
            &format!("head -c 100M /dev/zero | curl -sS -T - http://127.0.0.1:{local}/large"),
            "PUT /large 104857600",
        )?;
        let many = format!(
            "seq 20 | xargs -P 20 -I N curl -sS http://127.0.0.1:{local}/N | sort -V | tail -n 1"
        );
        desk.prints(&many, "GET /20 0")?;
        forward.end()?;
    }
    let forward = Forward::begin(
        desk,
        &format!("{client}exec kubectl port-forward pod/echo :9"),
    )?;
    let local = forward.port;
    desk.refused(&format!("curl -sS http://127.0.0.1:{local}/"), &["curl:"])?;
    let said = forward.end()?;
    ensure!(
        said.contains("connection refused"),
        "kubectl was not told why:\n{said}"
    );
    Ok(())
}

fn copies(desk: &Desk) -> Result<()> {
    desk.says("head -c 5M /dev/urandom > $LAB_DIR/there", &[])?;
    desk.says("kubectl cp $LAB_DIR/there echo:/tmp/copy -c main", &[])?;
    desk.says("kubectl cp echo:/tmp/copy $LAB_DIR/back -c main", &[])?;
    desk.says("cmp $LAB_DIR/there $LAB_DIR/back", &[])?;
    desk.says("rm $LAB_DIR/there $LAB_DIR/back", &[])?;
    Ok(())
}

fn attach(desk: &Desk) -> Result<()> {
    for (client, word) in [("", "hello"), (SPDY, "again")] {
        let line =
            format!("(echo {word}; sleep 100) | {client}timeout 60 kubectl attach -i parrot");
        let mut child = desk.spawn(&line)?;
        let mut out = child.stdout.take().context("piped")?;
        let mut said = String::new();
        let mut piece = [0; 256];
        while !said.contains(&format!("I heard {word}")) {
            let count = out.read(&mut piece)?;
            ensure!(count > 0, "`{line}` ended with {said:?}");
            said.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
        child.kill()?;
        child.wait()?;
    }
    desk.says("kubectl logs parrot", &["I heard hello\nI heard again"])?;
    let image = "--image=plinth-node --image-pull-policy=Never --restart=Never";
    desk.ends_with(
        &format!("echo from here | kubectl run visitor {image} -i --rm -- sh -c 'cat; exit 5'"),
        5,
        &["from here", "pod \"visitor\" deleted"],
    )?;
    desk.ends_with(
        &format!(
            "printf 'sleep 0.2; echo $((40+2)) on $(tty)\\nexit 6\\n' | script -qec \"kubectl run visitor {image} -it --rm -- sh\" /dev/null"
        ),
        6,
        &["42 on /dev/", "pod \"visitor\" deleted"],
    )
}

fn proxies(desk: &Desk) -> Result<()> {
    const PODS: &str = "/api/v1/namespaces/default/pods";
    const SERVICES: &str = "/api/v1/namespaces/default/services";
    let raw = |path: &str| format!("kubectl get --raw '{path}'");
    desk.prints(
        &raw(&format!("{PODS}/echo/proxy/a/b?c=d%2Fe")),
        "GET /a/b?c=d%2Fe 0",
    )?;
    desk.prints(&raw(&format!("{PODS}/http:echo:8080/proxy/")), "GET / 0")?;
    desk.refused(
        &raw(&format!("{PODS}/echo:9/proxy/")),
        &[
            "error trying to reach service: dial tcp",
            "connect: connection refused",
        ],
    )?;
    for service in ["echo:http", "echo:80", "http:echo:http"] {
        desk.prints(&raw(&format!("{SERVICES}/{service}/proxy/s")), "GET /s 0")?;
    }
    desk.refused(
        &raw(&format!("{SERVICES}/echo:81/proxy/")),
        &["no service port 81 found for service \"echo\""],
    )?;
    desk.refused(
        &raw(&format!("{SERVICES}/none/proxy/")),
        &["endpoints \"none\" not found"],
    )?;
    desk.prints(&raw("/api/v1/nodes/lab/proxy/healthz"), "ok")?;
    desk.refused(
        &raw(&format!("{PODS}/echo/exec?command=true&container=main")),
        &["Upgrade request required"],
    )?;
    desk.refused(
        &raw(&format!("{PODS}/echo/exec?command=true")),
        &["a container name must be specified for pod echo, choose one of: [main side]"],
    )?;
    let proxy = Forward::begin(desk, "exec kubectl proxy --port=0")?;
    let base = format!("http://127.0.0.1:{}", proxy.port);
    desk.prints(
        &format!("curl -sS -X POST -d 12345 {base}{PODS}/echo:8080/proxy/post"),
        "POST /post 5",
    )?;
    desk.prints(
        &format!("head -c 20M /dev/zero | curl -sS -T - {base}{PODS}/echo:8080/proxy/put"),
        "PUT /put 20971520",
    )?;
    desk.prints(
        &format!("curl -sS -o /dev/null -w '%{{http_code}} %{{redirect_url}}' {base}{PODS}/echo:8080/proxy/redirect"),
        &format!("302 {base}{PODS}/echo:8080/proxy/there"),
    )?;
    desk.prints(
        &format!("curl -sS -o /dev/null -w '%{{http_code}} %{{redirect_url}}' {base}{PODS}/echo:8080/proxy"),
        &format!("301 {base}{PODS}/echo:8080/proxy/"),
    )?;
    proxy.end()?;
    Ok(())
}

/// A hundred at once.
fn crowds(desk: &Desk) -> Result<()> {
    let begun = Instant::now();
    desk.prints(
        "seq 100 | xargs -P 100 -I N kubectl exec echo -c main -- echo N | sort -n | tail -n 1",
        "100",
    )?;
    println!("| in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// A `kubectl` that listens on a port of its own choice.
struct Forward {
    child: Child,
    port: u16,
    errors: thread::JoinHandle<String>,
    /// What else it says is little, and not read.
    _out: ChildStdout,
}

impl Forward {
    fn begin(desk: &Desk, line: &str) -> Result<Self> {
        let mut child = desk.spawn(line)?;
        let mut errors = child.stderr.take().context("piped")?;
        let errors = thread::spawn(move || {
            let mut text = String::new();
            // Whatever could be read is what a failed test shows.
            let _ = errors.read_to_string(&mut text);
            text
        });
        let mut out = child.stdout.take().context("piped")?;
        let mut said = String::new();
        let mut piece = [0; 256];
        let port = loop {
            let count = out.read(&mut piece)?;
            ensure!(count > 0, "`{line}` ended with {said:?}");
            said.push_str(&String::from_utf8_lossy(&piece[..count]));
            let told = said.split("127.0.0.1:").nth(1);
            let digits = told.and_then(|rest| rest.split_once(|c: char| !c.is_ascii_digit()));
            if let Some((digits, _)) = digits {
                break digits.parse()?;
            }
        };
        Ok(Self {
            child,
            port,
            errors,
            _out: out,
        })
    }

    /// Ends it and answers what it complained of.
    fn end(mut self) -> Result<String> {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait()?;
        self.errors.join().map_err(|_| anyhow!("reading failed"))
    }
}

fn until(what: &str, mut is: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is()? {
        ensure!(Instant::now() < deadline, "not yet: {what}");
        thread::yield_now();
    }
    Ok(())
}
