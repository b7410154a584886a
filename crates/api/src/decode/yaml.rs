//! Reads YAML bodies the way Kubernetes does: YAML 1.1 booleans, octal modes, merge keys.
//! It refuses to know schemas.

use serde_saphyr::DuplicateKeyPolicy;

use super::Node;

/// A YAML document as a tree; of fields given twice only the last is left.
pub(super) struct Parsed {
    pub(super) node: Node,
    /// One text for all fields given twice, if any.
    pub(super) duplicates: Option<String>,
}

/// Parses the document; the error is the text clients get.
pub(super) fn parse(body: &[u8]) -> Result<Parsed, String> {
    let text = std::str::from_utf8(body).map_err(|_| "yaml: invalid leading UTF-8 octet")?;
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
    };
    let parsed: Option<Node> = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| describe(&error, text))?;
    let mut duplicates = Vec::new();
    let value = parsed
        .unwrap_or(Node::Null)
        .into_value(&mut String::new(), &mut duplicates);
    Ok(Parsed {
        node: Node::from(value),
        duplicates: self::duplicates(&duplicates),
    })
}

/// One text for all fields given twice, if any.
pub(super) fn duplicates(paths: &[String]) -> Option<String> {
    let line = |path: &String| {
        let key = path.rsplit(['.', ']']).next().unwrap_or(path);
        format!("key {key:?} already set in map")
    };
    let lines: Vec<_> = paths.iter().map(line).collect();
    (!lines.is_empty()).then(|| format!("yaml: unmarshal errors:\n  {}", lines.join("\n  ")))
}

/// The error as upstream would put it where the two parsers see the same fault.
fn describe(error: &serde_saphyr::Error, body: &str) -> String {
    // A document that ends where a value must come lacks the value, not the bracket behind it.
    let cut = body.trim_end().ends_with(['{', '[', ',']);
    let text = error.without_snippet().to_string();
    let text = text
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ");
    let text = text.split(" at line ").next().unwrap_or(text);
    let text = match text {
        "unclosed bracket '['" | "unclosed bracket '{'" if cut => {
            "did not find expected node content"
        }
        "unclosed bracket '['" => "did not find expected ',' or ']'",
        "unclosed bracket '{'" => "did not find expected ',' or '}'",
        "misplaced bracket" => "did not find expected node content",
        other => other,
    };
    match error.location() {
        Some(location) => format!("yaml: line {}: {text}", location.line()),
        None => format!("yaml: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a: [b\n", "yaml: line 1: did not find expected ',' or ']'")]
    #[case("a: {b: 1\n", "yaml: line 1: did not find expected ',' or '}'")]
    #[case("{{{", "yaml: line 1: did not find expected node content")]
    #[case(
        "a: 1\n b: 2\n",
        "yaml: line 2: mapping values are not allowed in this context"
    )]
    fn errors_read_as_upstream(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(parse(text.as_bytes()).err().unwrap(), expected);
    }
}
