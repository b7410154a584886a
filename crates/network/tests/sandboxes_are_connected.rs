//! Sandboxes get addresses, reach each other and the host, and leave nothing behind. Needs root and
//! `nft`; runs in a private network namespace.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use plinth_network::dns::{DnsServer, ServiceRecords};
use plinth_network::{Network, NetworkConfig};
use tokio_util::sync::CancellationToken;

/// A process that does nothing in a network namespace of its own: what a sandbox is to the network.
struct Sandbox(Child);

impl Sandbox {
    fn start() -> Self {
        let child = Command::new("unshare")
            .args(["--net", "sleep", "600"])
            .spawn()
            .expect("unshare");
        let sandbox = Self(child);
        let host = std::fs::read_link("/proc/thread-self/ns/net").expect("own namespace");
        while std::fs::read_link(sandbox.netns()).expect("namespace of sandbox") == host {
            thread::yield_now();
        }
        sandbox
    }

    fn netns(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.0.id()))
    }

    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let netns = std::fs::File::open(self.netns()).expect("namespace");
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(netns, CloneFlags::CLONE_NEWNET).expect("setns");
                work()
            });
            thread.join().expect("inside")
        })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.0.kill().expect("kill");
        self.0.wait().expect("wait");
    }
}

fn in_lab<F: Future<Output = ()>>(test: F) {
    plinth_lab::enter_private_network().expect("lab");
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime")
        .block_on(test);
}

fn config(state: &tempfile::TempDir) -> NetworkConfig {
    NetworkConfig {
        state_dir: state.path().join("network"),
        bridge: "plinth0".to_owned(),
        node_cidr: "10.244.0.0/24".parse().expect("range"),
        cluster_cidr: "10.244.0.0/16".parse().expect("range"),
        service_cidr: "10.96.0.0/16".parse().expect("range"),
        vips: vec![Ipv4Addr::new(10, 96, 0, 1), Ipv4Addr::new(10, 96, 0, 10)],
    }
}

/// Answers one connection with `text`.
fn serve_once(listener: TcpListener, text: &'static str) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("accept");
        peer.write_all(text.as_bytes()).expect("write");
    })
}

fn read_from(address: SocketAddr) -> String {
    let mut peer = TcpStream::connect_timeout(&address, Duration::from_secs(5)).expect("connect");
    let mut text = String::new();
    peer.read_to_string(&mut text).expect("read");
    text
}

#[test]
fn pods_and_host_reach_each_other_by_address() {
    in_lab(async {
        let state = tempfile::tempdir().expect("tempdir");
        let network = Network::start(config(&state)).await.expect("start");
        let (a, b) = (Sandbox::start(), Sandbox::start());
        let a_address = network.attach("a", &a.netns()).await.expect("attach a");
        let b_address = network.attach("b", &b.netns()).await.expect("attach b");
        assert_ne!(a_address, b_address);

        let pod = SocketAddr::from((a_address, 8080));
        let server = serve_once(
            a.inside(|| TcpListener::bind("0.0.0.0:8080").expect("bind")),
            "from a",
        );
        assert_eq!(b.inside(move || read_from(pod)), "from a");
        server.join().expect("server");

        let server = serve_once(
            a.inside(|| TcpListener::bind("0.0.0.0:8081").expect("bind")),
            "to the host",
        );
        assert_eq!(read_from((a_address, 8081).into()), "to the host");
        server.join().expect("server");

        // A virtual address of this host, as the API's is.
        let server = serve_once(TcpListener::bind("10.96.0.1:443").expect("bind"), "api");
        assert_eq!(
            a.inside(|| read_from("10.96.0.1:443".parse().expect("address"))),
            "api"
        );
        server.join().expect("server");
    });
}

#[test]
fn a_restarted_daemon_finds_every_sandbox_as_it_was() {
    in_lab(async {
        let state = tempfile::tempdir().expect("tempdir");
        let sandbox = Sandbox::start();
        let network = Network::start(config(&state)).await.expect("start");
        let address = network.attach("a", &sandbox.netns()).await.expect("attach");
        drop(network);
        let network = Network::start(config(&state)).await.expect("start again");
        assert_eq!(network.attachments(), [("a".to_owned(), address)]);
        assert_eq!(
            network
                .attach("a", &sandbox.netns())
                .await
                .expect("attach again"),
            address
        );
        let server = serve_once(
            sandbox.inside(|| TcpListener::bind("0.0.0.0:8080").expect("bind")),
            "still here",
        );
        assert_eq!(read_from((address, 8080).into()), "still here");
        server.join().expect("server");
    });
}

