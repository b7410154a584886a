//! The functions there are, with the types they take: CEL's own and those Kubernetes adds.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::authorization;
use super::types::Ty;

/// One way to call a function.
#[derive(Debug)]
pub(super) struct Overload {
    pub(super) member: bool,
    pub(super) args: Vec<Ty>,
    pub(super) result: Ty,
}

/// `name: target.(args) -> result` or `name: (args) -> result`; several forms are separated by `;`.
const TABLE: &str = "
!_: (bool) -> bool
-_: (int) -> int; (double) -> double; (duration) -> duration
_||_: (bool, bool) -> bool
_&&_: (bool, bool) -> bool
_?_:_: (bool, A, A) -> A
_==_: (A, A) -> bool
_!=_: (A, A) -> bool
_<_: (bool, bool) -> bool; (int, int) -> bool; (int, double) -> bool; (int, uint) -> bool; (uint, uint) -> bool; (uint, int) -> bool; (uint, double) -> bool; (double, double) -> bool; (double, int) -> bool; (double, uint) -> bool; (string, string) -> bool; (bytes, bytes) -> bool; (timestamp, timestamp) -> bool; (duration, duration) -> bool
_<=_: =_<_
_>_: =_<_
_>=_: =_<_
_+_: (int, int) -> int; (uint, uint) -> uint; (double, double) -> double; (string, string) -> string; (bytes, bytes) -> bytes; (list(A), list(A)) -> list(A); (timestamp, duration) -> timestamp; (duration, timestamp) -> timestamp; (duration, duration) -> duration
_-_: (int, int) -> int; (uint, uint) -> uint; (double, double) -> double; (timestamp, timestamp) -> duration; (timestamp, duration) -> timestamp; (duration, duration) -> duration
_*_: (int, int) -> int; (uint, uint) -> uint; (double, double) -> double
_/_: (int, int) -> int; (uint, uint) -> uint; (double, double) -> double
_%_: (int, int) -> int; (uint, uint) -> uint
_[_]: (list(A), int) -> A; (map(A, B), A) -> B; (optional(list(A)), int) -> optional(A); (optional(map(A, B)), A) -> optional(B)
_[?_]: (list(A), int) -> optional(A); (map(A, B), A) -> optional(B); (optional(list(A)), int) -> optional(A); (optional(map(A, B)), A) -> optional(B)
@in: (A, list(A)) -> bool; (A, map(A, B)) -> bool
size: (string) -> int; (bytes) -> int; (list(A)) -> int; (map(A, B)) -> int; string.() -> int; bytes.() -> int; list(A).() -> int; map(A, B).() -> int
dyn: (A) -> dyn
type: (A) -> type
int: (int) -> int; (uint) -> int; (double) -> int; (string) -> int; (timestamp) -> int; (duration) -> int
uint: (uint) -> uint; (int) -> uint; (double) -> uint; (string) -> uint
double: (double) -> double; (int) -> double; (uint) -> double; (string) -> double
string: (string) -> string; (bool) -> string; (int) -> string; (uint) -> string; (double) -> string; (bytes) -> string; (timestamp) -> string; (duration) -> string; (ip) -> string; (cidr) -> string
bytes: (bytes) -> bytes; (string) -> bytes
bool: (bool) -> bool; (string) -> bool
timestamp: (timestamp) -> timestamp; (string) -> timestamp; (int) -> timestamp
duration: (duration) -> duration; (string) -> duration
matches: (string, string) -> bool; string.(string) -> bool
contains: string.(string) -> bool
startsWith: string.(string) -> bool
endsWith: string.(string) -> bool
getFullYear: timestamp.() -> int; timestamp.(string) -> int
getMonth: =getFullYear
getDate: =getFullYear
getDayOfMonth: =getFullYear
getDayOfWeek: =getFullYear
getDayOfYear: =getFullYear
getHours: timestamp.() -> int; timestamp.(string) -> int; duration.() -> int
getMinutes: =getHours
getSeconds: =getHours
getMilliseconds: =getHours
charAt: string.(int) -> string
indexOf: string.(string) -> int; string.(string, int) -> int; list(A).(A) -> int
lastIndexOf: =indexOf
join: list(string).() -> string; list(string).(string) -> string
lowerAscii: string.() -> string
upperAscii: string.() -> string
replace: string.(string, string) -> string; string.(string, string, int) -> string
split: string.(string) -> list(string); string.(string, int) -> list(string)
substring: string.(int) -> string; string.(int, int) -> string
trim: string.() -> string
reverse: string.() -> string; list(A).() -> list(A)
format: string.(list(dyn)) -> string
strings.quote: (string) -> string
find: string.(string) -> string
findAll: string.(string) -> list(string); string.(string, int) -> list(string)
isSorted: list(A).() -> bool
sum: list(A).() -> A
min: list(A).() -> A
max: list(A).() -> A
slice: list(A).(int, int) -> list(A)
flatten: list(list(A)).() -> list(A)
distinct: list(A).() -> list(A)
sort: list(A).() -> list(A)
sets.contains: (list(A), list(A)) -> bool
sets.equivalent: (list(A), list(A)) -> bool
sets.intersects: (list(A), list(A)) -> bool
math.greatest: (A) -> dyn; (A, A) -> dyn; (A, A, A) -> dyn
math.least: =math.greatest
math.abs: (int) -> int; (double) -> double
math.ceil: (double) -> double
math.floor: (double) -> double
math.round: (double) -> double
base64.encode: (bytes) -> string
base64.decode: (string) -> bytes
optional.of: (A) -> optional(A)
optional.ofNonZeroValue: (A) -> optional(A)
optional.none: () -> optional(dyn)
hasValue: optional(A).() -> bool
value: optional(A).() -> A
or: optional(A).(optional(A)) -> optional(A)
orValue: optional(A).(A) -> A
quantity: (string) -> quantity
isQuantity: (string) -> bool
sign: quantity.() -> int
isInteger: quantity.() -> bool
asInteger: quantity.() -> int
asApproximateFloat: quantity.() -> double
add: quantity.(quantity) -> quantity; quantity.(int) -> quantity
sub: =add
isLessThan: quantity.(quantity) -> bool; semver.(semver) -> bool
isGreaterThan: =isLessThan
compareTo: quantity.(quantity) -> int; semver.(semver) -> int
url: (string) -> url
isURL: (string) -> bool
getScheme: url.() -> string
getHost: url.() -> string
getHostname: url.() -> string
getPort: url.() -> string
getEscapedPath: url.() -> string
getQuery: url.() -> map(string, list(string))
ip: (string) -> ip; cidr.() -> ip
isIP: (string) -> bool
ip.isCanonical: (string) -> bool
family: ip.() -> int
isUnspecified: ip.() -> bool
isLoopback: ip.() -> bool
isLinkLocalMulticast: ip.() -> bool
isLinkLocalUnicast: ip.() -> bool
isGlobalUnicast: ip.() -> bool
cidr: (string) -> cidr
isCIDR: (string) -> bool
containsIP: cidr.(string) -> bool; cidr.(ip) -> bool
containsCIDR: cidr.(string) -> bool; cidr.(cidr) -> bool
masked: cidr.() -> cidr
prefixLength: cidr.() -> int
semver: (string) -> semver; (string, bool) -> semver
isSemver: (string) -> bool; (string, bool) -> bool
major: semver.() -> int
minor: semver.() -> int
patch: semver.() -> int
format.named: (string) -> optional(format)
format.dns1123Label: () -> format
format.dns1123Subdomain: () -> format
format.dns1035Label: () -> format
format.qualifiedName: () -> format
format.dns1123LabelPrefix: () -> format
format.dns1123SubdomainPrefix: () -> format
format.dns1035LabelPrefix: () -> format
format.labelValue: () -> format
format.uri: () -> format
format.uuid: () -> format
format.byte: () -> format
format.date: () -> format
format.datetime: () -> format
validate: format.(string) -> optional(list(string))
jsonpatch.escapeKey: (string) -> string
path: authorizer.(string) -> pathcheck
group: authorizer.(string) -> groupcheck
serviceAccount: authorizer.(string, string) -> authorizer
resource: groupcheck.(string) -> resourcecheck
subresource: resourcecheck.(string) -> resourcecheck
namespace: resourcecheck.(string) -> resourcecheck
name: resourcecheck.(string) -> resourcecheck
fieldSelector: resourcecheck.(string) -> resourcecheck
labelSelector: resourcecheck.(string) -> resourcecheck
check: pathcheck.(string) -> decision; resourcecheck.(string) -> decision
allowed: decision.() -> bool
reason: decision.() -> string
errored: decision.() -> bool
error: decision.() -> string
";

