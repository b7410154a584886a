//! The kinds of `authentication.k8s.io`: questions about who somebody is. They are answered, never stored.

use crate::resource::{Resource, Scope, Strategy};
use crate::resources::columns::NAME_AND_AGE;

/// TokenReview: whose token is this?
pub(crate) fn token_review() -> Resource {
    Resource {
        group: "authentication.k8s.io",
        version: "v1",
        kind: "TokenReview",
        list_kind: "",
        plural: "tokenreviews",
        singular: "tokenreview",
        short_names: &[],
        categories: &[],
        scope: Scope::Cluster,
        verbs: &["create"],
        subresources: &[],
        columns: NAME_AND_AGE,
        strategy: &Review,
    }
}

/// SelfSubjectReview: who am I?
pub(crate) fn self_subject_review() -> Resource {
    Resource {
        kind: "SelfSubjectReview",
        plural: "selfsubjectreviews",
        singular: "selfsubjectreview",
        ..token_review()
    }
}

/// The rules of a kind that is only ever asked.
pub(crate) struct Review;

impl Strategy for Review {
    fn stored(&self) -> bool {
        false
    }
}
