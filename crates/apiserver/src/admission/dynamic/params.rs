//! The objects that policies take their parameters from.

use plinth_api::{Selector, Status};
use serde_json::Value;

use crate::cache::Object;
use crate::kind::Kind;
use crate::server::Core;
use std::sync::Arc;

fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object[field].as_str().unwrap_or_default()
}

/// The kind of a policy's parameters, when it has any; the error is upstream's text.
pub(super) fn kind(core: &Core, spec: &Value) -> Result<Option<Arc<Kind>>, String> {
    let wanted = &spec["paramKind"];
    if !wanted.is_object() {
        return Ok(None);
    }
    let (api_version, name) = (text(wanted, "apiVersion"), text(wanted, "kind"));
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let found = core.kinds.iter().find(|kind| {
        let of = kind.resource;
        (of.group, of.version, of.kind) == (group, version, name) && of.strategy.stored()
    });
    let shown = if group.is_empty() {
        format!("/{version}")
    } else {
        api_version.to_owned()
    };
    found.map(Some).ok_or_else(|| {
        format!("failed to find resource referenced by paramKind: '{shown}, Kind={name}'")
    })
}

/// The parameters that a binding chooses for an object in `namespace`. `None` among them is a policy without any.
pub(super) async fn chosen(
    core: &Core,
    kind: Option<&Kind>,
    binding: &Value,
    namespace: &str,
) -> Result<Vec<Option<Value>>, String> {
    let reference = &binding["paramRef"];
    let Some(kind) = kind.filter(|_| reference.is_object()) else {
        return Ok(vec![None]);
    };
    let given = text(reference, "namespace");
    let place = match (kind.resource.namespaced(), given) {
        (true, "") if namespace.is_empty() => {
            let why = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
            return Err(why.to_owned());
        }
        (true, "") => namespace,
        (true, given) => given,
        (false, "") => "",
        (false, _) => {
            let why = "paramRef.namespace must not be provided for a cluster-scoped `paramKind`";
            return Err(why.to_owned());
        }
    };
    let stored: Vec<Arc<Object>> = match text(reference, "name") {
        "" => {
            let selector =
                Selector::from_object(&reference["selector"]).map_err(|error| error.to_string())?;
            let snapshot = kind.cache.snapshot(&core.clock);
            let objects = snapshot.tree.iter(Some(place), None);
            let labelled = |object: &&Arc<Object>| {
                crate::read::parse(&object.bytes)
                    .is_ok_and(|value| selector.matches(&value["metadata"]["labels"]))
            };
            objects.filter(labelled).cloned().collect()
        }
        name => kind.cache.get(place, name).into_iter().collect(),
    };
    if stored.is_empty() && reference["parameterNotFoundAction"] == "Deny" {
        let why = "no params found for policy binding with `Deny` parameterNotFoundAction";
        return Err(why.to_owned());
    }
    let formed = kind.formed(core, stored).await;
    let parse = |object: &Arc<Object>| crate::read::parse(&object.bytes).map(Some);
    formed
        .and_then(|objects| objects.iter().map(parse).collect())
        .map_err(|status: Status| status.message)
}
