//! What holds for every kind of the catalogue: names are unique, rows fit columns, rules survive bare objects.

use std::collections::HashSet;

use jiff::Timestamp;
use plinth_api::table::{self, IncludeObject};
use plinth_api::{Resource, Scope, catalogue, find, find_kind, schema_of};
use serde_json::{Value, json};

fn bare(resource: &Resource) -> Vec<Value> {
    let head = json!({"apiVersion": resource.api_version(), "kind": resource.kind});
    let with = |extra: Value| {
        let mut object = head.clone();
        for (key, value) in extra.as_object().into_iter().flatten() {
            object[key] = value.clone();
        }
        object
    };
    vec![
        head.clone(),
        with(json!({"metadata": {"name": "x"}})),
        with(json!({"metadata": null, "spec": null, "status": null})),
        with(json!({"spec": {}, "status": {}})),
    ]
}

#[test]
fn every_kind_can_be_found() {
    let mut seen = HashSet::new();
    for resource in catalogue() {
        assert!(
            seen.insert((resource.group, resource.version, resource.plural)),
            "{} twice",
            resource.plural
        );
        assert!(find(resource.group, resource.version, resource.plural).is_some());
        assert!(find_kind(resource.group, resource.version, resource.kind).is_some());
        assert!(
            schema_of(resource.group, resource.version, resource.kind).is_some(),
            "{}",
            resource.kind
        );
    }
}

#[test]
fn rows_fit_their_columns() {
    for resource in catalogue() {
        for object in bare(resource) {
            let row = table::row(
                resource,
                &object,
                IncludeObject::Metadata,
                Timestamp::UNIX_EPOCH,
            );
            let cells = row["cells"].as_array().map(Vec::len);
            // Upstream gives addresses one cell that no column is for (kubernetes-behaviour §13.6).
            let more = usize::from(resource.kind == "IPAddress");
            let columns = resource.columns.len() + more;
            assert_eq!(cells, Some(columns), "{}", resource.kind);
        }
    }
}

#[test]
fn rules_take_bare_objects_and_settle() {
    for resource in catalogue() {
        for mut object in bare(resource) {
            resource.strategy.default(&mut object);
            let once = object.clone();
            resource.strategy.default(&mut object);
            assert_eq!(object, once, "{}: defaults are idempotent", resource.kind);

            let mut created = object.clone();
            resource.prepare_create(&mut created);
            resource.validate_create(&created);
            resource.strategy.warnings(&created, None);
            let (mut updated, mut reported) = (created.clone(), created.clone());
            resource.prepare_update(&mut updated, &created);
            assert_eq!(
                updated, created,
                "{}: an update without a change",
                resource.kind
            );
            resource.validate_update(&updated, &created);
            resource.strategy.warnings(&updated, Some(&created));
            resource.prepare_status_update(&mut reported, &created);
            assert_eq!(
                reported, created,
                "{}: a status update without a change",
                resource.kind
            );
            resource.validate_status_update(&reported, &created);
            resource.strategy.grace_period(&created, None);
        }
    }
}

#[test]
fn selectable_fields_do_not_depend_on_the_object() {
    for resource in catalogue() {
        let names = |object: &Value| -> Vec<&str> {
            resource
                .strategy
                .selectable_fields(object)
                .into_iter()
                .map(|(name, _)| name)
                .collect()
        };
        for object in bare(resource) {
            assert_eq!(names(&object), names(&Value::Null), "{}", resource.kind);
        }
    }
}

#[test]
fn cluster_wide_kinds_refuse_a_namespace() {
    for resource in catalogue() {
        let object = json!({"metadata": {"name": "x", "namespace": "n"}});
        let refused = resource.validate_create(&object).iter().any(|error| {
            error.to_string() == "metadata.namespace: Forbidden: not allowed on this type"
        });
        assert_eq!(
            refused,
            resource.scope == Scope::Cluster,
            "{}",
            resource.kind
        );
    }
}
