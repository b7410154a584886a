//! The scheduler's tasks: what wakes a pod's scheduling, and the way from decision to binding.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use kube::{Client, ResourceExt};
use plinth_client::{ApiError, Change, Informers, Recorder, WorkQueue, run_workers};
use tokio_util::sync::CancellationToken;

use crate::{
    act::{ActError, Actor, Prepared},
    cluster::{Cluster, is_finished, node_of},
    plan::{Decision, plan},
    pods::wants_neighbours,
    views::{View, Views},
    volumes::Binding,
    waiting::{Key, Wait, Waiting},
};

const NAME: &str = "default-scheduler";

/// Bindings in flight. Decisions are made one at a time; writing them need not be.
const WORKERS: usize = 16;

struct Scheduler {
    actor: Actor,
    views: Views,
    state: Mutex<State>,
    queue: WorkQueue<Key>,
}

#[derive(Default)]
struct State {
    cluster: Cluster,
    /// Volumes promised by decisions whose writes are not visible yet.
    promised: HashSet<String>,
    waiting: Waiting,
}

/// Schedules the pods that name `default-scheduler` until `shutdown`. What it writes, it writes with `client`.
pub async fn run(informers: Informers, client: Client, shutdown: CancellationToken) {
    let scheduler = Arc::new(Scheduler {
        actor: Actor {
            recorder: Recorder::new(client.clone(), NAME, ""),
            client,
        },
        views: Views::new(&informers),
        state: Mutex::default(),
        queue: WorkQueue::new(),
    });
    listen(&scheduler);
    if shutdown
        .run_until_cancelled(scheduler.views.synced())
        .await
        .is_none()
    {
        return;
    }
    let queue = scheduler.queue.clone();
    run_workers(queue, WORKERS, shutdown, move |key| {
        let scheduler = Arc::clone(&scheduler);
        async move { scheduler.schedule(&key).await }
    })
    .await;
}

fn listen(scheduler: &Arc<Scheduler>) {
    let to = Arc::clone(scheduler);
    scheduler.views.nodes.on_change(move |c| to.on_node(c));
    let to = Arc::clone(scheduler);
    scheduler.views.pods.on_change(move |c| to.on_pod(c));
    let to = Arc::clone(scheduler);
    scheduler.views.claims.on_change(move |c| to.on_claim(c));
    let to = Arc::clone(scheduler);
    scheduler
        .views
        .volumes
        .on_change(move |_| to.wake(Waiting::take_for_room));
    let to = Arc::clone(scheduler);
    scheduler
        .views
        .classes
        .on_change(move |_| to.wake(Waiting::take_for_room));
}

impl Scheduler {
    fn on_node(&self, change: &Change<Node>) {
        let mut state = self.state();
        match (&change.old, &change.new) {
            (_, Some(node)) => state.cluster.put_node(Arc::clone(node)),
            (Some(gone), None) => state.cluster.remove_node(&gone.name_any()),
            (None, None) => {}
        }
        drop(state);
        // A heartbeat makes no difference to anybody.
        let states = change.old.as_ref().zip(change.new.as_ref());
        if !states.is_some_and(|(old, new)| same_for_pods(old, new)) {
            self.wake(Waiting::take_for_room);
        }
    }

    fn on_pod(&self, change: &Change<Pod>) {
        let new = change.new.as_ref();
        if let Some(old) = &change.old {
            let replaced = new.is_none_or(|new| new.uid() != old.uid());
            if replaced || new.is_some_and(|new| is_finished(new)) {
                let mut state = self.state();
                let freed = state.cluster.remove_pod(&old.uid().unwrap_or_default());
                state.waiting.remove(&key(&**old));
                drop(state);
                if freed {
                    self.wake(Waiting::take_for_room);
                }
            }
        }
        let Some(new) = new else { return };
        let same_spec = change.old.as_ref().is_some_and(|old| {
            old.uid() == new.uid() && old.spec == new.spec && old.labels() == new.labels()
        });
        if same_spec {
            return;
        }
        self.state().cluster.put_pod(new);
        if is_ours(new) {
            self.queue.add(key(&**new));
        } else if node_of(new).is_some() {
            self.wake(Waiting::take_for_neighbour);
        }
    }

    fn on_claim(&self, change: &Change<PersistentVolumeClaim>) {
        let claim = key(&**change.latest());
        self.wake(|waiting| waiting.take_for_claim(&claim));
        self.wake(Waiting::take_for_room);
    }

    /// Gives waiting pods another chance.
    fn wake(&self, which: impl FnOnce(&mut Waiting) -> Vec<Key>) {
        let woken = which(&mut self.state().waiting);
        for key in woken {
            self.queue.add(key);
        }
    }

