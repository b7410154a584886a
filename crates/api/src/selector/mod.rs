//! Label selectors, as strings and as objects, and field selectors. Pure matching; knows no kinds.

mod fields;
mod labels;

pub use fields::{FieldSelector, FieldTerm};
pub use labels::{Requirement, Selector};

/// Why a selector cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The text does not follow the grammar.
    #[error("{0}")]
    Syntax(String),
    /// A key or value breaks the label rules.
    #[error("{0}")]
    Invalid(String),
}

impl SelectorError {
    /// The same fault, found in one requirement of a selector's text.
    fn in_requirement(self) -> Self {
        let prefixed = |why: &str| format!("unable to parse requirement: {why}");
        match self {
            Self::Syntax(why) => Self::Syntax(prefixed(&why)),
            Self::Invalid(why) => Self::Invalid(prefixed(&why)),
        }
    }
}
