//! Pod (core/v1): containers that run together on one node.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::columns::{AGE, NAME, cell, wide};
use crate::resources::object::{ensure, fill, given, int, items, list, put, text};
use crate::resources::pod_template::{
    default_spec, fill_host_ports, request_limits, validate_images_of_pod, validate_spec, warn_spec,
};
use crate::resources::{first_generation, keep, next_generation, null_times};

mod ephemeral;
mod qos;
mod resize;
mod row;
mod update;

pub(crate) use qos::class as qos_class;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "Pod",
        list_kind: "PodList",
        plural: "pods",
        singular: "pod",
        short_names: &["po"],
        categories: &["all"],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[
            Subresource::Attach,
            Subresource::Binding,
            Subresource::EphemeralContainers,
            Subresource::Eviction,
            Subresource::Exec,
            Subresource::Log,
            Subresource::PortForward,
            Subresource::Proxy,
            Subresource::Resize,
            Subresource::Status,
        ],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        let spec = ensure(object, "spec");
        fill(spec, "enableServiceLinks", true);
        default_spec(spec);
        fill_host_ports(spec);
        request_limits(spec);
        let status = ensure(object, "status");
        fill(status, "phase", "Pending");
        // The single address and the list of addresses mirror each other; the single one wins.
        for (one, many) in [("podIP", "podIPs"), ("hostIP", "hostIPs")] {
            let ip = text(status, one).to_owned();
            let first = list(status, many)
                .first()
                .map(|address| address["ip"].clone());
            if !ip.is_empty() && first.as_ref().is_none_or(|first| *first != ip.as_str()) {
                put(status, many, json!([{"ip": ip}]));
            } else if let Some(first) = first {
                put(status, one, first);
            }
        }
        null_times(status, &["lastProbeTime", "lastTransitionTime"]);
        for statuses in ["initContainerStatuses", "containerStatuses"] {
            for container in items(status, statuses) {
                ensure(container, "state");
                ensure(container, "lastState");
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        let spec = ensure(object, "spec");
        if int(spec, "terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
            put(spec, "terminationGracePeriodSeconds", 1.into());
        }
        let gated = !list(spec, "schedulingGates").is_empty();
        let mut status = json!({"phase": "Pending", "qosClass": qos::class(spec)});
        if gated {
            let created = object["metadata"]["creationTimestamp"].clone();
            status["conditions"] = json!([{
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
                "lastProbeTime": null,
                "lastTransitionTime": created,
            }]);
        }
        put(object, "status", status);
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        next_generation("", "v1", "Pod", new, old);
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static str] {
        match subresource {
            "" => &["status"],
            "status" => &[
                "spec",
                "metadata.deletionTimestamp",
                "metadata.ownerReferences",
            ],
            _ => &[],
        }
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        crate::resources::keep_all_but_status(new, old);
        // The node reports a state; owners, and when the pod must be gone, are none of its business.
        for name in ["ownerReferences", "deletionTimestamp"] {
            let before = old["metadata"].get(name).cloned().unwrap_or_default();
            put(ensure(new, "metadata"), name, before);
        }
        let class = qos::class(&new["spec"]);
        fill(ensure(new, "status"), "qosClass", class);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = faults(object);
        if !list(spec, "ephemeralContainers").is_empty() {
            errors.push(FieldError::forbidden(
                &path.child("ephemeralContainers"),
                "cannot be set on create",
            ));
        }
        if !list(spec, "schedulingGates").is_empty() && !text(spec, "nodeName").is_empty() {
            let detail = "cannot be set until all schedulingGates have been cleared";
            errors.push(FieldError::forbidden(&path.child("nodeName"), detail));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = faults(new);
        errors.extend(update::changes(new, old));
        errors
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        update::status_changes(new, old)
    }

    fn prepare_part_update(&self, part: Subresource, new: &mut Value, old: &Value) {
        match part {
            Subresource::EphemeralContainers => ephemeral::prepare(new, old),
            Subresource::Resize => resize::prepare(new, old),
            _ => *new = old.clone(),
        }
        next_generation("", "v1", "Pod", new, old);
    }

    fn validate_part_update(&self, part: Subresource, new: &Value, old: &Value) -> Vec<FieldError> {
        match part {
            Subresource::EphemeralContainers => ephemeral::changes(new, old),
            Subresource::Resize => {
                let mut errors = faults(new);
                errors.extend(resize::changes(new, old));
                errors
            }
            _ => Vec::new(),
        }
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        if old.is_some_and(|old| old["spec"] == new["spec"]) {
            return Vec::new();
        }
        warn_spec(&new["spec"], &new["metadata"], &Path::default())
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        row::cells(object, now)
    }

    fn row_conditions(&self, object: &Value) -> Vec<Value> {
        row::conditions(object)
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let (spec, status) = (&object["spec"], &object["status"]);
        vec![
            (
                "spec.hostNetwork",
                (spec["hostNetwork"] == true).to_string(),
            ),
            ("spec.nodeName", text(spec, "nodeName").to_owned()),
            ("spec.restartPolicy", text(spec, "restartPolicy").to_owned()),
            ("spec.schedulerName", text(spec, "schedulerName").to_owned()),
            (
                "spec.serviceAccountName",
                text(spec, "serviceAccountName").to_owned(),
            ),
            (
                "status.nominatedNodeName",
                text(status, "nominatedNodeName").to_owned(),
            ),
            ("status.phase", text(status, "phase").to_owned()),
            ("status.podIP", text(status, "podIP").to_owned()),
        ]
    }

    fn grace_period(&self, object: &Value, requested: Option<i64>) -> Option<i64> {
        // L-30: nothing runs where no node was assigned or all containers have ended.
        let unassigned = text(&object["spec"], "nodeName").is_empty();
        let ended = matches!(text(&object["status"], "phase"), "Failed" | "Succeeded");
        if unassigned || ended {
            return None;
        }
        let seconds = requested
            .or(int(&object["spec"], "terminationGracePeriodSeconds"))
            .unwrap_or(0);
        match seconds {
            0 => None,
            // L-31
            ..0 => Some(1),
            seconds => Some(seconds),
        }
    }

    fn shown_when_deleted(&self) -> bool {
        true
    }
}

/// Keeps a stored pod as it is, but for what tells which pod and state of it a client means.
fn keep_pod(new: &mut Value, old: &Value) {
    let mut pod = old.clone();
    for field in ["name", "namespace", "resourceVersion", "uid"] {
        let asked = new["metadata"].get(field).cloned().unwrap_or_default();
        put(ensure(&mut pod, "metadata"), field, asked);
    }
    *new = pod;
}

/// Faults of a pod, new or updated.
fn faults(object: &Value) -> Vec<FieldError> {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let mut errors = validate_spec(spec, &path);
    if text(spec, "serviceAccountName").is_empty() {
        for (v, volume) in list(spec, "volumes").iter().enumerate() {
            for (s, source) in list(&volume["projected"], "sources").iter().enumerate() {
                if given(source, "serviceAccountToken") {
                    let at = path
                        .child("volumes")
                        .index(v)
                        .child("projected")
                        .child("sources")
                        .index(s);
                    let detail = "must not be specified when serviceAccountName is not set";
                    errors.push(FieldError::forbidden(
                        &at.child("serviceAccountToken"),
                        detail,
                    ));
                }
            }
        }
    }
    errors.extend(validate_images_of_pod(spec, &path));
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Ready",
        "The aggregate readiness state of this pod for accepting traffic.",
    ),
    cell(
        "Status",
        "The aggregate status of the containers in this pod.",
    ),
    cell(
        "Restarts",
        "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
    ),
    AGE,
    wide(
        "IP",
        "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.",
    ),
    wide(
        "Node",
        "NodeName indicates in which node this pod is scheduled. If empty, this pod is a candidate for scheduling by the scheduler defined in schedulerName. Once this field is set, the kubelet for this node becomes responsible for the lifecycle of this pod. This field should not be used to express a desire for the pod to be scheduled on a specific node. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename",
    ),
    wide(
        "Nominated Node",
        "nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot be scheduled right away as preemption victims receive their graceful termination periods. This field does not guarantee that the pod will be scheduled on this node. Scheduler may decide to place the pod elsewhere if other nodes become available sooner. Scheduler may also decide to give the resources on this node to a higher priority pod that is created after preemption. As a result, this field may be different than PodSpec.nodeName when the pod is scheduled.",
    ),
    wide(
        "Readiness Gates",
        "If specified, all readiness gates will be evaluated for pod readiness. A pod is ready when all its containers are ready AND all conditions specified in the readiness gates have status equal to \"True\" More info: https://git.k8s.io/enhancements/keps/sig-network/580-pod-readiness-gates",
    ),
];

#[cfg(test)]
mod tests;
