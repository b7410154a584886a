//! `POST pods/<name>/binding`: gives a pod its node.

use jiff::Timestamp;
use plinth_api::{FieldError, Gvk, Path, Status, schema_of};
use serde_json::{Value, json};

use super::update::{Proposal, subresource_conflict};
use super::{Incoming, Managing, Part, check_name, check_namespace, meta_text, timestamp};
use crate::admission::{Operation, Request};
use crate::kind::Kind;
use crate::read::plain_error;
use crate::server::Core;

const BINDING: Gvk = Gvk::of("", "v1", "Binding");

impl Core {
    /// Binds a pod to the node that a request body names; without a name, the pod of the binding's name.
    pub(crate) async fn bind(
        &self,
        kind: &Kind,
        namespace: &str,
        name: Option<&str>,
        incoming: &Incoming<'_>,
    ) -> Result<Status, Status> {
        let schema = schema_of("", "v1", "Binding")
            .ok_or_else(|| Status::internal("there is no schema for Binding"))?;
        let mut binding = incoming.decode(schema, &BINDING)?.object;
        let named = meta_text(&binding, "name").to_owned();
        let name = name.unwrap_or(&named);
        check_name(&binding, name)?;
        check_namespace(&mut binding, namespace, true)?;
        let writer = incoming.writer();
        let request = Request {
            gvk: BINDING,
            subresource: "binding",
            ..Request::new(Operation::Create, kind, (namespace, name), &writer)
        };
        self.mutate(&request, &mut binding, None, |_| Ok(()))
            .await?;
        check_target(&binding["target"])?;
        self.judge(&request, Some(&binding), None).await?;
        let node = binding["target"]["name"].as_str().unwrap_or_default();
        let uid = meta_text(&binding, "uid");
        let propose = |live: &Value| {
            if !uid.is_empty() && uid != meta_text(live, "uid") {
                let live = meta_text(live, "uid");
                let why = format!(
                    "Precondition failed: UID in precondition: {uid}, UID in object meta: {live}"
                );
                return Err(subresource_conflict(kind, "binding", name, &why));
            }
            bound(kind, live, node, &binding)
        };
        self.update(kind, namespace, name, Part::Bound, &writer, propose)
            .await?;
        Ok(Status {
            code: 201,
            reason: "".into(),
            message: String::new(),
            details: None,
        })
    }
}

/// §13.2: these faults are told without a reason.
fn check_target(target: &Value) -> Result<(), Status> {
    let path = Path::new("target");
    let mut errors = Vec::new();
    let kind = target["kind"].as_str().unwrap_or_default();
    if !matches!(kind, "" | "Node") {
        errors.push(FieldError::not_supported(
            &path.child("kind"),
            kind,
            &["Node", "<empty>"],
        ));
    }
    if target["name"].as_str().unwrap_or_default().is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    match errors.as_slice() {
        [] => Ok(()),
        [one] => Err(plain_error(500, one.to_string())),
        several => {
            let texts: Vec<_> = several.iter().map(ToString::to_string).collect();
            Err(plain_error(500, format!("[{}]", texts.join(", "))))
        }
    }
}

/// The pod on its node, with the condition that says so.
fn bound(kind: &Kind, live: &Value, node: &str, binding: &Value) -> Result<Proposal, Status> {
    let name = meta_text(live, "name");
    let refuse = |why: String| Err(subresource_conflict(kind, "binding", name, &why));
    if !meta_text(live, "deletionTimestamp").is_empty() {
        return refuse(format!(
            "pod {name} is being deleted, cannot be assigned to a host"
        ));
    }
    let current = live["spec"]["nodeName"].as_str().unwrap_or_default();
    if !current.is_empty() {
        return refuse(format!(
            "pod {name} is already assigned to node {}",
            Value::from(current)
        ));
    }
    let mut pod = live.clone();
    pod["spec"]["nodeName"] = node.into();
    for (key, value) in binding["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flatten()
    {
        pod["metadata"]["annotations"][key] = value.clone();
    }
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null,
                           "lastTransitionTime": timestamp(Timestamp::now())});
    let status = &mut pod["status"];
    match status["conditions"].as_array_mut() {
        Some(conditions) => match conditions
            .iter_mut()
            .find(|condition| condition["type"] == "PodScheduled")
        {
            Some(condition) => *condition = scheduled,
            None => conditions.push(scheduled),
        },
        None => status["conditions"] = json!([scheduled]),
    }
    Ok(Proposal {
        object: pod,
        warnings: Vec::new(),
        // As upstream, which leaves the managers of a bound pod alone.
        managing: Managing::Done,
    })
}
