//! Jobs, CronJobs and DaemonSets on a real API server; the test plays the kubelet.

mod support;

use k8s_openapi::api::{
    apps::v1::DaemonSet,
    batch::v1::{CronJob, Job},
    core::v1::{Node, Pod},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;
use support::{Cluster, NODE, create, until, until_gone};

/// The pods of the Job, once it says that they are active.
async fn pods_of(cluster: &Cluster, count: i32) -> Vec<Pod> {
    let (jobs, pods): (Api<Job>, Api<Pod>) = (cluster.api(), cluster.api());
    until(&jobs, "task", "active", |job| {
        let status = job.and_then(|job| job.status.as_ref());
        status.is_some_and(|status| status.active == Some(count))
    })
    .await;
    let selected = ListParams::default().labels("job-name=task");
    pods.list(&selected).await.expect("answer").items
}

async fn report(pods: &Api<Pod>, name: &str, phase: &str) {
    let status = Patch::Merge(json!({"status": {"phase": phase}}));
    pods.patch_status(name, &PatchParams::default(), &status)
        .await
        .expect("reported");
}

fn is(job: Option<&Job>, condition: &str) -> bool {
    let conditions = job.and_then(|job| job.status.as_ref()?.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|held| held.type_ == condition && held.status == "True")
}

/// Tracked pods are counted once, the controllers broken off in between; then the Job's time is up.
#[tokio::test]
async fn a_job_completes_across_a_crash_and_is_cleaned_up() {
    let mut cluster = Cluster::start().await;
    let (jobs, pods): (Api<Job>, Api<Pod>) = (cluster.api(), cluster.api());
    create(
        &jobs,
        &json!({"metadata": {"name": "task"}, "spec": {
            "completions": 2, "parallelism": 2, "ttlSecondsAfterFinished": 1,
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "v1"}]}}}}),
    )
    .await;
    let made = pods_of(&cluster, 2).await;
    report(&pods, &made[0].name_any(), "Succeeded").await;
    cluster.crash_controllers().await;
    report(&pods, &made[1].name_any(), "Succeeded").await;
    until(&jobs, "task", "complete or gone", |job| {
        job.is_none() || is(job, "Complete")
    })
    .await;
    until_gone(&jobs, "task").await;
    for pod in made {
        until_gone(&pods, &pod.name_any()).await;
    }
}

/// Pods of a Job that is deleted are not kept by their finalizer, whether they go or stay.
#[tokio::test]
async fn pods_outlive_no_finalizer() {
    let cluster = Cluster::start().await;
    let (jobs, pods): (Api<Job>, Api<Pod>) = (cluster.api(), cluster.api());
    create(
        &jobs,
        &json!({"metadata": {"name": "task"}, "spec": {
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "v1"}]}}}}),
    )
    .await;
    let made = pods_of(&cluster, 1).await;
    let orphan = DeleteParams {
        propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    jobs.delete("task", &orphan).await.expect("deleted");
    until(&pods, &made[0].name_any(), "free", |pod| {
        pod.is_some_and(|pod| pod.owner_references().is_empty() && pod.finalizers().is_empty())
    })
    .await;
}

/// A CronJob whose time has passed starts the Job of its last time, once.
#[tokio::test]
async fn a_cron_job_starts_jobs() {
    let cluster = Cluster::start().await;
    let (crons, jobs): (Api<CronJob>, Api<Job>) = (cluster.api(), cluster.api());
    create(
        &crons,
        &json!({"metadata": {"name": "tick"}, "spec": {"schedule": "@every 1s", "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never",
                "containers": [{"name": "main", "image": "v1"}]}}}}}}),
    )
    .await;
    until(&crons, "tick", "at work", |cron| {
        let status = cron.and_then(|cron| cron.status.as_ref());
        status.is_some_and(|status| {
            status.last_schedule_time.is_some()
                && status
                    .active
                    .as_ref()
                    .is_some_and(|active| active.len() == 1)
        })
    })
    .await;
    let started = jobs.list(&ListParams::default()).await.expect("answer");
    let names: Vec<_> = started.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    crons
        .delete("tick", &DeleteParams::background())
        .await
        .expect("deleted");
    until_gone(&jobs, &names[0]).await;
}

/// A pod for the node, none once the node is told to have none.
#[tokio::test]
async fn a_daemon_set_follows_its_nodes() {
    let cluster = Cluster::start().await;
    let (sets, pods): (Api<DaemonSet>, Api<Pod>) = (cluster.api(), cluster.api());
    create(
        &sets,
        &json!({"metadata": {"name": "agent"}, "spec": {"selector": {"matchLabels": {"app": "agent"}},
            "template": {"metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{"name": "main", "image": "v1"}]}}}}),
    )
    .await;
    until(&sets, "agent", "scheduled", |set| {
        let status = set.and_then(|set| set.status.as_ref());
        status.is_some_and(|status| status.current_number_scheduled == 1)
    })
    .await;
    let selected = ListParams::default().labels("app=agent");
    let made = pods.list(&selected).await.expect("answer").items;
    let nodes: Api<Node> = cluster.all();
    let taint = Patch::Merge(json!({"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}));
    nodes
        .patch(NODE, &PatchParams::default(), &taint)
        .await
        .expect("tainted");
    until(&pods, &made[0].name_any(), "on its way out", |pod| {
        pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some())
    })
    .await;
    until(&sets, "agent", "wanted nowhere", |set| {
        let status = set.and_then(|set| set.status.as_ref());
        status.is_some_and(|status| status.desired_number_scheduled == 0)
    })
    .await;
}

/// `workqueue_*` is on the server's page, by the queue's name.
#[tokio::test]
async fn work_queues_are_measured() {
    let cluster = Cluster::start().await;
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = cluster.api();
    // Published by a controller, whose queue must have had it.
    until(&maps, "kube-root-ca.crt", "published", |map| map.is_some()).await;
    let request = http::Request::get("/metrics")
        .body(Vec::new())
        .expect("a request");
    let page = cluster.client.request_text(request).await.expect("a page");
    let adds = "workqueue_adds_total{name=\"root_ca_cert_publisher\"} ";
    let adds = page.lines().find_map(|line| line.strip_prefix(adds));
    assert!(adds.is_some_and(|adds| adds != "0"), "{page}");
    for name in [
        "job",
        "daemonset",
        "statefulset",
        "garbage_collector_attempt_to_delete",
    ] {
        let depth = format!("workqueue_depth{{name=\"{name}\"}} ");
        assert!(page.contains(&depth), "{name}");
    }
}
