//! The Job controller: runs pods until enough of them have succeeded. Here is only the wiring.
//!
//! A round has two halves. `plan` decides which pods come and go; when that is done, `track` counts from
//! what there is then. Both are pure and read `tally`, which judges whether the Job is over.

mod act;
mod backoff;
mod indexes;
mod member;
mod plan;
mod policy;
mod removal;
mod tally;
mod template;
#[cfg(test)]
mod tests;
mod track;
mod wake;
pub(crate) mod work;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::ResourceExt;
use plinth_client::{ApiError, Informer, Recorder, WorkQueue, run_workers};
use tokio::task::JoinSet;
use tracing::{debug, error};

use self::{
    act::{Actor, untrack},
    backoff::Failures,
    plan::{Which, World, plan},
    track::track,
    wake::{Key, is_stray, listen},
    work::{Work, WorkError, is_finished, is_managed_elsewhere},
};
use crate::{Context, index::Index, writes::Name, written::Written};

const WORKERS: usize = 5;

/// Rounds of taking pods in and letting them go before a Job goes to the back of the queue.
const ROUNDS: usize = 4;

#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error("{}", .0.text())]
    Api(#[from] kube::Error),
    #[error("membership did not settle in {ROUNDS} rounds")]
    Unsettled,
}

struct Controller {
    client: kube::Client,
    recorder: Recorder,
    jobs: Informer<Job>,
    pods: Index<Pod>,
    /// By the Job's UID.
    failures: Mutex<HashMap<String, Failures>>,
    queue: WorkQueue<Key>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, pods: &Index<Pod>, tasks: &mut JoinSet<()>) {
    let jobs: Informer<Job> = cx.informers.of();
    let controller = Arc::new(Controller {
        client: cx.client(),
        recorder: cx.recorder("job-controller"),
        pods: pods.clone(),
        failures: Mutex::default(),
        queue: cx.queue("job"),
        jobs: jobs.clone(),
    });
    let forgetful = Arc::clone(&controller);
    jobs.on_change(move |change| {
        let gone = change
            .old
            .as_ref()
            .filter(|old| change.new.as_ref().is_none_or(|new| new.uid() != old.uid()));
        if let Some(uid) = gone.and_then(|job| job.uid()) {
            forgetful.failures().remove(&uid);
        }
    });
    listen(&jobs, pods, &controller.queue);
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        let synced = shutdown.run_until_cancelled(async {
            jobs.synced().await;
            controller.pods.informer().synced().await;
        });
        if synced.await.is_none() {
            return;
        }
        let queue = controller.queue.clone();
        run_workers(queue, WORKERS, shutdown, move |key| {
            let controller = Arc::clone(&controller);
            async move {
                match &key {
                    Key::Job(name) => controller.reconcile(&key, name).await,
                    Key::Stray(name) => controller.let_go(name).await,
                }
            }
        })
        .await;
    });
}

/// What a Job and its pods look like.
struct View {
    job: Arc<Job>,
    pods: Vec<Arc<Pod>>,
    failures: Failures,
}

impl View {
    fn world(&self) -> World<'_> {
        World {
            job: &self.job,
            pods: &self.pods,
            failures: &self.failures,
        }
    }
}

impl Controller {
    async fn reconcile(&self, key: &Key, name: &Name) -> Result<(), ReconcileError> {
        for _ in 0..ROUNDS {
            let Some(view) = self.look(name) else {
                return Ok(());
            };
            let plan = match plan(&view.world(), Timestamp::now()) {
                Ok(plan) => plan,
                Err(why) => {
                    unworkable(name, &why);
                    return Ok(());
                }
            };
            if let Some(delay) = plan.again_in {
                self.queue.add_after(key.clone(), delay);
            }
            let actor = self.actor(&view.job);
            if !plan.claims.is_empty() {
                actor.claim(&plan).await?;
                continue;
            }
            let managed = actor.manage(&plan).await;
            // Counted even after a failure: what did succeed shall show.
            self.count(name).await?;
            return match managed {
                Err(error) if error.is_namespace_terminating() => {
                    debug!(job = ?name, %error, "the namespace is going away");
                    Ok(())
                }
                other => Ok(other?),
            };
        }
        Err(ReconcileError::Unsettled)
    }

    /// Counts what there is now.
    async fn count(&self, name: &Name) -> Result<(), ReconcileError> {
        let Some(view) = self.look(name) else {
            return Ok(());
        };
        match track(&view.world(), Timestamp::now()) {
            Ok(track) => Ok(self.actor(&view.job).track(&track).await?),
            Err(why) => {
                unworkable(name, &why);
                Ok(())
            }
        }
    }

    /// `None` when there is nothing to do: no such Job, a finished one, or one that is not ours.
    fn look(&self, (namespace, name): &Name) -> Option<View> {
        let job = self.jobs.get(Some(namespace), name)?;
        if is_managed_elsewhere(&job) {
            return None;
        }
        let uid = job.uid().unwrap_or_default();
        if is_finished(&job) {
            self.failures().remove(&uid);
            return None;
        }
        let pods = self.pods.owned_or_free(namespace, &uid);
        let mut failures = self.failures();
        let failures = failures.entry(uid).or_default();
        if let Ok(work) = Work::parse(&job) {
            let members = plan::members(&work, &pods);
            failures.learn(&work, members.iter().map(|pod| &**pod));
        }
        Some(View {
            failures: failures.clone(),
            pods,
            job,
        })
    }

    /// Takes the finalizer off a pod that nobody will count.
    async fn let_go(&self, (namespace, name): &Name) -> Result<(), ReconcileError> {
        let Some(pod) = self.pods.informer().get(Some(namespace), name) else {
            return Ok(());
        };
        if is_stray(&self.jobs, &pod) {
            let written = Written::default();
            untrack(&self.client, namespace, &Which::of(&pod), &written).await?;
            written.visible(self.pods.informer()).await;
        }
        Ok(())
    }

    fn actor<'a>(&'a self, job: &'a Job) -> Actor<'a> {
        Actor {
            client: &self.client,
            recorder: &self.recorder,
            jobs: &self.jobs,
            pods: self.pods.informer(),
            job,
        }
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<String, Failures>> {
        // Edits under this lock leave it whole even if they are broken off.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Only an edit can help; it wakes the Job.
fn unworkable(name: &Name, why: &WorkError) {
    error!(job = ?name, error = %why, "a Job cannot be worked on");
}
