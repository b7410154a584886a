//! `/scale`: the `autoscaling/v1` view of a workload's replicas.

use plinth_api::{FieldError, Gvk, Path, Status, TypeSchema, patch, scale, schema_of};
use serde_json::{Value, json};

use super::update::{Proposal, parse};
use super::{Incoming, Part, Written, check_name, check_namespace, meta_text};
use crate::http::media;
use crate::kind::Kind;
use crate::query::revision;
use crate::read::plain_error;
use crate::server::Core;

const SCALE: Gvk = Gvk::of("autoscaling", "v1", "Scale");

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
        let decoded = incoming.decode(schema()?, &SCALE)?;
        let mut scale = decoded.object;
        check_name(&scale, name)?;
        check_namespace(&mut scale, namespace, kind.resource.namespaced())?;
        let propose = |live: &Value| rescaled(kind, live, &scale, decoded.warnings.clone());
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
        let how = media::patch_kind(incoming.headers)?;
        let schema = schema()?;
        let propose = |live: &Value| {
            let patched = patch::apply(
                how,
                schema,
                &of(kind, live)?,
                incoming.body,
                incoming.options.validation,
            )
            .map_err(Status::from)?;
            check_name(&patched.object, name)?;
            rescaled(kind, live, &patched.object, patched.warnings)
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
                Part::Main,
                incoming.options.dry_run,
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

/// The object with a Scale's replicas.
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
    match paths {
        Some(paths) => paths.set(&mut object, replicas),
        None => object["spec"]["replicas"] = replicas.into(),
    }
    Ok(Proposal { object, warnings })
}
