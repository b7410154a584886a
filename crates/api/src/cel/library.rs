//! The functions Kubernetes adds: quantities, URLs, addresses, versions, formats; and CEL's on optionals and numbers.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::eval::{Evaluated, failed};
use super::functions::from_base64;
use super::value::Val;
use crate::names;
use crate::structural::format;

/// Runs a function; `None` when none fits.
pub(super) fn call<'a>(name: &str, member: bool, args: &[Val<'a>]) -> Option<Evaluated<'a>> {
    optionals(name, args)
        .or_else(|| numbers(name, args))
        .or_else(|| quantities(name, args))
        .or_else(|| urls(name, args))
        .or_else(|| addresses(name, member, args))
        .or_else(|| versions(name, args))
        .or_else(|| formats(name, args))
}

fn optionals<'a>(name: &str, args: &[Val<'a>]) -> Option<Evaluated<'a>> {
    Some(Ok(match (name, args) {
        ("optional.none", []) => Val::Optional(None),
        ("optional.of", [value]) => Val::some(value.clone()),
        ("optional.ofNonZeroValue", [value]) => {
            let zero = match value {
                Val::Null | Val::Bool(false) | Val::Int(0) | Val::Uint(0) => true,
                Val::Double(value) => *value == 0.0,
                value => value.size() == Some(0),
            };
            if zero {
                Val::Optional(None)
            } else {
                Val::some(value.clone())
            }
        }
        ("hasValue", [Val::Optional(held)]) => Val::Bool(held.is_some()),
        ("value", [Val::Optional(Some(held))]) => (**held).clone(),
        ("value", [Val::Optional(None)]) => return Some(failed("optional.none() dereference")),
        _ => return None,
    }))
}

fn numbers<'a>(name: &str, args: &[Val<'a>]) -> Option<Evaluated<'a>> {
    Some(Ok(match (name, args) {
        ("math.greatest" | "math.least", [first, rest @ ..]) => {
            let listed = if rest.is_empty() { first.items() } else { None };
            let all = listed.unwrap_or_else(|| args.to_vec());
            let wanted = if name == "math.least" {
                std::cmp::Ordering::Less
            } else {
                std::cmp::Ordering::Greater
            };
            all.into_iter().reduce(|best, item| {
                if item.compare(&best) == Some(wanted) {
                    item
                } else {
                    best
                }
            })?
        }
        ("math.abs", [Val::Int(value)]) => Val::Int(value.checked_abs()?),
        ("math.abs", [Val::Double(value)]) => Val::Double(value.abs()),
        ("math.ceil", [Val::Double(value)]) => Val::Double(value.ceil()),
        ("math.floor", [Val::Double(value)]) => Val::Double(value.floor()),
        ("math.round", [Val::Double(value)]) => Val::Double(value.round()),
        ("base64.encode", [Val::Bytes(bytes)]) => Val::text(&STANDARD.encode(bytes)),
        ("base64.decode", [Val::Text(text)]) => match from_base64(text) {
            Some(bytes) => Val::Bytes(bytes.into()),
            None => return Some(failed("illegal base64 data")),
        },
        _ => return None,
    }))
}

fn quantities<'a>(name: &str, args: &[Val<'a>]) -> Option<Evaluated<'a>> {
    let made = |quantity: crate::Quantity| Val::Quantity(Arc::new(quantity));
    Some(Ok(match (name, args) {
        ("quantity", [Val::Text(text)]) => match text.parse() {
            Ok(quantity) => made(quantity),
            Err(error) => return Some(failed(error.to_string())),
        },
        ("isQuantity", [Val::Text(text)]) => Val::Bool(text.parse::<crate::Quantity>().is_ok()),
        ("sign", [Val::Quantity(q)]) => Val::Int(q.sign() as i64),
        ("isInteger", [Val::Quantity(q)]) => Val::Bool(q.is_whole()),
        ("asInteger", [Val::Quantity(q)]) if q.is_whole() => Val::Int(q.ceil()),
        ("asInteger", [Val::Quantity(_)]) => {
            return Some(failed("cannot convert value to integer"));
        }
        ("asApproximateFloat", [Val::Quantity(q)]) => Val::Double(q.approximate()),
        ("add", [Val::Quantity(a), Val::Quantity(b)]) => made(a.plus(**b)),
        ("sub", [Val::Quantity(a), Val::Quantity(b)]) => made(a.minus(**b)),
        ("add", [Val::Quantity(a), Val::Int(b)]) => made(a.plus(crate::Quantity::whole(*b))),
        ("sub", [Val::Quantity(a), Val::Int(b)]) => made(a.minus(crate::Quantity::whole(*b))),
        (
            "isLessThan" | "isGreaterThan" | "compareTo",
            [a @ (Val::Quantity(_) | Val::Semver(..)), b],
        ) => {
            let order = a.compare(b)?;
            match name {
                "isLessThan" => Val::Bool(order.is_lt()),
                "isGreaterThan" => Val::Bool(order.is_gt()),
                _ => Val::Int(order as i64),
            }
        }
        _ => return None,
    }))
}

