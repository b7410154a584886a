//! MutatingWebhookConfiguration (admissionregistration.k8s.io/v1). Programs that may alter what is about to be made or changed.

use jiff::Timestamp;
use serde_json::Value;

use super::{GROUP, webhook};
use crate::field::FieldError;
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::columns::{AGE, NAME, integer};
use crate::resources::object::list;
use crate::resources::{first_generation, next_generation_beside_metadata};
use crate::{meta, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: GROUP,
        version: "v1",
        kind: "MutatingWebhookConfiguration",
        list_kind: "MutatingWebhookConfigurationList",
        plural: "mutatingwebhookconfigurations",
        singular: "mutatingwebhookconfiguration",
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
        webhook::default(object, true);
    }

    fn prepare_create(&self, object: &mut Value) {
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        next_generation_beside_metadata(new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        webhook::validate(object, true)
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        webhook::validate(new, true)
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            meta::name(object).into(),
            list(object, "webhooks").len().into(),
            table::age(object, now),
        ]
    }
}

const COLUMNS: &[Column] = &[
    NAME,
    integer(
        "Webhooks",
        "Webhooks indicates the number of webhooks registered in this configuration",
    ),
    AGE,
];
