//! Takes everything away again that a server has left on this host, after saying what that is.

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use plinth_network::Network;
use plinth_runtime::Runtime;

use crate::config::Config;
use crate::server;

/// Stops all pods, takes the network down and deletes the directories; volumes only with `volumes`.
pub(crate) fn run(config: &Config, yes: bool, volumes: bool) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Held until the end: no server may start meanwhile, and a running one is told of here.
    let store = server::open_store(&config.data_dir)
        .context("the server must be stopped first (SIGTERM to its process)")?;
    let pods = runtime.block_on(Runtime::open(server::runtime_config(config)?))?;
    let sandboxes = runtime.block_on(pods.pod_sandboxes());
    println!("This will");
    for sandbox in &sandboxes {
        println!(
            "  stop and remove pod {}/{}",
            sandbox.config.namespace, sandbox.config.name
        );
    }
    println!(
        "  remove the bridge, its links, and the routes of {} and {}",
        config.cluster_cidr, config.service_cidr
    );
    let (doomed, kept) = plan(config, volumes);
    for path in &doomed {
        println!("  delete {}", path.display());
    }
    for path in &kept {
        println!(
            "  keep   {} (volumes; --volumes deletes them)",
            path.display()
        );
    }
    if !yes && !confirmed()? {
        println!("nothing was changed");
        return Ok(ExitCode::FAILURE);
    }
    runtime.block_on(async {
        for sandbox in &sandboxes {
            let name = format!("{}/{}", sandbox.config.namespace, sandbox.config.name);
            pods.stop_pod_sandbox(&sandbox.id)
                .await
                .with_context(|| format!("stopping pod {name}"))?;
            pods.remove_pod_sandbox(&sandbox.id)
                .await
                .with_context(|| format!("removing pod {name}"))?;
        }
        Network::remove(&server::network_config(config))
            .await
            .context("removing the network")
    })?;
    runtime.block_on(store.close());
    // Tokens and Secrets of pods are in memory, mounted below their directories.
    plinth_kubelet::unmount_below(&server::kubelet_root(config))
        .context("unmounting the pods' volumes")?;
    for path in &doomed {
        delete(path)?;
    }
    println!("done");
    Ok(ExitCode::SUCCESS)
}

/// What to delete and what to keep. A volume directory inside the data directory is kept by deleting what
/// lies beside it.
fn plan(config: &Config, volumes: bool) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let storage = &config.local_path;
    let keep = !volumes && storage.exists();
    let mut doomed = Vec::new();
    if keep && storage.parent() == Some(&config.data_dir) {
        let entries = fs::read_dir(&config.data_dir)
            .into_iter()
            .flatten()
            .flatten();
        doomed.extend(
            entries
                .map(|entry| entry.path())
                .filter(|path| path != storage),
        );
        doomed.sort();
    } else {
        doomed.push(config.data_dir.clone());
        if !keep && !storage.starts_with(&config.data_dir) {
            doomed.push(storage.clone());
        }
    }
    doomed.extend([
        config.run_dir.clone(),
        config.log_dir.clone(),
        config.write_kubeconfig.clone(),
    ]);
    doomed.retain(|path| path.exists());
    (
        doomed,
        if keep {
            vec![storage.clone()]
        } else {
            Vec::new()
        },
    )
}

fn confirmed() -> Result<bool> {
    print!("Go on? [y/N] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn delete(path: &Path) -> Result<()> {
    let deleted = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match deleted {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("deleting {}", path.display()))
        }
        _ => Ok(()),
    }
}
