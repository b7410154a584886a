//! Reads scalars that are text on the wire but more than text to the API: times, quantities, bytes.
//! It refuses to know where they stand.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;

use crate::Quantity;

/// Go reads standard base64 with padding and does not look at the unused bits of the last character.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// The canonical text of a quantity.
pub(super) fn quantity(text: &str) -> Result<String, String> {
    text.trim()
        .parse::<Quantity>()
        .map(|quantity| quantity.to_string())
        .map_err(|error| error.to_string())
}

/// Checks base64 text.
pub(super) fn bytes(text: &str) -> Result<(), String> {
    if !text.contains(['\r', '\n']) && BASE64.decode(text).is_ok() {
        return Ok(());
    }
    match first_bad_byte(text.as_bytes()) {
        Some(at) => Err(format!("illegal base64 data at input byte {at}")),
        None => Ok(()),
    }
}

/// Where Go's decoder gives up: at a foreign character, at misplaced padding, or at the start of a quantum that
/// ends too early. Line breaks are skipped.
fn first_bad_byte(text: &[u8]) -> Option<usize> {
    let mut symbols = text
        .iter()
        .enumerate()
        .filter(|(_, byte)| !matches!(byte, b'\r' | b'\n'));
    loop {
        for place in 0..4 {
            let Some((at, byte)) = symbols.next() else {
                return (place > 0).then(|| text.len() - place);
            };
            if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/') {
                continue;
            }
            if *byte != b'=' || place < 2 {
                return Some(at);
            }
            if place == 2 {
                match symbols.next() {
                    Some((_, b'=')) => {}
                    Some((at, _)) => return Some(at),
                    None => return Some(text.len()),
                }
            }
            return symbols.next().map(|(at, _)| at);
        }
    }
}

/// The canonical text of a time: UTC, whole seconds.
pub(super) fn time(text: &str) -> Result<String, String> {
    let time = parse_time(text, "2006-01-02T15:04:05Z07:00", false)?;
    Ok(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The canonical text of a time with microseconds: UTC, always six digits.
pub(super) fn micro_time(text: &str) -> Result<String, String> {
    let time = parse_time(text, "2006-01-02T15:04:05.000000Z07:00", true)?;
    Ok(time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string())
}

fn parse_time(text: &str, layout: &str, micro: bool) -> Result<Timestamp, String> {
    let rest = match shape(text.as_bytes(), micro) {
        Err((element, at)) => {
            return Err(format!(
                "parsing time {text:?} as {layout:?}: cannot parse {:?} as {element:?}",
                text.get(at..).unwrap_or(text)
            ));
        }
        Ok(rest) => rest,
    };
    if rest < text.len() {
        return Err(format!(
            "parsing time {text:?}: extra text: {:?}",
            text.get(rest..).unwrap_or_default()
        ));
    }
    let number = |range: std::ops::Range<usize>| {
        text.get(range)
            .and_then(|digits| digits.parse::<u32>().ok())
    };
    for (range, limits, name) in [
        (5..7, 1..13, "month"),
        (8..10, 1..32, "day"),
        (11..13, 0..24, "hour"),
        (14..16, 0..60, "minute"),
        (17..19, 0..60, "second"),
    ] {
        if !number(range).is_some_and(|value| limits.contains(&value)) {
            return Err(format!("parsing time {text:?}: {name} out of range"));
        }
    }
    text.parse::<Timestamp>()
        .map_err(|_| format!("parsing time {text:?}: day out of range"))
}

/// How far the text has the form of an RFC 3339 time; otherwise the element of Go's layout that failed and where.
fn shape(text: &[u8], micro: bool) -> Result<usize, (&'static str, usize)> {
    let digits = |at: usize, count: usize| {
        text.get(at..at + count)
            .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let date_and_clock: [(&'static str, usize, usize); 11] = [
        ("2006", 0, 4),
        ("-", 4, 0),
        ("01", 5, 2),
        ("-", 7, 0),
        ("02", 8, 2),
        ("T", 10, 0),
        ("15", 11, 2),
        (":", 13, 0),
        ("04", 14, 2),
        (":", 16, 0),
        ("05", 17, 2),
    ];
    for (element, at, count) in date_and_clock {
        let fits = if count == 0 {
            text.get(at) == element.as_bytes().first()
        } else {
            digits(at, count)
        };
        if !fits {
            return Err((element, at));
        }
    }
    let mut at = 19;
    if text.get(at) == Some(&b'.') && digits(at + 1, 1) {
        let fraction = text[at + 1..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if micro && fraction != 6 {
            return Err((".000000", at));
        }
        at += 1 + fraction;
    } else if micro {
        return Err((".000000", at));
    }
    match text.get(at) {
        Some(b'Z') => Ok(at + 1),
        Some(b'+' | b'-')
            if digits(at + 1, 2) && text.get(at + 3) == Some(&b':') && digits(at + 4, 2) =>
        {
            Ok(at + 6)
        }
        _ => Err(("Z07:00", at)),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2024-05-06T07:08:09Z", "2024-05-06T07:08:09Z")]
    #[case("2024-05-06T07:08:09.987Z", "2024-05-06T07:08:09Z")]
    #[case("2024-05-06T07:08:09+02:00", "2024-05-06T05:08:09Z")]
    fn times_are_utc_seconds(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(time(text).as_deref(), Ok(expected));
    }

    #[rstest]
    #[case(
        "now",
        r#"parsing time "now" as "2006-01-02T15:04:05Z07:00": cannot parse "now" as "2006""#
    )]
    #[case(
        "2024-05-06",
        r#"parsing time "2024-05-06" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#
    )]
    #[case(
        "2024-13-06T07:08:09Z",
        r#"parsing time "2024-13-06T07:08:09Z": month out of range"#
    )]
    #[case(
        "2024-02-30T07:08:09Z",
        r#"parsing time "2024-02-30T07:08:09Z": day out of range"#
    )]
    #[case(
        "2024-02-03T07:08:09Zx",
        r#"parsing time "2024-02-03T07:08:09Zx": extra text: "x""#
    )]
    fn a_wrong_time_is_explained(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(time(text).unwrap_err(), expected);
    }

    #[test]
    fn micro_times_keep_six_digits() {
        assert_eq!(
            micro_time("2024-05-06T07:08:09.000120Z").as_deref(),
            Ok("2024-05-06T07:08:09.000120Z")
        );
        assert!(micro_time("2024-05-06T07:08:09Z").is_err());
    }

    #[rstest]
    #[case("YWJj", None)]
    #[case("YQ==", None)]
    #[case("YW\nJj", None)]
    #[case("", None)]
    #[case("?", Some(0))]
    #[case("b", Some(0))]
    #[case("YWJjZA", Some(4))]
    #[case("YQ=a", Some(3))]
    #[case("YQ==x", Some(4))]
    fn base64_faults_are_located(#[case] text: &str, #[case] at: Option<usize>) {
        let expected = at.map_or(Ok(()), |at| {
            Err(format!("illegal base64 data at input byte {at}"))
        });
        assert_eq!(bytes(text), expected);
    }
}
