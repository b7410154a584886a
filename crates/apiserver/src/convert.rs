//! Between the form in which an object is stored and the form of the version a client speaks. It refuses to know
//! what the forms mean: the kinds' strategies do.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use plinth_api::{FieldSelector, Status};
use plinth_store::Revision;
use serde_json::Value;

use crate::cache::{Header, Object};
use crate::kind::Kind;

/// How a kind's form and the stored one become each other.
pub(crate) enum Conversion {
    /// The kind is another form of a built-in one.
    Form {
        /// The kind in whose form objects are stored.
        stored: Arc<Kind>,
        /// The functions.
        by: &'static plinth_api::Conversion,
    },
}

impl Kind {
    /// Stored objects as this kind shows them.
    #[expect(
        clippy::unused_async,
        reason = "a conversion may be somebody else's work"
    )]
    pub(crate) async fn formed(
        &self,
        stored: Vec<Arc<Object>>,
    ) -> Result<Vec<Arc<Object>>, Status> {
        match &self.conversion {
            None => Ok(stored),
            Some(Conversion::Form { by, .. }) => stored
                .iter()
                .map(|object| {
                    let value = (by.from_stored)(crate::read::parse(&object.bytes)?);
                    Ok(Arc::new(Object {
                        header: Arc::new(Header::of(self.resource, &value)),
                        revision: object.revision,
                        bytes: self.written(&value, object.revision),
                    }))
                })
                .collect(),
        }
    }

    /// One stored object as this kind shows it.
    pub(crate) async fn form(&self, stored: Arc<Object>) -> Result<Arc<Object>, Status> {
        if self.conversion.is_none() {
            return Ok(stored);
        }
        let mut formed = self.formed(vec![stored]).await?;
        formed
            .pop()
            .ok_or_else(|| Status::internal("a conversion lost its object"))
    }

    /// What was stored a moment ago, as this kind shows it.
    pub(crate) async fn form_of_bytes(&self, bytes: Bytes, revision: u64) -> Result<Bytes, Status> {
        if self.conversion.is_none() {
            return Ok(bytes);
        }
        let header = Arc::new(Header::parse(self.stored().resource, "", "", &bytes));
        let stored = Object {
            header,
            revision,
            bytes,
        };
        Ok(self.form(Arc::new(stored)).await?.bytes.clone())
    }

    /// An object of this kind as it is stored.
    #[expect(
        clippy::unused_async,
        reason = "a conversion may be somebody else's work"
    )]
    pub(crate) async fn unformed<'o>(&self, object: &'o Value) -> Result<Cow<'o, Value>, Status> {
        Ok(match &self.conversion {
            None => Cow::Borrowed(object),
            Some(Conversion::Form { by, .. }) => Cow::Owned((by.to_stored)(object.clone())),
        })
    }

    /// Takes those conditions out of a selector that hold of this kind's form only: headers of stored objects do not
    /// have the fields.
    pub(crate) fn own_conditions(&self, fields: &mut FieldSelector) -> FieldSelector {
        match &self.conversion {
            None => FieldSelector::default(),
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

#[cfg(test)]
mod tests {
    use plinth_api::{Gvk, Resource, Strategy, find, schema_of};
    use serde_json::json;

    use super::*;
    use crate::encode::Layout;
    use crate::kind::Kinds;

    /// A form of ConfigMaps that keeps its data under another name.
    struct Renamed;

    impl Strategy for Renamed {
        fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
            vec![(
                "entries.a",
                object["entries"]["a"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            )]
        }
    }

    fn renamed(mut object: Value, from: &str, to: &str) -> Value {
        let content = object[from].take();
        let fields = object.as_object_mut().unwrap();
        fields.remove(from);
        fields.insert(to.to_owned(), content);
        object
    }

    static CONVERSION: plinth_api::Conversion = plinth_api::Conversion {
        stored: ("", "v1", "configmaps"),
        from_stored: |object| renamed(object, "data", "entries"),
        to_stored: |object| renamed(object, "entries", "data"),
    };

    fn form() -> Kind {
        let stored = Kinds::new().unwrap().core("configmaps").unwrap();
        let resource: &'static Resource = Box::leak(Box::new(Resource {
            group: "forms.example.com",
            kind: "Entries",
            list_kind: "EntriesList",
            plural: "entries",
            singular: "entries",
            strategy: &Renamed,
            version: "v1",
            short_names: &[],
            categories: &[],
            scope: plinth_api::Scope::Namespaced,
            verbs: plinth_api::ALL_VERBS,
            subresources: &[],
            columns: &[],
        }));
        Kind {
            resource,
            schema: schema_of("", "v1", "ConfigMap").unwrap(),
            gvk: Gvk::of("forms.example.com", "v1", "Entries"),
            layout: Layout::of(resource),
            cache: stored.cache.clone(),
            storage: stored.storage.clone(),
            conversion: Some(Conversion::Form {
                stored,
                by: &CONVERSION,
            }),
        }
    }

    #[tokio::test]
    async fn objects_are_shown_in_the_form_of_the_kind_and_stored_in_the_other() {
        let kind = form();
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
                            "metadata": {"name": "x", "namespace": "ns", "resourceVersion": "7"}});
        let configmaps = find("", "v1", "configmaps").unwrap();
        let stored = Arc::new(Object {
            header: Arc::new(Header::of(configmaps, &object)),
            revision: 7,
            bytes: object.to_string().into(),
        });
        let shown = kind.form(stored).await.unwrap();
        let shown_object: Value = serde_json::from_slice(&shown.bytes).unwrap();
        let expected = json!({"apiVersion": "forms.example.com/v1", "kind": "Entries", "entries": {"a": "b"},
                              "metadata": {"name": "x", "namespace": "ns", "resourceVersion": "7"}});
        assert_eq!(shown_object, expected);
        assert_eq!(
            kind.unformed(&shown_object).await.unwrap()["data"],
            object["data"]
        );

        let mut fields = FieldSelector::parse("metadata.name=x,entries.a=b").unwrap();
        let form_fields = kind.own_conditions(&mut fields);
        assert_eq!(fields.to_string(), "metadata.name=x");
        let selection = crate::cache::Selection {
            form_fields,
            ..Default::default()
        };
        assert!(selection.matches_form(&shown.header));
    }
}
