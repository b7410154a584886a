//! Schedules in cron's five fields or by name, and the time zones they are read in: whether they can be understood,
//! and which times they mean. Texts are those of the library upstream reads schedules with.

use jiff::{
    SignedDuration, Timestamp, ToSpan, Zoned,
    tz::{TimeZone, TimeZoneDatabase},
};

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
/// Names, and what they stand for.
const NAMED: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];
/// Units of a duration, in seconds.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("μs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

impl Bounds {
    const fn of(min: u64, max: u64, names: &'static [&'static str]) -> Self {
        Self { min, max, names }
    }
}

/// Times that recur.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    times: Times,
    /// The zone that the schedule itself names.
    zone: Option<TimeZone>,
}

#[derive(Debug, Clone, PartialEq)]
enum Times {
    Every(SignedDuration),
    Fields(Fields),
}

/// For each field the numbers that are meant, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Days of the month and of the week must both fit; otherwise either is enough.
    all_days: bool,
}

/// Further than this ahead there is no time that a schedule could mean: the 31st of February, for one.
const HORIZON_YEARS: i16 = 5;

impl Schedule {
    /// Reads a schedule, or says why it cannot be understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty spec string".to_owned());
        }
        let mut text = text;
        let mut zone = None;
        if names_zone(text) {
            let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
            let name = name.split_once('=').map_or("", |(_, name)| name);
            zone = Some(known_zone(name).ok_or_else(|| {
                format!("provided bad location {name}: unknown time zone {name}")
            })?);
            text = rest.trim();
        }
        let times = if text.starts_with('@') {
            descriptor(text)?
        } else {
            Times::Fields(fields(text)?)
        };
        Ok(Self { times, zone })
    }

    /// The first time after `after`, by the clocks of `zone` unless the schedule names its own; `None` when there is
    /// none in the years to come.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.times {
            Times::Every(duration) => {
                let second = Timestamp::from_second(after.as_second()).ok()?;
                second.checked_add(*duration).ok()
            }
            Times::Fields(fields) => {
                let zone = self.zone.as_ref().unwrap_or(zone);
                fields.next(&after.to_zoned(zone.clone()))
            }
        }
    }
}

/// Whether a schedule names a time zone, which is not officially supported.
pub fn names_zone(schedule: &str) -> bool {
    schedule.starts_with("TZ=") || schedule.starts_with("CRON_TZ=")
}

impl Fields {
    fn next(&self, after: &Zoned) -> Option<Timestamp> {
        let last = after.year().checked_add(HORIZON_YEARS)?;
        // The next whole minute. Hours and minutes are counted as they pass, so that an hour that clocks show twice
        // counts twice and one that they leave out does not.
        let past = i64::from(after.second()) * 1_000_000_000 + i64::from(after.subsec_nanosecond());
        let mut at = after
            .checked_add(SignedDuration::from_mins(1) - SignedDuration::from_nanos(past))
            .ok()?;
        while at.year() <= last {
            if !has(self.months, at.month()) {
                let first = at.date().first_of_month().checked_add(1.month()).ok()?;
                at = first.to_zoned(at.time_zone().clone()).ok()?;
            } else if !self.has_day(&at) {
                let tomorrow = at.date().tomorrow().ok()?;
                at = tomorrow.to_zoned(at.time_zone().clone()).ok()?;
            } else if !has(self.hours, at.hour()) {
                let left = SignedDuration::from_mins(60 - i64::from(at.minute()));
                at = at.checked_add(left).ok()?;
            } else if !has(self.minutes, at.minute()) {
                at = at.checked_add(SignedDuration::from_mins(1)).ok()?;
            } else {
                return Some(at.timestamp());
            }
        }
        None
    }

    fn has_day(&self, at: &Zoned) -> bool {
        let day = has(self.days, at.day());
        let weekday = has(self.weekdays, at.weekday().to_sunday_zero_offset());
        if self.all_days {
            day && weekday
        } else {
            day || weekday
        }
    }
}

fn has(set: u64, number: i8) -> bool {
    u32::try_from(number).is_ok_and(|number| set & (1 << number) != 0)
}

/// Why a schedule cannot be understood.
pub(super) fn fault(schedule: &str) -> Option<String> {
    Schedule::parse(schedule).err()
}

fn fields(text: &str) -> Result<Fields, String> {
    let parts: Vec<_> = text.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        return Err(format!(
            "expected exactly {} fields, found {}: [{}]",
            FIELDS.len(),
            parts.len(),
            parts.join(" ")
        ));
    }
    let mut sets = [0; FIELDS.len()];
    let mut open = [false; FIELDS.len()];
    for (at, (field, bounds)) in parts.iter().zip(&FIELDS).enumerate() {
        for range in field.split(',').filter(|range| !range.is_empty()) {
            let (set, any) = range_of(range, bounds)?;
            sets[at] |= set;
            open[at] |= any;
        }
    }
    let [minutes, hours, days, months, weekdays] = sets;
    Ok(Fields {
        minutes,
        hours,
        days,
        months,
        weekdays,
        all_days: open[2] || open[4],
    })
}

