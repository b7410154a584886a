//! IngressClass (networking.k8s.io/v1): which program carries out the Ingresses that name it.

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::{each, immutable};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{ensure, fill, given, inside, text};
use crate::resources::references::{domain_prefixed_path, typed_reference};
use crate::resources::{first_generation, next_generation};
use crate::{meta, table};

const CONTROLLER_MAX: usize = 250;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "networking.k8s.io",
        version: "v1",
        kind: "IngressClass",
        list_kind: "IngressClassList",
        plural: "ingressclasses",
        singular: "ingressclass",
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
        if let Some(parameters) = inside(ensure(object, "spec"), "parameters") {
            fill(parameters, "scope", "Cluster");
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        next_generation("networking.k8s.io", "v1", "IngressClass", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let (controller, at) = (text(spec, "controller"), path.child("controller"));
        let mut errors = Vec::new();
        if controller.len() > CONTROLLER_MAX {
            errors.push(FieldError::too_long(&at, CONTROLLER_MAX));
        }
        errors.extend(domain_prefixed_path(controller, &at));
        if given(spec, "parameters") {
            errors.extend(parameters(&spec["parameters"], &path.child("parameters")));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let path = Path::new("spec");
        let mut errors: Vec<_> = immutable(&new["spec"], &old["spec"], "controller", &path)
            .into_iter()
            .collect();
        errors.extend(self.validate(new));
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let parameters = &object["spec"]["parameters"];
        let shown = if parameters.is_object() {
            let group = match text(parameters, "apiGroup") {
                "" => String::new(),
                group => format!(".{group}"),
            };
            format!(
                "{}{group}/{}",
                text(parameters, "kind"),
                text(parameters, "name")
            )
        } else {
            "<none>".to_owned()
        };
        vec![
            meta::name(object).into(),
            text(&object["spec"], "controller").into(),
            shown.into(),
            table::age(object, now),
        ]
    }
}

fn parameters(parameters: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = typed_reference(parameters, path);
    let at = path.child("namespace");
    let namespace = parameters["namespace"].as_str();
    match (text(parameters, "scope"), namespace) {
        ("Namespace", None) => {
            let detail = "`parameters.scope` is set to 'Namespace'";
            errors.push(FieldError::required(&at, detail));
        }
        ("Namespace", Some(namespace)) => {
            errors.extend(each(names::dns1123_label(namespace, false), &at, namespace));
        }
        ("Cluster", Some(_)) => {
            let detail = "`parameters.scope` is set to 'Cluster'";
            errors.push(FieldError::forbidden(&at, detail));
        }
        ("Cluster", None) => {}
        (other, _) => errors.push(FieldError::not_supported(
            &path.child("scope"),
            other,
            &["Cluster", "Namespace"],
        )),
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Controller",
        "Controller that is responsible for handling this class",
    ),
    cell(
        "Parameters",
        "A reference to a resource with additional parameters",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn controllers_are_paths_in_a_domain_and_parameters_have_a_scope() {
        let class = |controller: &str, parameters: Value| {
            let mut class = json!({"spec": {"controller": controller, "parameters": parameters}});
            Rules.default(&mut class);
            texts(&Rules.validate(&class))
        };
        assert_eq!(class("", Value::Null), ["spec.controller: Required value"]);
        assert_eq!(
            class("plain", Value::Null),
            [
                r#"spec.controller: Invalid value: "plain": must be a domain-prefixed path (such as "acme.io/foo")"#
            ]
        );
        let namespaced = json!({"kind": "P", "name": "p", "namespace": "n"});
        assert_eq!(
            class("a.b/c", namespaced),
            ["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"]
        );
        let open = json!({"kind": "P", "name": "p", "scope": "Namespace"});
        assert_eq!(
            class("a.b/c", open),
            ["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"]
        );
    }
}
