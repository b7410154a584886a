//! Roles and bindings, read once when they change and kept by subject, so that a question looks only at the bindings of
//! whoever asks. Fed by the store's events; knows no requests.

mod rule;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use plinth_store::{Event, EventKind};
use serde::Deserialize;

pub(crate) use rule::Rule;

use super::{Attributes, Decision, Subject};
use crate::authentication::UserInfo;
use crate::cache::Clock;
use crate::kind::{Kinds, split_key};

/// Storage names of the four kinds.
const ROLES: &str = "roles.rbac.authorization.k8s.io";
const CLUSTER_ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
const BINDINGS: &str = "rolebindings.rbac.authorization.k8s.io";
const CLUSTER_BINDINGS: &str = "clusterrolebindings.rbac.authorization.k8s.io";

/// All roles and bindings.
#[derive(Default)]
pub(crate) struct Rbac(RwLock<State>);

/// Cluster-wide ones are under the empty namespace.
#[derive(Default)]
struct State {
    roles: HashMap<String, HashMap<String, Arc<[Rule]>>>,
    bindings: HashMap<String, HashMap<String, Arc<Binding>>>,
    /// By namespace and subject, in the order of names.
    by_subject: HashMap<String, HashMap<Who, BTreeMap<String, Arc<Binding>>>>,
}

/// Whom a binding names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    User(String),
    Group(String),
}

/// A role given to subjects.
#[derive(Debug)]
struct Binding {
    namespace: String,
    name: String,
    role: RoleRef,
    subjects: Vec<BoundSubject>,
}

#[derive(Debug, Deserialize)]
struct RoleRef {
    kind: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct BoundSubject {
    kind: String,
    name: String,
    #[serde(default)]
    namespace: String,
}

impl BoundSubject {
    /// The subject, for bindings of this namespace.
    fn who(&self, namespace: &str) -> Option<Who> {
        match self.kind.as_str() {
            "User" => Some(Who::User(self.name.clone())),
            "Group" => Some(Who::Group(self.name.clone())),
            "ServiceAccount" => {
                let home = if self.namespace.is_empty() {
                    namespace
                } else {
                    &self.namespace
                };
                let user = UserInfo::service_account(home, &self.name).name;
                (!home.is_empty()).then_some(Who::User(user))
            }
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self.kind.as_str() {
            "ServiceAccount" => {
                format!(
                    "ServiceAccount {:?}",
                    format!("{}/{}", self.name, self.namespace)
                )
            }
            kind => format!("{kind} {:?}", self.name),
        }
    }
}

/// Where a rule that applies to somebody comes from; written as upstream explains a permission.
pub(crate) struct RuleSource {
    binding: Arc<Binding>,
    who: Who,
}

impl RuleSource {
    fn reason(&self) -> String {
        let binding = &self.binding;
        let (kind, name) = if binding.namespace.is_empty() {
            ("ClusterRoleBinding", binding.name.clone())
        } else {
            (
                "RoleBinding",
                format!("{}/{}", binding.name, binding.namespace),
            )
        };
        let subject = binding
            .subjects
            .iter()
            .find(|subject| subject.who(&binding.namespace).as_ref() == Some(&self.who))
            .map_or_else(String::new, BoundSubject::text);
        format!(
            "RBAC: allowed by {kind} {name:?} of {} {:?} to {subject}",
            binding.role.kind, binding.role.name
        )
    }
}

impl Rbac {
    /// Takes all stored roles and bindings; at the start.
    pub(crate) fn load(&self, kinds: &Kinds, clock: &Clock) {
        for storage in [ROLES, CLUSTER_ROLES, BINDINGS, CLUSTER_BINDINGS] {
            let Some(kind) = kinds.stored_as(storage) else {
                continue;
            };
            let snapshot = kind.cache.snapshot(clock);
            for object in snapshot.tree.iter(None, None) {
                let header = &object.header;
                self.apply(
                    storage,
                    &header.namespace,
                    &header.name,
                    Some(&object.bytes),
                );
            }
        }
    }

    /// Takes a batch of the store's events.
    pub(crate) fn observe(&self, events: &[Event]) {
        for event in events {
            if let Some((storage, namespace, name)) = split_key(&event.key) {
                let live = (event.kind != EventKind::Deleted).then_some(&event.value[..]);
                self.apply(storage, namespace, name, live);
            }
        }
    }

