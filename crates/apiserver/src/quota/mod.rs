//! ResourceQuotas: what is made in a namespace is charged before it is made, and what is used is counted again when
//! something went away. Knows no kinds; what an object counts for is `plinth-api`'s.
//!
//! A charge raises `status.used` by a compare-and-swap, so it holds for writers on other servers, too. While an object
//! that was charged for is on its way to the store, its namespace is held for reading; counting holds it for
//! writing. So a count sees exactly what was charged, and nothing is charged or counted twice.

mod counter;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use plinth_api::pod_resources::{Amounts, amounts};
use plinth_api::{Quantity, Status, quota};
use serde_json::Value;
use tokio::sync::{Notify, OwnedRwLockReadGuard, RwLock};

use crate::cache::Header;
use crate::kind::Kind;
use crate::server::Core;
use crate::write::{Managing, Part, Proposal, Writer, meta_text};

pub(crate) use counter::count;

/// What counting and charging share.
#[derive(Default)]
pub(crate) struct Quotas {
    state: Mutex<State>,
    /// Rung when a namespace is to be counted again.
    bell: Notify,
}

#[derive(Default)]
struct State {
    /// Namespaces that have quotas, by how many, and the locks that order charges and counts in them.
    namespaces: BTreeMap<String, Namespace>,
    /// Namespaces that need a look, and how close a one.
    stale: BTreeMap<String, Staleness>,
}

/// What may be wrong with what the quotas of a namespace say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Staleness {
    /// Limits may have changed.
    Limits,
    /// Usage changed without a charge.
    Usage,
}

#[derive(Clone, Default)]
struct Namespace {
    /// How many quotas the namespace has.
    quotas: usize,
    counting: Arc<RwLock<()>>,
    /// Charges are made one at a time: they swap the same objects.
    charging: Arc<tokio::sync::Mutex<()>>,
}

/// What a write was charged. The namespace is not counted while this lives.
#[must_use]
#[derive(Default)]
pub(crate) struct Charge {
    hold: Option<(OwnedRwLockReadGuard<()>, Arc<Quotas>, String)>,
    kept: bool,
}

impl Charge {
    /// The write succeeded.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // What was charged for nothing is counted away.
        if let Some((_, quotas, namespace)) = self.hold.take()
            && !self.kept
        {
            quotas.stale(&namespace, Staleness::Usage);
        }
    }
}

impl Quotas {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stale(&self, namespace: &str, how: Staleness) {
        let mut state = self.lock();
        if state.namespaces.contains_key(namespace) {
            let known = state.stale.entry(namespace.to_owned()).or_insert(how);
            *known = how.max(*known);
            self.bell.notify_one();
        }
    }

    /// Takes note of a quota that was there before this process.
    pub(crate) fn load(&self, namespace: &str) {
        let mut state = self.lock();
        state
            .namespaces
            .entry(namespace.to_owned())
            .or_default()
            .quotas += 1;
        state.stale.insert(namespace.to_owned(), Staleness::Usage);
        self.bell.notify_one();
    }

    /// Looks at one change of one object; runs in the thread that commits.
    pub(crate) fn observe(
        &self,
        kind: &Kind,
        before: Option<&Header>,
        now: &Header,
        deleted: bool,
    ) {
        if !quota::counts(kind.resource) {
            return;
        }
        if kind.storage == "resourcequotas" {
            self.observe_quota(&now.namespace, before.is_none(), deleted);
            return;
        }
        let freed = match kind.storage.as_str() {
            _ if deleted => true,
            "pods" => before.is_some_and(|b| b.field("status.phase") != now.field("status.phase")),
            "services" | "persistentvolumeclaims" => before.is_some(),
            _ => false,
        };
        if freed {
            self.stale(&now.namespace, Staleness::Usage);
        }
    }

    fn observe_quota(&self, namespace: &str, is_new: bool, deleted: bool) {
        let mut state = self.lock();
        let entry = state.namespaces.entry(namespace.to_owned()).or_default();
        if deleted {
            entry.quotas = entry.quotas.saturating_sub(1);
            if entry.quotas == 0 {
                state.namespaces.remove(namespace);
                state.stale.remove(namespace);
                return;
            }
        } else if is_new {
            entry.quotas += 1;
        }
        drop(state);
        self.stale(namespace, Staleness::Limits);
    }
}

