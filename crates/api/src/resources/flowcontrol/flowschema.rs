//! FlowSchema (flowcontrol.apiserver.k8s.io/v1): which requests are treated at which priority level.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::conditions;
use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::checks::each;
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{ensure, given, int, list, text};
use crate::resources::references::wildcard_alone;
use crate::resources::{first_generation, keep, next_generation};
use crate::{meta, names, table};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const PRECEDENCE: i64 = 1000;
const PRECEDENCE_MAX: i64 = 10_000;
/// Sorted, as messages list them.
const VERBS: [&str; 9] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "proxy",
    "update",
    "watch",
];

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: GROUP,
        version: "v1",
        kind: "FlowSchema",
        list_kind: "FlowSchemaList",
        plural: "flowschemas",
        singular: "flowschema",
        short_names: &[],
        categories: &[],
        scope: Scope::Cluster,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        crate::resources::keep_all_but_status_alone(new, old);
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static str] {
        crate::resources::reset_beside_status(subresource)
    }

    fn default(&self, object: &mut Value) {
        let spec = ensure(object, "spec");
        if int(spec, "matchingPrecedence").unwrap_or(0) == 0 {
            spec["matchingPrecedence"] = PRECEDENCE.into();
        }
        ensure(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({});
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        next_generation(GROUP, "v1", "FlowSchema", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = spec(object);
        errors.extend(conditions(object));
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        conditions(new)
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let method = match text(&spec["distinguisherMethod"], "type") {
            "" => "<none>",
            method => method,
        };
        let dangling = list(&object["status"], "conditions")
            .iter()
            .find(|condition| text(condition, "type") == "Dangling")
            .map_or("?", |condition| text(condition, "status"));
        vec![
            meta::name(object).into(),
            text(&spec["priorityLevelConfiguration"], "name").into(),
            int(spec, "matchingPrecedence").unwrap_or(0).into(),
            method.into(),
            table::age(object, now),
            dangling.into(),
        ]
    }
}

fn spec(object: &Value) -> Vec<FieldError> {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let mut errors = Vec::new();
    let (precedence, at) = (
        int(spec, "matchingPrecedence").unwrap_or(0),
        path.child("matchingPrecedence"),
    );
    let mut refuse = |detail: String| errors.push(FieldError::invalid(&at, precedence, detail));
    if precedence <= 0 {
        refuse("must be a positive value".to_owned());
    }
    if precedence > PRECEDENCE_MAX {
        refuse(format!("must not be greater than {PRECEDENCE_MAX}"));
    }
    if precedence == 1 && meta::name(object) != "exempt" {
        refuse("only the schema named 'exempt' may have matchingPrecedence 1".to_owned());
    }
    if given(spec, "distinguisherMethod") {
        let method = text(&spec["distinguisherMethod"], "type");
        let set = &["ByNamespace", "ByUser"];
        if !set.contains(&method) {
            let at = path.child("distinguisherMethod").child("type");
            errors.push(FieldError::not_supported(&at, json!({"Type": method}), set));
        }
    }
    let level = text(&spec["priorityLevelConfiguration"], "name");
    let at = path.child("priorityLevelConfiguration").child("name");
    if level.is_empty() {
        errors.push(FieldError::required(&at, "must reference a priority level"));
    } else {
        errors.extend(each(names::dns1123_subdomain(level, false), &at, level));
    }
    for (index, entry) in list(spec, "rules").iter().enumerate() {
        errors.extend(rule(entry, &path.child("rules").index(index)));
    }
    errors
}

fn rule(rule: &Value, path: &Path) -> Vec<FieldError> {
    let (subjects, at) = (list(rule, "subjects"), path.child("subjects"));
    let mut errors = Vec::new();
    if subjects.is_empty() {
        let detail = "subjects must contain at least one value";
        errors.push(FieldError::required(&at, detail));
    }
    for (index, entry) in subjects.iter().enumerate() {
        errors.extend(subject(entry, &at.index(index)));
    }
    let (resources, others) = (list(rule, "resourceRules"), list(rule, "nonResourceRules"));
    if resources.is_empty() && others.is_empty() {
        let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path, detail));
    }
    for (index, entry) in resources.iter().enumerate() {
        errors.extend(resource_rule(
            entry,
            &path.child("resourceRules").index(index),
        ));
    }
    for (index, entry) in others.iter().enumerate() {
        let at = path.child("nonResourceRules").index(index);
        errors.extend(verbs(entry, &at));
        errors.extend(urls(entry, &at.child("nonResourceURLs")));
    }
    errors
}

