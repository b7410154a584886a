//! The formats a text may be asked to have. Formats nobody knows let everything through.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::Date;
use regex::Regex;

use crate::names;

/// Whether a text has a format.
pub(crate) fn fits(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => {
            text.contains(['T', 't', ' ']) && text.parse::<Timestamp>().is_ok()
        }
        "date" => text.len() == 10 && text.parse::<Date>().is_ok(),
        "duration" => go_duration(text).is_some(),
        "byte" => STANDARD.decode(text).is_ok(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => text.split_once('/').is_some_and(|(address, length)| {
            let most = match address.parse::<IpAddr>() {
                Ok(IpAddr::V4(_)) => 32,
                Ok(IpAddr::V6(_)) => 128,
                Err(_) => return false,
            };
            length.parse::<u8>().is_ok_and(|length| length <= most)
        }),
        "uri" => absolute_uri(text),
        "hostname" => HOSTNAME.is_match(text) && text.len() <= 255,
        "email" => EMAIL.is_match(text),
        "mac" => MAC.is_match(text),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => UUID.is_match(text) && uuid_version(format, text),
        "hexcolor" => HEX_COLOR.is_match(text),
        "k8s-short-name" => names::dns1123_label(text, false).is_empty(),
        "k8s-long-name" => names::dns1123_subdomain(text, false).is_empty(),
        _ => true,
    }
}

fn uuid_version(format: &str, text: &str) -> bool {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    match format {
        "uuid3" => digits[12] == b'3',
        "uuid4" => digits[12] == b'4' && b"89abAB".contains(&digits[16]),
        "uuid5" => digits[12] == b'5' && b"89abAB".contains(&digits[16]),
        _ => true,
    }
}

/// A URI with a scheme, or a rooted path: what Go's `ParseRequestURI` takes.
pub(crate) fn absolute_uri(text: &str) -> bool {
    let clean = !text
        .bytes()
        .any(|byte| byte.is_ascii_control() || byte == b' ');
    clean && (text.starts_with('/') || URI.is_match(text))
}

/// A duration as Go writes it, in nanoseconds: `1h15m30.918s`.
pub(crate) fn go_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 6e10,
            "h" => 3.6e12,
            _ => return None,
        };
        total += number * unit;
        rest = &rest[end..];
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range is checked beside it"
    )]
    let nanos = (total < 9.2e18).then_some(total as i64)?;
    Some(if negative { -nanos } else { nanos })
}

macro_rules! patterns {
    ($($name:ident = $pattern:literal;)*) => {
        $(static $name: LazyLock<Regex> = LazyLock::new(|| {
            // The patterns are ours, and a test compiles each.
            Regex::new($pattern).unwrap_or_else(|error| unreachable!("{error}"))
        });)*
    };
}

patterns! {
    HOSTNAME = r"^[a-zA-Z0-9_]([-a-zA-Z0-9_]{0,61}[a-zA-Z0-9_])?(\.[a-zA-Z0-9_]([-a-zA-Z0-9_]{0,61}[a-zA-Z0-9_])?)*\.?$";
    EMAIL = r"^[^@\s<>]+@[^@\s<>.]+(\.[^@\s<>.]+)*$";
    MAC = r"^([0-9a-fA-F]{2}[:-]){5}([0-9a-fA-F]{2}[:-]){0,14}[0-9a-fA-F]{2}$";
    UUID = r"^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$";
    HEX_COLOR = r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$";
    URI = r"^[a-zA-Z][a-zA-Z0-9+.-]*:.+$";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_their_formats() {
        for (format, good, bad) in [
            ("date-time", "2024-05-06T07:08:09Z", "now"),
            ("date", "2024-02-29", "2024-02-30"),
            ("duration", "1h2.5s", "5"),
            ("byte", "YQ==", "?"),
            ("ipv4", "1.2.3.4", "1.2.3"),
            ("ipv6", "::1", "1.2.3.4"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("uri", "https://a/b", "a b"),
            ("hostname", "a.example.com", "-a"),
            ("email", "a@example.com", "a.example.com"),
            ("mac", "00:11:22:33:44:55", "00:11"),
            (
                "uuid4",
                "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
                "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            ),
            ("hexcolor", "#fff", "#ffff"),
            ("k8s-short-name", "web-0", "Web"),
            ("k8s-long-name", "a.b", "a_b"),
        ] {
            assert!(fits(format, good), "{format} {good}");
            assert!(!fits(format, bad), "{format} {bad}");
        }
        assert!(fits("unheard-of", "anything"));
    }
}
