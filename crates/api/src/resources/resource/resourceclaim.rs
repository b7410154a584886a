//! ResourceClaim (resource.k8s.io/v1): devices that are asked for, and those given.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{GROUP, devices};
use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::checks::{node_selector, one_of};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::keep;
use crate::resources::object::{ensure, given, list, text};
use crate::resources::references::driver_name;
use crate::resources::typed::printed;
use crate::{meta, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: GROUP,
        version: "v1",
        kind: "ResourceClaim",
        list_kind: "ResourceClaimList",
        plural: "resourceclaims",
        singular: "resourceclaim",
        short_names: &[],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

/// Users of a claim at a time.
const RESERVED_MAX: usize = 256;
const DETAIL_IMMUTABLE: &str = "field is immutable";

impl Strategy for Rules {
    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        crate::resources::keep_all_but_status_alone(new, old);
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static str] {
        crate::resources::reset_beside_status(subresource)
    }

    fn default(&self, object: &mut Value) {
        devices::default_claim(ensure(object, "spec"));
        ensure(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({});
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        devices::claim(&object["spec"], &Path::new("spec"))
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if new["spec"] != old["spec"] {
            let shown = printed(&new["spec"], devices::CLAIM);
            let at = Path::new("spec");
            let error = FieldError::invalid(&at, Value::Null, DETAIL_IMMUTABLE);
            errors.push(error.showing(shown));
        }
        errors.extend(self.validate(new));
        errors
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let (status, path) = (&new["status"], Path::new("status"));
        let (users, at) = (list(status, "reservedFor"), path.child("reservedFor"));
        let mut errors = devices::unique(users, RESERVED_MAX, &at, "uid", user);
        errors.extend(device_statuses(status, &path.child("devices")));
        let allocated = given(status, "allocation");
        if !users.is_empty() && !allocated {
            let detail = "may not be specified when `allocated` is not set";
            errors.push(FieldError::forbidden(&at, detail));
        } else if given(&new["metadata"], "deletionTimestamp") {
            let before = list(&old["status"], "reservedFor");
            if users.iter().any(|user| !before.contains(user)) {
                let detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
                errors.push(FieldError::forbidden(&at, detail));
            }
        }
        let at = path.child("allocation");
        let (after, before) = (&status["allocation"], &old["status"]["allocation"]);
        if allocated && before.is_object() {
            if after != before {
                errors.push(FieldError::invalid(&at, after.clone(), DETAIL_IMMUTABLE));
            }
        } else if allocated {
            let known = devices::request_names(&new["spec"]["devices"]);
            errors.extend(allocation(after, &at, &known));
        }
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let mut states = Vec::new();
        let deleted = given(&object["metadata"], "deletionTimestamp");
        if deleted {
            states.push("deleted");
        }
        if given(&object["status"], "allocation") {
            states.push("allocated");
            if !list(&object["status"], "reservedFor").is_empty() {
                states.push("reserved");
            }
        } else if !deleted {
            states.push("pending");
        }
        vec![
            meta::name(object).into(),
            states.join(",").into(),
            table::age(object, now),
        ]
    }

    fn shown_when_deleted(&self) -> bool {
        true
    }
}

fn user(user: &Value, path: &Path) -> Vec<FieldError> {
    ["resource", "name", "uid"]
        .into_iter()
        .filter(|field| text(user, field).is_empty())
        .map(|field| FieldError::required(&path.child(field), ""))
        .collect()
}

/// Where a device is: its driver, pool and name.
fn place(device: &Value) -> [&str; 3] {
    ["driver", "pool", "device"].map(|field| text(device, field))
}

fn device_names(device: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = driver_name(text(device, "driver"), &path.child("driver"));
    errors.extend(devices::pool_name(
        text(device, "pool"),
        &path.child("pool"),
    ));
    errors.extend(devices::label(device, "device", path));
    errors
}

fn device_statuses(status: &Value, path: &Path) -> Vec<FieldError> {
    let given: Vec<[&str; 3]> = list(&status["allocation"]["devices"], "results")
        .iter()
        .map(place)
        .collect();
    let mut errors = Vec::new();
    for (index, device) in list(status, "devices").iter().enumerate() {
        let at = path.index(index);
        errors.extend(device_names(device, &at));
        if !given.contains(&place(device)) {
            let detail = "must be an allocated device in the claim";
            errors.push(FieldError::invalid(&at, place(device).join("/"), detail));
        }
    }
    errors
}

fn allocation(allocation: &Value, path: &Path, known: &HashSet<String>) -> Vec<FieldError> {
    let (result, at) = (&allocation["devices"], path.child("devices"));
    let mut errors = devices::many(
        list(result, "results"),
        devices::LIST_MAX,
        &at.child("results"),
        |device, at| {
            let request = text(device, "request");
            let mut errors = devices::request_reference(request, &at.child("request"), known);
            errors.extend(device_names(device, at));
            errors
        },
    );
    errors.extend(devices::many(
        list(result, "config"),
        2 * devices::LIST_MAX,
        &at.child("config"),
        |config, at| {
            let mut errors: Vec<FieldError> =
                one_of(config, "source", at, &["FromClaim", "FromClass"], false)
                    .into_iter()
                    .collect();
            errors.extend(devices::request_references(
                config,
                &at.child("requests"),
                known,
            ));
            errors.extend(devices::configuration(config, at));
            errors
        },
    ));
    if given(allocation, "nodeSelector") {
        let at = path.child("nodeSelector");
        errors.extend(node_selector(&allocation["nodeSelector"], &at));
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "State",
        "A summary of the current state (allocated, pending, reserved, etc.).",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn a_claim_is_used_only_when_it_has_devices() {
        let user = json!({"resource": "pods", "name": "p", "uid": "u"});
        let mut claim = json!({"spec": {"devices": {"requests": [{"name": "r"}]}}, "status": {"reservedFor": [user]}});
        let old = json!({"status": {}});
        assert_eq!(
            texts(&Rules.validate_status_update(&claim, &old)),
            ["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"]
        );
        let result = json!({"request": "r", "driver": "d.com", "pool": "p", "device": "x"});
        claim["status"]["allocation"] = json!({"devices": {"results": [result]}});
        assert!(Rules.validate_status_update(&claim, &old).is_empty());
        assert_eq!(
            Rules.row(&claim, Timestamp::UNIX_EPOCH)[1],
            "allocated,reserved"
        );
    }

    #[test]
    fn what_is_asked_for_stays() {
        let old = json!({"spec": {"devices": {"requests": [{"name": "r"}]}}});
        let new = json!({"spec": {"devices": {"requests": []}}});
        assert_eq!(
            texts(&Rules.validate_update(&new, &old)),
            [
                r#"spec: Invalid value: {"Devices":{"Requests":[],"Constraints":null,"Config":null}}: field is immutable"#
            ]
        );
    }
}
