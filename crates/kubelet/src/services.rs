//! Feeds the DNS server from Services and EndpointSlices (§3.4). The mapping is pure; the rest only listens.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use kube::ResourceExt;
use plinth_client::{Informer, Informers};
use plinth_network::dns::{DnsServer, EndpointRecord, PortRecord, Protocol, ServiceRecords};

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Keeps `dns` true from now on.
pub(crate) fn feed(informers: &Informers, dns: &DnsServer) {
    let services = informers.of::<Service>();
    let slices = informers.of::<EndpointSlice>();
    let feeder = Arc::new(Feeder {
        services: services.clone(),
        slices: slices.clone(),
        dns: dns.clone(),
    });
    let this = Arc::clone(&feeder);
    services.on_change(move |change| {
        let service = change.latest();
        this.refresh(
            &service.namespace().unwrap_or_default(),
            &service.name_any(),
        );
    });
    slices.on_change(move |change| {
        for slice in change.states() {
            if let Some(name) = slice.labels().get(SERVICE_NAME) {
                feeder.refresh(&slice.namespace().unwrap_or_default(), name);
            }
        }
    });
    let namespaces = informers.of::<Namespace>();
    let (all, dns) = (namespaces.clone(), dns.clone());
    namespaces.on_change(move |_| {
        let names: BTreeSet<String> = all.list().iter().map(|n| n.name_any()).collect();
        dns.set_namespaces(names);
    });
}

struct Feeder {
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    dns: DnsServer,
}

impl Feeder {
    fn refresh(&self, namespace: &str, name: &str) {
        match self.services.get(Some(namespace), name) {
            Some(service) => {
                let slices = self.slices.in_namespace(namespace);
                let own: Vec<_> = slices
                    .iter()
                    .filter(|s| s.labels().get(SERVICE_NAME).is_some_and(|n| n == name))
                    .collect();
                self.dns
                    .set_service(records(&service, own.iter().map(AsRef::as_ref)));
            }
            None => self.dns.remove_service(namespace, name),
        }
    }
}

/// What the zone says about a service.
fn records<'a>(
    service: &Service,
    slices: impl Iterator<Item = &'a EndpointSlice>,
) -> ServiceRecords {
    let spec = service.spec.clone().unwrap_or_default();
    let is_alias = spec.type_.as_deref() == Some("ExternalName");
    let ports = spec
        .ports
        .iter()
        .flatten()
        .map(|p| port(p.name.as_deref(), p.protocol.as_deref(), p.port));
    let endpoints = slices
        .filter(|s| s.address_type == "IPv4")
        .flat_map(|slice| {
            let ports: Vec<PortRecord> = slice
                .ports
                .iter()
                .flatten()
                .filter_map(slice_port)
                .collect();
            let ready = slice.endpoints.iter().flatten().filter(|e| is_ready(e));
            ready
                .flat_map(|e| endpoints_of(e, &ports))
                .collect::<Vec<_>>()
        });
    ServiceRecords {
        namespace: service.namespace().unwrap_or_default(),
        name: service.name_any(),
        cluster_ip: spec.cluster_ip.as_deref().and_then(|ip| ip.parse().ok()),
        external_name: spec.external_name.clone().filter(|_| is_alias),
        ports: ports.flatten().collect(),
        endpoints: endpoints.collect(),
    }
}

/// An endpoint that says nothing about itself counts as ready, as the API says.
fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint
        .conditions
        .as_ref()
        .and_then(|c| c.ready)
        .unwrap_or(true)
}

fn endpoints_of(endpoint: &Endpoint, ports: &[PortRecord]) -> Vec<EndpointRecord> {
    let addresses = endpoint
        .addresses
        .iter()
        .filter_map(|a| a.parse::<Ipv4Addr>().ok());
    let hostname = endpoint.hostname.clone().filter(|h| !h.is_empty());
    addresses
        .map(|address| EndpointRecord {
            address,
            hostname: hostname.clone(),
            ports: ports.to_vec(),
        })
        .collect()
}

fn slice_port(of: &EndpointPort) -> Option<PortRecord> {
    port(of.name.as_deref(), of.protocol.as_deref(), of.port?)
}

fn port(name: Option<&str>, protocol: Option<&str>, number: i32) -> Option<PortRecord> {
    let protocol = match protocol {
        None | Some("TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        Some(_) => return None,
    };
    Some(PortRecord {
        name: name.unwrap_or_default().to_owned(),
        protocol,
        port: u16::try_from(number).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_ready_endpoints_of_this_service_are_named() {
        let service: Service = serde_json::from_value(
            json!({"metadata": {"name": "kubia", "namespace": "default"},
            "spec": {"clusterIP": "None", "ports": [{"name": "http", "port": 80}]}}),
        )
        .expect("service");
        let slice: EndpointSlice = serde_json::from_value(json!({"metadata": {"name": "kubia-x"}, "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [
                {"addresses": ["10.244.0.2"], "hostname": "kubia-0", "conditions": {"ready": true}},
                {"addresses": ["10.244.0.3"], "hostname": "kubia-1", "conditions": {"ready": false, "serving": true, "terminating": true}},
                {"addresses": ["10.244.0.4"]},
            ]}))
        .expect("slice");
        let got = records(&service, [&slice].into_iter());
        assert_eq!((got.cluster_ip, got.external_name), (None, None));
        let names: Vec<_> = got
            .endpoints
            .iter()
            .map(|e| (e.hostname.as_deref(), e.address.to_string()))
            .collect();
        assert_eq!(
            names,
            [
                (Some("kubia-0"), "10.244.0.2".to_owned()),
                (None, "10.244.0.4".to_owned())
            ]
        );
        assert_eq!(
            (got.ports[0].port, got.endpoints[0].ports[0].port),
            (80, 8080)
        );
    }
}
