//! PersistentVolumeClaim (core/v1): a request for storage.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::checks::{amount, label_selector, named, one_of};
use crate::resources::columns::{AGE, NAME, cell, wide};
use crate::resources::object::{
    amount_of, canonical_amounts, ensure, fill, given, list, put, remove, text,
};
use crate::resources::{access_modes, difference, keep, null_times, same};
use crate::{meta, names, table};

/// How a volume may be mounted, sorted.
pub(crate) const ACCESS_MODES: [&str; 4] = [
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];
/// What a volume may be to a container, sorted.
pub(crate) const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const IMMUTABLE: &str = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "PersistentVolumeClaim",
        list_kind: "PersistentVolumeClaimList",
        plural: "persistentvolumeclaims",
        singular: "persistentvolumeclaim",
        short_names: &["pvc"],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        default_spec(ensure(object, "spec"));
        let status = ensure(object, "status");
        fill(status, "phase", "Pending");
        canonical_amounts(status, "capacity");
        canonical_amounts(status, "allocatedResources");
        null_times(status, &["lastProbeTime", "lastTransitionTime"]);
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({"phase": "Pending"}));
        drop_unknown_source(object);
        mirror_sources(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        if !given(&old["spec"], "dataSource") {
            drop_unknown_source(new);
        }
        mirror_sources(new);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        validate_spec(&object["spec"], &Path::new("spec"))
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        errors.extend(changes(new, old));
        errors
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut warnings = Vec::new();
        if given(&new["metadata"]["annotations"], CLASS_ANNOTATION) {
            warnings.push(format!(
                "metadata.annotations[{CLASS_ANNOTATION}]: deprecated since v1.8; use \"storageClassName\" attribute instead"
            ));
        }
        warnings.extend(warn_spec(&new["spec"], &Path::new("spec")));
        warnings
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (spec, status) = (&object["spec"], &object["status"]);
        let phase = if given(&object["metadata"], "deletionTimestamp") {
            "Terminating"
        } else {
            text(status, "phase")
        };
        // K-5: what is bound shows only once it is.
        let bound = !text(spec, "volumeName").is_empty();
        let shown = |text: String| if bound { text } else { String::new() };
        let annotated = text(&object["metadata"]["annotations"], CLASS_ANNOTATION);
        let class = if annotated.is_empty() {
            text(spec, "storageClassName")
        } else {
            annotated
        };
        vec![
            meta::name(object).into(),
            phase.into(),
            text(spec, "volumeName").into(),
            shown(text(&status["capacity"], "storage").to_owned()).into(),
            shown(access_modes(status)).into(),
            class.into(),
            or_unset(spec, "volumeAttributesClassName").into(),
            table::age(object, now),
            or_unset(spec, "volumeMode").into(),
        ]
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("name", meta::name(object).to_owned())]
    }

    fn shown_when_deleted(&self) -> bool {
        true
    }
}

/// A cell of an optional field.
pub(super) fn or_unset(object: &Value, name: &str) -> String {
    let value = text(object, name);
    if value.is_empty() {
        "<unset>".to_owned()
    } else {
        value.to_owned()
    }
}

/// Defaults of a claim's spec, wherever it stands (§1.2).
pub(crate) fn default_spec(spec: &mut Value) {
    fill(spec, "volumeMode", "Filesystem");
    let resources = ensure(spec, "resources");
    canonical_amounts(resources, "requests");
    canonical_amounts(resources, "limits");
    for source in ["dataSource", "dataSourceRef"] {
        if given(spec, source) {
            fill(&mut spec[source], "apiGroup", Value::Null);
        }
    }
}

/// A data source other than a claim or a snapshot was never supported; it is dropped, not refused.
fn drop_unknown_source(object: &mut Value) {
    let spec = ensure(object, "spec");
    if !given(spec, "dataSource") {
        return;
    }
    let source = &spec["dataSource"];
    let known = matches!(
        (text(source, "apiGroup"), text(source, "kind")),
        ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
    );
    if !known || text(source, "name").is_empty() {
        remove(spec, "dataSource");
    }
}

/// The older and the newer field for a source mirror each other in every claim. Nobody comes to manage the one that
/// was not sent.
fn mirror_sources(object: &mut Value) {
    let spec = ensure(object, "spec");
    match (given(spec, "dataSource"), given(spec, "dataSourceRef")) {
        (true, false) => {
            let source = spec["dataSource"].clone();
            put(spec, "dataSourceRef", source);
        }
        (false, true) if text(&spec["dataSourceRef"], "namespace").is_empty() => {
            let source = spec["dataSourceRef"].clone();
            put(spec, "dataSource", source);
        }
        _ => {}
    }
}

