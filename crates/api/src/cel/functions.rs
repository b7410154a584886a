//! What functions and operators do. Their types were checked; what only running shows is an error in cel-go's words.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use regex::Regex;

use super::eval::{Budget, EvalError, Evaluated, failed, no_overload};
use super::value::Val;
use super::{authorization, library, texts};
use crate::structural::format::go_duration;

/// Runs a function or operator; of a member the first value is the target.
pub(super) fn call<'a>(
    name: &str,
    member: bool,
    args: &[Val<'a>],
    budget: &Budget,
) -> Evaluated<'a> {
    if let Some(result) = operator(name, args, budget) {
        return result;
    }
    if let Some(result) = conversion(name, args) {
        return result;
    }
    if let Some(result) = texts::call(name, args, budget) {
        return result;
    }
    if let Some(result) = lists(name, args, budget) {
        return result;
    }
    if let Some(result) = times(name, args) {
        return result;
    }
    if let Some(result) = authorization::call(name, args, budget) {
        return result;
    }
    library::call(name, member, args).unwrap_or_else(no_overload)
}

/// The work that texts and lists of some length cause: a tenth of a unit for each part.
pub(super) fn spend_for<'v>(
    values: impl IntoIterator<Item = &'v Val<'v>>,
    budget: &Budget,
) -> Result<(), EvalError> {
    let length: usize = values.into_iter().filter_map(Val::size).sum();
    budget.spend(length.div_ceil(10) as u64)
}

fn overflow<T>() -> Result<T, EvalError> {
    failed("integer overflow")
}

