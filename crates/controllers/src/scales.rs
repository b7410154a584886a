//! The scale of any object whose kind has one, whoever defined the kind. Knows no kind.

use k8s_openapi::api::autoscaling::v1::Scale;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
};

use crate::kinds;

/// Why there is no scale to go by.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScaleError {
    #[error("no matches for kind \"{kind}\" in group \"{group}\"")]
    NoKind { group: String, kind: String },
    #[error("{}", plinth_client::ApiError::text(.0))]
    Api(#[from] kube::Error),
}

/// The objects of a kind, of whatever version, by the name of its group and itself.
pub(crate) async fn objects(
    client: &Client,
    namespace: &str,
    group: &str,
    kind: &str,
) -> Result<Api<DynamicObject>, ScaleError> {
    let is_it = |resource: &ApiResource| resource.group == group && resource.kind == kind;
    let builtin = kinds::namespaced().into_iter().find(is_it);
    let resource = match builtin {
        Some(resource) => resource,
        None => kinds::custom_namespaced(client)
            .await?
            .into_iter()
            .find(is_it)
            .ok_or_else(|| ScaleError::NoKind {
                group: group.to_owned(),
                kind: kind.to_owned(),
            })?,
    };
    Ok(Api::namespaced_with(client.clone(), namespace, &resource))
}

/// The scale of an object.
pub(crate) async fn scale(
    client: &Client,
    namespace: &str,
    group: &str,
    kind: &str,
    name: &str,
) -> Result<Scale, ScaleError> {
    let objects = objects(client, namespace, group, kind).await?;
    Ok(objects.get_scale(name).await?)
}
