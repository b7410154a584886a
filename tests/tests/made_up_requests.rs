//! Requests that schemathesis makes up from our own OpenAPI documents are answered as those documents say.

use std::path::Path;
use std::process::Command;

#[test]
fn no_made_up_request_breaks_the_server_or_its_documents() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let binaries = Path::new(env!("CARGO_BIN_EXE_story"))
        .parent()
        .expect("binaries are in a directory");
    // Always the same requests: what fails here fails again. `make schemathesis` looks for new ones.
    let output = Command::new(project.join("scripts/schemathesis.sh"))
        .args(["50", "1"])
        .env("PLINTH_BIN_DIR", binaries)
        .output()
        .expect("the script starts");
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
