//! A StatefulSet as its controller reads it: parsed once, with every default applied. Pure.

use k8s_openapi::{
    api::{
        apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus},
        core::v1::{PersistentVolumeClaim, PodTemplateSpec},
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, OwnerReference},
        util::intstr::IntOrString,
    },
};
use kube::core::{ParseExpressionError, Selector};

/// A member's number within its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ordinal(pub(crate) u32);

/// How members are replaced when the template changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Strategy {
    /// Only when the user deletes them (C-34).
    OnDelete,
    /// By the controller, from the highest ordinal down.
    RollingUpdate {
        /// `None` when the set has no `rollingUpdate` block at all, which C-13 tells apart from 0.
        partition: Option<u32>,
        max_unavailable: Option<IntOrString>,
    },
}

/// Which claims go with what (C-54).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    pub(crate) delete_with_set: bool,
    pub(crate) delete_when_scaled: bool,
}

/// The parts of a StatefulSet that decisions are made from.
#[derive(Debug)]
pub(crate) struct Set<'a> {
    pub(crate) object: &'a StatefulSet,
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) uid: &'a str,
    pub(crate) deleting: bool,
    pub(crate) replicas: u32,
    pub(crate) start: u32,
    /// OrderedReady; otherwise Parallel.
    pub(crate) ordered: bool,
    pub(crate) strategy: Strategy,
    pub(crate) min_ready_seconds: i64,
    pub(crate) selector: Selector,
    pub(crate) label_selector: &'a LabelSelector,
    pub(crate) retention: Retention,
    /// `None` keeps every revision.
    pub(crate) history_limit: Option<usize>,
    pub(crate) template: &'a PodTemplateSpec,
    pub(crate) claim_templates: &'a [PersistentVolumeClaim],
    pub(crate) service_name: &'a str,
    pub(crate) status: StatefulSetStatus,
}

/// Why a StatefulSet cannot be worked on; trying again does not help until it is edited (C-5).
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetError {
    #[error("the StatefulSet has no {0}")]
    Missing(&'static str),
    #[error("the selector is invalid: {0}")]
    Selector(#[from] ParseExpressionError),
}

impl<'a> Set<'a> {
    pub(crate) fn parse(object: &'a StatefulSet) -> Result<Self, SetError> {
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
            deleting: meta.deletion_timestamp.is_some(),
            replicas: natural(spec.replicas, 1),
            start: natural(spec.ordinals.as_ref().and_then(|o| o.start), 0),
            ordered: spec.pod_management_policy.as_deref() != Some("Parallel"),
            strategy: strategy(spec),
            min_ready_seconds: i64::from(spec.min_ready_seconds.unwrap_or(0)),
            selector: Selector::try_from(spec.selector.clone())?,
            label_selector: &spec.selector,
            retention: retention(spec),
            history_limit: usize::try_from(spec.revision_history_limit.unwrap_or(10)).ok(),
            template: &spec.template,
            claim_templates: spec.volume_claim_templates.as_deref().unwrap_or_default(),
            service_name: spec.service_name.as_deref().unwrap_or_default(),
            status: object.status.clone().unwrap_or_default(),
        })
    }

    /// Whether the ordinal is one the set wants (C-10).
    pub(crate) fn in_range(&self, ordinal: Ordinal) -> bool {
        ordinal.0 >= self.start && ordinal.0 - self.start < self.replicas
    }

    /// The reference that makes something belong to this set.
    pub(crate) fn owner_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: "apps/v1".to_owned(),
            kind: "StatefulSet".to_owned(),
            name: self.name.to_owned(),
            uid: self.uid.to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }

    /// `StatefulSet ns/name`, for errors.
    pub(crate) fn text(&self) -> String {
        format!("StatefulSet {}/{}", self.namespace, self.name)
    }
}

fn natural(value: Option<i32>, default: u32) -> u32 {
    value.map_or(default, |value| u32::try_from(value).unwrap_or(0))
}

fn strategy(spec: &StatefulSetSpec) -> Strategy {
    let update = spec.update_strategy.as_ref();
    if update.and_then(|u| u.type_.as_deref()) == Some("OnDelete") {
        return Strategy::OnDelete;
    }
    let rolling = update.and_then(|u| u.rolling_update.as_ref());
    Strategy::RollingUpdate {
        partition: rolling.map(|r| natural(r.partition, 0)),
        max_unavailable: rolling.and_then(|r| r.max_unavailable.clone()),
    }
}

fn retention(spec: &StatefulSetSpec) -> Retention {
    let policy = spec.persistent_volume_claim_retention_policy.as_ref();
    let deletes = |field: Option<&String>| field.is_some_and(|value| value == "Delete");
    Retention {
        delete_with_set: deletes(policy.and_then(|p| p.when_deleted.as_ref())),
        delete_when_scaled: deletes(policy.and_then(|p| p.when_scaled.as_ref())),
    }
}
