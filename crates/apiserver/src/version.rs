//! The version this server says it is, as clients compare it.

use serde_json::{Value, json};

/// The Kubernetes version whose behaviour this server has, marked as ours.
pub const GIT_VERSION: &str = "v1.36.2+plinth";

/// The body of `GET /version`.
pub(crate) fn version() -> Value {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("linux/{architecture}"),
    })
}