fn operator<'a>(name: &str, args: &[Val<'a>], budget: &Budget) -> Option<Evaluated<'a>> {
    let whole = |result: Option<i64>| result.map_or_else(overflow, |value| Ok(Val::Int(value)));
    let natural = |result: Option<u64>| result.map_or_else(overflow, |value| Ok(Val::Uint(value)));
    Some(match (name, args) {
        ("!_", [Val::Bool(value)]) => Ok(Val::Bool(!value)),
        ("-_", [Val::Int(value)]) => whole(value.checked_neg()),
        ("-_", [Val::Double(value)]) => Ok(Val::Double(-value)),
        ("-_", [Val::Duration(value)]) => Ok(Val::Duration(-value)),
        ("_==_" | "_!=_", [a, b]) => {
            if let Err(error) = spend_for([a, b], budget) {
                return Some(Err(error));
            }
            Ok(Val::Bool(a.equals(b) == (name == "_==_")))
        }
        ("_<_" | "_<=_" | "_>_" | "_>=_", [a, b]) => match a.compare(b) {
            Some(order) => Ok(Val::Bool(match name {
                "_<_" => order.is_lt(),
                "_<=_" => order.is_le(),
                "_>_" => order.is_gt(),
                _ => order.is_ge(),
            })),
            None => no_overload(),
        },
        ("_+_", [Val::Int(a), Val::Int(b)]) => whole(a.checked_add(*b)),
        ("_-_", [Val::Int(a), Val::Int(b)]) => whole(a.checked_sub(*b)),
        ("_*_", [Val::Int(a), Val::Int(b)]) => whole(a.checked_mul(*b)),
        ("_/_", [Val::Int(_), Val::Int(0)] | [Val::Uint(_), Val::Uint(0)]) => {
            failed("division by zero")
        }
        ("_%_", [Val::Int(_), Val::Int(0)] | [Val::Uint(_), Val::Uint(0)]) => {
            failed("modulus by zero")
        }
        ("_/_", [Val::Int(a), Val::Int(b)]) => whole(a.checked_div(*b)),
        ("_%_", [Val::Int(a), Val::Int(b)]) => whole(a.checked_rem(*b)),
        ("_+_", [Val::Uint(a), Val::Uint(b)]) => natural(a.checked_add(*b)),
        ("_-_", [Val::Uint(a), Val::Uint(b)]) => natural(a.checked_sub(*b)),
        ("_*_", [Val::Uint(a), Val::Uint(b)]) => natural(a.checked_mul(*b)),
        ("_/_", [Val::Uint(a), Val::Uint(b)]) => natural(a.checked_div(*b)),
        ("_%_", [Val::Uint(a), Val::Uint(b)]) => natural(a.checked_rem(*b)),
        ("_+_", [Val::Double(a), Val::Double(b)]) => Ok(Val::Double(a + b)),
        ("_-_", [Val::Double(a), Val::Double(b)]) => Ok(Val::Double(a - b)),
        ("_*_", [Val::Double(a), Val::Double(b)]) => Ok(Val::Double(a * b)),
        ("_/_", [Val::Double(a), Val::Double(b)]) => Ok(Val::Double(a / b)),
        ("_+_", [Val::Text(a), Val::Text(b)]) => {
            if let Err(error) = spend_for(args, budget) {
                return Some(Err(error));
            }
            Ok(Val::text(&format!("{a}{b}")))
        }
        ("_+_", [Val::Bytes(a), Val::Bytes(b)]) => Ok(Val::Bytes([&**a, &**b].concat().into())),
        (
            "_+_",
            [Val::Timestamp(at), Val::Duration(by)] | [Val::Duration(by), Val::Timestamp(at)],
        ) => moved(*at, *by),
        ("_-_", [Val::Timestamp(at), Val::Duration(by)]) => moved(*at, -by),
        ("_-_", [Val::Timestamp(a), Val::Timestamp(b)]) => {
            let nanos = a.as_nanosecond() - b.as_nanosecond();
            i64::try_from(nanos).map_or_else(|_| overflow(), |nanos| Ok(Val::Duration(nanos)))
        }
        ("_+_", [Val::Duration(a), Val::Duration(b)]) => a
            .checked_add(*b)
            .map_or_else(overflow, |sum| Ok(Val::Duration(sum))),
        ("_-_", [Val::Duration(a), Val::Duration(b)]) => a
            .checked_sub(*b)
            .map_or_else(overflow, |difference| Ok(Val::Duration(difference))),
        ("_+_", [a, b]) => match (a.items(), b.items()) {
            (Some(mut a), Some(b)) => {
                a.extend(b);
                Ok(Val::list(a))
            }
            _ => no_overload(),
        },
        ("_[_]" | "_[?_]", [holder, key]) => index(holder, key, name == "_[?_]"),
        ("@in", [needle, hay]) => {
            if let Err(error) = budget.spend(hay.size().unwrap_or(0) as u64) {
                return Some(Err(error));
            }
            match hay.items() {
                Some(items) => Ok(Val::Bool(items.iter().any(|item| item.equals(needle)))),
                None if hay.entries().is_some() => Ok(Val::Bool(hay.entry(needle).is_some())),
                None => no_overload(),
            }
        }
        _ => return None,
    })
}

fn moved<'a>(at: Timestamp, by: i64) -> Evaluated<'a> {
    match at.checked_add(SignedDuration::from_nanos(by)) {
        Ok(at) => Ok(Val::Timestamp(at)),
        Err(_) => failed("timestamp overflow"),
    }
}

fn index<'a>(holder: &Val<'a>, key: &Val<'a>, optional: bool) -> Evaluated<'a> {
    let (holder, optional) = match holder {
        Val::Optional(None) => return Ok(Val::Optional(None)),
        Val::Optional(Some(held)) => (&**held, true),
        holder => (holder, optional),
    };
    let found = if matches!(holder, Val::List(_) | Val::JsonList(..)) {
        let index = match key {
            Val::Int(index) => *index,
            Val::Uint(index) => i64::try_from(*index).unwrap_or(i64::MAX),
            #[expect(clippy::cast_possible_truncation, reason = "whole numbers only")]
            Val::Double(index) if index.fract() == 0.0 => *index as i64,
            _ => return no_overload(),
        };
        holder
            .item(index)
            .ok_or_else(|| format!("index out of bounds: {index}"))
    } else if matches!(holder, Val::Map(_) | Val::JsonMap(..)) {
        holder
            .entry(key)
            .ok_or_else(|| format!("no such key: {}", shown(key)))
    } else {
        return no_overload();
    };
    match found {
        Ok(value) if optional => Ok(Val::some(value)),
        Ok(value) => Ok(value),
        Err(_) if optional => Ok(Val::Optional(None)),
        Err(why) => failed(why),
    }
}