/// Faults of a claim's spec, wherever it stands.
pub(crate) fn validate_spec(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (modes, at) = (list(spec, "accessModes"), path.child("accessModes"));
    if modes.is_empty() {
        errors.push(FieldError::required(
            &at,
            "at least 1 access mode is required",
        ));
    }
    if given(spec, "selector") {
        errors.extend(label_selector(&spec["selector"], &path.child("selector")));
    }
    errors.extend(unknown_modes(modes, &at));
    let at = path.child("resources").key("storage");
    let requests = &spec["resources"]["requests"];
    if given(requests, "storage") {
        errors.extend(amount(&requests["storage"], &at, true));
    } else {
        errors.push(FieldError::required(&at, ""));
    }
    errors.extend(named(
        spec,
        "storageClassName",
        path,
        names::dns1123_subdomain,
    ));
    errors.extend(one_of(spec, "volumeMode", path, &VOLUME_MODES, true));
    errors
}

/// Access modes that do not exist or do not go together.
pub(super) fn unknown_modes(modes: &[Value], path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<_> = modes
        .iter()
        .filter(|mode| !ACCESS_MODES.iter().any(|known| *mode == known))
        .map(|mode| FieldError::not_supported(path, mode.clone(), &ACCESS_MODES))
        .collect();
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        errors.push(FieldError::forbidden(
            path,
            "may not use ReadWriteOncePod with other access modes",
        ));
    }
    errors
}

/// Warnings about a claim's spec, wherever it stands.
pub(crate) fn warn_spec(spec: &Value, path: &Path) -> Option<String> {
    let amount =
        amount_of(&spec["resources"]["requests"]["storage"]).filter(|amount| !amount.is_whole())?;
    let (at, amount) = (
        path.child("resources").child("requests").key("storage"),
        amount.to_string(),
    );
    Some(format!(
        "{at}: fractional byte value {amount:?} is invalid, must be an integer"
    ))
}

/// What an update changed that it may not (V-25).
fn changes(new: &Value, old: &Value) -> Vec<FieldError> {
    let (before, after) = (&old["spec"], &new["spec"]);
    let mut errors = Vec::new();
    let mut allowed = after.clone();
    // Binding sets the volume; a default class may come after the claim.
    for name in ["volumeName", "storageClassName"] {
        if text(before, name).is_empty() {
            put(
                &mut allowed,
                name,
                before.get(name).cloned().unwrap_or_default(),
            );
        }
    }
    let bound = old["status"]["phase"] == "Bound";
    if bound {
        for part in ["resources", "volumeAttributesClassName"] {
            put(
                &mut allowed,
                part,
                before.get(part).cloned().unwrap_or_default(),
            );
        }
    }
    let mut comparable = new.clone();
    put(&mut comparable, "spec", allowed);
    if !same("", "v1", "PersistentVolumeClaim", "spec", &comparable, old) {
        let changed = difference::unified(&shown(before), &shown(&comparable["spec"]));
        errors.push(FieldError::forbidden(
            &Path::new("spec"),
            format!("{IMMUTABLE}\n{changed}"),
        ));
    }
    let size = |spec: &Value| amount_of(&spec["resources"]["requests"]["storage"]);
    if let (true, Some(from), Some(to)) = (bound, size(before), size(after))
        && to < from
    {
        let at = Path::new("spec.resources.requests.storage");
        let capacity = amount_of(&old["status"]["capacity"]["storage"]);
        if capacity.is_none_or(|capacity| to < capacity) {
            errors.push(FieldError::forbidden(
                &at,
                "field can not be less than status.capacity",
            ));
        }
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Status",
        "phase represents the current phase of PersistentVolumeClaim.",
    ),
    cell(
        "Volume",
        "volumeName is the binding reference to the PersistentVolume backing this claim.",
    ),
    cell(
        "Capacity",
        "capacity represents the actual resources of the underlying volume.",
    ),
    cell(
        "Access Modes",
        "accessModes contains the actual access modes the volume backing the PVC has. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#access-modes-1",
    ),
    cell("StorageClass", "StorageClass of the pvc"),
    cell("VolumeAttributesClass", "VolumeAttributesClass of the pvc"),
    AGE,
    wide(
        "VolumeMode",
        "volumeMode defines what type of volume is required by the claim. Value of Filesystem is implied when not included in claim spec.",
    ),
];

