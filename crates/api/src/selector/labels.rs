//! Label selectors, as strings and as objects.

use std::fmt;

use serde_json::{Map, Value};

use super::SelectorError;
use crate::names;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Equals,
    NotEquals,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// One condition on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
    /// Sorted, unique.
    values: Vec<String>,
}

impl Requirement {
    fn new(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Self, SelectorError> {
        let invalid = |text: String| Err(SelectorError::Invalid(text));
        if let Some(fault) = names::qualified_name(key).first() {
            return invalid(format!("<nil>: Invalid value: {key:?}: {fault}"));
        }
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                return invalid("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty".into());
            }
            Operator::GreaterThan | Operator::LessThan
                if values.iter().any(|v| v.parse::<i64>().is_err()) =>
            {
                return invalid(format!(
                    "values[0]: Invalid value: {:?}: for 'Gt', 'Lt' operators, the value must be an integer",
                    values[0]
                ));
            }
            _ => {}
        }
        for (index, value) in values.iter().enumerate() {
            if let Some(fault) = names::label_value(value).first() {
                return invalid(format!(
                    "values[{index}][{key}]: Invalid value: {value:?}: {fault}"
                ));
            }
        }
        values.sort();
        values.dedup();
        Ok(Self {
            key: key.to_owned(),
            operator,
            values,
        })
    }

    fn matches(&self, label: Option<&str>) -> bool {
        let contained = || label.is_some_and(|l| self.values.iter().any(|v| v == l));
        let number = |text: &str| text.parse::<i64>().ok();
        let compare = || Some((number(label?)?, number(self.values.first()?)?));
        match self.operator {
            Operator::In | Operator::Equals => contained(),
            Operator::NotIn | Operator::NotEquals => !contained(),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan => compare().is_some_and(|(a, b)| a > b),
            Operator::LessThan => compare().is_some_and(|(a, b)| a < b),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.join(",");
        let key = &self.key;
        match self.operator {
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// All its requirements must hold; without any it matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

impl Selector {
    fn of(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements }
    }

    /// Reads the form used in query strings: `a=b,c in (d,e),!f`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        Parser::new(text).selector().map(Self::of)
    }

    /// Reads a plain map, as in a Service's `spec.selector`.
    pub fn from_map(labels: &Map<String, Value>) -> Result<Self, SelectorError> {
        let requirement = |(key, value): (&String, &Value)| {
            Requirement::new(
                key,
                Operator::Equals,
                vec![value.as_str().unwrap_or_default().to_owned()],
            )
        };
        labels
            .iter()
            .map(requirement)
            .collect::<Result<_, _>>()
            .map(Self::of)
    }

    /// Reads a `LabelSelector` object. An empty one matches everything; what an absent one matches is the caller's.
    pub fn from_object(selector: &Value) -> Result<Self, SelectorError> {
        let empty = Map::new();
        let mut requirements =
            Self::from_map(selector["matchLabels"].as_object().unwrap_or(&empty))?.requirements;
        for expression in selector["matchExpressions"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let key = expression["key"].as_str().unwrap_or_default();
            let values: Vec<String> = expression["values"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|v| v.as_str().unwrap_or_default().to_owned())
                .collect();
            let operator = match expression["operator"].as_str().unwrap_or_default() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(SelectorError::Invalid(format!(
                        "{other:?} is not a valid label selector operator"
                    )));
                }
            };
            requirements.push(Requirement::new(key, operator, values)?);
        }
        Ok(Self::of(requirements))
    }

    /// Whether labels (an object of strings, or null) satisfy every requirement.
    pub fn matches(&self, labels: &Value) -> bool {
        self.requirements
            .iter()
            .all(|r| r.matches(labels.get(&r.key).and_then(Value::as_str)))
    }

    /// Whether it has no requirement and so matches everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

/// Characters that end a word in a label selector.
const SPECIAL: &str = "=!(),><";

