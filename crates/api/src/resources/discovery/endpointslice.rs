//! EndpointSlice (discovery.k8s.io/v1): a part of the addresses behind a Service.

use std::collections::HashSet;
use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::{each, immutable, label, one_of};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{fill, items, list, null_when_empty, text};
use crate::resources::{first_generation, next_generation_beside_metadata};
use crate::{meta, names, table};

/// A row shows this many ports or addresses.
const SHOWN: usize = 3;
const ENDPOINTS_MAX: usize = 1000;
const PORTS_MAX: usize = 20_000;
const ADDRESSES_MAX: usize = 100;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "discovery.k8s.io",
        version: "v1",
        kind: "EndpointSlice",
        list_kind: "EndpointSliceList",
        plural: "endpointslices",
        singular: "endpointslice",
        short_names: &[],
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
        // Both lists are shown even when there is nothing in them.
        fill(object, "endpoints", Value::Null);
        fill(object, "ports", Value::Null);
        for port in items(object, "ports") {
            fill(port, "name", "");
            fill(port, "protocol", "TCP");
        }
        for endpoint in items(object, "endpoints") {
            crate::resources::object::ensure(endpoint, "conditions");
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        first_generation(object);
        null_when_empty(object, "endpoints");
        null_when_empty(object, "ports");
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        null_when_empty(new, "endpoints");
        null_when_empty(new, "ports");
        next_generation_beside_metadata(new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let kinds = ["FQDN", "IPv4", "IPv6"];
        errors.extend(one_of(
            object,
            "addressType",
            &Path::default(),
            &kinds,
            false,
        ));
        errors.extend(ports(object));
        errors.extend(endpoints(object));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        errors.extend(immutable(new, old, "addressType", &Path::default()));
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let ports = list(object, "ports")
            .iter()
            .map(|port| match port["port"].as_i64() {
                Some(number) => number.to_string(),
                None if text(port, "name").is_empty() => "*".to_owned(),
                None => text(port, "name").to_owned(),
            });
        let addresses = list(object, "endpoints").iter().flat_map(|endpoint| {
            list(endpoint, "addresses")
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
        });
        vec![
            meta::name(object).into(),
            text(object, "addressType").into(),
            shortened(&ports.collect::<Vec<_>>()).into(),
            shortened(&addresses.collect::<Vec<_>>()).into(),
            table::age(object, now),
        ]
    }
}

fn shortened(all: &[String]) -> String {
    match all.len() {
        0 => "<unset>".to_owned(),
        count if count <= SHOWN => all.join(","),
        count => format!("{} + {} more...", all[..SHOWN].join(","), count - SHOWN),
    }
}

