//! PersistentVolume (core/v1): a piece of storage.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::persistentvolumeclaim::{VOLUME_MODES, or_unset, unknown_modes};
use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::checks::{amount, immutable, named, node_selector, one_of};
use crate::resources::columns::{AGE, NAME, cell, wide};
use crate::resources::object::{canonical_amounts, ensure, fill, given, inside, list, put, text};
use crate::resources::pod_template::host_path;
use crate::resources::{access_modes, difference, keep};
use crate::{meta, names, table};

/// Where a volume's data may be, each with the name upstream shows it under, in upstream's order.
const SOURCES: [(&str, &str); 22] = [
    ("gcePersistentDisk", "GCEPersistentDisk"),
    ("awsElasticBlockStore", "AWSElasticBlockStore"),
    ("hostPath", "HostPath"),
    ("glusterfs", "Glusterfs"),
    ("nfs", "NFS"),
    ("rbd", "RBD"),
    ("quobyte", "Quobyte"),
    ("iscsi", "ISCSI"),
    ("flexVolume", "FlexVolume"),
    ("cinder", "Cinder"),
    ("cephfs", "CephFS"),
    ("fc", "FC"),
    ("flocker", "Flocker"),
    ("azureFile", "AzureFile"),
    ("vsphereVolume", "VsphereVolume"),
    ("azureDisk", "AzureDisk"),
    ("photonPersistentDisk", "PhotonPersistentDisk"),
    ("portworxVolume", "PortworxVolume"),
    ("scaleIO", "ScaleIO"),
    ("local", "Local"),
    ("storageos", "StorageOS"),
    ("csi", "CSI"),
];
const RECLAIM_POLICIES: [&str; 3] = ["Delete", "Recycle", "Retain"];

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "PersistentVolume",
        list_kind: "PersistentVolumeList",
        plural: "persistentvolumes",
        singular: "persistentvolume",
        short_names: &["pv"],
        categories: &[],
        scope: Scope::Cluster,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        let spec = ensure(object, "spec");
        fill(spec, "persistentVolumeReclaimPolicy", "Retain");
        fill(spec, "volumeMode", "Filesystem");
        canonical_amounts(spec, "capacity");
        if let Some(path) = inside(spec, "hostPath") {
            fill(path, "type", "");
        }
        fill(ensure(object, "status"), "phase", "Pending");
    }

    fn prepare_create(&self, object: &mut Value) {
        let mut status = json!({"phase": "Pending"});
        if given(&object["metadata"], "creationTimestamp") {
            status["lastPhaseTransitionTime"] = object["metadata"]["creationTimestamp"].clone();
        }
        put(object, "status", status);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let (modes, at) = (list(spec, "accessModes"), path.child("accessModes"));
        let mut errors = Vec::new();
        if modes.is_empty() {
            errors.push(FieldError::required(&at, ""));
        }
        errors.extend(unknown_modes(modes, &at));
        errors.extend(capacity(spec, &path.child("capacity")));
        errors.extend(one_of(
            spec,
            "persistentVolumeReclaimPolicy",
            &path,
            &RECLAIM_POLICIES,
            true,
        ));
        let required = &spec["nodeAffinity"]["required"];
        if given(spec, "nodeAffinity") {
            let at = path.child("nodeAffinity").child("required");
            if required.is_null() {
                errors.push(FieldError::required(
                    &at,
                    "must specify required node constraints",
                ));
            } else {
                errors.extend(node_selector(required, &at));
            }
        }
        errors.extend(source(spec, &path));
        errors.extend(named(
            spec,
            "storageClassName",
            &path,
            names::dns1123_subdomain,
        ));
        errors.extend(one_of(spec, "volumeMode", &path, &VOLUME_MODES, true));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        let (after, before, path) = (&new["spec"], &old["spec"], Path::new("spec"));
        if SOURCES
            .iter()
            .any(|(source, _)| after[*source] != before[*source])
        {
            let changed = difference::unified(&shown(before), &shown(after));
            let detail =
                format!("spec.persistentvolumesource is immutable after creation\n{changed}");
            errors.push(FieldError::forbidden(
                &path.child("persistentvolumesource"),
                detail,
            ));
        }
        errors.extend(immutable(after, before, "volumeMode", &path));
        if given(before, "nodeAffinity") {
            errors.extend(immutable(after, before, "nodeAffinity", &path));
        }
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (spec, status) = (&object["spec"], &object["status"]);
        let phase = if given(&object["metadata"], "deletionTimestamp") {
            "Terminating"
        } else {
            text(status, "phase")
        };
        let reference = &spec["claimRef"];
        let claim = if reference.is_null() {
            String::new()
        } else {
            format!(
                "{}/{}",
                text(reference, "namespace"),
                text(reference, "name")
            )
        };
        vec![
            meta::name(object).into(),
            text(&spec["capacity"], "storage").into(),
            access_modes(spec).into(),
            text(spec, "persistentVolumeReclaimPolicy").into(),
            phase.into(),
            claim.into(),
            text(spec, "storageClassName").into(),
            or_unset(spec, "volumeAttributesClassName").into(),
            text(status, "reason").into(),
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

fn capacity(spec: &Value, path: &Path) -> Vec<FieldError> {
    let Some(amounts) = spec["capacity"]
        .as_object()
        .filter(|amounts| !amounts.is_empty())
    else {
        return vec![FieldError::required(path, "")];
    };
    if amounts.len() > 1 || !amounts.contains_key("storage") {
        return vec![FieldError::not_supported(
            path,
            amounts.clone(),
            &["storage"],
        )];
    }
    amount(&amounts["storage"], &path.key("storage"), true)
        .into_iter()
        .collect()
}

fn source(spec: &Value, path: &Path) -> Vec<FieldError> {
    let (mut errors, mut sources) = (Vec::new(), 0);
    for (kind, _) in SOURCES.iter().filter(|(kind, _)| given(spec, kind)) {
        let (at, source) = (path.child(kind), &spec[*kind]);
        sources += 1;
        if sources > 1 {
            errors.push(FieldError::forbidden(
                &at,
                "may not specify more than 1 volume type",
            ));
            continue;
        }
        let required = |name: &str| {
            text(source, name)
                .is_empty()
                .then(|| FieldError::required(&at.child(name), ""))
        };
        match *kind {
            "hostPath" => {
                errors.extend(host_path(source, &at));
                if text(source, "path") == "/"
                    && text(spec, "persistentVolumeReclaimPolicy") == "Recycle"
                {
                    let at = path.child("persistentVolumeReclaimPolicy");
                    errors.push(FieldError::forbidden(
                        &at,
                        "may not be 'recycle' for a hostPath mount of '/'",
                    ));
                }
            }
            "local" => {
                errors.extend(required("path"));
                if !given(spec, "nodeAffinity") {
                    let at = path.child("nodeAffinity");
                    errors.push(FieldError::required(
                        &at,
                        "Local volume requires node affinity",
                    ));
                }
            }
            "nfs" => errors.extend(["server", "path"].into_iter().filter_map(required)),
            "csi" => errors.extend(["driver", "volumeHandle"].into_iter().filter_map(required)),
            _ => {}
        }
    }
    if sources == 0 {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Capacity",
        "capacity is the description of the persistent volume's resources and capacity. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#capacity",
    ),
    cell(
        "Access Modes",
        "accessModes contains all ways the volume can be mounted. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#access-modes",
    ),
    cell(
        "Reclaim Policy",
        "persistentVolumeReclaimPolicy defines what happens to a persistent volume when released from its claim. Valid options are Retain (default for manually created PersistentVolumes), Delete (default for dynamically provisioned PersistentVolumes), and Recycle (deprecated). Recycle must be supported by the volume plugin underlying this PersistentVolume. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#reclaiming",
    ),
    cell(
        "Status",
        "phase indicates if a volume is available, bound to a claim, or released by a claim. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#phase",
    ),
    cell(
        "Claim",
        "claimRef is part of a bi-directional binding between PersistentVolume and PersistentVolumeClaim. Expected to be non-nil when bound. claim.VolumeName is the authoritative bind between PV and PVC. More info: https://kubernetes.io/docs/concepts/storage/persistent-volumes#binding",
    ),
    cell("StorageClass", "StorageClass of the pv"),
    cell("VolumeAttributesClass", "VolumeAttributesClass of the pv"),
    cell(
        "Reason",
        "reason is a brief CamelCase string that describes any failure and is meant for machine parsing and tidy display in the CLI.",
    ),
    AGE,
    wide(
        "VolumeMode",
        "volumeMode defines if a volume is intended to be used with a formatted filesystem or to remain in raw block state. Value of Filesystem is implied when not included in spec.",
    ),
];

/// The source of a volume under the names and in the order upstream shows it.
fn shown(spec: &Value) -> String {
    let fields: Vec<_> = SOURCES
        .iter()
        .map(|(field, name)| (*name, capitalised(&spec[*field])))
        .collect();
    difference::printed_fields(&fields)
}

/// The fields of a source under upstream's names, which begin with a capital.
fn capitalised(source: &Value) -> Value {
    let Some(fields) = source.as_object() else {
        return source.clone();
    };
    let capital = |name: &str| {
        let (first, rest) = name.split_at(1);
        format!("{}{rest}", first.to_uppercase())
    };
    fields
        .iter()
        .map(|(name, value)| (capital(name), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "json!(..) reads better without a reference"
    )]
    fn volume(spec: Value) -> Value {
        let mut volume = json!({"metadata": {"name": "pv"}, "spec": {"capacity": {"storage": "5Gi"},
            "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}});
        json_patch::merge(&mut volume["spec"], &spec);
        Rules.default(&mut volume);
        volume
    }

    #[test]
    fn a_volume_is_retained_unless_told_otherwise() {
        // V-21
        let volume = volume(json!({}));
        assert_eq!(volume["spec"]["persistentVolumeReclaimPolicy"], "Retain");
        assert_eq!(volume["spec"]["hostPath"]["type"], "");
        assert!(Rules.validate(&volume).is_empty());
    }

    #[test]
    fn specs_are_checked() {
        let bad = volume(
            json!({"accessModes": null, "capacity": {"storage": null, "cpu": "1"},
            "persistentVolumeReclaimPolicy": "Burn", "hostPath": {"path": "/a/../b"}}),
        );
        assert_eq!(
            texts(&Rules.validate(&bad)),
            [
                "spec.accessModes: Required value",
                r#"spec.capacity: Unsupported value: {"cpu":"1"}: supported values: "storage""#,
                r#"spec.persistentVolumeReclaimPolicy: Unsupported value: "Burn": supported values: "Delete", "Recycle", "Retain""#,
                r#"spec.hostPath.path: Invalid value: "/a/../b": must not contain '..'"#,
            ]
        );
        let two = volume(json!({"nfs": {"server": "s", "path": "/"}}));
        assert_eq!(
            texts(&Rules.validate(&two)),
            ["spec.nfs: Forbidden: may not specify more than 1 volume type"]
        );
        let local = volume(json!({"hostPath": null, "local": {"path": "/x"}}));
        assert_eq!(
            texts(&Rules.validate(&local)),
            ["spec.nodeAffinity: Required value: Local volume requires node affinity"]
        );
    }

    #[test]
    fn the_source_is_immutable() {
        // V-25
        let (old, new) = (
            volume(json!({})),
            volume(json!({"hostPath": {"path": "/other"}})),
        );
        assert_eq!(
            texts(&Rules.validate_update(&new, &old)),
            [
                "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n@@ -2,7 +2,7 @@\n  \"GCEPersistentDisk\": null,\n  \"AWSElasticBlockStore\": null,\n  \"HostPath\": {\n-  \"Path\": \"/x\",\n+  \"Path\": \"/other\",\n   \"Type\": \"\"\n  },\n  \"Glusterfs\": null,\n"
            ]
        );
        let policy = volume(
            json!({"persistentVolumeReclaimPolicy": "Delete", "capacity": {"storage": "6Gi"}}),
        );
        assert!(Rules.validate_update(&policy, &old).is_empty());
    }

    #[test]
    fn the_row_names_the_claim() {
        let mut volume =
            volume(json!({"claimRef": {"namespace": "n", "name": "c"}, "storageClassName": "s"}));
        volume["status"]["phase"] = "Bound".into();
        assert_eq!(
            Value::from(Rules.row(&volume, Timestamp::UNIX_EPOCH)),
            json!([
                "pv",
                "5Gi",
                "RWO",
                "Retain",
                "Bound",
                "n/c",
                "s",
                "<unset>",
                "",
                "<unknown>",
                "Filesystem"
            ])
        );
    }
}
