//! Which address of the service range belongs to which Service. The Services themselves are the record; this is
//! their set of addresses, rebuilt at the start, and reservations for Services that are being written.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use plinth_api::{FieldError, Path, Resource, Status};
use rand::Rng;
use serde_json::{Map, Value, json};

use crate::write::meta_text;

/// The service range cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an IPv4 range such as 10.96.0.0/16, with 8 to 28 bits of prefix")]
pub struct BadRange(String);

/// The addresses of the service range.
pub(crate) struct ClusterIps {
    first: u32,
    size: u32,
    used: Arc<Mutex<HashSet<Ipv4Addr>>>,
}

/// An address that is taken until this is dropped, or for good after [`Reservation::keep`].
#[must_use]
pub(crate) struct Reservation {
    address: Option<Ipv4Addr>,
    used: Arc<Mutex<HashSet<Ipv4Addr>>>,
}

impl Reservation {
    /// Nothing was needed.
    pub(crate) fn none() -> Self {
        Self {
            address: None,
            used: Arc::default(),
        }
    }

    /// The write succeeded.
    pub(crate) fn keep(mut self) {
        self.address = None;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            self.used
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&address);
        }
    }
}

impl ClusterIps {
    /// The addresses of a range in CIDR notation.
    pub(crate) fn new(range: &str) -> Result<Self, BadRange> {
        let bad = || BadRange(range.to_owned());
        let (address, prefix) = range.split_once('/').ok_or_else(bad)?;
        let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
        let prefix: u32 = prefix
            .parse()
            .ok()
            .filter(|bits| (8..=28).contains(bits))
            .ok_or_else(bad)?;
        let size = 1u32 << (32 - prefix);
        Ok(Self {
            first: u32::from(address) & !(size - 1),
            size,
            used: Arc::default(),
        })
    }

    /// The address of the API itself: the first one.
    pub(crate) fn api_server(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.first + 1)
    }

    /// Takes note of a Service that was there before this process.
    pub(crate) fn load(&self, service: &Value) {
        if let Some(address) = address_of(service) {
            self.lock().insert(address);
        }
    }

    /// Takes from the old Service what a client need not repeat, and drops what its new type does not have.
    pub(crate) fn carry_over(&self, resource: &Resource, new: &mut Value, old: &Value) {
        if !is_service(resource) {
            return;
        }
        let (before, after) = (&old["spec"], &mut new["spec"]);
        let unchanged = after["clusterIP"] == before["clusterIP"];
        if after["type"] == "ExternalName" {
            if before["type"] != "ExternalName"
                && unchanged
                && let Some(spec) = after.as_object_mut()
            {
                drop_addresses(spec);
            }
        } else if after["clusterIP"].as_str().unwrap_or_default().is_empty()
            && before["type"] != "ExternalName"
        {
            for field in ["clusterIP", "clusterIPs"] {
                if !before[field].is_null() {
                    after[field] = before[field].clone();
                }
            }
        } else if !unchanged
            && after["clusterIPs"] == before["clusterIPs"]
            && !after["clusterIP"].is_null()
        {
            after["clusterIPs"] = json!([after["clusterIP"]]);
        }
    }

    /// Gives a Service that is being written the address it asks for, or a free one if it needs one.
    pub(crate) fn assign(
        &self,
        resource: &Resource,
        service: &mut Value,
        old: Option<&Value>,
        _dry_run: bool,
    ) -> Result<Reservation, Status> {
        if !is_service(resource) {
            return Ok(Reservation::none());
        }
        let name = meta_text(service, "name").to_owned();
        let Some(spec) = service["spec"].as_object_mut() else {
            return Ok(Reservation::none());
        };
        if spec.get("type").is_some_and(|kind| kind == "ExternalName") {
            drop_addresses(spec);
            return Ok(Reservation::none());
        }
        spec.entry("ipFamilies").or_insert_with(|| json!(["IPv4"]));
        spec.entry("ipFamilyPolicy")
            .or_insert_with(|| "SingleStack".into());
        let wanted = spec
            .get("clusterIP")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if wanted == "None" {
            spec.insert("clusterIPs".into(), json!(["None"]));
            return Ok(Reservation::none());
        }
        if !wanted.is_empty() && old.is_some_and(|old| old["spec"]["clusterIP"] == wanted.as_str())
        {
            return Ok(Reservation::none());
        }
        let address = if wanted.is_empty() {
            self.take_any()
        } else {
            self.take(&wanted)
        };
        let address = address.map_err(|why| {
            let shown: Value = if wanted.is_empty() {
                json!([])
            } else {
                json!([wanted])
            };
            let error = FieldError::invalid(&Path::new("spec.clusterIPs"), shown, why);
            Status::invalid(resource, &name, &[error])
        })?;
        spec.insert("clusterIP".into(), address.to_string().into());
        spec.insert("clusterIPs".into(), json!([address.to_string()]));
        Ok(Reservation {
            address: Some(address),
            used: self.used.clone(),
        })
    }

    /// A Service was removed.
    pub(crate) fn released(&self, resource: &Resource, service: &Value) {
        if is_service(resource)
            && let Some(address) = address_of(service)
        {
            self.lock().remove(&address);
        }
    }

    /// A Service was replaced; it may have given its address up.
    pub(crate) fn replaced(&self, resource: &Resource, old: &Value, new: &Value) {
        if is_service(resource)
            && let Some(address) = address_of(old)
            && address_of(new) != Some(address)
        {
            self.lock().remove(&address);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<Ipv4Addr>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, wanted: &str) -> Result<Ipv4Addr, String> {
        let outside = || {
            format!(
                "failed to allocate IP {wanted}: the provided network does not match the current range"
            )
        };
        let address: Ipv4Addr = wanted.parse().map_err(|_| outside())?;
        let offset = u32::from(address).wrapping_sub(self.first);
        if offset == 0 || offset >= self.size - 1 {
            return Err(outside());
        }
        if !self.lock().insert(address) {
            return Err(format!(
                "failed to allocate IP {wanted}: provided IP is already allocated"
            ));
        }
        Ok(address)
    }

    /// A free address. The low part of the range is used last, because people choose addresses there themselves.
    fn take_any(&self) -> Result<Ipv4Addr, String> {
        let low = (self.size / 16).clamp(16.min(self.size / 2), 256);
        let last = self.size - 2;
        let start = rand::rng().random_range(low..=last);
        let mut used = self.lock();
        (start..=last)
            .chain(low..start)
            .chain(1..low)
            .map(|offset| Ipv4Addr::from(self.first + offset))
            .find(|address| used.insert(*address))
            .ok_or_else(|| "failed to allocate a serviceIP: range is full".to_owned())
    }
}

