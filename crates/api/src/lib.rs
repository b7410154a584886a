//! The API of the built-in kinds, as pure functions over JSON values: schemas, decoding, defaults, validation,
//! patches, tables and documents. It refuses to know about storage, HTTP and the clock.

pub mod admission;
pub mod apply;
mod cel;
mod custom;
mod decode;
mod field;
#[cfg(fuzzing)]
pub mod fuzzing;
mod jsonpath;
pub mod meta;
pub mod names;
pub mod openapi;
pub mod patch;
pub mod pod_resources;
mod quantity;
pub mod quota;
mod resource;
mod resources;
mod schema;
mod selector;
mod status;
mod structural;
pub mod table;
mod version;

pub use custom::{Custom, compile};
pub use decode::{
    BodyFormat, DecodeError, Decoded, FieldValidation, UnknownField, decode, fit_to, prune,
};
pub use field::{ErrorKind, FieldError, Path};
pub use quantity::{Quantity, QuantityError};
pub use resource::{
    ALL_VERBS, Column, Conversion, Resource, ScalePaths, Scope, Strategy, Subresource, catalogue,
    find, find_kind,
};
pub use resources::apiextensions::customresourcedefinition;
pub use resources::batch::schedule;
pub use resources::{SYSTEM_PRIORITY_CLASSES, authorization, scale};
pub use schema::{
    FieldSchema, Gvk, PatchStrategy, Topology, Type, TypeSchema, schema_of, semantically_equal,
};
pub use selector::{FieldSelector, FieldTerm, Requirement, Selector, SelectorError};
pub use status::{Cause, Details, Status};
pub use version::prefer_version;
