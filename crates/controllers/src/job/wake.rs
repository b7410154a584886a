//! What wakes a Job, and what wakes the care for pods whose Job is gone. Knows nothing of what is done then.

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    ResourceExt,
    core::{Selector, SelectorExt},
};
use plinth_client::{Change, Informer, WorkQueue};

use super::{
    member::is_tracked,
    work::{is_finished, is_managed_elsewhere},
};
use crate::{
    index::Index,
    ownership::controller,
    writes::{Name, name_of},
};

/// What there is to look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Job(Name),
    /// A pod that no Job may count any more, but that still waits to be counted.
    Stray(Name),
}

/// Puts the keys of all concerned on the queue, from now on.
pub(crate) fn listen(jobs: &Informer<Job>, pods: &Index<Pod>, queue: &WorkQueue<Key>) {
    let (owned, woken) = (pods.clone(), queue.clone());
    jobs.on_change(move |change| {
        let job = change.latest();
        woken.add(Key::Job(name_of(&**job)));
        if change.new.as_ref().is_none_or(|job| is_finished(job)) {
            let uid = job.uid().unwrap_or_default();
            for pod in owned.owned(&job.namespace().unwrap_or_default(), &uid) {
                if is_tracked(&pod) {
                    woken.add(Key::Stray(name_of(&*pod)));
                }
            }
        }
    });
    let (jobs, woken) = (jobs.clone(), queue.clone());
    pods.informer()
        .on_change(move |change| on_pod(&jobs, change, &woken));
}

fn on_pod(jobs: &Informer<Job>, change: &Change<Pod>, queue: &WorkQueue<Key>) {
    for pod in change.states() {
        let namespace = pod.namespace().unwrap_or_default();
        match controller(&**pod) {
            Some(owner) if owner.kind == "Job" => {
                let job = jobs.get(Some(&namespace), &owner.name);
                if job.is_some_and(|job| job.metadata.uid.as_ref() == Some(&owner.uid)) {
                    queue.add(Key::Job((namespace, owner.name.clone())));
                }
            }
            Some(_) => {}
            None => {
                for job in jobs.in_namespace(&namespace) {
                    if selects(&job, pod) {
                        queue.add(Key::Job(name_of(&*job)));
                    }
                }
            }
        }
    }
    if let Some(pod) = &change.new
        && is_stray(jobs, pod)
    {
        queue.add(Key::Stray(name_of(&**pod)));
    }
}

/// Whether no Job counts the pod's end any more, while the pod still waits for that.
pub(crate) fn is_stray(jobs: &Informer<Job>, pod: &Pod) -> bool {
    if !is_tracked(pod) {
        return false;
    }
    let Some(owner) = controller(pod) else {
        return true;
    };
    if owner.kind != "Job" || owner.api_version != "batch/v1" {
        return false;
    }
    let namespace = pod.namespace().unwrap_or_default();
    let job = jobs
        .get(Some(&namespace), &owner.name)
        .filter(|job| job.metadata.uid.as_ref() == Some(&owner.uid));
    job.is_none_or(|job| is_finished(&job) && !is_managed_elsewhere(&job))
}

fn selects(job: &Job, pod: &Pod) -> bool {
    let selector = job.spec.as_ref().and_then(|spec| spec.selector.clone());
    selector
        // An invalid selector selects nothing; the Job's own turn tells of it.
        .and_then(|selector| Selector::try_from(selector).ok())
        .is_some_and(|selector| selector.matches(pod.labels()))
}
