//! The order in which clients prefer the versions of a group: `v2`, `v1`, `v2beta1`, `v1beta2`, `v1alpha1`, and
//! whatever has no such form behind them, by name.

use std::cmp::{Ordering, Reverse};

/// How stable a version is, and its numbers; the greater is preferred.
fn rank(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let digits = |text: &str| {
        let whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        whole.then(|| text.parse::<u64>().ok()).flatten()
    };
    for (word, stability) in [("alpha", 0), ("beta", 1)] {
        if let Some((major, minor)) = rest.split_once(word) {
            return Some((stability, digits(major)?, digits(minor)?));
        }
    }
    Some((2, digits(rest)?, 0))
}

/// Compares two versions; the preferred one is less.
pub fn prefer_version(a: &str, b: &str) -> Ordering {
    match (rank(a), rank(b)) {
        (Some(ranked), Some(other)) => Reverse(ranked).cmp(&Reverse(other)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_come_first_and_greater_numbers_before_smaller() {
        let mut versions = vec![
            "foo1",
            "v1alpha1",
            "v11alpha2",
            "v3beta1",
            "v10",
            "v12alpha1",
            "v1",
            "v11beta2",
            "v2",
            "foo10",
            "v10beta3",
            "v11alpha1",
        ];
        versions.sort_by(|a, b| prefer_version(a, b));
        let expected = [
            "v10",
            "v2",
            "v1",
            "v11beta2",
            "v10beta3",
            "v3beta1",
            "v12alpha1",
            "v11alpha2",
            "v11alpha1",
            "v1alpha1",
            "foo1",
            "foo10",
        ];
        assert_eq!(versions, expected);
    }
}
