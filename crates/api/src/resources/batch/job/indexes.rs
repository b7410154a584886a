//! Sets of indexes as Jobs write them: `1,3-5,7`, in growing order.

/// The intervals of a text, ends included, or why it is none.
fn intervals(text: &str, completions: i64) -> Result<Vec<(i64, i64)>, String> {
    let mut found: Vec<(i64, i64)> = Vec::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (first, last) = interval(part, completions)?;
        if let Some((_, previous)) = found.last().filter(|(_, previous)| *previous >= first) {
            return Err(disorder(*previous, first));
        }
        found.push((first, last));
    }
    Ok(found)
}

fn disorder(previous: i64, current: i64) -> String {
    format!("non-increasing order, previous: {previous}, current: {current}")
}

fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    let index = |part: &str| {
        let index: i64 = part
            .parse()
            .map_err(|_| format!("cannot convert string to integer for index: {part:?}"))?;
        if index >= completions {
            return Err(format!("too large index: {part:?}"));
        }
        Ok(index)
    };
    match text.split('-').collect::<Vec<_>>().as_slice() {
        [one] => index(one).map(|one| (one, one)),
        [first, last] => {
            let (first, last) = (index(first)?, index(last)?);
            if first >= last {
                return Err(disorder(first, last));
            }
            Ok((first, last))
        }
        _ => Err(format!(
            "the fragment {text:?} violates the requirement that an index interval can have at most two parts \
             separated by '-'"
        )),
    }
}

/// How many indexes a text names.
pub(super) fn count(text: &str, completions: i64) -> Result<i64, String> {
    let intervals = intervals(text, completions)?;
    Ok(intervals.iter().map(|(first, last)| last - first + 1).sum())
}

/// The first index that two texts share. A text that cannot be read is reported on its own.
pub(super) fn shared(one: &str, other: &str, completions: i64) -> Option<i64> {
    let (one, other) = (
        intervals(one, completions).ok()?,
        intervals(other, completions).ok()?,
    );
    one.iter()
        .flat_map(|a| other.iter().map(move |b| (a.0.max(b.0), a.1.min(b.1))))
        .filter(|(first, last)| first <= last)
        .map(|(first, _)| first)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_counted_or_explained() {
        assert_eq!(count("", 5), Ok(0));
        assert_eq!(count("1,3-5,7", 8), Ok(5));
        for (text, why) in [
            (
                "1-2-3",
                "the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts separated by '-'",
            ),
            ("x", "cannot convert string to integer for index: \"x\""),
            ("9", "too large index: \"9\""),
            ("3-3", "non-increasing order, previous: 3, current: 3"),
            ("1-3,3", "non-increasing order, previous: 3, current: 3"),
        ] {
            assert_eq!(count(text, 8), Err(why.to_owned()), "{text}");
        }
        assert_eq!(shared("0-3,6", "4,5-7", 8), Some(6));
        assert_eq!(shared("0-3", "4", 8), None);
    }
}
