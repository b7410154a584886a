//! Writes `crates/apiserver/src/http/protobuf/tags.txt`: the numbers that fields of the Kubernetes API have in its
//! protobuf form, one type a line. Names are lower-case without separators, which is how they are looked up.
//!
//! The source is the crate `k8s-pb`; only numbers, names and the types of embedded messages are taken from it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

const MANIFEST: &str = "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\nk8s-pb = \"=0.9.0\"\n";
const OUTPUT: &str = "crates/apiserver/src/http/protobuf/tags.txt";
/// Folders of the crate and the definition names they stand for. Only stable versions are read.
const ROOTS: &[(&str, &str)] = &[
    ("src/api", "io.k8s.api"),
    ("src/apimachinery/pkg/apis", "io.k8s.apimachinery.pkg.apis"),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
}

/// Fetches the source and writes the table.
pub(crate) fn run() -> Result<()> {
    let source = fetch()?;
    let mut lines = Vec::new();
    for (folder, prefix) in ROOTS {
        walk(&source.join(folder), prefix, &mut lines)?;
    }
    lines.sort();
    let count = lines.len();
    let mut text = String::from(
        "# Field numbers. Written by `cargo run -p xtask -- gen-protobuf`; not edited by hand.\n",
    );
    for line in lines {
        writeln!(text, "{line}")?;
    }
    std::fs::write(OUTPUT, text).with_context(|| format!("cannot write {OUTPUT}"))?;
    println!("{OUTPUT}: {count} types");
    Ok(())
}

fn fetch() -> Result<PathBuf> {
    let dir = std::env::temp_dir().join(format!("plinth-gen-protobuf-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("src"))?;
    std::fs::write(dir.join("Cargo.toml"), MANIFEST)?;
    std::fs::write(dir.join("src/lib.rs"), "")?;
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1"])
        .current_dir(&dir)
        .output()?;
    std::fs::remove_dir_all(&dir)?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let package = metadata
        .packages
        .into_iter()
        .find(|package| package.name == "k8s-pb");
    let manifest = package.context("cargo knows no k8s-pb")?.manifest_path;
    Ok(manifest
        .parent()
        .context("a manifest is in a folder")?
        .to_owned())
}

fn walk(folder: &Path, prefix: &str, lines: &mut Vec<String>) -> Result<()> {
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if path.is_dir() && !name.contains("alpha") && !name.contains("beta") {
            walk(&path, &format!("{prefix}.{name}"), lines)?;
        } else if name == "mod.rs" {
            let text = std::fs::read_to_string(&path)?;
            lines.extend(types(&text, prefix));
        }
    }
    Ok(())
}

/// `type field=number field=number:embedded.type` for every message of a module.
fn types(text: &str, prefix: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut current: Option<String> = None;
    let mut tag: Option<String> = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("pub struct ") {
            let name = name.split_whitespace().next().unwrap_or_default();
            current = Some(format!("{prefix}.{name}").to_lowercase());
        } else if line.starts_with("#[prost(") {
            tag = line
                .split("tag = \"")
                .nth(1)
                .and_then(|rest| rest.split('"').next())
                .map(ToOwned::to_owned);
        } else if line == "}" {
            lines.extend(current.take());
        } else if let (Some(field), Some(number), Some(fields)) =
            (line.strip_prefix("pub "), tag.take(), current.as_mut())
        {
            let (name, ty) = field.split_once(": ").unwrap_or((field, ""));
            let name = name
                .trim_start_matches("r#")
                .trim_end_matches(':')
                .replace('_', "")
                .to_lowercase();
            fields.extend([" ", &name, "=", &number]);
            // A message of the same module may stand for fields that JSON has inline.
            let embedded = ty
                .strip_prefix("::core::option::Option<")
                .and_then(|ty| ty.strip_suffix(">,"));
            if let Some(embedded) = embedded.filter(|embedded| {
                !embedded.contains(':') && embedded.starts_with(char::is_uppercase)
            }) {
                let embedded = format!("{prefix}.{embedded}").to_lowercase();
                fields.extend([":", &embedded]);
            }
        }
    }
    lines
}
