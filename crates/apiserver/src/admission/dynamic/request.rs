//! A request as admission sees it: what is to be done, to which object, by whom.

use std::borrow::Cow;
use std::sync::Arc;

use plinth_api::admission::{Answer, Asked, Authorizer, Check, Matching};
use plinth_api::{Gvk, Status};
use serde_json::{Value, json};

use crate::admission::Operation;
use crate::authentication::UserInfo;
use crate::authorization::{Attributes, Subject};
use crate::kind::Kind;
use crate::server::Core;
use crate::write::{DeleteOptions, Writer};

/// The group of policies and webhooks, which no policy and no webhook is asked about: it could not be mended.
pub(super) const GROUP: &str = "admissionregistration.k8s.io";

/// A request for an object.
#[derive(Clone, Copy)]
pub(crate) struct Request<'r> {
    pub(crate) operation: Operation,
    /// The kind of the path.
    pub(crate) kind: &'r Kind,
    /// What the object in the request is, which need not be of the path's kind.
    pub(crate) gvk: Gvk,
    /// May be empty.
    pub(crate) subresource: &'r str,
    pub(crate) namespace: &'r str,
    /// Empty when the server makes it up.
    pub(crate) name: &'r str,
    pub(crate) writer: &'r Writer<'r>,
    pub(crate) options: Options<'r>,
}

/// The parameters of a request.
#[derive(Clone, Copy)]
pub(crate) enum Options<'r> {
    /// Those of its writer.
    Write,
    /// Those of a deletion.
    Delete(&'r DeleteOptions),
    /// A connection has none.
    None,
}

impl<'r> Request<'r> {
    /// A request for an object of the path's kind.
    pub(crate) fn new(
        operation: Operation,
        kind: &'r Kind,
        place: (&'r str, &'r str),
        writer: &'r Writer<'r>,
    ) -> Self {
        Self {
            operation,
            kind,
            gvk: kind.gvk,
            subresource: "",
            namespace: place.0,
            name: place.1,
            writer,
            options: Options::Write,
        }
    }

    /// Whether anybody is asked about it.
    pub(super) fn is_reviewed(&self) -> bool {
        self.writer.origin.is_some() && self.kind.resource.group != GROUP
    }

    pub(super) fn is_dry_run(&self) -> bool {
        match self.options {
            Options::Delete(options) => options.dry_run,
            _ => self.writer.dry_run,
        }
    }

