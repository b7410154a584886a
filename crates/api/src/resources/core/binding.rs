//! Binding (core/v1): tells a pod its node. It is done and not kept; the pod's own `/binding` is the newer way.

use crate::resource::{Resource, Scope, Strategy};
use crate::resources::columns::NAME_AND_AGE;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "Binding",
        list_kind: "",
        plural: "bindings",
        singular: "binding",
        short_names: &[],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: &["create"],
        subresources: &[],
        columns: NAME_AND_AGE,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn stored(&self) -> bool {
        false
    }
}