/// A URL's scheme, authority, path and query.
fn url_parts(text: &str) -> (&str, &str, &str, &str) {
    let text = text.split('#').next().unwrap_or_default();
    let (text, query) = text.split_once('?').unwrap_or((text, ""));
    let (scheme, rest) = text
        .split_once(':')
        .filter(|_| !text.starts_with('/'))
        .unwrap_or(("", text));
    match rest.strip_prefix("//") {
        Some(rest) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (scheme, host.rsplit('@').next().unwrap_or(host), path, query)
        }
        None => (scheme, "", rest, query),
    }
}

fn urls<'a>(name: &str, args: &[Val<'a>]) -> Option<Evaluated<'a>> {
    let is_url = |text: &str| {
        let (_, host, path, _) = url_parts(text);
        format::absolute_uri(text) && (!host.is_empty() || path.starts_with('/'))
    };
    match (name, args) {
        ("isURL", [Val::Text(text)]) => return Some(Ok(Val::Bool(is_url(text)))),
        ("url", [Val::Text(text)]) => {
            return Some(if is_url(text) {
                Ok(Val::Url(text.clone()))
            } else {
                failed(format!(
                    "URL parse error during conversion from string: parse {text:?}: invalid URI for request"
                ))
            });
        }
        _ => {}
    }
    let [Val::Url(text)] = args else { return None };
    let (scheme, host, path, query) = url_parts(text);
    let port_at = host.rfind(':').filter(|at| !host[*at..].contains(']'));
    let hostname = port_at.map_or(host, |at| &host[..at]);
    let hostname = hostname.trim_start_matches('[').trim_end_matches(']');
    Some(Ok(match name {
        "getScheme" => Val::text(scheme),
        "getHost" => Val::text(host),
        "getHostname" => Val::text(hostname),
        "getPort" => Val::text(port_at.map_or("", |at| &host[at + 1..])),
        "getEscapedPath" => Val::text(path),
        "getQuery" => {
            let mut entries: Vec<(Val<'a>, Vec<Val<'a>>)> = Vec::new();
            for pair in query.split('&').filter(|pair| !pair.is_empty()) {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                let key = Val::text(key);
                match entries.iter_mut().find(|(known, _)| known.equals(&key)) {
                    Some((_, values)) => values.push(Val::text(value)),
                    None => entries.push((key, vec![Val::text(value)])),
                }
            }
            let entries: Vec<_> = entries
                .into_iter()
                .map(|(key, values)| (key, Val::list(values)))
                .collect();
            Val::Map(entries.into())
        }
        _ => return None,
    }))
}

fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => address.into(),
    }
}

fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

fn within(address: IpAddr, network: IpAddr, length: u8) -> bool {
    address.is_ipv4() == network.is_ipv4() && (bits(address) ^ bits(network)) & mask(length) == 0
}

fn addresses<'a>(name: &str, member: bool, args: &[Val<'a>]) -> Option<Evaluated<'a>> {
    let bad = |text: &str| {
        failed(format!(
            "IP Address {text:?} parse error during conversion from string: ParseAddr({text:?}): unable to parse IP"
        ))
    };
    Some(Ok(match (name, args) {
        ("isIP", [Val::Text(text)]) => Val::Bool(text.parse::<IpAddr>().is_ok()),
        ("ip", [Val::Text(text)]) if !member => match text.parse() {
            Ok(address) => Val::Ip(address),
            Err(_) => return Some(bad(text)),
        },
        ("ip.isCanonical", [Val::Text(text)]) => match text.parse::<IpAddr>() {
            Ok(address) => Val::Bool(address.to_string() == **text),
            Err(_) => return Some(bad(text)),
        },
        ("isCIDR", [Val::Text(text)]) => Val::Bool(parse_cidr(text).is_some()),
        ("cidr", [Val::Text(text)]) => match parse_cidr(text) {
            Some((address, length)) => Val::Cidr(address, length),
            None => {
                return Some(failed(format!(
                    "network address parse error during conversion from string: netip.ParsePrefix({text:?})"
                )));
            }
        },
        ("family", [Val::Ip(address)]) => Val::Int(if address.is_ipv4() { 4 } else { 6 }),
        ("isUnspecified", [Val::Ip(address)]) => Val::Bool(address.is_unspecified()),
        ("isLoopback", [Val::Ip(address)]) => Val::Bool(address.is_loopback()),
        ("isLinkLocalMulticast", [Val::Ip(address)]) => Val::Bool(match address {
            IpAddr::V4(address) => address.octets()[..3] == [224, 0, 0],
            IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
        }),
        ("isLinkLocalUnicast", [Val::Ip(address)]) => Val::Bool(link_local(*address)),
        ("isGlobalUnicast", [Val::Ip(address)]) => Val::Bool(
            !(address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || link_local(*address))
                && *address != IpAddr::V4(std::net::Ipv4Addr::BROADCAST),
        ),
        ("ip", [Val::Cidr(address, _)]) => Val::Ip(*address),
        ("prefixLength", [Val::Cidr(_, length)]) => Val::Int((*length).into()),
        ("masked", [Val::Cidr(address, length)]) => {
            let masked = bits(*address) & mask(*length);
            let address = match address {
                IpAddr::V4(_) => IpAddr::V4(((masked >> 96) as u32).into()),
                IpAddr::V6(_) => IpAddr::V6(masked.into()),
            };
            Val::Cidr(address, *length)
        }
        ("containsIP", [Val::Cidr(network, length), other]) => {
            let address = match other {
                Val::Ip(address) => *address,
                Val::Text(text) => match text.parse() {
                    Ok(address) => address,
                    Err(_) => return Some(bad(text)),
                },
                _ => return None,
            };
            Val::Bool(within(address, *network, *length))
        }
        ("containsCIDR", [Val::Cidr(network, length), other]) => {
            let (address, other) = match other {
                Val::Cidr(address, length) => (*address, *length),
                Val::Text(text) => parse_cidr(text)?,
                _ => return None,
            };
            Val::Bool(other >= *length && within(address, *network, *length))
        }
        _ => return None,
    }))
}

