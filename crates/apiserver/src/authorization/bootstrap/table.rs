//! Reads `roles.txt`, where the form is told. Pure.

use serde_json::{Value, json};

use super::{GROUP, metadata};
use crate::authorization::rbac::Rule;

const TEXT: &str = include_str!("roles.txt");
/// Roles of controllers are bound to the account of this namespace that has the rest of the role's name.
const CONTROLLER: &str = "system:controller:";

/// All default roles and bindings.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) roles: Vec<Role>,
    pub(super) bindings: Vec<Binding>,
}

/// A Role or, without a namespace, a ClusterRole.
#[derive(Debug, Default)]
pub(super) struct Role {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) rules: Vec<Rule>,
    /// Takes the rules of all roles that are `into` this name.
    pub(super) aggregates: String,
    into: String,
}

/// A RoleBinding or, without a namespace, a ClusterRoleBinding.
#[derive(Debug, Default)]
pub(super) struct Binding {
    pub(super) namespace: String,
    name: String,
    role: String,
    /// Kind, namespace, name.
    subjects: Vec<(&'static str, String, String)>,
}

impl Table {
    /// The table, or the number of the first line that is wrong.
    pub(super) fn read() -> Result<Self, usize> {
        let mut table = Self::default();
        for (index, line) in TEXT.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                table.line(line).ok_or(index + 1)?;
            }
        }
        let controllers: Vec<Binding> = table
            .roles
            .iter()
            .filter(|role| role.namespace.is_empty())
            .filter_map(|role| {
                let account = role.name.strip_prefix(CONTROLLER)?;
                Some(Binding {
                    namespace: String::new(),
                    name: role.name.clone(),
                    role: role.name.clone(),
                    subjects: vec![("ServiceAccount", "kube-system".into(), account.into())],
                })
            })
            .collect();
        table.bindings.extend(controllers);
        Ok(table)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["role", name] => self.role(name, ""),
            ["role", name, "in", namespace] => self.role(name, namespace),
            ["into", role] => (*role).clone_into(&mut self.roles.last_mut()?.into),
            ["from", role] => (*role).clone_into(&mut self.roles.last_mut()?.aggregates),
            ["bind", role, rest @ ..] => self.bindings.push(binding(role, rest)?),
            ["events"] => self.roles.last_mut()?.rules.push(Rule {
                verbs: list(&["create", "patch", "update"]),
                api_groups: list(&["", "events.k8s.io"]),
                resources: list(&["events"]),
                ..Rule::default()
            }),
            _ => self.roles.last_mut()?.rules.push(rule(line)?),
        }
        Some(())
    }

    fn role(&mut self, name: &str, namespace: &str) {
        self.roles.push(Role {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            ..Role::default()
        });
    }
}

fn list(words: &[&str]) -> Vec<String> {
    let mut list: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    list.sort();
    list
}

fn rule(line: &str) -> Option<Rule> {
    const READ: &[&str] = &["get", "list", "watch"];
    const WRITE: &[&str] = &["create", "update", "patch", "delete", "deletecollection"];
    // Names hold colons, too; those between the parts stand alone.
    let parts: Vec<Vec<&str>> = line
        .split(" : ")
        .map(|part| part.split_whitespace().collect())
        .collect();
    let verbs = match parts.first()?.as_slice() {
        ["read"] => READ.to_vec(),
        ["write"] => WRITE.to_vec(),
        ["all"] => [READ, WRITE].concat(),
        verbs => verbs.to_vec(),
    };
    let verbs = list(&verbs);
    match &parts[1..] {
        [urls] => Some(Rule {
            verbs,
            urls: list(urls),
            ..Rule::default()
        }),
        [groups, resources, names @ ..] if names.len() < 2 => {
            let groups: Vec<&str> = groups
                .iter()
                .map(|group| if *group == "core" { "" } else { group })
                .collect();
            Some(Rule {
                verbs,
                api_groups: list(&groups),
                resources: list(resources),
                resource_names: names.first().map(|names| list(names)).unwrap_or_default(),
                ..Rule::default()
            })
        }
        _ => None,
    }
}

fn binding(role: &str, rest: &[&str]) -> Option<Binding> {
    let colon = rest.iter().position(|word| *word == ":")?;
    let (place, subjects) = (&rest[..colon], &rest[colon + 1..]);
    let (namespace, name) = match place {
        [] => ("", role),
        ["in", namespace] => (*namespace, role),
        ["in", namespace, "as", name] => (*namespace, *name),
        _ => return None,
    };
    let mut bound = Vec::new();
    for pair in subjects.chunks(2) {
        bound.push(match pair {
            ["user", name] => ("User", String::new(), (*name).to_owned()),
            ["group", name] => ("Group", String::new(), (*name).to_owned()),
            ["account", account] => {
                let (namespace, name) = account.split_once('/')?;
                ("ServiceAccount", namespace.to_owned(), name.to_owned())
            }
            _ => return None,
        });
    }
    Some(Binding {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        role: role.to_owned(),
        subjects: bound,
    })
}

impl Role {
    /// As an object.
    pub(super) fn to_value(&self) -> Value {
        let kind = if self.namespace.is_empty() {
            "ClusterRole"
        } else {
            "Role"
        };
        let rules: Vec<Value> = self.rules.iter().map(Rule::to_value).collect();
        let mut role = json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": kind, "rules": rules,
            "metadata": metadata(&self.namespace, &self.name),
        });
        let label = |role: &str| format!("{GROUP}/aggregate-to-{role}");
        if !self.into.is_empty() {
            role["metadata"]["labels"][label(&self.into)] = "true".into();
        }
        if !self.aggregates.is_empty() {
            let labels = json!({label(&self.aggregates): "true"});
            role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": labels}]});
        }
        role
    }
}

impl Binding {
    /// As an object.
    pub(super) fn to_value(&self) -> Value {
        let (kind, role) = if self.namespace.is_empty() {
            ("ClusterRoleBinding", "ClusterRole")
        } else {
            ("RoleBinding", "Role")
        };
        let subjects: Vec<Value> = self
            .subjects
            .iter()
            .map(|(kind, namespace, name)| {
                if *kind == "ServiceAccount" {
                    json!({"kind": kind, "name": name, "namespace": namespace})
                } else {
                    json!({"apiGroup": GROUP, "kind": kind, "name": name})
                }
            })
            .collect();
        json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": kind, "subjects": subjects,
            "metadata": metadata(&self.namespace, &self.name),
            "roleRef": {"apiGroup": GROUP, "kind": role, "name": self.role},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_understood_and_every_binding_has_its_role() {
        let table = Table::read().unwrap();
        for binding in &table.bindings {
            let found = table
                .roles
                .iter()
                .any(|role| role.name == binding.role && role.namespace == binding.namespace);
            assert!(found, "{}", binding.role);
        }
        let find = |name: &str| {
            let mut roles = table.roles.iter();
            roles.find(|role| role.name == name).unwrap().to_value()
        };
        assert_eq!(
            find("cluster-admin")["rules"],
            json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}])
        );
        let edit = find("edit");
        assert_eq!(
            edit["aggregationRule"]["clusterRoleSelectors"][0]["matchLabels"],
            json!({"rbac.authorization.k8s.io/aggregate-to-edit": "true"})
        );
        assert_eq!(
            edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-admin"],
            "true"
        );
        assert_eq!(
            find("system:certificates.k8s.io:kubelet-serving-approver")["rules"][0]["resourceNames"],
            json!(["kubernetes.io/kubelet-serving"])
        );
    }
}
