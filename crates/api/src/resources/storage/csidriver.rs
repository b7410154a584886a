//! CSIDriver (storage.k8s.io/v1): what a storage driver can do and needs.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::columns::{AGE, NAME, boolean, cell};
use crate::resources::next_generation;
use crate::resources::object::{ensure, fill, given, int, list, text};
use crate::{meta, table};

/// Tokens live at least this many seconds.
const TOKEN_MIN: i64 = 600;
const TOKEN_MAX: i64 = 1 << 32;
/// Nodes ask a driver at most this often how many volumes it takes.
const PERIOD_MIN: i64 = 10;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "storage.k8s.io",
        version: "v1",
        kind: "CSIDriver",
        list_kind: "CSIDriverList",
        plural: "csidrivers",
        singular: "csidriver",
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
        let spec = ensure(object, "spec");
        fill(spec, "attachRequired", true);
        for field in [
            "podInfoOnMount",
            "storageCapacity",
            "requiresRepublish",
            "seLinuxMount",
        ] {
            fill(spec, field, false);
        }
        fill(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        if list(spec, "volumeLifecycleModes").is_empty() {
            spec["volumeLifecycleModes"] = json!(["Persistent"]);
        }
    }

    /// The first generation is that of the first change.
    fn prepare_update(&self, new: &mut Value, old: &Value) {
        next_generation("storage.k8s.io", "v1", "CSIDriver", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = Vec::new();
        let (policy, set) = (
            text(spec, "fsGroupPolicy"),
            &["File", "None", "ReadWriteOnceWithFSType"],
        );
        if !set.contains(&policy) {
            let at = path.child("fsGroupPolicy");
            errors.push(FieldError::not_supported(&at, policy, set));
        }
        errors.extend(tokens(spec, &path.child("tokenRequests")));
        for mode in list(spec, "volumeLifecycleModes") {
            if !matches!(mode.as_str(), Some("Persistent" | "Ephemeral")) {
                let at = path.child("volumeLifecycleModes");
                let set = &["Persistent", "Ephemeral"];
                errors.push(FieldError::not_supported(&at, mode.clone(), set));
            }
        }
        let field = "nodeAllocatableUpdatePeriodSeconds";
        if let Some(period) = int(spec, field).filter(|period| *period < PERIOD_MIN) {
            let detail = format!("must be greater than or equal to {PERIOD_MIN} seconds");
            errors.push(FieldError::invalid(&path.child(field), period, detail));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        // Upstream calls the first field by another name.
        for (field, called) in [
            ("attachRequired", "attachedRequired"),
            ("volumeLifecycleModes", "volumeLifecycleModes"),
        ] {
            let (new, old) = (&new["spec"][field], &old["spec"][field]);
            if new != old {
                let at = Path::new("spec").child(called);
                errors.push(FieldError::invalid(&at, new.clone(), "field is immutable"));
            }
        }
        errors
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let spec = &new["spec"];
        let logged = old.is_none()
            && !list(spec, "tokenRequests").is_empty()
            && !given(spec, "serviceAccountTokenInSecrets");
        let text = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to \
                    prevent possible logging of tokens in volume attributes";
        logged.then(|| text.to_owned()).into_iter().collect()
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let flag = |field: &str| Value::from(spec[field] == true);
        let audiences: Vec<&str> = list(spec, "tokenRequests")
            .iter()
            .map(|request| text(request, "audience"))
            .collect();
        let audiences = if audiences.is_empty() {
            "<unset>".to_owned()
        } else {
            audiences.join(",")
        };
        let modes = list(spec, "volumeLifecycleModes").iter();
        let modes: Vec<&str> = modes.filter_map(Value::as_str).collect();
        vec![
            meta::name(object).into(),
            flag("attachRequired"),
            flag("podInfoOnMount"),
            flag("storageCapacity"),
            audiences.into(),
            flag("requiresRepublish"),
            modes.join(",").into(),
            table::age(object, now),
        ]
    }

    fn shown_when_deleted(&self) -> bool {
        true
    }
}

fn tokens(spec: &Value, path: &Path) -> Vec<FieldError> {
    let (mut errors, mut audiences) = (Vec::new(), HashSet::new());
    for (index, request) in list(spec, "tokenRequests").iter().enumerate() {
        let (audience, at) = (text(request, "audience"), path.index(index));
        if !audiences.insert(audience) {
            errors.push(FieldError::duplicate(&at.child("audience"), audience));
            continue;
        }
        let seconds = int(request, "expirationSeconds").unwrap_or(TOKEN_MIN);
        let at = at.child("expirationSeconds");
        if seconds < TOKEN_MIN {
            let detail = "may not specify a duration less than 10 minutes";
            errors.push(FieldError::invalid(&at, seconds, detail));
        }
        if seconds > TOKEN_MAX {
            let detail = "may not specify a duration larger than 2^32 seconds";
            errors.push(FieldError::invalid(&at, seconds, detail));
        }
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    boolean(
        "AttachRequired",
        "attachRequired indicates this CSI volume driver requires an attach operation (because it implements the CSI ControllerPublishVolume() method), and that the Kubernetes attach detach controller should call the attach volume interface which checks the volumeattachment status and waits until the volume is attached before proceeding to mounting. The CSI external-attacher coordinates with CSI volume driver and updates the volumeattachment status when the attach operation is complete. If the value is specified to false, the attach operation will be skipped. Otherwise the attach operation will be called.\n\nThis field is immutable.",
    ),
    boolean(
        "PodInfoOnMount",
        "podInfoOnMount indicates this CSI volume driver requires additional pod information (like podName, podUID, etc.) during mount operations, if set to true. If set to false, pod information will not be passed on mount. Default is false.\n\nThe CSI driver specifies podInfoOnMount as part of driver deployment. If true, Kubelet will pass pod information as VolumeContext in the CSI NodePublishVolume() calls. The CSI driver is responsible for parsing and validating the information passed in as VolumeContext.\n\nThe following VolumeContext will be passed if podInfoOnMount is set to true. This list might grow, but the prefix will be used. \"csi.storage.k8s.io/pod.name\": pod.Name \"csi.storage.k8s.io/pod.namespace\": pod.Namespace \"csi.storage.k8s.io/pod.uid\": string(pod.UID) \"csi.storage.k8s.io/ephemeral\": \"true\" if the volume is an ephemeral inline volume\n                                defined by a CSIVolumeSource, otherwise \"false\"\n\n\"csi.storage.k8s.io/ephemeral\" is a new feature in Kubernetes 1.16. It is only required for drivers which support both the \"Persistent\" and \"Ephemeral\" VolumeLifecycleMode. Other drivers can leave pod info disabled and/or ignore this field. As Kubernetes 1.15 doesn't support this field, drivers can only support one mode when deployed on such a cluster and the deployment determines which mode that is, for example via a command line parameter of the driver.\n\nThis field was immutable in Kubernetes < 1.29 and now is mutable.",
    ),
    boolean(
        "StorageCapacity",
        "storageCapacity indicates that the CSI volume driver wants pod scheduling to consider the storage capacity that the driver deployment will report by creating CSIStorageCapacity objects with capacity information, if set to true.\n\nThe check can be enabled immediately when deploying a driver. In that case, provisioning new volumes with late binding will pause until the driver deployment has published some suitable CSIStorageCapacity object.\n\nAlternatively, the driver can be deployed with the field unset or false and it can be flipped later when storage capacity information has been published.\n\nThis field was immutable in Kubernetes <= 1.22 and now is mutable.",
    ),
    cell(
        "TokenRequests",
        "tokenRequests indicates the CSI driver needs pods' service account tokens it is mounting volume for to do necessary authentication. Kubelet will pass the tokens in VolumeContext in the CSI NodePublishVolume calls. The CSI driver should parse and validate the following VolumeContext: \"csi.storage.k8s.io/serviceAccount.tokens\": {\n  \"<audience>\": {\n    \"token\": <token>,\n    \"expirationTimestamp\": <expiration timestamp in RFC3339>,\n  },\n  ...\n}\n\nNote: Audience in each TokenRequest should be different and at most one token is empty string. To receive a new token after expiry, RequiresRepublish can be used to trigger NodePublishVolume periodically.",
    ),
    boolean(
        "RequiresRepublish",
        "requiresRepublish indicates the CSI driver wants `NodePublishVolume` being periodically called to reflect any possible change in the mounted volume. This field defaults to false.\n\nNote: After a successful initial NodePublishVolume call, subsequent calls to NodePublishVolume should only update the contents of the volume. New mount points will not be seen by a running container.",
    ),
    cell(
        "Modes",
        "volumeLifecycleModes defines what kind of volumes this CSI volume driver supports. The default if the list is empty is \"Persistent\", which is the usage defined by the CSI specification and implemented in Kubernetes via the usual PV/PVC mechanism.\n\nThe other mode is \"Ephemeral\". In this mode, volumes are defined inline inside the pod spec with CSIVolumeSource and their lifecycle is tied to the lifecycle of that pod. A driver has to be aware of this because it is only going to get a NodePublishVolume call for such a volume.\n\nFor more information about implementing this mode, see https://kubernetes-csi.github.io/docs/ephemeral-local-volumes.html A driver can support one or more of these modes and more modes may be added in the future.\n\nThis field is beta. This field is immutable.",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn drivers_are_defaulted_and_checked() {
        let mut driver = json!({"spec": {"tokenRequests": [{"audience": "x", "expirationSeconds": 5}, {"audience": "x"}]}});
        Rules.default(&mut driver);
        assert_eq!(
            driver["spec"]["volumeLifecycleModes"],
            json!(["Persistent"])
        );
        assert_eq!(driver["spec"]["attachRequired"], true);
        assert_eq!(
            texts(&Rules.validate(&driver)),
            [
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
                r#"spec.tokenRequests[1].audience: Duplicate value: "x""#,
            ]
        );
    }

    #[test]
    fn how_volumes_are_attached_stays() {
        let driver =
            |attach: bool| json!({"spec": {"attachRequired": attach, "fsGroupPolicy": "None"}});
        assert_eq!(
            texts(&Rules.validate_update(&driver(false), &driver(true))),
            ["spec.attachedRequired: Invalid value: false: field is immutable"]
        );
    }
}