/// A spec under the names and in the order upstream shows it.
fn shown(spec: &Value) -> String {
    let reference = |name: &str| {
        let source = &spec[name];
        if source.is_null() {
            return Value::Null;
        }
        let mut shown =
            json!({"APIGroup": source["apiGroup"], "Kind": source["kind"], "Name": source["name"]});
        if name == "dataSourceRef" {
            put(&mut shown, "Namespace", source["namespace"].clone());
        }
        shown
    };
    let fields = [
        ("AccessModes", spec["accessModes"].clone()),
        ("Selector", spec["selector"].clone()),
        (
            "Resources",
            json!({"Limits": spec["resources"]["limits"], "Requests": spec["resources"]["requests"]}),
        ),
        ("VolumeName", text(spec, "volumeName").into()),
        ("StorageClassName", spec["storageClassName"].clone()),
        ("VolumeMode", spec["volumeMode"].clone()),
        ("DataSource", reference("dataSource")),
        ("DataSourceRef", reference("dataSourceRef")),
        (
            "VolumeAttributesClassName",
            spec["volumeAttributesClassName"].clone(),
        ),
    ];
    difference::printed_fields(&fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "json!(..) reads better without a reference"
    )]
    fn claim(spec: Value) -> Value {
        let mut claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        json_patch::merge(&mut claim["spec"], &spec);
        Rules.default(&mut claim);
        claim
    }

    #[test]
    fn specs_are_checked() {
        for (spec, want) in [
            (
                json!({"accessModes": []}),
                "spec.accessModes: Required value: at least 1 access mode is required",
            ),
            (
                json!({"accessModes": ["ReadSometimes"]}),
                r#"spec.accessModes: Unsupported value: "ReadSometimes": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod""#,
            ),
            (
                json!({"resources": {"requests": null}}),
                "spec.resources[storage]: Required value",
            ),
            (
                json!({"resources": {"requests": {"storage": "0"}}}),
                r#"spec.resources[storage]: Invalid value: "0": must be greater than zero"#,
            ),
            (
                json!({"volumeMode": "Tape"}),
                r#"spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem""#,
            ),
            (
                json!({"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]}),
                "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
            ),
        ] {
            assert_eq!(texts(&Rules.validate(&claim(spec))), [want]);
        }
        assert!(Rules.validate(&claim(json!({}))).is_empty());
    }

    #[test]
    fn a_claim_starts_pending_with_canonical_amounts() {
        let mut claim = claim(
            json!({"resources": {"requests": {"storage": "1024Mi"}}, "dataSource": {"kind": "", "name": ""}}),
        );
        Rules.prepare_create(&mut claim);
        assert_eq!(claim["status"], json!({"phase": "Pending"}));
        assert_eq!(
            claim["spec"],
            json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "volumeMode": "Filesystem"})
        );
    }

    #[test]
    fn the_spec_is_immutable_but_for_binding_and_growth() {
        // V-25
        let old = claim(json!({}));
        let growth = "@@ -6,7 +6,7 @@\n  \"Resources\": {\n   \"Limits\": null,\n   \"Requests\": {\n-   \"storage\": \"1Gi\"\n+   \"storage\": \"2Gi\"\n   }\n  },\n  \"VolumeName\": \"\",\n";
        let forbidden = format!("spec: Forbidden: {IMMUTABLE}\n{growth}");
        assert!(
            Rules
                .validate_update(&claim(json!({"volumeName": "pv"})), &old)
                .is_empty()
        );
        assert!(
            Rules
                .validate_update(&claim(json!({"storageClassName": "late"})), &old)
                .is_empty()
        );
        let bigger = claim(json!({"resources": {"requests": {"storage": "2Gi"}}}));
        assert_eq!(
            texts(&Rules.validate_update(&bigger, &old)),
            std::slice::from_ref(&forbidden)
        );
        let mut bound = old.clone();
        bound["status"] = json!({"phase": "Bound", "capacity": {"storage": "1Gi"}});
        assert!(Rules.validate_update(&bigger, &bound).is_empty());
        let smaller = claim(json!({"resources": {"requests": {"storage": "512Mi"}}}));
        assert_eq!(
            texts(&Rules.validate_update(&smaller, &bound)),
            [
                "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
            ]
        );
        let modes = claim(json!({"accessModes": ["ReadOnlyMany"]}));
        let refused = texts(&Rules.validate_update(&modes, &bound));
        assert!(
            refused[0].contains("-  \"ReadWriteOnce\"\n+  \"ReadOnlyMany\"\n"),
            "{refused:?}"
        );
    }

    #[test]
    fn the_row_shows_what_is_bound() {
        // K-5
        let mut claim = claim(json!({"volumeName": "pv", "storageClassName": "fast"}));
        claim["status"] = json!({"phase": "Bound", "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"]});
        assert_eq!(
            Value::from(Rules.row(&claim, Timestamp::UNIX_EPOCH)),
            json!([
                "c",
                "Bound",
                "pv",
                "5Gi",
                "RWO,ROX",
                "fast",
                "<unset>",
                "<unknown>",
                "Filesystem"
            ])
        );
        claim["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z".into();
        claim["spec"]["volumeName"] = "".into();
        let cells = Rules.row(&claim, Timestamp::UNIX_EPOCH);
        assert_eq!(
            cells[1..5],
            [json!("Terminating"), json!(""), json!(""), json!("")]
        );
    }
}
