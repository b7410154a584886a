//! NetworkPolicy (networking.k8s.io/v1): who may talk to the pods it selects.

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::Selector;
use crate::field::{FieldError, Path};
use crate::names;
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::{each, label_selector};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{ensure, fill, given, int, items, list, text};
use crate::resources::{first_generation, next_generation};
use crate::{meta, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "networking.k8s.io",
        version: "v1",
        kind: "NetworkPolicy",
        list_kind: "NetworkPolicyList",
        plural: "networkpolicies",
        singular: "networkpolicy",
        short_names: &["netpol"],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

/// Directions with the field that names the peers.
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        let spec = ensure(object, "spec");
        ensure(spec, "podSelector");
        for (direction, _) in DIRECTIONS {
            for rule in items(spec, direction) {
                for port in items(rule, "ports") {
                    fill(port, "protocol", "TCP");
                }
            }
        }
        if list(spec, "policyTypes").is_empty() {
            // Every policy is about what comes in; about what goes out only when it says so.
            spec["policyTypes"] = if list(spec, "egress").is_empty() {
                json!(["Ingress"])
            } else {
                json!(["Ingress", "Egress"])
            };
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        next_generation("networking.k8s.io", "v1", "NetworkPolicy", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = label_selector(&spec["podSelector"], &path.child("podSelector"));
        for (direction, peers) in DIRECTIONS {
            for (index, rule) in list(spec, direction).iter().enumerate() {
                let at = path.child(direction).index(index);
                for (index, entry) in list(rule, "ports").iter().enumerate() {
                    errors.extend(port(entry, &at.child("ports").index(index)));
                }
                for (index, entry) in list(rule, peers).iter().enumerate() {
                    errors.extend(peer(entry, &at.child(peers).index(index)));
                }
            }
        }
        let (types, at) = (list(spec, "policyTypes"), path.child("policyTypes"));
        if types.len() > DIRECTIONS.len() {
            let detail = "may not specify more than two policyTypes";
            errors.push(FieldError::invalid(&at, types.to_vec(), detail));
            return errors;
        }
        for (index, kind) in types.iter().enumerate() {
            if !matches!(kind.as_str(), Some("Ingress" | "Egress")) {
                let set = &["Ingress", "Egress"];
                errors.push(FieldError::not_supported(
                    &at.index(index),
                    kind.clone(),
                    set,
                ));
            }
        }
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let selector = Selector::from_object(&object["spec"]["podSelector"]);
        let shown = match selector.map(|selector| selector.to_string()) {
            Ok(text) if text.is_empty() => "<none>".to_owned(),
            Ok(text) => text,
            Err(_) => "<error>".to_owned(),
        };
        vec![
            meta::name(object).into(),
            shown.into(),
            table::age(object, now),
        ]
    }
}

fn port(port: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let protocol = text(port, "protocol");
    if !matches!(protocol, "TCP" | "UDP" | "SCTP") {
        let set = &["TCP", "UDP", "SCTP"];
        errors.push(FieldError::not_supported(
            &path.child("protocol"),
            protocol,
            set,
        ));
    }
    let (end, at) = (int(port, "endPort"), path.child("endPort"));
    let outside = |number: i64, at: &Path| {
        names::port_number(number).map(|detail| FieldError::invalid(at, number, detail))
    };
    match (&port["port"], end) {
        (Value::Number(number), end) => {
            let number = number.as_i64().unwrap_or(0);
            errors.extend(outside(number, &path.child("port")));
            if let Some(end) = end {
                if end < number {
                    // Upstream shows the port here.
                    let detail = "must be greater than or equal to `port`";
                    errors.push(FieldError::invalid(&at, number, detail));
                }
                errors.extend(outside(end, &at));
            }
        }
        (Value::String(name), end) => {
            if let Some(end) = end {
                let detail = "may not be specified when `port` is non-numeric";
                errors.push(FieldError::invalid(&at, end, detail));
            }
            errors.extend(each(names::port_name(name), &path.child("port"), name));
        }
        (_, Some(end)) => {
            let detail = "may not be specified when `port` is not specified";
            errors.push(FieldError::invalid(&at, end, detail));
        }
        (_, None) => {}
    }
    errors
}

fn peer(peer: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut count = 0;
    for selector in ["podSelector", "namespaceSelector"] {
        if given(peer, selector) {
            count += 1;
            errors.extend(label_selector(&peer[selector], &path.child(selector)));
        }
    }
    if given(peer, "ipBlock") {
        count += 1;
        errors.extend(ip_block(&peer["ipBlock"], &path.child("ipBlock")));
    }
    if count == 0 {
        errors.push(FieldError::required(path, "must specify a peer"));
    } else if count > 1 && given(peer, "ipBlock") {
        let detail = "may not specify both ipBlock and another peer";
        errors.push(FieldError::forbidden(path, detail));
    }
    errors
}

fn ip_block(block: &Value, path: &Path) -> Vec<FieldError> {
    let (cidr, at) = (text(block, "cidr"), path.child("cidr"));
    if cidr.is_empty() {
        return vec![FieldError::required(&at, "")];
    }
    let mut errors = each(names::cidr(cidr), &at, cidr);
    let Some(outer) = network(cidr) else {
        return errors;
    };
    for (index, except) in list(block, "except").iter().enumerate() {
        let (except, at) = (
            except.as_str().unwrap_or_default(),
            path.child("except").index(index),
        );
        errors.extend(each(names::cidr(except), &at, except));
        if network(except).is_some_and(|inner| !strictly_inside(inner, outer)) {
            let detail = "must be a strict subset of `cidr`";
            errors.push(FieldError::invalid(&at, except, detail));
        }
    }
    errors
}

fn network(cidr: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = cidr.split_once('/')?;
    Some((address.parse().ok()?, bits.parse().ok()?))
}

fn strictly_inside(inner: (IpAddr, u32), outer: (IpAddr, u32)) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, true),
        IpAddr::V6(v6) => (u128::from(v6), false),
    };
    let ((inner, inner_v4), (outer, outer_v4), wide) =
        (bits(inner.0), bits(outer.0), (inner.1, outer.1));
    let mask = u128::MAX.checked_shl(128 - wide.1).unwrap_or(0);
    inner_v4 == outer_v4 && inner & mask == outer & mask && wide.0 > wide.1
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Pod-Selector",
        "podSelector selects the pods to which this NetworkPolicy object applies. The array of rules is applied to any pods selected by this field. An empty selector matches all pods in the policy's namespace. Multiple network policies can select the same set of pods. In this case, the ingress rules for each are combined additively. This field is optional. If it is not specified, it defaults to an empty selector.",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn what_a_policy_is_about_follows_from_its_rules() {
        let types = |spec: Value| {
            let mut policy = json!({"spec": spec});
            Rules.default(&mut policy);
            policy["spec"]["policyTypes"].clone()
        };
        assert_eq!(types(json!({})), json!(["Ingress"]));
        assert_eq!(types(json!({"egress": [{}]})), json!(["Ingress", "Egress"]));
        assert_eq!(types(json!({"policyTypes": ["Egress"]})), json!(["Egress"]));
    }

    #[test]
    fn peers_and_ports_are_checked() {
        let policy = |peer: Value, port: Value| {
            let mut policy = json!({"spec": {"ingress": [{"from": [peer], "ports": [port]}]}});
            Rules.default(&mut policy);
            texts(&Rules.validate(&policy))
        };
        let fine = json!({"podSelector": {}});
        assert!(policy(fine.clone(), json!({"port": 1, "endPort": 2})).is_empty());
        assert_eq!(
            policy(fine.clone(), json!({"port": 5, "endPort": 2})),
            [
                "spec.ingress[0].ports[0].endPort: Invalid value: 5: must be greater than or equal to `port`"
            ]
        );
        assert_eq!(
            policy(fine, json!({"port": "web", "endPort": 2})),
            [
                "spec.ingress[0].ports[0].endPort: Invalid value: 2: may not be specified when `port` is non-numeric"
            ]
        );
        let block = json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8", "11.0.0.0/16", "10.9.0.0/16"]}});
        assert_eq!(
            policy(block, json!({})),
            [
                r#"spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`"#,
                r#"spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`"#,
            ]
        );
        assert_eq!(
            policy(json!({}), json!({})),
            ["spec.ingress[0].from[0]: Required value: must specify a peer"]
        );
    }
}
