//! What a pod asks for in all: the sum of its containers, or what one of its init containers needs if that is more,
//! plus the overhead of running it. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Quantity;
use crate::resources::object::{amount_of, list};

/// Amounts by the name of the resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// Which amounts of a container are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What it is guaranteed.
    Requests,
    /// What it may take at most.
    Limits,
}

impl Side {
    fn field(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }
}

/// The amounts in a map of an object.
pub fn amounts(object: &Value, field: &str) -> Amounts {
    let map = object.get(field).and_then(Value::as_object);
    map.into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), amount_of(value)?)))
        .collect()
}

/// What a pod requests, or is limited to, in all.
pub fn of_pod(pod: &Value, side: Side) -> Amounts {
    let spec = &pod["spec"];
    let of = |container: &Value| amounts(&container["resources"], side.field());
    let mut total = Amounts::new();
    for container in list(spec, "containers") {
        add(&mut total, &of(container));
    }
    // Init containers run one after the other, each beside the sidecars that started before it.
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in list(spec, "initContainers") {
        if container["restartPolicy"] == "Always" {
            add(&mut sidecars, &of(container));
            add(&mut total, &of(container));
            raise(&mut peak, &sidecars);
        } else {
            let mut together = of(container);
            add(&mut together, &sidecars);
            raise(&mut peak, &together);
        }
    }
    raise(&mut total, &peak);
    for (name, amount) in amounts(&spec["resources"], side.field()) {
        // What is said of the pod as a whole counts instead.
        total.insert(name, amount);
    }
    for (name, amount) in amounts(spec, "overhead") {
        let limited = side == Side::Requests || total.contains_key(&name);
        if limited {
            add(&mut total, &Amounts::from([(name, amount)]));
        }
    }
    total
}

/// Adds amounts to others.
pub fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = total.get(name).map_or(*amount, |had| had.plus(*amount));
        total.insert(name.clone(), sum);
    }
}

fn raise(total: &mut Amounts, at_least: &Amounts) {
    for (name, amount) in at_least {
        if total.get(name).is_none_or(|had| had < amount) {
            total.insert(name.clone(), *amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(cpu: &str) -> Value {
        json!({"resources": {"requests": {"cpu": cpu}}})
    }

    fn cpu(spec: &Value) -> String {
        let total = of_pod(&json!({ "spec": spec }), Side::Requests);
        total["cpu"].to_string()
    }

    #[test]
    fn containers_add_up_and_init_containers_do_not() {
        let two = [container("100m"), container("200m")];
        assert_eq!(cpu(&json!({"containers": two})), "300m");
        assert_eq!(
            cpu(
                &json!({"containers": two, "initContainers": [container("250m"), container("200m")]})
            ),
            "300m"
        );
        assert_eq!(
            cpu(&json!({"containers": two, "initContainers": [container("1")]})),
            "1"
        );
    }

    #[test]
    fn sidecars_run_beside_all_others() {
        let mut sidecar = container("500m");
        sidecar["restartPolicy"] = "Always".into();
        let spec = json!({"containers": [container("100m")], "initContainers": [sidecar, container("300m")]});
        assert_eq!(cpu(&spec), "800m");
    }

    #[test]
    fn running_a_pod_costs_its_overhead() {
        let spec =
            json!({"containers": [container("100m")], "overhead": {"cpu": "50m", "memory": "1Mi"}});
        let pod = json!({ "spec": spec });
        assert_eq!(of_pod(&pod, Side::Requests)["cpu"].to_string(), "150m");
        assert!(of_pod(&pod, Side::Limits).is_empty());
    }
}
