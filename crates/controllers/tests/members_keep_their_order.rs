//! An ordered StatefulSet on a real API, while its controllers crash after almost every write: the
//! history of its pods is that of an undisturbed run (§11.1 to §11.3, §11.11).

mod support;

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, StatefulSet},
    core::v1::{PersistentVolumeClaim, Pod},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
};
use plinth_client::{Change, Informers};
use serde_json::{Value, json};
use support::{Cluster, NODE, create, until};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// What one pod is known to be, by the order of the API's history.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    uid: String,
    ready: bool,
    terminating: bool,
}

impl Seen {
    fn of(pod: &Pod) -> Self {
        let status = pod.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_deref());
        let ready = conditions
            .unwrap_or_default()
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True");
        Self {
            uid: pod.uid().expect("stored"),
            ready,
            terminating: pod.metadata.deletion_timestamp.is_some(),
        }
    }
}

/// Follows the pods and says what breaks the order.
#[derive(Default)]
struct Judge {
    pods: BTreeMap<String, Seen>,
    story: Vec<String>,
}

impl Judge {
    fn observe(&mut self, change: &Change<Pod>) {
        let name = change.latest().name_any();
        let Some(new) = &change.new else {
            self.pods.remove(&name);
            self.story.push(format!("gone {name}"));
            return;
        };
        let now = Seen::of(new);
        match self.pods.get(&name) {
            None => {
                let lower = self.pods.range(..name.clone());
                assert!(
                    lower
                        .into_iter()
                        .all(|(_, pod)| pod.ready && !pod.terminating),
                    "{name} came too early: {:?}",
                    self.pods
                );
                self.story.push(format!("created {name}"));
            }
            Some(before) => {
                assert_eq!(before.uid, now.uid, "{name} was two pods at once");
                if now.terminating && !before.terminating {
                    let others = self.pods.iter().filter(|(other, _)| **other != name);
                    assert!(
                        others
                            .into_iter()
                            .all(|(_, pod)| pod.ready && !pod.terminating),
                        "{name} went too early: {:?}",
                        self.pods
                    );
                    self.story.push(format!("deleted {name}"));
                }
            }
        }
        self.pods.insert(name, now);
    }
}

/// Does what kubelet and scheduler would, as soon as it can be done.
async fn serve(pods: &Api<Pod>, pod: &Pod) {
    let name = pod.name_any();
    let gone = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 404 || status.code == 409);
    if pod.metadata.deletion_timestamp.is_some() {
        let now = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: pod.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        if let Err(error) = pods.delete(&name, &now).await {
            assert!(gone(&error), "{error}");
        }
    } else if pod
        .spec
        .as_ref()
        .is_some_and(|spec| spec.node_name.is_none())
    {
        let binding = json!({"apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": name, "uid": pod.uid()},
            "target": {"kind": "Node", "name": NODE}});
        let bound: Result<Value, _> = pods
            .create_subresource(
                "binding",
                &name,
                &kube::api::PostParams::default(),
                &binding,
            )
            .await;
        if let Err(error) = bound {
            assert!(gone(&error), "{error}");
        }
    } else if !Seen::of(pod).ready {
        let ready = json!({"metadata": {"uid": pod.uid()}, "status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}]}});
        let patch = Patch::Merge(ready);
        if let Err(error) = pods
            .patch_status(&name, &PatchParams::default(), &patch)
            .await
        {
            assert!(gone(&error), "{error}");
        }
    }
}

fn settled(set: Option<&StatefulSet>, replicas: i32) -> bool {
    set.is_some_and(|set| {
        let status = set.status.clone().unwrap_or_default();
        status.observed_generation == set.metadata.generation
            && status.replicas == replicas
            && status.ready_replicas.unwrap_or(0) == replicas
            && status.updated_replicas.unwrap_or(0) == replicas
            && status.current_revision == status.update_revision
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_do_not_show_in_the_history() {
    let mut cluster = Cluster::start().await;
    let (told, mut changes) = mpsc::unbounded_channel();
    let watching = Informers::new(cluster.client.clone());
    watching.of::<Pod>().on_change(move |change| {
        let change = Change {
            old: change.old.clone(),
            new: change.new.clone(),
        };
        // The receiver outlives the test's last assertion.
        let _ = told.send(change);
    });
    let (crash, mut crashes) = mpsc::channel::<()>(1);
    let pods: Api<Pod> = cluster.api();
    let judge = tokio::spawn(async move {
        let mut judge = Judge::default();
        while let Some(change) = changes.recv().await {
            judge.observe(&change);
            // A crash that is still under way is crash enough.
            let _ = crash.try_send(());
            if let Some(pod) = &change.new {
                serve(&pods, pod).await;
            }
            if judge.story.last().is_some_and(|last| last == "gone web-0") && judge.pods.is_empty()
            {
                break;
            }
        }
        judge.story
    });

    let sets: Api<StatefulSet> = cluster.api();
    let set = json!({"metadata": {"name": "web"}, "spec": {
        "replicas": 3, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "v1"}]}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}],
    }});
    let client = cluster.client.clone();
    let crashing = AbortOnDropHandle::new(tokio::spawn(async move {
        while crashes.recv().await.is_some() {
            cluster.crash_controllers().await;
        }
        // The last controllers stay until the test is over.
        std::future::pending::<()>().await;
    }));
    create(&sets, &set).await;
    until(&sets, "web", "complete", |set| settled(set, 3)).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "default");
    let uids = |claims: Vec<PersistentVolumeClaim>| -> BTreeMap<_, _> {
        claims
            .iter()
            .map(|claim| (claim.name_any(), claim.uid()))
            .collect()
    };
    let first = uids(
        claims
            .list(&ListParams::default())
            .await
            .expect("claims")
            .items,
    );
    assert_eq!(
        first.keys().collect::<Vec<_>>(),
        ["data-web-0", "data-web-1", "data-web-2"]
    );

    let edit = async |patch: Value| {
        let patch = Patch::Strategic(patch);
        sets.patch("web", &PatchParams::default(), &patch)
            .await
            .expect("edited");
    };
    edit(json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "v2"}]}}}}))
        .await;
    until(&sets, "web", "updated", |set| settled(set, 3)).await;
    edit(json!({"spec": {"replicas": 0}})).await;
    until(&sets, "web", "empty", |set| settled(set, 0)).await;

    let story = judge.await.expect("order was kept");
    let steps = |verb: &str, ordinals: &[u32]| -> Vec<String> {
        ordinals.iter().map(|o| format!("{verb} web-{o}")).collect()
    };
    let mut expected = steps("created", &[0, 1, 2]);
    for ordinal in [2, 1, 0] {
        for verb in ["deleted", "gone", "created"] {
            expected.extend(steps(verb, &[ordinal]));
        }
    }
    for ordinal in [2, 1, 0] {
        expected.extend(steps("deleted", &[ordinal]));
        expected.extend(steps("gone", &[ordinal]));
    }
    assert_eq!(story, expected);
    let last = uids(
        claims
            .list(&ListParams::default())
            .await
            .expect("claims")
            .items,
    );
    assert_eq!(first, last, "a member returns to the same volume");
    let revisions: Api<ControllerRevision> = Api::namespaced(client, "default");
    let revisions = revisions
        .list(&ListParams::default())
        .await
        .expect("revisions");
    assert_eq!(revisions.items.len(), 2, "one for each template");
    drop(crashing);
    watching.shutdown().await;
}
