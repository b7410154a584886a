//! Field selectors.

use std::fmt;

use super::SelectorError;

/// A selector on fields: `metadata.name=web-0,status.phase!=Failed`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

/// One condition on one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldTerm {
    /// The field, as in `spec.nodeName`.
    pub field: String,
    /// Whether the value must be equal (else: unequal).
    pub equal: bool,
    /// The value compared with.
    pub value: String,
}

impl FieldSelector {
    /// Reads the form used in query strings; `\`, `,` and `=` in values are escaped with a backslash.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms = Vec::new();
        for part in split_unescaped(text).into_iter().filter(|p| !p.is_empty()) {
            let Some((field, equal, value)) = split_term(part) else {
                let why = format!("invalid selector: '{text}'; can't understand '{part}'");
                return Err(SelectorError::Syntax(why));
            };
            let value = unescape(value).ok_or_else(|| {
                SelectorError::Syntax(format!(
                    "invalid field selector: invalid escape sequence in value: {value}"
                ))
            })?;
            terms.push(FieldTerm {
                field: field.to_owned(),
                equal,
                value,
            });
        }
        Ok(Self { terms })
    }

    /// Its conditions; all must hold.
    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// Whether it has no condition.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether every condition holds, given the value of each field (an unknown field has the value "").
    pub fn matches<'v>(&self, mut value_of: impl FnMut(&str) -> Option<&'v str>) -> bool {
        self.terms
            .iter()
            .all(|t| (value_of(&t.field).unwrap_or_default() == t.value) == t.equal)
    }

    /// Takes out the conditions on fields of a sort.
    #[must_use]
    pub fn split_off(&mut self, of: impl Fn(&str) -> bool) -> Self {
        let (out, kept) = std::mem::take(&mut self.terms)
            .into_iter()
            .partition(|term| of(&term.field));
        self.terms = kept;
        Self { terms: out }
    }

    /// The value `field` must have, when the selector asks for exactly one.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms
            .iter()
            .find(|t| t.equal && t.field == field)
            .map(|t| t.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let operator = if term.equal { "=" } else { "!=" };
            let value = term
                .value
                .replace('\\', "\\\\")
                .replace(',', "\\,")
                .replace('=', "\\=");
            write!(f, "{comma}{}{operator}{value}", term.field)?;
        }
        Ok(())
    }
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn split_term(part: &str) -> Option<(&str, bool, &str)> {
    for (index, _) in part.char_indices() {
        for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = part[index..].strip_prefix(operator) {
                return Some((&part[..index], equal, value));
            }
        }
    }
    None
}

fn unescape(value: &str) -> Option<String> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                c @ ('\\' | ',' | '=') => plain.push(c),
                _ => return None,
            },
            '=' | ',' => return None,
            c => plain.push(c),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_selectors_compare_exactly() {
        let selector =
            FieldSelector::parse("metadata.name=web-0,status.phase!=Failed,x==a\\,b").unwrap();
        assert_eq!(selector.exact("metadata.name"), Some("web-0"));
        let fields = |phase: &'static str| {
            move |f: &str| {
                Some(match f {
                    "metadata.name" => "web-0",
                    "x" => "a,b",
                    _ => phase,
                })
            }
        };
        assert!(selector.matches(fields("Running")));
        assert!(!selector.matches(fields("Failed")));
        assert_eq!(
            selector.to_string(),
            "metadata.name=web-0,status.phase!=Failed,x=a\\,b"
        );
        assert!(FieldSelector::parse("nonsense").is_err());
    }
}
