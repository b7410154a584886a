//! What the operating system says of this process, read when it is asked for.

use super::series::Page;

/// Ticks of processor time in a second: fixed by the kernel's interface.
const TICKS: f64 = 100.0;
const PAGE_BYTES: f64 = 4096.0;

/// Writes what is known; on systems without `/proc` that is nothing.
pub(super) fn on(page: &mut Page) {
    let Some(stat) = read("/proc/self/stat") else {
        return;
    };
    // Fields are counted from behind the name, which may have anything in it.
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0.0);
    let mut gauge = |name: &str, kind: &str, help: &str, value: f64| {
        page.head(name, kind, help);
        page.line(name, "", &value);
    };
    gauge(
        "process_cpu_seconds_total",
        "counter",
        "Processor time used, in seconds.",
        (field(14) + field(15)) / TICKS,
    );
    gauge(
        "process_virtual_memory_bytes",
        "gauge",
        "Virtual memory, in bytes.",
        field(23),
    );
    gauge(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory, in bytes.",
        field(24) * PAGE_BYTES,
    );
    if let Some(open) = std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count) {
        page.head("process_open_fds", "gauge", "Open file descriptors.");
        page.line("process_open_fds", "", &open);
    }
    if let Some(most) = most_descriptors() {
        page.head(
            "process_max_fds",
            "gauge",
            "File descriptors that may be open.",
        );
        page.line("process_max_fds", "", &most);
    }
    if let Some(boot) = boot_time() {
        let name = "process_start_time_seconds";
        page.head(
            name,
            "gauge",
            "When the process began, in seconds since 1970.",
        );
        page.line(name, "", &(boot + field(22) / TICKS));
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn most_descriptors() -> Option<u64> {
    let limits = read("/proc/self/limits")?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

fn boot_time() -> Option<f64> {
    let stat = read("/proc/stat")?;
    let line = stat.lines().find(|line| line.starts_with("btime "))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_descriptors() {
        let mut page = Page::default();
        on(&mut page);
        let text = page.text();
        let value = |name: &str| -> f64 {
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("{name} ")))
                .unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_start_time_seconds") > 1.6e9);
    }
}