#[test]
fn cluster_addresses_without_a_holder_are_unreachable() {
    in_lab(async {
        let state = tempfile::tempdir().expect("tempdir");
        let _network = Network::start(config(&state)).await.expect("start");
        for nobody in ["10.244.7.9:80", "10.96.77.77:80"] {
            let address = nobody.parse().expect("address");
            let error =
                TcpStream::connect_timeout(&address, Duration::from_secs(5)).expect_err(nobody);
            assert_eq!(
                error.raw_os_error(),
                Some(nix::errno::Errno::EHOSTUNREACH as i32),
                "{nobody}: {error}"
            );
        }
    });
}

#[test]
fn removing_the_network_leaves_no_link_route_rule_or_lease() {
    in_lab(async {
        let state = tempfile::tempdir().expect("tempdir");
        let observe = || {
            let outputs = [
                &["ip", "-o", "link"][..],
                &["ip", "route", "show", "table", "all"],
                &["nft", "list", "ruleset"],
            ]
            .map(|command| {
                Command::new(command[0])
                    .args(&command[1..])
                    .output()
                    .expect("command")
                    .stdout
            });
            // IPv6 link-local routes come and go with the kernel's own pace.
            outputs.map(|text| {
                String::from_utf8(text)
                    .expect("text")
                    .lines()
                    .filter(|line| !line.contains("fe80") && !line.contains("ff00::"))
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
        };
        let before = observe();
        let sandbox = Sandbox::start();
        let network = Network::start(config(&state)).await.expect("start");
        network.attach("a", &sandbox.netns()).await.expect("attach");
        network
            .attach("b", &Sandbox::start().netns())
            .await
            .expect("attach");
        network.detach("b").await.expect("detach");
        network.detach("b").await.expect("detach twice");
        assert_eq!(network.address("b"), None);
        Network::remove(&config(&state)).await.expect("remove");
        Network::remove(&config(&state))
            .await
            .expect("remove twice");
        assert_eq!(observe(), before);
        assert!(!config(&state).state_dir.exists());
    });
}

#[test]
fn names_are_answered_over_udp_and_tcp_and_other_zones_fail_without_upstream() {
    in_lab(async {
        let state = tempfile::tempdir().expect("tempdir");
        let _network = Network::start(config(&state)).await.expect("start");
        let stop = CancellationToken::new();
        let listen = ["10.96.0.10:53".parse().expect("address")];
        let dns = DnsServer::start(&listen, "cluster.local", Vec::new(), stop.clone())
            .await
            .expect("dns");
        dns.set_namespaces(["default".to_owned()].into());
        dns.set_service(ServiceRecords {
            namespace: "default".to_owned(),
            name: "kubernetes".to_owned(),
            cluster_ip: Some(Ipv4Addr::new(10, 96, 0, 1)),
            ..ServiceRecords::default()
        });
        let dig = |args: &'static str| async move {
            let output = tokio::process::Command::new("dig")
                .args([
                    "@10.96.0.10",
                    "+tries=1",
                    "+time=5",
                    "+noall",
                    "+answer",
                    "+comments",
                ])
                .args(args.split(' '))
                .output()
                .await
                .expect("dig (package dnsutils)");
            String::from_utf8(output.stdout).expect("text")
        };
        let api = "kubernetes.default.svc.cluster.local";
        for transport in ["+notcp", "+tcp"] {
            let args: &'static str = format!("{transport} {api}").leak();
            assert!(dig(args).await.contains("10.96.0.1"), "{transport}");
        }
        let missing = dig("nobody.default.svc.cluster.local").await;
        assert!(
            missing.contains("NXDOMAIN") && missing.contains("aa"),
            "{missing}"
        );
        assert!(dig("example.org").await.contains("SERVFAIL"));
        stop.cancel();
    });
}