fn link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn parse_semver<'a>(text: &str, lenient: bool) -> Option<Val<'a>> {
    let text = if lenient {
        text.trim_start_matches('v')
    } else {
        text
    };
    let text = text.split('+').next()?;
    let (core, pre) = text.split_once('-').unwrap_or((text, ""));
    let mut parts: Vec<&str> = core.split('.').collect();
    while lenient && parts.len() < 3 {
        parts.push("0");
    }
    let [major, minor, patch] = parts.as_slice() else {
        return None;
    };
    let number = |text: &str| {
        let plain = lenient || text == "0" || !text.starts_with('0');
        text.parse::<u64>()
            .ok()
            .filter(|_| plain && !text.starts_with('+'))
    };
    Some(Val::Semver(
        number(major)?,
        number(minor)?,
        number(patch)?,
        pre.into(),
    ))
}

fn versions<'a>(name: &str, args: &[Val<'a>]) -> Option<Evaluated<'a>> {
    let lenient = matches!(args.get(1), Some(Val::Bool(true)));
    Some(Ok(match (name, args) {
        ("isSemver", [Val::Text(text), ..]) => Val::Bool(parse_semver(text, lenient).is_some()),
        ("semver", [Val::Text(text), ..]) => match parse_semver(text, lenient) {
            Some(version) => version,
            None => return Some(failed(format!("semver parse error: {text:?}"))),
        },
        ("major" | "minor" | "patch", [Val::Semver(major, minor, patch, _)]) => {
            let part = match name {
                "major" => major,
                "minor" => minor,
                _ => patch,
            };
            Val::Int(i64::try_from(*part).ok()?)
        }
        _ => return None,
    }))
}

const FORMATS: [&str; 13] = [
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "qualifiedName",
    "dns1123LabelPrefix",
    "dns1123SubdomainPrefix",
    "dns1035LabelPrefix",
    "labelValue",
    "uri",
    "uuid",
    "byte",
    "date",
    "datetime",
];

fn formats<'a>(name: &str, args: &[Val<'a>]) -> Option<Evaluated<'a>> {
    let known = |name: &str| FORMATS.into_iter().find(|format| *format == name);
    match (name, args) {
        ("format.named", [Val::Text(text)]) => {
            let found = known(text).map(|format| Arc::new(Val::Format(format)));
            return Some(Ok(Val::Optional(found)));
        }
        ("validate", [Val::Format(format), Val::Text(text)]) => {
            let faults = faults(format, text);
            let faults = (!faults.is_empty()).then(|| {
                Arc::new(Val::list(
                    faults.iter().map(|fault| Val::text(fault)).collect(),
                ))
            });
            return Some(Ok(Val::Optional(faults)));
        }
        _ => {}
    }
    let format = known(name.strip_prefix("format.")?)?;
    args.is_empty().then_some(Ok(Val::Format(format)))
}

fn faults(format: &str, text: &str) -> Vec<String> {
    let other = |kind: &str| {
        if format::fits(kind, text) {
            Vec::new()
        } else {
            vec![format!("invalid {kind}")]
        }
    };
    match format {
        "dns1123Label" => names::dns1123_label(text, false),
        "dns1123LabelPrefix" => names::dns1123_label(text, true),
        "dns1123Subdomain" => names::dns1123_subdomain(text, false),
        "dns1123SubdomainPrefix" => names::dns1123_subdomain(text, true),
        "dns1035Label" => names::dns1035_label(text, false),
        "dns1035LabelPrefix" => names::dns1035_label(text, true),
        "qualifiedName" => names::qualified_name(text),
        "labelValue" => names::label_value(text),
        kind => other(kind),
    }
}
