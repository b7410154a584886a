//! In which order clients prefer API groups and their versions: what discovery lists first. Knows no kinds.

/// Built-in groups with their priority; of equal ones the first by name is preferred.
const GROUPS: &[(&str, u32)] = &[
    ("", 18_000),
    ("apps", 17_800),
    ("events.k8s.io", 17_750),
    ("authentication.k8s.io", 17_700),
    ("authorization.k8s.io", 17_600),
    ("autoscaling", 17_500),
    ("batch", 17_400),
    ("certificates.k8s.io", 17_300),
    ("networking.k8s.io", 17_200),
    ("policy", 17_100),
    ("rbac.authorization.k8s.io", 17_000),
    ("storage.k8s.io", 16_800),
    ("admissionregistration.k8s.io", 16_700),
    ("apiextensions.k8s.io", 16_700),
    ("scheduling.k8s.io", 16_600),
    ("coordination.k8s.io", 16_500),
    ("node.k8s.io", 16_300),
    ("discovery.k8s.io", 16_200),
    ("resource.k8s.io", 16_200),
    ("flowcontrol.apiserver.k8s.io", 16_100),
];
/// The group of the list of groups itself comes before all others and is in no list.
pub(crate) const REGISTRATION: &str = "apiregistration.k8s.io";
/// Groups that users define.
const CUSTOM: u32 = 1000;

/// How much clients prefer a group.
pub(crate) fn priority(group: &str) -> u32 {
    if group == REGISTRATION {
        return u32::MAX;
    }
    GROUPS
        .iter()
        .find(|(known, _)| *known == group)
        .map_or(CUSTOM, |(_, priority)| *priority)
}

/// How much clients prefer a version of a built-in group.
pub(crate) fn version_priority(group: &str, version: &str) -> u32 {
    match (group, version) {
        ("", _) => 1,
        ("autoscaling", "v2") => 30,
        ("flowcontrol.apiserver.k8s.io", _) => 21,
        ("resource.k8s.io", _) => 20,
        _ => 15,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_groups_come_before_those_of_users() {
        let mut groups = ["example.com", "batch", REGISTRATION, "", "apps"];
        groups.sort_by_key(|group| (std::cmp::Reverse(priority(group)), *group));
        assert_eq!(groups, [REGISTRATION, "", "apps", "batch", "example.com"]);
    }
}
