//! APIService (apiregistration.k8s.io/v1): who serves a version of an API group.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::names;
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::checks::each;
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::keep;
use crate::resources::object::{ensure, fill, given, inside, int, list, text};
use crate::{meta, table};

const GROUP_PRIORITY_MAX: i64 = 20_000;
const VERSION_PRIORITY_MAX: i64 = 1000;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "apiregistration.k8s.io",
        version: "v1",
        kind: "APIService",
        list_kind: "APIServiceList",
        plural: "apiservices",
        singular: "apiservice",
        short_names: &[],
        categories: &["api-extensions"],
        scope: Scope::Cluster,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        crate::resources::keep_all_but_status_alone(new, old);
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static str] {
        crate::resources::reset_beside_status(subresource)
    }

    fn default(&self, object: &mut Value) {
        if let Some(service) = inside(ensure(object, "spec"), "service") {
            fill(service, "port", 443);
        }
        ensure(object, "status");
    }

    /// What this server serves itself is there from the start.
    fn prepare_create(&self, object: &mut Value) {
        object["status"] = if given(&object["spec"], "service") {
            json!({})
        } else {
            let since = &object["metadata"]["creationTimestamp"];
            json!({"conditions": [{
                "type": "Available", "status": "True", "reason": "Local", "lastTransitionTime": since,
                "message": "Local APIServices are always available",
            }]})
        };
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let (group, version) = (text(spec, "group"), text(spec, "version"));
        let (name, wanted) = (meta::name(object), format!("{version}.{group}"));
        let mut errors = Vec::new();
        if names::path_segment(name, false).is_empty() && name != wanted {
            let detail = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
            errors.push(FieldError::invalid(
                &Path::new("metadata.name"),
                name,
                detail,
            ));
        }
        if group.is_empty() && version != "v1" {
            let detail = "only v1 may have an empty group and it better be legacy kube";
            errors.push(FieldError::required(&path.child("group"), detail));
        }
        if !group.is_empty() {
            let faults = names::dns1123_subdomain(group, false);
            errors.extend(each(faults, &path.child("group"), group));
        }
        let faults = names::dns1035_label(version, false);
        errors.extend(each(faults, &path.child("version"), version));
        for (field, max) in [
            ("groupPriorityMinimum", GROUP_PRIORITY_MAX),
            ("versionPriority", VERSION_PRIORITY_MAX),
        ] {
            let priority = int(spec, field).unwrap_or(0);
            if !(1..=max).contains(&priority) {
                let detail = format!("must be positive and less than {max}");
                errors.push(FieldError::invalid(&path.child(field), priority, detail));
            }
        }
        errors.extend(server(spec, &path));
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let path = Path::new("status.conditions");
        let set = &["True", "False", "Unknown"];
        list(&new["status"], "conditions")
            .iter()
            .enumerate()
            .filter(|(_, condition)| !set.contains(&text(condition, "status")))
            .map(|(index, condition)| {
                let at = path.index(index).child("status");
                FieldError::not_supported(&at, text(condition, "status"), set)
            })
            .collect()
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let service = &object["spec"]["service"];
        let by = if service.is_object() {
            format!("{}/{}", text(service, "namespace"), text(service, "name"))
        } else {
            "Local".to_owned()
        };
        vec![
            meta::name(object).into(),
            by.into(),
            available(object).into(),
            table::age(object, now),
        ]
    }

    fn name_rule(&self) -> names::Rule {
        names::path_segment
    }
}

fn available(object: &Value) -> String {
    let conditions = list(&object["status"], "conditions");
    let Some(condition) = conditions.iter().find(|c| text(c, "type") == "Available") else {
        return "Unknown".to_owned();
    };
    match (text(condition, "status"), text(condition, "reason")) {
        ("True", _) => "True".to_owned(),
        (status, "") => status.to_owned(),
        (status, reason) => format!("{status} ({reason})"),
    }
}

fn server(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let unverified = spec["insecureSkipTLSVerify"] == true;
    let bundle = text(spec, "caBundle");
    let skip = path.child("insecureSkipTLSVerify");
    if !given(spec, "service") {
        if !bundle.is_empty() {
            // The bytes behind base64.
            let size = bundle.trim_end_matches('=').len() * 3 / 4;
            let detail = "local APIServices may not have a caBundle";
            let shown = format!("{size} bytes");
            errors.push(FieldError::invalid(&path.child("caBundle"), shown, detail));
        }
        if unverified {
            let detail = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(FieldError::invalid(&skip, true, detail));
        }
        return errors;
    }
    for field in ["namespace", "name"] {
        if text(&spec["service"], field).is_empty() {
            let at = path.child("service").child(field);
            errors.push(FieldError::required(&at, ""));
        }
    }
    if unverified && !bundle.is_empty() {
        let detail = "may not be true if caBundle is present";
        errors.push(FieldError::invalid(&skip, true, detail));
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Service",
        "The reference to the service that hosts this API endpoint.",
    ),
    cell("Available", "Whether this service is available."),
    AGE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    fn service(name: &str, spec: &Value) -> Value {
        json!({"metadata": {"name": name}, "spec": spec})
    }

    #[test]
    fn the_name_says_what_is_served() {
        let spec = json!({"group": "a.com", "version": "v1", "groupPriorityMinimum": 0, "versionPriority": 15});
        assert_eq!(
            texts(&Rules.validate(&service("wrong", &spec))),
            [
                r#"metadata.name: Invalid value: "wrong": must be `spec.version+"."+spec.group`: "v1.a.com""#,
                "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
            ]
        );
    }

    #[test]
    fn only_others_are_reached_by_tls() {
        let spec = json!({"group": "a.com", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1,
            "insecureSkipTLSVerify": true, "caBundle": "AAEC"});
        assert_eq!(
            texts(&Rules.validate(&service("v1.a.com", &spec))),
            [
                r#"spec.caBundle: Invalid value: "3 bytes": local APIServices may not have a caBundle"#,
                "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
            ]
        );
    }

    #[test]
    fn a_row_says_why_a_service_is_not_available() {
        let conditions =
            json!([{"type": "Available", "status": "False", "reason": "ServiceNotFound"}]);
        let mut object = service(
            "v1.a.com",
            &json!({"service": {"namespace": "n", "name": "s"}}),
        );
        object["status"] = json!({"conditions": conditions});
        let cells = Rules.row(&object, Timestamp::UNIX_EPOCH);
        assert_eq!(
            cells[1..3],
            [json!("n/s"), json!("False (ServiceNotFound)")]
        );
    }
}
