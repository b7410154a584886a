//! A caller as the rest of the server knows it. Knows no credentials.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Members of this group may do everything.
pub(crate) const MASTERS: &str = "system:masters";
/// Everybody with an identity.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// Everybody without one.
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The name of whoever shows no credential.
pub(crate) const ANONYMOUS: &str = "system:anonymous";
/// The beginning of the names of ServiceAccounts.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// A caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// The user's name.
    pub name: String,
    /// Tells apart users who had the same name one after the other; empty when nobody says.
    pub uid: String,
    /// The user's groups.
    pub groups: Vec<String>,
    /// What else the credential says.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// An identity of a part of this process, which may do everything.
    pub fn internal(name: &str) -> Self {
        Self::named(name, &[MASTERS, AUTHENTICATED])
    }

    pub(crate) fn named(name: &str, groups: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..Self::default()
        }
    }

    /// Who shows no credential at all.
    pub(crate) fn anonymous() -> Self {
        Self::named(ANONYMOUS, &[UNAUTHENTICATED])
    }

    /// A ServiceAccount.
    pub(crate) fn service_account(namespace: &str, name: &str) -> Self {
        Self {
            name: format!("{SERVICE_ACCOUNT}{namespace}:{name}"),
            groups: service_account_groups(namespace),
            ..Self::default()
        }
    }

    /// Whoever has an identity is in the group of all who have one.
    #[must_use]
    pub(crate) fn authenticated(mut self) -> Self {
        if !self
            .groups
            .iter()
            .any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED)
        {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }

    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    /// The product that a part of this process would be upstream, by the name its user has there.
    pub(crate) fn agent(&self) -> &str {
        match self.name.strip_prefix("system:") {
            Some(name) if name.starts_with("node:") => "kubelet",
            Some(name) => name,
            None => &self.name,
        }
    }

    pub(crate) fn is_master(&self) -> bool {
        self.is_in(MASTERS)
    }

    /// The name of the node that this user is the agent of.
    pub(crate) fn node(&self) -> Option<&str> {
        let node = self.name.strip_prefix("system:node:")?;
        self.is_in("system:nodes").then_some(node)
    }

    /// As reviews show a user.
    pub(crate) fn to_value(&self) -> Value {
        let mut value = Map::new();
        for (field, text) in [("username", &self.name), ("uid", &self.uid)] {
            if !text.is_empty() {
                value.insert(field.to_owned(), text.as_str().into());
            }
        }
        if !self.groups.is_empty() {
            value.insert("groups".to_owned(), self.groups.clone().into());
        }
        if !self.extra.is_empty() {
            let extra: Map<String, Value> = self
                .extra
                .iter()
                .map(|(key, values)| (key.clone(), values.clone().into()))
                .collect();
            value.insert("extra".to_owned(), extra.into());
        }
        value.into()
    }
}

/// Namespace and name of the ServiceAccount with that user name.
pub(crate) fn split_service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

/// The groups every ServiceAccount of a namespace is in.
pub(crate) fn service_account_groups(namespace: &str) -> Vec<String> {
    vec![
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
    ]
}