impl Core {
    /// Charges a write to the quotas of its namespace, or refuses it.
    pub(crate) async fn charge(
        &self,
        kind: &Kind,
        object: &Value,
        old: Option<&Value>,
        dry_run: bool,
    ) -> Result<Charge, Status> {
        let namespace = meta_text(object, "namespace");
        if !quota::counts(kind.resource) {
            return Ok(Charge::default());
        }
        let Some(place) = self.quotas.lock().namespaces.get(namespace).cloned() else {
            return Ok(Charge::default());
        };
        let mut delta = quota::usage(kind.resource, object, Timestamp::now());
        if let Some(old) = old {
            let before = quota::usage(kind.resource, old, Timestamp::now());
            for (name, amount) in &mut delta {
                *amount = amount.minus(before.get(name).copied().unwrap_or(Quantity::zero()));
            }
        }
        delta.retain(|_, amount| amount.sign().is_gt());
        if delta.is_empty() {
            return Ok(Charge::default());
        }
        let _turn = place.charging.lock().await;
        let hold = place.counting.clone().read_owned().await;
        let mut due = Vec::new();
        for found in crate::admission::objects_in(self, "resourcequotas", namespace)? {
            if quota::in_scope(&found, kind.resource, object)
                && let Some(raised) = judge(kind, object, old.is_none(), &found, &delta)?
            {
                due.push((meta_text(&found, "name").to_owned(), raised));
            }
        }
        let mut charge = Charge::default();
        if due.is_empty() || dry_run {
            return Ok(charge);
        }
        charge.hold = Some((hold, self.quotas.clone(), namespace.to_owned()));
        for (name, delta) in due {
            self.raise(kind, object, &name, &delta).await?;
        }
        Ok(charge)
    }

    /// Adds to what a quota says is used.
    async fn raise(
        &self,
        kind: &Kind,
        object: &Value,
        name: &str,
        delta: &Amounts,
    ) -> Result<(), Status> {
        let Some(quotas) = self.kinds.core("resourcequotas") else {
            return Ok(());
        };
        let namespace = meta_text(object, "namespace");
        let propose = |live: &Value| {
            // Another server may have charged in between.
            judge(kind, object, false, live, delta)?;
            let mut next = live.clone();
            for (name, more) in delta {
                let used = amounts(&live["status"], "used");
                let used = used.get(name).copied().unwrap_or(Quantity::zero());
                next["status"]["used"][name] = used.plus(*more).to_string().into();
            }
            Ok(Proposal {
                object: next,
                warnings: Vec::new(),
                managing: Managing::Due,
            })
        };
        match self
            .update(
                &quotas,
                namespace,
                name,
                Part::Status,
                &Writer::system(),
                propose,
            )
            .await
        {
            // A quota that went away limits nothing.
            Err(status) if status.code != 404 => Err(status),
            _ => Ok(()),
        }
    }
}

/// What a quota is to be charged: the part of the delta that it limits. 403 when that is too much.
fn judge(
    kind: &Kind,
    object: &Value,
    is_new: bool,
    found: &Value,
    delta: &Amounts,
) -> Result<Option<Amounts>, Status> {
    let (hard, used) = (
        amounts(&found["status"], "hard"),
        amounts(&found["status"], "used"),
    );
    let quota = meta_text(found, "name");
    let refuse = |why: &str| {
        let name = meta_text(object, "name");
        Err(Status::forbidden(kind.resource, name, why))
    };
    if is_new
        && kind.storage == "pods"
        && let Some(missing) = quota::not_asked_for(&quota::hard(found), object)
    {
        return refuse(&format!("failed quota: {quota}: {missing}"));
    }
    let limited = quota::hard(found);
    let unknown: Vec<&str> = delta
        .keys()
        .filter(|name| limited.contains_key(*name) && !used.contains_key(*name))
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        return refuse(&format!(
            "status unknown for quota: {quota}, resources: {}",
            unknown.join(",")
        ));
    }
    let requested: Amounts = delta
        .iter()
        .filter(|(name, _)| hard.contains_key(*name))
        .map(|(name, amount)| (name.clone(), *amount))
        .collect();
    let exceeded: Vec<&String> = requested
        .iter()
        .filter(|(name, more)| {
            used.get(*name)
                .copied()
                .unwrap_or(Quantity::zero())
                .plus(**more)
                > hard[*name]
        })
        .map(|(name, _)| name)
        .collect();
    if exceeded.is_empty() {
        return Ok((!requested.is_empty()).then_some(requested));
    }
    let only = |amounts: &Amounts| {
        let of = |name: &&String| Some(((*name).clone(), *amounts.get(*name)?));
        quota::printed(&exceeded.iter().filter_map(of).collect())
    };
    refuse(&format!(
        "exceeded quota: {quota}, requested: {}, used: {}, limited: {}",
        only(&requested),
        only(&used),
        only(&hard)
    ))
}
