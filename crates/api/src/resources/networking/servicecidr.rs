//! ServiceCIDR (networking.k8s.io/v1): a range that Services get their addresses from.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::names;
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::checks::each;
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::keep;
use crate::resources::object::{ensure, list};
use crate::{meta, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "networking.k8s.io",
        version: "v1",
        kind: "ServiceCIDR",
        list_kind: "ServiceCIDRList",
        plural: "servicecidrs",
        singular: "servicecidr",
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
    fn default(&self, object: &mut Value) {
        ensure(object, "spec");
        ensure(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({});
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        ranges(&object["spec"])
    }

    /// A second range, of the other family, may be added; else nothing changes.
    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let path = Path::new("spec.cidrs");
        let (after, before) = (list(&new["spec"], "cidrs"), list(&old["spec"], "cidrs"));
        let stays = "field is immutable";
        let changed = after
            .iter()
            .zip(before)
            .enumerate()
            .filter(|(_, (after, before))| after != before)
            .map(|(index, (after, _))| {
                FieldError::invalid(&path.index(index), after.clone(), stays)
            });
        match (before.len(), after.len()) {
            (was, is) if was == is => changed.collect(),
            (1, 2) => changed.chain(ranges(&new["spec"])).collect(),
            _ => vec![FieldError::invalid(&path, after.to_vec(), stays)],
        }
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let cidrs = list(&object["spec"], "cidrs").iter();
        let cidrs: Vec<&str> = cidrs.filter_map(Value::as_str).collect();
        vec![
            meta::name(object).into(),
            cidrs.join(",").into(),
            table::age(object, now),
        ]
    }
}

fn ranges(spec: &Value) -> Vec<FieldError> {
    let (path, cidrs) = (Path::new("spec.cidrs"), list(spec, "cidrs"));
    if cidrs.is_empty() {
        return vec![FieldError::required(&path, "at least one CIDR required")];
    }
    if cidrs.len() > 2 {
        let shown = json!({"CIDRs": cidrs});
        return vec![FieldError::invalid(
            &path,
            shown,
            "may only hold up to 2 values",
        )];
    }
    let cidrs: Vec<&str> = cidrs.iter().filter_map(Value::as_str).collect();
    let mut errors = Vec::new();
    for (index, cidr) in cidrs.iter().enumerate() {
        errors.extend(each(names::canonical_cidr(cidr), &path.index(index), cidr));
    }
    if let [one, other] = cidrs[..]
        && one.contains(':') == other.contains(':')
    {
        let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(FieldError::invalid(&path, json!(cidrs), detail));
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "CIDRs",
        "CIDRs defines the IP blocks in CIDR notation (e.g. \"192.168.0.0/24\" or \"2001:db8::/64\") from which to assign service cluster IPs. Max of two CIDRs is allowed, one of each IP family. This field is immutable.",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    fn cidrs(cidrs: &[&str]) -> Value {
        json!({"spec": {"cidrs": cidrs}})
    }

    #[test]
    fn ranges_are_whole_and_of_different_families() {
        assert!(
            Rules
                .validate(&cidrs(&["10.77.0.0/24", "fd00::/112"]))
                .is_empty()
        );
        assert_eq!(
            texts(&Rules.validate(&cidrs(&["10.77.0.1/24"]))),
            [
                r#"spec.cidrs[0]: Invalid value: "10.77.0.1/24": must not have bits set beyond the prefix length"#
            ]
        );
        let same = texts(&Rules.validate(&cidrs(&["10.77.0.0/24", "10.0.0.0/8"])));
        assert!(
            same[0].contains("no more than one IP for each IP family"),
            "{same:?}"
        );
    }

    #[test]
    fn a_range_stays_but_a_second_family_may_join() {
        let old = cidrs(&["10.77.0.0/24"]);
        assert!(
            Rules
                .validate_update(&cidrs(&["10.77.0.0/24", "fd00::/112"]), &old)
                .is_empty()
        );
        assert_eq!(
            texts(&Rules.validate_update(&cidrs(&["10.78.0.0/24"]), &old)),
            [r#"spec.cidrs[0]: Invalid value: "10.78.0.0/24": field is immutable"#]
        );
    }
}
