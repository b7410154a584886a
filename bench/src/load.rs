//! What an API server carries: reads, durable writes, lists, watches, and what it weighs meanwhile. The load is
//! bounded in count; all of it comes from this one process, beside the server.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::api::{Api, Connection};
use crate::figures;

const NAMESPACE: &str = "bench-load";
/// GETs by all readers together.
const READS: usize = 100_000;
const READERS: usize = 16;
/// Creates by one writer, and by all of the many.
const WRITES_ALONE: usize = 3_000;
const WRITES_TOGETHER: usize = 30_000;
const WRITERS: usize = 64;
const PODS: usize = 10_000;
const LISTS: usize = 7;
const WATCHERS: usize = 1_000;
const EVENTS: usize = 200;

/// Measures the API; `weigh` tells the resident memory of its server, if that is known.
pub(crate) async fn measure(api: &Api, weigh: impl Fn() -> Result<Option<u64>>) -> Result<()> {
    let weight = |when: &str| -> Result<()> {
        if let Some(bytes) = weigh()? {
            figures::print_size(&format!("resident, {when}"), bytes);
        }
        Ok(())
    };
    weight("before")?;
    let namespace = json!({"metadata": {"name": NAMESPACE}});
    api.create("/api/v1/namespaces", &namespace).await?;
    let outcome = all(api, weight).await;
    api.delete(&format!("/api/v1/namespaces/{NAMESPACE}"))
        .await?;
    outcome
}

async fn all(api: &Api, weight: impl Fn(&str) -> Result<()>) -> Result<()> {
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let took = creates(api, WRITERS, PODS, &pods, pod).await?;
    figures::print_rate("creates of pods, 64 clients", PODS, took);
    weight("10,000 pods")?;
    let mut connection = api.connect().await?;
    let (mut times, mut size) = (Vec::new(), 0);
    for _ in 0..LISTS {
        let started = Instant::now();
        size = connection
            .exchange(Method::GET, &pods, Bytes::new())
            .await?;
        times.push(started.elapsed());
    }
    figures::print_times("LIST of 10,000 pods", &mut times);
    figures::print_size("which is", u64::try_from(size)?);
    weight("after the lists")?;
    let maps = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    let took = creates(api, 1, WRITES_ALONE, &maps, |n| {
        config_map(&format!("alone-{n}"))
    })
    .await?;
    figures::print_rate("durable creates of 1 KiB, one client", WRITES_ALONE, took);
    let took = creates(api, WRITERS, WRITES_TOGETHER, &maps, |n| {
        config_map(&format!("together-{n}"))
    })
    .await?;
    figures::print_rate(
        "durable creates of 1 KiB, 64 clients",
        WRITES_TOGETHER,
        took,
    );
    let one = format!("{maps}/alone-0");
    let took = together(api, READERS, READS, move |mut connection, share| {
        let one = one.clone();
        async move {
            for _ in share {
                connection.exchange(Method::GET, &one, Bytes::new()).await?;
            }
            Ok(())
        }
    })
    .await?;
    figures::print_rate("GET of 1 KiB, 16 clients", READS, took);
    watches(api, &maps).await?;
    weight("and 33,000 config maps")
}

/// Shares `count` runs among `clients`, each with a connection of its own, and tells how long all of them took.
async fn together<F, W>(api: &Api, clients: usize, count: usize, work: F) -> Result<Duration>
where
    F: Fn(Connection, std::ops::Range<usize>) -> W,
    W: Future<Output = Result<()>> + Send + 'static,
{
    let mut ready = Vec::new();
    for _ in 0..clients {
        ready.push(api.connect().await?);
    }
    let started = Instant::now();
    let mut running = JoinSet::new();
    for (client, connection) in ready.into_iter().enumerate() {
        let share = count * client / clients..count * (client + 1) / clients;
        running.spawn(work(connection, share));
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(started.elapsed())
}

async fn creates(
    api: &Api,
    clients: usize,
    count: usize,
    path: &str,
    object: fn(usize) -> Value,
) -> Result<Duration> {
    let path = path.to_owned();
    together(api, clients, count, move |mut connection, share| {
        let path = path.clone();
        async move {
            for n in share {
                let body = object(n).to_string().into();
                connection.exchange(Method::POST, &path, body).await?;
            }
            Ok(())
        }
    })
    .await
}

/// Every watcher sees every change of one object.
async fn watches(api: &Api, maps: &str) -> Result<()> {
    let path = format!("{maps}?watch=true&fieldSelector=metadata.name%3Dwatched");
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        watchers.push(api.connect().await?.count_events(&path).await?);
    }
    let started = Instant::now();
    let mut running = JoinSet::new();
    for mut watcher in watchers {
        running.spawn(async move { watcher.receive(EVENTS).await });
    }
    let mut writer = api.connect().await?;
    let created = config_map("watched").to_string();
    writer.exchange(Method::POST, maps, created.into()).await?;
    for n in 1..EVENTS {
        let mut object = config_map("watched");
        object["data"]["n"] = n.to_string().into();
        let path = format!("{maps}/watched");
        writer
            .exchange(Method::PUT, &path, object.to_string().into())
            .await?;
    }
    while let Some(ended) = running.join_next().await {
        ended?.context("a watcher")?;
    }
    figures::print_rate(
        "watch events, 1,000 watchers",
        WATCHERS * EVENTS,
        started.elapsed(),
    );
    Ok(())
}

fn config_map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"content": "x".repeat(1024)}})
}

/// A pod of usual size that no scheduler takes.
fn pod(n: usize) -> Value {
    json!({
        "metadata": {"name": format!("pod-{n}"), "labels": {"app": "bench", "part": "load"}},
        "spec": {
            "schedulerName": "nobody",
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "main",
                "image": "registry.example.com/team/app:1.2.3",
                "command": ["/bin/app", "--serve"],
                "ports": [{"name": "http", "containerPort": 8080}],
                "env": [{"name": "MODE", "value": "bench"}, {"name": "REGION", "value": "lab"}],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}]
            }],
            "volumes": [{"name": "data", "emptyDir": {}}]
        }
    })
}
