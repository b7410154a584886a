//! What the zone answers. Pure lookups over the services as last told; no sockets, no clock.
//!
//! Names follow the Kubernetes DNS specification 1.1.0: `<service>.<namespace>.svc.<zone>`,
//! `<host>.<service>…`, `_<port>._<protocol>.<service>…`, and the reverse names of every address.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use hickory_proto::ProtoError;
use hickory_proto::rr::rdata::{A, CNAME, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// Seconds a client may keep an answer. Short, because members come and go (rule N-31).
const TTL: u32 = 5;
/// Seconds a client may keep a refusal: none, so that a member that was asked for too early is found
/// as soon as it exists (pain point P-15).
const NEGATIVE_TTL: u32 = 0;

/// Transport of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `_tcp`
    Tcp,
    /// `_udp`
    Udp,
    /// `_sctp`
    Sctp,
}

impl Protocol {
    fn label(self) -> &'static str {
        match self {
            Self::Tcp => "_tcp",
            Self::Udp => "_udp",
            Self::Sctp => "_sctp",
        }
    }
}

/// A port that SRV records tell of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRecord {
    /// The port's name; an unnamed port (empty) has no record by name.
    pub name: String,
    /// Its transport.
    pub protocol: Protocol,
    /// Its number, as clients dial it.
    pub port: u16,
}

/// One ready endpoint of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRecord {
    /// Where it listens.
    pub address: Ipv4Addr,
    /// Its own name below the service's; without one it is named by its address, dots as dashes.
    pub hostname: Option<String>,
    /// Ports, as resolved for this endpoint.
    pub ports: Vec<PortRecord>,
}

impl EndpointRecord {
    fn label(&self) -> String {
        self.hostname
            .clone()
            .unwrap_or_else(|| self.address.to_string().replace('.', "-"))
    }
}

/// Everything the zone says about one service.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ServiceRecords {
    /// Namespace label.
    pub namespace: String,
    /// Service label.
    pub name: String,
    /// The virtual address; `None` for a headless service.
    pub cluster_ip: Option<Ipv4Addr>,
    /// An outside name that this service is an alias of.
    pub external_name: Option<String>,
    /// The service's own ports.
    pub ports: Vec<PortRecord>,
    /// Endpoints that may be named: the ready ones.
    pub endpoints: Vec<EndpointRecord>,
}

/// The zone's answer to a question.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// The records asked for, and addresses that go with them.
    Records {
        /// For the answer section.
        answers: Vec<Record>,
        /// For the additional section.
        additional: Vec<Record>,
    },
    /// The name exists but has no record of that type.
    NoData,
    /// There is no such name.
    NoName,
    /// An alias of a name outside the zone, to be resolved there.
    Alias(Box<Record>),
}

type ServiceKey = (String, String);

/// The services known, found by name and by address.
#[derive(Debug)]
pub(super) struct Zone {
    origin: Name,
    services: HashMap<ServiceKey, Arc<ServiceRecords>>,
    by_address: HashMap<Ipv4Addr, BTreeSet<ServiceKey>>,
    namespaces: BTreeSet<String>,
}

impl Zone {
    /// An empty zone named `domain`, e.g. `cluster.local`.
    pub(super) fn new(domain: &str) -> Result<Self, ProtoError> {
        let mut origin = Name::from_utf8(domain)?;
        origin.set_fqdn(true);
        Ok(Self {
            origin: origin.to_lowercase(),
            services: HashMap::new(),
            by_address: HashMap::new(),
            namespaces: BTreeSet::new(),
        })
    }

    pub(super) fn set_namespaces(&mut self, namespaces: BTreeSet<String>) {
        self.namespaces = namespaces;
    }

    pub(super) fn set_service(&mut self, service: ServiceRecords) {
        self.remove_service(&service.namespace, &service.name);
        let key = (service.namespace.clone(), service.name.clone());
        for address in addresses(&service) {
            self.by_address
                .entry(address)
                .or_default()
                .insert(key.clone());
        }
        self.services.insert(key, Arc::new(service));
    }

