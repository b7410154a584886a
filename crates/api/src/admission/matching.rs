//! Which requests a webhook or policy is about: rules and the labels of objects and namespaces. Knows no expressions.

use serde_json::Value;

use crate::resources::object::list;
use crate::{Selector, SelectorError};

/// A request, as far as rules look at it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: &'a str,
    /// The API group of the path.
    pub group: &'a str,
    /// The version of the path.
    pub version: &'a str,
    /// The plural name.
    pub resource: &'a str,
    /// May be empty.
    pub subresource: &'a str,
    /// Empty for cluster-wide objects; for a Namespace its own name.
    pub namespace: &'a str,
    /// Empty when it is not known yet.
    pub name: &'a str,
}

impl Asked<'_> {
    /// Whether it is about a Namespace, or a part of one.
    pub fn is_namespace(&self) -> bool {
        self.group.is_empty() && self.resource == "namespaces"
    }
}

/// What a webhook, a policy or a binding says of the requests it is about.
#[derive(Debug)]
pub struct Matching {
    rules: Option<Vec<Rule>>,
    excluded: Vec<Rule>,
    namespaces: Selector,
    objects: Selector,
    /// Whether rules may be met by another version of the same object.
    equivalent: bool,
}

#[derive(Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<(String, String)>,
    names: Vec<String>,
    scope: String,
}

fn texts(object: &Value, field: &str) -> Vec<String> {
    let items = list(object, field).iter();
    items
        .map(|item| item.as_str().unwrap_or_default().to_owned())
        .collect()
}

fn has(list: &[String], text: &str) -> bool {
    list.iter().any(|item| item == "*" || item == text)
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let split = |text: String| match text.split_once('/') {
            Some((resource, sub)) => (resource.to_owned(), sub.to_owned()),
            None => (text, String::new()),
        };
        Self {
            operations: texts(rule, "operations"),
            groups: texts(rule, "apiGroups"),
            versions: texts(rule, "apiVersions"),
            resources: texts(rule, "resources").into_iter().map(split).collect(),
            names: texts(rule, "resourceNames"),
            scope: rule["scope"].as_str().unwrap_or("*").to_owned(),
        }
    }

    fn matches(&self, asked: &Asked<'_>) -> bool {
        let resource = |(resource, sub): &(String, String)| {
            (resource == "*" || resource == asked.resource)
                && (sub == "*" || sub == asked.subresource)
        };
        // A Namespace's namespace is its own name, and still it is cluster-wide.
        let namespaced = !asked.is_namespace() && !asked.namespace.is_empty();
        let scope = match self.scope.as_str() {
            "Namespaced" => namespaced,
            "Cluster" => !namespaced,
            _ => true,
        };
        scope
            && has(&self.operations, asked.operation)
            && has(&self.groups, asked.group)
            && has(&self.versions, asked.version)
            && self.resources.iter().any(resource)
            && (self.names.is_empty() || self.names.iter().any(|name| name == asked.name))
    }
}

impl Matching {
    /// That of a webhook.
    pub fn of_webhook(webhook: &Value) -> Result<Self, SelectorError> {
        Self::read(webhook, "rules")
    }

    /// That of a policy or binding; a binding without one matches whatever its policy does.
    pub fn of_policy(resources: &Value) -> Result<Self, SelectorError> {
        Self::read(resources, "resourceRules")
    }

    fn read(object: &Value, field: &str) -> Result<Self, SelectorError> {
        let rules =
            |field: &str| -> Vec<Rule> { list(object, field).iter().map(Rule::read).collect() };
        let selector = |field: &str| match &object[field] {
            Value::Null => Ok(Selector::default()),
            selector => Selector::from_object(selector),
        };
        let included = rules(field);
        Ok(Self {
            // Webhooks without rules are about nothing; bindings without any are about everything.
            rules: (field == "rules" || !included.is_empty()).then_some(included),
            excluded: rules("excludeResourceRules"),
            namespaces: selector("namespaceSelector")?,
            objects: selector("objectSelector")?,
            equivalent: object["matchPolicy"] == "Equivalent",
        })
    }

    /// By which of the resources that stand for the same object the request is met: the path's own comes first, and the
    /// others count only if that is asked for.
    pub fn by_rules<'a>(&self, own: &Asked<'a>, others: &[Asked<'a>]) -> Option<Asked<'a>> {
        let Some(rules) = &self.rules else {
            return (!self.excludes(own, others)).then_some(*own);
        };
        let found = if rules.iter().any(|rule| rule.matches(own)) {
            Some(*own)
        } else if self.equivalent {
            let mut met = rules
                .iter()
                .filter_map(|rule| others.iter().find(|other| rule.matches(other)));
            met.next().copied()
        } else {
            None
        };
        found.filter(|_| !self.excludes(own, others))
    }

    fn excludes(&self, own: &Asked<'_>, others: &[Asked<'_>]) -> bool {
        self.excluded.iter().any(|rule| {
            rule.matches(own) || (self.equivalent && others.iter().any(|other| rule.matches(other)))
        })
    }

