//! Which objects a pod's volumes and environment are made from. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;

use crate::container;
use crate::spec;
use crate::volumes::{Source, source};

/// A kind that pods refer to by name in their own namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    ConfigMap,
    Secret,
    Claim,
}

/// One object a pod refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    pub(crate) kind: Kind,
    pub(crate) name: String,
}

/// Everything whose change concerns the pod.
pub(crate) fn referenced(pod: &Pod) -> BTreeSet<Reference> {
    let mut found = BTreeSet::new();
    let mut add = |kind, name: &str| {
        found.insert(Reference {
            kind,
            name: name.to_owned(),
        });
    };
    let spec = spec::spec_of(pod);
    for (_, one) in spec::containers(&spec) {
        let container::References {
            config_maps,
            secrets,
        } = container::references(one);
        for name in &config_maps {
            add(Kind::ConfigMap, name);
        }
        for name in &secrets {
            add(Kind::Secret, name);
        }
    }
    for volume in spec.volumes.iter().flatten() {
        match source(volume) {
            Source::ConfigMap(s) => add(Kind::ConfigMap, &s.name),
            Source::Secret(s) => add(Kind::Secret, s.secret_name.as_deref().unwrap_or_default()),
            Source::Claim(s) => add(Kind::Claim, &s.claim_name),
            Source::Projected(s) => {
                for part in s.sources.iter().flatten() {
                    if let Some(s) = &part.config_map {
                        add(Kind::ConfigMap, &s.name);
                    }
                    if let Some(s) = &part.secret {
                        add(Kind::Secret, &s.name);
                    }
                }
            }
            Source::EmptyDir(_)
            | Source::HostPath(_)
            | Source::DownwardApi(_)
            | Source::Unsupported(_) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_that_names_an_object_is_found() {
        let pod: Pod = serde_json::from_value(serde_json::json!({"metadata": {"name": "p"}, "spec": {
            "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "s1"}}]}],
            "containers": [{"name": "c", "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c1", "key": "k"}}}]}],
            "volumes": [
                {"name": "a", "configMap": {"name": "c2"}},
                {"name": "b", "persistentVolumeClaim": {"claimName": "data-p"}},
                {"name": "d", "projected": {"sources": [{"secret": {"name": "s2"}}, {"configMap": {"name": "c3"}}]}},
            ]}}))
        .expect("pod");
        let names: Vec<String> = referenced(&pod)
            .into_iter()
            .map(|r| format!("{:?} {}", r.kind, r.name))
            .collect();
        assert_eq!(
            names,
            [
                "ConfigMap c1",
                "ConfigMap c2",
                "ConfigMap c3",
                "Secret s1",
                "Secret s2",
                "Claim data-p"
            ]
        );
    }
}
