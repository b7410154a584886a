//! What the API server must know of a kind, as data plus one strategy. Pure: no I/O and no clock.

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::Value;

use crate::field::FieldError;
use crate::jsonpath::JsonPath;
use crate::resources::object::{ensure, put};
use crate::{meta, resources};

/// Where objects of a kind live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster as a whole.
    Cluster,
}

/// A path below an object that is served apart from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subresource {
    /// `/status`: the same kind, only its status may change.
    Status,
    /// `/scale`: an autoscaling/v1 Scale.
    Scale,
    /// `/log`: a pod's log, plain text.
    Log,
    /// `/binding`: assigns a pod to a node.
    Binding,
    /// `/ephemeralcontainers`: the same kind, only its ephemeral containers may change.
    EphemeralContainers,
    /// `/eviction`: deletes a pod unless that breaks a disruption budget.
    Eviction,
    /// `/finalize`: a namespace's `spec.finalizers`.
    Finalize,
    /// `/resize`: the same kind, only what its containers ask for may change.
    Resize,
    /// `/exec`: runs a program in a container.
    Exec,
    /// `/attach`: joins a container's streams.
    Attach,
    /// `/portforward`: reaches a pod's ports.
    PortForward,
    /// `/proxy`: speaks HTTP with what is behind the object.
    Proxy,
    /// `/token`: issues a token of a ServiceAccount.
    Token,
    /// `/approval`: the same kind, only the conditions of its status may change.
    Approval,
}

impl Subresource {
    /// The path segment.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Log => "log",
            Self::Binding => "binding",
            Self::EphemeralContainers => "ephemeralcontainers",
            Self::Eviction => "eviction",
            Self::Finalize => "finalize",
            Self::Resize => "resize",
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::PortForward => "portforward",
            Self::Proxy => "proxy",
            Self::Token => "token",
            Self::Approval => "approval",
        }
    }

    /// The verbs discovery lists for it, sorted.
    pub fn verbs(self) -> &'static [&'static str] {
        match self {
            Self::Status
            | Self::Scale
            | Self::EphemeralContainers
            | Self::Resize
            | Self::Approval => &["get", "patch", "update"],
            Self::Log => &["get"],
            Self::Binding | Self::Eviction | Self::Token => &["create"],
            Self::Finalize => &["update"],
            Self::Exec | Self::Attach | Self::PortForward => &["create", "get"],
            Self::Proxy => &["create", "delete", "get", "patch", "update"],
        }
    }

    /// The kind of the options of a subresource that connects, which discovery names for it.
    pub fn options_kind(self, of: &Resource) -> Option<&'static str> {
        Some(match (self, of.kind) {
            (Self::Exec, _) => "PodExecOptions",
            (Self::Attach, _) => "PodAttachOptions",
            (Self::PortForward, _) => "PodPortForwardOptions",
            (Self::Proxy, "Pod") => "PodProxyOptions",
            (Self::Proxy, "Service") => "ServiceProxyOptions",
            (Self::Proxy, "Node") => "NodeProxyOptions",
            _ => return None,
        })
    }

    /// Whether requests are connected through to where the object is, instead of reading or writing it.
    pub fn connects(self) -> bool {
        matches!(
            self,
            Self::Exec | Self::Attach | Self::PortForward | Self::Proxy
        )
    }
}

/// One column of the Table form of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The heading, in title case; kubectl prints it upper-case.
    pub name: &'static str,
    /// OpenAPI type: `string`, `integer`, `boolean`.
    pub kind: &'static str,
    /// OpenAPI format; `name` marks the column that identifies the object.
    pub format: &'static str,
    /// What the column shows.
    pub description: &'static str,
    /// 0 is always shown, 1 only with `-o wide`.
    pub priority: i32,
}

/// A kind of object: how it is named, where it lives, what may be done with it.
pub struct Resource {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Kind, as in `StatefulSet`.
    pub kind: &'static str,
    /// Kind of a list, as in `StatefulSetList`.
    pub list_kind: &'static str,
    /// Path segment, as in `statefulsets`.
    pub plural: &'static str,
    /// Singular name, as in `statefulset`.
    pub singular: &'static str,
    /// Short names kubectl accepts, as in `sts`.
    pub short_names: &'static [&'static str],
    /// Categories kubectl accepts, as in `all`.
    pub categories: &'static [&'static str],
    /// Namespaced or cluster-wide.
    pub scope: Scope,
    /// The verbs discovery lists, sorted.
    pub verbs: &'static [&'static str],
    /// Subresources served below an object.
    pub subresources: &'static [Subresource],
    /// Columns of the Table form.
    pub columns: &'static [Column],
    /// The rules of this kind.
    pub strategy: &'static dyn Strategy,
}

