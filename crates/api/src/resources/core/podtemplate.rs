//! PodTemplate (core/v1): a pod template kept for later.

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::meta;
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::columns::{NAME, cell};
use crate::resources::object::ensure;
use crate::resources::pod_template::{default_template, validate_template};
use crate::resources::workload::{container_cells, labels_cell, warn_changed_template};
use crate::resources::{first_generation, same, set_generation};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "PodTemplate",
        list_kind: "PodTemplateList",
        plural: "podtemplates",
        singular: "podtemplate",
        short_names: &[],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        default_template(ensure(object, "template"));
    }

    fn prepare_create(&self, object: &mut Value) {
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        let changed = !same("", "v1", "PodTemplate", "template", new, old);
        set_generation(new, old, i64::from(changed));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        validate_template(&object["template"], &Path::new("template"))
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let before = old.map(|old| &old["template"]);
        warn_changed_template(&new["template"], before, &Path::new("template"))
    }

    fn row(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        let template = &object["template"];
        let [containers, images] = container_cells(template);
        let labels = labels_cell(&template["metadata"]["labels"]);
        vec![meta::name(object).into(), containers, images, labels]
    }

    fn shown_when_deleted(&self) -> bool {
        true
    }
}

const COLUMNS: &[Column] = &[
    NAME,
    cell("Containers", "Names of each container in the template."),
    cell(
        "Images",
        "Images referenced by each container in the template.",
    ),
    cell("Pod Labels", "The labels for the pod template."),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::{merged, texts};

    #[test]
    fn the_template_is_completed_judged_and_counted() {
        let given = json!({"metadata": {"name": "t", "generation": 1}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}});
        let mut old = given.clone();
        Rules.default(&mut old);
        assert_eq!(old["template"]["spec"]["restartPolicy"], "Always");
        assert!(Rules.validate(&old).is_empty());
        assert_eq!(
            Value::from(Rules.row(&old, Timestamp::UNIX_EPOCH)),
            json!(["t", "c", "i", "a=b"])
        );
        let mut labelled = merged(old.clone(), json!({"metadata": {"labels": {"x": "y"}}}));
        Rules.prepare_update(&mut labelled, &old);
        assert_eq!(labelled["metadata"]["generation"], 1);
        let mut changed = merged(
            old.clone(),
            json!({"template": {"spec": {"containers": []}}}),
        );
        Rules.prepare_update(&mut changed, &old);
        assert_eq!(changed["metadata"]["generation"], 2);
        assert_eq!(
            texts(&Rules.validate_update(&changed, &old)),
            ["template.spec.containers: Required value"]
        );
    }
}
