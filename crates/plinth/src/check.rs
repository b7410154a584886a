//! Finds out whether this host can run pods by trying, in namespaces of its own, what running them takes.

use std::fmt::Display;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;
use plinth_network::{Network, NetworkConfig};

/// Prints a line for each thing that running pods takes; fails if one is missing.
pub(crate) fn run(data_dir: &Path) -> ExitCode {
    let mut report = Report { missing: 0 };
    report.line(
        "root",
        root(),
        "run plinth as root: it makes namespaces, mounts and links",
    );
    report.line(
        "namespaces",
        namespaces(),
        "use a kernel with CONFIG_NAMESPACES and all of its kinds",
    );
    report.line(
        "cgroups",
        cgroups(),
        "mount cgroup2 at /sys/fs/cgroup, or boot with memory, cpu and pids controllers",
    );
    report.line(
        "overlayfs",
        apart(CloneFlags::CLONE_NEWNS, || overlay(data_dir)),
        "modprobe overlay; put --data-dir on a local file system such as ext4 or xfs",
    );
    report.line(
        "network",
        apart(CloneFlags::CLONE_NEWNET, network),
        "needs bridge, veth and nftables in the kernel (modprobe bridge veth nf_tables) and nft: apt-get install nftables",
    );
    report.line(
        "inotify",
        inotify(),
        "raise it: sysctl fs.inotify.max_user_instances=512",
    );
    match report.missing {
        0 => {
            println!("this host can run pods");
            ExitCode::SUCCESS
        }
        n => {
            println!("{n} missing");
            ExitCode::FAILURE
        }
    }
}

struct Report {
    missing: usize,
}

impl Report {
    fn line<T: Display>(&mut self, what: &str, found: Result<T>, remedy: &str) {
        match found {
            Ok(found) => println!("ok       {what:<11} {found}"),
            Err(error) => {
                self.missing += 1;
                println!(
                    "MISSING  {what:<11} {error:#}\n         {:<11} -> {remedy}",
                    ""
                );
            }
        }
    }
}

fn root() -> Result<&'static str> {
    ensure!(
        Uid::effective().is_root(),
        "running as user {}",
        Uid::effective()
    );
    Ok("yes")
}

fn namespaces() -> Result<&'static str> {
    for kind in ["mnt", "pid", "net", "uts", "ipc"] {
        fs::symlink_metadata(format!("/proc/self/ns/{kind}"))
            .with_context(|| format!("no {kind} namespaces"))?;
    }
    Ok("mnt, pid, net, uts, ipc")
}

fn cgroups() -> Result<String> {
    let unified = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    let (version, controllers) = if let Ok(text) = unified {
        let names: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        ("v2", names)
    } else {
        let text = fs::read_to_string("/proc/cgroups").context("no cgroups in this kernel")?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let enabled = lines.filter_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            (fields.get(3) == Some(&"1")).then(|| fields[0].to_owned())
        });
        ("v1", enabled.collect())
    };
    for wanted in ["memory", "cpu", "pids"] {
        if !controllers.iter().any(|controller| controller == wanted) {
            bail!("{version} without the {wanted} controller");
        }
    }
    Ok(format!("{version}: {}", controllers.join(", ")))
}

/// Runs `work` on a thread that has left the host's namespaces named by `flags`.
fn apart<T: Send>(flags: CloneFlags, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            unshare(flags).context("making a namespace")?;
            work()
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn overlay(data_dir: &Path) -> Result<String> {
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )?;
    let existing = data_dir
        .ancestors()
        .find(|path| path.is_dir())
        .unwrap_or(Path::new("/"));
    let place = existing.join(format!(".plinth-check-{}", std::process::id()));
    let result = overlay_in(&place);
    fs::remove_dir_all(&place).with_context(|| format!("removing {}", place.display()))?;
    result.map(|()| format!("works below {}", existing.display()))
}

fn overlay_in(place: &Path) -> Result<()> {
    let directory = |name: &str| -> Result<String> {
        let path = place.join(name);
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(path.display().to_string())
    };
    let (lower, upper, work, merged) = (
        directory("lower")?,
        directory("upper")?,
        directory("work")?,
        directory("merged")?,
    );
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    mount(
        Some("overlay"),
        merged.as_str(),
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .context("mounting an overlay")?;
    let written = fs::write(place.join("merged/file"), "x").context("writing to an overlay");
    umount2(merged.as_str(), MntFlags::MNT_DETACH).context("unmounting an overlay")?;
    written
}

/// Builds a whole pod network with one attachment, in a network namespace that nothing else sees.
fn network() -> Result<&'static str> {
    let state_dir = std::env::temp_dir().join(format!("plinth-check-{}", std::process::id()));
    let config = NetworkConfig {
        state_dir,
        bridge: "plinth0".to_owned(),
        node_cidr: "10.244.0.0/24".parse()?,
        cluster_cidr: "10.244.0.0/16".parse()?,
        service_cidr: "10.96.0.0/16".parse()?,
        vips: vec![Ipv4Addr::new(10, 96, 0, 1)],
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let started = Network::start(config.clone()).await;
        let attached = match &started {
            Ok(network) => network
                .attach("check", Path::new("/proc/thread-self/ns/net"))
                .await
                .map(|_| ()),
            Err(_) => Ok(()),
        };
        let removed = Network::remove(&config).await;
        started?;
        attached?;
        removed?;
        Ok("bridge, veth, routes and nft work")
    })
}

fn inotify() -> Result<String> {
    let path = "/proc/sys/fs/inotify/max_user_instances";
    let limit: u32 = fs::read_to_string(path)?
        .trim()
        .parse()
        .with_context(|| format!("reading {path}"))?;
    ensure!(limit >= 64, "{limit} instances are too few to follow logs");
    Ok(format!("{limit} instances"))
}
