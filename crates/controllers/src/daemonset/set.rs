//! A DaemonSet as its controller reads it: parsed once, with every default applied. Pure.

use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetStatus},
        core::v1::{Pod, PodTemplateSpec},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{
    ResourceExt,
    core::{ParseExpressionError, Selector},
};

use crate::{
    pods::{available_in, is_available},
    writes::annotation,
};
use jiff::Timestamp;

/// On pods: the hash of the revision they were made from.
pub(crate) const HASH_LABEL: &str = "controller-revision-hash";
/// On pods: how often the template had changed when they were made.
pub(crate) const GENERATION_LABEL: &str = "pod-template-generation";
const GENERATION_ANNOTATION: &str = "deprecated.daemonset.template.generation";

/// How pods are replaced when the template changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Strategy {
    /// Only when the user deletes them.
    OnDelete,
    RollingUpdate {
        max_unavailable: Option<IntOrString>,
        max_surge: Option<IntOrString>,
    },
}

/// The parts of a DaemonSet that decisions are made from.
pub(crate) struct Set<'a> {
    pub(crate) object: &'a DaemonSet,
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) uid: &'a str,
    pub(crate) strategy: Strategy,
    pub(crate) min_ready_seconds: i64,
    pub(crate) selector: Selector,
    /// `None` keeps every revision.
    pub(crate) history_limit: Option<usize>,
    pub(crate) template: &'a PodTemplateSpec,
    pub(crate) template_generation: Option<&'a str>,
    pub(crate) status: DaemonSetStatus,
}

/// Why a DaemonSet cannot be worked on; trying again does not help until it is edited.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetError {
    #[error("the DaemonSet has no {0}")]
    Missing(&'static str),
    #[error("the selector is invalid: {0}")]
    Selector(#[from] ParseExpressionError),
}

impl<'a> Set<'a> {
    pub(crate) fn parse(object: &'a DaemonSet) -> Result<Self, SetError> {
        let meta = &object.metadata;
        let spec = object.spec.as_ref().ok_or(SetError::Missing("spec"))?;
        Ok(Self {
            object,
            name: meta.name.as_deref().ok_or(SetError::Missing("name"))?,
            namespace: meta
                .namespace
                .as_deref()
                .ok_or(SetError::Missing("namespace"))?,
            uid: meta.uid.as_deref().ok_or(SetError::Missing("uid"))?,
            strategy: strategy(spec),
            min_ready_seconds: i64::from(spec.min_ready_seconds.unwrap_or(0)),
            selector: Selector::try_from(spec.selector.clone())?,
            history_limit: usize::try_from(spec.revision_history_limit.unwrap_or(10)).ok(),
            template: &spec.template,
            template_generation: annotation(object, GENERATION_ANNOTATION),
            status: object.status.clone().unwrap_or_default(),
        })
    }

    /// Pods that may be missing during an update, and pods that may be there twice, of that many wanted.
    /// Shares of the whole are rounded up. Neither would mean that nothing ever moves.
    pub(crate) fn leeway(&self, wanted: usize) -> (usize, usize) {
        let Strategy::RollingUpdate {
            max_unavailable,
            max_surge,
        } = &self.strategy
        else {
            return (0, 0);
        };
        let unavailable = share(max_unavailable.as_ref(), 1, wanted);
        let surge = share(max_surge.as_ref(), 0, wanted);
        if unavailable == 0 && surge == 0 {
            (1, 0)
        } else {
            (unavailable, surge)
        }
    }

    /// Whether the pod is made from the present template.
    pub(crate) fn is_updated(&self, pod: &Pod, hash: &str) -> bool {
        let label = |key| pod.labels().get(key).map(String::as_str);
        label(HASH_LABEL) == Some(hash)
            || (self.template_generation.is_some()
                && label(GENERATION_LABEL) == self.template_generation)
    }

    pub(crate) fn is_available(&self, pod: &Pod, now: Timestamp) -> bool {
        is_available(pod, self.min_ready_seconds, now)
    }

    /// Milliseconds until the pod becomes available if nothing happens to it.
    pub(crate) fn available_in(&self, pod: &Pod, now: Timestamp) -> Option<u64> {
        available_in(pod, self.min_ready_seconds, now).filter(|left| *left > 0)
    }
}

fn strategy(spec: &DaemonSetSpec) -> Strategy {
    let update = spec.update_strategy.as_ref();
    if update.and_then(|update| update.type_.as_deref()) == Some("OnDelete") {
        return Strategy::OnDelete;
    }
    let rolling = update.and_then(|update| update.rolling_update.as_ref());
    Strategy::RollingUpdate {
        max_unavailable: rolling.and_then(|rolling| rolling.max_unavailable.clone()),
        max_surge: rolling.and_then(|rolling| rolling.max_surge.clone()),
    }
}

fn share(value: Option<&IntOrString>, default: usize, of: usize) -> usize {
    match value {
        None => default,
        Some(IntOrString::Int(count)) => usize::try_from(*count).unwrap_or(0),
        Some(IntOrString::String(text)) => {
            let percent = text.strip_suffix('%').and_then(|text| text.parse().ok());
            percent.map_or(default, |percent: usize| (percent * of).div_ceil(100))
        }
    }
}
