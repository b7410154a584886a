//! Role and ClusterRole (rbac.authorization.k8s.io/v1): sets of permissions, in a namespace or everywhere.

use jiff::Timestamp;
use serde_json::Value;

use super::GROUP;
use crate::field::{FieldError, Path};
use crate::meta;
use crate::names::{self, Rule};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::columns::{AGE, NAME};
use crate::resources::object::{fill, given, list, null_when_empty, put};

/// Role's description.
pub(crate) fn role() -> Resource {
    Resource {
        group: GROUP,
        version: "v1",
        kind: "Role",
        list_kind: "RoleList",
        plural: "roles",
        singular: "role",
        short_names: &[],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[],
        columns: COLUMNS,
        strategy: &Rules { namespaced: true },
    }
}

/// ClusterRole's description.
pub(crate) fn cluster_role() -> Resource {
    Resource {
        kind: "ClusterRole",
        list_kind: "ClusterRoleList",
        plural: "clusterroles",
        singular: "clusterrole",
        scope: Scope::Cluster,
        strategy: &Rules { namespaced: false },
        ..role()
    }
}

struct Rules {
    namespaced: bool,
}

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        // A role without rules shows that it has none.
        fill(object, "rules", Value::Null);
    }

    fn prepare_create(&self, object: &mut Value) {
        null_when_empty(object, "rules");
    }

    fn prepare_update(&self, new: &mut Value, _old: &Value) {
        null_when_empty(new, "rules");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let path = Path::new("rules");
        let mut errors = Vec::new();
        for (index, rule) in list(object, "rules").iter().enumerate() {
            errors.extend(faults_of_rule(rule, self.namespaced, &path.index(index)));
        }
        if given(object, "aggregationRule")
            && list(&object["aggregationRule"], "clusterRoleSelectors").is_empty()
        {
            errors.push(FieldError::required(
                &Path::new("aggregationRule").child("clusterRoleSelectors"),
                "at least one clusterRoleSelector required if aggregationRule is non-nil",
            ));
        }
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    fn row(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        vec![
            meta::name(object).into(),
            object["metadata"]["creationTimestamp"].clone(),
        ]
    }

    fn name_rule(&self) -> Rule {
        names::path_segment
    }
}

fn faults_of_rule(rule: &Value, namespaced: bool, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let has = |field: &str| !list(rule, field).is_empty();
    if !has("verbs") {
        let detail = "verbs must contain at least one value";
        errors.push(FieldError::required(&path.child("verbs"), detail));
    }
    if has("nonResourceURLs") {
        let (at, urls) = (path.child("nonResourceURLs"), &rule["nonResourceURLs"]);
        if namespaced {
            let detail = "namespaced rules cannot apply to non-resource URLs";
            errors.push(FieldError::invalid(&at, urls.clone(), detail));
        }
        if has("apiGroups") || has("resources") || has("resourceNames") {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(&at, urls.clone(), detail));
        }
        return errors;
    }
    if !has("apiGroups") {
        let detail = "resource rules must supply at least one api group";
        errors.push(FieldError::required(&path.child("apiGroups"), detail));
    }
    if !has("resources") {
        let detail = "resource rules must supply at least one resource";
        errors.push(FieldError::required(&path.child("resources"), detail));
    }
    errors
}

/// Takes what a role's stored form does not carry: lists that are empty.
pub(crate) fn without_empty(object: &mut Value, field: &str) {
    if list(object, field).is_empty() {
        put(object, field, Value::Null);
    }
}

const COLUMNS: &[Column] = &[
    NAME,
    Column {
        name: "Created At",
        kind: "date",
        ..AGE
    },
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn a_rule_is_about_resources_or_about_paths() {
        let check = |namespaced, rule: Value| {
            texts(&Rules { namespaced }.validate(&json!({"rules": [rule]})))
        };
        assert_eq!(
            check(true, json!({})),
            [
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[0].resources: Required value: resource rules must supply at least one resource",
            ]
        );
        let path = json!({"verbs": ["get"], "nonResourceURLs": ["/x"]});
        assert_eq!(
            check(true, path.clone()),
            [
                r#"rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs"#
            ]
        );
        assert!(check(false, path).is_empty());
        let both = json!({"verbs": ["get"], "nonResourceURLs": ["/x"], "resources": ["pods"]});
        assert_eq!(check(false, both).len(), 1);
    }
}
