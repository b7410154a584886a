//! PUT and PATCH: a live object's next state, of the whole or of one part. Writes that are not tied to a revision
//! are computed again from the newest state when somebody else was faster.

use plinth_api::apply::keep_times;
use plinth_api::meta;
use plinth_api::patch::{self, PatchKind};
use plinth_api::{Details, FieldError, Path, Status, Subresource};
use plinth_store::{Expect, Revision};
use serde_json::Value;

use super::create::without_revision;
use super::managed::manage;
use super::{
    ATTEMPTS, Incoming, Refused, Writer, Written, check_name, check_namespace, finalizers,
    meta_text, metadata, scale, too_contended,
};
use crate::admission::{self, Operation, Request};
use crate::allocation::{Allocation, Reservation};
use crate::http::media::{self, PatchBody};
use crate::kind::Kind;
use crate::query::revision;
use crate::quota::Charge;
use crate::read::plain_error;
use crate::server::Core;

/// Which part of an object a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but the status (and what else the kind keeps back).
    Main,
    /// The number of replicas: whoever is asked about the change sees Scales.
    Scale,
    /// The status.
    Status,
    /// A namespace's `spec.finalizers`.
    Finalizers,
    /// What a subresource of that name changes.
    Own(Subresource),
    /// The decision about a request for a certificate.
    Approval,
    /// What binding a pod to a node changes; the proposal is right by construction.
    Bound,
}

impl Part {
    /// Whether the whole object may change.
    fn is_whole(self) -> bool {
        matches!(self, Self::Main | Self::Scale)
    }
}

/// Whether the managers of a proposal's fields are known already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Managing {
    /// No: they follow from what the proposal changes.
    Due,
    /// Yes: the proposal has them.
    Done,
}

/// What an update comes up with, given the live object.
pub(crate) struct Proposal {
    pub(crate) object: Value,
    pub(crate) warnings: Vec<String>,
    pub(crate) managing: Managing,
}

impl Core {
    /// Replaces an object with the one in a request body.
    pub(crate) async fn replace(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        part: Part,
        incoming: &Incoming<'_>,
    ) -> Result<Written, Status> {
        let decoded = incoming.decode(kind.schema, &kind.gvk)?;
        let mut object = decoded.object;
        check_name(&object, name)?;
        check_namespace(&mut object, namespace, kind.resource.namespaced())?;
        let creates = part == Part::Main && kind.resource.strategy.create_on_update();
        if creates
            && kind.cache.get(namespace, name).is_none()
            && meta_text(&object, "resourceVersion").is_empty()
        {
            let mut written = self
                .create_object(kind, object, &incoming.writer(), Managing::Due)
                .await?;
            written.warnings.splice(..0, decoded.warnings);
            return Ok(written);
        }
        let propose = |live: &Value| {
            check_uid(kind, namespace, &object, live)?;
            Ok(Proposal {
                object: object.clone(),
                warnings: decoded.warnings.clone(),
                managing: Managing::Due,
            })
        };
        self.update(kind, namespace, name, part, &incoming.writer(), propose)
            .await
    }

    /// Changes an object by the patch in a request body.
    pub(crate) async fn patch(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        part: Part,
        incoming: &Incoming<'_>,
    ) -> Result<Written, Status> {
        let how = match media::patch_body(incoming.headers)? {
            PatchBody::Configuration => {
                return self.apply(kind, namespace, name, part, incoming).await;
            }
            PatchBody::Patch(how) => how,
        };
        if how == PatchKind::Strategic && kind.schema.is_custom() {
            return Err(Status::unsupported_media_type(&[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/apply-patch+yaml",
            ]));
        }
        let propose = |live: &Value| {
            let patched = patch::apply(
                how,
                kind.schema,
                live,
                incoming.body,
                incoming.options.validation,
            )
            .map_err(Status::from)?;
            let mut object = patched.object;
            object["apiVersion"] = kind.gvk.api_version().into();
            object["kind"] = kind.gvk.kind.into();
            check_name(&object, name)?;
            check_namespace(&mut object, namespace, kind.resource.namespaced())?;
            Ok(Proposal {
                object,
                warnings: patched.warnings,
                managing: Managing::Due,
            })
        };
        self.update(kind, namespace, name, part, &incoming.writer(), propose)
            .await
    }

