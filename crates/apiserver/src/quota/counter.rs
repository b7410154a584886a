//! Counts what is used in namespaces with quotas, from the caches, when something changed there without a charge.

use std::sync::Arc;

use jiff::Timestamp;
use plinth_api::pod_resources::{Amounts, add, amounts};
use plinth_api::{Quantity, Status, quota};
use serde_json::{Map, Value};

use super::Staleness;
use crate::admission::objects_in;
use crate::server::Core;
use crate::write::{Managing, Part, Proposal, Writer, meta_text};

/// Counts until the server stops.
pub(crate) async fn count(core: Arc<Core>) {
    loop {
        let next = core.quotas.lock().stale.pop_first();
        let Some((namespace, staleness)) = next else {
            tokio::select! {
                () = core.quotas.bell.notified() => continue,
                () = core.shutdown.cancelled() => return,
            }
        };
        if let Err(status) = core.count_namespace(&namespace, staleness).await {
            tracing::warn!(
                namespace,
                why = status.message,
                "cannot count what quotas limit"
            );
        }
    }
}

impl Core {
    async fn count_namespace(&self, namespace: &str, staleness: Staleness) -> Result<(), Status> {
        let place = self.quotas.lock().namespaces.get(namespace).cloned();
        let (Some(place), Some(quotas)) = (place, self.kinds.core("resourcequotas")) else {
            return Ok(());
        };
        // Whatever is charged is in the store now, and so in the caches, and nothing more is charged.
        let _alone = place.counting.write().await;
        for found in objects_in(self, "resourcequotas", namespace)? {
            let hard = quota::hard(&found);
            if staleness == Staleness::Limits && hard == amounts(&found["status"], "hard") {
                continue;
            }
            let used = self.used(&found, &hard, namespace)?;
            let text = |amounts: &Amounts| -> Map<String, Value> {
                let each = amounts.iter();
                each.map(|(name, amount)| (name.clone(), amount.to_string().into()))
                    .collect()
            };
            let (hard, used) = (text(&hard), text(&used));
            let propose = |live: &Value| {
                let mut next = live.clone();
                next["status"] = serde_json::json!({"hard": hard, "used": used});
                Ok(Proposal {
                    object: next,
                    warnings: Vec::new(),
                    managing: Managing::Due,
                })
            };
            let name = meta_text(&found, "name");
            // Counting is a controller's work upstream, charging is the server's.
            let writer = Writer {
                manager: "kube-controller-manager",
                ..Writer::system()
            };
            match self
                .update(&quotas, namespace, name, Part::Status, &writer, propose)
                .await
            {
                Err(status) if status.code != 404 => return Err(status),
                _ => {}
            }
        }
        Ok(())
    }

    /// What is used of a quota's limits.
    fn used(&self, found: &Value, hard: &Amounts, namespace: &str) -> Result<Amounts, Status> {
        let now = Timestamp::now();
        let mut total: Amounts = hard
            .keys()
            .map(|name| (name.clone(), Quantity::zero()))
            .collect();
        for kind in self
            .kinds
            .iter()
            .filter(|kind| kind.conversion.is_none() && quota::counts(kind.resource))
        {
            // Most kinds count by their number only, if at all.
            let counted = format!("count/{}", kind.resource.group_resource());
            let looked_at = hard.contains_key(&counted)
                || (kind.resource.group.is_empty()
                    && hard.keys().any(|name| !name.starts_with("count/")));
            if !looked_at {
                continue;
            }
            let snapshot = kind.cache.snapshot(&self.clock);
            for object in snapshot.tree.iter(Some(namespace), None) {
                let object: Value =
                    serde_json::from_slice(&object.bytes).map_err(Status::internal)?;
                if quota::in_scope(found, kind.resource, &object) {
                    let mut usage = quota::usage(kind.resource, &object, now);
                    usage.retain(|name, _| hard.contains_key(name));
                    add(&mut total, &usage);
                }
            }
        }
        Ok(total)
    }
}
