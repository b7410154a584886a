//! The arrows of ARCHITECTURE.md: which of our crates may depend on which. Read from the manifests, so a
//! new arrow shows up the moment it is drawn.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The crate and what it may import, of ours, outside tests.
const RULE: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("store", &[]),
    ("apiserver", &["api", "store"]),
    ("client", &["api"]),
    ("controllers", &["api", "client"]),
    ("scheduler", &["api", "client"]),
    ("kubelet", &["api", "client", "network", "runtime"]),
    ("runtime", &[]),
    ("network", &[]),
    ("lab", &[]),
];

/// Our crates that the manifest's section `[dependencies]` names.
fn imports(manifest: &str) -> BTreeSet<String> {
    let section = manifest
        .split("\n[")
        .find(|part| part.starts_with("dependencies]"))
        .unwrap_or_default();
    section
        .lines()
        .filter_map(|line| line.trim().strip_prefix("plinth-"))
        .map(|rest| {
            rest.chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect()
        })
        .collect()
}

#[test]
fn crates_import_only_what_the_map_allows() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    for (name, allowed) in RULE {
        let path = crates.join(name).join("Cargo.toml");
        let manifest =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for import in imports(&manifest) {
            assert!(
                allowed.contains(&import.as_str()),
                "crates/{name} must not import crates/{import}: see ARCHITECTURE.md"
            );
        }
    }
}

#[test]
fn every_crate_has_its_rule() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let known: BTreeSet<_> = RULE
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .chain(["plinth".to_owned()])
        .collect();
    let found: BTreeSet<_> = fs::read_dir(crates)
        .expect("crates/")
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(found, known);
}
