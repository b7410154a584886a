//! The figures of the kubia story: start, creation, replacement, rollout, and what it all weighs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::api::Api;
use crate::cluster::{Place, Server};
use crate::{figures, weight};

const SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";
const PODS: &str = "/api/v1/namespaces/default/pods";

pub(crate) async fn measure(place: &Place, runs: usize) -> Result<()> {
    println!("{:<44} {:>12}   (range)", "", "median");
    starts(place, runs).await?;
    let (server, _) = place.start("story", Some("first")).await?;
    place.image(
        "story",
        &[
            "import",
            "--rootfs",
            "plinth-node",
            &place.base_image.display().to_string(),
        ],
    )?;
    place.image(
        "story",
        &[
            "build",
            "-t",
            "kubia-stored",
            &place.example.display().to_string(),
        ],
    )?;
    node_ready(&server).await?;
    let (mut creations, mut replacements, mut rollouts) = (Vec::new(), Vec::new(), Vec::new());
    server
        .api
        .create("/api/v1/namespaces/default/services", &service())
        .await?;
    for run in 0..runs {
        creations.push(creation(&server.api, &format!("kubia-{run}")).await?);
        replacements.push(replacement(&server.api, &format!("kubia-{run}-1")).await?);
        rollouts.push(rollout(&server.api, &format!("kubia-{run}")).await?);
        if run + 1 < runs {
            removal(&server.api, &format!("kubia-{run}")).await?;
        }
    }
    figures::print_times("apply → 3/3 Ready", &mut creations);
    figures::print_times("pod delete → Ready again", &mut replacements);
    figures::print_times("rollout of 3", &mut rollouts);
    // Idle, with the last set's three pods: the allocator has had time to settle.
    tokio::time::sleep(Duration::from_secs(5)).await;
    figures::print_size(
        "server, resident, three pods",
        weight::resident(server.pid())?,
    );
    let shims = weight::processes("plinth shim");
    let shim = *shims.first().context("no shim runs")?;
    figures::print_size("a shim, resident", weight::resident(shim)?);
    figures::print_size("a shim, unshared", weight::unshared(shim)?);
    if let Some(bytes) = weight::cgroup(&place.cgroup_root) {
        figures::print_size("all pods' cgroup, page cache included", bytes);
    }
    figures::print_size("the binary", std::fs::metadata(&place.plinth)?.len());
    server.stop_and_reset(&place.plinth)
}

async fn starts(place: &Place, runs: usize) -> Result<()> {
    let (mut server, first) = place.start("first", None).await?;
    figures::print_times("start → /readyz, first of all", &mut [first]);
    // Only stopped: its certificates are used again.
    server.stop()?;
    let (mut ready, mut nodes) = (Vec::new(), Vec::new());
    for run in 0..runs {
        let (server, time) = place.start(&format!("start-{run}"), Some("first")).await?;
        ready.push(time);
        nodes.push(node_ready(&server).await?);
        server.stop_and_reset(&place.plinth)?;
    }
    figures::print_times("start → /readyz, certificates exist", &mut ready);
    figures::print_times("start → node Ready", &mut nodes);
    Ok(())
}

async fn node_ready(server: &Server) -> Result<Duration> {
    let mut nodes = server.api.watch("/api/v1/nodes").await?;
    nodes.until(|_, node| condition(node, "Ready")).await?;
    Ok(server.started.elapsed())
}

fn condition(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.is_some_and(|all| {
        all.iter()
            .any(|one| one["type"] == kind && one["status"] == "True")
    })
}

async fn creation(api: &Api, name: &str) -> Result<Duration> {
    let mut sets = api.watch(SETS).await?;
    let begin = Instant::now();
    api.create(SETS, &set(name)).await?;
    sets.until(|_, set| set["metadata"]["name"] == name && set["status"]["readyReplicas"] == 3)
        .await?;
    Ok(begin.elapsed())
}

async fn replacement(api: &Api, pod: &str) -> Result<Duration> {
    let old = api.get(&format!("{PODS}/{pod}")).await?["metadata"]["uid"].clone();
    let mut pods = api.watch(PODS).await?;
    let begin = Instant::now();
    api.delete(&format!("{PODS}/{pod}")).await?;
    pods.until(|_, now| {
        now["metadata"]["name"] == pod && now["metadata"]["uid"] != old && condition(now, "Ready")
    })
    .await?;
    Ok(begin.elapsed())
}

async fn rollout(api: &Api, name: &str) -> Result<Duration> {
    let mut sets = api.watch(SETS).await?;
    let begin = Instant::now();
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"bench": "rolled"}}}}});
    let patched = api.merge(&format!("{SETS}/{name}"), &patch).await?;
    let generation = patched["metadata"]["generation"].as_i64();
    sets.until(|_, set| {
        let status = &set["status"];
        set["metadata"]["name"] == name
            && status["observedGeneration"].as_i64() >= generation
            && status["updatedReplicas"] == 3
            && status["readyReplicas"] == 3
            && status["currentRevision"] == status["updateRevision"]
    })
    .await?;
    Ok(begin.elapsed())
}

async fn removal(api: &Api, name: &str) -> Result<()> {
    api.delete(&format!("{SETS}/{name}")).await?;
    loop {
        let pods = api.get(PODS).await?;
        let left = pods["items"].as_array().map_or(0, Vec::len);
        if left == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "kubia"},
        "spec": {"clusterIP": "None", "selector": {"app": "kubia"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    })
}

fn set(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
        "spec": {
            "serviceName": "kubia", "replicas": 3,
            "selector": {"matchLabels": {"app": "kubia", "set": name}},
            "template": {
                "metadata": {"labels": {"app": "kubia", "set": name}},
                "spec": {"containers": [{
                    "name": "kubia", "image": "kubia-stored", "imagePullPolicy": "Never",
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "volumeMounts": [{"name": "data", "mountPath": "/var/data"}]
                }]}
            },
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "local-path", "resources": {"requests": {"storage": "1Mi"}}}
            }]
        }
    })
}
