//! One rule of a role: which verbs on which resources or paths, and which rules make another superfluous. Pure.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::authorization::{Attributes, Subject};

/// A rule. Empty names mean every name; everything else that is empty allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) api_groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    pub(crate) urls: Vec<String>,
}

/// The rules of a stored role.
pub(super) fn of_role(bytes: &[u8]) -> Option<Arc<[Rule]>> {
    let role: Value = serde_json::from_slice(bytes).ok()?;
    Some(Rule::list(&role["rules"]).into())
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry == wanted)
}

fn is_all(list: &[String]) -> bool {
    list.iter().any(|entry| entry == "*")
}

impl Rule {
    /// The rules in a role's `rules`. What does not fit a rule gives no permission.
    pub(crate) fn list(rules: &Value) -> Vec<Self> {
        let rules = rules.as_array().into_iter().flatten();
        rules
            .map(|rule| serde_json::from_value(rule.clone()).unwrap_or_default())
            .collect()
    }

    /// Whether the rule allows this.
    pub(crate) fn allows(&self, attributes: &Attributes<'_>) -> bool {
        if !has(&self.verbs, attributes.verb) {
            return false;
        }
        match attributes.subject {
            Subject::Path(path) => self.urls.iter().any(|url| covers_url(url, path)),
            Subject::Resource {
                group,
                resource,
                subresource,
                name,
                ..
            } => {
                has(&self.api_groups, group)
                    && self.names_resource(resource, subresource)
                    && (self.resource_names.is_empty()
                        || self.resource_names.iter().any(|own| own == name))
            }
        }
    }

    fn names_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|own| {
            if own == "*" {
                return true;
            }
            match (own.split_once('/'), subresource) {
                (None, "") => own == resource,
                (Some((of, sub)), asked) => sub == asked && (of == resource || of == "*"),
                (None, _) => false,
            }
        })
    }

    /// The rule in parts that are each about one verb on one thing.
    fn parts(&self) -> Vec<Self> {
        let one = |text: &String| vec![text.clone()];
        let mut parts = Vec::new();
        for verb in &self.verbs {
            for url in &self.urls {
                parts.push(Self {
                    verbs: one(verb),
                    urls: one(url),
                    ..Self::default()
                });
            }
        }
        for group in &self.api_groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    let part = Self {
                        verbs: one(verb),
                        api_groups: one(group),
                        resources: one(resource),
                        ..Self::default()
                    };
                    if self.resource_names.is_empty() {
                        parts.push(part);
                        continue;
                    }
                    for name in &self.resource_names {
                        parts.push(Self {
                            resource_names: one(name),
                            ..part.clone()
                        });
                    }
                }
            }
        }
        parts
    }

    /// Whether this rule allows all that a part of another one allows.
    fn covers(&self, part: &Self) -> bool {
        let all = |own: &[String], wanted: &[String]| {
            is_all(own) || wanted.iter().all(|entry| own.contains(entry))
        };
        let resources = is_all(&self.resources)
            || part.resources.iter().all(|wanted| {
                self.resources.contains(wanted)
                    || wanted
                        .split_once('/')
                        .is_some_and(|(_, sub)| self.resources.contains(&format!("*/{sub}")))
            });
        let names = self.resource_names.is_empty()
            || (!part.resource_names.is_empty()
                && part
                    .resource_names
                    .iter()
                    .all(|name| self.resource_names.contains(name)));
        let urls = part.urls.iter().all(|wanted| {
            self.urls
                .iter()
                .any(|own| own == wanted || covers_url(own, wanted))
        });
        all(&self.verbs, &part.verbs)
            && all(&self.api_groups, &part.api_groups)
            && resources
            && names
            && urls
    }

    /// What of `wanted` these rules do not allow, in parts that belong together put together again.
    pub(crate) fn beyond(held: &[Self], wanted: &[Self]) -> Vec<Self> {
        let parts = wanted.iter().flat_map(Self::parts);
        let lacking: Vec<Self> = parts
            .filter(|part| !held.iter().any(|own| own.covers(part)))
            .collect();
        compact(lacking)
    }

    /// As reviews show it: nothing that is empty.
    pub(crate) fn to_value(&self) -> Value {
        let mut value = json!({"verbs": self.verbs});
        for (field, list) in [
            ("apiGroups", &self.api_groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.urls),
        ] {
            if !list.is_empty() {
                value[field] = json!(list);
            }
        }
        value
    }
}

/// Puts rules that differ in their verb alone together.
fn compact(rules: Vec<Rule>) -> Vec<Rule> {
    let mut compacted: Vec<Rule> = Vec::new();
    for rule in rules {
        let same = |other: &&mut Rule| {
            (
                &other.api_groups,
                &other.resources,
                &other.resource_names,
                &other.urls,
            ) == (
                &rule.api_groups,
                &rule.resources,
                &rule.resource_names,
                &rule.urls,
            )
        };
        match compacted.iter_mut().find(same) {
            Some(other) => other.verbs.extend(rule.verbs),
            None => compacted.push(rule),
        }
    }
    compacted
}

fn covers_url(own: &str, asked: &str) -> bool {
    own == "*"
        || own == asked
        || own
            .strip_suffix('*')
            .is_some_and(|beginning| asked.starts_with(beginning))
}

impl fmt::Display for Rule {
    /// As upstream tells what somebody may not grant.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = Vec::new();
        for (name, list) in [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ] {
            if !list.is_empty() {
                let quoted: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
                fields.push(format!("{name}:[{}]", quoted.join(" ")));
            }
        }
        write!(f, "{{{}}}", fields.join(", "))
    }
}
