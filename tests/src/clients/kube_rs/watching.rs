//! Watchers and the stores they fill.

use std::collections::BTreeMap;
use std::pin::pin;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::reflector::{ObjectRef, store};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client};
use serde_json::json;

use super::{in_time, until};

fn config(name: &str, of: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from([("of".to_owned(), of.to_owned())])),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

/// What is in a store is what is in the API, through creation, change and deletion.
pub(super) async fn a_store_follows(client: &Client) -> Result<()> {
    let configs: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let params = PostParams::default();
    configs.create(&params, &config("early", "store")).await?;
    let (reader, writer) = store();
    let watching = watcher(
        configs.clone(),
        watcher::Config::default().labels("of=store"),
    );
    let following = tokio::spawn(
        reflector(writer, watching)
            .touched_objects()
            .try_for_each(|_| std::future::ready(Ok(()))),
    );
    in_time("the first list", reader.wait_until_ready()).await??;
    ensure!(reader.len() == 1, "the store begins with {}", reader.len());

    configs.create(&params, &config("late", "store")).await?;
    let data = Patch::Merge(json!({"data": {"color": "red"}}));
    let changed = PatchParams::default();
    configs.patch("early", &changed, &data).await?;
    let early = ObjectRef::<ConfigMap>::new("early").within("default");
    until("the store has the change", async || {
        let found = reader.get(&early).context("early has gone")?;
        Ok((found.data.is_some() && reader.len() == 2).then_some(()))
    })
    .await?;
    // Out of the selection is out of the store.
    let leave = Patch::Merge(json!({"metadata": {"labels": {"of": "nothing"}}}));
    configs.patch("early", &changed, &leave).await?;
    configs.delete("late", &DeleteParams::default()).await?;
    until("the store is empty", async || {
        Ok(reader.is_empty().then_some(()))
    })
    .await?;
    following.abort();
    Ok(())
}

/// The same objects come by pages and as a stream that says where the beginning ends.
pub(super) async fn lists_come_as_streams(client: &Client) -> Result<()> {
    let configs: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let names: Vec<String> = (0..25).map(|number| format!("paged-{number:02}")).collect();
    for name in &names {
        let object = config(name, "pages");
        configs.create(&PostParams::default(), &object).await?;
    }
    let selected = watcher::Config::default().labels("of=pages");
    for settings in [
        selected.clone().page_size(10),
        selected.clone().streaming_lists(),
    ] {
        let mut events = pin!(watcher(configs.clone(), settings));
        let mut found = Vec::new();
        loop {
            let event = in_time("the next event", events.next()).await?;
            match event.context("the watch has ended")?? {
                watcher::Event::InitApply(object) => found.extend(object.metadata.name),
                watcher::Event::InitDone => break,
                _ => {}
            }
        }
        found.sort();
        ensure!(found == names, "the watch began with {found:?}");
    }
    let mut page = ListParams::default().labels("of=pages").limit(20);
    let first = configs.list(&page).await?;
    page = page.continue_token(&first.metadata.continue_.context("no second page")?);
    let second = configs.list(&page).await?;
    ensure!((first.items.len(), second.items.len()) == (20, 5));
    Ok(())
}
