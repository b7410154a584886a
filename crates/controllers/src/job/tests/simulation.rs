//! A small API with its kubelet, played one write at a time and written down as a timeline. The
//! controller sees it through views that may lag, and may be broken off after any write.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobStatus},
        core::v1::{Pod, PodStatus},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::{
    job::{
        backoff::Failures,
        member,
        plan::{self, Action, Which, World, plan},
        track::track,
        work::{TRACKING, Work, is_finished},
    },
    ownership::controlled_by,
};

/// The controller broke off in the middle.
pub(crate) struct Crash;

/// Everything there is, what the controller sees of it, and what was written so far.
pub(crate) struct Simulation {
    pub(crate) job: Job,
    pub(crate) pods: BTreeMap<String, Arc<Pod>>,
    seen_job: Job,
    seen_pods: BTreeMap<String, Arc<Pod>>,
    failures: Failures,
    pub(crate) now: Timestamp,
    pub(crate) log: Vec<String>,
    again_in: Option<std::time::Duration>,
    made: u32,
    writes: u64,
    /// Writes until the next crash.
    pub(crate) fuse: Option<u32>,
}

impl Simulation {
    pub(crate) fn new(spec: &Value) -> Self {
        let mut job = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "task", "namespace": "ns", "uid": "job"},
            "spec": {
                "selector": {"matchLabels": {"job-name": "task"}},
                "template": {
                    "metadata": {"labels": {"job-name": "task"}},
                    "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "v1"}]}
                }
            }
        });
        merge(&mut job["spec"], spec);
        let kind = plinth_api::find("batch", "v1", "jobs").expect("in the catalogue");
        kind.strategy.default(&mut job);
        let job: Job = serde_json::from_value(job).expect("a Job");
        Self {
            seen_job: job.clone(),
            job,
            pods: BTreeMap::new(),
            seen_pods: BTreeMap::new(),
            failures: Failures::default(),
            now: "2026-01-01T00:00:00Z".parse().expect("a time"),
            log: Vec::new(),
            again_in: None,
            made: 0,
            writes: 0,
            fuse: None,
        }
    }

    /// The watches catch up, each on its own.
    pub(crate) fn catch_up(&mut self, job: bool, pods: bool) {
        if job {
            self.seen_job = self.job.clone();
        }
        if pods {
            self.seen_pods = self.pods.clone();
        }
    }

    /// Plans and writes until there is nothing to write.
    pub(crate) fn settle(&mut self) {
        for _ in 0..200 {
            self.catch_up(true, true);
            let before = self.writes;
            if self.round().is_err() {
                // A new controller knows nothing.
                self.failures = Failures::default();
            } else if self.writes == before {
                return;
            }
        }
        panic!("never quiet:\n{}", self.log.join("\n"));
    }

    /// One round as the controller does it, by what it sees.
    pub(crate) fn round(&mut self) -> Result<(), Crash> {
        if is_finished(&self.seen_job) {
            return self.let_strays_go();
        }
        let pods = self.look();
        let world = World {
            job: &self.seen_job,
            pods: &pods,
            failures: &self.failures,
        };
        let decided = plan(&world, self.now).expect("a plan");
        self.again_in = decided.again_in;
        if !decided.claims.is_empty() {
            for action in &decided.claims {
                self.execute(action)?;
            }
            return Ok(());
        }
        for action in &decided.pods {
            self.execute(action)?;
        }
        let pods = self.look();
        let world = World {
            job: &self.seen_job,
            pods: &pods,
            failures: &self.failures,
        };
        let tracked = track(&world, self.now).expect("a plan");
        if let Some(status) = tracked.status {
            if self.job.metadata.resource_version != self.seen_job.metadata.resource_version {
                self.log.push("STATUS -> Conflict".to_owned());
                return Ok(());
            }
            self.job.status = Some((*status).clone());
            self.bump_job();
            self.wrote(&format!("STATUS {}", text(&status)))?;
            self.catch_up(true, false);
        }
        for told in &tracked.events {
            self.log
                .push(format!("EVENT {}: {}", told.reason, told.message));
        }
        for pod in &tracked.untrack {
            self.untrack(pod)?;
        }
        Ok(())
    }

    fn look(&mut self) -> Vec<Arc<Pod>> {
        let pods: Vec<_> = self.seen_pods.values().cloned().collect();
        let work = Work::parse(&self.seen_job).expect("a Job");
        let members = plan::members(&work, &pods);
        self.failures.learn(&work, members.iter().map(|pod| &**pod));
        pods
    }

    fn let_strays_go(&mut self) -> Result<(), Crash> {
        let strays = self
            .seen_pods
            .values()
            .filter(|pod| member::is_tracked(pod));
        let strays: Vec<_> = strays.map(|pod| Which::of(pod)).collect();
        strays.iter().try_for_each(|pod| self.untrack(pod))
    }

    fn execute(&mut self, action: &Action) -> Result<(), Crash> {
        match action {
            Action::Adopt(pod) => {
                let owner = controlled_by(&self.job);
                if let Some(pod) = self.change(pod) {
                    pod.owner_references_mut().push(owner);
                    pod.finalizers_mut().push(TRACKING.to_owned());
                }
                self.wrote_pod(&format!("PATCH Pod {}: adopt", pod.name))
            }
            Action::Release(pod) => {
                if let Some(pod) = self.change(pod) {
                    pod.owner_references_mut().clear();
                    pod.finalizers_mut().retain(|held| held != TRACKING);
                }
                self.wrote_pod(&format!("PATCH Pod {}: release", pod.name))
            }
            Action::Dismiss(pod) => {
                self.untrack(pod)?;
                self.delete(pod)
            }
            Action::Delete(pod) => self.delete(pod),
            Action::Create(pod) => self.create(pod),
        }
    }

    fn create(&mut self, pod: &Pod) -> Result<(), Crash> {
        let mut pod = pod.clone();
        self.made += 1;
        let prefix = pod.metadata.generate_name.clone().unwrap_or_default();
        let name = format!("{prefix}{}", self.made);
        pod.metadata.name = Some(name.clone());
        pod.metadata.uid = Some(format!("u{}", self.made));
        pod.metadata.creation_timestamp = Some(Time(self.now));
        pod.status = Some(PodStatus {
            phase: Some("Pending".to_owned()),
            ..PodStatus::default()
        });
        let mut line = format!("POST Pod {name}");
        let (counted, ignored) = member::index_failures(&pod);
        if counted + ignored > 0 {
            write!(line, " after {counted} failures and {ignored} ignored").expect("a string");
        }
        self.pods.insert(name, Arc::new(pod));
        self.wrote_pod(&line)
    }

    fn delete(&mut self, which: &Which) -> Result<(), Crash> {
        let now = self.now;
        if let Some(pod) = self.change(which) {
            pod.metadata.deletion_timestamp = Some(Time(now));
        }
        self.wrote_pod(&format!("DELETE Pod {}", which.name))
    }

    fn untrack(&mut self, which: &Which) -> Result<(), Crash> {
        if let Some(pod) = self.change(which) {
            pod.finalizers_mut().retain(|held| held != TRACKING);
            let gone = pod.finalizers().is_empty()
                && pod.metadata.deletion_timestamp.is_some()
                && matches!(member::phase(pod), "Succeeded" | "Failed");
            if gone {
                self.pods.remove(&which.name);
            }
        }
        self.wrote_pod(&format!("PATCH Pod {}: untrack", which.name))
    }

    fn change(&mut self, which: &Which) -> Option<&mut Pod> {
        let pod = self.pods.get_mut(&which.name)?;
        (pod.uid().as_ref() == Some(&which.uid)).then(|| Arc::make_mut(pod))
    }

    fn wrote_pod(&mut self, line: &str) -> Result<(), Crash> {
        let outcome = self.wrote(line);
        self.catch_up(false, true);
        outcome
    }

    fn wrote(&mut self, line: &str) -> Result<(), Crash> {
        self.writes += 1;
        self.log.push(line.to_owned());
        match &mut self.fuse {
            Some(0) => {
                self.fuse = None;
                self.log.push("-- crash".to_owned());
                Err(Crash)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn bump_job(&mut self) {
        let version = self.writes + 1;
        self.job.metadata.resource_version = Some(version.to_string());
    }
}

/// What users and kubelets do.
impl Simulation {
    /// Time passes; of itself that wakes nobody but a Job that asked for it.
    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// Lets the time pass that the controller asked for; whether it asked.
    pub(crate) fn wait_as_asked(&mut self) -> bool {
        let Some(time) = self.again_in.take() else {
            return false;
        };
        self.now += SignedDuration::try_from(time).expect("short");
        true
    }

    pub(crate) fn edit_job(&mut self, patch: &Value) {
        let mut job = serde_json::to_value(&self.job).expect("serializes");
        merge(&mut job, patch);
        self.job = serde_json::from_value(job).expect("a Job");
        self.writes += 1;
        self.bump_job();
    }

    pub(crate) fn edit_pod(&mut self, name: &str, patch: &Value) {
        let mut pod = match self.pods.get(name) {
            Some(pod) => serde_json::to_value(&**pod).expect("serializes"),
            None => {
                json!({"metadata": {"name": name, "namespace": "ns", "uid": format!("user-{name}")}})
            }
        };
        merge(&mut pod, patch);
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        self.pods.insert(name.to_owned(), Arc::new(pod));
    }

    /// The kubelet reports how the pod ended, or that it runs.
    pub(crate) fn report(&mut self, name: &str, phase: &str, exit_code: Option<i32>) {
        let now = self.now.to_string();
        let state = match exit_code {
            Some(code) => json!({"terminated": {"exitCode": code, "finishedAt": now}}),
            None => json!({"running": {}}),
        };
        let ready = if phase == "Running" { "True" } else { "False" };
        let status = json!({"status": {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": now}],
            "containerStatuses": [{"name": "main", "image": "v1", "imageID": "", "ready": false,
                "restartCount": 0, "state": state}],
        }});
        assert!(
            self.pods.contains_key(name),
            "no pod {name}:\n{}",
            self.log.join("\n")
        );
        self.edit_pod(name, &status);
    }

    pub(crate) fn delete_pod(&mut self, name: &str) {
        let pod = Arc::make_mut(self.pods.get_mut(name).expect("exists"));
        pod.metadata.deletion_timestamp = Some(Time(self.now));
    }

    /// The kubelet has ended the containers of a pod that is being deleted.
    pub(crate) fn confirm(&mut self, name: &str) {
        if !matches!(member::phase(&self.pods[name]), "Succeeded" | "Failed") {
            self.report(name, "Failed", Some(137));
        }
        if self.pods[name].finalizers().is_empty() {
            self.pods.remove(name);
        }
    }
}

/// A status in one line.
pub(crate) fn text(status: &JobStatus) -> String {
    let mut text = String::new();
    let mut add = |name: &str, value: String| {
        if !value.is_empty() && value != "0" {
            write!(text, "{name}={value} ").expect("strings take writes");
        }
    };
    let count = |count: Option<i32>| count.unwrap_or(0).to_string();
    add("active", count(status.active));
    add("ready", count(status.ready));
    add("terminating", count(status.terminating));
    add("succeeded", count(status.succeeded));
    add("failed", count(status.failed));
    add(
        "completedIndexes",
        status.completed_indexes.clone().unwrap_or_default(),
    );
    add(
        "failedIndexes",
        status.failed_indexes.clone().unwrap_or_default(),
    );
    if let Some(uncounted) = &status.uncounted_terminated_pods {
        let list = |uids: &Option<Vec<String>>| uids.clone().unwrap_or_default().join(",");
        add("uncounted.succeeded", list(&uncounted.succeeded));
        add("uncounted.failed", list(&uncounted.failed));
    }
    for condition in status.conditions.iter().flatten() {
        let reason = condition.reason.clone().unwrap_or_default();
        add(&condition.type_, format!("{}({reason})", condition.status));
    }
    text.trim_end().to_owned()
}

/// RFC 7386.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            target.as_object_mut().expect("an object").remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}
