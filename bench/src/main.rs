//! Measures a cluster from outside: how fast it starts, how fast a StatefulSet lives, what it weighs. Speaks
//! only the public API and reads /proc; knows nothing of how Plinth works.
//!
//! Usage: `plinth-bench [RUNS]` for the life of a StatefulSet, `plinth-bench load [KUBECONFIG]` for what the API
//! carries, Plinth's or that of the cluster in the kubeconfig. The `plinth` binary is the one beside this program.
//! Needs root, and `scripts/setup.sh` to have run.

mod api;
mod cluster;
mod figures;
mod load;
mod story;
mod weight;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use plinth_lab::Lab;

fn main() -> ExitCode {
    let measured = match env::var_os("LAB_DIR") {
        None => in_a_lab(),
        Some(directory) => measure(Path::new(&directory)).map(|()| 0),
    };
    match measured {
        Ok(0) => ExitCode::SUCCESS,
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn in_a_lab() -> Result<i32> {
    let lab = Lab::new()?;
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let code = lab.run(&env::current_exe()?, &arguments)?;
    lab.close()?;
    Ok(code)
}

fn measure(directory: &Path) -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok()
        .context("installing the TLS provider")?;
    let project = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let place = cluster::Place {
        plinth: env::current_exe()?.with_file_name("plinth"),
        base_image: project.join("target/tools/plinth-node.tar"),
        example: project.join("examples/kubia"),
        directory: directory.to_owned(),
        cgroup_root: env::var("LAB_CGROUP").context("LAB_CGROUP is not set: this is not a lab")?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match arguments.as_slice() {
        ["load"] => runtime.block_on(load_on(&place)),
        ["load", kubeconfig] => {
            let api = api::Api::from_kubeconfig(Path::new(kubeconfig))?;
            runtime.block_on(load::measure(&api, || Ok(None)))
        }
        _ => {
            let runs = arguments
                .first()
                .map_or(Ok(5), |runs| runs.parse())
                .context("RUNS is not a number")?;
            runtime.block_on(story::measure(&place, runs))
        }
    }
}

/// The load on a server of our own.
async fn load_on(place: &cluster::Place) -> Result<()> {
    let (server, _) = place.start("load", None).await?;
    let pid = server.pid();
    let outcome = load::measure(&server.api, || weight::resident(pid).map(Some)).await;
    server.stop_and_reset(&place.plinth)?;
    outcome
}
