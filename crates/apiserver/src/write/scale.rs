//! `/scale`: the `autoscaling/v1` view of a workload's replicas.

use jiff::Timestamp;
use plinth_api::apply::{
    Author, Configuration, FieldSet, managers_from_scale, managers_of_scale, track,
};
use plinth_api::{FieldError, Gvk, Path, Status, TypeSchema, patch, scale, schema_of};
use serde_json::{Value, json};

use super::update::{Proposal, parse};
use super::{
    Incoming, Managing, Part, Written, apply, check_name, check_namespace, meta_text, timestamp,
};
use crate::http::media::{self, PatchBody};
use crate::kind::Kind;
use crate::query::revision;
use crate::read::plain_error;
use crate::server::Core;

pub(super) const SCALE: Gvk = Gvk::of("autoscaling", "v1", "Scale");

/// The Scale of a kind's object; 500 when a custom kind does not have its replicas where its definition says.
pub(crate) fn of(kind: &Kind, object: &Value) -> Result<Value, Status> {
    let Some(paths) = kind.resource.strategy.scale_paths() else {
        return Ok(scale::of(object));
    };
    let mut scale = scale::of(object);
    let wanted = paths.number(paths.replicas, object).ok_or_else(|| {
        Status::internal(format!(
            "the spec replicas field {:?} does not exist",
            paths.replicas
        ))
    })?;
    scale["spec"] = json!({});
    if wanted != 0 {
        scale["spec"]["replicas"] = wanted.into();
    }
    let there = paths.number(paths.status_replicas, object).unwrap_or(0);
    scale["status"] = json!({ "replicas": there });
    if let Some(selector) = paths.selector_of(object).filter(|text| !text.is_empty()) {
        scale["status"]["selector"] = selector.into();
    }
    Ok(scale)
}

/// The Scale of stored bytes.
pub(crate) fn of_bytes(kind: &Kind, bytes: &[u8]) -> Result<Value, Status> {
    parse(bytes).and_then(|object| of(kind, &object))
}

/// Changes the number of replicas.
pub(super) fn set_replicas(kind: &Kind, object: &mut Value, replicas: i64) {
    match kind.resource.strategy.scale_paths() {
        Some(paths) => paths.set(object, replicas),
        None => object["spec"]["replicas"] = replicas.into(),
    }
}

fn schema() -> Result<&'static TypeSchema, Status> {
    schema_of("autoscaling", "v1", "Scale")
        .ok_or_else(|| Status::internal("there is no schema for Scale"))
}

impl Core {
    /// PUT of a Scale.
    pub(crate) async fn replace_scale(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        incoming: &Incoming<'_>,
    ) -> Result<Written, Status> {
        let schema = schema()?;
        let decoded = incoming.decode(schema, &SCALE)?;
        let mut scale = decoded.object;
        check_name(&scale, name)?;
        check_namespace(&mut scale, namespace, kind.resource.namespaced())?;
        let propose = |live: &Value| {
            let before = managed_scale(kind, live)?;
            let mut scale = scale.clone();
            note(incoming, |author| {
                track(
                    schema,
                    &FieldSet::default(),
                    &author,
                    Some(&before),
                    &mut scale,
                );
            });
            rescaled(kind, live, &scale, decoded.warnings.clone())
        };
        self.scale(kind, namespace, name, incoming, propose).await
    }

    /// PATCH of a Scale.
    pub(crate) async fn patch_scale(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        incoming: &Incoming<'_>,
    ) -> Result<Written, Status> {
        let body = media::patch_body(incoming.headers)?;
        let schema = schema()?;
        let PatchBody::Patch(how) = body else {
            return self.apply_scale(kind, namespace, name, incoming).await;
        };
        let propose = |live: &Value| {
            let before = managed_scale(kind, live)?;
            let patched = patch::apply(
                how,
                schema,
                &before,
                incoming.body,
                incoming.options.validation,
            )
            .map_err(Status::from)?;
            check_name(&patched.object, name)?;
            let mut scale = patched.object;
            note(incoming, |author| {
                track(
                    schema,
                    &FieldSet::default(),
                    &author,
                    Some(&before),
                    &mut scale,
                );
            });
            rescaled(kind, live, &scale, patched.warnings)
        };
        self.scale(kind, namespace, name, incoming, propose).await
    }

