//! The kinds of `authorization.k8s.io`: questions about who may do what. They are answered, never stored.

mod validation;

use serde_json::Value;

pub use validation::faults;

use crate::resource::{Resource, Scope};
use crate::resources::authentication::{Review, token_review};

fn review(kind: &'static str, plural: &'static str, singular: &'static str) -> Resource {
    Resource {
        group: "authorization.k8s.io",
        kind,
        plural,
        singular,
        strategy: &Review,
        ..token_review()
    }
}

/// Every kind of the group.
pub(crate) fn all() -> [Resource; 4] {
    [
        Resource {
            scope: Scope::Namespaced,
            ..review(
                "LocalSubjectAccessReview",
                "localsubjectaccessreviews",
                "localsubjectaccessreview",
            )
        },
        review(
            "SelfSubjectAccessReview",
            "selfsubjectaccessreviews",
            "selfsubjectaccessreview",
        ),
        review(
            "SelfSubjectRulesReview",
            "selfsubjectrulesreviews",
            "selfsubjectrulesreview",
        ),
        review(
            "SubjectAccessReview",
            "subjectaccessreviews",
            "subjectaccessreview",
        ),
    ]
}

/// Whether a part of a review's spec is given.
fn given(spec: &Value, field: &str) -> bool {
    spec.get(field).is_some_and(|value| !value.is_null())
}
