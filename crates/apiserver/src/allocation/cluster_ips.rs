//! The addresses of the service range: which are taken, which is next. Knows the address fields of a Service.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use plinth_api::{FieldError, Path};
use rand::Rng;
use serde_json::{Map, Value, json};

/// The service range cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an IPv4 range such as 10.96.0.0/16, with 8 to 28 bits of prefix")]
pub struct BadRange(String);

/// The addresses of the service range.
pub(crate) struct ClusterIps {
    first: u32,
    size: u32,
    used: Mutex<HashSet<Ipv4Addr>>,
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
            used: Mutex::default(),
        })
    }

    /// The address of the API itself: the first one.
    pub(crate) fn api_server(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.first + 1)
    }

    /// The range in CIDR notation.
    pub(crate) fn range(&self) -> String {
        let bits = 32 - self.size.trailing_zeros();
        format!("{}/{bits}", Ipv4Addr::from(self.first))
    }

    /// Takes note of the address of a Service that was there before this process.
    pub(super) fn load(&self, service: &Value) {
        if let Some(address) = address_of(service) {
            self.lock().insert(address);
        }
    }

    /// Takes from the old Service what a client need not repeat, and drops what its new type does not have.
    pub(super) fn carry_over(after: &mut Value, before: &Value) {
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

    /// Gives a Service that is being written the address it asks for, or a free one if it needs one. What it says
    /// it took is the caller's to give back.
    pub(super) fn assign(
        &self,
        spec: &mut Map<String, Value>,
        old: Option<&Value>,
    ) -> Result<Option<Ipv4Addr>, FieldError> {
        if spec.get("type").is_some_and(|kind| kind == "ExternalName") {
            drop_addresses(spec);
            return Ok(None);
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
            return Ok(None);
        }
        if !wanted.is_empty() && old.is_some_and(|old| old["spec"]["clusterIP"] == wanted.as_str())
        {
            return Ok(None);
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
            FieldError::invalid(&Path::new("spec.clusterIPs"), shown, why)
        })?;
        spec.insert("clusterIP".into(), address.to_string().into());
        spec.insert("clusterIPs".into(), json!([address.to_string()]));
        Ok(Some(address))
    }

    /// An address is free again.
    pub(super) fn release(&self, address: Ipv4Addr) {
        self.lock().remove(&address);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Ipv4Addr>> {
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

/// The address a Service has.
pub(super) fn address_of(service: &Value) -> Option<Ipv4Addr> {
    service["spec"]["clusterIP"].as_str()?.parse().ok()
}

fn drop_addresses(spec: &mut Map<String, Value>) {
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        spec.remove(field);
    }
}