    /// PATCH of a Scale with a configuration.
    async fn apply_scale(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        incoming: &Incoming<'_>,
    ) -> Result<Written, Status> {
        let schema = schema()?;
        let sent = apply::read(incoming)?;
        let propose = |live: &Value| {
            let scale = note(incoming, |author| {
                Configuration {
                    schema,
                    gvk: (SCALE.group, SCALE.version, SCALE.kind),
                    reset: &FieldSet::default(),
                    author,
                    force: incoming.options.force,
                    config: &sent.config,
                }
                .apply(Some(&managed_scale(kind, live)?))
            })?;
            let warnings = apply::said_twice(&sent, incoming.options.validation)?;
            let scale = apply::typed(schema, scale, &sent.config, &SCALE.api_version())?;
            check_name(&scale, name)?;
            rescaled(kind, live, &scale, warnings)
        };
        self.scale(kind, namespace, name, incoming, propose).await
    }

    async fn scale(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        incoming: &Incoming<'_>,
        propose: impl Fn(&Value) -> Result<Proposal, Status>,
    ) -> Result<Written, Status> {
        if kind.cache.get(namespace, name).is_none() {
            return Err(Status::subresource_not_found(kind.resource, "scale", name));
        }
        let written = self
            .update(
                kind,
                namespace,
                name,
                Part::Scale,
                &incoming.writer(),
                propose,
            )
            .await?;
        let scale = of_bytes(kind, &written.bytes)?;
        Ok(Written {
            bytes: scale.to_string().into(),
            ..written
        })
    }
}

/// The Scale of an object, with the managers of its number of replicas.
fn managed_scale(kind: &Kind, live: &Value) -> Result<Value, Status> {
    let mut scale = of(kind, live)?;
    managers_of_scale(live, replicas_path(kind), &mut scale);
    Ok(scale)
}

/// Where the kind has its number of replicas, without the leading dot that definitions write.
fn replicas_path(kind: &Kind) -> &'static str {
    let paths = kind.resource.strategy.scale_paths();
    paths.map_or("spec.replicas", |paths| {
        paths.replicas.trim_start_matches('.')
    })
}

/// Does something with the author of a write to a Scale.
fn note<T>(incoming: &Incoming<'_>, act: impl FnOnce(Author<'_>) -> T) -> T {
    act(Author {
        manager: &incoming.options.manager,
        api_version: &SCALE.api_version(),
        subresource: "scale",
        time: &timestamp(Timestamp::now()),
    })
}

/// The object with a Scale's replicas and their managers.
fn rescaled(
    kind: &Kind,
    live: &Value,
    scale: &Value,
    warnings: Vec<String>,
) -> Result<Proposal, Status> {
    let name = meta_text(live, "name");
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    let paths = kind.resource.strategy.scale_paths();
    if replicas < 0 && paths.is_none() {
        let error = FieldError::invalid(
            &Path::new("spec.replicas"),
            replicas,
            "must be greater than or equal to 0",
        );
        return Err(Status::invalid_kind("autoscaling", "Scale", name, &[error]));
    }
    let given = meta_text(scale, "resourceVersion");
    if !given.is_empty() {
        revision(given).map_err(|why| plain_error(500, why))?;
        if given != meta_text(live, "resourceVersion") {
            return Err(Status::modified(kind.resource, name));
        }
    }
    let uid = meta_text(scale, "uid");
    if !uid.is_empty() && uid != meta_text(live, "uid") {
        let live = meta_text(live, "uid");
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {live}");
        return Err(Status::conflict(kind.resource, name, &why));
    }
    let mut object = live.clone();
    set_replicas(kind, &mut object, replicas);
    managers_from_scale(
        scale,
        replicas_path(kind),
        &kind.gvk.api_version(),
        &mut object,
    );
    Ok(Proposal {
        object,
        warnings,
        managing: Managing::Done,
    })
}
