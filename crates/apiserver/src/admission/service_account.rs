//! A pod runs as a ServiceAccount of its namespace: the one it names, which must exist, or `default`. Unless it is told
//! otherwise it finds the account's token, the API's authority and its namespace in a volume, and takes over the account's
//! credentials for images.

use plinth_api::Status;
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::server::Core;
use crate::write::{made_name, meta_text};

/// Where containers find the token.
const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The beginning of the volume's name.
const VOLUME: &str = "kube-api-access-";
/// A little more than an hour: what programs that read their token once are known by.
const SECONDS: u32 = 3607;

pub(super) fn admit(core: &Core, kind: &Kind, pod: &mut Value) -> Result<(), Status> {
    if pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string() {
        return admit_mirror(kind, pod);
    }
    let named = pod["spec"]["serviceAccountName"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let name = if named.is_empty() {
        "default".to_owned()
    } else {
        named
    };
    let namespace = meta_text(pod, "namespace");
    let account = core
        .kinds
        .core("serviceaccounts")
        .and_then(|accounts| accounts.cache.get(namespace, &name));
    let account = match &account {
        Some(account) => account.parsed()?,
        // Every namespace gets its `default` a moment after its own creation, as it is by default; a pod need not wait
        // for that. Its node waits before it asks for the token.
        None if name == "default" => &Value::Null,
        None => {
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
    };
    pod["spec"]["serviceAccountName"] = name.as_str().into();
    pod["spec"]["serviceAccount"] = name.into();
    let mounts = pod["spec"]["automountServiceAccountToken"]
        .as_bool()
        .or_else(|| account["automountServiceAccountToken"].as_bool())
        .unwrap_or(true);
    if mounts {
        mount_token(pod);
    }
    let none = |value: &Value| value.as_array().is_none_or(Vec::is_empty);
    if none(&pod["spec"]["imagePullSecrets"]) && !none(&account["imagePullSecrets"]) {
        pod["spec"]["imagePullSecrets"] = account["imagePullSecrets"].clone();
    }
    Ok(())
}

/// The image of a static pod has no identity: nobody may read secrets by way of a node's file.
fn admit_mirror(kind: &Kind, pod: &Value) -> Result<(), Status> {
    let named = pod["spec"]["serviceAccountName"]
        .as_str()
        .is_some_and(|name| !name.is_empty());
    if named {
        let why = "a mirror pod may not reference service accounts";
        return Err(Status::forbidden(
            kind.resource,
            meta_text(pod, "name"),
            why,
        ));
    }
    Ok(())
}

/// Gives every container the token, unless something else is mounted there.
fn mount_token(pod: &mut Value) {
    let spec = &mut pod["spec"];
    let existing = spec["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|volume| volume["projected"].is_object())
        .filter_map(|volume| volume["name"].as_str())
        .find(|name| name.starts_with(VOLUME))
        .map(ToOwned::to_owned);
    let there = existing.is_some();
    let name = existing.unwrap_or_else(|| made_name(VOLUME));
    let mut needed = false;
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            let taken = container["volumeMounts"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|mount| mount["mountPath"] == MOUNT);
            if !taken {
                let mount = json!({"name": name, "readOnly": true, "mountPath": MOUNT});
                append(&mut container["volumeMounts"], mount);
                needed = true;
            }
        }
    }
    if spec["initContainers"].is_null()
        && let Some(fields) = spec.as_object_mut()
    {
        fields.remove("initContainers");
    }
    if needed && !there {
        append(
            &mut spec["volumes"],
            json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": SECONDS}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [
                    {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
            ]}}),
        );
    }
}

fn append(list: &mut Value, item: Value) {
    match list.as_array_mut() {
        Some(list) => list.push(item),
        None => *list = json!([item]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_container_finds_the_token_once() {
        let mut pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "volumeMounts": [
            {"name": "own", "mountPath": MOUNT}]}], "volumes": [{"name": "own", "emptyDir": {}}]}});
        mount_token(&mut pod);
        let spec = &pod["spec"];
        let name = spec["volumes"][1]["name"].as_str().unwrap();
        assert!(
            name.starts_with(VOLUME) && name.len() == VOLUME.len() + 5,
            "{name}"
        );
        assert_eq!(spec["containers"][0]["volumeMounts"][0]["name"], name);
        assert_eq!(
            spec["containers"][1]["volumeMounts"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        assert!(spec.get("initContainers").is_none());
        let again = pod.clone();
        mount_token(&mut pod);
        assert_eq!(pod, again, "a pod that has the volume is left as it is");

        let mut own = json!({"spec": {"containers": [{"name": "b", "volumeMounts": [{"name": "own", "mountPath": MOUNT}]}]}});
        mount_token(&mut own);
        assert!(own["spec"]["volumes"].is_null());
    }
}