/// The types that may be named.
pub(super) fn type_named(name: &str) -> Option<&'static str> {
    Some(match name {
        "bool" => "bool",
        "int" => "int",
        "uint" => "uint",
        "double" => "double",
        "string" => "string",
        "bytes" => "bytes",
        "list" => "list",
        "map" => "map",
        "null_type" => "null_type",
        "type" => "type",
        _ => return None,
    })
}

/// The text of a value, as `string()` gives it.
pub(super) fn shown(value: &Val<'_>) -> String {
    match value {
        Val::Null => "null".to_owned(),
        Val::Bool(value) => value.to_string(),
        Val::Int(value) => value.to_string(),
        Val::Uint(value) => value.to_string(),
        Val::Double(value) => value.to_string(),
        Val::Text(text) | Val::Url(text) => text.to_string(),
        Val::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Val::Duration(nanos) => {
            let seconds = nanos / 1_000_000_000;
            match nanos % 1_000_000_000 {
                0 => format!("{seconds}s"),
                rest => format!(
                    "{seconds}.{}s",
                    format!("{:09}", rest.abs()).trim_end_matches('0')
                ),
            }
        }
        Val::Timestamp(at) => at.to_string(),
        Val::Type(name) | Val::Format(name) => (*name).to_owned(),
        Val::Quantity(quantity) => quantity.to_string(),
        Val::Ip(address) => address.to_string(),
        Val::Cidr(address, length) => format!("{address}/{length}"),
        Val::Semver(major, minor, patch, pre) if pre.is_empty() => {
            format!("{major}.{minor}.{patch}")
        }
        Val::Semver(major, minor, patch, pre) => format!("{major}.{minor}.{patch}-{pre}"),
        other => other.to_json().to_string(),
    }
}

/// A duration as Go writes it, in nanoseconds.
pub(super) fn duration(text: &str) -> Option<i64> {
    go_duration(text)
}

pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "ranges are checked beside each cast"
)]
fn conversion<'a>(name: &str, args: &[Val<'a>]) -> Option<Evaluated<'a>> {
    let [value] = args else { return None };
    let range = |kind: &str| failed(format!("range error converting {} to {kind}", shown(value)));
    Some(match (name, value) {
        ("dyn", value)
        | ("int", value @ Val::Int(_))
        | ("uint", value @ Val::Uint(_))
        | ("double", value @ Val::Double(_))
        | ("string", value @ Val::Text(_))
        | ("bytes", value @ Val::Bytes(_))
        | ("bool", value @ Val::Bool(_))
        | ("timestamp", value @ Val::Timestamp(_))
        | ("duration", value @ Val::Duration(_)) => Ok(value.clone()),
        ("type", value) => Ok(Val::Type(value.type_name())),
        ("size", value) => match value.size().and_then(|size| i64::try_from(size).ok()) {
            Some(size) => Ok(Val::Int(size)),
            None => no_overload(),
        },
        ("int", Val::Uint(value)) => {
            i64::try_from(*value).map_or_else(|_| overflow(), |value| Ok(Val::Int(value)))
        }
        ("int", Val::Double(value)) if value.abs() < 9.2e18 => Ok(Val::Int(*value as i64)),
        ("int", Val::Double(_)) => range("int"),
        ("int", Val::Text(text)) => match text.parse() {
            Ok(value) => Ok(Val::Int(value)),
            Err(_) => failed(format!(
                "strconv.ParseInt: parsing {text:?}: invalid syntax"
            )),
        },
        ("int", Val::Timestamp(at)) => Ok(Val::Int(at.as_second())),
        ("int", Val::Duration(nanos)) => Ok(Val::Int(*nanos)),
        ("uint", Val::Int(value)) => {
            u64::try_from(*value).map_or_else(|_| overflow(), |value| Ok(Val::Uint(value)))
        }
        ("uint", Val::Double(value)) if (0.0..1.8e19).contains(value) => {
            Ok(Val::Uint(*value as u64))
        }
        ("uint", Val::Double(_)) => range("uint"),
        ("uint", Val::Text(text)) => match text.parse() {
            Ok(value) => Ok(Val::Uint(value)),
            Err(_) => failed(format!(
                "strconv.ParseUint: parsing {text:?}: invalid syntax"
            )),
        },
        ("double", Val::Int(value)) => Ok(Val::Double(*value as f64)),
        ("double", Val::Uint(value)) => Ok(Val::Double(*value as f64)),
        ("double", Val::Text(text)) => match text.parse() {
            Ok(value) => Ok(Val::Double(value)),
            Err(_) => failed(format!(
                "strconv.ParseFloat: parsing {text:?}: invalid syntax"
            )),
        },
        ("string", Val::Bytes(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Val::text(text)),
            Err(_) => failed("invalid UTF-8 in bytes, cannot convert to string"),
        },
        ("string", value) => Ok(Val::text(&shown(value))),
        ("bytes", Val::Text(text)) => Ok(Val::Bytes(text.as_bytes().into())),
        ("bool", Val::Text(text)) => match &**text {
            "true" | "True" | "TRUE" | "t" | "T" | "1" => Ok(Val::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "F" | "0" => Ok(Val::Bool(false)),
            _ => failed(format!(
                "strconv.ParseBool: parsing {text:?}: invalid syntax"
            )),
        },
        ("timestamp", Val::Text(text)) => match text.parse() {
            Ok(at) => Ok(Val::Timestamp(at)),
            Err(_) => failed(format!("parsing time {text:?}: invalid timestamp")),
        },
        ("timestamp", Val::Int(seconds)) => match Timestamp::from_second(*seconds) {
            Ok(at) => Ok(Val::Timestamp(at)),
            Err(_) => failed("timestamp overflow"),
        },
        ("duration", Val::Text(text)) => match duration(text) {
            Some(nanos) => Ok(Val::Duration(nanos)),
            None => failed(format!("time: invalid duration {text:?}")),
        },
        _ => return None,
    })
}