/// Kinds of subjects with the field that describes each.
const SUBJECTS: [(&str, &str); 3] = [
    ("Group", "group"),
    ("ServiceAccount", "serviceAccount"),
    ("User", "user"),
];

fn subject(subject: &Value, path: &Path) -> Vec<FieldError> {
    let kind = text(subject, "kind");
    let Some((_, field)) = SUBJECTS.iter().find(|(known, _)| *known == kind) else {
        let set: Vec<&str> = SUBJECTS.iter().map(|(kind, _)| *kind).collect();
        return vec![FieldError::not_supported(&path.child("kind"), kind, &set)];
    };
    let (described, at) = (&subject[*field], path.child(field));
    let mut errors = Vec::new();
    if described.is_object() {
        errors.extend(who(described, field, &at));
    } else {
        let detail = format!("{field} is required when subject kind is '{kind}'");
        errors.push(FieldError::required(&at, detail));
    }
    // Upstream asks for the others in this order.
    for (other, field) in [SUBJECTS[1], SUBJECTS[2], SUBJECTS[0]] {
        if other != kind && given(subject, field) {
            let detail = format!("{field} is forbidden when subject kind is not '{other}'");
            errors.push(FieldError::forbidden(&path.child(field), detail));
        }
    }
    errors
}

/// The name of a subject, and where a service account lives.
fn who(described: &Value, field: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = text(described, "name");
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    if field != "serviceAccount" {
        return errors;
    }
    if !name.is_empty() && name != "*" {
        let faults = names::dns1123_subdomain(name, false);
        errors.extend(each(faults, &path.child("name"), name));
    }
    let (namespace, at) = (text(described, "namespace"), path.child("namespace"));
    if namespace.is_empty() {
        let detail = "must specify namespace for service account";
        errors.push(FieldError::required(&at, detail));
    } else {
        errors.extend(each(names::dns1123_label(namespace, false), &at, namespace));
    }
    errors
}

fn verbs(rule: &Value, path: &Path) -> Vec<FieldError> {
    let (verbs, at) = (list(rule, "verbs"), path.child("verbs"));
    if verbs.is_empty() {
        let detail = "verbs must contain at least one value";
        return vec![FieldError::required(&at, detail)];
    }
    if verbs.iter().any(|verb| verb == "*") {
        return wildcard_alone(rule, "verbs", path, "verbs");
    }
    let known = |verb: &Value| verb.as_str().is_some_and(|verb| VERBS.contains(&verb));
    if verbs.iter().all(known) {
        Vec::new()
    } else {
        vec![FieldError::not_supported(&at, verbs.to_vec(), &VERBS)]
    }
}

fn resource_rule(rule: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = verbs(rule, path);
    for (field, others, one) in [
        ("apiGroups", "api groups", "api group"),
        ("resources", "resources", "resource"),
    ] {
        if list(rule, field).is_empty() {
            let detail = format!("resource rules must supply at least one {one}");
            errors.push(FieldError::required(&path.child(field), detail));
        }
        errors.extend(wildcard_alone(rule, field, path, others));
    }
    let (namespaces, at) = (list(rule, "namespaces"), path.child("namespaces"));
    if namespaces.is_empty() && rule["clusterScope"] != true {
        let detail =
            "resource rules that are not cluster scoped must supply at least one namespace";
        errors.push(FieldError::required(&at, detail));
    } else if namespaces.iter().any(|namespace| namespace == "*") {
        errors.extend(wildcard_alone(rule, "namespaces", path, "namespaces"));
    } else {
        for (index, namespace) in namespaces.iter().enumerate() {
            let namespace = namespace.as_str().unwrap_or_default();
            let faults = names::dns1123_label(namespace, false).into_iter();
            let intro = "each member of this list must be '*' or a DNS-1123 label; ";
            errors.extend(faults.map(|fault| {
                FieldError::invalid(&at.index(index), namespace, format!("{intro}{fault}"))
            }));
        }
    }
    errors
}

