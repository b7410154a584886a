//! kube-rs over the wire, as operators use it: watchers and stores, a controller for a kind of its own, a lock, and
//! ways into pods over WebSocket.

mod controlling;
mod leading;
mod streaming;
mod watching;

use std::time::Duration;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::desk::{Desk, PATIENCE};

pub(super) fn everything(desk: &Desk) -> Result<()> {
    let kubeconfig = desk.answer("printenv KUBECONFIG")?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(async {
            let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
            let config =
                Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            let client = Client::try_from(config)?;
            watching::a_store_follows(&client).await?;
            watching::lists_come_as_streams(&client).await?;
            leading::one_of_many_holds_the_lock(&client).await?;
            controlling::life_of_an_owner(&client).await?;
            Box::pin(streaming::into_a_pod(&client)).await
        })
}

/// Waits for `future`, but not for ever.
async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(PATIENCE, future)
        .await
        .with_context(|| format!("{what}: not within {PATIENCE:?}"))
}

/// Asks `wanted` until it answers something.
async fn until<T>(what: &str, wanted: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    in_time(what, async {
        loop {
            if let Some(answer) = wanted().await? {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await?
}
