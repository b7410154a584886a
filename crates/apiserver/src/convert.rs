//! Between the form in which an object is stored and the form of the version a client speaks. It refuses to know
//! what the forms mean: the kinds' strategies do.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use plinth_api::{FieldSelector, Status, prune};
use plinth_store::Revision;
use serde_json::{Value, json};

use crate::cache::{Header, Object};
use crate::kind::Kind;
use crate::read::plain_error;
use crate::server::Core;
use crate::webhook::Hook;

/// How a kind's form and the stored one become each other.
pub(crate) enum Conversion {
    /// The kind is another form of a built-in one.
    Form {
        /// The kind in whose form objects are stored.
        stored: Arc<Kind>,
        /// The functions.
        by: &'static plinth_api::Conversion,
    },
    /// The kind is a version of a CustomResourceDefinition.
    Custom {
        /// The version in whose form objects are stored; `None` when it is this one.
        stored: Option<Arc<Kind>>,
        /// What translates.
        by: Translation,
    },
}

/// How versions of a custom kind become each other.
pub(crate) enum Translation {
    /// They differ in their label alone.
    Relabel,
    /// By somebody else's work.
    Webhook(Arc<Hook>),
}

impl Conversion {
    /// The kind in whose form objects are stored, when it is another.
    pub(crate) fn stored(&self) -> Option<&Kind> {
        match self {
            Self::Form { stored, .. } => Some(stored),
            Self::Custom { stored, .. } => stored.as_deref(),
        }
    }
}

/// A webhook has this long for a conversion.
const PATIENCE: Duration = Duration::from_secs(30);

impl Kind {
    /// Stored objects as this kind shows them.
    pub(crate) async fn formed(
        &self,
        core: &Core,
        stored: Vec<Arc<Object>>,
    ) -> Result<Vec<Arc<Object>>, Status> {
        let convert = |object: &Arc<Object>, value: &Value| {
            let header = Arc::new(Header::of(self.resource, value));
            let bytes = self.written(value, object.revision);
            Arc::new(Object::new(header, object.revision, bytes))
        };
        match &self.conversion {
            None => Ok(stored),
            Some(Conversion::Form { by, .. }) => stored
                .iter()
                .map(|object| {
                    Ok(convert(
                        object,
                        &(by.from_stored)(crate::read::parse(&object.bytes)?),
                    ))
                })
                .collect(),
            Some(Conversion::Custom { by, .. }) => {
                let mut formed = stored.clone();
                let foreign: Vec<usize> = (0..stored.len())
                    .filter(|at| !self.layout.wrote(&stored[*at].bytes))
                    .collect();
                let values = foreign
                    .iter()
                    .map(|at| crate::read::parse(&stored[*at].bytes));
                let values = values.collect::<Result<Vec<_>, _>>()?;
                for (at, mut value) in foreign
                    .into_iter()
                    .zip(by.translate(core, self, values).await?)
                {
                    self.tidy(&mut value);
                    formed[at] = convert(&stored[at], &value);
                }
                Ok(formed)
            }
        }
    }

    /// A custom resource as its version's schema wants it.
    fn tidy(&self, object: &mut Value) {
        prune(self.schema, object);
        self.resource.strategy.default(object);
    }

    /// One stored object as this kind shows it.
    pub(crate) async fn form(
        &self,
        core: &Core,
        stored: Arc<Object>,
    ) -> Result<Arc<Object>, Status> {
        if self.conversion.is_none() {
            return Ok(stored);
        }
        let mut formed = self.formed(core, vec![stored]).await?;
        formed
            .pop()
            .ok_or_else(|| Status::internal("a conversion lost its object"))
    }

    /// What was stored a moment ago, as this kind shows it.
    pub(crate) async fn form_of_bytes(
        &self,
        core: &Core,
        bytes: Bytes,
        revision: u64,
    ) -> Result<Bytes, Status> {
        if self.conversion.is_none() {
            return Ok(bytes);
        }
        let header = Arc::new(Header::parse(self.stored().resource, "", "", &bytes));
        let stored = Object::new(header, revision, bytes);
        Ok(self.form(core, Arc::new(stored)).await?.bytes.clone())
    }

