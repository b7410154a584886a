//! Sets of completion indexes as the API writes them: `1,3-5,7`. Knows no Job.

use std::fmt;

use super::work::Index;

/// Distinct indexes in ascending order, as ranges that neither overlap nor touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Indexes(Vec<(Index, Index)>);

impl Indexes {
    /// Reads what is below `count`; what cannot be read is left out.
    pub(crate) fn parse(text: &str, count: Index) -> Self {
        let mut ranges: Vec<(Index, Index)> = text
            .split(',')
            .filter_map(|part| {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                Some((first.parse().ok()?, last.parse().ok()?))
            })
            .filter(|(first, last)| first <= last && *first < count)
            .map(|(first, last): (Index, Index)| (first, last.min(count.saturating_sub(1))))
            .collect();
        ranges.sort_unstable();
        let mut indexes = Self::default();
        for range in ranges {
            indexes.push(range);
        }
        indexes
    }

    /// Appends a range that begins at or after the last one's beginning.
    fn push(&mut self, (first, last): (Index, Index)) {
        match self.0.last_mut() {
            Some(held) if first <= held.1.saturating_add(1) => held.1 = held.1.max(last),
            _ => self.0.push((first, last)),
        }
    }

    /// These and those.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut ranges: Vec<_> = self.0.iter().chain(&other.0).copied().collect();
        ranges.sort_unstable();
        let mut union = Self::default();
        for range in ranges {
            union.push(range);
        }
        union
    }

    pub(crate) fn contains(&self, index: Index) -> bool {
        let at = self.0.partition_point(|range| range.1 < index);
        self.0.get(at).is_some_and(|range| range.0 <= index)
    }

    pub(crate) fn len(&self) -> usize {
        let sizes = self.0.iter().map(|(first, last)| last - first + 1);
        sizes.map(|size| size as usize).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of these are in both.
    pub(crate) fn overlap(&self, other: &Self) -> usize {
        self.len() + other.len() - self.union(other).len()
    }

    /// The first `wanted` indexes below `count` that are not among these.
    pub(crate) fn first_missing(&self, wanted: usize, count: Index) -> Vec<Index> {
        let mut missing = Vec::new();
        let mut candidate = 0;
        for (first, last) in self.0.iter().copied().chain([(count, count)]) {
            while candidate < first.min(count) && missing.len() < wanted {
                missing.push(candidate);
                candidate += 1;
            }
            candidate = candidate.max(last.saturating_add(1));
        }
        missing
    }
}

impl FromIterator<Index> for Indexes {
    fn from_iter<T: IntoIterator<Item = Index>>(indexes: T) -> Self {
        let mut all: Vec<Index> = indexes.into_iter().collect();
        all.sort_unstable();
        let mut set = Self::default();
        for index in all {
            set.push((index, index));
        }
        set
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                // Two neighbours are no range.
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is put in comes out of the text again, and sets behave as sets.
        #[test]
        fn indexes_are_sets(
            a in proptest::collection::btree_set(0u32..60, 0..30),
            b in proptest::collection::btree_set(0u32..60, 0..30),
            wanted in 0usize..70,
        ) {
            let of = |set: &BTreeSet<u32>| set.iter().copied().collect::<Indexes>();
            let (x, y) = (of(&a), of(&b));
            prop_assert_eq!(Indexes::parse(&x.to_string(), 60), x.clone());
            prop_assert_eq!(x.union(&y), of(&(&a | &b)));
            prop_assert_eq!(x.overlap(&y), (&a & &b).len());
            prop_assert_eq!(x.len(), a.len());
            for index in 0..60 {
                prop_assert_eq!(x.contains(index), a.contains(&index));
            }
            let missing: Vec<u32> = (0..60).filter(|i| !a.contains(i)).take(wanted).collect();
            prop_assert_eq!(x.first_missing(wanted, 60), missing);
            let below: BTreeSet<u32> = a.iter().copied().filter(|i| *i < 40).collect();
            prop_assert_eq!(Indexes::parse(&x.to_string(), 40), of(&below));
        }
    }

    #[test]
    fn ranges_are_written_as_upstream_writes_them() {
        let set: Indexes = [0, 1, 3, 5, 6, 7].into_iter().collect();
        assert_eq!(set.to_string(), "0,1,3,5-7");
        assert_eq!(Indexes::parse("x,2-y,4", 10).to_string(), "4");
    }
}
