//! Lets pods reach the world outside the cluster by the node's own address. Knows one `nft` table and
//! nothing of services.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use crate::Ipv4Cidr;

/// Our own table: everything in it is ours to replace and to remove.
const TABLE: &str = "plinth";

/// Why the packet filter could not be programmed.
#[derive(Debug, thiserror::Error)]
pub enum MasqueradeError {
    /// `nft` could not be run.
    #[error("running nft (package nftables): {0}")]
    Run(#[source] io::Error),
    /// `nft` refused the rules.
    #[error("nft refused the rules: {0}")]
    Refused(String),
}

/// Replaces our table: packets from `pods` that leave the cluster get the node's address.
pub(crate) fn install(pods: Ipv4Cidr, services: Ipv4Cidr) -> Result<(), MasqueradeError> {
    nft(&rules(pods, services))
}

/// Removes our table; nothing happens if there is none.
pub(crate) fn remove() -> Result<(), MasqueradeError> {
    nft(&format!("table ip {TABLE}\ndelete table ip {TABLE}\n"))
}

/// The script for `nft -f -`. Naming the table first makes the deletion valid on a clean host too.
fn rules(pods: Ipv4Cidr, services: Ipv4Cidr) -> String {
    format!(
        "table ip {TABLE}\n\
         delete table ip {TABLE}\n\
         table ip {TABLE} {{\n\
         \x20 chain postrouting {{\n\
         \x20   type nat hook postrouting priority srcnat; policy accept;\n\
         \x20   ip saddr {pods} ip daddr != {{ {pods}, {services} }} oifname != \"lo\" masquerade\n\
         \x20 }}\n\
         }}\n"
    )
}

fn nft(script: &str) -> Result<(), MasqueradeError> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(MasqueradeError::Run)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(script.as_bytes())
            .map_err(MasqueradeError::Run)?;
    }
    let output = child.wait_with_output().map_err(MasqueradeError::Run)?;
    if output.status.success() {
        Ok(())
    } else {
        Err(MasqueradeError::Refused(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }
}
