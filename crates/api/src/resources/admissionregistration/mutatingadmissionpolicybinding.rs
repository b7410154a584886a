//! MutatingAdmissionPolicyBinding (admissionregistration.k8s.io/v1): where a mutating policy applies.

use jiff::Timestamp;
use serde_json::Value;

use super::{GROUP, matching, policy};
use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{ensure, text};
use crate::resources::{first_generation, next_generation};
use crate::{meta, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: GROUP,
        version: "v1",
        kind: "MutatingAdmissionPolicyBinding",
        list_kind: "MutatingAdmissionPolicyBindingList",
        plural: "mutatingadmissionpolicybindings",
        singular: "mutatingadmissionpolicybinding",
        short_names: &[],
        categories: &["api-extensions"],
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
        matching::default_resources(ensure(object, "spec"), "matchResources");
    }

    fn prepare_create(&self, object: &mut Value) {
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        next_generation(GROUP, "v1", "MutatingAdmissionPolicyBinding", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        policy::binding(spec, &path)
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            meta::name(object).into(),
            text(&object["spec"], "policyName").into(),
            policy::shown_param_ref(object).into(),
            table::age(object, now),
        ]
    }
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "PolicyName",
        "PolicyName indicates the policy definition which the policy binding binded to",
    ),
    cell(
        "ParamRef",
        "ParamRef indicates the param resource which sets the configuration param",
    ),
    AGE,
];
