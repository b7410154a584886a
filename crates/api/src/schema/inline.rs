//! What an empty object of one of upstream's types has in it: structs that it holds not by pointer, and fields that it
//! never leaves out. It refuses to know what for.

use super::{FieldSchema, Type, TypeSchema};

/// Whether a new, empty object of the type has this object in it.
pub(crate) fn is_inline(schema: &TypeSchema, field: &FieldSchema) -> bool {
    if !matches!(field.ty, Type::Object(_)) {
        return false;
    }
    let top = matches!(field.name, "spec" | "status")
        && (schema.gvk.is_some() || schema.short_name().ends_with("TemplateSpec"));
    (field.required && !is_pointer(schema, field))
        || field.name == "metadata"
        || top
        || STRUCTS
            .binary_search(&(schema.short_name(), field.name))
            .is_ok()
}

/// Whether an empty object of the type shows the field all the same: null, or the zero of its type.
pub(crate) fn is_printed(schema: &TypeSchema, field: &FieldSchema) -> bool {
    let place = (schema.short_name(), field.name);
    // The one list that upstream requires and leaves out when it is empty.
    let left_out = place == ("ValidatingAdmissionPolicyBindingSpec", "validationActions");
    (field.required && !is_pointer(schema, field) && !left_out)
        || PRINTED.binary_search(&place).is_ok()
}

/// Whether upstream holds a required object by pointer.
fn is_pointer(schema: &TypeSchema, field: &FieldSchema) -> bool {
    let selector = field.name == "selector"
        && matches!(field.ty, Type::Object(selector) if selector.short_name() == "LabelSelector");
    selector || (schema.short_name(), field.name) == ("IPAddressSpec", "parentRef")
}

/// Type and field of what is printed though it is not required, sorted.
static PRINTED: &[(&str, &str)] = &[
    ("ClusterRole", "rules"),
    ("CustomResourceDefinitionStatus", "conditions"),
    ("CustomResourceDefinitionStatus", "storedVersions"),
    ("EndpointSlice", "endpoints"),
    ("EndpointSlice", "ports"),
    ("Event", "reportingComponent"),
    ("Event", "reportingInstance"),
    ("HorizontalPodAutoscalerStatus", "currentMetrics"),
    ("Role", "rules"),
    ("StatefulSetSpec", "serviceName"),
    ("StatefulSetStatus", "availableReplicas"),
    ("TokenRequestSpec", "boundObjectRef"),
];

/// Type and field of structs, sorted.
static STRUCTS: &[(&str, &str)] = &[
    ("APIGroup", "preferredVersion"),
    ("AllocationResult", "devices"),
    ("Container", "resources"),
    ("ContainerStatus", "lastState"),
    ("ContainerStatus", "state"),
    ("CustomResourceDefinitionStatus", "acceptedNames"),
    ("DaemonSetSpec", "updateStrategy"),
    ("DeploymentSpec", "strategy"),
    ("Endpoint", "conditions"),
    ("EphemeralContainer", "resources"),
    ("Event", "deprecatedSource"),
    ("Event", "regarding"),
    ("Event", "source"),
    ("IngressServiceBackend", "port"),
    ("IngressStatus", "loadBalancer"),
    ("LimitedPriorityLevelConfiguration", "limitResponse"),
    ("NetworkPolicySpec", "podSelector"),
    ("NodeDaemonEndpoints", "kubeletEndpoint"),
    ("NodeStatus", "daemonEndpoints"),
    ("NodeStatus", "nodeInfo"),
    ("PersistentVolumeClaimSpec", "resources"),
    ("PodTemplate", "template"),
    ("ReplicaSetSpec", "template"),
    ("ResourceClaimSpec", "devices"),
    ("SelfSubjectReviewStatus", "userInfo"),
    ("ServiceStatus", "loadBalancer"),
    ("StatefulSetSpec", "updateStrategy"),
    ("TokenReviewStatus", "user"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::generated::TYPES;
    use crate::schema::schema_of;

    #[test]
    fn structs_are_told_from_pointers() {
        assert!(STRUCTS.is_sorted() && PRINTED.is_sorted());
        for (name, field) in STRUCTS.iter().chain(PRINTED) {
            let mut named = TYPES.iter().filter(|schema| schema.short_name() == *name);
            assert!(
                named.any(|schema| schema.field(field).is_some()),
                "{name}.{field}"
            );
        }
        let set = schema_of("apps", "v1", "StatefulSet").unwrap();
        let Type::Object(spec) = set.field("spec").unwrap().ty else {
            panic!("spec is an object")
        };
        let inline = |schema: &TypeSchema, name| is_inline(schema, schema.field(name).unwrap());
        assert!(inline(set, "metadata") && inline(set, "spec") && inline(set, "status"));
        assert!(inline(spec, "template") && inline(spec, "updateStrategy"));
        assert!(!inline(spec, "ordinals") && !inline(spec, "replicas"));
        assert!(!inline(spec, "selector"));
    }
}