/// All functions by name.
static FUNCTIONS: LazyLock<HashMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let lines: Vec<(&str, &str)> = TABLE
        .lines()
        .filter_map(|line| {
            // Names of operators may hold colons themselves.
            let (name, forms) = line.split_once(": ")?;
            Some((name, forms))
        })
        .collect();
    let read = |forms: &'static str| forms.split(';').filter_map(overload).collect::<Vec<_>>();
    lines
        .iter()
        .map(|(name, forms)| {
            let forms = match forms.strip_prefix('=') {
                Some(like) => lines
                    .iter()
                    .find(|(name, _)| *name == like)
                    .map_or("", |(_, forms)| forms),
                None => forms,
            };
            (*name, read(forms))
        })
        .collect()
});

/// The ways to call a function.
pub(super) fn of(name: &str) -> Option<&'static [Overload]> {
    FUNCTIONS.get(name).map(Vec::as_slice)
}

/// Whether there is such a function.
pub(crate) fn is_known(name: &str) -> bool {
    FUNCTIONS.contains_key(name)
}

fn overload(form: &str) -> Option<Overload> {
    let (call, result) = form.trim().split_once(" -> ")?;
    let (member, args) = match call.split_once(".(") {
        Some((target, rest)) => (Some(target), rest),
        None => (None, call.strip_prefix('(')?),
    };
    let args = args.strip_suffix(')')?;
    let mut types: Vec<Ty> = member.map(ty).into_iter().collect();
    types.extend(split(args).into_iter().map(ty));
    Some(Overload {
        member: member.is_some(),
        args: types,
        result: ty(result),
    })
}

