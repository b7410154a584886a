//! What an ended container left as its termination message (L-16).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use k8s_openapi::api::core::v1::Container;
use plinth_runtime::ContainerStatus;

use crate::plan::exit_code;
use crate::serve::log_line_text;

const MOST_BYTES: u64 = 4096;
const MOST_LOG_BYTES: usize = 2048;
const MOST_LOG_LINES: usize = 80;

/// The content of the message file, or the end of the log where the container asks for that and failed silently.
pub(super) fn last_words(asked: &Container, ended: &ContainerStatus, path: &Path) -> String {
    let own = read_start(path);
    let fallback = asked.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
    if own.is_empty() && fallback && exit_code(ended) != 0 {
        log_end(&ended.log_path)
    } else {
        own
    }
}

fn read_start(path: &Path) -> String {
    let mut bytes = Vec::new();
    match File::open(path) {
        // An unreadable message is no message; the container has ended all the same.
        Ok(file) => drop(file.take(MOST_BYTES).read_to_end(&mut bytes)),
        Err(_) => return String::new(),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn log_end(path: &Path) -> String {
    let Ok(mut file) = File::open(path) else {
        return String::new();
    };
    // Each line carries its time and stream; twice the bytes hold enough of them.
    let size = file.metadata().map_or(0, |m| m.len());
    let start = size.saturating_sub(4 * MOST_LOG_BYTES as u64 + 8192);
    let mut bytes = Vec::new();
    if file.seek(SeekFrom::Start(start)).is_err() || file.read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter_map(log_line_text).collect();
    let mut kept = String::new();
    for line in lines.iter().rev().take(MOST_LOG_LINES) {
        if kept.len() + line.len() + 1 > MOST_LOG_BYTES {
            break;
        }
        kept = format!("{line}\n{kept}");
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(exit_code: i32, log: &Path) -> ContainerStatus {
        ContainerStatus {
            id: plinth_runtime::ContainerId("c".into()),
            sandbox: plinth_runtime::SandboxId("s".into()),
            name: "c".into(),
            attempt: 0,
            image: String::new(),
            image_id: String::new(),
            state: plinth_runtime::ContainerState::Exited,
            pid: None,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            started_at: None,
            finished_at: None,
            exit_code: Some(exit_code),
            signal: None,
            reason: String::new(),
            message: String::new(),
            log_path: log.to_owned(),
            annotations: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn l16_the_file_counts_cut_to_4096_bytes_and_logs_only_on_error_when_asked() {
        let dir = tempfile::tempdir().expect("directory");
        let (file, log) = (dir.path().join("message"), dir.path().join("0.log"));
        std::fs::write(
            &log,
            "2026-01-01T00:00:00Z stdout F first\n2026-01-01T00:00:01Z stderr F last\n",
        )
        .expect("log");
        let plain = Container::default();
        let fallback = Container {
            termination_message_policy: Some("FallbackToLogsOnError".into()),
            ..Container::default()
        };
        assert_eq!(last_words(&plain, &ended(1, &log), &file), "");
        assert_eq!(last_words(&fallback, &ended(0, &log), &file), "");
        assert_eq!(
            last_words(&fallback, &ended(1, &log), &file),
            "first\nlast\n"
        );
        std::fs::write(&file, "x".repeat(5000)).expect("message");
        assert_eq!(last_words(&fallback, &ended(1, &log), &file).len(), 4096);
    }
}