    pub(super) fn remove_service(&mut self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let Some(service) = self.services.remove(&key) else {
            return;
        };
        for address in addresses(&service) {
            if let Some(keys) = self.by_address.get_mut(&address) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.by_address.remove(&address);
                }
            }
        }
    }

    /// Whether `name` is this zone's to answer. Reverse names are, when the address is known here.
    pub(super) fn owns(&self, name: &Name) -> bool {
        self.origin.zone_of(name)
            || reverse_address(name).is_some_and(|address| self.by_address.contains_key(&address))
    }

    /// The record that names the zone's authority, for refusals.
    pub(super) fn soa(&self) -> Record {
        let within = |labels: &str| self.child(labels).unwrap_or_else(|| self.origin.clone());
        let soa = SOA::new(
            within("ns.dns"),
            within("hostmaster"),
            1,
            7200,
            1800,
            86400,
            NEGATIVE_TTL,
        );
        Record::from_rdata(self.origin.clone(), NEGATIVE_TTL, RData::SOA(soa))
    }

    /// Answers a question for `name`, which must be owned.
    pub(super) fn answer(&self, name: &Name, kind: RecordType) -> Answer {
        if let Some(address) = reverse_address(name) {
            return self.reverse(name, address, kind);
        }
        let labels: Vec<String> = name
            .iter()
            .take(usize::from(
                name.num_labels().saturating_sub(self.origin.num_labels()),
            ))
            .map(|label| String::from_utf8_lossy(label).to_lowercase())
            .collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        match labels.as_slice() {
            [] if kind == RecordType::SOA => found(vec![self.soa()]),
            [] | ["svc" | "pod"] => Answer::NoData,
            ["dns-version"] => typed(
                kind,
                RecordType::TXT,
                || vec![RData::TXT(TXT::new(vec!["1.1.0".to_owned()]))],
                name,
            ),
            [namespace, "svc" | "pod"] => self.known_namespace(namespace),
            [address, namespace, "pod"] => self.pod(name, address, namespace, kind),
            [service, namespace, "svc"] => self.with_service(namespace, service, |service| {
                self.service(name, service, kind)
            }),
            [host, service, namespace, "svc"] => self.with_service(namespace, service, |service| {
                endpoint(name, service, host, kind)
            }),
            [port, protocol, service, namespace, "svc"] => {
                self.with_service(namespace, service, |service| {
                    self.ports(name, service, kind, |candidate| {
                        candidate.protocol.label() == *protocol
                            && port
                                .strip_prefix('_')
                                .is_some_and(|port| port.eq_ignore_ascii_case(&candidate.name))
                    })
                })
            }
            _ => Answer::NoName,
        }
    }

    fn known_namespace(&self, namespace: &str) -> Answer {
        if self.namespaces.contains(namespace) {
            Answer::NoData
        } else {
            Answer::NoName
        }
    }

    fn with_service(
        &self,
        namespace: &str,
        name: &str,
        answer: impl FnOnce(&ServiceRecords) -> Answer,
    ) -> Answer {
        let key = (namespace.to_owned(), name.to_owned());
        self.services
            .get(&key)
            .map_or(Answer::NoName, |service| answer(service))
    }

    fn service(&self, name: &Name, service: &ServiceRecords, kind: RecordType) -> Answer {
        if let Some(target) = &service.external_name {
            let Ok(mut target) = Name::from_utf8(target) else {
                return Answer::NoData;
            };
            target.set_fqdn(true);
            return Answer::Alias(Box::new(Record::from_rdata(
                name.clone(),
                TTL,
                RData::CNAME(CNAME(target)),
            )));
        }
        if kind == RecordType::SRV {
            return self.ports(name, service, kind, |_| true);
        }
        typed(
            kind,
            RecordType::A,
            || {
                addresses(service)
                    .map(|address| RData::A(A(address)))
                    .collect()
            },
            name,
        )
    }

    /// SRV records of the ports that `wanted` picks, with the addresses of their targets.
    fn ports(
        &self,
        name: &Name,
        service: &ServiceRecords,
        kind: RecordType,
        wanted: impl Fn(&PortRecord) -> bool,
    ) -> Answer {
        let mut targets = Vec::new();
        if let Some(address) = service.cluster_ip {
            let ports = service.ports.iter().filter(|port| wanted(port));
            targets.extend(ports.map(|port| (None, address, port.port)));
        } else {
            for endpoint in &service.endpoints {
                let ports = endpoint.ports.iter().filter(|port| wanted(port));
                targets.extend(
                    ports.map(|port| (Some(endpoint.label()), endpoint.address, port.port)),
                );
            }
        }
        if targets.is_empty() {
            return Answer::NoName;
        }
        if kind != RecordType::SRV {
            return Answer::NoData;
        }
        let weight = u16::try_from(100 / targets.len()).unwrap_or(1).max(1);
        let (mut answers, mut additional) = (Vec::new(), Vec::new());
        for (host, address, port) in targets {
            let host = host.map_or_else(String::new, |host| host + ".");
            let labels = format!("{host}{}.{}.svc", service.name, service.namespace);
            let Some(target) = self.child(&labels) else {
                continue;
            };
            let record = Record::from_rdata(target.clone(), TTL, RData::A(A(address)));
            if !additional.contains(&record) {
                additional.push(record);
            }
            answers.push(Record::from_rdata(
                name.clone(),
                TTL,
                RData::SRV(SRV::new(0, weight, port, target)),
            ));
        }
        Answer::Records {
            answers,
            additional,
        }
    }

    fn pod(&self, name: &Name, address: &str, namespace: &str, kind: RecordType) -> Answer {
        match address.replace('-', ".").parse() {
            Ok(address) if self.namespaces.contains(namespace) => {
                typed(kind, RecordType::A, || vec![RData::A(A(address))], name)
            }
            _ => Answer::NoName,
        }
    }

    fn reverse(&self, name: &Name, address: Ipv4Addr, kind: RecordType) -> Answer {
        let mut names = Vec::new();
        for key in self.by_address.get(&address).into_iter().flatten() {
            let Some(service) = self.services.get(key) else {
                continue;
            };
            let of_service = format!("{}.{}.svc", service.name, service.namespace);
            if service.cluster_ip == Some(address) {
                names.extend(self.child(&of_service));
            }
            for endpoint in service
                .endpoints
                .iter()
                .filter(|endpoint| endpoint.address == address)
            {
                let host = endpoint.hostname.as_ref();
                names.extend(host.and_then(|host| self.child(&format!("{host}.{of_service}"))));
            }
        }
        if names.is_empty() {
            return Answer::NoName;
        }
        typed(
            kind,
            RecordType::PTR,
            || {
                names
                    .into_iter()
                    .map(|name| RData::PTR(PTR(name)))
                    .collect()
            },
            name,
        )
    }

    /// The name `labels` below the zone's own; `None` if it is not a valid name.
    fn child(&self, labels: &str) -> Option<Name> {
        Name::from_utf8(labels).ok()?.append_name(&self.origin).ok()
    }
}

