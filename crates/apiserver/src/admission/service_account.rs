//! A pod runs as a ServiceAccount of its namespace: the one it names, which must exist, or `default`.

use plinth_api::Status;
use serde_json::Value;

use crate::kind::Kind;
use crate::server::Core;
use crate::write::meta_text;

pub(super) fn admit(core: &Core, kind: &Kind, pod: &mut Value) -> Result<(), Status> {
    let named = pod["spec"]["serviceAccountName"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let name = if named.is_empty() {
        "default".to_owned()
    } else {
        named
    };
    // Every namespace gets its `default` a moment after its own creation; a pod need not wait for that, because
    // nothing of the account is read here.
    if name != "default"
        && let Some(accounts) = core.kinds.core("serviceaccounts")
    {
        let namespace = meta_text(pod, "namespace");
        if accounts.cache.get(namespace, &name).is_none() {
            let why = format!(
                "error looking up service account {namespace}/{name}: serviceaccount {} not found",
                Value::from(name.as_str())
            );
            return Err(Status::forbidden(
                kind.resource,
                meta_text(pod, "name"),
                &why,
            ));
        }
    }
    pod["spec"]["serviceAccountName"] = name.as_str().into();
    pod["spec"]["serviceAccount"] = name.into();
    Ok(())
}
