//! Node (core/v1).

use crate::resource::{Resource, Scope, Strategy, Subresource, ALL_VERBS};
use crate::resources::columns::NAME_AND_AGE;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "Node",
        list_kind: "NodeList",
        plural: "nodes",
        singular: "node",
        short_names: &["no"],
        categories: &[],
        scope: Scope::Cluster,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Status],
        columns: NAME_AND_AGE,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {}
