//! Deletes finished Jobs when their time is up (`ttlSecondsAfterFinished`), and their pods with them. Knows
//! nothing of how a Job finishes.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use plinth_client::{Informer, WorkQueue, run_workers};
use tokio::task::JoinSet;

use crate::{
    Context,
    job::work::finished,
    writes::{Name, is_terminating, name_of, unless_outrun},
};

const WORKERS: usize = 2;

/// What becomes of a Job.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It has not finished, or may stay for ever; an edit brings it back here.
    Stays,
    LookAgain(Duration),
    /// Its time is up.
    Goes,
}

struct Controller {
    client: kube::Client,
    jobs: Informer<Job>,
    queue: WorkQueue<Name>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller {
        client: cx.client(),
        jobs: cx.informers.of(),
        queue: cx.queue("ttl_jobs_to_delete"),
    });
    let to = controller.queue.clone();
    controller.jobs.on_change(move |change| {
        if let Some(job) = &change.new
            && plan(job, Timestamp::MIN) != Verdict::Stays
        {
            to.add(name_of(&**job));
        }
    });
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.jobs.synced().await;
        run_workers(controller.queue.clone(), WORKERS, shutdown, move |name| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&name).await }
        })
        .await;
    });
}

impl Controller {
    async fn reconcile(&self, key: &Name) -> Result<(), kube::Error> {
        let (namespace, name) = key;
        let Some(job) = self.jobs.get(Some(namespace), name) else {
            return Ok(());
        };
        match plan(&job, Timestamp::now()) {
            Verdict::Stays => Ok(()),
            Verdict::LookAgain(after) => {
                self.queue.add_after(key.clone(), after);
                Ok(())
            }
            Verdict::Goes => {
                // On this very version: somebody may have given it more time just now.
                let params = DeleteParams::foreground().preconditions(Preconditions {
                    uid: job.uid(),
                    resource_version: job.resource_version(),
                });
                let api: Api<Job> = Api::namespaced(self.client.clone(), namespace);
                unless_outrun(api.delete(name, &params).await.map(|_| ()))?;
                Ok(())
            }
        }
    }
}

fn plan(job: &Job, now: Timestamp) -> Verdict {
    let ttl = job
        .spec
        .as_ref()
        .and_then(|spec| spec.ttl_seconds_after_finished);
    let ended = finished(job).and_then(|condition| condition.last_transition_time.as_ref());
    let (Some(ttl), Some(ended)) = (ttl, ended) else {
        return Verdict::Stays;
    };
    if is_terminating(job) {
        return Verdict::Stays;
    }
    let Ok(up) = ended.0.checked_add(SignedDuration::from_secs(ttl.into())) else {
        return Verdict::Stays;
    };
    match Duration::try_from(up.duration_since(now)) {
        Ok(left) if !left.is_zero() => Verdict::LookAgain(left),
        _ => Verdict::Goes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    fn job(ttl: &str, condition: &str) -> Job {
        object(&format!(
            "{{metadata: {{name: a}}, spec: {{{ttl} template: {{}}}}, status: {{conditions: \
             [{{type: {condition}, status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z'}}]}}}}"
        ))
    }

    #[test]
    fn a_finished_job_goes_when_its_time_is_up() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let ttl = "ttlSecondsAfterFinished: 60,";
        for condition in ["Complete", "Failed"] {
            let job = job(ttl, condition);
            let left = Verdict::LookAgain(Duration::from_secs(1));
            assert_eq!(plan(&job, at("2026-01-01T00:00:59Z")), left);
            assert_eq!(plan(&job, at("2026-01-01T00:01:00Z")), Verdict::Goes);
        }
        let late = at("2027-01-01T00:00:00Z");
        assert_eq!(plan(&job("", "Complete"), late), Verdict::Stays);
        assert_eq!(plan(&job(ttl, "FailureTarget"), late), Verdict::Stays);
    }
}
