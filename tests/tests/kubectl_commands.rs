//! What people type at kubectl every day: with kubectl 1.37, and with the machine's own kubectl if it has one.

use std::path::{Path, PathBuf};
use std::process::Command;

fn commands(kubectl: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_story"))
        .arg("--commands")
        .arg(kubectl)
        .output()
        .expect("story starts");
    let (told, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "a command failed with {}:\n{told}\n{errors}",
        output.status
    );
}

#[test]
fn everyday_commands_work_with_kubectl_1_37() {
    commands(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/kubectl"));
}

#[test]
fn everyday_commands_work_with_the_machines_own_kubectl() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own: Option<PathBuf> = std::env::split_paths(&path)
        .map(|directory| directory.join("kubectl"))
        .find(|candidate| candidate.exists());
    match own {
        Some(kubectl) => commands(&kubectl),
        None => println!("SKIPPED: this machine has no kubectl of its own"),
    }
}
