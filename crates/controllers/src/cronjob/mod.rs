//! The CronJob controller: starts a Job at each time of a schedule. Here is the wiring and the acting; `plan`
//! decides and is pure.

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use kube::{Api, Resource, ResourceExt, api::PostParams};
use plinth_client::{ApiError, EventKind, Informer, Recorder, WorkQueue, run_workers};
use tokio::task::JoinSet;

use self::plan::{Plan, World, is_ours, plan};
use crate::{
    Context,
    index::Index,
    ownership,
    writes::{Name, delete_only, name_of, revision, unless_outrun},
    written::Written,
};

const WORKERS: usize = 5;

struct Controller {
    client: kube::Client,
    recorder: Recorder,
    crons: Informer<CronJob>,
    jobs: Index<Job>,
    queue: WorkQueue<Name>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller {
        client: cx.client(),
        recorder: cx.recorder("cronjob-controller"),
        crons: cx.informers.of(),
        // The index listens before the queue does: whoever is woken finds it up to date.
        jobs: Index::new(cx.informers.of()),
        queue: cx.queue("cronjob"),
    });
    let to = controller.queue.clone();
    controller
        .crons
        .on_change(move |change| to.add(name_of(&**change.latest())));
    let (to, crons) = (controller.queue.clone(), controller.crons.clone());
    controller.jobs.informer().on_change(move |change| {
        // A CronJob takes no strangers in, so it selects none.
        ownership::wake(&crons, change, |_, _| false, &to);
    });
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        let synced = shutdown.run_until_cancelled(async {
            controller.crons.synced().await;
            controller.jobs.informer().synced().await;
        });
        if synced.await.is_none() {
            return;
        }
        let queue = controller.queue.clone();
        run_workers(queue, WORKERS, shutdown, move |name| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&name).await }
        })
        .await;
    });
}

impl Controller {
    async fn reconcile(&self, key: &Name) -> Result<(), kube::Error> {
        let (namespace, name) = key;
        let Some(cron) = self.crons.get(Some(namespace), name) else {
            return Ok(());
        };
        let uid = cron.uid().unwrap_or_default();
        let jobs = self.jobs.owned(namespace, &uid);
        let world = World {
            cron: &cron,
            jobs: &jobs,
        };
        let plan = plan(&world, Timestamp::now());
        if let Some(delay) = plan.again_in {
            self.queue.add_after(key.clone(), delay);
        }
        let written = Written::default();
        let outcome = self.act(&cron, &plan, &written).await;
        written.visible(self.jobs.informer()).await;
        match outcome {
            // The CronJob is about to go as well (G-11).
            Err(error) if error.is_namespace_terminating() => Ok(()),
            other => other,
        }
    }

    async fn act(
        &self,
        cron: &CronJob,
        plan: &Plan,
        written: &Written<Job>,
    ) -> Result<(), kube::Error> {
        for told in &plan.events {
            self.tell(cron, told.kind, told.reason, &told.message);
        }
        for job in &plan.delete {
            self.delete(cron, job, written).await?;
        }
        let mut status = plan.status.clone();
        if let Some((job, due)) = &plan.start
            && let Some(job) = self.start(cron, job, written).await?
        {
            status = plan.started(&job, *due);
        }
        self.write_status(cron, status).await
    }

    async fn delete(
        &self,
        cron: &CronJob,
        job: &Job,
        written: &Written<Job>,
    ) -> Result<(), kube::Error> {
        let (name, uid) = (job.name_any(), job.uid().unwrap_or_default());
        let api = self.jobs_of(cron);
        match api.delete(&name, &delete_only(&uid)).await {
            Ok(_) => {
                let message = format!("Deleted job {name}");
                self.tell(cron, EventKind::Normal, "SuccessfulDelete", &message);
                let namespace = cron.namespace().unwrap_or_default();
                written.deleted(&namespace, &name, &uid);
                Ok(())
            }
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => {
                let message = format!("Deleted job: {}", error.text());
                self.tell(cron, EventKind::Warning, "FailedDelete", &message);
                Err(error)
            }
        }
    }

    /// Starts a Job; `None` when its name is a stranger's, or its own from an earlier start that has ended.
    async fn start(
        &self,
        cron: &CronJob,
        job: &Job,
        written: &Written<Job>,
    ) -> Result<Option<Job>, kube::Error> {
        let api = self.jobs_of(cron);
        match api.create(&PostParams::default(), job).await {
            Ok(made) => {
                written.note(&made);
                let message = format!("Created job {}", made.name_any());
                self.tell(cron, EventKind::Normal, "SuccessfulCreate", &message);
                Ok(Some(made))
            }
            Err(error) if error.is_already_exists() => {
                let found = api.get_opt(&job.name_any()).await?;
                Ok(found.filter(|found| is_ours(cron, found)))
            }
            Err(error) => {
                if !error.is_namespace_terminating() {
                    let message = format!("Error creating job: {}", error.text());
                    self.tell(cron, EventKind::Warning, "FailedCreate", &message);
                }
                Err(error)
            }
        }
    }

    /// Writes the status if it differs; whatever was faster brings the CronJob back here.
    async fn write_status(&self, cron: &CronJob, status: CronJobStatus) -> Result<(), kube::Error> {
        if cron.status.clone().unwrap_or_default() == status {
            return Ok(());
        }
        let mut cron = cron.clone();
        cron.status = Some(status);
        let namespace = cron.namespace().unwrap_or_default();
        let api: Api<CronJob> = Api::namespaced(self.client.clone(), &namespace);
        let answer = api
            .replace_status(&cron.name_any(), &PostParams::default(), &cron)
            .await;
        if let Some(written) = unless_outrun(answer)? {
            self.crons.seen(revision(&written)).await;
        }
        Ok(())
    }

    fn tell(&self, cron: &CronJob, kind: EventKind, reason: &str, message: &str) {
        let reference = cron.object_ref(&());
        self.recorder.event(&reference, kind, reason, message);
    }

    fn jobs_of(&self, cron: &CronJob) -> Api<Job> {
        let namespace = cron.namespace().unwrap_or_default();
        Api::namespaced(self.client.clone(), &namespace)
    }
}
