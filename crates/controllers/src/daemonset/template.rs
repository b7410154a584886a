//! Makes a DaemonSet's pod for one node. Pure.

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::{
    placement::{pinned, tolerant},
    set::{GENERATION_LABEL, HASH_LABEL, Set},
};
use crate::ownership::controlled_by;

/// The pod for that node, at the revision of that hash.
pub(crate) fn pod(set: &Set<'_>, node: &str, hash: &str) -> Pod {
    let template = set.template.clone();
    let meta = template.metadata.unwrap_or_default();
    let mut labels = meta.labels.unwrap_or_default();
    if let Some(generation) = set.template_generation {
        labels.insert(GENERATION_LABEL.to_owned(), generation.to_owned());
    }
    labels.insert(HASH_LABEL.to_owned(), hash.to_owned());
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", set.name)),
            namespace: Some(set.namespace.to_owned()),
            labels: Some(labels),
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![controlled_by(set.object)]),
            ..ObjectMeta::default()
        },
        spec: Some(pinned(tolerant(template.spec.unwrap_or_default()), node)),
        status: None,
    }
}
