//! RuntimeClass (node.k8s.io/v1): how a node runs the containers of pods that name it.

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::{amount, each, immutable};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{canonical_amounts, given, inside, text};
use crate::resources::pod_template::validate_tolerations;
use crate::{meta, names, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "node.k8s.io",
        version: "v1",
        kind: "RuntimeClass",
        list_kind: "RuntimeClassList",
        plural: "runtimeclasses",
        singular: "runtimeclass",
        short_names: &[],
        categories: &[],
        scope: Scope::Cluster,
        verbs: ALL_VERBS,
        subresources: &[],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        if let Some(overhead) = inside(object, "overhead") {
            canonical_amounts(overhead, "podFixed");
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let root = Path::default();
        let handler = text(object, "handler");
        let faults = names::dns1123_label(handler, false);
        let mut errors = each(faults, &root.child("handler"), handler);
        // Upstream judges the overhead as if it were the limits of a container.
        let at = root.child("overhead").child("limits");
        let fixed = object["overhead"]["podFixed"].as_object();
        for (name, value) in fixed.into_iter().flatten() {
            let at = at.key(name);
            errors.extend(each(names::qualified_name(name), &at, name));
            errors.extend(amount(value, &at, false));
        }
        if given(object, "scheduling") {
            let (scheduling, at) = (&object["scheduling"], root.child("scheduling"));
            let selector = &scheduling["nodeSelector"];
            errors.extend(meta::labels(selector, &at.child("nodeSelector")));
            errors.extend(validate_tolerations(scheduling, &at));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        immutable(new, old, "handler", &Path::default())
            .into_iter()
            .collect()
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            meta::name(object).into(),
            text(object, "handler").into(),
            table::age(object, now),
        ]
    }
}

const COLUMNS: &[Column] = &[NAME, cell("Handler", ""), AGE];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn the_handler_is_a_name_and_stays() {
        let faults = texts(
            &Rules.validate(&json!({"handler": "Run.sc", "overhead": {"podFixed": {"cpu": "-1"}}})),
        );
        assert!(
            faults[0].starts_with(r#"handler: Invalid value: "Run.sc": "#),
            "{faults:?}"
        );
        assert_eq!(
            faults[1],
            r#"overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0"#
        );
        assert_eq!(
            texts(&Rules.validate_update(&json!({"handler": "b"}), &json!({"handler": "a"}))),
            [r#"handler: Invalid value: "b": field is immutable"#]
        );
        let mut class = json!({"handler": "a", "overhead": {"podFixed": {"memory": "0.5Gi"}}});
        Rules.default(&mut class);
        assert_eq!(class["overhead"]["podFixed"]["memory"], "512Mi");
    }
}
