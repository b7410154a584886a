//! The downward API: a pod's own fields and resources as text. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};

use crate::spec::{self, Amounts};
use crate::status::Addresses;

/// What references may ask about.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) addresses: &'a Addresses,
    /// The node's, which limits fall back to.
    pub(crate) allocatable: &'a Amounts,
}

/// Why a reference cannot be resolved.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum FieldError {
    /// The path names nothing that the downward API offers.
    #[error("unsupported fieldPath: {0}")]
    Path(String),
    /// The resource name is unknown.
    #[error("unsupported container resource : {0}")]
    Resource(String),
    /// The reference names a container that the pod does not have.
    #[error("container {0} not found")]
    Container(String),
}

/// The value of `path`; an empty text for a label or annotation that is not set.
pub(crate) fn pod_field(facts: &Facts<'_>, path: &str) -> Result<String, FieldError> {
    let pod = facts.pod;
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let unknown = || FieldError::Path(path.to_owned());
    if let Some((map, key)) = path.strip_suffix("']").and_then(|p| p.split_once("['")) {
        let map = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(unknown()),
        };
        return Ok(map
            .as_ref()
            .and_then(|m| m.get(key))
            .cloned()
            .unwrap_or_default());
    }
    let value = match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "metadata.labels" => meta.labels.as_ref().map(lines),
        "metadata.annotations" => meta.annotations.as_ref().map(lines),
        "spec.nodeName" => spec.and_then(|s| s.node_name.clone()),
        "spec.serviceAccountName" => spec.and_then(|s| s.service_account_name.clone()),
        "status.hostIP" | "status.hostIPs" => Some(facts.addresses.host.clone()),
        "status.podIP" | "status.podIPs" => facts.addresses.pod.clone(),
        _ => return Err(unknown()),
    };
    Ok(value.unwrap_or_default())
}

/// A map as the downward API writes it: sorted `key="value"` lines, escaped as Go's `%q` does.
fn lines(map: &BTreeMap<String, String>) -> String {
    let lines: Vec<String> = map.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
    lines.join("\n")
}

/// A request or limit, in units of its divisor, rounded up. A limit that is not set is the node's.
pub(crate) fn resource_field(
    facts: &Facts<'_>,
    container: &Container,
    selector: &ResourceFieldSelector,
) -> Result<String, FieldError> {
    let named = selector.container_name.as_deref().filter(|n| !n.is_empty());
    let spec = spec::spec_of(facts.pod);
    let container = match named {
        Some(name) => spec::containers(&spec)
            .map(|(_, c)| c)
            .find(|c| c.name == name)
            .ok_or_else(|| FieldError::Container(name.to_owned()))?,
        None => container,
    };
    let unknown = || FieldError::Resource(selector.resource.clone());
    let (kind, name) = selector.resource.split_once('.').ok_or_else(unknown)?;
    let asked = container.resources.as_ref();
    let amount = match kind {
        "limits" => spec::amount(asked.and_then(|r| r.limits.as_ref()), name)
            .or_else(|| spec::amount(Some(facts.allocatable), name)),
        "requests" => spec::amount(asked.and_then(|r| r.requests.as_ref()), name),
        _ => return Err(unknown()),
    };
    let known =
        matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    if !known {
        return Err(unknown());
    }
    let one = plinth_api::Quantity::whole(1);
    let divisor = selector.divisor.as_ref().and_then(|d| d.0.parse().ok());
    let divisor = divisor
        .filter(|d: &plinth_api::Quantity| d.sign().is_gt())
        .unwrap_or(one);
    let amount = amount.unwrap_or_else(plinth_api::Quantity::zero);
    let (value, unit) = if name == "cpu" {
        (amount.millis_ceil(), divisor.millis_ceil())
    } else {
        (amount.ceil(), divisor.ceil())
    };
    Ok((i128::from(value) + i128::from(unit) - 1)
        .div_euclid(i128::from(unit.max(1)))
        .to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    #[test]
    fn p11_the_ordinal_label_and_the_rest_of_the_downward_api_are_there() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "web-1", "namespace": "default", "uid": "u1",
                "labels": {"apps.kubernetes.io/pod-index": "1", "app": "a\"b"}},
            "spec": {"nodeName": "n", "serviceAccountName": "default", "containers": []},
        }))
        .expect("pod");
        let addresses = Addresses {
            host: "192.0.2.1".into(),
            pod: Some("10.244.0.7".into()),
        };
        let facts = Facts {
            pod: &pod,
            addresses: &addresses,
            allocatable: &Amounts::new(),
        };
        let field = |path: &str| pod_field(&facts, path);
        assert_eq!(
            field("metadata.labels['apps.kubernetes.io/pod-index']").as_deref(),
            Ok("1")
        );
        assert_eq!(field("metadata.annotations['none']").as_deref(), Ok(""));
        assert_eq!(
            field("metadata.labels").as_deref(),
            Ok("app=\"a\\\"b\"\napps.kubernetes.io/pod-index=\"1\"")
        );
        assert_eq!(field("status.podIP").as_deref(), Ok("10.244.0.7"));
        assert_eq!(field("status.hostIP").as_deref(), Ok("192.0.2.1"));
        assert_eq!(field("spec.nodeName").as_deref(), Ok("n"));
        assert_eq!(field("metadata.uid").as_deref(), Ok("u1"));
        assert_eq!(
            field("spec.replicas"),
            Err(FieldError::Path("spec.replicas".into()))
        );
    }

    #[test]
    fn resources_are_divided_rounding_up_and_limits_fall_back_to_the_node() {
        let pod = Pod::default();
        let addresses = Addresses::default();
        let allocatable: Amounts = [("memory".to_owned(), Quantity("2Gi".into()))].into();
        let facts = Facts {
            pod: &pod,
            addresses: &addresses,
            allocatable: &allocatable,
        };
        let container: Container = serde_json::from_value(serde_json::json!({
            "name": "c", "resources": {"limits": {"cpu": "1500m"}, "requests": {"memory": "100Mi"}}}))
        .expect("container");
        let field = |resource: &str, divisor: &str| {
            let divisor = Some(Quantity(divisor.to_owned()));
            resource_field(
                &facts,
                &container,
                &ResourceFieldSelector {
                    resource: resource.into(),
                    divisor,
                    container_name: None,
                },
            )
        };
        assert_eq!(field("limits.cpu", "0").as_deref(), Ok("2"));
        assert_eq!(field("limits.cpu", "1m").as_deref(), Ok("1500"));
        assert_eq!(field("requests.memory", "1Mi").as_deref(), Ok("100"));
        assert_eq!(field("limits.memory", "1Gi").as_deref(), Ok("2"));
        assert_eq!(field("requests.cpu", "1").as_deref(), Ok("0"));
        assert!(field("limits.gpu", "1").is_err());
    }
}
