//! Cuts a service's endpoints into slices, changing as few of the existing ones as possible. Pure.
//! (N-13, N-14, N-16)

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use k8s_openapi::{
    api::{
        core::v1::{Node, Pod, Service},
        discovery::v1::{Endpoint, EndpointSlice},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::ResourceExt;

use super::desired::{Group, Port, desired};
use crate::endpoints::member::{self, Family};

/// Ties a slice to its service.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Tells who keeps a slice; others' slices are never touched (N-16).
pub(crate) const MANAGED_BY: (&str, &str) = (
    "endpointslice.kubernetes.io/managed-by",
    "endpointslice-controller.k8s.io",
);

/// Endpoints in one slice, at most (N-14).
const CAPACITY: usize = 100;

/// What is known of one service.
pub(crate) struct World<'a> {
    /// The service, if it exists.
    pub(crate) service: Option<&'a Service>,
    /// The pods of its namespace.
    pub(crate) pods: &'a [Arc<Pod>],
    /// The nodes, by name.
    pub(crate) nodes: &'a BTreeMap<String, Arc<Node>>,
    /// The slices of the service that this controller keeps.
    pub(crate) slices: &'a [Arc<EndpointSlice>],
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// A slice under a generated name.
    Create(EndpointSlice),
    /// Carries the observed resourceVersion.
    Update(EndpointSlice),
    /// Nothing is left to put in it.
    Delete { name: String, uid: String },
}

/// The writes that make the slices right; empty when they are, or the service is none of ours (N-3).
pub(crate) fn plan(world: &World<'_>) -> Vec<Action> {
    let Some(service) = world.service else {
        return world
            .slices
            .iter()
            .filter_map(|slice| delete(slice))
            .collect();
    };
    if !member::is_managed(service) {
        return Vec::new();
    }
    let mut cut = Cut {
        service,
        existing: world.slices.to_vec(),
        slices: Vec::new(),
    };
    cut.existing.sort_by_key(|slice| slice.name_any());
    for (group, endpoints) in desired(service, world.pods, world.nodes) {
        cut.place(&group, endpoints);
    }
    for family in member::families(service) {
        cut.hold_place(family);
    }
    let members = world
        .pods
        .iter()
        .map(Arc::as_ref)
        .filter(|pod| member::selects(service, pod));
    cut.finish(member::trigger_time(service, members).as_deref())
}

fn delete(slice: &EndpointSlice) -> Option<Action> {
    Some(Action::Delete {
        name: slice.name_any(),
        uid: slice.uid()?,
    })
}

/// Slices in the making.
struct Cut<'a> {
    service: &'a Service,
    /// Existing slices that nothing was put in yet.
    existing: Vec<Arc<EndpointSlice>>,
    slices: Vec<Filled>,
}

struct Filled {
    group: Group,
    endpoints: BTreeMap<IpAddr, Endpoint>,
    existing: Option<Arc<EndpointSlice>>,
}

