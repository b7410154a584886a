//! TokenReview: whose token is this?

use plinth_api::Status;
use serde_json::{Value, json};

use super::{text, texts};
use crate::server::Core;

pub(super) fn review(core: &Core, review: &mut Value) -> Result<(), Status> {
    let token = text(&review["spec"], "token");
    if token.is_empty() {
        return Err(Status::bad_request(
            "token is required for TokenReview in authentication",
        ));
    }
    let mut audiences = texts(&review["spec"], "audiences");
    if audiences.is_empty() {
        audiences.push(core.authenticator.accounts.issuer.clone());
    }
    review["status"] = match core.authenticator.token(token, &audiences, &core.kinds) {
        Some(known) => {
            json!({"authenticated": true, "user": known.user.to_value(), "audiences": known.audiences})
        }
        None => json!({"user": {}, "error": "invalid bearer token"}),
    };
    Ok(())
}