    fn apply(&self, storage: &str, namespace: &str, name: &str, live: Option<&[u8]>) {
        let roles = matches!(storage, ROLES | CLUSTER_ROLES);
        if !roles && !matches!(storage, BINDINGS | CLUSTER_BINDINGS) {
            return;
        }
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if roles {
            let of = state.roles.entry(namespace.to_owned()).or_default();
            match live.and_then(rule::of_role) {
                Some(rules) => of.insert(name.to_owned(), rules),
                None => of.remove(name),
            };
        } else {
            state.bind(
                namespace,
                name,
                live.and_then(|live| binding(namespace, name, live)),
            );
        }
    }

    /// Whether a rule allows this.
    pub(crate) fn decide(&self, attributes: &Attributes<'_>) -> Decision {
        let namespace = match attributes.subject {
            Subject::Resource { namespace, .. } => namespace,
            Subject::Path(_) => "",
        };
        let mut found = None;
        let missing = self.visit(attributes.user, namespace, |source, rules| {
            if rules.iter().any(|rule| rule.allows(attributes)) {
                found = Some(source.reason());
            }
            found.is_none()
        });
        match found {
            Some(reason) => Decision {
                allowed: true,
                reason,
            },
            None => Decision {
                allowed: false,
                reason: match missing.as_slice() {
                    [] => String::new(),
                    [one] => format!("RBAC: {one}"),
                    several => format!("RBAC: [{}]", several.join(", ")),
                },
            },
        }
    }

    /// The rules of every role somebody has in a namespace (and everywhere), until `each` says no. Roles that are bound
    /// but do not exist are returned.
    pub(crate) fn visit(
        &self,
        user: &UserInfo,
        namespace: &str,
        mut each: impl FnMut(&RuleSource, &[Rule]) -> bool,
    ) -> Vec<String> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut missing = Vec::new();
        let mut identities = vec![Who::User(user.name.clone())];
        identities.extend(user.groups.iter().cloned().map(Who::Group));
        let places: &[&str] = if namespace.is_empty() {
            &[""]
        } else {
            &["", namespace]
        };
        for place in places {
            let Some(bindings) = state.by_subject.get(*place) else {
                continue;
            };
            for who in &identities {
                for binding in bindings.get(who).into_iter().flat_map(BTreeMap::values) {
                    let source = RuleSource {
                        binding: binding.clone(),
                        who: who.clone(),
                    };
                    match state.rules(place, &binding.role) {
                        Some(rules) => {
                            if !each(&source, rules) {
                                return missing;
                            }
                        }
                        None => missing.push(not_found(&binding.role)),
                    }
                }
            }
        }
        missing
    }

    /// The rules of a role, `None` when there is no such role.
    pub(crate) fn rules_of(&self, namespace: &str, kind: &str, name: &str) -> Option<Arc<[Rule]>> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let role = RoleRef {
            kind: kind.to_owned(),
            name: name.to_owned(),
        };
        state.rules(namespace, &role).cloned()
    }
}

fn not_found(role: &RoleRef) -> String {
    format!(
        "{}.rbac.authorization.k8s.io {:?} not found",
        role.kind.to_lowercase(),
        role.name
    )
}

impl State {
    fn rules(&self, namespace: &str, role: &RoleRef) -> Option<&Arc<[Rule]>> {
        let place = if role.kind == "ClusterRole" {
            ""
        } else {
            namespace
        };
        self.roles.get(place)?.get(&role.name)
    }

    /// Replaces or removes a binding, and its place under every subject.
    fn bind(&mut self, namespace: &str, name: &str, new: Option<Binding>) {
        let here = self.bindings.entry(namespace.to_owned()).or_default();
        let index = self.by_subject.entry(namespace.to_owned()).or_default();
        if let Some(old) = here.remove(name) {
            for who in old.subjects.iter().filter_map(|s| s.who(namespace)) {
                if let Some(of) = index.get_mut(&who) {
                    of.remove(name);
                    if of.is_empty() {
                        index.remove(&who);
                    }
                }
            }
        }
        if let Some(new) = new {
            let new = Arc::new(new);
            for who in new.subjects.iter().filter_map(|s| s.who(namespace)) {
                index
                    .entry(who)
                    .or_default()
                    .insert(name.to_owned(), new.clone());
            }
            here.insert(name.to_owned(), new);
        }
        if self
            .by_subject
            .get(namespace)
            .is_some_and(HashMap::is_empty)
        {
            self.by_subject.remove(namespace);
        }
    }
}

fn binding(namespace: &str, name: &str, bytes: &[u8]) -> Option<Binding> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Stored {
        role_ref: RoleRef,
        #[serde(default)]
        subjects: Option<Vec<BoundSubject>>,
    }
    let stored: Stored = serde_json::from_slice(bytes)
        .inspect_err(|error| tracing::error!(namespace, name, %error, "a binding is unreadable"))
        .ok()?;
    Some(Binding {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        role: stored.role_ref,
        subjects: stored.subjects.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
