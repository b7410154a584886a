//! The difference of two states of a part of an object, as lines: what a refusal shows of a forbidden change.

use std::fmt::Write as _;

use serde_json::Value;

/// Lines shown around a change.
const CONTEXT: usize = 3;

/// A unified difference of two values printed as JSON, without a header; empty when they are equal.
pub(crate) fn unified(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let edits = edits(&old, &new);
    let mut text = String::new();
    let mut at = 0;
    while let Some(first) = (at..edits.len()).find(|i| edits[*i].kind != ' ') {
        let start = first.saturating_sub(CONTEXT).max(at);
        let mut end = first + 1;
        // Changes whose contexts touch share one hunk.
        while let Some(next) =
            (end..edits.len().min(end + 2 * CONTEXT + 1)).find(|i| edits[*i].kind != ' ')
        {
            end = next + 1;
        }
        let stop = (end + CONTEXT).min(edits.len());
        let hunk = &edits[start..stop];
        let count = |other: char| hunk.iter().filter(|edit| edit.kind != other).count();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "@@ -{},{} +{},{} @@",
            hunk[0].old + 1,
            count('+'),
            hunk[0].new + 1,
            count('-')
        );
        for edit in hunk {
            let _ = writeln!(text, "{}{}", edit.kind, edit.line);
        }
        at = stop;
    }
    text
}

/// A value as refusals show it: fields keep the order they are given in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Printed {
    /// Any JSON.
    Value(Value),
    /// A list.
    List(Vec<Printed>),
    /// An object.
    Object(Vec<(String, Printed)>),
}

impl Printed {
    /// JSON on one line.
    pub(crate) fn compact(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, None);
        text
    }

    /// JSON indented by one space a level, as both sides of [`unified`].
    pub(crate) fn lines(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, Some(0));
        text
    }

    fn write(&self, text: &mut String, level: Option<usize>) {
        match self {
            Self::Value(Value::Array(items)) => {
                let items: Vec<_> = items.iter().cloned().map(Self::Value).collect();
                Self::List(items).write(text, level);
            }
            Self::Value(Value::Object(fields)) => {
                let fields = fields.iter();
                let fields = fields.map(|(name, value)| (name.clone(), Self::Value(value.clone())));
                Self::Object(fields.collect()).write(text, level);
            }
            Self::Value(scalar) => text.push_str(&scalar.to_string()),
            Self::List(items) => {
                let items = items.iter().map(|item| (None, item));
                Self::write_all(text, ['[', ']'], items, level);
            }
            Self::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| (Some(name), value));
                Self::write_all(text, ['{', '}'], fields, level);
            }
        }
    }

    fn write_all<'a>(
        text: &mut String,
        [open, close]: [char; 2],
        parts: impl ExactSizeIterator<Item = (Option<&'a String>, &'a Self)>,
        level: Option<usize>,
    ) {
        text.push(open);
        let empty = parts.len() == 0;
        let inside = level.map(|level| level + 1);
        for (index, (name, value)) in parts.enumerate() {
            if index > 0 {
                text.push(',');
            }
            new_line(text, inside);
            if let Some(name) = name {
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                text.push_str(if level.is_some() { " " } else { "" });
            }
            value.write(text, inside);
        }
        if !empty {
            new_line(text, level);
        }
        text.push(close);
    }
}

fn new_line(text: &mut String, level: Option<usize>) {
    if let Some(level) = level {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', level));
    }
}

/// An object whose fields are printed in the order given.
pub(crate) fn printed_fields(fields: &[(&str, Value)]) -> String {
    let fields = fields.iter();
    let fields = fields.map(|(name, value)| ((*name).to_owned(), Printed::Value(value.clone())));
    Printed::Object(fields.collect()).lines()
}

struct Edit<'a> {
    /// ` ` kept, `-` removed, `+` added.
    kind: char,
    line: &'a str,
    /// Position in the old and in the new text.
    old: usize,
    new: usize,
}

/// The shortest way from one text to the other, removals before additions.
fn edits<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Edit<'a>> {
    // common[i][j]: lines that old[i..] and new[j..] share.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut edits) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        let (kind, line) = if i < old.len() && j < new.len() && old[i] == new[j] {
            (' ', old[i])
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            ('-', old[i])
        } else {
            ('+', new[j])
        };
        edits.push(Edit {
            kind,
            line,
            old: i,
            new: j,
        });
        i += usize::from(kind != '+');
        j += usize::from(kind != '-');
    }
    edits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hunks_show_changes_in_context() {
        let lines = |numbers: &[u32]| {
            numbers
                .iter()
                .map(u32::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        };
        let old: Vec<u32> = (1..=20).collect();
        let mut new = old.clone();
        new[4] = 50;
        new[7] = 80;
        new.pop();
        assert_eq!(
            unified(&lines(&old), &lines(&new)),
            "@@ -2,10 +2,10 @@\n 2\n 3\n 4\n-5\n+50\n 6\n 7\n-8\n+80\n 9\n 10\n 11\n@@ -17,4 +17,3 @@\n 17\n 18\n 19\n-20\n"
        );
        assert_eq!(unified("a\n", "a\n"), "");
    }

    #[test]
    fn values_are_printed_line_by_line() {
        let value = Printed::Value(json!({"a": [1], "b": {}, "c": []}));
        assert_eq!(
            value.lines(),
            "{\n \"a\": [\n  1\n ],\n \"b\": {},\n \"c\": []\n}"
        );
        assert_eq!(value.compact(), "{\"a\":[1],\"b\":{},\"c\":[]}");
    }
}
