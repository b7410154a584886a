//! Dynamic admission as data and pure functions: which requests a webhook or policy is about, what a policy's
//! expressions say of an object. It refuses to know where policies are kept and who asks.

mod expressions;
mod matching;
mod mutating;
mod type_check;
mod validating;

pub use crate::cel::{Answer, Authorizer, Check};
pub use expressions::{Conditions, Inputs, Matched};
pub(crate) use expressions::{Expression, Offers, Returns, Variables, scope};
pub use matching::{Asked, Matching};
pub use mutating::MutatingPolicy;
pub use type_check::{Resolve, type_check};
pub use validating::{Annotation, Decision, ValidatingPolicy, Verdict};
