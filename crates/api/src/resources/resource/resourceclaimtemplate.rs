//! ResourceClaimTemplate (resource.k8s.io/v1): what claims made for pods look like.

use serde_json::Value;

use super::{GROUP, devices};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::resource::{ALL_VERBS, Resource, Scope, Strategy};
use crate::resources::columns::NAME_AND_AGE;
use crate::resources::object::ensure;
use crate::resources::typed::printed;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: GROUP,
        version: "v1",
        kind: "ResourceClaimTemplate",
        list_kind: "ResourceClaimTemplateList",
        plural: "resourceclaimtemplates",
        singular: "resourceclaimtemplate",
        short_names: &[],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[],
        columns: NAME_AND_AGE,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        devices::default_claim(ensure(ensure(object, "spec"), "spec"));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let (metadata, at) = (&spec["metadata"], path.child("metadata"));
        let mut errors = meta::labels(&metadata["labels"], &at.child("labels"));
        let annotations = at.child("annotations");
        errors.extend(meta::annotations(&metadata["annotations"], &annotations));
        errors.extend(devices::claim(&spec["spec"], &path.child("spec")));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if new["spec"] != old["spec"] {
            let (at, detail) = (Path::new("spec"), "field is immutable");
            let spec = printed(&new["spec"]["spec"], devices::CLAIM);
            // The metadata's fields stand beside the spec.
            let metadata = new["spec"]["metadata"].as_object();
            let fields = metadata.into_iter().flatten();
            let fields = fields.map(|(key, value)| format!("\"{key}\":{value},"));
            let shown = format!("{{{}\"Spec\":{spec}}}", fields.collect::<String>());
            errors.push(FieldError::invalid(&at, Value::Null, detail).showing(shown));
        }
        errors.extend(self.validate(new));
        errors
    }

    fn shown_when_deleted(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn a_template_stays() {
        let template = |name: &str| {
            json!({"spec": {"metadata": {"labels": {"a": "b"}}, "spec": {"devices": {"requests": [
            {"name": name, "exactly": {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1}}]}}}})
        };
        assert!(
            Rules
                .validate_update(&template("r"), &template("r"))
                .is_empty()
        );
        let faults = texts(&Rules.validate_update(&template("s"), &template("r")));
        assert!(faults[0].starts_with(r#"spec: Invalid value: {"labels":{"a":"b"},"Spec":{"Devices":{"Requests":[{"Name":"s","#), "{faults:?}");
    }
}
