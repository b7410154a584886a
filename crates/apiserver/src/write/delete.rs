//! DELETE: at once, gracefully in two steps, or when the last finalizer is gone.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use plinth_api::Status;
use plinth_store::{Expect, Revision};
use serde_json::{Value, json};

use super::create::without_revision;
use super::delete_options::Propagation;
use super::update::parse;
use super::{
    ATTEMPTS, DeleteOptions, Refused, Writer, finalizers, meta_text, metadata, precondition_failed,
    timestamp, too_contended,
};
use crate::admission::{self, Operation, Options, Request};
use crate::cache::{Header, Object};
use crate::definitions;
use crate::kind::Kind;
use crate::server::Core;

/// How a deletion ended.
pub(crate) enum Deleted {
    /// The object is still there, on its way out.
    Terminating(Bytes),
    /// The object is gone; this was its last state.
    Gone {
        /// Its last state.
        last: Bytes,
        /// Its UID.
        uid: String,
    },
}

/// What a deletion does to an object.
enum Step {
    /// It is marked (or marked again).
    Mark(Value),
    /// It is terminating already and this changes nothing.
    Leave,
    /// It is marked, and goes away right after: watchers see both.
    MarkAndRemove(Value),
    /// It goes away.
    Remove(Value),
}

impl Core {
    /// Deletes an object.
    pub(crate) async fn delete(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
        writer: &Writer<'_>,
    ) -> Result<Deleted, Status> {
        admission::admit_delete(self, kind, namespace, name, writer.user)?;
        for _ in 0..ATTEMPTS {
            let live = crate::read::formed(self, kind, namespace, name).await?;
            let request = Request {
                options: Options::Delete(options),
                ..Request::new(Operation::Delete, kind, (namespace, name), writer)
            };
            let old = parse(&live.bytes)?;
            self.mutate(&request, &mut Value::Null, Some(&old), |_| Ok(()))
                .await?;
            self.judge(&request, None, Some(&old)).await?;
            match self.delete_live(kind, &live, options).await {
                Ok(deleted) => return Ok(deleted),
                Err(Refused::Raced) => {}
                Err(Refused::Status(status)) => return Err(status),
            }
        }
        Err(too_contended(kind, name))
    }

    async fn delete_live(
        &self,
        kind: &Kind,
        live: &Object,
        options: &DeleteOptions,
    ) -> Result<Deleted, Refused> {
        check_preconditions(kind, live, options).map_err(Refused::Status)?;
        let object = parse(&live.bytes).map_err(Refused::Status)?;
        let uid = live.header.uid.clone();
        let step = plan(kind, &object, options, Timestamp::now());
        if options.dry_run {
            return Ok(match step {
                Step::Mark(marked) => Deleted::Terminating(without_revision(&marked)),
                Step::Leave => Deleted::Terminating(live.bytes.clone()),
                Step::MarkAndRemove(last) | Step::Remove(last) => Deleted::Gone {
                    last: without_revision(&last),
                    uid,
                },
            });
        }
        match step {
            Step::Leave => Ok(Deleted::Terminating(live.bytes.clone())),
            Step::Mark(marked) if marked == object => Ok(Deleted::Terminating(live.bytes.clone())),
            Step::Mark(marked) => {
                let bytes = self
                    .put(kind, &marked, Expect::At(Revision(live.revision)))
                    .await?;
                Ok(Deleted::Terminating(bytes))
            }
            Step::MarkAndRemove(last) => {
                let expected = Expect::At(Revision(live.revision));
                let marked = self.put(kind, &last, expected).await?;
                let parsed = parse(&marked).map_err(Refused::Status)?;
                let revision = meta_text(&parsed, "resourceVersion").parse();
                // Every stored object carries the revision it was stored at.
                let revision = revision.map_err(|e| Refused::Status(Status::internal(e)))?;
                let last = match self.remove(kind, &last, revision).await {
                    // Somebody who saw the mark was quicker; it is gone as was asked.
                    Err(Refused::Raced) if !is_live(kind, &live.header) => marked,
                    outcome => outcome?,
                };
                Ok(Deleted::Gone { last, uid })
            }
            Step::Remove(last) => {
                let last = self.remove(kind, &last, live.revision).await?;
                Ok(Deleted::Gone { last, uid })
            }
        }
    }
}

/// Whether an object is still there.
fn is_live(kind: &Kind, header: &Header) -> bool {
    let live = kind.cache.get(&header.namespace, &header.name);
    live.is_some_and(|live| live.header.uid == header.uid)
}

pub(super) fn check_preconditions(
    kind: &Kind,
    live: &Object,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let name = &live.header.name;
    if let Some(uid) = options.uid.as_ref().filter(|uid| **uid != live.header.uid) {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been \
             deleted and then recreated",
            live.header.uid
        );
        return Err(precondition_failed(kind, name, &why));
    }
    if let Some(revision) = options
        .resource_version
        .as_ref()
        .filter(|r| **r != live.revision.to_string())
    {
        let why = format!(
            "the ResourceVersion in the precondition ({revision}) does not match the ResourceVersion in record ({}). \
             The object might have been modified",
            live.revision
        );
        return Err(precondition_failed(kind, name, &why));
    }
    Ok(())
}