/// The verbs of a kind without restrictions, in discovery's order.
pub const ALL_VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// Where a custom kind keeps what `/scale` shows, as JSON paths of fields.
#[derive(Debug, Clone)]
pub struct ScalePaths {
    /// The wanted replicas.
    pub replicas: &'static str,
    /// The replicas there are.
    pub status_replicas: &'static str,
    /// A label selector as text.
    pub selector: Option<&'static str>,
}

impl ScalePaths {
    /// The whole number at a path.
    pub fn number(&self, path: &str, object: &Value) -> Option<i64> {
        JsonPath::parse(path)?.first(object)?.as_i64()
    }

    /// The selector as text.
    pub fn selector_of<'o>(&self, object: &'o Value) -> Option<&'o str> {
        JsonPath::parse(self.selector?)?.first(object)?.as_str()
    }

    /// Writes the wanted replicas.
    pub fn set(&self, object: &mut Value, replicas: i64) {
        let path = JsonPath::parse(self.replicas);
        let Some((last, above)) = path.as_ref().and_then(JsonPath::fields).and_then(|names| {
            let (last, above) = names.split_last()?;
            Some((
                (*last).to_owned(),
                above
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect::<Vec<_>>(),
            ))
        }) else {
            return;
        };
        let holder = above
            .iter()
            .fold(object, |object, name| ensure(object, name));
        put(holder, &last, replicas.into());
    }
}

/// What makes a kind another form of one that is stored, as autoscaling/v1 is of autoscaling/v2. Requests in this form
/// go through this kind's own strategy; only reading and committing convert.
pub struct Conversion {
    /// Group, version and plural name of the kind in whose form objects are stored.
    pub stored: (&'static str, &'static str, &'static str),
    /// The object in this kind's form; must lose nothing that [`Conversion::to_stored`] cannot bring back.
    pub from_stored: fn(Value) -> Value,
    /// The object in the stored form.
    pub to_stored: fn(Value) -> Value,
}

/// The rules of one kind. Every method has the body that fits a kind without special rules.
///
/// Objects are complete API objects with `apiVersion` and `kind`.
pub trait Strategy: Sync {
    /// Fills in API defaults. Idempotent; runs after every decode and patch, on create and update.
    fn default(&self, _object: &mut Value) {}

    /// Brings a new object into its first state: client-sent status dropped, `metadata.generation` where kept.
    fn prepare_create(&self, _object: &mut Value) {}

    /// Takes from `old` what a main-resource update may not change, and counts the generation.
    fn prepare_update(&self, _new: &mut Value, _old: &Value) {}

    /// Faults of a new object, besides those of its metadata.
    fn validate(&self, _object: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    /// Faults of an update, besides those of its metadata.
    fn validate_update(&self, _new: &Value, _old: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    /// Takes from `old` everything a status update may not change.
    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        resources::keep_all_but_status(new, old);
    }

    /// Faults of a status update, besides those of its metadata.
    fn validate_status_update(&self, _new: &Value, _old: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    /// Takes from `old` everything an update of a part of the object may not change. Only asked about subresources
    /// that change a part of their own: [`Subresource::EphemeralContainers`], [`Subresource::Resize`].
    fn prepare_part_update(&self, _part: Subresource, new: &mut Value, old: &Value) {
        *new = old.clone();
    }

    /// Faults of an update of a part, besides those of its metadata.
    fn validate_part_update(
        &self,
        _part: Subresource,
        _new: &Value,
        _old: &Value,
    ) -> Vec<FieldError> {
        Vec::new()
    }

    /// Texts for `Warning` headers of a create (`old` is `None`) or an update.
    fn warnings(&self, _new: &Value, _old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }

    /// The cells of a Table row, one per column.
    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![meta::name(object).into(), crate::table::age(object, now)]
    }

    /// The metadata a Table row carries.
    fn row_metadata(&self, object: &Value) -> Value {
        object["metadata"].clone()
    }

    /// Conditions of a Table row, besides its cells (K-9).
    fn row_conditions(&self, _object: &Value) -> Vec<Value> {
        Vec::new()
    }

    /// Fields a field selector may name, besides `metadata.name` and `metadata.namespace` (K-23).
    /// The names do not depend on the object; any object (or null) gives them all.
    fn selectable_fields(&self, _object: &Value) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The order in which the fields of a status are written, as far as clients are known to show them
    /// as they come; others follow by name.
    fn status_order(&self) -> &'static [&'static str] {
        &[]
    }

    /// The seconds a deletion is graceful for; `None` deletes at once.
    fn grace_period(&self, _object: &Value, _requested: Option<i64>) -> Option<i64> {
        None
    }

