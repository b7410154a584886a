//! Doing one thing inside another network namespace. Leaves no thread behind that is still inside it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;

use nix::sched::{CloneFlags, setns};

/// Runs `work` on a thread of its own that has entered the network namespace at `path`, and waits for it.
///
/// The namespace of a thread cannot be shared with a pool, so the thread ends with the work.
pub(crate) fn enter<T: Send>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let namespace = File::open(path)?;
    thread::scope(|scope| {
        scope
            .spawn(move || {
                setns(&namespace, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
                work()
            })
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