    /// Whether the labels of a namespace must be looked at.
    pub fn selects_namespaces(&self) -> bool {
        self.namespaces != Selector::default()
    }

    /// Whether a namespace with these labels is meant.
    pub fn in_namespace(&self, labels: &Value) -> bool {
        self.namespaces.matches(labels)
    }

    /// Whether an object is meant, as it will be or as it was.
    pub fn object(&self, new: Option<&Value>, old: Option<&Value>) -> bool {
        let meant = |object: Option<&Value>| {
            object
                .filter(|object| object["metadata"].is_object())
                .is_some_and(|object| self.objects.matches(&object["metadata"]["labels"]))
        };
        self.objects == Selector::default() || meant(new) || meant(old)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OWN: Asked<'_> = Asked {
        operation: "UPDATE",
        group: "apps",
        version: "v1",
        resource: "deployments",
        subresource: "",
        namespace: "n",
        name: "d",
    };

    fn met(rule: Value, asked: &Asked<'_>) -> bool {
        let mut rule = rule;
        for (field, any) in [
            ("operations", "*"),
            ("apiGroups", "*"),
            ("apiVersions", "*"),
            ("resources", "*"),
        ] {
            if rule[field].is_null() {
                rule[field] = json!([any]);
            }
        }
        let matching = Matching::of_webhook(&json!({"rules": [rule]})).unwrap();
        matching.by_rules(asked, &[]).is_some()
    }

    #[test]
    fn rules_are_met_by_every_part() {
        let status = Asked {
            subresource: "status",
            ..OWN
        };
        let namespace = Asked {
            group: "",
            resource: "namespaces",
            ..OWN
        };
        for (rule, asked, expected) in [
            (json!({}), &OWN, true),
            (json!({}), &status, false),
            (json!({"resources": ["*/status"]}), &status, true),
            (json!({"resources": ["deployments/*"]}), &status, true),
            (json!({"resources": ["*/*"]}), &OWN, true),
            (json!({"resources": ["pods"]}), &OWN, false),
            (json!({"operations": ["CREATE", "UPDATE"]}), &OWN, true),
            (json!({"operations": ["DELETE"]}), &OWN, false),
            (json!({"apiGroups": [""]}), &OWN, false),
            (json!({"apiVersions": ["v1beta1"]}), &OWN, false),
            (json!({"scope": "Namespaced"}), &OWN, true),
            (json!({"scope": "Cluster"}), &OWN, false),
            (json!({"scope": "Cluster"}), &namespace, true),
            (json!({"resourceNames": ["other"]}), &OWN, false),
        ] {
            assert_eq!(met(rule.clone(), asked), expected, "{rule} {asked:?}");
        }
    }

    #[test]
    fn another_version_of_the_object_counts_when_equivalents_do() {
        let beta = Asked {
            version: "v1beta1",
            ..OWN
        };
        let of = |policy: &str| {
            let rules = json!([{"apiGroups": ["apps"], "apiVersions": ["v1beta1"], "operations": ["*"], "resources": ["deployments"]}]);
            let matching = json!({"resourceRules": rules, "matchPolicy": policy});
            let matching = Matching::of_policy(&matching).unwrap();
            matching.by_rules(&OWN, &[beta]).map(|asked| asked.version)
        };
        assert_eq!(of("Equivalent"), Some("v1beta1"));
        assert_eq!(of("Exact"), None);
    }

    #[test]
    fn what_is_excluded_is_not_met() {
        let rule = json!([{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}]);
        let mut named = rule.clone();
        named[0]["resourceNames"] = json!(["d"]);
        let matching = json!({"resourceRules": rule, "excludeResourceRules": named});
        let matching = Matching::of_policy(&matching).unwrap();
        assert!(matching.by_rules(&OWN, &[]).is_none());
        let other = Asked { name: "e", ..OWN };
        assert!(matching.by_rules(&other, &[]).is_some());
    }

    #[test]
    fn labels_count_as_they_are_and_as_they_were() {
        let matching =
            Matching::of_webhook(&json!({"objectSelector": {"matchLabels": {"a": "b"}}})).unwrap();
        let with = json!({"metadata": {"labels": {"a": "b"}}});
        let without = json!({"metadata": {}});
        assert!(matching.object(Some(&without), Some(&with)));
        assert!(!matching.object(Some(&without), None));
        assert!(!matching.object(None, None));
    }
}