fn ports(object: &Value) -> Vec<FieldError> {
    let (path, ports) = (Path::new("ports"), list(object, "ports"));
    if ports.len() > PORTS_MAX {
        return vec![FieldError::too_many(&path, ports.len(), PORTS_MAX)];
    }
    let (mut errors, mut seen) = (Vec::new(), HashSet::new());
    for (index, port) in ports.iter().enumerate() {
        let (at, name) = (path.index(index), text(port, "name"));
        if !name.is_empty() {
            errors.extend(label(port, "name", &at));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        if let Some(number) = port["port"].as_i64() {
            let fault = names::port_number(number);
            errors.extend(fault.map(|f| FieldError::invalid(&at.child("port"), number, f)));
        }
        errors.extend(one_of(
            port,
            "protocol",
            &at,
            &["SCTP", "TCP", "UDP"],
            false,
        ));
    }
    errors
}

fn endpoints(object: &Value) -> Vec<FieldError> {
    let (path, endpoints) = (Path::new("endpoints"), list(object, "endpoints"));
    if endpoints.len() > ENDPOINTS_MAX {
        return vec![FieldError::too_many(&path, endpoints.len(), ENDPOINTS_MAX)];
    }
    let kind = text(object, "addressType");
    let mut errors = Vec::new();
    for (index, endpoint) in endpoints.iter().enumerate() {
        let (at, addresses) = (path.index(index), list(endpoint, "addresses"));
        let of_addresses = at.child("addresses");
        if addresses.is_empty() {
            errors.push(FieldError::required(
                &of_addresses,
                "must contain at least 1 address",
            ));
        } else if addresses.len() > ADDRESSES_MAX {
            errors.push(FieldError::too_many(
                &of_addresses,
                addresses.len(),
                ADDRESSES_MAX,
            ));
        }
        for (index, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
            errors.extend(one_address(
                address,
                kind,
                &of_addresses,
                &of_addresses.index(index),
            ));
        }
        if !text(endpoint, "hostname").is_empty() {
            errors.extend(label(endpoint, "hostname", &at));
        }
        let node = text(endpoint, "nodeName");
        if !node.is_empty() {
            errors.extend(each(
                names::dns1123_subdomain(node, false),
                &at.child("nodeName"),
                node,
            ));
        }
    }
    errors
}

fn one_address(address: &str, kind: &str, list: &Path, at: &Path) -> Vec<FieldError> {
    if kind == "FQDN" {
        return each(names::dns1123_subdomain(address, false), at, address);
    }
    let Ok(parsed) = address.parse::<IpAddr>() else {
        return each(names::ip(address), at, address);
    };
    let mut errors = Vec::new();
    match (kind, parsed) {
        ("IPv4", IpAddr::V6(_)) => errors.push(FieldError::invalid(
            list,
            address,
            "must be an IPv4 address",
        )),
        ("IPv6", IpAddr::V4(_)) => errors.push(FieldError::invalid(
            list,
            address,
            "must be an IPv6 address",
        )),
        _ => {}
    }
    errors.extend(
        crate::resources::checks::special_address(parsed)
            .map(|f| FieldError::invalid(at, address, f)),
    );
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "AddressType",
        "addressType specifies the type of address carried by this EndpointSlice. All addresses in this slice must be the same type. This field is immutable after creation. The following address types are currently supported: * IPv4: Represents an IPv4 Address. * IPv6: Represents an IPv6 Address. * FQDN: Represents a Fully Qualified Domain Name. (Deprecated) The EndpointSlice controller only generates, and kube-proxy only processes, slices of addressType \"IPv4\" and \"IPv6\". No semantics are defined for the \"FQDN\" type.",
    ),
    cell(
        "Ports",
        "ports specifies the list of network ports exposed by each endpoint in this slice. Each port must have a unique name. Each slice may include a maximum of 100 ports. Services always have at least 1 port, so EndpointSlices generated by the EndpointSlice controller will likewise always have at least 1 port. EndpointSlices used for other purposes may have an empty ports list.",
    ),
    cell(
        "Endpoints",
        "endpoints is a list of unique endpoints in this slice. Each slice may include a maximum of 1000 endpoints.",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn addresses_fit_their_type() {
        let slice = json!({"addressType": "IPv4", "endpoints": [{"addresses": ["::1", "127.0.0.1", "10.0.0.1"]}, {"addresses": []}]});
        assert_eq!(
            texts(&Rules.validate(&slice)),
            [
                r#"endpoints[0].addresses: Invalid value: "::1": must be an IPv4 address"#,
                r#"endpoints[0].addresses[0]: Invalid value: "::1": may not be in the loopback range (127.0.0.0/8, ::1/128)"#,
                r#"endpoints[0].addresses[1]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)"#,
                "endpoints[1].addresses: Required value: must contain at least 1 address",
            ]
        );
    }

    #[test]
    fn the_generation_counts_changes_beside_metadata() {
        let mut old = json!({"metadata": {"name": "s"}, "addressType": "IPv4", "ports": []});
        Rules.prepare_create(&mut old);
        let mut new = old.clone();
        new["metadata"]["labels"] = json!({"a": "b"});
        Rules.prepare_update(&mut new, &old);
        assert_eq!(new["metadata"]["generation"], 1);
        new["ports"] = json!([{"port": 80}]);
        Rules.prepare_update(&mut new, &old);
        assert_eq!(new["metadata"]["generation"], 2);
    }

    #[test]
    fn the_row_is_shortened() {
        let endpoint = |ip: &str| json!({"addresses": [ip]});
        let slice = json!({"metadata": {"name": "s"}, "addressType": "IPv4", "ports": [{"port": 80}, {"port": 53}],
            "endpoints": [endpoint("10.0.0.1"), endpoint("10.0.0.2"), endpoint("10.0.0.3"), endpoint("10.0.0.4")]});
        let cells = Rules.row(&slice, Timestamp::UNIX_EPOCH);
        assert_eq!(
            cells[2..4],
            [
                json!("80,53"),
                json!("10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...")
            ]
        );
        assert_eq!(Rules.row(&json!({}), Timestamp::UNIX_EPOCH)[2], "<unset>");
    }
}
