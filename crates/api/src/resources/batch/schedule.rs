//! Schedules in cron's five fields or by name, and the time zones they are read in: whether they can be understood.
//! Texts are those of the library upstream reads schedules with.

use jiff::tz::TimeZoneDatabase;

/// What numbers a field may have, and the names of some.
struct Bounds {
    min: u64,
    max: u64,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Bounds; 5] = [
    Bounds::of(0, 59, &[]),
    Bounds::of(0, 23, &[]),
    Bounds::of(1, 31, &[]),
    Bounds::of(1, 12, &MONTHS),
    Bounds::of(0, 6, &DAYS),
];
const NAMED: [&str; 7] = [
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];
/// Units of a duration, longest first where one begins another.
const UNITS: [&str; 8] = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"];

impl Bounds {
    const fn of(min: u64, max: u64, names: &'static [&'static str]) -> Self {
        Self { min, max, names }
    }
}

/// Why a schedule cannot be understood.
pub(super) fn fault(schedule: &str) -> Option<String> {
    check(schedule).err()
}

fn check(schedule: &str) -> Result<(), String> {
    if schedule.is_empty() {
        return Err("empty spec string".to_owned());
    }
    let mut schedule = schedule;
    if schedule.starts_with("TZ=") || schedule.starts_with("CRON_TZ=") {
        let (zone, rest) = schedule.split_once(' ').unwrap_or((schedule, ""));
        let zone = zone.split_once('=').map_or("", |(_, zone)| zone);
        if !known_zone(zone) {
            return Err(format!(
                "provided bad location {zone}: unknown time zone {zone}"
            ));
        }
        schedule = rest.trim();
    }
    if schedule.starts_with('@') {
        return descriptor(schedule);
    }
    let fields: Vec<_> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "expected exactly {} fields, found {}: [{}]",
            FIELDS.len(),
            fields.len(),
            fields.join(" ")
        ));
    }
    for (field, bounds) in fields.iter().zip(&FIELDS) {
        for range in field.split(',').filter(|range| !range.is_empty()) {
            check_range(range, bounds)?;
        }
    }
    Ok(())
}

fn check_range(text: &str, bounds: &Bounds) -> Result<(), String> {
    let parts: Vec<_> = text.split('/').collect();
    let ends: Vec<_> = parts[0].split('-').collect();
    let (start, mut end) = if matches!(ends[0], "*" | "?") {
        (bounds.min, bounds.max)
    } else {
        let start = number_or_name(ends[0], bounds.names)?;
        match ends.as_slice() {
            [_] => (start, start),
            [_, end] => (start, number_or_name(end, bounds.names)?),
            _ => return Err(format!("too many hyphens: {text}")),
        }
    };
    let step = match parts.as_slice() {
        [_] => 1,
        [_, step] => {
            let step = number(step)?;
            // A single number with a step goes on to the end.
            if ends.len() == 1 {
                end = bounds.max;
            }
            step
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    let (min, max) = (bounds.min, bounds.max);
    if start < min {
        return Err(format!(
            "beginning of range ({start}) below minimum ({min}): {text}"
        ));
    }
    if end > max {
        return Err(format!(
            "end of range ({end}) above maximum ({max}): {text}"
        ));
    }
    if start > end {
        return Err(format!(
            "beginning of range ({start}) beyond end of range ({end}): {text}"
        ));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok(())
}

fn number_or_name(text: &str, names: &[&str]) -> Result<u64, String> {
    let lower = text.to_lowercase();
    match names.iter().position(|name| *name == lower) {
        // Months count from one, days from zero; nobody asks for more than whether the order is right.
        Some(at) => Ok(at as u64 + u64::from(names.len() == MONTHS.len())),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax"
        ));
    }
    let Ok(number) = text.parse::<i64>() else {
        return Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {text:?}: value out of range"
        ));
    };
    u64::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
}

fn descriptor(text: &str) -> Result<(), String> {
    if NAMED.contains(&text) {
        return Ok(());
    }
    let Some(duration) = text.strip_prefix("@every ") else {
        return Err(format!("unrecognized descriptor: {text}"));
    };
    check_duration(duration).map_err(|why| format!("failed to parse duration {text}: {why}"))
}

