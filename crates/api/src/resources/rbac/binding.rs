//! RoleBinding and ClusterRoleBinding (rbac.authorization.k8s.io/v1): who has a role.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::GROUP;
use super::role::without_empty;
use crate::field::{FieldError, Path};
use crate::names::{self, Rule};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::each;
use crate::resources::columns::{AGE, NAME, cell, wide};
use crate::resources::object::{ensure, fill, items, list, text};
use crate::{meta, table};

/// RoleBinding's description.
pub(crate) fn role_binding() -> Resource {
    Resource {
        group: GROUP,
        version: "v1",
        kind: "RoleBinding",
        list_kind: "RoleBindingList",
        plural: "rolebindings",
        singular: "rolebinding",
        short_names: &[],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[],
        columns: ROLE_BINDING,
        strategy: &Rules { namespaced: true },
    }
}

/// ClusterRoleBinding's description.
pub(crate) fn cluster_role_binding() -> Resource {
    Resource {
        kind: "ClusterRoleBinding",
        list_kind: "ClusterRoleBindingList",
        plural: "clusterrolebindings",
        singular: "clusterrolebinding",
        scope: Scope::Cluster,
        columns: CLUSTER_ROLE_BINDING,
        strategy: &Rules { namespaced: false },
        ..role_binding()
    }
}

struct Rules {
    namespaced: bool,
}

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        fill(ensure(object, "roleRef"), "apiGroup", GROUP);
        for subject in items(object, "subjects") {
            if matches!(text(subject, "kind"), "User" | "Group") {
                fill(subject, "apiGroup", GROUP);
            }
        }
        without_empty(object, "subjects");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = self.faults_of_role(&object["roleRef"], &Path::new("roleRef"));
        let path = Path::new("subjects");
        for (index, subject) in list(object, "subjects").iter().enumerate() {
            errors.extend(self.faults_of_subject(subject, &path.index(index)));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        if new["roleRef"] != old["roleRef"] {
            let role = &new["roleRef"];
            let shown = json!({"APIGroup": text(role, "apiGroup"), "Kind": text(role, "kind"), "Name": text(role, "name")});
            errors.push(FieldError::invalid(
                &Path::new("roleRef"),
                shown,
                "cannot change roleRef",
            ));
        }
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let role = &object["roleRef"];
        let named = |kind: &str| {
            let subjects = list(object, "subjects").iter();
            let names = subjects
                .filter(|subject| text(subject, "kind") == kind)
                .map(|subject| match kind {
                    "ServiceAccount" => {
                        format!("{}/{}", text(subject, "namespace"), text(subject, "name"))
                    }
                    _ => text(subject, "name").to_owned(),
                });
            Value::from(names.collect::<Vec<_>>().join(", "))
        };
        vec![
            meta::name(object).into(),
            format!("{}/{}", text(role, "kind"), text(role, "name")).into(),
            table::age(object, now),
            named("User"),
            named("Group"),
            named("ServiceAccount"),
        ]
    }

    fn name_rule(&self) -> Rule {
        names::path_segment
    }
}

impl Rules {
    fn faults_of_role(&self, role: &Value, path: &Path) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let kinds: &[&str] = if self.namespaced {
            &["Role", "ClusterRole"]
        } else {
            &["ClusterRole"]
        };
        for (field, supported) in [("apiGroup", &[GROUP][..]), ("kind", kinds)] {
            let value = text(role, field);
            if !supported.contains(&value) {
                errors.push(FieldError::not_supported(
                    &path.child(field),
                    value,
                    supported,
                ));
            }
        }
        let (name, at) = (text(role, "name"), path.child("name"));
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else {
            errors.extend(each(names::path_segment(name, false), &at, name));
        }
        errors
    }

    fn faults_of_subject(&self, subject: &Value, path: &Path) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let (name, group) = (text(subject, "name"), text(subject, "apiGroup"));
        if name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        let unsupported = |field: &str, value: &str, supported: &[&str]| {
            FieldError::not_supported(&path.child(field), value, supported)
        };
        match text(subject, "kind") {
            "ServiceAccount" => {
                if !name.is_empty() {
                    let faults = names::dns1123_subdomain(name, false);
                    errors.extend(each(faults, &path.child("name"), name));
                }
                if !group.is_empty() {
                    errors.push(unsupported("apiGroup", group, &[""]));
                }
                if !self.namespaced && text(subject, "namespace").is_empty() {
                    errors.push(FieldError::required(&path.child("namespace"), ""));
                }
            }
            "User" | "Group" => {
                if group != GROUP {
                    errors.push(unsupported("apiGroup", group, &[GROUP]));
                }
            }
            kind => errors.push(unsupported(
                "kind",
                kind,
                &["ServiceAccount", "User", "Group"],
            )),
        }
        errors
    }
}

const ROLE_BINDING: &[Column] = &[
    NAME,
    cell(
        "Role",
        "RoleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error.",
    ),
    AGE,
    wide("Users", "Users in the roleBinding"),
    wide("Groups", "Groups in the roleBinding"),
    wide("ServiceAccounts", "ServiceAccounts in the roleBinding"),
];

const CLUSTER_ROLE_BINDING: &[Column] = &[
    NAME,
    cell(
        "Role",
        "RoleRef can only reference a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error.",
    ),
    AGE,
    wide("Users", "Users in the clusterRoleBinding"),
    wide("Groups", "Groups in the clusterRoleBinding"),
    wide(
        "ServiceAccounts",
        "ServiceAccounts in the clusterRoleBinding",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn subjects_and_roles_must_be_of_known_kinds() {
        let mut binding = json!({"roleRef": {"kind": "Wrong", "name": "x"},
            "subjects": [{"kind": "ServiceAccount", "name": "a"}, {"kind": "Pod", "name": "p"}, {"kind": "User", "name": "u"}]});
        Rules { namespaced: true }.default(&mut binding);
        assert_eq!(
            texts(&Rules { namespaced: true }.validate(&binding)),
            [
                r#"roleRef.kind: Unsupported value: "Wrong": supported values: "Role", "ClusterRole""#,
                r#"subjects[1].kind: Unsupported value: "Pod": supported values: "ServiceAccount", "User", "Group""#,
            ]
        );
        assert_eq!(
            texts(&Rules { namespaced: false }.validate(&binding))[1],
            "subjects[0].namespace: Required value"
        );
    }

    #[test]
    fn the_role_of_a_binding_stays() {
        let of = |name: &str| json!({"roleRef": {"apiGroup": GROUP, "kind": "Role", "name": name}});
        assert_eq!(
            texts(&Rules { namespaced: true }.validate_update(&of("b"), &of("a"))),
            [
                r#"roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"b"}: cannot change roleRef"#
            ]
        );
    }
}