/// The numbers of a range, and whether it leaves the field open.
fn range_of(text: &str, bounds: &Bounds) -> Result<(u64, bool), String> {
    let parts: Vec<_> = text.split('/').collect();
    let ends: Vec<_> = parts[0].split('-').collect();
    let any = matches!(ends[0], "*" | "?");
    let (start, mut end) = if any {
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
    let mut set = 0;
    let mut number = start;
    while number <= end {
        set |= 1 << number;
        number = number.saturating_add(step);
    }
    Ok((set, any && step == 1))
}

fn number_or_name(text: &str, names: &[&str]) -> Result<u64, String> {
    let lower = text.to_lowercase();
    match names.iter().position(|name| *name == lower) {
        // Months count from one, days from zero.
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

fn descriptor(text: &str) -> Result<Times, String> {
    if let Some((_, means)) = NAMED.iter().find(|(name, _)| *name == text) {
        return fields(means).map(Times::Fields);
    }
    let Some(every) = text.strip_prefix("@every ") else {
        return Err(format!("unrecognized descriptor: {text}"));
    };
    let every = duration(every).map_err(|why| format!("failed to parse duration {text}: {why}"))?;
    // Whole seconds, and at least one.
    let seconds = every.as_secs().max(1);
    Ok(Times::Every(SignedDuration::from_secs(seconds)))
}

/// A text such as `1h30m`, as Go reads durations. What is longer than can be told is the longest that can.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = SignedDuration::ZERO;
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
        let Some((_, seconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("time: unknown unit {unit:?} in duration {text:?}"));
        };
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let part = SignedDuration::try_from_secs_f64(number * seconds);
        total = total.saturating_add(part.unwrap_or(SignedDuration::MAX));
        rest = after;
    }
    Ok(if text.starts_with('-') { -total } else { total })
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
    if known_zone(zone).is_none() && zone != "Local" {
        faults.push(unknown());
    }
    faults
}

/// The zone of exactly this name. The database is part of the program, so the answer is the same wherever it runs.
pub fn known_zone(name: &str) -> Option<TimeZone> {
    // Go takes no name for UTC.
    if name.is_empty() {
        return Some(TimeZone::UTC);
    }
    let zone = TimeZoneDatabase::bundled().get(name).ok()?;
    (zone.iana_name() == Some(name)).then_some(zone)
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

    #[rstest]
    // Every field, alone.
    #[case("*/15 * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:15:00Z")]
    #[case("0 * * * *", "UTC", "2026-01-01T00:59:59.9Z", "2026-01-01T01:00:00Z")]
    #[case("@hourly", "UTC", "2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z")]
    #[case("30 4 1 * *", "UTC", "2026-01-01T04:30:00Z", "2026-02-01T04:30:00Z")]
    #[case("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z")]
    #[case("@yearly", "UTC", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")]
    #[case("0 12 * * mon", "UTC", "2026-01-01T00:00:00Z", "2026-01-05T12:00:00Z")]
    // A day of the month and one of the week: either is enough, unless one is left open.
    #[case("0 0 13 * fri", "UTC", "2026-01-03T00:00:00Z", "2026-01-09T00:00:00Z")]
    #[case("0 0 13 * fri", "UTC", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z")]
    #[case("0 0 13 * *", "UTC", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z")]
    #[case("0 0 */2 * fri", "UTC", "2026-01-09T00:00:00Z", "2026-01-11T00:00:00Z")]
    // Zones, by parameter or by the schedule itself.
    #[case(
        "0 9 * * *",
        "Europe/Berlin",
        "2026-07-01T00:00:00Z",
        "2026-07-01T07:00:00Z"
    )]
    #[case(
        "TZ=Asia/Tokyo 0 9 * * *",
        "Europe/Berlin",
        "2026-07-01T00:30:00Z",
        "2026-07-02T00:00:00Z"
    )]
    // Half past two does not happen on the day that clocks go forward, and does twice when they go back.
    #[case(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        "2026-03-30T00:30:00Z"
    )]
    #[case(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        "2026-10-25T00:30:00Z"
    )]
    #[case(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:30:00Z"
    )]
    // Midnight that is left out: the day begins at one.
    #[case(
        "0 1 * * *",
        "America/Asuncion",
        "2023-09-30T12:00:00Z",
        "2023-10-01T04:00:00Z"
    )]
    #[case(
        "@every 1h30m",
        "UTC",
        "2026-01-01T00:00:00.5Z",
        "2026-01-01T01:30:00Z"
    )]
    #[case("@every 5ms", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z")]
    fn the_next_time(
        #[case] schedule: &str,
        #[case] zone: &str,
        #[case] after: Timestamp,
        #[case] next: Timestamp,
    ) {
        let zone = known_zone(zone).expect("a zone");
        let schedule = Schedule::parse(schedule).expect("a schedule");
        assert_eq!(schedule.next(after, &zone), Some(next));
    }

    #[test]
    fn some_times_never_come() {
        let schedule = Schedule::parse("0 0 31 2 *").expect("a schedule");
        let after = "2026-01-01T00:00:00Z".parse().expect("a time");
        assert_eq!(schedule.next(after, &TimeZone::UTC), None);
    }
}
