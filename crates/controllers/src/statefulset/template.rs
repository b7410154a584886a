//! Makes a member's pod from a revision (§1.8, C-13). Pure.

use k8s_openapi::{
    api::core::v1::{Pod, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    claims::volumes,
    identity::{REVISION_LABEL, labels, pod_name},
    set::{Ordinal, Set, Strategy},
};

/// Whether a member created now comes at the current revision rather than the update (C-13).
pub(crate) fn created_at_current(set: &Set<'_>, ordinal: Ordinal) -> bool {
    let below = |count: u32| ordinal.0 < set.start.saturating_add(count);
    match set.strategy {
        Strategy::OnDelete => false,
        Strategy::RollingUpdate {
            partition: Some(partition),
            ..
        } => below(partition),
        Strategy::RollingUpdate {
            partition: None, ..
        } => {
            let current = set.status.current_replicas.unwrap_or(0);
            below(u32::try_from(current).unwrap_or(0))
        }
    }
}

/// The member's pod at the revision of that name.
pub(crate) fn pod(
    set: &Set<'_>,
    ordinal: Ordinal,
    revision: &str,
    template: PodTemplateSpec,
) -> Pod {
    let name = pod_name(set, ordinal);
    let meta = template.metadata.unwrap_or_default();
    let mut all_labels = meta.labels.unwrap_or_default();
    all_labels.extend(labels(set, ordinal));
    all_labels.insert(REVISION_LABEL.to_owned(), revision.to_owned());
    let mut spec = template.spec.unwrap_or_default();
    let volumes = volumes(set, ordinal, spec.volumes.as_deref().unwrap_or_default());
    spec.volumes = (!volumes.is_empty()).then_some(volumes);
    spec.hostname = Some(name.clone());
    spec.subdomain = (!set.service_name.is_empty()).then(|| set.service_name.to_owned());
    Pod {
        metadata: ObjectMeta {
            name: Some(name),
            generate_name: Some(format!("{}-", set.name)),
            namespace: Some(set.namespace.to_owned()),
            labels: Some(all_labels),
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![set.owner_reference()]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}
