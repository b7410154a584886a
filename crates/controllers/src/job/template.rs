//! Makes a Job's pod from its template. Pure.

use k8s_openapi::{
    api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    member::{INDEX, INDEX_FAILURES, INDEX_IGNORED, index_failures},
    tally::counts,
    work::{Index, TRACKING, Work},
};
use crate::ownership::controlled_by;

/// How containers learn their index.
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

/// What a prefix may have, so that the random part still fits in a name of 63 bytes.
const LONGEST_PREFIX: usize = 58;

/// A pod for that index, if the Job has any. `predecessor` is the failed pod that it takes over from.
pub(crate) fn pod(work: &Work<'_>, index: Option<Index>, predecessor: Option<&Pod>) -> Pod {
    let template = work.template.clone();
    let meta = template.metadata.unwrap_or_default();
    let mut spec = template.spec.unwrap_or_default();
    let mut labels = meta.labels.unwrap_or_default();
    let mut annotations = meta.annotations.unwrap_or_default();
    let mut finalizers = meta.finalizers.unwrap_or_default();
    if !finalizers.iter().any(|held| held == TRACKING) {
        finalizers.push(TRACKING.to_owned());
    }
    let mut prefix = format!("{}-", work.name);
    if let Some(index) = index {
        annotations.insert(INDEX.to_owned(), index.to_string());
        labels.insert(INDEX.to_owned(), index.to_string());
        if work.backoff_limit_per_index.is_some() {
            let (counted, ignored) = inherited(work, predecessor);
            annotations.insert(INDEX_FAILURES.to_owned(), counted.to_string());
            if ignored > 0 {
                annotations.insert(INDEX_IGNORED.to_owned(), ignored.to_string());
            }
        }
        spec.hostname = Some(format!("{}-{index}", work.name));
        tell_index(&mut spec);
        prefix = indexed_prefix(work.name, index);
    }
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(prefix),
            namespace: Some(work.namespace.to_owned()),
            labels: (!labels.is_empty()).then_some(labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            finalizers: Some(finalizers),
            owner_references: Some(vec![controlled_by(work.object)]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}

fn inherited(work: &Work<'_>, predecessor: Option<&Pod>) -> (i32, i32) {
    let Some(failed) = predecessor else {
        return (0, 0);
    };
    let (counted, ignored) = index_failures(failed);
    if counts(work, failed) {
        (counted.saturating_add(1), ignored)
    } else {
        (counted, ignored.saturating_add(1))
    }
}

fn indexed_prefix(name: &str, index: Index) -> String {
    let ending = format!("-{index}-");
    // A Job's name is ASCII, so any byte is a boundary.
    let room = LONGEST_PREFIX.saturating_sub(ending.len());
    format!("{}{ending}", name.get(..room).unwrap_or(name))
}

fn tell_index(spec: &mut PodSpec) {
    let variable = EnvVar {
        name: INDEX_VARIABLE.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: format!("metadata.labels['{INDEX}']"),
            }),
            ..EnvVarSource::default()
        }),
    };
    let tell = |container: &mut Container| {
        let env = container.env.get_or_insert_default();
        if !env.iter().any(|held| held.name == INDEX_VARIABLE) {
            env.push(variable.clone());
        }
    };
    let init = spec.init_containers.iter_mut().flatten();
    init.chain(spec.containers.iter_mut()).for_each(tell);
}