/// Whether a text is a duration such as `1h30m`, as Go reads them.
fn check_duration(text: &str) -> Result<(), String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(());
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let dots = number.bytes().filter(|b| *b == b'.').count();
        if dots > 1 || dots == number.len() {
            return Err(invalid());
        }
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, after) = tail.split_at(end);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        if !UNITS.contains(&unit) {
            return Err(format!("time: unknown unit {unit:?} in duration {text:?}"));
        }
        rest = after;
    }
    Ok(())
}

/// Why a `timeZone` cannot be used.
pub(super) fn zone_faults(zone: &str) -> Vec<String> {
    if zone.is_empty() {
        return vec!["timeZone must be nil or non-empty string".to_owned()];
    }
    let unknown = || format!("unknown time zone {zone}");
    let sound = |part: &str| {
        let letters = |b: u8| b.is_ascii_alphanumeric() || b".-_+".contains(&b);
        (1..=14).contains(&part.len())
            && part.bytes().all(letters)
            && !matches!(part, "." | "..")
            && !part.starts_with('-')
    };
    if !zone.split('/').all(sound) {
        return vec![unknown()];
    }
    let mut faults = Vec::new();
    if zone.eq_ignore_ascii_case("local") {
        faults.push(
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
                .to_owned(),
        );
    }
    if !known_zone(zone) && zone != "Local" {
        faults.push(unknown());
    }
    faults
}

/// Whether there is a zone of exactly this name. The database is part of the program, so the answer is the same
/// wherever it runs.
fn known_zone(name: &str) -> bool {
    // Go takes no name for UTC.
    name.is_empty()
        || TimeZoneDatabase::bundled()
            .get(name)
            .is_ok_and(|zone| zone.iana_name() == Some(name))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("*/5 * * * *")]
    #[case("0 0 31 2 *")]
    #[case("0-30/2,45 ? 1 JAN-mar mon")]
    #[case("5/15 * * * 0")]
    #[case("@hourly")]
    #[case("@every 1h30m")]
    #[case("TZ=UTC 0 0 * * *")]
    #[case("CRON_TZ=Europe/Berlin 0 0 * * *")]
    fn schedules_are_understood(#[case] schedule: &str) {
        assert_eq!(fault(schedule), None);
    }

    #[rstest]
    #[case("", "empty spec string")]
    #[case("* * * *", "expected exactly 5 fields, found 4: [* * * *]")]
    #[case("61 * * * *", "end of range (61) above maximum (59): 61")]
    #[case("* * 0 * *", "beginning of range (0) below minimum (1): 0")]
    #[case("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1")]
    #[case("*/0 * * * *", "step of range should be a positive number: */0")]
    #[case("1-2-3 * * * *", "too many hyphens: 1-2-3")]
    #[case("1/2/3 * * * *", "too many slashes: 1/2/3")]
    #[case(
        "x * * * *",
        "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"
    )]
    #[case(
        "-1 * * * *",
        "failed to parse int from : strconv.Atoi: parsing \"\": invalid syntax"
    )]
    #[case("@often", "unrecognized descriptor: @often")]
    #[case(
        "@every 5",
        "failed to parse duration @every 5: time: missing unit in duration \"5\""
    )]
    #[case(
        "@every 5q",
        "failed to parse duration @every 5q: time: unknown unit \"q\" in duration \"5q\""
    )]
    #[case(
        "TZ=Mars 0 0 * * *",
        "provided bad location Mars: unknown time zone Mars"
    )]
    fn other_schedules_are_explained(#[case] schedule: &str, #[case] why: &str) {
        assert_eq!(fault(schedule).as_deref(), Some(why));
    }

    #[rstest]
    #[case("Europe/Berlin", &[])]
    #[case("UTC", &[])]
    #[case("Etc/GMT+3", &[])]
    #[case("US/Pacific", &[])]
    #[case("europe/berlin", &["unknown time zone europe/berlin"])]
    #[case("Mars/Olympus", &["unknown time zone Mars/Olympus"])]
    #[case("../etc/passwd", &["unknown time zone ../etc/passwd"])]
    #[case("", &["timeZone must be nil or non-empty string"])]
    #[case("Local", &["timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"])]
    fn zones(#[case] zone: &str, #[case] faults: &[&str]) {
        assert_eq!(zone_faults(zone), faults);
    }
}