fn lists<'a>(name: &str, args: &[Val<'a>], budget: &Budget) -> Option<Evaluated<'a>> {
    let contains = |list: &[Val<'a>], item: &Val<'a>| list.iter().any(|other| other.equals(item));
    if let ("sets.contains" | "sets.equivalent" | "sets.intersects", [a, b]) = (name, args) {
        let (a, b) = (a.items()?, b.items()?);
        if let Err(error) = budget.spend((a.len() * b.len()) as u64) {
            return Some(Err(error));
        }
        let within =
            |few: &[Val<'a>], many: &[Val<'a>]| few.iter().all(|item| contains(many, item));
        return Some(Ok(Val::Bool(match name {
            "sets.contains" => within(&b, &a),
            "sets.equivalent" => within(&a, &b) && within(&b, &a),
            _ => a.iter().any(|item| contains(&b, item)),
        })));
    }
    let list = args.first()?.items()?;
    if let Err(error) = budget.spend(list.len() as u64) {
        return Some(Err(error));
    }
    Some(match (name, &args[1..]) {
        ("isSorted", []) => Ok(Val::Bool(list.windows(2).all(|pair| {
            pair[0]
                .compare(&pair[1])
                .is_some_and(std::cmp::Ordering::is_le)
        }))),
        ("sum", []) => list
            .into_iter()
            .map(Ok)
            .reduce(|sum, item| operator("_+_", &[sum?, item?], budget).unwrap_or_else(no_overload))
            .unwrap_or(Ok(Val::Int(0))),
        ("min" | "max", []) => {
            let wanted = if name == "min" {
                std::cmp::Ordering::Less
            } else {
                std::cmp::Ordering::Greater
            };
            let best = list.into_iter().reduce(|best, item| {
                if item.compare(&best) == Some(wanted) {
                    item
                } else {
                    best
                }
            });
            best.map_or_else(|| failed(format!("{name} called on empty list")), Ok)
        }
        ("indexOf", [item]) => {
            let found = list.iter().position(|other| other.equals(item));
            Ok(Val::Int(
                found.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1),
            ))
        }
        ("lastIndexOf", [item]) => {
            let found = list.iter().rposition(|other| other.equals(item));
            Ok(Val::Int(
                found.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1),
            ))
        }
        ("slice", [Val::Int(from), Val::Int(to)]) => {
            let range = usize::try_from(*from).ok().zip(usize::try_from(*to).ok());
            match range.and_then(|(from, to)| list.get(from..to)) {
                Some(part) => Ok(Val::list(part.to_vec())),
                None => failed(format!(
                    "cannot slice({from}, {to}), list is length {}",
                    list.len()
                )),
            }
        }
        ("reverse", []) => Ok(Val::list(list.into_iter().rev().collect())),
        ("flatten", []) => Ok(Val::list(
            list.into_iter()
                .flat_map(|item| item.items().unwrap_or_else(|| vec![item]))
                .collect(),
        )),
        ("distinct", []) => {
            let mut kept: Vec<Val<'a>> = Vec::new();
            for item in list {
                if !contains(&kept, &item) {
                    kept.push(item);
                }
            }
            Ok(Val::list(kept))
        }
        ("sort", []) => {
            let mut list = list;
            list.sort_by(|a, b| a.compare(b).unwrap_or(std::cmp::Ordering::Equal));
            Ok(Val::list(list))
        }
        ("join", rest) => {
            let between = match rest {
                [] => "",
                [Val::Text(between)] => between,
                _ => return Some(no_overload()),
            };
            let parts: Vec<String> = list.iter().map(shown).collect();
            Ok(Val::text(&parts.join(between)))
        }
        _ => return None,
    })
}

fn times<'a>(name: &str, args: &[Val<'a>]) -> Option<Evaluated<'a>> {
    if let [Val::Duration(nanos)] = args {
        let seconds = nanos / 1_000_000_000;
        return Some(Ok(Val::Int(match name {
            "getHours" => seconds / 3600,
            "getMinutes" => seconds / 60,
            "getSeconds" => seconds,
            "getMilliseconds" => nanos / 1_000_000 % 1000,
            _ => return None,
        })));
    }
    let (Val::Timestamp(at), zone) = (args.first()?, args.get(1)) else {
        return None;
    };
    let zone = match zone {
        None => TimeZone::UTC,
        Some(Val::Text(name)) => match TimeZone::get(name) {
            Ok(zone) => zone,
            Err(_) => return Some(failed(format!("unknown time zone {name}"))),
        },
        Some(_) => return None,
    };
    let at = at.to_zoned(zone);
    Some(Ok(Val::Int(match name {
        "getFullYear" => at.year().into(),
        "getMonth" => i64::from(at.month()) - 1,
        "getDate" => at.day().into(),
        "getDayOfMonth" => i64::from(at.day()) - 1,
        "getDayOfWeek" => at.weekday().to_sunday_zero_offset().into(),
        "getDayOfYear" => i64::from(at.day_of_year()) - 1,
        "getHours" => at.hour().into(),
        "getMinutes" => at.minute().into(),
        "getSeconds" => at.second().into(),
        "getMilliseconds" => at.millisecond().into(),
        _ => return None,
    })))
}

/// A compiled pattern; the last few are kept.
pub(super) fn regex(pattern: &str) -> Result<Regex, EvalError> {
    type Kept = Vec<(Arc<str>, Regex)>;
    static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);
    const AT_MOST: usize = 64;
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, regex)) = kept.iter().find(|(text, _)| **text == *pattern) {
        return Ok(regex.clone());
    }
    let regex = Regex::new(pattern)
        .map_err(|_| EvalError::Failed(format!("error parsing regexp: `{pattern}`")))?;
    if kept.len() == AT_MOST {
        kept.remove(0);
    }
    kept.push((pattern.into(), regex.clone()));
    Ok(regex)
}
