//! The name rules of Kubernetes: DNS labels and subdomains, qualified names, port names. Texts as clients know them.

/// A rule for `metadata.name`: the faults of a name. `prefix` means it is a `generateName`, whose end is still open.
pub type Rule = fn(name: &str, prefix: bool) -> Vec<String>;

/// The longest DNS label.
pub const LABEL_MAX: usize = 63;
/// The longest DNS subdomain.
pub const SUBDOMAIN_MAX: usize = 253;

fn too_long(max: usize, unit: &str) -> String {
    format!("must be no more than {max} {unit}")
}

fn lower_alnum(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

/// Starts and ends with `edge` bytes and has only `edge` bytes and `inner` bytes between.
fn edged(text: &str, edge: impl Fn(u8) -> bool, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            edge(first) && edge(last) && bytes.iter().all(|&b| edge(b) || inner.contains(&b))
        }
        _ => false,
    }
}

/// The part of a `generateName` that can be judged: its last `-` will be followed by more.
fn open_end(name: &str, prefix: bool) -> String {
    match name.strip_suffix('-') {
        Some(stem) if prefix => format!("{stem}a"),
        _ => name.to_owned(),
    }
}

/// A DNS-1123 subdomain: most object names.
pub fn dns1123_subdomain(name: &str, prefix: bool) -> Vec<String> {
    let name = open_end(name, prefix);
    let mut faults = Vec::new();
    if name.len() > SUBDOMAIN_MAX {
        faults.push(too_long(SUBDOMAIN_MAX, "characters"));
    }
    if !name.split('.').all(|part| edged(part, lower_alnum, b"-")) {
        faults.push("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')".to_owned());
    }
    faults
}

/// A DNS-1123 subdomain whose first label is `*`.
pub fn wildcard_dns1123_subdomain(name: &str) -> Vec<String> {
    let fine = name.strip_prefix("*.").is_some_and(|rest| {
        name.len() <= SUBDOMAIN_MAX && dns1123_subdomain(rest, false).is_empty()
    });
    if fine {
        return Vec::new();
    }
    vec!["a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')".to_owned()]
}

/// A DNS-1123 label: namespaces, containers, StatefulSets.
pub fn dns1123_label(name: &str, prefix: bool) -> Vec<String> {
    let name = open_end(name, prefix);
    let mut faults = Vec::new();
    if name.len() > LABEL_MAX {
        faults.push(too_long(LABEL_MAX, "characters"));
    }
    if !edged(&name, lower_alnum, b"-") {
        faults.push(if dns1123_subdomain(&name, false).is_empty() {
            // Only the dots are wrong.
            "must not contain dots".to_owned()
        } else {
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')".to_owned()
        });
    }
    faults
}

/// A DNS-1035 label: a DNS-1123 label that begins with a letter; service names before 1.34, environment of old tools.
pub fn dns1035_label(name: &str, prefix: bool) -> Vec<String> {
    let name = open_end(name, prefix);
    let mut faults = Vec::new();
    if name.len() > LABEL_MAX {
        faults.push(too_long(LABEL_MAX, "characters"));
    }
    if !(edged(&name, lower_alnum, b"-") && name.as_bytes()[0].is_ascii_lowercase()) {
        faults.push("a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')".to_owned());
    }
    faults
}

/// A name that may stand as one segment of a path.
pub fn path_segment(name: &str, prefix: bool) -> Vec<String> {
    let mut faults = Vec::new();
    if !prefix && (name == "." || name == "..") {
        faults.push(format!("may not be '{name}'"));
    }
    for illegal in ['/', '%'] {
        if name.contains(illegal) {
            faults.push(format!("may not contain '{illegal}'"));
        }
    }
    faults
}

const NAME_PART: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// A label or annotation key: an optional DNS subdomain, a slash, a name.
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>()[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            } else {
                faults.extend(
                    dns1123_subdomain(prefix, false)
                        .into_iter()
                        .map(|f| format!("prefix part {f}")),
                );
            }
            name
        }
        _ => {
            return vec!["a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')".to_owned()];
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        faults.push(format!("name part {}", too_long(LABEL_MAX, "bytes")));
    }
    if !edged(name, |b| b.is_ascii_alphanumeric(), b"-_.") {
        faults.push(format!("name part {NAME_PART}"));
    }
    faults
}

/// The reason of a condition.
pub fn condition_reason(text: &str) -> Vec<String> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let fine = edged(text, word, b",:") && text.as_bytes()[0].is_ascii_alphabetic();
    if fine {
        return Vec::new();
    }
    vec!["a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')".to_owned()]
}

/// A key of a ConfigMap or Secret.
pub fn config_key(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if text.len() > SUBDOMAIN_MAX {
        faults.push(too_long(SUBDOMAIN_MAX, "characters"));
    }
    if text.is_empty()
        || !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    {
        faults.push("a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')".to_owned());
    } else if text == "." || text == ".." {
        faults.push(format!("must not be '{text}'"));
    } else if text.starts_with("..") {
        faults.push("must not start with '..'".to_owned());
    }
    faults
}

/// The name of a container's or service's port.
pub fn port_name(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if text.len() > 15 {
        faults.push(too_long(15, "characters"));
    }
    if text.is_empty() || !text.bytes().all(|b| lower_alnum(b) || b == b'-') {
        faults.push(
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned(),
        );
    } else {
        if !text.bytes().any(|b| b.is_ascii_lowercase()) {
            faults.push("must contain at least one letter (a-z)".to_owned());
        }
        if text.contains("--") {
            faults.push("must not contain consecutive hyphens".to_owned());
        }
        if text.starts_with('-') || text.ends_with('-') {
            faults.push("must not begin or end with a hyphen".to_owned());
        }
    }
    faults
}

