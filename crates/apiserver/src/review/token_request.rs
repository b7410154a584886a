//! TokenRequest: a token of a ServiceAccount, for whoever may ask for it.

use jiff::{Timestamp, ToSpan};
use plinth_api::apply::{Author, FieldSet, track};
use plinth_api::{FieldError, Gvk, Path, Status, schema_of};
use serde_json::{Value, json};

use super::{text, texts};
use crate::admission::node_restriction;
use crate::admission::{Operation, Request};
use crate::authentication::{Binding, Order, Reference};
use crate::cache::Object;
use crate::kind::Kind;
use crate::read::live;
use crate::server::Core;
use crate::write::{Incoming, Written, meta_text, metadata, parse, timestamp};

const GROUP: &str = "authentication.k8s.io";
/// Seconds of a token for which nobody asks for more or less.
const USUAL: i64 = 3600;
/// The shortest life of a token.
const SHORTEST: i64 = 600;
/// The longest.
const LONGEST: i64 = 1 << 32;

/// Issues the token that a request body describes.
pub(crate) async fn issue_token(
    core: &Core,
    kind: &Kind,
    (namespace, name): (&str, &str),
    incoming: &Incoming<'_>,
) -> Result<Written, Status> {
    let gvk = Gvk::of(GROUP, "v1", "TokenRequest");
    let schema = schema_of(gvk.group, gvk.version, gvk.kind)
        .ok_or_else(|| Status::internal("there is no schema for TokenRequest"))?;
    let decoded = incoming.decode(schema, &gvk)?;
    let mut request = decoded.object;
    let writer = incoming.writer();
    let asked = Request {
        gvk,
        subresource: "token",
        ..Request::new(Operation::Create, kind, (namespace, name), &writer)
    };
    core.mutate(&asked, &mut request, None, |_| Ok(())).await?;
    let account = live(kind, namespace, name)?;
    for (field, here) in [("name", name), ("namespace", namespace)] {
        let given = meta_text(&request, field);
        if !given.is_empty() && given != here {
            return Err(Status::bad_request(format!(
                "{field} in URL does not match {field} in TokenRequest object: {here:?} != {given:?}"
            )));
        }
    }
    node_restriction::admit_token(
        core,
        &incoming.user,
        kind,
        (namespace, name),
        &request["spec"]["boundObjectRef"],
    )?;
    let spec = &mut request["spec"];
    let seconds = spec["expirationSeconds"].as_i64().unwrap_or(USUAL);
    spec["expirationSeconds"] = seconds.into();
    if let Some(fault) = fault_of_lifetime(seconds) {
        return Err(Status::invalid_kind(GROUP, "TokenRequest", "", &[fault]));
    }
    let binding = bind(core, (namespace, name), &spec["boundObjectRef"])?;
    if spec["boundObjectRef"].is_null() {
        spec["boundObjectRef"] = Value::Null;
    }
    core.judge(&asked, Some(&request), None).await?;
    let now = Timestamp::now();
    let author = Author {
        manager: &incoming.options.manager,
        api_version: &gvk.api_version(),
        subresource: "token",
        time: &timestamp(now),
    };
    metadata(&mut request);
    track(schema, &FieldSet::default(), &author, None, &mut request);
    let mut audiences = texts(&request["spec"], "audiences");
    if audiences.is_empty() {
        audiences.push(core.authenticator.accounts.issuer.clone());
    }
    request["spec"]["audiences"] = json!(audiences);
    let order = Order {
        namespace,
        account: Reference {
            name: name.to_owned(),
            uid: account.header.uid.clone(),
        },
        audiences,
        seconds,
        binding,
    };
    let token = if incoming.options.dry_run {
        String::new()
    } else {
        core.authenticator.accounts.issue(order, now)?
    };
    request["status"] =
        json!({"token": token, "expirationTimestamp": timestamp(now + seconds.seconds())});
    let fields = metadata(&mut request);
    for (field, value) in [
        ("name", name),
        ("namespace", namespace),
        ("uid", account.header.uid.as_str()),
        ("creationTimestamp", timestamp(now).as_str()),
    ] {
        fields.insert(field.to_owned(), value.into());
    }
    Ok(Written {
        bytes: request.to_string().into(),
        warnings: decoded.warnings,
        created: true,
    })
}

fn fault_of_lifetime(seconds: i64) -> Option<FieldError> {
    let detail = if seconds < SHORTEST {
        "may not specify a duration less than 10 minutes"
    } else if seconds > LONGEST {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return None;
    };
    let path = Path::new("spec").child("expirationSeconds");
    Some(FieldError::invalid(&path, seconds, detail))
}

/// The object a token is to be bound to, which must be there and the right one.
fn bind(core: &Core, account: (&str, &str), reference: &Value) -> Result<Binding, Status> {
    let mut binding = Binding::default();
    if reference.is_null() {
        return Ok(binding);
    }
    let (namespace, account) = account;
    let (version, kind) = (text(reference, "apiVersion"), text(reference, "kind"));
    let (plural, namespace) = match (version, kind) {
        ("v1", "Pod") => ("pods", namespace),
        ("v1", "Secret") => ("secrets", namespace),
        ("v1", "Node") => ("nodes", ""),
        _ => {
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            return Err(Status::bad_request(format!(
                "cannot bind token to object of type {group}/{version}, Kind={kind}"
            )));
        }
    };
    let found = find(core, plural, namespace, text(reference, "name"))?;
    let (given, uid) = (text(reference, "uid"), &found.header.uid);
    if !given.is_empty() && given != uid {
        let why = format!(
            "the UID in the bound object reference ({given}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Status::kind_conflict(
            "",
            kind,
            text(reference, "name"),
            &why,
        ));
    }
    let bound = Some(Reference {
        name: found.header.name.clone(),
        uid: uid.clone(),
    });
    match kind {
        "Secret" => binding.secret = bound,
        "Node" => binding.node = bound,
        _ => {
            let pod = parse(&found.bytes)?;
            if text(&pod["spec"], "serviceAccountName") != account {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
                )));
            }
            let node = text(&pod["spec"], "nodeName");
            if !node.is_empty() {
                // A node that has just gone is told by its name alone.
                let uid = find(core, "nodes", "", node).map(|node| node.header.uid.clone());
                binding.node = Some(Reference {
                    name: node.to_owned(),
                    uid: uid.unwrap_or_default(),
                });
            }
            binding.pod = bound;
        }
    }
    Ok(binding)
}

fn find(
    core: &Core,
    plural: &str,
    namespace: &str,
    name: &str,
) -> Result<std::sync::Arc<Object>, Status> {
    let kind = core
        .kinds
        .core(plural)
        .ok_or_else(|| Status::internal(format!("{plural} are not served")))?;
    live(&kind, namespace, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_of_tokens_have_limits() {
        assert!(fault_of_lifetime(600).is_none());
        assert!(fault_of_lifetime(1 << 32).is_none());
        assert_eq!(
            fault_of_lifetime(10).unwrap().to_string(),
            "spec.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes"
        );
        assert!(fault_of_lifetime((1 << 32) + 1).is_some());
    }
}
