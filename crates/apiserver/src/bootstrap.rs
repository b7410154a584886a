//! The objects every cluster has: the system's namespaces and priorities, what is served and how requests flow, and
//! the API's own Service with its endpoints.

mod api_services;
mod flow_control;

use plinth_api::{SYSTEM_PRIORITY_CLASSES, Status};
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::server::{Core, StartError};
use crate::write::{Managing, Part, Proposal, Writer};

/// Makes what is missing and corrects what this server's address decides.
pub(crate) async fn run(core: &Core) -> Result<(), StartError> {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        ensure(core, "", "namespaces", namespace, &[]).await?;
    }
    for (name, value, description) in SYSTEM_PRIORITY_CLASSES {
        let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
                           "metadata": {"name": name}, "value": value, "description": description});
        ensure(core, "scheduling.k8s.io", "priorityclasses", class, &[]).await?;
    }
    let range = json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
                       "metadata": {"name": "kubernetes"}, "spec": {"cidrs": [core.allocation.range()]}});
    ensure(core, "networking.k8s.io", "servicecidrs", range, &[]).await?;
    api_services::run(core).await?;
    flow_control::run(core).await?;
    let (address, port) = (core.advertise.0.to_string(), core.advertise.1);
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default",
                     "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"type": "ClusterIP", "clusterIP": core.allocation.api_server().to_string(), "sessionAffinity": "None",
                 "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]},
    });
    ensure(core, "", "services", service, &[]).await?;
    if core.advertise.0.is_loopback() {
        // Nobody else could use it, and the API's own rules refuse it.
        tracing::warn!(%address, "the API is advertised on the loopback: the Service kubernetes gets no endpoints");
        return Ok(());
    }
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default",
                     "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
    });
    ensure(core, "", "endpoints", endpoints, &["subsets"]).await?;
    let family = if core.advertise.0.is_ipv4() {
        "IPv4"
    } else {
        "IPv6"
    };
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default",
                     "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": family,
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    });
    ensure(
        core,
        "discovery.k8s.io",
        "endpointslices",
        slice,
        &["endpoints", "ports"],
    )
    .await
}

/// Makes an object, or gives an existing one these fields.
async fn ensure(
    core: &Core,
    group: &str,
    plural: &str,
    object: Value,
    corrected: &[&str],
) -> Result<(), StartError> {
    let metadata = &object["metadata"];
    let (namespace, name) = (text(&metadata["namespace"]), text(&metadata["name"]));
    let failed = |status: Status| StartError::Bootstrap {
        object: format!("{plural} {name}"),
        why: status.message,
    };
    let missing = || StartError::Catalogue(format!("{plural} are not served"));
    let kind = core.kinds.find(group, "v1", plural).ok_or_else(missing)?;
    let kind: &Kind = &kind;
    if kind.cache.get(&namespace, &name).is_none() {
        return core
            .create_object(kind, object, &Writer::system(), Managing::Due)
            .await
            .map(drop)
            .map_err(failed);
    }
    if corrected.is_empty() {
        return Ok(());
    }
    let propose = |live: &Value| {
        let mut next = live.clone();
        for field in corrected {
            next[*field] = object[*field].clone();
        }
        Ok(Proposal {
            object: next,
            warnings: Vec::new(),
            managing: Managing::Due,
        })
    };
    core.update(
        kind,
        &namespace,
        &name,
        Part::Main,
        &Writer::system(),
        propose,
    )
    .await
    .map(drop)
    .map_err(failed)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
