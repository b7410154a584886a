//! The built-in kinds: one file each, plus what several of them share. Knows no storage and no HTTP.

mod admissionregistration;
pub(crate) mod apiextensions;
mod apiregistration;
mod apps;
mod authentication;
pub mod authorization;
mod autoscaling;
pub(crate) mod batch;
mod certificates;
mod checks;
pub(crate) mod columns;
mod coordination;
mod core;
mod difference;
mod discovery;
mod events;
mod flowcontrol;
mod networking;
mod node;
pub(crate) mod object;
mod pod_template;
mod policy;
mod rbac;
mod references;
mod resource;
mod resource_names;
pub mod scale;
mod scheduling;
mod storage;
#[cfg(test)]
mod testing;
mod typed;
mod webhook_client;
mod workload;

pub(crate) use certificates::certificatesigningrequest::USAGES as CERTIFICATE_USAGES;
pub(crate) use core::pod::qos_class;
pub use scheduling::priorityclass::SYSTEM_CLASSES as SYSTEM_PRIORITY_CLASSES;
use serde_json::Value;

use crate::resource::Resource;
use crate::resources::object::{ensure, fill, int, items, list, put};
use crate::schema::{Type, schema_of, semantically_equal};

/// Every built-in kind.
pub(crate) fn all() -> Vec<Resource> {
    let mut all = vec![
        core::binding::resource(),
        core::componentstatus::resource(),
        core::configmap::resource(),
        core::endpoints::resource(),
        core::event::resource(),
        core::limitrange::resource(),
        core::namespace::resource(),
        core::node::resource(),
        core::persistentvolume::resource(),
        core::persistentvolumeclaim::resource(),
        core::pod::resource(),
        core::podtemplate::resource(),
        core::replicationcontroller::resource(),
        core::resourcequota::resource(),
        core::secret::resource(),
        core::service::resource(),
        core::serviceaccount::resource(),
        apiextensions::customresourcedefinition::resource(),
        apps::controllerrevision::resource(),
        apps::daemonset::resource(),
        apps::deployment::resource(),
        apps::replicaset::resource(),
        apps::statefulset::resource(),
        autoscaling::horizontalpodautoscaler::resource(),
        autoscaling::horizontalpodautoscaler::older_resource(),
        batch::cronjob::resource(),
        batch::job::resource(),
        networking::ingress::resource(),
        networking::ingressclass::resource(),
        networking::ipaddress::resource(),
        networking::networkpolicy::resource(),
        networking::servicecidr::resource(),
        policy::poddisruptionbudget::resource(),
        storage::csidriver::resource(),
        storage::csinode::resource(),
        storage::csistoragecapacity::resource(),
        storage::storageclass::resource(),
        storage::volumeattachment::resource(),
        storage::volumeattributesclass::resource(),
        admissionregistration::mutatingadmissionpolicy::resource(),
        admissionregistration::mutatingadmissionpolicybinding::resource(),
        admissionregistration::mutatingwebhookconfiguration::resource(),
        admissionregistration::validatingadmissionpolicy::resource(),
        admissionregistration::validatingadmissionpolicybinding::resource(),
        admissionregistration::validatingwebhookconfiguration::resource(),
        scheduling::priorityclass::resource(),
        coordination::lease::resource(),
        node::runtimeclass::resource(),
        discovery::endpointslice::resource(),
        events::resource(),
        flowcontrol::flowschema::resource(),
        flowcontrol::prioritylevelconfiguration::resource(),
        resource::deviceclass::resource(),
        resource::resourceclaim::resource(),
        resource::resourceclaimtemplate::resource(),
        resource::resourceslice::resource(),
        apiregistration::apiservice::resource(),
        authentication::token_review(),
        authentication::self_subject_review(),
        certificates::certificatesigningrequest::resource(),
        rbac::role::role(),
        rbac::role::cluster_role(),
        rbac::binding::role_binding(),
        rbac::binding::cluster_role_binding(),
    ];
    all.extend(authorization::all());
    all
}

/// A status update keeps everything of the stored object but the status, and metadata that is mutable anyway.
pub(crate) fn keep_all_but_status(new: &mut Value, old: &Value) {
    let (Some(new), Some(old)) = (new.as_object_mut(), old.as_object()) else {
        return;
    };
    new.retain(|key, _| matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
    for (key, value) in old {
        if key != "status" && key != "metadata" {
            new.insert(key.clone(), value.clone());
        }
    }
}

/// A status update of kinds that are stricter: it keeps the metadata, too.
pub(crate) fn keep_all_but_status_alone(new: &mut Value, old: &Value) {
    keep_all_but_status(new, old);
    let Some(mut metadata) = old.get("metadata").cloned() else {
        return;
    };
    for own in ["managedFields", "resourceVersion"] {
        let value = new["metadata"].get(own).cloned().unwrap_or_default();
        put(&mut metadata, own, value);
    }
    new["metadata"] = metadata;
}

/// What the endpoints of such a kind cannot change.
pub(crate) fn reset_beside_status(subresource: &str) -> &'static [&'static str] {
    match subresource {
        "" => &["status"],
        "status" => &["metadata", "spec"],
        _ => &[],
    }
}

/// Takes one field from the stored object.
pub(crate) fn keep(new: &mut Value, old: &Value, field: &str) {
    put(new, field, old.get(field).cloned().unwrap_or_default());
}

/// Whether one field of two objects of a kind means the same.
pub(crate) fn same(
    group: &str,
    version: &str,
    kind: &str,
    field: &str,
    a: &Value,
    b: &Value,
) -> bool {
    let ty = schema_of(group, version, kind)
        .and_then(|schema| schema.field(field))
        .map(|field| field.ty);
    match ty {
        Some(Type::Object(schema)) => semantically_equal(schema, &a[field], &b[field]),
        _ => a[field] == b[field],
    }
}

/// Objects that count their generations start with the first.
pub(crate) fn first_generation(object: &mut Value) {
    put(ensure(object, "metadata"), "generation", 1.into());
}

/// The generation counts changes of the spec.
pub(crate) fn next_generation(
    group: &str,
    version: &str,
    kind: &str,
    new: &mut Value,
    old: &Value,
) {
    let step = i64::from(!same(group, version, kind, "spec", new, old));
    set_generation(new, old, step);
}

/// The generation counts changes of everything but the metadata.
pub(crate) fn next_generation_beside_metadata(new: &mut Value, old: &Value) {
    let content = |object: &Value| {
        let mut object = object.clone();
        for field in ["metadata", "apiVersion", "kind"] {
            object::remove(&mut object, field);
        }
        object
    };
    let step = i64::from(content(new) != content(old));
    set_generation(new, old, step);
}

/// Counts the generation of an update by this step.
pub(crate) fn set_generation(new: &mut Value, old: &Value, step: i64) {
    let before = int(&old["metadata"], "generation").unwrap_or(0);
    if before + step > 0 {
        put(
            ensure(new, "metadata"),
            "generation",
            (before + step).into(),
        );
    }
}

/// Times of a status' conditions are shown even when they are not known.
pub(crate) fn null_times(status: &mut Value, times: &[&str]) {
    for condition in items(status, "conditions") {
        for time in times {
            fill(condition, time, Value::Null);
        }
    }
}

/// Access modes in short, in the order of permissiveness (K-5).
pub(crate) fn access_modes(object: &Value) -> String {
    let modes = list(object, "accessModes");
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let given = short
        .iter()
        .filter(|(long, _)| modes.iter().any(|mode| mode == long));
    given.map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}