/// The number of a port.
pub fn port_number(port: i64) -> Option<&'static str> {
    (!(1..=65535).contains(&port)).then_some("must be between 1 and 65535, inclusive")
}

/// The name of an environment variable.
pub fn env_name(text: &str) -> Vec<String> {
    let fine = text
        .bytes()
        .all(|b| (b' '..=b'~').contains(&b) && b != b'=');
    if fine {
        return Vec::new();
    }
    vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned()]
}

/// An IP address in its usual form.
pub fn ip(text: &str) -> Vec<String> {
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Vec::new();
    }
    // 010.1.1.1 is read as octal by some, as decimal by others.
    let padded = text
        .split('.')
        .any(|part| part.len() > 1 && part.starts_with('0'));
    let decimal: Vec<_> = text
        .split('.')
        .map(|part| part.trim_start_matches('0'))
        .collect();
    let four = decimal.len() == 4
        && decimal
            .iter()
            .all(|p| p.is_empty() || p.parse::<u8>().is_ok());
    vec![if padded && four {
        "must not have leading 0s".to_owned()
    } else {
        "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()
    }]
}

/// A network in CIDR form.
pub fn cidr(text: &str) -> Vec<String> {
    let parsed = text.split_once('/').and_then(|(address, bits)| {
        let address = address.parse::<std::net::IpAddr>().ok()?;
        let bits = bits.parse::<u8>().ok()?;
        (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(())
    });
    if parsed.is_some() {
        return Vec::new();
    }
    vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".to_owned()]
}

/// A network in the one form that is written for it: no bits beyond the prefix, no padding.
pub fn canonical_cidr(text: &str) -> Vec<String> {
    let faults = cidr(text);
    let Some((address, prefix)) = text.split_once('/').filter(|_| faults.is_empty()) else {
        return faults;
    };
    let (Ok(address), Ok(bits)) = (address.parse::<std::net::IpAddr>(), prefix.parse::<u32>())
    else {
        return faults;
    };
    let (width, value) = match address {
        std::net::IpAddr::V4(v4) => (32, u128::from(u32::from(v4))),
        std::net::IpAddr::V6(v6) => (128, u128::from(v6)),
    };
    let beyond = u128::MAX.checked_shr(128 - (width - bits)).unwrap_or(0);
    if value & beyond != 0 {
        return vec!["must not have bits set beyond the prefix length".to_owned()];
    }
    let canonical = format!("{address}/{bits}");
    if canonical == text {
        Vec::new()
    } else {
        vec![format!("must be in canonical form ({canonical:?})")]
    }
}

/// A label's value.
pub fn label_value(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if text.len() > LABEL_MAX {
        faults.push(too_long(LABEL_MAX, "bytes"));
    }
    if !text.is_empty() && !edged(text, |b| b.is_ascii_alphanumeric(), b"-_.") {
        faults.push("a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')".to_owned());
    }
    faults
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::subdomain(dns1123_subdomain, "a-b.c1", true)]
    #[case::subdomain_upper(dns1123_subdomain, "Upper", false)]
    #[case::subdomain_dots(dns1123_subdomain, "a..b", false)]
    #[case::subdomain_edge(dns1123_subdomain, "-a", false)]
    #[case::label(dns1123_label, "1a", true)]
    #[case::label_dot(dns1123_label, "a.b", false)]
    #[case::label_empty(dns1123_label, "", false)]
    #[case::dns1035(dns1035_label, "a1", true)]
    #[case::dns1035_digit(dns1035_label, "1a", false)]
    fn object_names(#[case] rule: Rule, #[case] name: &str, #[case] fine: bool) {
        assert_eq!(
            rule(name, false).is_empty(),
            fine,
            "{:?}",
            rule(name, false)
        );
    }

    #[test]
    fn a_prefix_may_end_in_a_hyphen() {
        assert!(dns1123_label("web-", true).is_empty());
        assert!(!dns1123_label("web-", false).is_empty());
    }

    #[test]
    fn lengths_are_limited() {
        assert_eq!(
            dns1123_label(&"x".repeat(64), false),
            ["must be no more than 63 characters"]
        );
        assert_eq!(
            label_value(&"x".repeat(64)),
            ["must be no more than 63 bytes"]
        );
        assert_eq!(
            dns1123_subdomain(&"x".repeat(254), false),
            ["must be no more than 253 characters"]
        );
    }

    #[rstest]
    #[case("app", 0)]
    #[case("example.com/App_1", 0)]
    #[case("a/b/c", 1)]
    #[case("/x", 1)]
    #[case("", 2)]
    #[case("bad key", 1)]
    fn label_keys(#[case] key: &str, #[case] faults: usize) {
        assert_eq!(
            qualified_name(key).len(),
            faults,
            "{:?}",
            qualified_name(key)
        );
    }

    #[test]
    fn ports_addresses_and_networks() {
        assert!(port_name("http-2").is_empty());
        assert_eq!(port_name("80"), ["must contain at least one letter (a-z)"]);
        assert_eq!(port_name("UPPER_case").len(), 1);
        assert_eq!(ip("010.1.1.1"), ["must not have leading 0s"]);
        assert_eq!(ip("300.1.1.1").len(), 1);
        assert!(
            ip("::1").is_empty()
                && cidr("10.0.0.0/8").is_empty()
                && !cidr("10.0.0.0/33").is_empty()
        );
    }
}
