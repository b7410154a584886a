//! Which optional objects upstream holds as structs within structs and not by pointer: they are there, empty, in
//! every object of their type. It refuses to know what for.

use super::{FieldSchema, Type, TypeSchema};

/// Whether a new, empty object of the type has this object in it.
pub(crate) fn is_inline(schema: &TypeSchema, field: &FieldSchema) -> bool {
    if !matches!(field.ty, Type::Object(_)) {
        return false;
    }
    let top = matches!(field.name, "spec" | "status")
        && (schema.gvk.is_some() || schema.short_name().ends_with("TemplateSpec"));
    field.required
        || field.name == "metadata"
        || top
        || STRUCTS
            .binary_search(&(schema.short_name(), field.name))
            .is_ok()
}

/// Type and field, sorted.
static STRUCTS: &[(&str, &str)] = &[
    ("CustomResourceDefinitionStatus", "acceptedNames"),
    ("DaemonSetSpec", "updateStrategy"),
    ("DeploymentSpec", "strategy"),
    ("Event", "deprecatedSource"),
    ("Event", "regarding"),
    ("Event", "source"),
    ("IngressStatus", "loadBalancer"),
    ("NetworkPolicySpec", "podSelector"),
    ("NodeDaemonEndpoints", "kubeletEndpoint"),
    ("NodeStatus", "daemonEndpoints"),
    ("NodeStatus", "nodeInfo"),
    ("PersistentVolumeClaimSpec", "resources"),
    ("PodTemplate", "template"),
    ("ReplicaSetSpec", "template"),
    ("ResourceClaimSpec", "devices"),
    ("ServiceStatus", "loadBalancer"),
    ("StatefulSetSpec", "updateStrategy"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::schema_of;

    #[test]
    fn structs_are_told_from_pointers() {
        assert!(STRUCTS.is_sorted());
        let set = schema_of("apps", "v1", "StatefulSet").unwrap();
        let Type::Object(spec) = set.field("spec").unwrap().ty else {
            panic!("spec is an object")
        };
        let inline = |schema: &TypeSchema, name| is_inline(schema, schema.field(name).unwrap());
        assert!(inline(set, "metadata") && inline(set, "spec") && inline(set, "status"));
        assert!(inline(spec, "template") && inline(spec, "updateStrategy"));
        assert!(!inline(spec, "ordinals") && !inline(spec, "replicas"));
    }
}