fn is_service(resource: &Resource) -> bool {
    resource.plural == "services" && resource.group.is_empty()
}

fn address_of(service: &Value) -> Option<Ipv4Addr> {
    service["spec"]["clusterIP"].as_str()?.parse().ok()
}

fn drop_addresses(spec: &mut Map<String, Value>) {
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        spec.remove(field);
    }
}

#[cfg(test)]
mod tests {
    use plinth_api::find;

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

    #[test]
    fn an_address_is_given_once_until_it_is_released() {
        let ips = ClusterIps::new("10.96.0.0/28").unwrap();
        let mut given = HashSet::new();
        for _ in 0..14 {
            let mut service = service(None);
            ips.assign(services(), &mut service, None, false)
                .unwrap()
                .keep();
            assert!(given.insert(service["spec"]["clusterIP"].as_str().unwrap().to_owned()));
            assert_eq!(
                service["spec"]["clusterIPs"][0],
                service["spec"]["clusterIP"]
            );
        }
        assert!(
            ips.assign(services(), &mut service(None), None, false)
                .is_err(),
            "the range is full"
        );
        ips.released(services(), &service(Some("10.96.0.7")));
        let mut last = service(None);
        ips.assign(services(), &mut last, None, false)
            .unwrap()
            .keep();
        assert_eq!(last["spec"]["clusterIP"], "10.96.0.7");
    }

    #[test]
    fn a_write_that_fails_gives_its_address_back() {
        let ips = ClusterIps::new("10.96.0.0/16").unwrap();
        drop(
            ips.assign(services(), &mut service(Some("10.96.3.3")), None, false)
                .unwrap(),
        );
        ips.assign(services(), &mut service(Some("10.96.3.3")), None, false)
            .unwrap()
            .keep();
        let taken = ips
            .assign(services(), &mut service(Some("10.96.3.3")), None, false)
            .err()
            .unwrap();
        assert!(
            taken
                .message
                .ends_with("failed to allocate IP 10.96.3.3: provided IP is already allocated"),
            "{taken}"
        );
        let outside = ips
            .assign(services(), &mut service(Some("192.168.4.4")), None, false)
            .err()
            .unwrap();
        assert!(
            outside
                .message
                .ends_with("does not match the current range"),
            "{outside}"
        );
    }
}
