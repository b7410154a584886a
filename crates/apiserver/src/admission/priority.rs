//! A pod's priority is the value of its class, or of the class that is the default. Pods name a class, never a value.

use plinth_api::{SYSTEM_PRIORITY_CLASSES, Status};
use serde_json::Value;

use super::objects_of;
use crate::kind::Kind;
use crate::server::Core;
use crate::write::meta_text;

/// What a class gives to its pods.
struct Class {
    name: String,
    value: i64,
    preemption: String,
}

pub(super) fn admit(core: &Core, kind: &Kind, pod: &mut Value) -> Result<(), Status> {
    let named = pod["spec"]["priorityClassName"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let refuse = |pod: &Value, why: &str| {
        Err(Status::forbidden(
            kind.resource,
            meta_text(pod, "name"),
            why,
        ))
    };
    let class = if named.is_empty() {
        default_class(core)?
    } else {
        class(core, &named)?
    };
    if class.is_none() && !named.is_empty() {
        return refuse(
            pod,
            &format!("no PriorityClass with name {named} was found"),
        );
    }
    let class = class.unwrap_or_else(|| Class {
        name: String::new(),
        value: 0,
        preemption: "PreemptLowerPriority".to_owned(),
    });
    let spec = &mut pod["spec"];
    if spec["priority"]
        .as_i64()
        .is_some_and(|given| given != class.value)
    {
        let why = "the integer value of priority must not be provided in pod spec; priority admission controller \
                   computed it from the given PriorityClass name";
        return refuse(pod, why);
    }
    let given = spec["preemptionPolicy"].as_str();
    if given.is_some_and(|given| given != class.preemption) {
        let why = "the string value of PreemptionPolicy must not be provided in pod spec; priority admission \
                   controller computed it from the given PriorityClass name";
        return refuse(pod, why);
    }
    if named.is_empty() && !class.name.is_empty() {
        spec["priorityClassName"] = class.name.into();
    }
    spec["priority"] = class.value.into();
    spec["preemptionPolicy"] = class.preemption.into();
    Ok(())
}

/// Only one class can be the default.
pub(super) fn review_class(core: &Core, kind: &Kind, object: &Value) -> Result<(), Status> {
    if object["globalDefault"] != true {
        return Ok(());
    }
    let name = meta_text(object, "name");
    match default_class(core)?.filter(|default| default.name != name) {
        Some(default) => {
            let why = format!(
                "PriorityClass {} is already marked as default. Only one default can exist",
                default.name
            );
            Err(Status::forbidden(kind.resource, name, &why))
        }
        None => Ok(()),
    }
}

/// The system's classes stay.
pub(super) fn admit_delete(kind: &Kind, name: &str) -> Result<(), Status> {
    if SYSTEM_PRIORITY_CLASSES
        .iter()
        .any(|(known, _, _)| *known == name)
    {
        let why = "this is a system priority class and cannot be deleted";
        return Err(Status::forbidden(kind.resource, name, why));
    }
    Ok(())
}

fn class(core: &Core, name: &str) -> Result<Option<Class>, Status> {
    let Some(classes) = core
        .kinds
        .find("scheduling.k8s.io", "v1", "priorityclasses")
    else {
        return Ok(None);
    };
    let Some(found) = classes.cache.get("", name) else {
        return Ok(None);
    };
    Ok(Some(read(found.parsed()?)))
}

/// Of several default classes the one with the smallest value.
fn default_class(core: &Core) -> Result<Option<Class>, Status> {
    let mut default: Option<Class> = None;
    for class in objects_of(core, "scheduling.k8s.io", "priorityclasses") {
        let class = class.parsed()?;
        if class["globalDefault"] == true {
            let class = read(class);
            if default
                .as_ref()
                .is_none_or(|other| class.value < other.value)
            {
                default = Some(class);
            }
        }
    }
    Ok(default)
}

fn read(class: &Value) -> Class {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Class {
        name: meta_text(class, "name").to_owned(),
        value: class["value"].as_i64().unwrap_or(0),
        preemption: text(&class["preemptionPolicy"]),
    }
}
