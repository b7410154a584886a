//! The part of JSONPath that printer columns, scale paths and selectable fields are written in:
//! `.spec.size`, `.metadata.annotations.example\.com/a`, `.status.conditions[?(@.type=="Ready")].status`, `.a[0]`, `.a[*]`.

use serde_json::Value;

/// A compiled path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    /// From, to, by; ends that are left out are the list's.
    Slice(Option<i64>, Option<i64>, i64),
    All,
    /// Items of which the path below holds a value that compares like this.
    Filter(JsonPath, Option<(Comparison, Value)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// Reads a path; `None` for what is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}'));
        let text = inner.unwrap_or(text);
        let (path, rest) = Self::read(text.strip_prefix(['$', '@']).unwrap_or(text))?;
        rest.is_empty().then_some(path)
    }

    fn read(mut text: &str) -> Option<(Self, &str)> {
        let mut steps = Vec::new();
        loop {
            if let Some(rest) = text.strip_prefix('.') {
                if rest.is_empty() || rest.starts_with('[') {
                    text = rest;
                    continue;
                }
                let (name, rest) = field(rest);
                steps.push(if name == "*" {
                    Step::All
                } else {
                    Step::Field(name)
                });
                text = rest;
            } else if let Some(rest) = text.strip_prefix('[') {
                let (step, rest) = bracket(rest)?;
                steps.push(step);
                text = rest;
            } else {
                return Some((Self(steps), text));
            }
        }
    }

    /// What the path leads to.
    pub(crate) fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let mut found = vec![value];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.go(value)).collect();
        }
        found
    }

    /// The first thing the path leads to.
    pub(crate) fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.find(value).first().copied()
    }

    /// The names of a path of fields alone.
    pub(crate) fn fields(&self) -> Option<Vec<&str>> {
        let name = |step: &'_ Step| match step {
            Step::Field(name) => Some(name.clone()),
            _ => None,
        };
        self.0.iter().all(|step| name(step).is_some()).then(|| {
            let names = self.0.iter().filter_map(|step| match step {
                Step::Field(name) => Some(name.as_str()),
                _ => None,
            });
            names.collect()
        })
    }
}

/// A field's name up to the next separator; a backslash takes the next character as it is.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '.' | '[' | '=' | '!' | '<' | '>' | ' ' | ')' => return (name, &text[at..]),
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            c => name.push(c),
        }
    }
    (name, "")
}

/// What stands in brackets; the opening one is gone already.
fn bracket(text: &str) -> Option<(Step, &str)> {
    if let Some(rest) = text.strip_prefix("?(") {
        let rest = rest.trim_start().strip_prefix('@')?;
        let (path, rest) = JsonPath::read(rest)?;
        let rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix(")]") {
            return Some((Step::Filter(path, None), rest));
        }
        let (comparison, rest) = comparison(rest)?;
        let (literal, rest) = literal(rest.trim_start())?;
        let rest = rest.trim_start().strip_prefix(")]")?;
        return Some((Step::Filter(path, Some((comparison, literal))), rest));
    }
    if let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let (name, rest) = text[1..].split_once(quote)?;
        return Some((Step::Field(name.to_owned()), rest.strip_prefix(']')?));
    }
    let (inner, rest) = text.split_once(']')?;
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        text => text.parse::<i64>().ok().map(Some),
    };
    let step = match inner.trim() {
        "*" => Step::All,
        inner if inner.contains(':') => {
            let mut parts = inner.split(':');
            let from = number(parts.next()?)?;
            let to = number(parts.next()?)?;
            let by = number(parts.next().unwrap_or(""))?.unwrap_or(1);
            if by < 1 || parts.next().is_some() {
                return None;
            }
            Step::Slice(from, to, by)
        }
        inner => Step::Index(inner.parse().ok()?),
    };
    Some((step, rest))
}

