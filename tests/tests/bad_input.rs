//! Whatever is sent to the server, it answers as upstream does or hangs up; nothing comes of it, and it goes on.

use std::path::Path;
use std::process::Command;

#[test]
fn bad_input_is_refused_and_harms_nothing() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let binaries = Path::new(env!("CARGO_BIN_EXE_story"))
        .parent()
        .expect("binaries are in a directory");
    let output = Command::new(project.join("scripts/without-node.sh"))
        .args(["python3", "-m", "unittest", "discover", "--verbose"])
        .args([
            "--start-directory",
            "tests/clients/hostile",
            "--pattern",
            "*.py",
        ])
        .current_dir(&project)
        .env("PLINTH_BIN_DIR", binaries)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("the script starts");
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
