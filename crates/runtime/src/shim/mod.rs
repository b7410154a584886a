//! The process that holds a pod.

/// Runs a shim; never returns to the caller's program. Call before anything else in `main` when the first argument
/// is `shim`: no threads, no open files.
pub fn shim_main() -> ! {
    std::process::exit(125)
}
