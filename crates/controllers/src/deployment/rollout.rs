//! What a Deployment asks for, read once. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentSpec},
    core::v1::PodTemplateSpec,
};

use crate::share::{Round, share};

/// The label that tells the pods of one template from those of another (D-2).
pub(crate) const HASH_LABEL: &str = "pod-template-hash";

/// How a new template takes the place of the old one (D-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// All old pods are gone before a new one is made.
    Recreate,
    /// So many pods more than wanted, so many fewer available.
    Rolling { surge: i32, unavailable: i32 },
}

/// A Deployment with its defaults resolved.
pub(crate) struct Rollout<'a> {
    pub(crate) object: &'a Deployment,
    pub(crate) spec: &'a DeploymentSpec,
    pub(crate) replicas: i32,
    pub(crate) strategy: Strategy,
    pub(crate) paused: bool,
    /// How long a rollout may go without progress; `None` for ever.
    pub(crate) deadline: Option<Duration>,
    /// How many old sets are kept; `None` for all.
    pub(crate) history_limit: Option<usize>,
    pub(crate) now: Timestamp,
}

impl<'a> Rollout<'a> {
    pub(crate) fn of(object: &'a Deployment, spec: &'a DeploymentSpec, now: Timestamp) -> Self {
        let replicas = spec.replicas.unwrap_or(1);
        // The largest number stands for none.
        let limited = |limit: Option<i32>, default| {
            let limit = limit.unwrap_or(default);
            (limit != i32::MAX).then_some(limit)
        };
        let seconds = limited(spec.progress_deadline_seconds, 600);
        let deadline = seconds.map(|n| Duration::from_secs(u64::try_from(n).unwrap_or(0)));
        let kept = limited(spec.revision_history_limit, 10);
        Self {
            object,
            spec,
            replicas,
            strategy: strategy(spec, replicas),
            paused: spec.paused == Some(true),
            deadline,
            history_limit: kept.map(|n| usize::try_from(n).unwrap_or(0)),
            now,
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    /// How many pods more than wanted there may be.
    pub(crate) fn surge(&self) -> i32 {
        match self.strategy {
            Strategy::Recreate => 0,
            Strategy::Rolling { surge, .. } => surge,
        }
    }

    /// How many pods must stay available.
    pub(crate) fn min_available(&self) -> i32 {
        match self.strategy {
            Strategy::Recreate => self.replicas,
            Strategy::Rolling { unavailable, .. } => self.replicas - unavailable.min(self.replicas),
        }
    }

    /// Whether a set's template is the one wanted: its hash label is the controller's own doing.
    pub(crate) fn wants(&self, template: &PodTemplateSpec) -> bool {
        bare(template) == bare(&self.spec.template)
    }
}

/// D-3: a surge is rounded up, what may be unavailable down; where both come to nothing, one pod may be
/// unavailable, or nothing could ever change.
fn strategy(spec: &DeploymentSpec, replicas: i32) -> Strategy {
    let strategy = spec.strategy.as_ref();
    if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
        return Strategy::Recreate;
    }
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let of = |value: Option<_>, round| value.map_or(0, |value| share(value, replicas, round));
    let surge = of(
        rolling.and_then(|rolling| rolling.max_surge.as_ref()),
        Round::Up,
    );
    let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
    let unavailable = match of(unavailable, Round::Down) {
        0 if surge == 0 => 1,
        unavailable => unavailable,
    };
    Strategy::Rolling { surge, unavailable }
}

/// The template without its hash label.
pub(crate) fn bare(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    if let Some(meta) = &mut template.metadata
        && let Some(labels) = &mut meta.labels
    {
        labels.remove(HASH_LABEL);
        if labels.is_empty() {
            meta.labels = None;
        }
    }
    template
}
