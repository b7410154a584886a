//! What only one Service may have at a time: addresses of the service range and ports of the nodes. The Services
//! themselves are the record; here are the sets of what is taken, rebuilt at the start, and reservations for Services
//! that are being written.

mod cluster_ips;
mod node_ports;

use std::net::Ipv4Addr;
use std::sync::Arc;

use plinth_api::{Resource, Status};
use serde_json::Value;

pub(crate) use cluster_ips::BadRange;
use cluster_ips::{ClusterIps, address_of};
use node_ports::{NodePorts, ports_of};

use crate::write::meta_text;

struct Taken {
    addresses: ClusterIps,
    ports: NodePorts,
}

/// Addresses and ports of Services.
pub(crate) struct Allocation(Arc<Taken>);

/// What a write took: given back when this is dropped, or kept for good after [`Reservation::keep`].
#[must_use]
#[derive(Default)]
pub(crate) struct Reservation {
    address: Option<Ipv4Addr>,
    ports: Vec<u16>,
    from: Option<Arc<Taken>>,
}

impl Reservation {
    /// The write succeeded.
    pub(crate) fn keep(mut self) {
        self.from = None;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(taken) = &self.from {
            taken.ports.release(&self.ports);
            if let Some(address) = self.address {
                taken.addresses.release(address);
            }
        }
    }
}

impl Allocation {
    /// Nothing is taken yet of a service range in CIDR notation.
    pub(crate) fn new(range: &str) -> Result<Self, BadRange> {
        Ok(Self(Arc::new(Taken {
            addresses: ClusterIps::new(range)?,
            ports: NodePorts::default(),
        })))
    }

    /// The address of the API itself: the first one.
    pub(crate) fn api_server(&self) -> Ipv4Addr {
        self.0.addresses.api_server()
    }

    /// The service range in CIDR notation.
    pub(crate) fn range(&self) -> String {
        self.0.addresses.range()
    }

    /// Takes note of a Service that was there before this process.
    pub(crate) fn load(&self, service: &Value) {
        self.0.addresses.load(service);
        self.0.ports.load(service);
    }

    /// Takes from the old Service what a client need not repeat, and drops what its new type does not have.
    pub(crate) fn carry_over(resource: &Resource, new: &mut Value, old: &Value) {
        if is_service(resource) {
            ClusterIps::carry_over(&mut new["spec"], &old["spec"]);
            NodePorts::carry_over(&mut new["spec"], &old["spec"]);
        }
    }

    /// Gives a Service that is being written what it asks for or needs.
    pub(crate) fn assign(
        &self,
        resource: &Resource,
        service: &mut Value,
        old: Option<&Value>,
    ) -> Result<Reservation, Status> {
        if !is_service(resource) || !service["spec"].is_object() {
            return Ok(Reservation::default());
        }
        let name = meta_text(service, "name").to_owned();
        let mut reservation = Reservation::default();
        reservation.from = Some(self.0.clone());
        let invalid = |error| Status::invalid(resource, &name, &[error]);
        if let Some(spec) = service["spec"].as_object_mut() {
            reservation.address = self.0.addresses.assign(spec, old).map_err(invalid)?;
        }
        self.0
            .ports
            .assign(&mut service["spec"], old, &mut reservation.ports)
            .map_err(invalid)?;
        Ok(reservation)
    }

    /// A Service was removed.
    pub(crate) fn released(&self, resource: &Resource, service: &Value) {
        if is_service(resource) {
            self.0.ports.release(&ports_of(service));
            if let Some(address) = address_of(service) {
                self.0.addresses.release(address);
            }
        }
    }

    /// A Service was replaced; what it gave up is free.
    pub(crate) fn replaced(&self, resource: &Resource, old: &Value, new: &Value) {
        if !is_service(resource) {
            return;
        }
        let (now, kept) = (address_of(new), ports_of(new));
        if let Some(address) = address_of(old).filter(|address| Some(*address) != now) {
            self.0.addresses.release(address);
        }
        let given_up: Vec<u16> = ports_of(old)
            .into_iter()
            .filter(|port| !kept.contains(port))
            .collect();
        self.0.ports.release(&given_up);
    }
}

