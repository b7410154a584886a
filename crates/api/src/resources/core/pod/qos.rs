//! The quality-of-service class of a pod, from what its containers ask for.

use serde_json::Value;

use crate::resources::object::{amount_of, list};

/// `Guaranteed` when every container limits cpu and memory to what it requests, `BestEffort` when none asks for any,
/// else `Burstable`.
pub(crate) fn class(spec: &Value) -> &'static str {
    let containers = || {
        ["initContainers", "containers"]
            .into_iter()
            .flat_map(|field| list(spec, field))
    };
    let amount = |container: &Value, kind: &str, name: &str| {
        amount_of(&container["resources"][kind][name]).filter(|amount| amount.sign().is_gt())
    };
    let mut asked = false;
    let mut guaranteed = true;
    for container in containers() {
        for name in ["cpu", "memory"] {
            let (limit, request) = (
                amount(container, "limits", name),
                amount(container, "requests", name),
            );
            asked |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (asked, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(json!([{}]), "BestEffort")]
    #[case(json!([{"resources": {"requests": {"cpu": "0"}}}]), "BestEffort")]
    #[case(json!([{"resources": {"limits": {"cpu": "500m", "memory": "2Mi"}, "requests": {"cpu": "0.5", "memory": "2048Ki"}}}]), "Guaranteed")]
    #[case(json!([{"resources": {"limits": {"cpu": "1", "memory": "1"}}}, {}]), "Burstable")]
    #[case(json!([{"resources": {"limits": {"cpu": "1"}}}]), "Burstable")]
    #[case(json!([{"resources": {"limits": {"cpu": "2", "memory": "1"}, "requests": {"cpu": "1"}}}]), "Burstable")]
    fn classes(#[case] containers: Value, #[case] want: &str) {
        assert_eq!(class(&json!({"containers": containers})), want);
    }
}
