//! Endpoints (core/v1): the addresses behind a Service, in the form before EndpointSlice.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::{each, label, one_of};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{fill, items, list, text};
use crate::{meta, names, table};

/// A row shows this many addresses.
const SHOWN: usize = 3;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "Endpoints",
        list_kind: "EndpointsList",
        plural: "endpoints",
        singular: "endpoints",
        short_names: &["ep"],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        for subset in items(object, "subsets") {
            for port in items(subset, "ports") {
                fill(port, "protocol", "TCP");
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (index, subset) in list(object, "subsets").iter().enumerate() {
            let at = Path::new("subsets").index(index);
            if list(subset, "addresses").is_empty() && list(subset, "notReadyAddresses").is_empty()
            {
                errors.push(FieldError::required(
                    &at,
                    "must specify `addresses` or `notReadyAddresses`",
                ));
            }
            for kind in ["addresses", "notReadyAddresses"] {
                for (index, address) in list(subset, kind).iter().enumerate() {
                    let at = at.child(kind).index(index);
                    errors.extend(each(
                        names::ip(text(address, "ip")),
                        &at.child("ip"),
                        text(address, "ip"),
                    ));
                    if !text(address, "hostname").is_empty() {
                        errors.extend(label(address, "hostname", &at));
                    }
                }
            }
            let ports = list(subset, "ports");
            for (index, port) in ports.iter().enumerate() {
                let at = at.child("ports").index(index);
                if ports.len() > 1 || !text(port, "name").is_empty() {
                    errors.extend(label(port, "name", &at));
                }
                let number = port["port"].as_i64().unwrap_or(0);
                let fault = names::port_number(number);
                errors.extend(fault.map(|f| FieldError::invalid(&at.child("port"), number, f)));
                errors.extend(one_of(
                    port,
                    "protocol",
                    &at,
                    &["SCTP", "TCP", "UDP"],
                    false,
                ));
            }
        }
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            meta::name(object).into(),
            addresses(object).into(),
            table::age(object, now),
        ]
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn deprecation(&self) -> Option<&'static str> {
        Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
    }
}

/// The ready addresses with their ports, shortened (§8.2).
fn addresses(object: &Value) -> String {
    let mut all = Vec::new();
    for subset in list(object, "subsets") {
        let ips = || {
            list(subset, "addresses")
                .iter()
                .map(|address| text(address, "ip"))
        };
        if list(subset, "ports").is_empty() {
            all.extend(ips().map(str::to_owned));
        }
        for port in list(subset, "ports") {
            let number = port["port"].as_i64().unwrap_or(0);
            all.extend(ips().map(|ip| {
                if ip.contains(':') {
                    format!("[{ip}]:{number}")
                } else {
                    format!("{ip}:{number}")
                }
            }));
        }
    }
    if all.is_empty() {
        return "<none>".to_owned();
    }
    let mut cell = all[..all.len().min(SHOWN)].join(",");
    if all.len() > SHOWN {
        // Writing to a String cannot fail.
        let _ = write!(cell, " + {} more...", all.len() - SHOWN);
    }
    cell
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Endpoints",
        "The set of all endpoints is the union of all subsets. Addresses are placed into subsets according to the IPs they share. A single address with multiple ports, some of which are ready and some of which are not (because they come from different containers) will result in the address being displayed in different subsets for the different ports. No address will appear in both Addresses and NotReadyAddresses in the same subset. Sets of addresses and ports that comprise a service.",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_row_shows_three_ready_addresses() {
        let object = json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "notReadyAddresses": [{"ip": "10.0.0.9"}],
            "ports": [{"port": 80}, {"port": 53}]}]});
        assert_eq!(
            addresses(&object),
            "10.0.0.1:80,10.0.0.2:80,10.0.0.1:53 + 1 more..."
        );
        assert_eq!(
            addresses(&json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}]}]})),
            "10.0.0.1"
        );
        assert_eq!(addresses(&json!({})), "<none>");
    }
}
