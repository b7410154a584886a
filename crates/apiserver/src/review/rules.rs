//! SelfSubjectRulesReview: what may I do in this namespace?

use plinth_api::Status;
use serde_json::{Value, json};

use super::text;
use crate::authentication::UserInfo;
use crate::authorization::Rule;
use crate::server::Core;

pub(super) fn review(core: &Core, user: &UserInfo, review: &mut Value) -> Result<(), Status> {
    let namespace = text(&review["spec"], "namespace");
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let (mut resources, mut urls) = (Vec::new(), Vec::new());
    if user.is_master() {
        resources.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        urls.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    let missing = core.rbac.visit(user, namespace, |_, rules| {
        for rule in rules {
            if rule.urls.is_empty() {
                resources.push(rule.to_value());
            } else {
                urls.push(Rule::to_value(rule));
            }
        }
        true
    });
    let mut status = json!({
        "resourceRules": resources, "nonResourceRules": urls,
        // What an agent may do depends on the pods of its node, which no list of rules can say.
        "incomplete": user.node().is_some() || !missing.is_empty(),
    });
    let mut errors = missing;
    if user.node().is_some() {
        errors.insert(
            0,
            "node authorizer does not support user rule resolution".to_owned(),
        );
    }
    if !errors.is_empty() {
        status["evaluationError"] = errors.join(", ").into();
    }
    review["spec"] = json!({});
    review["status"] = status;
    Ok(())
}
