//! Who a member is: its name, number and labels (C-6, C-40, §1.8). Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::set::{Ordinal, Set};

pub(crate) const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
pub(crate) const POD_INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";
pub(crate) const REVISION_LABEL: &str = "controller-revision-hash";

/// The name of the member with that ordinal.
pub(crate) fn pod_name(set: &Set<'_>, ordinal: Ordinal) -> String {
    format!("{}-{}", set.name, ordinal.0)
}

/// The ordinal of a pod that belongs to the set by its name (C-6).
///
/// Only the canonical spelling counts: `web-01` could take the place of `web-1` without being it.
pub(crate) fn ordinal(set: &Set<'_>, pod: &Pod) -> Option<Ordinal> {
    let name = pod.metadata.name.as_deref()?;
    let digits = name.strip_prefix(set.name)?.strip_prefix('-')?;
    let canonical = digits == "0" || !digits.starts_with('0');
    if !canonical || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Upstream's ordinals are int32.
    digits
        .parse()
        .ok()
        .filter(|number| i32::try_from(*number).is_ok())
        .map(Ordinal)
}

/// The name of the revision a pod was made from; empty for an adopted stranger.
pub(crate) fn revision(pod: &Pod) -> &str {
    pod.labels()
        .get(REVISION_LABEL)
        .map(String::as_str)
        .unwrap_or_default()
}

/// The labels that say which member a pod is.
pub(crate) fn labels(set: &Set<'_>, ordinal: Ordinal) -> BTreeMap<String, String> {
    [
        (POD_NAME_LABEL.to_owned(), pod_name(set, ordinal)),
        (POD_INDEX_LABEL.to_owned(), ordinal.0.to_string()),
    ]
    .into()
}

/// Whether the labels need no repair; the index label alone is not worth one (§1.8).
pub(crate) fn is_right(set: &Set<'_>, ordinal: Ordinal, pod: &Pod) -> bool {
    pod.labels().get(POD_NAME_LABEL) == Some(&pod_name(set, ordinal))
}
