//! YAML to objects and objects to YAML, for tests that read as behaviour.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

/// One object from YAML.
pub(crate) fn object<K: DeserializeOwned>(yaml: &str) -> K {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

/// Several objects of a kind from a stream of YAML documents.
pub(crate) fn objects<K: DeserializeOwned>(yaml: &str) -> Vec<Arc<K>> {
    yaml.split("\n---\n")
        .filter(|document| !document.trim().is_empty())
        .map(|document| Arc::new(object(document)))
        .collect()
}

/// An object as YAML, for snapshots.
pub(crate) fn text<T: Serialize>(object: &T) -> String {
    serde_saphyr::to_string(object).expect("serializes")
}
