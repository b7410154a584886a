//! Names of resources that amounts are given for: which are known where, and which amounts are whole.

use crate::field::{FieldError, Path};
use crate::names;
use crate::resources::checks::each;

/// Resources of containers that have no domain.
const CONTAINER: [&str; 3] = ["cpu", "ephemeral-storage", "memory"];
/// Objects a quota counts under a short name.
const COUNTED: [&str; 9] = [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];
/// Sums over pods and claims that a quota limits.
const SUMMED: [&str; 10] = [
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
];

/// Whether the name is of huge pages, as containers ask for them.
pub(crate) fn huge_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn without_domain(name: &str) -> bool {
    !name.contains('/')
}

/// Whether the name is of Kubernetes itself rather than of an extension.
fn native(name: &str) -> bool {
    without_domain(name) || name.contains("kubernetes.io/")
}

/// Whether the name is of an extended resource: it has a domain of its own, and a quota can name its requests.
pub(crate) fn extended(name: &str) -> bool {
    !native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether containers may use more of the resource than they request.
pub(crate) fn overcommitted(name: &str) -> bool {
    native(name) && !huge_pages(name)
}

/// Whether amounts of the resource are whole numbers.
pub(crate) fn whole(name: &str) -> bool {
    COUNTED.contains(&name) || extended(name)
}

/// Whether a quota knows the name without a domain.
pub(crate) fn standard_for_quota(name: &str) -> bool {
    let huge = name.strip_prefix("requests.").unwrap_or(name);
    COUNTED.contains(&name) || SUMMED.contains(&name) || huge_pages(huge)
}

/// Faults of any resource name.
pub(crate) fn any(name: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = each(names::qualified_name(name), path, name);
    if errors.is_empty() && without_domain(name) && !(standard_for_quota(name) || name == "storage")
    {
        let detail = "must be a standard resource type or fully qualified";
        errors.push(FieldError::invalid(path, name, detail));
    }
    errors
}

/// Faults of the name of a resource that containers ask for.
pub(crate) fn of_container(name: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = any(name, path);
    if without_domain(name) {
        if !CONTAINER.contains(&name) && !huge_pages(name) {
            let detail = "must be a standard resource for containers";
            errors.push(FieldError::invalid(path, name, detail));
        }
    } else if !native(name) && !extended(name) {
        let detail = "doesn't follow extended resource name standard";
        errors.push(FieldError::invalid(path, name, detail));
    }
    errors
}

/// Faults of the name of a resource that a quota limits.
pub(crate) fn of_quota(name: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = any(name, path);
    if without_domain(name) && !standard_for_quota(name) {
        let detail = "must be a standard resource for quota";
        errors.push(FieldError::invalid(path, name, detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::resources::testing::texts;

    #[rstest]
    #[case("cpu", &[])]
    #[case("hugepages-2Mi", &[])]
    #[case("example.com/gpu", &[])]
    #[case("kubernetes.io/batch", &[])]
    #[case("storage", &["must be a standard resource for containers"])]
    #[case("gpu", &["must be a standard resource type or fully qualified", "must be a standard resource for containers"])]
    #[case("requests.example.com/gpu", &["doesn't follow extended resource name standard"])]
    fn names_for_containers(#[case] name: &str, #[case] want: &[&str]) {
        let want: Vec<_> = want
            .iter()
            .map(|detail| format!("x: Invalid value: {name:?}: {detail}"))
            .collect();
        assert_eq!(texts(&of_container(name, &Path::new("x"))), want);
    }

    #[rstest]
    #[case("pods", true)]
    #[case("requests.storage", true)]
    #[case("count/jobs.batch", true)]
    #[case("requests.hugepages-1Gi", true)]
    #[case("requests.example.com/gpu", true)]
    #[case("fast.storageclass.storage.k8s.io/requests.storage", true)]
    #[case("storage", false)]
    #[case("odd thing", false)]
    fn names_for_quotas(#[case] name: &str, #[case] fine: bool) {
        assert_eq!(of_quota(name, &Path::new("x")).is_empty(), fine);
    }
}