    async fn schedule(&self, key: &Key) -> Result<(), ActError> {
        let pod = self.views.pods.get(Some(&key.namespace), &key.name);
        let Some(pod) = pod.filter(|pod| is_ours(pod)) else {
            self.state().waiting.remove(key);
            return Ok(());
        };
        let uid = pod.uid().unwrap_or_default();
        if self.state().cluster.is_placed(&uid) {
            // Bound already, and only not visible yet.
            return Ok(());
        }
        match self.decide(&pod, key) {
            Decision::Nowhere(why) => outrun(self.actor.refuse(&pod, &why).await),
            Decision::Place { node, bindings } if bindings.is_empty() => {
                let outcome = self.actor.bind(&pod, &node).await;
                if outcome.is_err() {
                    let mut state = self.state();
                    state.cluster.remove_pod(&uid);
                    // The answer may have been lost after the deed.
                    if let Some(now) = self.views.pods.get(Some(&key.namespace), &key.name) {
                        state.cluster.put_pod(&now);
                    }
                }
                outrun(outcome)
            }
            Decision::Place { node, bindings } => {
                let outcome = self.prepare(&bindings, &node).await;
                let mut state = self.state();
                for volume in promised(&bindings) {
                    state.promised.remove(&volume);
                }
                drop(state);
                outrun(outcome)
            }
        }
    }

    /// Decides and takes the decision into account at once, so that the next one builds on it.
    fn decide(&self, pod: &Arc<Pod>, this: &Key) -> Decision {
        let mut guard = self.state();
        let state = &mut *guard;
        let storage = View {
            views: &self.views,
            promised: &state.promised,
        };
        let decision = plan(pod, &state.cluster.nodes(), &storage);
        match &decision {
            Decision::Place { node, bindings } if bindings.is_empty() => {
                state.cluster.place(Arc::clone(pod), node.clone());
                state.waiting.remove(this);
            }
            // It is bound when its claims are: their changes wake it. The lock is held since before
            // the claims were read, so no change can slip by.
            Decision::Place { bindings, .. } => {
                state.promised.extend(promised(bindings));
                let claims = bindings.iter().map(|binding| key(&**binding.claim()));
                let wait = Wait::Claims(claims.collect());
                state.waiting.add(this.clone(), wait);
            }
            Decision::Nowhere(_) => {
                let neighbour = wants_neighbours(pod);
                state.waiting.add(this.clone(), Wait::Room { neighbour });
            }
        }
        decision
    }

    async fn prepare(&self, bindings: &[Binding], node: &str) -> Result<(), ActError> {
        for binding in bindings {
            match self.actor.prepare(binding, node).await? {
                Some(Prepared::Volume(at)) => self.views.volumes.seen(at).await,
                Some(Prepared::Claim(at)) => self.views.claims.seen(at).await,
                None => {}
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every edit under the lock leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key<K: kube::Resource>(object: &K) -> Key {
    Key {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

/// The names of the volumes that are to be promised.
fn promised(bindings: &[Binding]) -> impl Iterator<Item = String> {
    bindings.iter().filter_map(|binding| match binding {
        Binding::Promise { volume, .. } => Some(volume.name_any()),
        _ => None,
    })
}

/// A pod that waits for this scheduler: gated pods wait for somebody else first.
fn is_ours(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let scheduler = spec.scheduler_name.as_deref().unwrap_or(NAME);
    let gated = spec
        .scheduling_gates
        .as_ref()
        .is_some_and(|gates| !gates.is_empty());
    node_of(pod).is_none()
        && scheduler == NAME
        && !gated
        && pod.metadata.deletion_timestamp.is_none()
        && !is_finished(pod)
}

/// Whether two states of a node are the same to every pod.
fn same_for_pods(old: &Node, new: &Node) -> bool {
    let ready = |node: &Node| {
        let conditions = node.status.as_ref().and_then(|s| s.conditions.clone());
        conditions
            .unwrap_or_default()
            .into_iter()
            .find(|c| c.type_ == "Ready")
            .map(|c| c.status)
    };
    let has = |node: &Node| node.status.as_ref().and_then(|s| s.allocatable.clone());
    old.spec == new.spec
        && old.labels() == new.labels()
        && has(old) == has(new)
        && ready(old) == ready(new)
}

/// A conflict or a missing object means that what was decided on has changed: the change itself brings
/// the pod back.
fn outrun(outcome: Result<(), ActError>) -> Result<(), ActError> {
    match outcome {
        Err(error) if error.source.is_not_found() || error.source.is_namespace_terminating() => {
            tracing::debug!(%error, "outrun");
            Ok(())
        }
        other => other,
    }
}