    /// What rules look at.
    pub(super) fn asked(&self) -> Asked<'r> {
        self.asked_as(self.kind)
    }

    fn asked_as(&self, kind: &'r Kind) -> Asked<'r> {
        let resource = kind.resource;
        let asked = Asked {
            operation: self.operation.name(),
            group: resource.group,
            version: resource.version,
            resource: resource.plural,
            subresource: self.subresource,
            namespace: self.namespace,
            name: self.name,
        };
        Asked {
            namespace: if asked.is_namespace() {
                self.name
            } else {
                self.namespace
            },
            ..asked
        }
    }

    /// The name of the namespace the object is in.
    pub(super) fn namespace(&self) -> &'r str {
        if self.asked().is_namespace() {
            ""
        } else {
            self.namespace
        }
    }

    /// The other kinds that are forms of this request's.
    pub(super) fn others(&self, core: &Core) -> Vec<Arc<Kind>> {
        core.kinds
            .iter()
            .filter(|kind| {
                kind.storage == self.kind.storage
                    && !std::ptr::eq(kind.resource, self.kind.resource)
            })
            .collect()
    }

    /// The kind in whose form something wants to see the request, when it is about the request at all.
    pub(super) fn met_by<'k>(
        &'k self,
        core: &Core,
        matching: &Matching,
        others: &'k [Arc<Kind>],
        (object, old): (Option<&Value>, Option<&Value>),
    ) -> Option<&'k Kind> {
        if !self.selected(core, matching, object) || !matching.object(object, old) {
            return None;
        }
        let own = self.asked();
        let asked: Vec<Asked<'_>> = others.iter().map(|kind| self.asked_as(kind)).collect();
        let met = matching.by_rules(&own, &asked)?;
        let found = others
            .iter()
            .find(|kind| (kind.resource.group, kind.resource.version) == (met.group, met.version));
        Some(found.map_or(self.kind, |kind| &**kind))
    }

    /// Whether the namespace is one that is meant. Cluster-wide objects always are.
    fn selected(&self, core: &Core, matching: &Matching, object: Option<&Value>) -> bool {
        let asked = self.asked();
        if !matching.selects_namespaces() || (asked.namespace.is_empty() && !asked.is_namespace()) {
            return true;
        }
        if asked.is_namespace()
            && self.subresource.is_empty()
            && let Some(object) = object
        {
            return matching.in_namespace(&object["metadata"]["labels"]);
        }
        let namespace = namespace_object(core, asked.namespace);
        matching.in_namespace(&namespace.unwrap_or_default()["metadata"]["labels"])
    }

    /// The `AdmissionRequest` without objects, as whoever sees the request in the form of `kind` sees it.
    pub(super) fn value(&self, kind: &Kind) -> Value {
        let gvk = |gvk: Gvk| json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind});
        let resource = |kind: &Kind| {
            let of = kind.resource;
            json!({"group": of.group, "version": of.version, "resource": of.plural})
        };
        let met = if std::ptr::eq(kind, self.kind) {
            self.gvk
        } else {
            kind.gvk
        };
        let mut request = json!({
            "kind": gvk(met), "resource": resource(kind),
            "requestKind": gvk(self.gvk), "requestResource": resource(self.kind),
            "operation": self.operation.name(), "userInfo": self.writer.user.to_value(),
            "dryRun": self.is_dry_run(), "options": self.options(),
        });
        let asked = self.asked();
        for (field, text) in [
            ("subResource", self.subresource),
            ("requestSubResource", self.subresource),
            ("name", self.name),
            ("namespace", asked.namespace),
        ] {
            if !text.is_empty() {
                request[field] = text.into();
            }
        }
        request
    }

    /// The objects in the form of another kind.
    pub(super) async fn seen_as<'o>(
        &self,
        core: &Core,
        kind: &Kind,
        (object, old): (Option<&'o Value>, Option<&'o Value>),
    ) -> Result<(Option<Cow<'o, Value>>, Option<Cow<'o, Value>>), Status> {
        let same = std::ptr::eq(kind, self.kind) || self.gvk != self.kind.gvk;
        let mut seen = [None, None];
        for (place, object) in seen.iter_mut().zip([object, old]) {
            *place = match object {
                Some(object) if same => Some(Cow::Borrowed(object)),
                Some(object) => Some(Cow::Owned(self.kind.turned_into(core, object, kind).await?)),
                None => None,
            };
        }
        let [object, old] = seen;
        Ok((object, old))
    }

    /// Tells the client something.
    pub(super) fn warn(&self, text: String) {
        if let Some(origin) = &self.writer.origin {
            origin.notes.warn(text);
        }
    }

    /// Tells the audit log something.
    pub(super) fn annotate(&self, key: String, value: String) {
        if let Some(origin) = &self.writer.origin {
            origin.notes.annotate(key, value);
        }
    }

    fn options(&self) -> Value {
        match self.options {
            Options::None => Value::Null,
            Options::Delete(options) => options.to_value(),
            Options::Write => {
                let kind = match self.operation {
                    Operation::Create => "CreateOptions",
                    _ => "UpdateOptions",
                };
                let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
                if self.writer.dry_run {
                    options["dryRun"] = json!(["All"]);
                }
                if let Some(origin) = &self.writer.origin {
                    for field in ["fieldManager", "fieldValidation"] {
                        if let Some(text) = origin.query.text(field) {
                            options[field] = text.into();
                        }
                    }
                }
                options
            }
        }
    }

    /// 403 about the object of the request.
    pub(super) fn forbidden(&self, object: Option<&Value>, why: &str) -> Status {
        let of = |field: &str| {
            let text = object.and_then(|object| object["metadata"][field].as_str());
            text.filter(|text| !text.is_empty())
        };
        let name = if self.name.is_empty() {
            of("name")
                .or_else(|| of("generateName"))
                .unwrap_or("Unknown")
        } else {
            self.name
        };
        Status::forbidden(self.kind.resource, name, why)
    }
}

/// A namespace as it is.
pub(super) fn namespace_object(core: &Core, name: &str) -> Option<Value> {
    let namespaces = core.kinds.core("namespaces")?;
    let namespace = namespaces.cache.get("", name)?;
    serde_json::from_slice(&namespace.bytes).ok()
}

/// This server as expressions ask it who may do what.
pub(super) struct Permissions<'r> {
    pub(super) core: &'r Core,
    pub(super) user: &'r UserInfo,
}

impl Authorizer for Permissions<'_> {
    fn answer(&self, check: &Check) -> Answer {
        let account = check
            .service_account
            .as_ref()
            .map(|(namespace, name)| UserInfo::service_account(namespace, name).authenticated());
        let attributes = Attributes {
            user: account.as_ref().unwrap_or(self.user),
            verb: &check.verb,
            subject: if check.path.is_empty() {
                Subject::Resource {
                    group: &check.group,
                    resource: &check.resource,
                    subresource: &check.subresource,
                    namespace: &check.namespace,
                    name: &check.name,
                }
            } else {
                Subject::Path(&check.path)
            },
            selectors: None,
        };
        let decision = self.core.decide(&attributes);
        Answer {
            allowed: decision.allowed,
            reason: decision.reason,
        }
    }
}
