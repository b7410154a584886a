//! Numbers with their spread.

use std::time::Duration;

/// Prints `name` with the median of `samples` and their range.
pub(crate) fn print_times(name: &str, samples: &mut [Duration]) {
    samples.sort_unstable();
    let ms = |time: &Duration| time.as_secs_f64() * 1e3;
    if let (Some(first), Some(last)) = (samples.first(), samples.last()) {
        let median = &samples[samples.len() / 2];
        println!(
            "{name:<44} {:>9.1} ms   ({:.1} – {:.1}, n={})",
            ms(median),
            ms(first),
            ms(last),
            samples.len()
        );
    }
}

/// Prints `name` with a size in MiB.
pub(crate) fn print_size(name: &str, bytes: u64) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a display of sizes far below 2^52"
    )]
    let mib = bytes as f64 / f64::from(1 << 20);
    println!("{name:<44} {mib:>9.1} MiB");
}

/// Prints `name` with how often something happened a second.
pub(crate) fn print_rate(name: &str, count: usize, took: Duration) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a display of counts far below 2^52"
    )]
    let rate = count as f64 / took.as_secs_f64();
    println!(
        "{name:<44} {rate:>9.0} /s   ({count} in {:.2} s)",
        took.as_secs_f64()
    );
}
