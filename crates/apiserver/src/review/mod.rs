//! Questions to the API that are answered and not kept: who is this, and may they do that? They arrive like objects to be
//! created and go back with their status filled in.

mod access;
mod rules;
mod token;
mod token_request;

use jiff::Timestamp;
use plinth_api::Status;
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::server::Core;
use crate::write::{Incoming, Part, Written, check_namespace, manage, metadata, timestamp};

pub(crate) use token_request::issue_token;

impl Core {
    /// Answers a review.
    pub(crate) fn review(
        &self,
        kind: &Kind,
        namespace: &str,
        incoming: &Incoming<'_>,
    ) -> Result<Written, Status> {
        let decoded = incoming.decode(kind.schema, &kind.gvk)?;
        let mut object = decoded.object;
        check_namespace(&mut object, namespace, kind.resource.namespaced())?;
        metadata(&mut object);
        let manager = incoming.options.manager.as_str();
        let user = &incoming.user;
        match kind.resource.kind {
            "TokenReview" => {
                manage(kind, Part::Main, manager, None, &mut object);
                token::review(self, &mut object)?;
            }
            // The answers to these two are new objects, which have no managers.
            "SelfSubjectReview" => {
                metadata(&mut object).remove("managedFields");
                metadata(&mut object).insert(
                    "creationTimestamp".into(),
                    timestamp(Timestamp::now()).into(),
                );
                object["status"] = json!({"userInfo": user.to_value()});
            }
            "SelfSubjectRulesReview" => {
                metadata(&mut object).remove("managedFields");
                rules::review(self, user, &mut object)?;
            }
            asked => {
                manage(kind, Part::Main, manager, None, &mut object);
                access::review(self, asked, user, &mut object)?;
            }
        }
        Ok(Written {
            bytes: object.to_string().into(),
            warnings: decoded.warnings,
            created: true,
        })
    }
}

/// A text in a question, empty when it is not given.
fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

/// A list of texts in a question.
fn texts(value: &Value, field: &str) -> Vec<String> {
    let list = value[field].as_array().into_iter().flatten();
    list.filter_map(|entry| entry.as_str().map(ToOwned::to_owned))
        .collect()
}