    /// An object of this kind as it is stored.
    pub(crate) async fn unformed<'o>(
        &self,
        core: &Core,
        object: &'o Value,
    ) -> Result<Cow<'o, Value>, Status> {
        match &self.conversion {
            None | Some(Conversion::Custom { stored: None, .. }) => Ok(Cow::Borrowed(object)),
            Some(Conversion::Form { by, .. }) => Ok(Cow::Owned((by.to_stored)(object.clone()))),
            Some(Conversion::Custom {
                stored: Some(stored),
                by,
            }) => {
                let mut translated = by.translate(core, stored, vec![object.clone()]).await?;
                let mut object = translated
                    .pop()
                    .ok_or_else(|| Status::internal("a conversion lost its object"))?;
                stored.tidy(&mut object);
                Ok(Cow::Owned(object))
            }
        }
    }

    /// An object of this kind in the form of another kind whose objects are stored with this kind's.
    pub(crate) async fn turned_into(
        &self,
        core: &Core,
        object: &Value,
        to: &Self,
    ) -> Result<Value, Status> {
        let stored = self.unformed(core, object).await?.into_owned();
        match &to.conversion {
            None | Some(Conversion::Custom { stored: None, .. }) => Ok(stored),
            Some(Conversion::Form { by, .. }) => Ok((by.from_stored)(stored)),
            Some(Conversion::Custom { by, .. }) => {
                let mut translated = by.translate(core, to, vec![stored]).await?;
                let mut object = translated
                    .pop()
                    .ok_or_else(|| Status::internal("a conversion lost its object"))?;
                to.tidy(&mut object);
                Ok(object)
            }
        }
    }

    /// Takes those conditions out of a selector that hold of this kind's form only: headers of stored objects do not
    /// have the fields.
    pub(crate) fn own_conditions(&self, fields: &mut FieldSelector) -> FieldSelector {
        match &self.conversion {
            None | Some(Conversion::Custom { stored: None, .. }) => FieldSelector::default(),
            Some(_) => {
                fields.split_off(|field| !matches!(field, "metadata.name" | "metadata.namespace"))
            }
        }
    }

    /// The bytes of an object of this kind.
    fn written(&self, object: &Value, revision: u64) -> Bytes {
        self.layout.payload(object).at(Revision(revision))
    }
}

impl Translation {
    /// Objects of one definition in the version of `to`.
    async fn translate(
        &self,
        core: &Core,
        to: &Kind,
        mut objects: Vec<Value>,
    ) -> Result<Vec<Value>, Status> {
        let version = to.resource.api_version();
        match self {
            Self::Relabel => {
                for object in &mut objects {
                    object["apiVersion"] = version.as_str().into();
                }
                Ok(objects)
            }
            Self::Webhook(_) if objects.is_empty() => Ok(objects),
            Self::Webhook(hook) => reviewed(core, hook, &version, objects).await,
        }
    }
}

/// Has a webhook convert objects, and holds it to what it may not change.
async fn reviewed(
    core: &Core,
    hook: &Hook,
    version: &str,
    objects: Vec<Value>,
) -> Result<Vec<Value>, Status> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (from, kind) = (text(&objects[0]["apiVersion"]), text(&objects[0]["kind"]));
    let refuse = |why: String| {
        plain_error(
            500,
            format!("conversion webhook for {from}, Kind={kind} failed: {why}"),
        )
    };
    let uid = uuid::Uuid::new_v4().to_string();
    let review = json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1",
        "request": {"uid": uid, "desiredAPIVersion": version, "objects": objects}});
    let answer = hook.call(core, &review, PATIENCE).await;
    let answer = answer.map_err(|error| refuse(error.to_string()))?;
    let response = &answer["response"];
    if response["uid"] != uid.as_str() {
        let given = text(&response["uid"]);
        return Err(refuse(format!(
            "expected response.uid={uid:?}, got {given:?}"
        )));
    }
    if response["result"]["status"] != "Success" {
        let message = text(&response["result"]["message"]);
        return Err(refuse(if message.is_empty() {
            "response.result.status was not Success".to_owned()
        } else {
            message
        }));
    }
    let converted = response["convertedObjects"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    if converted.len() != objects.len() {
        return Err(refuse(format!(
            "webhook returned {} objects, expected {}",
            converted.len(),
            objects.len()
        )));
    }
    let held = |(at, (mut new, old)): (usize, (Value, &Value))| {
        if new["apiVersion"] != version {
            let given = text(&new["apiVersion"]);
            return Err(refuse(format!(
                "invalid converted object at index {at}: invalid groupVersion: {given}"
            )));
        }
        if new["kind"] != old["kind"] {
            return Err(refuse(format!(
                "invalid converted object at index {at}: invalid kind: {}",
                new["kind"]
            )));
        }
        for field in ["name", "namespace", "uid"] {
            if new["metadata"][field] != old["metadata"][field] {
                return Err(refuse(format!(
                    "invalid converted object at index {at}: invalid metadata: {field} may not be changed"
                )));
            }
        }
        // Only labels and annotations may be converted.
        let mut metadata = old["metadata"].clone();
        for field in ["labels", "annotations"] {
            match new["metadata"].get(field) {
                Some(value) => metadata[field] = value.clone(),
                None => drop(
                    metadata
                        .as_object_mut()
                        .and_then(|metadata| metadata.remove(field)),
                ),
            }
        }
        new["metadata"] = metadata;
        Ok(new)
    };
    converted
        .into_iter()
        .zip(&objects)
        .enumerate()
        .map(held)
        .collect()
}
