//! A live object: shared bytes, and the parsed header on which selectors run.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use plinth_api::{FieldSelector, Resource, Selector, Status};
use serde_json::Value;

/// What lists and watches must know of an object without parsing it.
#[derive(Debug)]
pub(crate) struct Header {
    /// Empty for cluster-wide objects.
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    /// Whether the object is being deleted.
    pub(crate) terminating: bool,
    /// An object of strings, or null.
    labels: Value,
    /// The kind's selectable fields besides name and namespace.
    fields: Vec<(&'static str, String)>,
}

impl Header {
    /// The header of a parsed object.
    pub(crate) fn of(resource: &Resource, object: &Value) -> Self {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        Self {
            namespace: text("namespace"),
            name: text("name"),
            uid: text("uid"),
            terminating: metadata["deletionTimestamp"].is_string(),
            labels: metadata["labels"].clone(),
            fields: resource.strategy.selectable_fields(object),
        }
    }

    /// The header of stored bytes, whose place is known from their key.
    pub(crate) fn parse(resource: &Resource, namespace: &str, name: &str, bytes: &[u8]) -> Self {
        let object: Value = serde_json::from_slice(bytes).unwrap_or_else(|error| {
            tracing::error!(kind = resource.kind, namespace, name, %error, "a stored object is not JSON");
            Value::Null
        });
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..Self::of(resource, &object)
        }
    }

    /// A field that selectors may name.
    pub(crate) fn field(&self, field: &str) -> Option<&str> {
        match field {
            "metadata.name" => Some(&self.name),
            "metadata.namespace" => Some(&self.namespace),
            _ => self
                .fields
                .iter()
                .find(|(name, _)| *name == field)
                .map(|(_, value)| value.as_str()),
        }
    }
}

/// One version of an object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) header: Arc<Header>,
    pub(crate) revision: u64,
    /// The object as JSON, with its resourceVersion inside.
    pub(crate) bytes: Bytes,
    parsed: OnceLock<Box<Value>>,
}

impl Object {
    pub(crate) fn new(header: Arc<Header>, revision: u64, bytes: Bytes) -> Self {
        Self {
            header,
            revision,
            bytes,
            parsed: OnceLock::new(),
        }
    }

    /// The object, parsed once and kept parsed: for the few that nearly every write looks at, such as namespaces and
    /// classes.
    pub(crate) fn parsed(&self) -> Result<&Value, Status> {
        if let Some(parsed) = self.parsed.get() {
            return Ok(parsed);
        }
        let parsed = serde_json::from_slice(&self.bytes).map_err(Status::internal)?;
        Ok(self.parsed.get_or_init(|| Box::new(parsed)))
    }
}

/// Which objects a list or watch is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// `None` is every namespace.
    pub(crate) namespace: Option<String>,
    pub(crate) labels: Selector,
    pub(crate) fields: FieldSelector,
    /// Conditions on fields that only the form of the kind asked for has.
    pub(crate) form_fields: FieldSelector,
}

impl Selection {
    /// The namespace and name of the only object that can be selected, if the selection says them.
    pub(crate) fn place(&self) -> Option<(&str, &str)> {
        let name = self.fields.exact("metadata.name")?;
        Some((self.namespace.as_deref()?, name))
    }

    /// Whether an object is selected.
    pub(crate) fn matches(&self, header: &Header) -> bool {
        self.namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == header.namespace)
            && self.fields.matches(|field| header.field(field))
            && self.labels.matches(&header.labels)
    }

    /// Whether an object in the form of the kind asked for is selected, given that its stored form is.
    pub(crate) fn matches_form(&self, header: &Header) -> bool {
        self.form_fields.matches(|field| header.field(field))
    }

    /// Whether selectors may leave objects out.
    pub(crate) fn selects(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty() || !self.form_fields.is_empty()
    }
}