fn comparison(text: &str) -> Option<(Comparison, &str)> {
    [
        ("==", Comparison::Equal),
        ("!=", Comparison::Unequal),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ]
    .into_iter()
    .find_map(|(sign, comparison)| Some((comparison, text.strip_prefix(sign)?)))
}

fn literal(text: &str) -> Option<(Value, &str)> {
    if let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let (literal, rest) = text[1..].split_once(quote)?;
        return Some((Value::from(literal), rest));
    }
    let end = text.find([')', ' '])?;
    Some((serde_json::from_str(&text[..end]).ok()?, &text[end..]))
}

impl Step {
    fn go<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match (self, value) {
            (Self::Field(name), Value::Object(fields)) => fields.get(name).into_iter().collect(),
            (Self::Index(index), Value::Array(items)) => at(items.len(), *index)
                .and_then(|index| items.get(index))
                .into_iter()
                .collect(),
            (Self::Slice(from, to, by), Value::Array(items)) => {
                let end = |bound: &Option<i64>, open: usize| {
                    bound
                        .map_or(Some(open), |bound| at(items.len(), bound))
                        .unwrap_or(0)
                };
                let (from, to) = (end(from, 0), end(to, items.len()).min(items.len()));
                let by = usize::try_from(*by).unwrap_or(1);
                items
                    .get(from..to)
                    .unwrap_or_default()
                    .iter()
                    .step_by(by)
                    .collect()
            }
            (Self::All, Value::Array(items)) => items.iter().collect(),
            (Self::All, Value::Object(fields)) => fields.values().collect(),
            (Self::Filter(path, comparison), Value::Array(items)) => items
                .iter()
                .filter(|item| {
                    let found = path.first(item);
                    match (found, comparison) {
                        (None, _) => false,
                        (Some(_), None) => true,
                        (Some(found), Some((comparison, literal))) => {
                            holds(found, *comparison, literal)
                        }
                    }
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

fn at(length: usize, index: i64) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    usize::try_from(if index < 0 { index + length } else { index }).ok()
}

fn holds(found: &Value, comparison: Comparison, literal: &Value) -> bool {
    let ordering = match (found, literal) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        _ => None,
    };
    match comparison {
        Comparison::Equal => found == literal,
        Comparison::Unequal => found != literal,
        Comparison::Less => ordering.is_some_and(std::cmp::Ordering::is_lt),
        Comparison::LessOrEqual => ordering.is_some_and(std::cmp::Ordering::is_le),
        Comparison::Greater => ordering.is_some_and(std::cmp::Ordering::is_gt),
        Comparison::GreaterOrEqual => ordering.is_some_and(std::cmp::Ordering::is_ge),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(".spec.size", json!([3]))]
    #[case("{.spec.size}", json!([3]))]
    #[case("spec.size", json!(null))]
    #[case(".spec.absent", json!([]))]
    #[case(r".metadata.annotations.example\.com/a", json!(["x"]))]
    #[case(".metadata.annotations['example.com/a']", json!(["x"]))]
    #[case(r#".status.conditions[?(@.type=="Ready")].status"#, json!(["True"]))]
    #[case(".status.conditions[*].type", json!(["Old", "Ready"]))]
    #[case(".status.conditions[-1].type", json!(["Ready"]))]
    #[case(".status.conditions[0:1].type", json!(["Old"]))]
    #[case(".status.conditions[?(@.n > 1)].type", json!(["Ready"]))]
    fn paths_lead_to_values(#[case] path: &str, #[case] expected: Value) {
        let object = json!({"spec": {"size": 3}, "metadata": {"annotations": {"example.com/a": "x"}},
            "status": {"conditions": [{"type": "Old", "n": 1}, {"type": "Ready", "status": "True", "n": 2}]}});
        let found = JsonPath::parse(path)
            .map(|path| path.find(&object).into_iter().cloned().collect::<Value>());
        assert_eq!(found.unwrap_or_default(), expected, "{path}");
    }
}
