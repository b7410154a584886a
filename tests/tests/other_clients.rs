//! Clients other than kubectl work against a cluster with a node.

use std::process::Command;

fn works_with(client: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_story"))
        .args(["--client", client])
        .output()
        .expect("story starts");
    assert!(
        output.status.success(),
        "{client} failed with {}:\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn helm_installs_upgrades_rolls_back_tests_and_uninstalls() {
    works_with("helm");
}

#[test]
fn the_python_client_lists_watches_changes_leads_and_reaches_into_pods() {
    works_with("python");
}

#[test]
fn the_javascript_client_informs_changes_and_reaches_into_pods() {
    works_with("javascript");
}

#[test]
fn kube_rs_watches_controls_locks_and_reaches_into_pods() {
    works_with("kube-rs");
}
