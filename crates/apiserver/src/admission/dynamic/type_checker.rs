//! Follows ValidatingAdmissionPolicies and writes into their status what their expressions look like beside the types of
//! what they are about.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};
use plinth_api::admission::{Resolve, type_check};
use plinth_api::{Status, TypeSchema};
use serde_json::{Value, json};

use super::request::GROUP;
use crate::kind::{Kind, Kinds};
use crate::query::WriteOptions;
use crate::server::Core;
use crate::write::{Incoming, Part, Writer};

/// Who manages the status, as upstream.
const MANAGER: &str = "validatingadmissionpolicy-status";

impl Resolve for Kinds {
    fn kind(&self, group: &str, version: &str, plural: &str) -> Option<String> {
        let found = self.find(group, version, plural);
        found.map(|kind| kind.resource.kind.to_owned())
    }

    fn schema(&self, group: &str, version: &str, kind: &str) -> Option<&'static TypeSchema> {
        let found = self.iter().find(|found| {
            let of = found.resource;
            (of.group, of.version, of.kind) == (group, version, kind)
        });
        found.map(|found| found.schema)
    }
}

/// Follows the policies until the server stops.
pub(crate) async fn follow(core: Arc<Core>) {
    let Some(kind) = core.kinds.find(GROUP, "v1", "validatingadmissionpolicies") else {
        return;
    };
    let mut changes = kind.cache.changes();
    loop {
        changes.mark_unchanged();
        let snapshot = kind.cache.snapshot(&core.clock);
        for object in snapshot.tree.iter(None, None) {
            let Ok(policy) = serde_json::from_slice::<Value>(&object.bytes) else {
                continue;
            };
            let observed = policy["status"]["observedGeneration"].as_i64().unwrap_or(0);
            if policy["metadata"]["generation"].as_i64().unwrap_or(0) <= observed {
                continue;
            }
            let told = tell(&core, &kind, &policy).boxed().await;
            if let Err(status) = told
                && status.code != 404
            {
                tracing::warn!(
                    policy = %object.header.name, error = %status.message,
                    "cannot tell what a policy's expressions look like; its next change tries again"
                );
            }
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = core.shutdown.cancelled() => return,
        }
    }
}

/// Checks a policy and applies its status.
async fn tell(core: &Core, kind: &Kind, policy: &Value) -> Result<(), Status> {
    let name = policy["metadata"]["name"].as_str().unwrap_or_default();
    let checked = type_check(&policy["spec"], &*core.kinds);
    let status = json!({
        "apiVersion": kind.gvk.api_version(), "kind": kind.gvk.kind, "metadata": {"name": name},
        "status": {"observedGeneration": policy["metadata"]["generation"], "typeChecking": checked},
    });
    let body = Bytes::from(status.to_string());
    let apply = HeaderValue::from_static("application/apply-patch+yaml");
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, apply)]);
    let incoming = Incoming {
        user: Writer::system().user.clone(),
        options: WriteOptions {
            manager: MANAGER.to_owned(),
            force: true,
            ..WriteOptions::default()
        },
        headers: &headers,
        body: &body,
        origin: None,
    };
    core.patch(kind, "", name, Part::Status, &incoming)
        .await
        .map(drop)
}
