//! PATCH with `application/apply-patch+yaml`: a configuration becomes part of an object, which is made if there is none.

use plinth_api::apply::{Configuration, ConfigurationText, read_configuration};
use plinth_api::{FieldValidation, Status, TypeSchema};
use serde_json::Value;

use super::managed::as_author;
use super::too_contended;
use super::update::Proposal;
use super::{
    ATTEMPTS, Incoming, Managing, Part, Written, check_name, check_namespace, meta_text, metadata,
};
use crate::kind::Kind;
use crate::read::plain_error;
use crate::server::Core;

impl Core {
    /// Applies the configuration in a request body.
    pub(super) async fn apply(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        part: Part,
        incoming: &Incoming<'_>,
    ) -> Result<Written, Status> {
        let sent = read(incoming)?;
        let propose = |live: Option<&Value>| -> Result<Proposal, Status> {
            let applied = as_author(kind, part, &incoming.options.manager, |author| {
                Configuration {
                    schema: kind.schema,
                    gvk: (kind.gvk.group, kind.gvk.version, kind.gvk.kind),
                    reset: kind.resets.at(part),
                    author,
                    force: incoming.options.force,
                    config: &sent.config,
                }
                .apply(live)
            })?;
            let warnings = said_twice(&sent, incoming.options.validation)?;
            let mut object = typed(kind.schema, applied, &sent.config, &kind.gvk.api_version())?;
            object["apiVersion"] = kind.gvk.api_version().into();
            object["kind"] = kind.gvk.kind.into();
            if live.is_none() {
                unborn(kind, name, &mut object)?;
            }
            check_namespace(&mut object, namespace, kind.resource.namespaced())?;
            check_name(&object, name)?;
            Ok(Proposal {
                object,
                warnings,
                managing: Managing::Done,
            })
        };
        for _ in 0..ATTEMPTS {
            if part == Part::Main && kind.cache.get(namespace, name).is_none() {
                let Proposal {
                    object, warnings, ..
                } = propose(None)?;
                match self
                    .create_object(kind, object, &incoming.writer(), Managing::Done)
                    .await
                {
                    // Somebody else made it first: then this becomes part of it.
                    Err(status) if status.reason == "AlreadyExists" => continue,
                    outcome => {
                        let mut written = outcome?;
                        written.warnings.splice(..0, warnings);
                        return Ok(written);
                    }
                }
            }
            return self
                .update(kind, namespace, name, part, &incoming.writer(), |live| {
                    propose(Some(live))
                })
                .await;
        }
        Err(too_contended(kind, name))
    }
}

/// The configuration in a request body.
pub(super) fn read(incoming: &Incoming<'_>) -> Result<ConfigurationText, Status> {
    read_configuration(incoming.body)
        .map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))
}

/// What to say of fields that the configuration gives twice: nothing, a warning, or a refusal.
pub(super) fn said_twice(
    sent: &ConfigurationText,
    validation: FieldValidation,
) -> Result<Vec<String>, Status> {
    match (&sent.duplicates, validation) {
        (None, _) | (_, FieldValidation::Ignore) => Ok(Vec::new()),
        (Some(text), FieldValidation::Warn) => Ok(vec![text.clone()]),
        (Some(text), FieldValidation::Strict) => Err(Status::bad_request(format!(
            "error strict decoding YAML: {text}"
        ))),
    }
}

/// The applied object with its values in the form of its types.
pub(super) fn typed(
    schema: &'static TypeSchema,
    applied: Value,
    config: &Value,
    version: &str,
) -> Result<Value, Status> {
    plinth_api::fit_to(schema, applied).map_err(|error| {
        let gvk = format!(
            "{}, Kind={}",
            if version.contains('/') { version.to_owned() } else { format!("/{version}") },
            config["kind"].as_str().unwrap_or_default()
        );
        plain_error(
            500,
            format!(
                "failed to convert new object ({}/{}; {gvk}) to proper version ({version}): {error}",
                meta_text(config, "namespace"),
                meta_text(config, "name")
            ),
        )
    })
}

/// An object that does not exist yet has no UID that a client could know, and no version.
fn unborn(kind: &Kind, name: &str, object: &mut Value) -> Result<(), Status> {
    let uid = meta_text(object, "uid");
    if !uid.is_empty() {
        let why = format!(
            "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        );
        return Err(Status::conflict(kind.resource, name, &why));
    }
    metadata(object).remove("resourceVersion");
    Ok(())
}
