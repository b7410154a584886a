//! SubjectAccessReview, for others or for oneself, everywhere or in a namespace: may they do that?

use plinth_api::{FieldSelector, Status, authorization};
use serde_json::{Value, json};

use super::{text, texts};
use crate::authentication::UserInfo;
use crate::authorization::{Attributes, Selectors, Subject};
use crate::server::Core;

pub(super) fn review(
    core: &Core,
    kind: &str,
    caller: &UserInfo,
    review: &mut Value,
) -> Result<(), Status> {
    let faults = authorization::faults(kind, review);
    if !faults.is_empty() {
        return Err(Status::invalid_kind(
            "authorization.k8s.io",
            "",
            "",
            &faults,
        ));
    }
    let spec = &review["spec"];
    let named;
    let user = if kind == "SelfSubjectAccessReview" {
        caller
    } else {
        named = subject(spec);
        &named
    };
    let (on, other) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let selectors = (!on["fieldSelector"].is_null()).then(|| selectors(&on["fieldSelector"]));
    let (verb, subject) = if on.is_object() {
        let subject = Subject::Resource {
            group: text(on, "group"),
            resource: text(on, "resource"),
            subresource: text(on, "subresource"),
            namespace: text(on, "namespace"),
            name: text(on, "name"),
        };
        (text(on, "verb"), subject)
    } else {
        (text(other, "verb"), Subject::Path(text(other, "path")))
    };
    let decision = core.decide(&Attributes {
        user,
        verb,
        subject,
        selectors: selectors.as_ref(),
    });
    let mut status = json!({"allowed": decision.allowed});
    if !decision.reason.is_empty() {
        status["reason"] = decision.reason.into();
    }
    review["status"] = status;
    Ok(())
}

/// About whom the question is.
fn subject(spec: &Value) -> UserInfo {
    let extra = spec["extra"].as_object().into_iter().flatten();
    UserInfo {
        name: text(spec, "user").to_owned(),
        uid: text(spec, "uid").to_owned(),
        groups: texts(spec, "groups"),
        extra: extra
            .map(|(key, _)| (key.clone(), texts(&spec["extra"], key)))
            .collect(),
    }
}

/// The fields that a selector pins to one value; what it says otherwise narrows nothing that is asked here.
fn selectors(selector: &Value) -> Selectors {
    let requirements = selector["requirements"].as_array().into_iter().flatten();
    let mut fields: Vec<(String, String)> = requirements
        .filter(|requirement| text(requirement, "operator") == "In")
        .filter_map(
            |requirement| match texts(requirement, "values").as_slice() {
                [only] => Some((text(requirement, "key").to_owned(), only.clone())),
                _ => None,
            },
        )
        .collect();
    if let Ok(parsed) = FieldSelector::parse(text(selector, "rawSelector")) {
        let equal = parsed.terms().iter().filter(|term| term.equal);
        fields.extend(equal.map(|term| (term.field.clone(), term.value.clone())));
    }
    Selectors { fields }
}
