//! The Node object's content. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    DaemonEndpoint, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus, NodeSystemInfo,
};

use super::host::{Capacity, Pressure, architecture};
use crate::status::time;

/// What a node's status says, but for its times.
pub(super) struct Facts<'a> {
    pub(super) name: &'a str,
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    pub(super) capacity: &'a Capacity,
    pub(super) info: &'a NodeSystemInfo,
    pub(super) pressure: Pressure,
}

/// The labels that the node gives itself.
pub(super) fn labels(name: &str) -> BTreeMap<String, String> {
    [
        ("beta.kubernetes.io/arch", architecture()),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
        ("node-role.kubernetes.io/control-plane", ""),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .collect()
}

/// The status to write at `now`; conditions of others and the times of unchanged ones are kept from `old`.
pub(super) fn status(facts: &Facts<'_>, old: &NodeStatus, now: Timestamp) -> NodeStatus {
    let address = |type_: &str, address: String| NodeAddress {
        type_: type_.to_owned(),
        address,
    };
    NodeStatus {
        addresses: Some(vec![
            address("InternalIP", facts.ip.to_string()),
            address("Hostname", facts.name.to_owned()),
        ]),
        capacity: Some(facts.capacity.all.clone()),
        allocatable: Some(facts.capacity.allocatable.clone()),
        node_info: Some(facts.info.clone()),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint {
                port: i32::from(facts.port),
            }),
        }),
        conditions: Some(conditions(
            facts.pressure,
            old.conditions.as_deref().unwrap_or_default(),
            now,
        )),
        ..old.clone()
    }
}

fn conditions(pressure: Pressure, old: &[NodeCondition], now: Timestamp) -> Vec<NodeCondition> {
    let own = [
        (
            "MemoryPressure",
            pressure.memory,
            (
                "KubeletHasInsufficientMemory",
                "kubelet has insufficient memory available",
            ),
            (
                "KubeletHasSufficientMemory",
                "kubelet has sufficient memory available",
            ),
        ),
        (
            "DiskPressure",
            pressure.disk,
            ("KubeletHasDiskPressure", "kubelet has disk pressure"),
            ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ),
        (
            "PIDPressure",
            pressure.pids,
            (
                "KubeletHasInsufficientPID",
                "kubelet has insufficient PID available",
            ),
            (
                "KubeletHasSufficientPID",
                "kubelet has sufficient PID available",
            ),
        ),
        (
            "Ready",
            true,
            ("KubeletReady", "kubelet is posting ready status"),
            ("KubeletNotReady", ""),
        ),
    ];
    let names: Vec<&str> = own.iter().map(|(name, ..)| *name).collect();
    let foreign = old
        .iter()
        .filter(|c| !names.contains(&c.type_.as_str()))
        .cloned();
    let own = own.into_iter().map(|(type_, holds, yes, no)| {
        let status = if holds { "True" } else { "False" };
        let (reason, message) = if holds { yes } else { no };
        let same = old.iter().find(|c| c.type_ == type_ && c.status == status);
        NodeCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: Some(time(now)),
            last_transition_time: same
                .and_then(|c| c.last_transition_time.clone())
                .or_else(|| Some(time(now))),
        }
    });
    foreign.chain(own).collect()
}

/// Whether two statuses differ in more than their heartbeats.
pub(super) fn differs(old: &NodeStatus, new: &NodeStatus) -> bool {
    let still = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        status
    };
    still(old) != still(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("time")
    }

    #[test]
    fn a_quiet_node_writes_nothing_and_a_change_moves_only_its_own_time() {
        let (capacity, info) = (Capacity::default(), NodeSystemInfo::default());
        let mut facts = Facts {
            name: "n",
            ip: [192, 0, 2, 1].into(),
            port: 10250,
            capacity: &capacity,
            info: &info,
            pressure: Pressure::default(),
        };
        let first = status(&facts, &NodeStatus::default(), at(100));
        let second = status(&facts, &first, at(200));
        assert!(!differs(&first, &second), "a heartbeat alone is no change");
        facts.pressure.disk = true;
        let third = status(&facts, &second, at(300));
        assert!(differs(&second, &third));
        let transitions: Vec<i64> = third
            .conditions
            .iter()
            .flatten()
            .filter_map(|c| c.last_transition_time.as_ref())
            .map(|t| t.0.as_second())
            .collect();
        assert_eq!(transitions, [100, 300, 100, 100]);
    }
}