    /// Dotted paths of fields that the endpoint of a subresource (or with an empty name, of the object) cannot
    /// change: whoever sends them there does not come to manage them.
    fn reset_fields(&self, subresource: &str) -> &'static [&'static str] {
        match subresource {
            "" => &["status"],
            "status" => &["spec"],
            _ => &[],
        }
    }

    /// Whether objects are kept; those of other kinds are questions, answered at once.
    fn stored(&self) -> bool {
        true
    }

    /// Whether an update without a resourceVersion overwrites.
    fn unconditional_update(&self) -> bool {
        true
    }

    /// Whether a PUT of an absent object creates it.
    fn create_on_update(&self) -> bool {
        false
    }

    /// Whether a deletion that names no policy leaves dependents behind (G-3).
    fn orphans_by_default(&self) -> bool {
        false
    }

    /// A `Warning` text for deletions that name no policy.
    fn deletion_warning(&self) -> Option<&'static str> {
        None
    }

    /// Whether a deletion is answered with the object even when it is gone at once.
    fn shown_when_deleted(&self) -> bool {
        false
    }

    /// What a 404 calls the resource, where upstream does not use the name in the path.
    fn name_when_missing(&self) -> Option<&'static str> {
        None
    }

    /// A `Warning` text that every answer about this kind carries.
    fn deprecation(&self) -> Option<&'static str> {
        None
    }

    /// Where `/scale` finds the replicas of a custom kind; built-in kinds have them where everybody knows.
    fn scale_paths(&self) -> Option<&ScalePaths> {
        None
    }

    /// Set for a kind that is only another form of a stored one.
    fn conversion(&self) -> Option<&'static Conversion> {
        None
    }

    /// The rule `metadata.name` follows.
    fn name_rule(&self) -> crate::names::Rule {
        crate::names::dns1123_subdomain
    }
}

impl Resource {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `pods` or `statefulsets.apps`, as messages name the resource.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// The group in whose form objects are stored: what goes wrong there is told in its name.
    pub fn stored_group(&self) -> &'static str {
        self.strategy
            .conversion()
            .map_or(self.group, |conversion| conversion.stored.0)
    }

    /// Whether objects live in namespaces.
    pub fn namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Whether the subresource is served for this kind.
    pub fn has(&self, subresource: Subresource) -> bool {
        self.subresources.contains(&subresource)
    }

    /// Brings a new object into its first state; the server has filled in name, uid and creationTimestamp.
    pub fn prepare_create(&self, object: &mut Value) {
        meta::prepare_create(object);
        self.strategy.prepare_create(object);
    }

    /// Takes from the stored object what an update of the main resource may not change.
    pub fn prepare_update(&self, new: &mut Value, old: &Value) {
        meta::prepare_update(new, old);
        self.strategy.prepare_update(new, old);
    }

    /// Takes from the stored object what an update of `/status` may not change.
    pub fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        meta::prepare_update(new, old);
        self.strategy.prepare_status_update(new, old);
    }

    /// All faults of a new object: metadata first, then the kind's own.
    pub fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = meta::validate(object, self.scope, self.strategy.name_rule());
        errors.extend(self.strategy.validate(object));
        errors
    }

    /// All faults of an update of the main resource.
    pub fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = metadata_update(new, old);
        errors.extend(self.strategy.validate_update(new, old));
        errors
    }

    /// Takes from the stored object what an update of this part may not change.
    pub fn prepare_part_update(&self, part: Subresource, new: &mut Value, old: &Value) {
        meta::prepare_update(new, old);
        self.strategy.prepare_part_update(part, new, old);
    }

    /// All faults of an update of this part.
    pub fn validate_part_update(
        &self,
        part: Subresource,
        new: &Value,
        old: &Value,
    ) -> Vec<FieldError> {
        let mut errors = metadata_update(new, old);
        errors.extend(self.strategy.validate_part_update(part, new, old));
        errors
    }

    /// All faults of an update of `/status`.
    pub fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = metadata_update(new, old);
        errors.extend(self.strategy.validate_status_update(new, old));
        errors
    }
}

/// Upstream checks the metadata of an update once for all kinds and once for each, and lists both causes.
fn metadata_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = meta::validate_update(new, old);
    errors.extend_from_within(..);
    errors
}

static CATALOGUE: LazyLock<Vec<Resource>> = LazyLock::new(resources::all);

/// Every kind the cluster stores, in the order discovery lists them.
pub fn catalogue() -> &'static [Resource] {
    &CATALOGUE
}

/// The kind served at `/apis/<group>/<version>/<plural>`.
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    catalogue()
        .iter()
        .find(|r| r.group == group && r.version == version && r.plural == plural)
}

/// The kind of objects with this group, version and kind.
pub fn find_kind(group: &str, version: &str, kind: &str) -> Option<&'static Resource> {
    catalogue()
        .iter()
        .find(|r| r.group == group && r.version == version && r.kind == kind)
}
