//! Clients other than kubectl, each against one server with a node: what people install with helm, and what programs
//! do through the client libraries of their language.

mod helm;
mod kube_rs;
mod libraries;

use anyhow::{Context, Result};

use crate::desk::Desk;
use crate::story::{Cast, Stage};

/// A client that a cluster is used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// helm 4.
    Helm,
    /// The official Python client.
    Python,
    /// The official JavaScript client.
    JavaScript,
    /// kube-rs, the client for Rust.
    KubeRs,
}

impl Client {
    /// The client of this name, as the command line gives it.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "helm" => Self::Helm,
            "python" => Self::Python,
            "javascript" => Self::JavaScript,
            "kube-rs" => Self::KubeRs,
            _ => return None,
        })
    }
}

/// Does with `client` what is done with it every day, from an empty cluster to an empty directory.
pub fn used(cast: Cast, client: Client) -> Result<()> {
    let project = cast.project.clone();
    let mut stage = Stage::prepare(cast)?;
    let result = (|| {
        stage.start_server()?;
        stage.import_base()?;
        let desk = Desk {
            shell: stage.shell.clone(),
        };
        desk.says(
            "kubectl wait --for=condition=Ready node/lab --timeout=60s",
            &["node/lab condition met"],
        )?;
        let tools = project.join("target/tools");
        let tools = tools.to_str().context("the project's path is not UTF-8")?;
        match client {
            Client::Helm => helm::life_of_a_release(&desk, tools),
            Client::Python => libraries::python(&desk, tools),
            Client::JavaScript => libraries::javascript(&desk),
            Client::KubeRs => kube_rs::everything(&desk),
        }
    })();
    if result.is_err() {
        stage.print_log();
    }
    let reset = stage.reset();
    result?;
    reset
}
