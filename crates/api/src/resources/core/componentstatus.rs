//! ComponentStatus (core/v1): what old clients ask about the parts of a control plane. Nothing is stored.

use crate::resource::{Resource, Scope, Strategy};
use crate::resources::columns::NAME_AND_AGE;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "ComponentStatus",
        list_kind: "ComponentStatusList",
        plural: "componentstatuses",
        singular: "componentstatus",
        short_names: &["cs"],
        categories: &[],
        scope: Scope::Cluster,
        verbs: &["get", "list"],
        subresources: &[],
        columns: NAME_AND_AGE,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn deprecation(&self) -> Option<&'static str> {
        Some("v1 ComponentStatus is deprecated in v1.19+")
    }

    fn name_when_missing(&self) -> Option<&'static str> {
        Some("componentstatus")
    }
}
