//! The story of `make demo`, as a test: with kubectl 1.37, and with the machine's own kubectl if it has one.

use std::path::{Path, PathBuf};
use std::process::Command;

fn play_with(kubectl: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_story")).arg(kubectl).output().expect("story starts");
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the story failed with {}:\n{told}\n{errors}", output.status);
}

#[test]
fn the_story_runs_with_kubectl_1_37() {
    play_with(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/kubectl"));
}

#[test]
fn the_story_runs_with_the_machines_own_kubectl() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path).map(|directory| directory.join("kubectl")).find(|candidate| candidate.exists()) {
        Some(kubectl) => play_with(&PathBuf::from(kubectl)),
        None => println!("SKIPPED: this machine has no kubectl of its own"),
    }
}
