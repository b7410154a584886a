//! POST: a new object.

use jiff::Timestamp;
use plinth_api::Status;
use plinth_store::Expect;
use rand::Rng;
use serde_json::Value;

use super::managed::manage;
use super::{
    Incoming, Managing, Part, Refused, Writer, Written, check_namespace, meta_text, metadata,
    timestamp,
};
use crate::admission::{self, Operation, Request};
use crate::kind::Kind;
use crate::read::plain_error;
use crate::server::Core;

/// Names made from a prefix leave this much room for it.
const PREFIX: usize = 58;
/// Characters of made names: no vowels, no digits that look like them.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// How many made names are tried before the client hears that the name exists.
const NAME_ATTEMPTS: usize = 8;

impl Core {
    /// Creates the object in a request body.
    pub(crate) async fn create(
        &self,
        kind: &Kind,
        namespace: &str,
        incoming: &Incoming<'_>,
    ) -> Result<Written, Status> {
        let mut decoded = incoming.decode(kind.schema, &kind.gvk)?;
        check_namespace(&mut decoded.object, namespace, kind.resource.namespaced())?;
        let mut written = self
            .create_object(kind, decoded.object, &incoming.writer(), Managing::Due)
            .await?;
        written.warnings.splice(..0, decoded.warnings);
        Ok(written)
    }

    /// Creates a decoded object whose namespace is right.
    pub(crate) async fn create_object(
        &self,
        kind: &Kind,
        object: Value,
        writer: &Writer<'_>,
        managing: Managing,
    ) -> Result<Written, Status> {
        let prefix = meta_text(&object, "generateName").to_owned();
        let makes_name = meta_text(&object, "name").is_empty() && !prefix.is_empty();
        if !makes_name {
            let name = meta_text(&object, "name").to_owned();
            return self
                .create_named(kind, object, &name, writer, managing)
                .await;
        }
        let mut tries = 1;
        loop {
            let mut named = object.clone();
            metadata(&mut named).insert("name".into(), made_name(&prefix).into());
            match self.create_named(kind, named, "", writer, managing).await {
                Err(status) if status.reason == "AlreadyExists" && tries < NAME_ATTEMPTS => {
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn create_named(
        &self,
        kind: &Kind,
        mut object: Value,
        given_name: &str,
        writer: &Writer<'_>,
        managing: Managing,
    ) -> Result<Written, Status> {
        let dry_run = writer.dry_run;
        let resource = kind.resource;
        let revision = meta_text(&object, "resourceVersion");
        if !matches!(revision, "" | "0") && !writer.dry_run {
            let why = "resourceVersion should not be set on objects to be created";
            return Err(plain_error(500, why.to_owned()));
        }
        let fields = metadata(&mut object);
        if !writer.dry_run {
            fields.remove("resourceVersion");
        }
        for system in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
            fields.remove(system);
        }
        for system in ["uid", "creationTimestamp"] {
            fields.remove(system);
        }
        resource.strategy.default(&mut object);
        if managing == Managing::Due {
            manage(kind, Part::Main, writer.manager, None, &mut object);
        }
        let namespace = meta_text(&object, "namespace").to_owned();
        let place = (namespace.as_str(), given_name);
        let request = Request::new(Operation::Create, kind, place, writer);
        self.mutate(&request, &mut object, None, |object| {
            admission::admit(self, kind, Operation::Create, writer, object, None)
        })
        .await?;
        let fields = metadata(&mut object);
        fields.insert("uid".into(), uuid::Uuid::new_v4().to_string().into());
        fields.insert(
            "creationTimestamp".into(),
            timestamp(Timestamp::now()).into(),
        );
        resource.prepare_create(&mut object);
        let errors = resource.validate_create(&object);
        let name = meta_text(&object, "name").to_owned();
        if !errors.is_empty() {
            // A custom resource may claim to be of another kind, and is told of under that name.
            let claimed = object["kind"].as_str().unwrap_or(resource.kind);
            return Err(if kind.schema.is_custom() && claimed != resource.kind {
                Status::invalid_kind(resource.group, claimed, &name, &errors)
            } else {
                Status::invalid(resource, &name, &errors)
            });
        }
        let reserved = self.allocation.assign(resource, &mut object, None)?;
        let mut warnings = resource.strategy.warnings(&object, None);
        warnings.extend(admission::review(self, kind, &object, None)?);
        self.judge(&request, Some(&object), None).await?;
        let charge = self.charge(kind, &object, None, dry_run).await?;
        let namespace = namespace.as_str();

        if writer.dry_run {
            if let Some(live) = kind.cache.get(namespace, &name) {
                return Err(already_exists(kind, &name, &live.bytes));
            }
            let bytes = without_revision(&object);
            return Ok(Written {
                bytes,
                warnings,
                created: true,
            });
        }
        match self.put(kind, &object, Expect::Absent).await {
            Ok(bytes) => {
                reserved.keep();
                charge.keep();
                Ok(Written {
                    bytes,
                    warnings,
                    created: true,
                })
            }
            Err(Refused::Raced) => {
                let live = kind.cache.get(namespace, &name);
                Err(already_exists(
                    kind,
                    &name,
                    live.as_ref().map_or(&[], |live| &live.bytes),
                ))
            }
            Err(Refused::Status(status)) => Err(status),
        }
    }
}

/// An object that was not committed, as a dry run shows it.
pub(super) fn without_revision(object: &Value) -> bytes::Bytes {
    object.to_string().into()
}

fn already_exists(kind: &Kind, name: &str, live: &[u8]) -> Status {
    let mut status = Status::already_exists(kind.resource, name);
    let live: Value = serde_json::from_slice(live).unwrap_or_default();
    if live["metadata"]["deletionTimestamp"].is_string() {
        status.message = format!("object is being deleted: {}", status.message);
    }
    status
}

/// A name nobody has, from a prefix.
pub(crate) fn made_name(prefix: &str) -> String {
    let room = prefix
        .char_indices()
        .map(|(at, _)| at)
        .take_while(|at| *at <= PREFIX)
        .last()
        .unwrap_or(0);
    let base = if prefix.len() <= PREFIX {
        prefix
    } else {
        &prefix[..room]
    };
    let mut name = base.to_owned();
    let mut random = rand::rng();
    name.extend((0..5).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_names_are_short_enough_for_every_rule() {
        assert_eq!(made_name("web-").len(), 9);
        assert_eq!(made_name(&"x".repeat(90)).len(), 63);
        assert!(
            made_name("web-")[4..]
                .bytes()
                .all(|byte| ALPHABET.contains(&byte))
        );
    }
}