    /// Brings a proposal for an object's next state through the pipeline and commits it.
    pub(crate) async fn update(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        part: Part,
        writer: &Writer<'_>,
        propose: impl Fn(&Value) -> Result<Proposal, Status>,
    ) -> Result<Written, Status> {
        let resource = kind.resource;
        for _ in 0..ATTEMPTS {
            let live = crate::read::formed(self, kind, namespace, name).await?;
            let old: Value = parse(&live.bytes)?;
            let Proposal {
                object: mut new,
                mut warnings,
                managing,
            } = propose(&old)?;
            check_revision(kind, &new, &old, live.revision, part)?;
            keep_system_fields(&mut new, &old);
            let manager = (managing == Managing::Due).then_some(writer.manager);
            let request = Request {
                gvk: if part == Part::Scale {
                    scale::SCALE
                } else {
                    kind.gvk
                },
                subresource: part.subresource(),
                ..Request::new(Operation::Update, kind, (namespace, name), writer)
            };
            let reserved = self
                .prepare(&request, part, manager, &mut new, &old)
                .await?;
            keep_times(&mut new, &old);
            if part.is_whole() {
                warnings.extend(resource.strategy.warnings(&new, Some(&old)));
                warnings.extend(admission::review(self, kind, &new, Some(&old))?);
            }
            match part {
                Part::Bound => {}
                Part::Scale => {
                    let (new, old) = (scale::of(kind, &new)?, scale::of(kind, &old)?);
                    self.judge(&request, Some(&new), Some(&old)).await?;
                }
                _ => self.judge(&request, Some(&new), Some(&old)).await?,
            }
            if is_finished(kind, &new) {
                // The last finalizer is gone: the object goes too (L-34), and the answer shows it as it was last.
                metadata(&mut new)
                    .insert("resourceVersion".into(), live.revision.to_string().into());
                let bytes = without_revision(&new);
                if writer.dry_run {
                    return Ok(Written {
                        bytes,
                        warnings,
                        created: false,
                    });
                }
                match self.remove(kind, &new, live.revision).await {
                    Ok(_) => {
                        return Ok(Written {
                            bytes,
                            warnings,
                            created: false,
                        });
                    }
                    Err(Refused::Raced) => continue,
                    Err(Refused::Status(status)) => return Err(status),
                }
            }
            if writer.dry_run {
                return Ok(Written {
                    bytes: without_revision(&new),
                    warnings,
                    created: false,
                });
            }
            if new == old {
                // Nothing would change, so nothing is written and the resourceVersion stays.
                return Ok(Written {
                    bytes: live.bytes.clone(),
                    warnings,
                    created: false,
                });
            }
            let charge = match part {
                part if part.is_whole() => {
                    Box::pin(self.charge(kind, &new, Some(&old), false)).await?
                }
                _ => Charge::default(),
            };
            match self
                .put(kind, &new, Expect::At(Revision(live.revision)))
                .await
            {
                Ok(bytes) => {
                    reserved.keep();
                    charge.keep();
                    self.allocation.replaced(resource, &old, &new);
                    return Ok(Written {
                        bytes,
                        warnings,
                        created: false,
                    });
                }
                Err(Refused::Raced) => {}
                Err(Refused::Status(status)) => return Err(status),
            }
        }
        Err(too_contended(kind, name))
    }

    /// Defaults, managers (unless they are known), admission, the kind's own rules and validation, for one part.
    async fn prepare(
        &self,
        request: &Request<'_>,
        part: Part,
        manager: Option<&str>,
        new: &mut Value,
        old: &Value,
    ) -> Result<Reservation, Status> {
        let (kind, writer) = (request.kind, request.writer);
        let resource = kind.resource;
        let strategy = resource.strategy;
        let name = meta_text(old, "name");
        if part == Part::Bound {
            return Ok(Reservation::default());
        }
        strategy.default(new);
        if let Some(manager) = manager {
            manage(kind, part, manager, Some(old), new);
        }
        if part.is_whole() {
            Allocation::carry_over(resource, new, old);
        }
        if part == Part::Scale {
            let (mut scale, before) = (scale::of(kind, new)?, scale::of(kind, old)?);
            self.mutate(request, &mut scale, Some(&before), |_| Ok(()))
                .await?;
            let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
            scale::set_replicas(kind, new, replicas);
            admission::admit(self, kind, Operation::Update, writer, new, Some(old))?;
        } else {
            self.mutate(request, new, Some(old), |new| match part {
                Part::Main => {
                    admission::admit(self, kind, Operation::Update, writer, new, Some(old))
                }
                Part::Status | Part::Own(_) => {
                    admission::admit_status(self, kind, writer, new, old)
                }
                Part::Scale | Part::Approval | Part::Finalizers | Part::Bound => Ok(()),
            })
            .await?;
        }
        let errors = match part {
            Part::Bound => Vec::new(),
            Part::Main | Part::Scale => {
                resource.prepare_update(new, old);
                resource.validate_update(new, old)
            }
            Part::Status => {
                resource.prepare_status_update(new, old);
                resource.validate_status_update(new, old)
            }
            Part::Own(subresource) => {
                let managers = metadata(new).remove("managedFields");
                resource.prepare_part_update(subresource, new, old);
                put_managers(new, managers);
                resource.validate_part_update(subresource, new, old)
            }
            Part::Approval => {
                let conditions = new["status"]["conditions"].take();
                let metadata = new["metadata"].take();
                *new = old.clone();
                new["metadata"] = metadata;
                meta::prepare_update(new, old);
                new["status"]["conditions"] = conditions;
                admission::admit_approval(self, kind, writer, new, old)?;
                resource.validate_status_update(new, old)
            }
            Part::Finalizers => {
                let wanted = new["spec"]["finalizers"].take();
                let managers = metadata(new).remove("managedFields");
                *new = old.clone();
                put_managers(new, managers);
                new["spec"]["finalizers"] = wanted;
                if new["spec"]["finalizers"]
                    .as_array()
                    .is_none_or(Vec::is_empty)
                    && let Some(spec) = new["spec"].as_object_mut()
                {
                    spec.remove("finalizers");
                }
                resource.strategy.validate(new)
            }
        };
        if !errors.is_empty() {
            return Err(Status::invalid(resource, name, &errors));
        }
        if part.is_whole() {
            self.allocation.assign(resource, new, Some(old))
        } else {
            Ok(Reservation::default())
        }
    }
}

