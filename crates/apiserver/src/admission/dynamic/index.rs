//! Policies and webhooks as requests meet them: compiled, in the order in which they are asked. Made anew when one of
//! them has changed; what has not is taken over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use plinth_api::SelectorError;
use plinth_api::admission::{Matching, MutatingPolicy, ValidatingPolicy};
use serde_json::Value;

use super::request::GROUP;
use super::webhooks::Webhook;
use crate::kind::Kind;
use crate::server::Core;

/// What clients have configured.
pub(crate) struct Hooks {
    index: ArcSwap<Index>,
    /// Whether something has changed since the index was made.
    stale: AtomicBool,
    /// Held by whoever makes it anew.
    making: Mutex<()>,
}

/// All there is to ask.
#[derive(Default)]
pub(crate) struct Index {
    pub(super) mutating: Vec<Bound<MutatingPolicy>>,
    pub(super) mutating_webhooks: Vec<Arc<Webhooks>>,
    pub(super) validating: Vec<Bound<ValidatingPolicy>>,
    pub(super) validating_webhooks: Vec<Arc<Webhooks>>,
}

/// The webhooks of one configuration.
pub(super) struct Webhooks {
    name: String,
    each: Vec<Webhook>,
    revision: u64,
}

/// A policy and where it applies.
pub(super) struct Bound<P> {
    pub(super) policy: Arc<Configured<P>>,
    pub(super) bindings: Vec<Arc<Binding>>,
}

/// A policy.
pub(super) struct Configured<P> {
    pub(super) name: String,
    pub(super) spec: Value,
    pub(super) matching: Result<Matching, SelectorError>,
    pub(super) compiled: P,
    revision: u64,
}

/// Where a policy applies.
pub(super) struct Binding {
    pub(super) name: String,
    pub(super) spec: Value,
    pub(super) matching: Result<Matching, SelectorError>,
    revision: u64,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            index: ArcSwap::default(),
            stale: AtomicBool::new(true),
            making: Mutex::default(),
        }
    }
}

impl Hooks {
    /// Looks at one change of one object; runs in the thread that commits.
    pub(crate) fn observe(&self, kind: &Kind) {
        if kind.resource.group == GROUP {
            self.stale.store(true, Ordering::Release);
        }
    }

    /// What there is to ask now.
    pub(super) fn current(&self, core: &Core) -> Arc<Index> {
        if self.stale.load(Ordering::Acquire) {
            let _alone = self.making.lock().unwrap_or_else(PoisonError::into_inner);
            if self.stale.swap(false, Ordering::AcqRel) {
                let made = Index::read(core, &self.index.load());
                self.index.store(Arc::new(made));
            }
        }
        self.index.load_full()
    }
}

/// The objects of a kind in the order of their names, with their revisions.
fn objects(core: &Core, plural: &str) -> Vec<(u64, Value)> {
    let Some(kind) = core.kinds.find(GROUP, "v1", plural) else {
        return Vec::new();
    };
    let snapshot = kind.cache.snapshot(&core.clock);
    snapshot
        .tree
        .iter(None, None)
        .filter_map(|object| Some((object.revision, serde_json::from_slice(&object.bytes).ok()?)))
        .collect()
}

fn name(object: &Value) -> String {
    object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn each(configurations: &[Arc<Webhooks>]) -> Vec<&Webhook> {
    let webhooks = configurations.iter();
    webhooks
        .flat_map(|configuration| &configuration.each)
        .collect()
}

impl Index {
    /// In the order in which they are asked.
    pub(super) fn mutating_webhooks(&self) -> Vec<&Webhook> {
        each(&self.mutating_webhooks)
    }

    pub(super) fn validating_webhooks(&self) -> Vec<&Webhook> {
        each(&self.validating_webhooks)
    }

    fn read(core: &Core, before: &Self) -> Self {
        let mutating = (
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
        );
        let configurations = [
            "mutatingwebhookconfigurations",
            "validatingwebhookconfigurations",
        ];
        Self {
            mutating: bound(core, &before.mutating, mutating, MutatingPolicy::compile),
            mutating_webhooks: webhooks(core, &before.mutating_webhooks, configurations[0]),
            validating_webhooks: webhooks(core, &before.validating_webhooks, configurations[1]),
            validating: bound(
                core,
                &before.validating,
                (
                    "validatingadmissionpolicies",
                    "validatingadmissionpolicybindings",
                ),
                ValidatingPolicy::compile,
            ),
        }
    }
}

/// The webhooks that there are.
fn webhooks(core: &Core, before: &[Arc<Webhooks>], plural: &str) -> Vec<Arc<Webhooks>> {
    let read = |(revision, object): (u64, Value)| {
        let name = name(&object);
        let known = before.iter().find(|known| known.name == name);
        if let Some(known) = known.filter(|known| known.revision == revision) {
            return known.clone();
        }
        let entries = object["webhooks"].as_array().into_iter().flatten();
        let read = |(index, webhook)| Webhook::read(&name, index, webhook);
        Arc::new(Webhooks {
            each: entries.enumerate().map(read).collect(),
            name,
            revision,
        })
    };
    objects(core, plural).into_iter().map(read).collect()
}

/// The policies that apply anywhere.
fn bound<P>(
    core: &Core,
    before: &[Bound<P>],
    (policies, bindings): (&str, &str),
    compile: impl Fn(&Value) -> P,
) -> Vec<Bound<P>> {
    let known_policies: HashMap<&str, &Arc<Configured<P>>> = before
        .iter()
        .map(|bound| (bound.policy.name.as_str(), &bound.policy))
        .collect();
    let known_bindings: HashMap<&str, &Arc<Binding>> = before
        .iter()
        .flat_map(|bound| &bound.bindings)
        .map(|binding| (binding.name.as_str(), binding))
        .collect();
    let mut by_policy: HashMap<String, Vec<Arc<Binding>>> = HashMap::new();
    for (revision, mut object) in objects(core, bindings) {
        let name = name(&object);
        let known = known_bindings.get(name.as_str());
        let known = known.filter(|known| known.revision == revision);
        let make = || {
            let spec = object["spec"].take();
            Arc::new(Binding {
                matching: Matching::of_policy(&spec["matchResources"]),
                name: name.clone(),
                spec,
                revision,
            })
        };
        let binding = known.map_or_else(make, |known| (*known).clone());
        let policy = binding.spec["policyName"].as_str().unwrap_or_default();
        by_policy
            .entry(policy.to_owned())
            .or_default()
            .push(binding);
    }
    let mut found = Vec::new();
    for (revision, mut object) in objects(core, policies) {
        let name = name(&object);
        let Some(bindings) = by_policy.remove(&name) else {
            continue;
        };
        let known = known_policies.get(name.as_str());
        let known = known.filter(|known| known.revision == revision);
        let make = || {
            let spec = object["spec"].take();
            Arc::new(Configured {
                name: name.clone(),
                matching: Matching::of_policy(&spec["matchConstraints"]),
                compiled: compile(&spec),
                spec,
                revision,
            })
        };
        let policy = known.map_or_else(make, |known| (*known).clone());
        found.push(Bound { policy, bindings });
    }
    found
}
