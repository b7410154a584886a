//! Functions on texts.

use super::eval::{Budget, Evaluated, failed, no_overload};
use super::functions::{regex, shown, spend_for};
use super::value::Val;

/// Runs a function whose target is a text; `None` when it is none of these.
pub(super) fn call<'a>(name: &str, args: &[Val<'a>], budget: &Budget) -> Option<Evaluated<'a>> {
    let (Val::Text(text), rest) = (args.first()?, &args[1..]) else {
        return None;
    };
    if let Err(error) = spend_for([&args[0]], budget) {
        return Some(Err(error));
    }
    let whole = |number: usize| Val::Int(i64::try_from(number).unwrap_or(i64::MAX));
    Some(match (name, rest) {
        ("matches", [Val::Text(pattern)]) => {
            regex(pattern).map(|regex| Val::Bool(regex.is_match(text)))
        }
        ("contains", [Val::Text(part)]) => Ok(Val::Bool(text.contains(&**part))),
        ("startsWith", [Val::Text(part)]) => Ok(Val::Bool(text.starts_with(&**part))),
        ("endsWith", [Val::Text(part)]) => Ok(Val::Bool(text.ends_with(&**part))),
        ("charAt", [Val::Int(index)]) => {
            let chars: Vec<char> = text.chars().collect();
            match usize::try_from(*index) {
                Ok(index) if index == chars.len() => Ok(Val::text("")),
                Ok(index) if index < chars.len() => Ok(Val::text(&chars[index].to_string())),
                _ => failed(format!("index out of range: {index}")),
            }
        }
        ("indexOf" | "lastIndexOf", [Val::Text(part), from @ ..]) => {
            let chars: Vec<char> = text.chars().collect();
            let part: Vec<char> = part.chars().collect();
            let starts = |at: &usize| chars[*at..].starts_with(&part);
            let last = chars.len().checked_sub(part.len());
            let found = match (name, from, last) {
                (_, _, None) => None,
                ("indexOf", [], Some(last)) => (0..=last).find(starts),
                ("lastIndexOf", [], Some(last)) => (0..=last).rev().find(starts),
                (_, [Val::Int(from)], Some(last)) => {
                    let Some(from) = usize::try_from(*from)
                        .ok()
                        .filter(|from| *from <= chars.len())
                    else {
                        return Some(failed(format!("index out of range: {from}")));
                    };
                    if name == "indexOf" {
                        (from..=last).find(starts)
                    } else {
                        (0..=last.min(from)).rev().find(starts)
                    }
                }
                _ => return Some(no_overload()),
            };
            Ok(found.map_or(Val::Int(-1), whole))
        }
        ("lowerAscii", []) => Ok(Val::text(&text.to_ascii_lowercase())),
        ("upperAscii", []) => Ok(Val::text(&text.to_ascii_uppercase())),
        ("trim", []) => Ok(Val::text(text.trim())),
        ("reverse", []) => Ok(Val::text(&text.chars().rev().collect::<String>())),
        ("replace", [Val::Text(from), Val::Text(to)]) => Ok(Val::text(&text.replace(&**from, to))),
        ("replace", [Val::Text(from), Val::Text(to), Val::Int(count)]) => {
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            Ok(Val::text(&text.replacen(&**from, to, count)))
        }
        ("split", [Val::Text(by), limit @ ..]) => {
            let limit = match limit {
                [Val::Int(limit)] => *limit,
                _ => -1,
            };
            let parts: Vec<&str> = if by.is_empty() {
                text.split("").filter(|part| !part.is_empty()).collect()
            } else {
                match usize::try_from(limit) {
                    Ok(0) => Vec::new(),
                    Ok(limit) => text.splitn(limit, &**by).collect(),
                    Err(_) => text.split(&**by).collect(),
                }
            };
            Ok(Val::list(parts.into_iter().map(Val::text).collect()))
        }
        ("substring", [Val::Int(from), to @ ..]) => {
            let chars: Vec<char> = text.chars().collect();
            let to = match to {
                [Val::Int(to)] => *to,
                _ => i64::try_from(chars.len()).unwrap_or(i64::MAX),
            };
            let range = usize::try_from(*from).ok().zip(usize::try_from(to).ok());
            match range.and_then(|(from, to)| chars.get(from..to)) {
                Some(part) => Ok(Val::text(&part.iter().collect::<String>())),
                None => failed(format!("index out of range: {from}")),
            }
        }
        ("find", [Val::Text(pattern)]) => regex(pattern).map(|regex| {
            let found = regex.find(text);
            Val::text(found.map_or("", |found| found.as_str()))
        }),
        ("findAll", [Val::Text(pattern), limit @ ..]) => {
            let limit = match limit {
                [Val::Int(limit)] => usize::try_from(*limit).unwrap_or(usize::MAX),
                _ => usize::MAX,
            };
            regex(pattern).map(|regex| {
                let found = regex.find_iter(text).take(limit);
                Val::list(found.map(|found| Val::text(found.as_str())).collect())
            })
        }
        ("format", [list]) => return Some(format(text, &list.items()?)),
        ("strings.quote", []) => Ok(Val::text(&format!("{text:?}"))),
        ("jsonpatch.escapeKey", []) => Ok(Val::text(&text.replace('~', "~0").replace('/', "~1"))),
        _ => return None,
    })
}

/// `'%s is %d'.format([...])`.
fn format<'a>(text: &str, args: &[Val<'a>]) -> Evaluated<'a> {
    let mut out = String::new();
    let mut args = args.iter();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut precision = String::new();
        if chars.peek() == Some(&'.') {
            chars.next();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                precision.push(digit);
            }
        }
        let precision: usize = precision.parse().unwrap_or(6);
        let verb = chars.next();
        if verb == Some('%') {
            out.push('%');
            continue;
        }
        let Some(arg) = args.next() else {
            return failed("index out of range");
        };
        let text = match (verb, arg) {
            (Some('s'), arg) => shown(arg),
            (Some('d'), Val::Int(_) | Val::Uint(_)) => shown(arg),
            (Some('f'), Val::Double(value)) => format!("{value:.precision$}"),
            (Some('e'), Val::Double(value)) => format!("{value:.precision$e}"),
            (Some('b'), Val::Int(value)) => format!("{value:b}"),
            (Some('b'), Val::Bool(value)) => u8::from(*value).to_string(),
            (Some('o'), Val::Int(value)) => format!("{value:o}"),
            (Some('x'), Val::Int(value)) => format!("{value:x}"),
            (Some('X'), Val::Int(value)) => format!("{value:X}"),
            (Some('x'), Val::Text(value)) => {
                let digits = value.bytes().flat_map(|byte| [byte >> 4, byte & 0xf]);
                digits
                    .filter_map(|digit| char::from_digit(digit.into(), 16))
                    .collect()
            }
            _ => {
                let why = "could not parse formatting clause or unsupported argument type";
                return failed(format!("{why}: {}", arg.type_name()));
            }
        };
        out.push_str(&text);
    }
    Ok(Val::text(&out))
}