impl Cut<'_> {
    /// Endpoints stay in the slice that has them, then fill the room that is left, then open slices.
    fn place(&mut self, group: &Group, mut endpoints: BTreeMap<IpAddr, Endpoint>) {
        let (same, others) = std::mem::take(&mut self.existing)
            .into_iter()
            .partition(|slice| is_of(slice, group));
        self.existing = others;
        let same: Vec<Arc<EndpointSlice>> = same;
        let first = self.slices.len();
        for slice in same {
            let kept: BTreeMap<IpAddr, Endpoint> = addresses(&slice)
                .take(CAPACITY)
                .filter_map(|address| endpoints.remove_entry(&address))
                .collect();
            if kept.is_empty() {
                self.existing.push(slice);
            } else {
                self.slices.push(Filled {
                    group: group.clone(),
                    endpoints: kept,
                    existing: Some(slice),
                });
            }
        }
        let mut rest: VecDeque<(IpAddr, Endpoint)> = endpoints.into_iter().collect();
        for slice in &mut self.slices[first..] {
            let room = (CAPACITY - slice.endpoints.len()).min(rest.len());
            slice.endpoints.extend(rest.drain(..room));
        }
        while !rest.is_empty() {
            let room = CAPACITY.min(rest.len());
            self.slices.push(Filled {
                group: group.clone(),
                endpoints: rest.drain(..room).collect(),
                existing: None,
            });
        }
    }

    /// A family without endpoints still has one, empty, slice.
    fn hold_place(&mut self, family: Family) {
        if !self.slices.iter().any(|slice| slice.group.family == family) {
            self.slices.push(Filled {
                group: Group {
                    family,
                    ports: Vec::new(),
                },
                endpoints: BTreeMap::new(),
                existing: None,
            });
        }
    }

    /// New slices take over existing ones that have become empty, and what remains is deleted.
    fn finish(self, trigger: Option<&str>) -> Vec<Action> {
        let Self {
            service,
            mut existing,
            slices,
        } = self;
        let mut actions = Vec::new();
        for mut slice in slices {
            if slice.existing.is_none() {
                let family = slice.group.family.name();
                slice.existing = existing
                    .iter()
                    .position(|spare| spare.address_type == family)
                    .map(|index| existing.remove(index));
            }
            actions.extend(write(service, slice, trigger));
        }
        actions.extend(existing.iter().filter_map(|slice| delete(slice)));
        actions
    }
}

fn write(service: &Service, filled: Filled, trigger: Option<&str>) -> Option<Action> {
    let Filled {
        group,
        endpoints,
        existing,
    } = filled;
    let name = service.name_any();
    let mut wanted = existing
        .as_deref()
        .cloned()
        .unwrap_or_else(|| EndpointSlice {
            address_type: group.family.name().to_owned(),
            metadata: ObjectMeta {
                generate_name: Some(format!("{name}-")),
                namespace: service.namespace(),
                ..ObjectMeta::default()
            },
            ..EndpointSlice::default()
        });
    wanted.metadata.labels = Some(member::labels(
        service,
        &[(SERVICE_NAME, &name), MANAGED_BY],
    ));
    wanted.metadata.owner_references = Some(vec![owner(service)]);
    let endpoints: Vec<Endpoint> = endpoints.into_values().collect();
    wanted.endpoints = (!endpoints.is_empty()).then_some(endpoints);
    let ports: Vec<_> = group.ports.iter().map(Port::written).collect();
    wanted.ports = (!ports.is_empty()).then_some(ports);
    if existing
        .as_deref()
        .is_some_and(|existing| is_same(existing, &wanted))
    {
        return None;
    }
    if let Some(at) = trigger {
        wanted
            .annotations_mut()
            .insert(member::TRIGGER_TIME.to_owned(), at.to_owned());
    }
    Some(match existing {
        Some(_) => Action::Update(wanted),
        None => Action::Create(wanted),
    })
}

/// Equal but for the trigger time; an absent list is an empty one.
fn is_same(existing: &EndpointSlice, wanted: &EndpointSlice) -> bool {
    existing.metadata.labels == wanted.metadata.labels
        && existing.metadata.owner_references == wanted.metadata.owner_references
        && existing.endpoints.as_deref().unwrap_or_default()
            == wanted.endpoints.as_deref().unwrap_or_default()
        && existing.ports.as_deref().unwrap_or_default()
            == wanted.ports.as_deref().unwrap_or_default()
}

fn owner(service: &Service) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Service".to_owned(),
        name: service.name_any(),
        uid: service.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

fn is_of(slice: &EndpointSlice, group: &Group) -> bool {
    let ports = slice.ports.as_deref().unwrap_or_default();
    slice.address_type == group.family.name()
        && ports.len() == group.ports.len()
        && group
            .ports
            .iter()
            .all(|port| ports.contains(&port.written()))
}

fn addresses(slice: &EndpointSlice) -> impl Iterator<Item = IpAddr> {
    let endpoints = slice.endpoints.as_deref().unwrap_or_default();
    endpoints
        .iter()
        .filter_map(|endpoint| endpoint.addresses.first()?.parse().ok())
}