fn is_service(resource: &Resource) -> bool {
    resource.plural == "services" && resource.group.is_empty()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use plinth_api::find;
    use serde_json::json;

    use super::*;

    fn services() -> &'static Resource {
        find("", "v1", "services").unwrap()
    }

    fn service(address: Option<&str>) -> Value {
        let mut service = json!({"metadata": {"name": "s"}, "spec": {"type": "ClusterIP"}});
        if let Some(address) = address {
            service["spec"]["clusterIP"] = address.into();
        }
        service
    }

    fn node_port(port: Option<u16>) -> Value {
        let mut port_spec = json!({"port": 80, "protocol": "TCP"});
        if let Some(port) = port {
            port_spec["nodePort"] = port.into();
        }
        json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [port_spec]}})
    }

    #[test]
    fn an_address_is_given_once_until_it_is_released() {
        let allocation = Allocation::new("10.96.0.0/28").unwrap();
        let mut given = HashSet::new();
        for _ in 0..14 {
            let mut service = service(None);
            allocation
                .assign(services(), &mut service, None)
                .unwrap()
                .keep();
            assert!(given.insert(service["spec"]["clusterIP"].as_str().unwrap().to_owned()));
            assert_eq!(
                service["spec"]["clusterIPs"][0],
                service["spec"]["clusterIP"]
            );
        }
        assert!(
            allocation
                .assign(services(), &mut service(None), None)
                .is_err(),
            "the range is full"
        );
        allocation.released(services(), &service(Some("10.96.0.7")));
        let mut last = service(None);
        allocation
            .assign(services(), &mut last, None)
            .unwrap()
            .keep();
        assert_eq!(last["spec"]["clusterIP"], "10.96.0.7");
    }

    #[test]
    fn a_write_that_fails_gives_back_what_it_took() {
        let allocation = Allocation::new("10.96.0.0/16").unwrap();
        drop(
            allocation
                .assign(services(), &mut service(Some("10.96.3.3")), None)
                .unwrap(),
        );
        allocation
            .assign(services(), &mut service(Some("10.96.3.3")), None)
            .unwrap()
            .keep();
        let taken = allocation
            .assign(services(), &mut service(Some("10.96.3.3")), None)
            .err()
            .unwrap();
        assert!(
            taken
                .message
                .ends_with("failed to allocate IP 10.96.3.3: provided IP is already allocated"),
            "{taken}"
        );
        let outside = allocation
            .assign(services(), &mut service(Some("192.168.4.4")), None)
            .err()
            .unwrap();
        assert!(
            outside
                .message
                .ends_with("does not match the current range"),
            "{outside}"
        );
    }

    #[test]
    fn node_ports_are_unique_and_kept_over_an_update() {
        let allocation = Allocation::new("10.96.0.0/16").unwrap();
        let mut first = node_port(None);
        allocation
            .assign(services(), &mut first, None)
            .unwrap()
            .keep();
        let number = first["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
        assert!((30_000..=32_767).contains(&number), "{number}");
        let mut second = node_port(Some(u16::try_from(number).unwrap()));
        let taken = allocation
            .assign(services(), &mut second, None)
            .err()
            .unwrap();
        assert!(
            taken
                .message
                .ends_with("provided port is already allocated"),
            "{taken}"
        );
        let low = allocation
            .assign(services(), &mut node_port(Some(99)), None)
            .err()
            .unwrap();
        assert!(
            low.message
                .ends_with("The range of valid ports is 30000-32767"),
            "{low}"
        );

        let mut next = node_port(None);
        next["spec"]["clusterIP"] = first["spec"]["clusterIP"].clone();
        Allocation::carry_over(services(), &mut next, &first);
        assert_eq!(next["spec"]["ports"][0]["nodePort"], number);
        allocation
            .assign(services(), &mut next, Some(&first))
            .unwrap()
            .keep();
        let plain = json!({"metadata": {"name": "s"}, "spec": {"type": "ClusterIP", "clusterIP": next["spec"]["clusterIP"]}});
        allocation.replaced(services(), &next, &plain);
        allocation
            .assign(services(), &mut second, None)
            .unwrap()
            .keep();
    }
}