fn urls(rule: &Value, path: &Path) -> Vec<FieldError> {
    let urls = list(rule, "nonResourceURLs");
    if urls.is_empty() {
        let detail = "nonResourceURLs must contain at least one value";
        return vec![FieldError::required(path, detail)];
    }
    if urls.iter().any(|url| url == "*") {
        if urls.len() == 1 {
            return Vec::new();
        }
        let detail = "if '*' is present, must not specify other non-resource URLs";
        return vec![FieldError::invalid(path, urls.to_vec(), detail)];
    }
    let fault = |url: &str| match url {
        "" => Some("must not be empty"),
        "/" => None,
        url if !url.starts_with('/') => Some("must start with slash"),
        url if url.contains(' ') => Some("must not contain white-space"),
        url if url.contains("//") => Some("must not contain double slash"),
        url if url.contains('*') && (url.matches('*').count() > 1 || !url.ends_with("/*")) => {
            Some("wildcard can only do suffix matching")
        }
        _ => None,
    };
    urls.iter()
        .enumerate()
        .filter_map(|(index, url)| {
            let url = url.as_str().unwrap_or_default();
            fault(url).map(|detail| FieldError::invalid(&path.index(index), url, detail))
        })
        .collect()
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "PriorityLevel",
        "`name` is the name of the priority level configuration being referenced Required.",
    ),
    cell(
        "MatchingPrecedence",
        "`matchingPrecedence` is used to choose among the FlowSchemas that match a given request. The chosen FlowSchema is among those with the numerically lowest (which we take to be logically highest) MatchingPrecedence.  Each MatchingPrecedence value must be ranged in [1,10000]. Note that if the precedence is not specified, it will be set to 1000 as default.",
    ),
    cell(
        "DistinguisherMethod",
        "`distinguisherMethod` defines how to compute the flow distinguisher for requests that match this schema. `nil` specifies that the distinguisher is disabled and thus will always be the empty string.",
    ),
    AGE,
    cell(
        "MissingPL",
        "references a broken or non-existent PriorityLevelConfiguration",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    fn faults(rule: &Value) -> Vec<String> {
        let mut schema = json!({"metadata": {"name": "s"}, "spec": {"priorityLevelConfiguration": {"name": "l"}, "rules": [rule]}});
        Rules.default(&mut schema);
        texts(&Rules.validate(&schema))
    }

    #[test]
    fn subjects_are_described_by_their_kind() {
        let all = json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]);
        let rule = |subject: Value| json!({"subjects": [subject], "nonResourceRules": all});
        assert!(faults(&rule(json!({"kind": "User", "user": {"name": "u"}}))).is_empty());
        assert_eq!(
            faults(&rule(json!({"kind": "User", "group": {"name": "g"}}))),
            [
                "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
                "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
            ]
        );
        assert_eq!(
            faults(&rule(json!({"kind": "Odd"}))),
            [
                r#"spec.rules[0].subjects[0].kind: Unsupported value: "Odd": supported values: "Group", "ServiceAccount", "User""#
            ]
        );
    }

    #[test]
    fn rules_name_verbs_and_places() {
        let subjects = json!([{"kind": "Group", "group": {"name": "g"}}]);
        assert_eq!(
            faults(
                &json!({"subjects": subjects, "resourceRules": [{"verbs": ["*", "get"], "apiGroups": ["*"], "resources": ["pods"]}]})
            ),
            [
                r#"spec.rules[0].resourceRules[0].verbs: Invalid value: ["*","get"]: if '*' is present, must not specify other verbs"#,
                "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace",
            ]
        );
        assert_eq!(
            faults(
                &json!({"subjects": subjects, "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/a*", "b"]}]})
            ),
            [
                r#"spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "/a*": wildcard can only do suffix matching"#,
                r#"spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: "b": must start with slash"#,
            ]
        );
    }
}
