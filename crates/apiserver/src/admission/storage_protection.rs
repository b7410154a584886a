//! Claims, volumes and their classes get finalizers that keep them while they are in use (V-22, V-23).

use serde_json::{Value, json};

pub(super) fn admit_claim(claim: &mut Value) {
    protect(claim, "kubernetes.io/pvc-protection");
}

pub(super) fn admit_volume(volume: &mut Value) {
    protect(volume, "kubernetes.io/pv-protection");
}

pub(super) fn admit_class(class: &mut Value) {
    protect(class, "kubernetes.io/vac-protection");
}

fn protect(object: &mut Value, finalizer: &str) {
    match object["metadata"]["finalizers"].as_array_mut() {
        Some(list) if list.iter().any(|known| known == finalizer) => {}
        Some(list) => list.push(finalizer.into()),
        None => object["metadata"]["finalizers"] = json!([finalizer]),
    }
}