/// Puts managers into an object that was made of another.
fn put_managers(object: &mut Value, managers: Option<Value>) {
    match managers {
        Some(managers) => metadata(object).insert("managedFields".into(), managers),
        None => metadata(object).remove("managedFields"),
    };
}

/// The object in stored bytes.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(bytes)
        .map_err(|error| Status::internal(format!("a stored object is not JSON: {error}")))
}

/// A client that names a resourceVersion wants exactly that state to be replaced.
fn check_revision(
    kind: &Kind,
    new: &Value,
    old: &Value,
    live: u64,
    part: Part,
) -> Result<(), Status> {
    let name = meta_text(old, "name");
    let given = meta_text(new, "resourceVersion");
    if given.is_empty() {
        if part.is_whole() && !kind.resource.strategy.unconditional_update() {
            // §13.3.
            let path = Path::new("metadata.resourceVersion");
            let error = FieldError::invalid(&path, 0, "must be specified for an update");
            return Err(Status::invalid(kind.resource, name, &[error]));
        }
        return Ok(());
    }
    let given = revision(given).map_err(|why| plain_error(500, why))?;
    if given == live {
        Ok(())
    } else {
        Err(Status::modified(kind.resource, name))
    }
}

/// A client that puts an object with a UID wants that very object replaced, not one of the same name that came after
/// it. In a patch a UID is a field like any other, and may not change.
fn check_uid(kind: &Kind, namespace: &str, new: &Value, old: &Value) -> Result<(), Status> {
    let (given, live, name) = (
        meta_text(new, "uid"),
        meta_text(old, "uid"),
        meta_text(old, "name"),
    );
    if given.is_empty() || given == live {
        return Ok(());
    }
    let place = if namespace.is_empty() {
        String::new()
    } else {
        format!("/{namespace}")
    };
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{}{place}/{name}, ResourceVersion: 0, \
         AdditionalErrorMsg: Precondition failed: UID in precondition: {given}, UID in object meta: {live}",
        kind.resource.plural
    );
    Err(Status::conflict(kind.resource, name, &why))
}

/// The revision is compared before and written by the store.
fn keep_system_fields(new: &mut Value, old: &Value) {
    metadata(new).insert(
        "resourceVersion".into(),
        old["metadata"]["resourceVersion"].clone(),
    );
}

/// Whether a terminating object has nothing left to wait for.
fn is_finished(kind: &Kind, object: &Value) -> bool {
    let metadata = &object["metadata"];
    if !metadata["deletionTimestamp"].is_string() || !finalizers(object).is_empty() {
        return false;
    }
    if kind.resource.plural == "namespaces" && kind.resource.group.is_empty() {
        return object["spec"]["finalizers"]
            .as_array()
            .is_none_or(Vec::is_empty);
    }
    metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
}

/// 409 in the name of a subresource.
pub(super) fn subresource_conflict(
    kind: &Kind,
    subresource: &str,
    name: &str,
    why: &str,
) -> Status {
    let resource = format!("{}/{subresource}", kind.resource.plural);
    let message = format!(
        "Operation cannot be fulfilled on {resource} {}: {why}",
        Value::from(name)
    );
    let details = Details {
        name: name.to_owned(),
        kind: resource,
        group: kind.resource.group.to_owned(),
        ..Details::default()
    };
    Status {
        code: 409,
        reason: "Conflict".into(),
        message,
        details: Some(details),
    }
}
