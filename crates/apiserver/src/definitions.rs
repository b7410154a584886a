//! CustomResourceDefinitions: accepts their names, serves their kinds as soon as they are established, and removes a
//! definition's objects before the definition goes. Knows nothing of schemas; `plinth-api` compiles them.

use std::collections::HashSet;
use std::sync::Arc;

use futures::FutureExt;
use jiff::Timestamp;
use plinth_api::customresourcedefinition::{CLEANUP, has_condition};
use plinth_api::{Custom, Gvk, Resource, Status, TypeSchema, catalogue, compile, prune};
use plinth_store::Revision;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::cache::{Header, KindCache, Object};
use crate::convert::{Conversion, Translation};
use crate::encode::Layout;
use crate::kind::{CustomKinds, Kind, Kinds};
use crate::server::Core;
use crate::webhook::Hook;
use crate::write::{DeleteOptions, Managing, Part, Proposal, Resets, Writer, timestamp};

/// Whether this is the kind of definitions.
pub(crate) fn is_definition(kind: &Kind) -> bool {
    kind.resource.group == "apiextensions.k8s.io"
        && kind.resource.plural == "customresourcedefinitions"
}

fn kind_of_definitions(kinds: &Kinds) -> Option<Arc<Kind>> {
    kinds.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
}

/// A definition on its way out: it waits for its objects.
pub(crate) fn marked(mut definition: Value, now: Timestamp) -> Value {
    let metadata = &mut definition["metadata"];
    metadata["deletionTimestamp"] = timestamp(now).into();
    let held = metadata["finalizers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    if !held.iter().any(|finalizer| finalizer == CLEANUP) {
        metadata["finalizers"] = [held, vec![CLEANUP.into()]].concat().into();
    }
    let condition = condition(
        "Terminating",
        true,
        "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        now,
    );
    set_condition(&mut definition["status"], condition);
    definition
}

fn condition(ty: &str, holds: bool, reason: &str, message: &str, now: Timestamp) -> Value {
    let status = if holds { "True" } else { "False" };
    json!({"type": ty, "status": status, "reason": reason, "message": message,
           "lastTransitionTime": timestamp(now)})
}

/// Puts a condition in its place; its time stays when only words change.
fn set_condition(status: &mut Value, mut condition: Value) {
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    match conditions
        .iter_mut()
        .find(|known| known["type"] == condition["type"])
    {
        Some(known) => {
            if known["status"] == condition["status"] {
                condition["lastTransitionTime"] = known["lastTransitionTime"].clone();
            }
            *known = condition;
        }
        None => conditions.push(condition),
    }
    status["conditions"] = conditions.into();
}

/// The definitions there are, parsed.
fn all(core: &Core) -> Vec<Value> {
    let Some(kind) = kind_of_definitions(&core.kinds) else {
        return Vec::new();
    };
    let snapshot = kind.cache.snapshot(&core.clock);
    snapshot
        .tree
        .iter(None, None)
        .filter_map(|object| serde_json::from_slice(&object.bytes).ok())
        .collect()
}

/// Serves the kinds of the definitions that were established before this process.
pub(crate) fn start(kinds: &Kinds, definitions: &[Value], revision: u64) {
    for definition in definitions {
        if has_condition(definition, "Established") {
            define(kinds, definition, revision);
        }
    }
}

/// Follows the definitions until the server stops.
pub(crate) async fn follow(core: Arc<Core>) {
    let Some(kind) = kind_of_definitions(&core.kinds) else {
        return;
    };
    let mut changes = kind.cache.changes();
    let mut removals = JoinSet::new();
    let mut removing = HashSet::new();
    loop {
        changes.mark_unchanged();
        let definitions = all(&core);
        let names: HashSet<&str> = definitions
            .iter()
            .map(|d| text(&d["metadata"]["name"]))
            .collect();
        for gone in core.kinds.defined() {
            if !names.contains(gone.as_str()) {
                core.kinds.undefine(&gone);
                removing.remove(&gone);
            }
        }
        for definition in &definitions {
            let name = text(&definition["metadata"]["name"]).to_owned();
            let terminating = definition["metadata"]["deletionTimestamp"].is_string();
            if !terminating && let Err(status) = settle(&core, definition, &definitions).await {
                tracing::warn!(%name, error = %status.message, "cannot settle a definition; its next change tries again");
            }
            if has_condition(definition, "Established") {
                define(&core.kinds, definition, core.clock.now());
            }
            if terminating && removing.insert(name.clone()) {
                removals.spawn(remove(core.clone(), name));
            }
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            Some(outcome) = removals.join_next() => {
                if let Err(error) = outcome {
                    tracing::error!(%error, "removing a definition's objects failed");
                }
            }
            () = core.shutdown.cancelled() => return,
        }
    }
}