/// Parts between commas that are in no parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

fn ty(text: &str) -> Ty {
    let text = text.trim();
    let inner = |name: &str| {
        let rest = text.strip_prefix(name)?.strip_prefix('(')?;
        rest.strip_suffix(')')
    };
    if let Some(item) = inner("list") {
        return Ty::list(ty(item));
    }
    if let Some(item) = inner("optional") {
        return Ty::optional(ty(item));
    }
    if let Some(entry) = inner("map") {
        let parts = split(entry);
        if let [key, value] = parts.as_slice() {
            return Ty::map(ty(key), ty(value));
        }
    }
    match text {
        "bool" => Ty::Bool,
        "int" => Ty::Int,
        "uint" => Ty::Uint,
        "double" => Ty::Double,
        "string" => Ty::Text,
        "bytes" => Ty::Bytes,
        "timestamp" => Ty::Timestamp,
        "duration" => Ty::Duration,
        "type" => Ty::Type,
        "A" => Ty::Param(b'A'),
        "B" => Ty::Param(b'B'),
        "quantity" => Ty::Named("kubernetes.Quantity"),
        "url" => Ty::Named("kubernetes.URL"),
        "ip" => Ty::Named("net.IP"),
        "cidr" => Ty::Named("net.CIDR"),
        "semver" => Ty::Named("kubernetes.Semver"),
        "format" => Ty::Named("kubernetes.NamedFormat"),
        "authorizer" => Ty::Named(authorization::AUTHORIZER),
        "pathcheck" => Ty::Named(authorization::PATH),
        "groupcheck" => Ty::Named(authorization::GROUP),
        "resourcecheck" => Ty::Named(authorization::RESOURCE),
        "decision" => Ty::Named(authorization::DECISION),
        _ => Ty::Dyn,
    }
}
