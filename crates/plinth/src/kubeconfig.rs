//! The file with which clients find and may enter the cluster.

use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::pki::{Pki, write_private};

/// Writes the administrator's kubeconfig for the API at `server`, readable by its owner only.
pub(crate) fn write(path: &Path, server: &str, pki: &Pki) -> Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("making {}", directory.display()))?;
    }
    write_private(path, text(server, pki).as_bytes())
}

fn text(server: &str, pki: &Pki) -> String {
    let (ca, certificate, key) = (
        STANDARD.encode(&pki.ca),
        STANDARD.encode(&pki.admin.certificate),
        STANDARD.encode(&pki.admin.key),
    );
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         current-context: plinth\n\
         contexts:\n\
         - name: plinth\n\
         \x20 context:\n\
         \x20   cluster: plinth\n\
         \x20   user: plinth-admin\n\
         clusters:\n\
         - name: plinth\n\
         \x20 cluster:\n\
         \x20   server: {server}\n\
         \x20   certificate-authority-data: {ca}\n\
         users:\n\
         - name: plinth-admin\n\
         \x20 user:\n\
         \x20   client-certificate-data: {certificate}\n\
         \x20   client-key-data: {key}\n"
    )
}
