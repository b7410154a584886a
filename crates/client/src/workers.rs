//! Workers that serve a queue. Knows nothing of what the work is.

use std::{fmt::Debug, fmt::Display, future::Future, hash::Hash, sync::Arc};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::queue::WorkQueue;

/// Serves `queue` with that many workers until `shutdown`, then returns.
///
/// A failure is told in the log and the key comes again with back-off; a panic is told, costs only its
/// own key's attempt, and the worker is replaced. At shutdown, work in progress is dropped at its next
/// await: reconciliations must be safe to break off anywhere, as a crash would.
pub async fn run_workers<Q, E, F, W>(
    queue: WorkQueue<Q>,
    workers: usize,
    shutdown: CancellationToken,
    work: W,
) where
    Q: Clone + Eq + Hash + Debug + Send + Sync + 'static,
    E: Display + Send + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    W: Fn(Q) -> F + Send + Sync + 'static,
{
    let work = Arc::new(work);
    let mut tasks = JoinSet::new();
    let spawn = |tasks: &mut JoinSet<()>| {
        tasks.spawn(serve(queue.clone(), shutdown.clone(), Arc::clone(&work)));
    };
    for _ in 0..workers {
        spawn(&mut tasks);
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            error!(%error, "a worker panicked and is replaced");
            spawn(&mut tasks);
        }
    }
}

async fn serve<Q, E, F, W>(queue: WorkQueue<Q>, shutdown: CancellationToken, work: Arc<W>)
where
    Q: Clone + Eq + Hash + Debug,
    E: Display,
    F: Future<Output = Result<(), E>>,
    W: Fn(Q) -> F,
{
    while let Some(key) = shutdown.run_until_cancelled(queue.next()).await {
        match shutdown.run_until_cancelled(work((*key).clone())).await {
            None => return,
            Some(Ok(())) => {
                debug!(key = ?*key, "reconciled");
                queue.forget(&key);
            }
            Some(Err(error)) => {
                warn!(key = ?*key, %error, "reconciliation failed, will retry");
                queue.retry((*key).clone());
            }
        }
    }
}
