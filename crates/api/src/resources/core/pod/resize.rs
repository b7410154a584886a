//! Resizing: what running containers may ask for anew, and what must stay.

use serde_json::Value;

use super::qos;
use crate::field::{FieldError, Path};
use crate::resources::difference::unified;
use crate::resources::object::{given, items, list, put, text};
use crate::resources::pod_template::internal;
use crate::resources::same;

const GROUPS: [&str; 2] = ["containers", "initContainers"];
/// Marks pods that a node runs from a file.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Keeps everything of the stored pod but what its containers ask for.
pub(super) fn prepare(new: &mut Value, old: &Value) {
    let asked = new["spec"].take();
    super::keep_pod(new, old);
    for group in GROUPS {
        // Containers that are missing, new or moved are refused later; here they change nothing.
        let wanted = list(&asked, group);
        let same_order = wanted.len() == list(&old["spec"], group).len()
            && wanted
                .iter()
                .zip(list(&old["spec"], group))
                .all(|(a, b)| a["name"] == b["name"]);
        if !same_order {
            put(&mut new["spec"], group, asked[group].clone());
            continue;
        }
        for (container, wanted) in items(&mut new["spec"], group).zip(wanted) {
            for field in ["resources", "resizePolicy"] {
                put(container, field, wanted[field].clone());
            }
        }
    }
}

/// Faults of an update.
pub(super) fn changes(new: &Value, old: &Value) -> Vec<FieldError> {
    let (after, before, path) = (&new["spec"], &old["spec"], Path::new("spec"));
    let whole = Path::default();
    let mut errors = Vec::new();
    if given(&old["metadata"]["annotations"], MIRROR) {
        errors.push(FieldError::forbidden(
            &whole,
            "static pods cannot be resized",
        ));
    }
    if text(&before["os"], "name") == "windows" {
        errors.push(FieldError::forbidden(
            &whole,
            "windows pods cannot be resized",
        ));
    }
    let class = text(&old["status"], "qosClass");
    if !class.is_empty() && qos::class(after) != class {
        let detail = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid(&path, class, detail));
    }
    if !supported(old) {
        let detail = "Pod running on node without support for resize";
        errors.push(FieldError::forbidden(&path, detail));
    }
    let order = moved(after, before, &path);
    if !order.is_empty() {
        errors.extend(order);
        return errors;
    }
    for group in GROUPS {
        let pairs = list(after, group).iter().zip(list(before, group));
        for (index, (container, old)) in pairs.enumerate() {
            let at = path.child(group).index(index).child("resources");
            let sidecar = group == "containers" || old["restartPolicy"] == "Always";
            if !sidecar {
                if container["resources"] != old["resources"] {
                    let detail = "resources for non-sidecar init containers are immutable";
                    errors.push(FieldError::forbidden(&at, detail));
                }
                continue;
            }
            for (field, detail) in [
                ("requests", "resource requests cannot be removed"),
                ("limits", "resource limits cannot be removed"),
            ] {
                if removed(&container["resources"][field], &old["resources"][field]) {
                    errors.push(FieldError::forbidden(&at.child(field), detail));
                }
            }
        }
    }
    let mut comparable = new.clone();
    take_back(&mut comparable["spec"], before);
    if !same("", "v1", "Pod", "spec", &comparable, old) {
        let [from, to] = [before, &comparable["spec"]].map(|spec| internal::pod_spec(spec).lines());
        let changed = unified(&from, &to);
        let detail = format!("only cpu and memory resources are mutable\n{changed}");
        errors.push(FieldError::forbidden(&path, detail));
    }
    errors
}

/// A node that says what running containers have got can also change it.
fn supported(pod: &Value) -> bool {
    list(&pod["status"], "containerStatuses")
        .iter()
        .filter(|status| given(&status["state"], "running"))
        .all(|status| given(status, "resources"))
}

fn moved(after: &Value, before: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for group in GROUPS {
        let at = path.child(group);
        if list(after, group).len() != list(before, group).len() {
            let detail = format!("{group} may not be added or removed on resize");
            errors.push(FieldError::forbidden(&at, detail));
            continue;
        }
        let pairs = list(after, group).iter().zip(list(before, group));
        for (index, (new, old)) in pairs.enumerate() {
            if new["name"] != old["name"] {
                let at = at.index(index).child("name");
                let detail = format!("{group} may not be renamed or reordered on resize");
                errors.push(FieldError::forbidden(&at, detail));
            }
        }
    }
    errors
}

fn removed(after: &Value, before: &Value) -> bool {
    let names = before.as_object().into_iter().flatten();
    names.into_iter().any(|(name, _)| after.get(name).is_none())
}

/// Takes back the amounts of cpu and memory, and the policies by which containers take them up.
fn take_back(spec: &mut Value, before: &Value) {
    for group in GROUPS {
        for (container, old) in items(spec, group).zip(list(before, group)) {
            put(container, "resizePolicy", old["resizePolicy"].clone());
            for field in ["requests", "limits"] {
                for name in ["cpu", "memory"] {
                    let amount = old["resources"][field][name].clone();
                    if container["resources"][field].is_object() {
                        put(&mut container["resources"][field], name, amount);
                    } else if !amount.is_null() {
                        container["resources"][field] = serde_json::json!({name: amount});
                    }
                }
            }
        }
    }
}
