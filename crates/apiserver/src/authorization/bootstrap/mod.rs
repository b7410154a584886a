//! Gives every cluster the roles and bindings it starts with, and gives back at every start what of them was taken away,
//! unless somebody said that it is to stay away. What was added to them stays.

mod table;

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use plinth_api::Status;
use serde_json::{Value, json};

use super::rbac::Rule;
use crate::kind::Kind;
use crate::server::{Core, StartError};
use crate::write::{Managing, Part, Proposal, Writer, meta_text};
use table::{Binding, Role, Table};

const GROUP: &str = "rbac.authorization.k8s.io";
/// `false` keeps an object as somebody has made it.
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
/// Objects made together, so that they share a commit.
const TOGETHER: usize = 64;

/// Makes what is missing.
pub(crate) async fn run(core: &Core) -> Result<(), StartError> {
    let table = Table::read().map_err(|line| {
        StartError::Catalogue(format!("line {line} of the default roles is wrong"))
    })?;
    let roles = stream::iter(table.roles.iter().map(|role| ensure_role(core, role)));
    roles.buffer_unordered(TOGETHER).try_collect::<()>().await?;
    let bindings = stream::iter(table.bindings.iter().map(|b| ensure_binding(core, b)));
    bindings
        .buffer_unordered(TOGETHER)
        .try_collect::<()>()
        .await
}

async fn ensure_role(core: &Core, role: &Role) -> Result<(), StartError> {
    let plural = if role.namespace.is_empty() {
        "clusterroles"
    } else {
        "roles"
    };
    let correct = |live: &mut Value| {
        if role.aggregates.is_empty() {
            let held = Rule::list(&live["rules"]);
            let lacking = Rule::beyond(&held, &role.rules);
            if !lacking.is_empty() {
                let all = held.iter().chain(&lacking).map(Rule::to_value);
                live["rules"] = all.collect();
            }
        } else if live["aggregationRule"].is_null() {
            live["aggregationRule"] = role.to_value()["aggregationRule"].clone();
        }
    };
    ensure(core, plural, role.to_value(), correct).await
}

async fn ensure_binding(core: &Core, binding: &Binding) -> Result<(), StartError> {
    let plural = if binding.namespace.is_empty() {
        "clusterrolebindings"
    } else {
        "rolebindings"
    };
    let wanted = binding.to_value();
    let correct = |live: &mut Value| {
        let held = live["subjects"].as_array().cloned().unwrap_or_default();
        let subjects = wanted["subjects"].as_array().into_iter().flatten();
        let lacking: Vec<Value> = subjects
            .filter(|subject| !held.contains(subject))
            .cloned()
            .collect();
        if !lacking.is_empty() {
            live["subjects"] = held.into_iter().chain(lacking).collect();
        }
    };
    ensure(core, plural, wanted.clone(), correct).await
}

/// Makes an object, or corrects the one that is there.
async fn ensure(
    core: &Core,
    plural: &str,
    object: Value,
    correct: impl Fn(&mut Value),
) -> Result<(), StartError> {
    let kind: Arc<Kind> = core
        .kinds
        .find(GROUP, "v1", plural)
        .ok_or_else(|| StartError::Catalogue(format!("{plural} are not served")))?;
    let (namespace, name) = (
        meta_text(&object, "namespace").to_owned(),
        meta_text(&object, "name").to_owned(),
    );
    let failed = |status: Status| StartError::Bootstrap {
        object: format!("{plural} {name}"),
        why: status.message,
    };
    let writer = Writer::system();
    let Some(live) = kind.cache.get(&namespace, &name) else {
        let made = core
            .create_object(&kind, object.clone(), &writer, Managing::Due)
            .await;
        return made.map(drop).map_err(failed);
    };
    let next = |live: &Value| {
        let mut next = live.clone();
        for field in ["labels", "annotations"] {
            for (key, value) in object["metadata"][field].as_object().into_iter().flatten() {
                next["metadata"][field][key] = value.clone();
            }
        }
        correct(&mut next);
        next
    };
    let live: Value =
        serde_json::from_slice(&live.bytes).map_err(|error| failed(Status::internal(error)))?;
    let kept = live["metadata"]["annotations"][AUTOUPDATE] == "false";
    if kept || next(&live) == live {
        return Ok(());
    }
    let propose = |live: &Value| {
        Ok(Proposal {
            object: next(live),
            warnings: Vec::new(),
            managing: Managing::Due,
        })
    };
    core.update(&kind, &namespace, &name, Part::Main, &writer, propose)
        .await
        .map(drop)
        .map_err(failed)
}

/// What all of these objects carry.
fn metadata(namespace: &str, name: &str) -> Value {
    let mut metadata = json!({
        "name": name, "annotations": {AUTOUPDATE: "true"},
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
    });
    if !namespace.is_empty() {
        metadata["namespace"] = namespace.into();
    }
    metadata
}
