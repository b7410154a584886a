//! The shapes of the built-in kinds: fields, types, list keys and patch strategies, as one static table.
//! It refuses to know what any field means.

mod equality;
#[rustfmt::skip]
mod generated;
mod inline;
mod pointers;

pub use equality::semantically_equal;
pub(crate) use inline::{is_inline, is_printed};
pub(crate) use pointers::keeps_zero;

use crate::structural::Structural;

/// A group, a version and a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// API version within the group, such as `v1`.
    pub version: &'static str,
    /// Kind, such as `StatefulSet`.
    pub kind: &'static str,
}

impl Gvk {
    /// The three parts as one value.
    pub const fn of(group: &'static str, version: &'static str, kind: &'static str) -> Self {
        Self {
            group,
            version,
            kind,
        }
    }

    /// `v1` for the core group, `group/version` otherwise: the text of `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// One object type of the API.
#[derive(Debug)]
pub struct TypeSchema {
    /// Definition name as in published OpenAPI documents, such as `io.k8s.api.apps.v1.StatefulSet`.
    pub name: &'static str,
    /// Fields, sorted by name.
    pub fields: &'static [FieldSchema],
    /// The group, version and kind this type is served as; none for parts of other types and for types that many
    /// groups share, such as `DeleteOptions`.
    pub gvk: Option<Gvk>,
    /// Whether server-side apply owns the whole object at once.
    pub atomic: bool,
    /// Whether objects keep fields that are not listed here.
    pub open: bool,
    /// What the definition of a custom kind says beyond the shape; none for built-in types.
    pub(crate) custom: Option<&'static Declared>,
}

/// The schema of a custom kind.
#[derive(Debug)]
pub(crate) struct Declared {
    /// Compiled: it decodes, prunes, fills in defaults and judges.
    pub(crate) structural: &'static Structural,
    /// As it was written, for published documents.
    pub(crate) schema: serde_json::Value,
}

impl TypeSchema {
    /// The field of that JSON name.
    pub fn field(&self, name: &str) -> Option<&'static FieldSchema> {
        self.fields
            .binary_search_by_key(&name, |field| field.name)
            .ok()
            .map(|at| &self.fields[at])
    }

    /// The last part of the definition name: `StatefulSetSpec`.
    pub fn short_name(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// The type as Go prints it, such as `v1.StatefulSetSpec`, which decoding errors show.
    pub(crate) fn go_name(&self) -> String {
        let mut parts = self.name.rsplit('.');
        let name = parts.next().unwrap_or_default();
        format!("{}.{name}", parts.next().unwrap_or_default())
    }

    /// Whether this is a kind that a CustomResourceDefinition made.
    pub fn is_custom(&self) -> bool {
        self.custom.is_some()
    }

    /// Whether objects of this type are lists of other objects.
    pub(crate) fn is_list(&self) -> bool {
        self.gvk.is_some_and(|gvk| gvk.kind.ends_with("List")) && self.field("items").is_some()
    }

    const fn kind(
        mut self,
        group: &'static str,
        version: &'static str,
        kind: &'static str,
    ) -> Self {
        self.gvk = Some(Gvk::of(group, version, kind));
        self
    }

    const fn atomic(mut self) -> Self {
        self.atomic = true;
        self
    }
}

/// One field of an object type.
#[derive(Debug, Clone, Copy)]
pub struct FieldSchema {
    /// JSON name.
    pub name: &'static str,
    /// What the field holds.
    pub ty: Type,
    /// Whether the published schema lists the field as required; upstream always prints such fields.
    pub required: bool,
    /// How list items or map entries are owned and told apart by server-side apply.
    pub topology: Topology,
    /// What strategic merge patch does with the value.
    pub patch: PatchStrategy,
    /// Whether strategic merge patch honours `$retainKeys` in this object or in items of this list.
    pub patch_retain_keys: bool,
    /// The key by which strategic merge patch matches list items; none for lists of scalars.
    pub patch_merge_key: Option<&'static str>,
}

/// How server-side apply sees a list or a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// Nothing is declared: lists are atomic, maps and objects granular.
    Undeclared,
    /// The whole value has one owner.
    Atomic,
    /// Every field has its own owner, even if the type says otherwise.
    Granular,
    /// A list of unique scalars.
    Set,
    /// A list of objects that are told apart by these fields.
    Keyed(&'static [&'static str]),
}

/// What strategic merge patch does with a value that both the object and the patch have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchStrategy {
    /// Nothing is declared: lists are replaced, objects merged.
    Undeclared,
    /// Lists are merged, too.
    Merge,
    /// Objects are replaced, too.
    Replace,
}

/// What a field, list item or map value holds.
#[derive(Debug, Clone, Copy)]
pub enum Type {
    /// Any JSON value, kept untouched.
    Any,
    /// Any JSON object, kept untouched (`RawExtension`).
    RawObject,
    /// The field set of a manager (`FieldsV1`).
    Fields,
    /// true or false.
    Bool,
    /// A signed 32-bit number.
    Int32,
    /// A signed 64-bit number.
    Int64,
    /// A double.
    Float,
    /// Text.
    Str,
    /// Bytes as base64 text.
    Bytes,
    /// An RFC 3339 time with seconds.
    Time,
    /// An RFC 3339 time with microseconds.
    MicroTime,
    /// A resource quantity, such as `500m`.
    Quantity,
    /// A 32-bit number or a text such as `25%`.
    IntOrString,
    /// An object with these fields.
    Object(&'static TypeSchema),
    /// A list of items of one type.
    List(&'static Type),
    /// An object with free keys and values of one type.
    Map(&'static Type),
}

/// The schema of a built-in kind, or `None` when the kind is not built in.
pub fn schema_of(group: &str, version: &str, kind: &str) -> Option<&'static TypeSchema> {
    generated::KINDS
        .binary_search_by(|(gvk, _)| {
            (gvk.group, gvk.version, gvk.kind).cmp(&(group, version, kind))
        })
        .ok()
        .map(|at| generated::KINDS[at].1)
}

/// The type of that definition name.
pub(crate) fn type_named(name: &str) -> Option<&'static TypeSchema> {
    generated::TYPES
        .binary_search_by_key(&name, |schema| schema.name)
        .ok()
        .map(|at| generated::TYPES[at])
}

const fn t(name: &'static str, fields: &'static [FieldSchema]) -> TypeSchema {
    TypeSchema {
        name,
        fields,
        gvk: None,
        atomic: false,
        open: false,
        custom: None,
    }
}

const fn f(name: &'static str, ty: Type) -> FieldSchema {
    FieldSchema {
        name,
        ty,
        required: false,
        topology: Topology::Undeclared,
        patch: PatchStrategy::Undeclared,
        patch_retain_keys: false,
        patch_merge_key: None,
    }
}

impl FieldSchema {
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn atomic(mut self) -> Self {
        self.topology = Topology::Atomic;
        self
    }

    const fn granular(mut self) -> Self {
        self.topology = Topology::Granular;
        self
    }

    const fn set(mut self) -> Self {
        self.topology = Topology::Set;
        self
    }

    const fn keyed(mut self, keys: &'static [&'static str]) -> Self {
        self.topology = Topology::Keyed(keys);
        self
    }

    const fn merge(mut self) -> Self {
        self.patch = PatchStrategy::Merge;
        self
    }

    const fn replace(mut self) -> Self {
        self.patch = PatchStrategy::Replace;
        self
    }

    const fn retain_keys(mut self) -> Self {
        self.patch_retain_keys = true;
        self
    }

    const fn merge_key(mut self, key: &'static str) -> Self {
        self.patch_merge_key = Some(key);
        self
    }
}