struct Parser<'a> {
    tokens: Vec<&'a str>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        let mut tokens = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let word = rest
                .find(|c: char| SPECIAL.contains(c) || c.is_whitespace())
                .unwrap_or(rest.len());
            let length = match word {
                0 if ["==", "!="].iter().any(|t| rest.starts_with(t)) => 2,
                0 => 1,
                word => word,
            };
            tokens.push(&rest[..length]);
            rest = rest[length..].trim_start();
        }
        Self { tokens, at: 0 }
    }

    fn peek(&self) -> &'a str {
        self.tokens.get(self.at).copied().unwrap_or_default()
    }

    fn next(&mut self) -> &'a str {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn syntax<T>(found: &str, expected: &str) -> Result<T, SelectorError> {
        Err(SelectorError::Syntax(format!(
            "found '{found}', expected: {expected}"
        )))
    }

    fn is_word(token: &str) -> bool {
        !token.is_empty() && !token.starts_with(|c| SPECIAL.contains(c))
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, SelectorError> {
        let mut requirements = Vec::new();
        if self.peek().is_empty() {
            return Ok(requirements);
        }
        loop {
            if !Self::is_word(self.peek()) && self.peek() != "!" {
                return Self::syntax(self.peek(), "!, identifier, or 'end of string'");
            }
            let requirement = self.requirement();
            requirements.push(requirement.map_err(SelectorError::in_requirement)?);
            match self.next() {
                "" => return Ok(requirements),
                "," if Self::is_word(self.peek()) || self.peek() == "!" => {}
                "," => return Self::syntax(self.peek(), "identifier after ','"),
                other => return Self::syntax(other, "',' or 'end of string'"),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let absent = self.peek() == "!";
        if absent {
            self.next();
        }
        let key = self.next();
        if !Self::is_word(key) {
            return Self::syntax(key, "identifier");
        }
        if absent {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        let operator = match self.peek() {
            "" | "," => return Requirement::new(key, Operator::Exists, Vec::new()),
            "=" | "==" => Operator::Equals,
            "!=" => Operator::NotEquals,
            "in" => Operator::In,
            "notin" => Operator::NotIn,
            ">" => Operator::GreaterThan,
            "<" => Operator::LessThan,
            other => return Self::syntax(other, "in, notin, =, ==, !=, gt, lt"),
        };
        self.next();
        let values = match operator {
            Operator::In | Operator::NotIn => self.value_set()?,
            _ => vec![self.value()?],
        };
        Requirement::new(key, operator, values)
    }

    fn value(&mut self) -> Result<String, SelectorError> {
        match self.peek() {
            "" | "," => Ok(String::new()),
            word if Self::is_word(word) => Ok(self.next().to_owned()),
            other => Self::syntax(other, "identifier"),
        }
    }

    fn value_set(&mut self) -> Result<Vec<String>, SelectorError> {
        match self.next() {
            "(" => {}
            other => {
                return Err(SelectorError::Syntax(format!(
                    "found '{other}' expected: '('"
                )));
            }
        }
        let mut values = Vec::new();
        loop {
            match self.peek() {
                "," | ")" => values.push(String::new()),
                word if Self::is_word(word) => values.push(self.next().to_owned()),
                other => return Self::syntax(other, "',', ')' or identifier"),
            }
            match self.next() {
                "," => {}
                ")" => return Ok(values),
                other => return Self::syntax(other, "',' or ')'"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("", "", true)]
    #[case("app=web", "app=web", true)]
    #[case(" app == web , tier!=db ", "app=web,tier!=db", true)]
    #[case("tier in (b, a)", "tier in (a,b)", false)]
    #[case("tier notin (db)", "tier notin (db)", true)]
    #[case("!tier,app", "app,!tier", true)]
    #[case("n>3", "n>3", true)]
    #[case("n<3", "n<3", false)]
    #[case("app in ()", "app in ()", false)]
    #[case("tier=", "tier=", false)]
    fn parses_prints_and_matches(
        #[case] text: &str,
        #[case] canonical: &str,
        #[case] matches: bool,
    ) {
        let selector = Selector::parse(text).unwrap();
        assert_eq!(selector.to_string(), canonical);
        assert_eq!(selector.matches(&json!({"app": "web", "n": "5"})), matches);
    }

    #[rstest]
    #[case("a=b,", "found '', expected: identifier after ','")]
    #[case("=b", "found '=', expected: !, identifier, or 'end of string'")]
    #[case("a in 1", "unable to parse requirement: found '1' expected: '('")]
    #[case("a=b c", "found 'c', expected: ',' or 'end of string'")]
    #[case(
        "n>x",
        "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"
    )]
    fn refuses(#[case] text: &str, #[case] why: &str) {
        assert_eq!(Selector::parse(text).unwrap_err().to_string(), why);
    }

    #[test]
    fn keys_and_values_follow_the_label_rules() {
        for text in ["-a=b", "a=b_", "a in (b,-c)"] {
            assert!(
                matches!(Selector::parse(text), Err(SelectorError::Invalid(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn objects_match_like_their_text() {
        let object = json!({"matchLabels": {"foo": "bar"},
            "matchExpressions": [{"key": "baz", "operator": "In", "values": ["b", "a"]}, {"key": "x", "operator": "DoesNotExist"}]});
        let selector = Selector::from_object(&object).unwrap();
        assert_eq!(selector.to_string(), "baz in (a,b),foo=bar,!x");
        assert!(selector.matches(&json!({"foo": "bar", "baz": "a"})));
        assert!(!selector.matches(&Value::Null));
        assert!(
            Selector::from_object(&json!({}))
                .unwrap()
                .matches(&Value::Null)
        );
    }
}
