//! ResourceSlice (resource.k8s.io/v1): devices that a driver offers.

use jiff::Timestamp;
use serde_json::Value;

use super::{GROUP, devices};
use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::{each, immutable};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{given, int, list, text};
use crate::resources::references::driver_name;
use crate::resources::{first_generation, next_generation};
use crate::{meta, names, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: GROUP,
        version: "v1",
        kind: "ResourceSlice",
        list_kind: "ResourceSliceList",
        plural: "resourceslices",
        singular: "resourceslice",
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

const DEVICES_MAX: usize = 128;
/// Devices with taints or counters are larger, so fewer fit.
const LARGE_DEVICES_MAX: usize = 64;
const PROPERTIES_MAX: usize = 32;
const TAINTS_MAX: usize = 16;
const VALUE_MAX: usize = 64;

impl Strategy for Rules {
    fn prepare_create(&self, object: &mut Value) {
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        next_generation(GROUP, "v1", "ResourceSlice", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        spec(&object["spec"], None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        spec(&new["spec"], Some(&old["spec"]))
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let node = match text(spec, "nodeName") {
            "" => "<unset>",
            node => node,
        };
        vec![
            meta::name(object).into(),
            node.into(),
            text(spec, "driver").into(),
            text(&spec["pool"], "name").into(),
            table::age(object, now),
        ]
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let spec = &object["spec"];
        vec![
            ("spec.nodeName", text(spec, "nodeName").to_owned()),
            ("spec.driver", text(spec, "driver").to_owned()),
        ]
    }

    fn shown_when_deleted(&self) -> bool {
        true
    }
}

fn spec(spec: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let path = Path::new("spec");
    let mut errors = driver_name(text(spec, "driver"), &path.child("driver"));
    errors.extend(pool(&spec["pool"], &path.child("pool")));
    if let Some(old) = old {
        errors.extend(immutable(
            &spec["pool"],
            &old["pool"],
            "name",
            &path.child("pool"),
        ));
        errors.extend(immutable(spec, old, "driver", &path));
        errors.extend(immutable(spec, old, "nodeName", &path));
    }
    errors.extend(nodes(spec, &path));
    let devices = list(spec, "devices");
    let large = |device: &Value| {
        !list(device, "taints").is_empty() || !list(device, "consumesCounters").is_empty()
    };
    let max = if devices.iter().any(large) {
        LARGE_DEVICES_MAX
    } else {
        DEVICES_MAX
    };
    let each = spec["perDeviceNodeSelection"] == true;
    errors.extend(devices::unique(
        devices,
        max,
        &path.child("devices"),
        "name",
        |entry, at| device(entry, at, each),
    ));
    errors
}

fn pool(pool: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = devices::pool_name(text(pool, "name"), &path.child("name"));
    let count = int(pool, "resourceSliceCount").unwrap_or(0);
    if count <= 0 {
        let at = path.child("resourceSliceCount");
        errors.push(FieldError::invalid(&at, count, "must be greater than zero"));
    }
    if let Some(generation) = int(pool, "generation").filter(|generation| *generation < 0) {
        let at = path.child("generation");
        let detail = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(&at, generation, detail));
    }
    errors
}

/// From where the devices can be reached: exactly one way.
fn nodes(spec: &Value, path: &Path) -> Vec<FieldError> {
    let (mut errors, mut ways) = (Vec::new(), Vec::new());
    match spec["nodeName"].as_str() {
        Some("") => {
            let detail = "must be either unset or set to a non-empty string";
            errors.push(FieldError::invalid(&path.child("nodeName"), "", detail));
        }
        Some(node) => {
            ways.push("`nodeName`");
            let faults = names::dns1123_subdomain(node, false);
            errors.extend(each(faults, &path.child("nodeName"), node));
        }
        None => {}
    }
    if given(spec, "nodeSelector") {
        ways.push("`nodeSelector`");
        let at = path.child("nodeSelector");
        errors.extend(devices::one_term(&spec["nodeSelector"], &at));
    }
    for (field, way) in [
        ("allNodes", "`allNodes`"),
        ("perDeviceNodeSelection", "`perDeviceNodeSelection`"),
    ] {
        match spec[field].as_bool() {
            Some(true) => ways.push(way),
            Some(false) => {
                let detail = "must be either unset or set to true";
                errors.push(FieldError::invalid(&path.child(field), false, detail));
            }
            None => {}
        }
    }
    let one = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match ways.len() {
        0 => errors.push(FieldError::required(path, one)),
        1 => {}
        _ => {
            let detail = format!("{one}, but multiple fields are set");
            let shown = format!("{{{}}}", ways.join(", "));
            errors.push(FieldError::invalid(path, shown, detail));
        }
    }
    if given(spec, "sharedCounters") && given(spec, "devices") {
        let detail = "only one of `sharedCounters` or `devices` is allowed";
        errors.push(FieldError::invalid(path, "", detail));
    }
    errors
}

fn device(device: &Value, path: &Path, selects_nodes: bool) -> Vec<FieldError> {
    let mut errors = devices::label(device, "name", path);
    let properties = |field: &str| device[field].as_object().into_iter().flatten();
    let count = properties("attributes").count() + properties("capacity").count();
    if count > PROPERTIES_MAX {
        let detail = format!(
            "the total number of attributes and capacities must not exceed {PROPERTIES_MAX}"
        );
        errors.push(FieldError::invalid(path, count, detail));
    }
    for (name, value) in properties("attributes") {
        let at = path.child("attributes").key(name);
        errors.extend(devices::attribute_name(name, &at));
        errors.extend(attribute(value, &at));
    }
    for (name, value) in properties("capacity") {
        let at = path.child("capacity").key(name);
        errors.extend(devices::attribute_name(name, &at));
        if given(value, "requestPolicy") && device["allowMultipleAllocations"] != true {
            let detail = "allowMultipleAllocations must be true";
            errors.push(FieldError::forbidden(&at.child("requestPolicy"), detail));
        }
    }
    let at = path.child("taints");
    errors.extend(devices::many(
        list(device, "taints"),
        TAINTS_MAX,
        &at,
        devices::taint,
    ));
    let ways = ["nodeName", "nodeSelector", "allNodes"];
    let ways: Vec<&str> = ways.into_iter().filter(|way| given(device, way)).collect();
    if selects_nodes && ways.len() != 1 {
        let detail = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
        if ways.is_empty() {
            errors.push(FieldError::required(path, detail));
        } else {
            let quoted: Vec<_> = ways.iter().map(|way| format!("`{way}`")).collect();
            let shown = format!("{{{}}}", quoted.join(", "));
            errors.push(FieldError::invalid(path, shown, detail));
        }
    } else if !selects_nodes && !ways.is_empty() {
        let detail = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
        errors.push(FieldError::invalid(path, Value::Null, detail));
    }
    errors
}

fn attribute(attribute: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["string", "version"] {
        if text(attribute, field).len() > VALUE_MAX {
            errors.push(FieldError::too_long(&path.child(field), VALUE_MAX));
        }
    }
    let version = attribute["version"].as_str();
    if let Some(version) = version.filter(|version| !semantic_version(version)) {
        let detail = "must be a string compatible with semver.org spec 2.0.0";
        errors.push(FieldError::invalid(&path.child("version"), version, detail));
    }
    let kinds = ["bool", "int", "string", "version"];
    let values = kinds
        .into_iter()
        .filter(|kind| given(attribute, kind))
        .count();
    if values != 1 {
        let shown = if values == 0 {
            "".into()
        } else {
            attribute.clone()
        };
        let detail = "exactly one value must be specified";
        errors.push(FieldError::invalid(path, shown, detail));
    }
    errors
}

/// Three numbers, then perhaps `-` and `+` with identifiers.
fn semantic_version(version: &str) -> bool {
    let number = |part: &str| {
        part.bytes().all(|b| b.is_ascii_digit())
            && !part.is_empty()
            && (part == "0" || !part.starts_with('0'))
    };
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let before =
        |part: &str| word(part) && (!part.bytes().all(|b| b.is_ascii_digit()) || number(part));
    let (rest, build) = version
        .split_once('+')
        .map_or((version, None), |(r, b)| (r, Some(b)));
    let (core, release) = rest
        .split_once('-')
        .map_or((rest, None), |(c, r)| (c, Some(r)));
    core.split('.').count() == 3
        && core.split('.').all(number)
        && release.is_none_or(|release| release.split('.').all(before))
        && build.is_none_or(|build| build.split('.').all(word))
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Node",
        "NodeName identifies the node which provides the resources in this pool. A field selector can be used to list only ResourceSlice objects belonging to a certain node.\n\nThis field can be used to limit access from nodes to ResourceSlices with the same node name. It also indicates to autoscalers that adding new nodes of the same type as some old node might also make new resources available.\n\nExactly one of NodeName, NodeSelector, AllNodes, and PerDeviceNodeSelection must be set. This field is immutable.",
    ),
    cell(
        "Driver",
        "Driver identifies the DRA driver providing the capacity information. A field selector can be used to list only ResourceSlice objects with a certain driver name.\n\nMust be a DNS subdomain and should end with a DNS domain owned by the vendor of the driver. It should use only lower case characters. This field is immutable.",
    ),
    cell(
        "Pool",
        "Name is used to identify the pool. For node-local devices, this is often the node name, but this is not required.\n\nIt must not be longer than 253 characters and must consist of one or more DNS sub-domains separated by slashes. This field is immutable.",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    fn slice() -> Value {
        json!({"spec": {"driver": "d.com", "nodeName": "n", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "dev-0", "attributes": {"model": {"string": "m"}}, "capacity": {"mem": {"value": "8Gi"}}}]}})
    }

    #[test]
    fn a_slice_is_reached_one_way() {
        assert!(Rules.validate(&slice()).is_empty());
        let mut two = slice();
        two["spec"]["allNodes"] = true.into();
        let faults = texts(&Rules.validate(&two));
        assert!(
            faults[0]
                .starts_with(r#"spec: Invalid value: "{`nodeName`, `allNodes`}": exactly one of"#),
            "{faults:?}"
        );
    }

    #[test]
    fn attributes_have_one_value() {
        let mut odd = slice();
        odd["spec"]["devices"][0]["attributes"] = json!({"a": {}, "b": {"version": "1.0"}});
        assert_eq!(
            texts(&Rules.validate(&odd)),
            [
                r#"spec.devices[0].attributes[a]: Invalid value: "": exactly one value must be specified"#,
                r#"spec.devices[0].attributes[b].version: Invalid value: "1.0": must be a string compatible with semver.org spec 2.0.0"#,
            ]
        );
        for (version, fine) in [
            ("1.0.0", true),
            ("1.2.3-rc.1+b.5", true),
            ("01.2.3", false),
            ("1.2.3-", false),
        ] {
            assert_eq!(semantic_version(version), fine, "{version}");
        }
    }

    #[test]
    fn where_a_slice_is_stays() {
        let mut moved = slice();
        moved["spec"]["nodeName"] = "m".into();
        assert_eq!(
            texts(&Rules.validate_update(&moved, &slice())),
            [r#"spec.nodeName: Invalid value: "m": field is immutable"#]
        );
    }
}
