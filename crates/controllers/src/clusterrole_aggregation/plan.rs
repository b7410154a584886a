//! Which rules an aggregated role should have. Pure.

use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use plinth_api::Selector;

/// The role with its rules put right; `None` when they are, or when they are its author's own.
pub(super) fn plan(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Option<ClusterRole> {
    let selectors = role
        .aggregation_rule
        .as_ref()?
        .cluster_role_selectors
        .as_ref()?;
    let mut parts: Vec<&Arc<ClusterRole>> = all
        .iter()
        .filter(|other| other.name_any() != role.name_any())
        .filter(|other| selectors.iter().any(|selector| selects(selector, other)))
        .collect();
    parts.sort_by_key(|part| part.name_any());
    let mut rules: Vec<PolicyRule> = Vec::new();
    for rule in parts.iter().flat_map(|part| part.rules.iter().flatten()) {
        if !rules.contains(rule) {
            rules.push(rule.clone());
        }
    }
    if role.rules.clone().unwrap_or_default() == rules {
        return None;
    }
    Some(ClusterRole {
        rules: Some(rules),
        ..role.clone()
    })
}

fn selects(selector: &LabelSelector, role: &ClusterRole) -> bool {
    // Both are JSON objects of the API's own making.
    let (Ok(selector), Ok(labels)) = (
        serde_json::to_value(selector),
        serde_json::to_value(role.labels()),
    ) else {
        return false;
    };
    Selector::from_object(&selector).is_ok_and(|selector| selector.matches(&labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    #[test]
    fn an_aggregated_role_has_the_rules_of_its_parts() {
        let of = |text: &str| Arc::new(object::<ClusterRole>(text));
        let whole = of(
            "{metadata: {name: view}, rules: [], aggregationRule: {clusterRoleSelectors: [{matchLabels: {to: view}}]}}",
        );
        let pods = "{apiGroups: [''], resources: [pods], verbs: [get]}";
        let all = [
            whole.clone(),
            of(&format!(
                "{{metadata: {{name: b, labels: {{to: view}}}}, rules: [{pods}, {{apiGroups: [x], resources: [y], verbs: [get]}}]}}"
            )),
            of(&format!(
                "{{metadata: {{name: a, labels: {{to: view}}}}, rules: [{pods}]}}"
            )),
            of(
                "{metadata: {name: c, labels: {to: edit}}, rules: [{apiGroups: [z], resources: [z], verbs: [get]}]}",
            ),
        ];
        let filled = plan(&whole, &all).expect("rules are missing");
        let groups: Vec<_> = filled
            .rules
            .iter()
            .flatten()
            .map(|rule| rule.api_groups.clone().unwrap_or_default().concat())
            .collect();
        assert_eq!(groups, ["", "x"]);
        assert_eq!(plan(&filled, &all), None, "then it is quiet");
        assert_eq!(plan(&all[1], &all), None);
    }
}
