//! The order of a merged list: `$setElementOrder` before the patch's order before the live order.
//! It refuses to know how items were merged.

use serde_json::Value;

/// What makes two list items the same one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Identity<'a> {
    /// Objects are told apart by this field.
    Key(&'a str),
    /// Scalars are told apart by their value.
    Whole,
}

impl Identity<'_> {
    /// What the item is told apart by; `None` when it lacks the field.
    pub(super) fn of(self, item: &Value) -> Option<&Value> {
        match self {
            Self::Key(key) => item.get(key),
            Self::Whole => Some(item),
        }
    }

    pub(super) fn position(self, items: &[Value], item: &Value) -> Option<usize> {
        let wanted = self.of(item)?;
        items
            .iter()
            .position(|other| self.of(other) == Some(wanted))
    }
}

/// Orders a merged list: items named in `order` follow it, all others keep their order in `live`, and where both
/// kinds meet, an item goes first that `live` has before the other or that `live` does not know.
pub(super) fn arrange(
    merged: Vec<Value>,
    order: &[Value],
    live: &[Value],
    identity: Identity<'_>,
) -> Vec<Value> {
    let (mut ordered, mut others): (Vec<_>, Vec<_>) = merged
        .into_iter()
        .partition(|item| identity.position(order, item).is_some());
    ordered.sort_by_key(|item| identity.position(order, item));
    others.sort_by_key(|item| identity.position(live, item).unwrap_or(usize::MAX));

    let mut result = Vec::with_capacity(ordered.len() + others.len());
    let (mut ordered, mut others) = (
        ordered.into_iter().peekable(),
        others.into_iter().peekable(),
    );
    loop {
        let live_first = match (others.peek(), ordered.peek()) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(other), Some(item)) => {
                match (
                    identity.position(live, other),
                    identity.position(live, item),
                ) {
                    (Some(other), Some(item)) => other < item,
                    _ => false,
                }
            }
        };
        let Some(item) = (if live_first {
            others.next()
        } else {
            ordered.next()
        }) else {
            return result;
        };
        result.push(item);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::patch_only_items_come_first("a b", "x", "x a b")]
    #[case::known_items_keep_their_place("a b c", "b", "a b c")]
    #[case::the_patch_may_turn_items_round("a b c", "c a", "b c a")]
    #[case::new_between_known("a b", "a x b", "a x b")]
    #[case::new_after_known("a b", "a x", "a x b")]
    #[case::empty_live("", "b a", "b a")]
    fn lists_are_ordered_by_patch_and_live(
        #[case] live: &str,
        #[case] order: &str,
        #[case] expected: &str,
    ) {
        let list = |text: &str| {
            text.split_whitespace()
                .map(|word| json!(word))
                .collect::<Vec<_>>()
        };
        let (live, order) = (list(live), list(order));
        let mut merged = live.clone();
        merged.extend(order.iter().filter(|item| !live.contains(item)).cloned());
        assert_eq!(
            arrange(merged, &order, &live, Identity::Whole),
            list(expected)
        );
    }

    proptest! {
        /// Nothing is lost or invented, and the order list is followed.
        #[test]
        fn arranging_is_a_permutation_that_follows_the_order(
            live in proptest::collection::hash_set(0..20, 0..10),
            order in proptest::collection::hash_set(0..20, 0..10),
        ) {
            let list = |set: &std::collections::HashSet<i32>| set.iter().map(|n| json!(n)).collect::<Vec<_>>();
            let (live, order) = (list(&live), list(&order));
            let mut merged = live.clone();
            merged.extend(order.iter().filter(|item| !live.contains(item)).cloned());
            let result = arrange(merged.clone(), &order, &live, Identity::Whole);
            let followed: Vec<_> = result.iter().filter(|item| order.contains(item)).cloned().collect();
            prop_assert_eq!(followed, order);
            prop_assert_eq!(result.len(), merged.len());
            prop_assert!(merged.iter().all(|item| result.contains(item)));
        }
    }
}
