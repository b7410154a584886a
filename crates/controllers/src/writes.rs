//! Writes with preconditions, and what their refusals mean to a controller. Knows no kind.

use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use plinth_client::ApiError;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

/// Reads the answer to a write: `None` when somebody else was faster.
///
/// A conflict or a missing object means that the object changed after it was observed. That change
/// comes through the informer and brings the key back, so there is nothing to retry. In a namespace
/// that is going away nothing can be made any more (G-11), and nothing needs to be.
pub(crate) fn unless_outrun<T>(answer: Result<T, kube::Error>) -> Result<Option<T>, kube::Error> {
    match answer {
        Ok(written) => Ok(Some(written)),
        Err(error)
            if error.is_conflict()
                || error.is_not_found()
                || error.is_already_exists()
                || is_namespace_terminating(&error) =>
        {
            tracing::debug!(%error, "a write was outrun");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether the API refused an object because its namespace is being deleted.
pub(crate) fn is_namespace_terminating(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .into_iter()
        .any(|cause| cause.reason == "NamespaceTerminating")
}

/// Writes as one that upstream's API server makes itself, and so under its name.
pub(crate) fn as_server() -> PostParams {
    PostParams {
        field_manager: Some("kube-apiserver".to_owned()),
        ..PostParams::default()
    }
}

/// Says one condition of an object's status by applying it: it is the manager's, all others stay whose they are.
pub(crate) async fn apply_condition<K>(
    api: &Api<K>,
    name: &str,
    manager: &str,
    condition: &impl Serialize,
) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let status = json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()),
        "metadata": {"name": name}, "status": {"conditions": [condition]},
    });
    let params = PatchParams::apply(manager).force();
    api.patch_status(name, &params, &Patch::Apply(&status))
        .await
}

/// The revision a written object carries; 0, which every informer has seen, when it carries none.
pub(crate) fn revision<K: Resource>(object: &K) -> u64 {
    object
        .meta()
        .resource_version
        .as_deref()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// A background deletion that hits only the object with that UID (G-4).
pub(crate) fn delete_only(uid: &str) -> DeleteParams {
    DeleteParams::background().preconditions(Preconditions {
        uid: Some(uid.to_owned()),
        resource_version: None,
    })
}

/// Namespace and name, the key of most work queues.
pub(crate) type Name = (String, String);

/// The key of a namespaced object.
pub(crate) fn name_of<K: Resource>(object: &K) -> Name {
    (
        object.namespace().unwrap_or_default(),
        object.meta().name.clone().unwrap_or_default(),
    )
}

/// Whether deletion has begun.
pub(crate) fn is_terminating<K: Resource>(object: &K) -> bool {
    object.meta().deletion_timestamp.is_some()
}

/// Whether a finalizer is on the object.
pub(crate) fn has_finalizer<K: Resource>(object: &K, finalizer: &str) -> bool {
    object.finalizers().iter().any(|held| held == finalizer)
}

/// The value of an annotation.
pub(crate) fn annotation<'a, K: Resource>(object: &'a K, key: &str) -> Option<&'a str> {
    object.annotations().get(key).map(String::as_str)
}
