//! The ports on every node that Services of type NodePort and LoadBalancer have. Knows the port fields of a Service.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use plinth_api::{FieldError, Path};
use rand::Rng;
use serde_json::Value;

/// Upstream's default range.
const RANGE: RangeInclusive<u16> = 30_000..=32_767;

/// The ports that are taken.
#[derive(Default)]
pub(super) struct NodePorts {
    used: Mutex<HashSet<u16>>,
}

impl NodePorts {
    /// Takes note of the ports of a Service that was there before this process.
    pub(super) fn load(&self, service: &Value) {
        self.lock().extend(ports_of(service));
    }

    /// Takes from the old Service the ports a client need not repeat.
    pub(super) fn carry_over(after: &mut Value, before: &Value) {
        if !needs_ports(after) || !needs_ports(before) {
            return;
        }
        let old = before["ports"].as_array().cloned().unwrap_or_default();
        for port in after["ports"]
            .as_array_mut()
            .into_iter()
            .flatten()
            .filter(|port| port["nodePort"].is_null())
        {
            let same = old
                .iter()
                .find(|o| o["port"] == port["port"] && o["protocol"] == port["protocol"]);
            if let Some(number) = same
                .map(|old| &old["nodePort"])
                .filter(|number| number.is_number())
            {
                port["nodePort"] = number.clone();
            }
        }
    }

    /// Gives a Service that is being written the ports it asks for, and free ones where it asks for none. What it
    /// says it took is the caller's to give back, also when it fails.
    pub(super) fn assign(
        &self,
        spec: &mut Value,
        old: Option<&Value>,
        taken: &mut Vec<u16>,
    ) -> Result<(), FieldError> {
        if !needs_ports(spec) {
            return Ok(());
        }
        let had: Vec<u16> = old.map(ports_of).unwrap_or_default();
        let mut used = self.lock();
        for (index, port) in spec["ports"]
            .as_array_mut()
            .into_iter()
            .flatten()
            .enumerate()
        {
            let path = Path::new("spec.ports").index(index).child("nodePort");
            let number = match port["nodePort"].as_i64().filter(|number| *number != 0) {
                Some(wanted) => {
                    let refuse = |why: &str| FieldError::invalid(&path, wanted, why);
                    let number = u16::try_from(wanted)
                        .ok()
                        .filter(|number| RANGE.contains(number));
                    let number = number.ok_or_else(|| {
                        refuse("provided port is not in the valid range. The range of valid ports is 30000-32767")
                    })?;
                    // One port of a Service may serve two protocols, and a Service keeps what it had.
                    if had.contains(&number) || taken.contains(&number) {
                        continue;
                    }
                    if !used.insert(number) {
                        return Err(refuse("provided port is already allocated"));
                    }
                    number
                }
                None => free(&mut used).ok_or_else(|| {
                    FieldError::invalid(&path, 0, "failed to allocate a nodePort: range is full")
                })?,
            };
            taken.push(number);
            port["nodePort"] = number.into();
        }
        Ok(())
    }

    /// Ports are free again.
    pub(super) fn release(&self, ports: &[u16]) {
        let mut used = self.lock();
        for port in ports {
            used.remove(port);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<u16>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn free(used: &mut HashSet<u16>) -> Option<u16> {
    let start = rand::rng().random_range(RANGE);
    (start..=*RANGE.end())
        .chain(*RANGE.start()..start)
        .find(|port| used.insert(*port))
}

fn needs_ports(spec: &Value) -> bool {
    match spec["type"].as_str() {
        Some("NodePort") => true,
        Some("LoadBalancer") => spec["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    }
}

/// The node ports a Service has.
pub(super) fn ports_of(service: &Value) -> Vec<u16> {
    let ports = service["spec"]["ports"].as_array();
    ports
        .into_iter()
        .flatten()
        .filter_map(|port| port["nodePort"].as_u64()?.try_into().ok())
        .collect()
}