/// The addresses that the service's own name stands for.
fn addresses(service: &ServiceRecords) -> impl Iterator<Item = Ipv4Addr> + '_ {
    let headless = service.cluster_ip.is_none();
    let endpoints = service
        .endpoints
        .iter()
        .filter(move |_| headless)
        .map(|endpoint| endpoint.address);
    service.cluster_ip.into_iter().chain(endpoints)
}

/// The endpoints named `host` below their service.
fn endpoint(name: &Name, service: &ServiceRecords, host: &str, kind: RecordType) -> Answer {
    if service.cluster_ip.is_some()
        && service
            .endpoints
            .iter()
            .all(|endpoint| endpoint.hostname.is_none())
    {
        return Answer::NoName;
    }
    let found: Vec<RData> = service
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.label().eq_ignore_ascii_case(host))
        .map(|endpoint| RData::A(A(endpoint.address)))
        .collect();
    if found.is_empty() {
        Answer::NoName
    } else {
        typed(kind, RecordType::A, || found, name)
    }
}

/// The records if their type was asked for, else that the name exists without such a record.
fn typed(
    asked: RecordType,
    kind: RecordType,
    rdata: impl FnOnce() -> Vec<RData>,
    name: &Name,
) -> Answer {
    if asked != kind && asked != RecordType::ANY {
        return Answer::NoData;
    }
    let records: Vec<_> = rdata()
        .into_iter()
        .map(|rdata| Record::from_rdata(name.clone(), TTL, rdata))
        .collect();
    if records.is_empty() {
        Answer::NoData
    } else {
        found(records)
    }
}

fn found(answers: Vec<Record>) -> Answer {
    Answer::Records {
        answers,
        additional: Vec::new(),
    }
}

