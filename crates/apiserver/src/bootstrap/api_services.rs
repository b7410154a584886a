//! An APIService for every group and version this server serves itself.

use serde_json::json;

use super::ensure;
use crate::groups::{REGISTRATION, priority, version_priority};
use crate::server::{Core, StartError};

/// Makes what is missing.
pub(super) async fn run(core: &Core) -> Result<(), StartError> {
    let mut served: Vec<(String, String)> = core
        .kinds
        .iter()
        .map(|kind| {
            (
                kind.resource.group.to_owned(),
                kind.resource.version.to_owned(),
            )
        })
        .filter(|(group, _)| group != REGISTRATION)
        .collect();
    served.sort();
    served.dedup();
    for (group, version) in served {
        let service = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": format!("{version}.{group}"),
                         "labels": {"kube-aggregator.kubernetes.io/automanaged": "onstart"}},
            "spec": {"group": group, "version": version, "groupPriorityMinimum": priority(&group),
                     "versionPriority": version_priority(&group, &version)},
        });
        ensure(core, REGISTRATION, "apiservices", service, &[]).await?;
    }
    Ok(())
}