/// Accepts a definition's names, or says why not, and establishes it.
async fn settle(core: &Core, definition: &Value, all: &[Value]) -> Result<(), Status> {
    let status = settled(definition, all, Timestamp::now());
    if status == definition["status"] {
        return Ok(());
    }
    let Some(kind) = kind_of_definitions(&core.kinds) else {
        return Ok(());
    };
    let name = text(&definition["metadata"]["name"]);
    let propose = |live: &Value| {
        let mut object = live.clone();
        object["status"] = settled(live, all, Timestamp::now());
        Ok(Proposal {
            object,
            warnings: Vec::new(),
            managing: Managing::Due,
        })
    };
    core.update(&kind, "", name, Part::Status, &Writer::system(), propose)
        .boxed()
        .await
        .map(drop)
}

/// The status a definition should have. Pure.
fn settled(definition: &Value, all: &[Value], now: Timestamp) -> Value {
    let mut status = definition["status"].clone();
    let wanted = &definition["spec"]["names"];
    let conflicts = conflicts(definition, all);
    let mut accepted = json!({});
    for field in [
        "plural",
        "singular",
        "shortNames",
        "kind",
        "listKind",
        "categories",
    ] {
        let refused = conflicts.iter().any(|(of, _)| *of == field);
        let taken = if refused {
            &status["acceptedNames"][field]
        } else {
            &wanted[field]
        };
        if !taken.is_null() {
            accepted[field] = taken.clone();
        }
    }
    for field in ["plural", "kind"] {
        if accepted[field].is_null() {
            accepted[field] = "".into();
        }
    }
    status["acceptedNames"] = accepted;
    match conflicts.last() {
        None => {
            let accepted = condition(
                "NamesAccepted",
                true,
                "NoConflicts",
                "no conflicts found",
                now,
            );
            set_condition(&mut status, accepted);
            if !has_condition(definition, "Established") {
                let message = "the initial names have been accepted";
                let established =
                    condition("Established", true, "InitialNamesAccepted", message, now);
                set_condition(&mut status, established);
            }
        }
        Some((field, name)) => {
            let reason = match *field {
                "plural" => "PluralConflict",
                "singular" => "SingularConflict",
                "shortNames" => "ShortNamesConflict",
                "kind" => "KindConflict",
                _ => "ListKindConflict",
            };
            let message = format!("{name:?} is already in use");
            set_condition(
                &mut status,
                condition("NamesAccepted", false, reason, &message, now),
            );
            if !has_condition(definition, "Established") {
                let message = "not all names are accepted";
                set_condition(
                    &mut status,
                    condition("Established", false, "NotAccepted", message, now),
                );
            }
        }
    }
    if let Some(approval) = approval(definition, now) {
        set_condition(&mut status, approval);
    }
    status
}

/// Names of a definition that something else in its group has already, by the field that asks for them.
fn conflicts(definition: &Value, all: &[Value]) -> Vec<(&'static str, String)> {
    let group = &definition["spec"]["group"];
    let own = &definition["metadata"]["name"];
    let (mut resources, mut kinds): (HashSet<String>, HashSet<String>) = Default::default();
    let others = all
        .iter()
        .filter(|other| other["spec"]["group"] == *group && other["metadata"]["name"] != *own);
    for names in others.map(|other| &other["status"]["acceptedNames"]) {
        resources.extend([&names["plural"], &names["singular"]].map(|name| text(name).to_owned()));
        let short = names["shortNames"].as_array().into_iter().flatten();
        resources.extend(short.map(|name| text(name).to_owned()));
        kinds.extend([&names["kind"], &names["listKind"]].map(|name| text(name).to_owned()));
    }
    for resource in catalogue()
        .iter()
        .filter(|resource| *group == resource.group)
    {
        resources.extend([resource.plural, resource.singular].map(ToOwned::to_owned));
        resources.extend(resource.short_names.iter().map(|name| (*name).to_owned()));
        kinds.extend([resource.kind, resource.list_kind].map(ToOwned::to_owned));
    }
    let names = &definition["spec"]["names"];
    let mut found = Vec::new();
    let mut check = |field: &'static str, name: &Value, taken: &HashSet<String>| {
        let name = text(name);
        if !name.is_empty() && taken.contains(name) {
            found.push((field, name.to_owned()));
        }
    };
    check("plural", &names["plural"], &resources);
    check("singular", &names["singular"], &resources);
    for short in names["shortNames"].as_array().into_iter().flatten() {
        check("shortNames", short, &resources);
    }
    check("kind", &names["kind"], &kinds);
    check("listKind", &names["listKind"], &kinds);
    found
}