/// The address that a name under in-addr.arpa stands for.
fn reverse_address(name: &Name) -> Option<Ipv4Addr> {
    let labels: Vec<_> = name
        .iter()
        .map(|label| String::from_utf8_lossy(label).to_lowercase())
        .collect();
    let [d, c, b, a, in_addr, arpa] = labels.as_slice() else {
        return None;
    };
    (in_addr == "in-addr" && arpa == "arpa").then(|| format!("{a}.{b}.{c}.{d}").parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_utf8(format!("{text}.")).expect("name")
    }

    fn port(name: &str, port: u16) -> PortRecord {
        PortRecord {
            name: name.to_owned(),
            protocol: Protocol::Tcp,
            port,
        }
    }

    fn member(ordinal: u8) -> EndpointRecord {
        EndpointRecord {
            address: Ipv4Addr::new(10, 244, 0, 10 + ordinal),
            hostname: Some(format!("web-{ordinal}")),
            ports: vec![port("http", 8080)],
        }
    }

    fn zone() -> Zone {
        let mut zone = Zone::new("cluster.local").expect("zone");
        zone.set_namespaces(["default".to_owned()].into());
        zone.set_service(ServiceRecords {
            namespace: "default".to_owned(),
            name: "nginx".to_owned(),
            ports: vec![port("http", 80)],
            endpoints: vec![member(0), member(1)],
            ..ServiceRecords::default()
        });
        zone.set_service(ServiceRecords {
            namespace: "default".to_owned(),
            name: "kubernetes".to_owned(),
            cluster_ip: Some(Ipv4Addr::new(10, 96, 0, 1)),
            ports: vec![port("https", 443)],
            ..ServiceRecords::default()
        });
        zone
    }

    fn texts(answer: &Answer) -> Vec<String> {
        match answer {
            Answer::Records { answers, .. } => answers
                .iter()
                .map(|record| record.data.to_string())
                .collect(),
            other => vec![format!("{other:?}")],
        }
    }

    #[test]
    fn a_member_is_found_by_its_stable_name_n33() {
        let found = zone().answer(
            &name("web-1.nginx.default.svc.cluster.local"),
            RecordType::A,
        );
        assert_eq!(texts(&found), ["10.244.0.11"]);
        let upper = zone().answer(
            &name("WEB-1.Nginx.default.svc.cluster.local"),
            RecordType::A,
        );
        assert_eq!(texts(&upper), ["10.244.0.11"]);
    }

    #[test]
    fn a_headless_name_stands_for_every_ready_member() {
        let found = zone().answer(&name("nginx.default.svc.cluster.local"), RecordType::A);
        assert_eq!(texts(&found), ["10.244.0.10", "10.244.0.11"]);
    }

    #[test]
    fn a_named_port_leads_to_the_members_by_name() {
        let found = zone().answer(
            &name("_http._tcp.nginx.default.svc.cluster.local"),
            RecordType::SRV,
        );
        assert_eq!(
            texts(&found),
            [
                "0 50 8080 web-0.nginx.default.svc.cluster.local.",
                "0 50 8080 web-1.nginx.default.svc.cluster.local."
            ]
        );
        let Answer::Records { additional, .. } = found else {
            panic!("records expected")
        };
        assert_eq!(additional.len(), 2);
    }

    #[test]
    fn existing_names_without_the_type_are_not_refused_n30() {
        let zone = zone();
        for known in [
            "nginx.default.svc.cluster.local",
            "web-0.nginx.default.svc.cluster.local",
            "default.svc.cluster.local",
            "cluster.local",
        ] {
            assert_eq!(
                zone.answer(&name(known), RecordType::AAAA),
                Answer::NoData,
                "{known}"
            );
        }
        for unknown in [
            "other.default.svc.cluster.local",
            "web-9.nginx.default.svc.cluster.local",
            "x.nowhere.svc.cluster.local",
            "nowhere.svc.cluster.local",
            "x.cluster.local",
        ] {
            assert_eq!(
                zone.answer(&name(unknown), RecordType::A),
                Answer::NoName,
                "{unknown}"
            );
        }
    }

    #[test]
    fn addresses_lead_back_to_names() {
        let zone = zone();
        assert_eq!(
            texts(&zone.answer(&name("11.0.244.10.in-addr.arpa"), RecordType::PTR)),
            ["web-1.nginx.default.svc.cluster.local."]
        );
        assert_eq!(
            texts(&zone.answer(&name("1.0.96.10.in-addr.arpa"), RecordType::PTR)),
            ["kubernetes.default.svc.cluster.local."]
        );
        assert!(!zone.owns(&name("8.8.8.8.in-addr.arpa")));
    }

    #[test]
    fn a_member_that_leaves_is_gone_at_once_n34() {
        let mut zone = zone();
        zone.set_service(ServiceRecords {
            namespace: "default".to_owned(),
            name: "nginx".to_owned(),
            endpoints: vec![member(0)],
            ..ServiceRecords::default()
        });
        assert_eq!(
            zone.answer(
                &name("web-1.nginx.default.svc.cluster.local"),
                RecordType::A
            ),
            Answer::NoName
        );
        assert!(!zone.owns(&name("11.0.244.10.in-addr.arpa")));
    }

    #[test]
    fn pods_are_named_by_address_in_known_namespaces_only() {
        let zone = zone();
        assert_eq!(
            texts(&zone.answer(&name("10-1-2-3.default.pod.cluster.local"), RecordType::A)),
            ["10.1.2.3"]
        );
        assert_eq!(
            zone.answer(&name("10-1-2-3.nowhere.pod.cluster.local"), RecordType::A),
            Answer::NoName
        );
    }
}