/// Decides what a deletion does. Pure.
fn plan(kind: &Kind, object: &Value, options: &DeleteOptions, now: Timestamp) -> Step {
    let requested = options
        .grace_period_seconds
        .map(|seconds| if seconds < 0 { 1 } else { seconds });
    let marked = meta_text(object, "deletionTimestamp");
    let given = object["metadata"]["deletionGracePeriodSeconds"]
        .as_i64()
        .unwrap_or(0);
    let grace = kind.resource.strategy.grace_period(object, requested);
    if is_namespace(kind) {
        return plan_namespace(object, now);
    }
    if definitions::is_definition(kind) && marked.is_empty() {
        return Step::Mark(definitions::marked(object.clone(), now));
    }
    if !marked.is_empty() && given > 0 {
        // L-31: asking again may only shorten the time.
        let Some(shorter) = requested.or(grace).filter(|seconds| *seconds < given) else {
            return Step::Leave;
        };
        let mut object = object.clone();
        let deadline = marked.parse::<Timestamp>().unwrap_or(now)
            - Duration::from_secs((given - shorter).unsigned_abs());
        set_deletion(&mut object, deadline, shorter);
        return if shorter > 0 {
            Step::Mark(object)
        } else {
            finish(kind, object, options, now)
        };
    }
    if marked.is_empty()
        && let Some(seconds) = grace.filter(|seconds| *seconds > 0)
    {
        // L-30: the node confirms by deleting again with 0.
        let mut object = object.clone();
        set_deletion(
            &mut object,
            now + Duration::from_secs(seconds.unsigned_abs()),
            seconds,
        );
        count_generation(&mut object);
        return Step::Mark(object);
    }
    let mut object = object.clone();
    if marked.is_empty() && kind.resource.plural == "pods" && kind.resource.group.is_empty() {
        // A pod that goes at once shows the moment and a grace of 0, as all pods that go (L-30).
        set_deletion(&mut object, now, 0);
        count_generation(&mut object);
        return match finish(kind, object, options, now) {
            Step::Remove(object) => Step::MarkAndRemove(object),
            other => other,
        };
    }
    finish(kind, object, options, now)
}

/// Removes the object, or marks it when finalizers hold it (L-34).
fn finish(kind: &Kind, mut object: Value, options: &DeleteOptions, now: Timestamp) -> Step {
    let orphans = kind.resource.strategy.orphans_by_default();
    let held = propagate(&finalizers(&object), options.propagation, orphans);
    if held.is_empty() {
        metadata(&mut object).remove("finalizers");
        return Step::Remove(object);
    }
    if meta_text(&object, "deletionTimestamp").is_empty() {
        count_generation(&mut object);
        set_deletion(&mut object, now, 0);
    }
    metadata(&mut object).insert("finalizers".into(), held.into());
    Step::Mark(object)
}

fn is_namespace(kind: &Kind) -> bool {
    kind.resource.plural == "namespaces" && kind.resource.group.is_empty()
}

/// G-8: a namespace waits until its finalizers of both sorts are gone.
fn plan_namespace(object: &Value, now: Timestamp) -> Step {
    let held = object["spec"]["finalizers"]
        .as_array()
        .is_some_and(|list| !list.is_empty());
    let mut object = object.clone();
    if meta_text(&object, "deletionTimestamp").is_empty() {
        metadata(&mut object).insert("deletionTimestamp".into(), timestamp(now).into());
        object["status"]["phase"] = "Terminating".into();
    } else if !held && finalizers(&object).is_empty() {
        return Step::Remove(object);
    } else {
        return Step::Leave;
    }
    if held || !finalizers(&object).is_empty() {
        Step::Mark(object)
    } else {
        Step::Remove(object)
    }
}

fn set_deletion(object: &mut Value, deadline: Timestamp, seconds: i64) {
    let metadata = metadata(object);
    metadata.insert("deletionTimestamp".into(), timestamp(deadline).into());
    metadata.insert("deletionGracePeriodSeconds".into(), seconds.into());
}

fn count_generation(object: &mut Value) {
    if let Some(generation) = object["metadata"]["generation"]
        .as_i64()
        .filter(|generation| *generation > 0)
    {
        object["metadata"]["generation"] = json!(generation + 1);
    }
}

/// The finalizers an object is deleted with (G-3): a policy decides about the two that stand for policies. Without
/// one the object's own decide, then the kind's habit.
fn propagate(finalizers: &[String], policy: Option<Propagation>, orphans: bool) -> Vec<String> {
    let has = |name: &str| finalizers.iter().any(|finalizer| finalizer == name);
    let orphan = policy.map_or_else(
        || has("orphan") || (orphans && !has("foregroundDeletion")),
        |policy| policy == Propagation::Orphan,
    );
    let foreground = policy.map_or_else(
        || has("foregroundDeletion"),
        |policy| policy == Propagation::Foreground,
    );
    let mut kept: Vec<String> = finalizers
        .iter()
        .filter(|f| !matches!(f.as_str(), "orphan" | "foregroundDeletion"))
        .cloned()
        .collect();
    kept.extend(orphan.then(|| "orphan".to_owned()));
    kept.extend(foreground.then(|| "foregroundDeletion".to_owned()));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G-3.
    #[test]
    fn a_policy_becomes_a_finalizer_beside_the_others() {
        let own = vec!["example.com/a".to_owned(), "orphan".to_owned()];
        assert_eq!(
            propagate(&own, Some(Propagation::Background), true),
            ["example.com/a"]
        );
        assert_eq!(
            propagate(&own, Some(Propagation::Foreground), true),
            ["example.com/a", "foregroundDeletion"]
        );
        assert_eq!(propagate(&own, None, false), ["example.com/a", "orphan"]);
        assert_eq!(propagate(&[], None, true), ["orphan"]);
        let foreground = ["foregroundDeletion".to_owned()];
        assert_eq!(propagate(&foreground, None, true), foreground);
    }
}
