//! DeviceClass (resource.k8s.io/v1): a sort of devices that claims may ask for.

use serde_json::Value;

use super::{GROUP, devices};
use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Resource, Scope, Strategy};
use crate::resources::columns::NAME_AND_AGE;
use crate::resources::object::{ensure, list};
use crate::resources::{first_generation, next_generation};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: GROUP,
        version: "v1",
        kind: "DeviceClass",
        list_kind: "DeviceClassList",
        plural: "deviceclasses",
        singular: "deviceclass",
        short_names: &[],
        categories: &[],
        scope: Scope::Cluster,
        verbs: ALL_VERBS,
        subresources: &[],
        columns: NAME_AND_AGE,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        ensure(object, "spec");
    }

    fn prepare_create(&self, object: &mut Value) {
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        next_generation(GROUP, "v1", "DeviceClass", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = devices::selectors(spec, &path.child("selectors"));
        let at = path.child("config");
        errors.extend(devices::many(
            list(spec, "config"),
            devices::LIST_MAX,
            &at,
            devices::configuration,
        ));
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
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
    fn configuration_is_for_a_driver() {
        let class = json!({"spec": {"selectors": [{}], "config": [{"opaque": {"driver": "d.com", "parameters": 1}}]}});
        assert_eq!(
            texts(&Rules.validate(&class)),
            [
                "spec.selectors[0].cel: Required value",
                r#"spec.config[0].opaque.parameters: Invalid value: "<value omitted>": parameters must be a valid JSON object"#,
            ]
        );
    }
}