/// Kinds in the project's own groups show whether somebody approved of them.
fn approval(definition: &Value, now: Timestamp) -> Option<Value> {
    let group = text(&definition["spec"]["group"]);
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.ends_with(&format!(".{domain}")));
    let given = text(&definition["metadata"]["annotations"]["api-approved.kubernetes.io"]);
    let ty = "KubernetesAPIApprovalPolicyConformant";
    if !protected || given.is_empty() {
        return None;
    }
    Some(if given.starts_with("unapproved") {
        let message = format!("not approved: {given:?}");
        condition(ty, false, "UnapprovedAnnotation", &message, now)
    } else {
        condition(
            ty,
            true,
            "ApprovedAnnotation",
            &format!("approved in {given}"),
            now,
        )
    })
}

/// Deletes a definition's objects, waits until they are gone, and lets the definition go.
async fn remove(core: Arc<Core>, name: String) {
    let stored = core.kinds.stored_by(&name);
    if let Some(kind) = stored {
        let mut changes = kind.cache.changes();
        loop {
            changes.mark_unchanged();
            let snapshot = kind.cache.snapshot(&core.clock);
            let objects: Vec<_> = snapshot.tree.iter(None, None).cloned().collect();
            if objects.is_empty() {
                break;
            }
            for object in objects {
                let header = &object.header;
                let options = DeleteOptions::default();
                let deleted = core
                    .delete(
                        &kind,
                        &header.namespace,
                        &header.name,
                        &options,
                        &Writer::system(),
                    )
                    .boxed()
                    .await;
                if let Err(status) = deleted.map(drop)
                    && status.code != 404
                {
                    tracing::warn!(definition = %name, object = %header.name, error = %status.message, "cannot delete an object of a definition that goes");
                }
            }
            if kind
                .cache
                .snapshot(&core.clock)
                .tree
                .iter(None, None)
                .next()
                .is_none()
            {
                break;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = core.shutdown.cancelled() => return,
            }
        }
    }
    let Some(kind) = kind_of_definitions(&core.kinds) else {
        return;
    };
    let propose = |live: &Value| {
        let mut object = live.clone();
        if let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|finalizer| finalizer != CLEANUP);
        }
        Ok(Proposal {
            object,
            warnings: Vec::new(),
            managing: Managing::Due,
        })
    };
    if let Err(status) = core
        .update(&kind, "", &name, Part::Main, &Writer::system(), propose)
        .boxed()
        .await
        && status.code != 404
    {
        tracing::warn!(definition = %name, error = %status.message, "a definition whose objects are gone stays");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Serves a definition's kinds as it describes them now.
fn define(kinds: &Kinds, definition: &Value, revision: u64) {
    let name = text(&definition["metadata"]["name"]);
    let group = text(&definition["spec"]["group"]);
    let plural = text(&definition["status"]["acceptedNames"]["plural"]);
    let built_in = catalogue()
        .iter()
        .any(|kind| kind.group == group && kind.plural == plural);
    if built_in {
        return;
    }
    let compiled = compile(definition);
    let Some(storage) = compiled.iter().find(|version| version.storage) else {
        return;
    };
    let conversion = &definition["spec"]["conversion"];
    kinds.define(name, |before| {
        let same = before.is_some_and(|before| {
            before.conversion == *conversion
                && std::ptr::eq(before.stored.resource, storage.resource)
                && before.served.len() == compiled.iter().filter(|version| version.served).count()
                && compiled
                    .iter()
                    .filter(|version| version.served)
                    .all(|version| {
                        let mut served = before.served.iter();
                        served.any(|kind| std::ptr::eq(kind.resource, version.resource))
                    })
        });
        (!same).then(|| made(&compiled, storage, conversion, before, revision))
    });
}

/// The kinds of a definition, over the objects of the kinds it described before.
fn made(
    compiled: &[Custom],
    storage: &Custom,
    conversion: &Value,
    before: Option<&CustomKinds>,
    revision: u64,
) -> CustomKinds {
    let hook = (conversion["strategy"] == "Webhook")
        .then(|| Arc::new(Hook::read(&conversion["webhook"]["clientConfig"])));
    let translation = || {
        hook.clone()
            .map_or(Translation::Relabel, Translation::Webhook)
    };
    let layout = Layout::of(storage.resource);
    let cache = match before {
        // Nothing about stored objects has changed, so their history goes on.
        Some(before) if std::ptr::eq(before.stored.resource, storage.resource) => {
            before.stored.cache.clone()
        }
        Some(before) => {
            let reform = |object: &Arc<Object>| {
                reform(
                    object,
                    storage.resource,
                    storage.schema,
                    &layout,
                    hook.is_some(),
                )
            };
            Arc::new(before.stored.cache.reformed(reform))
        }
        None => {
            let cache = KindCache::default();
            cache.start(revision);
            Arc::new(cache)
        }
    };
    let kind = |custom: &Custom, conversion: Option<Conversion>| {
        let resource = custom.resource;
        Arc::new(Kind {
            resource,
            schema: custom.schema,
            gvk: Gvk::of(resource.group, resource.version, resource.kind),
            layout: Layout::of(resource),
            resets: Resets::of(resource),
            cache: cache.clone(),
            storage: resource.group_resource(),
            conversion,
        })
    };
    // Under a webhook objects may still lie in the form of an earlier storage version.
    let own = hook.is_some().then(|| Conversion::Custom {
        stored: None,
        by: translation(),
    });
    let stored = kind(storage, own);
    let served = compiled
        .iter()
        .filter(|version| version.served)
        .map(|version| {
            if version.storage {
                return stored.clone();
            }
            let conversion = Conversion::Custom {
                stored: Some(stored.clone()),
                by: translation(),
            };
            kind(version, Some(conversion))
        });
    CustomKinds {
        served: served.collect(),
        stored: stored.clone(),
        conversion: conversion.clone(),
    }
}

/// A stored object as its definition's storage version shows it now.
pub(crate) fn reformed(object: &Arc<Object>, kind: &Kind) -> Arc<Object> {
    let hooked = kind.conversion.is_some();
    reform(object, kind.resource, kind.schema, &kind.layout, hooked)
}

/// The object labelled with the storage version, pruned and defaulted by its schema. What only a webhook can convert
/// stays as it is until somebody asks for it.
fn reform(
    object: &Arc<Object>,
    resource: &'static Resource,
    schema: &'static TypeSchema,
    layout: &Layout,
    hooked: bool,
) -> Arc<Object> {
    let Ok(mut value) = serde_json::from_slice::<Value>(&object.bytes) else {
        return object.clone();
    };
    let version = resource.api_version();
    if hooked && value["apiVersion"] != version.as_str() {
        let header = Arc::new(Header::of(resource, &value));
        let bytes = object.bytes.clone();
        return Arc::new(Object::new(header, object.revision, bytes));
    }
    value["apiVersion"] = version.into();
    prune(schema, &mut value);
    resource.strategy.default(&mut value);
    let header = Arc::new(Header::of(resource, &value));
    let bytes = layout.payload(&value).at(Revision(object.revision));
    Arc::new(Object::new(header, object.revision, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(plural: &str, kind: &str, accepted: bool) -> Value {
        let names = json!({"plural": plural, "singular": plural, "kind": kind, "listKind": format!("{kind}List")});
        let taken = if accepted {
            names.clone()
        } else {
            json!({"plural": "", "kind": ""})
        };
        json!({"metadata": {"name": format!("{plural}.example.com")},
               "spec": {"group": "example.com", "names": names}, "status": {"acceptedNames": taken, "conditions": null}})
    }

    #[test]
    fn names_are_accepted_unless_somebody_has_them() {
        let (first, second) = (
            definition("things", "Thing", true),
            definition("others", "Thing", false),
        );
        let now = Timestamp::UNIX_EPOCH;
        let status = settled(&first, &[first.clone(), second.clone()], now);
        let reasons: Vec<_> = status["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| text(&c["reason"]))
            .collect();
        assert_eq!(reasons, ["NoConflicts", "InitialNamesAccepted"]);

        let status = settled(&second, &[first, second.clone()], now);
        assert_eq!(
            status["acceptedNames"],
            json!({"plural": "others", "singular": "others", "kind": ""})
        );
        assert_eq!(
            status["conditions"][0]["message"],
            r#""ThingList" is already in use"#
        );
        assert_eq!(status["conditions"][1]["reason"], "NotAccepted");
        assert_eq!(
            settled(
                &json!({"metadata": second["metadata"], "spec": second["spec"], "status": status}),
                &[],
                now
            )["conditions"][1]["status"],
            "True"
        );
    }
}
