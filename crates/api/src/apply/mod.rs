//! Who manages which field of an object: field sets, the changes that give fields to whoever makes them, and
//! server-side apply. Pure: it refuses to know storage, HTTP and the clock.
//!
//! The rules are those of structured-merge-diff: a manager that applies owns what its configuration lists, a manager
//! that updates owns what it changes; who changes a field takes it from all others.

#![expect(
    clippy::result_large_err,
    reason = "a Status is an answer, made once a request"
)]

mod atomics;
mod check;
mod compare;
mod configuration;
mod element;
mod managers;
mod merge;
mod owned;
mod place;
mod scale;
mod set;
#[cfg(test)]
mod tests;
mod track;

pub(crate) use atomics::atomics;
pub use configuration::{Configuration, ConfigurationText, read_configuration};
pub use managers::keep_times;
pub use scale::{managers_from_scale, managers_of_scale};
pub use set::FieldSet;
pub use track::{Author, Translate, track, track_across};
