//! The query string of a request, read the way upstream reads it: of repeated parameters the first counts (§13.5).

use http::HeaderMap;
use plinth_api::{FieldError, FieldValidation, Path, Status};

use crate::http::media::{PatchBody, patch_body};
use crate::route::percent_decode;
use crate::write::{MANAGER_MAX, agent, is_printable};

/// Parsed parameters.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses `a=b&c=d`. Pairs with broken escapes are dropped, as Go does.
    pub(crate) fn parse(text: Option<&str>) -> Self {
        let mut pairs = Vec::new();
        for pair in text
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let (Some(key), Some(value)) = (unescape(key), unescape(value)) {
                pairs.push((key, value));
            }
        }
        Self(pairs)
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The first value of a parameter, unless it is empty.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|value| !value.is_empty())
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, key: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// A boolean: present and not `false` or `0` is true, whatever it says.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)
            .map(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    /// A whole number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<i64>, Status> {
        self.text(key)
            .map(|text| {
                text.parse().map_err(|_| {
                    Status::bad_request(format!(
                        "strconv.ParseInt: parsing {text:?}: invalid syntax"
                    ))
                })
            })
            .transpose()
    }
}

fn unescape(text: &str) -> Option<String> {
    let broken = text.match_indices('%').any(|(at, _)| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    (!broken).then(|| percent_decode(&text.replace('+', " ")))
}

/// What a write's parameters ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteOptions {
    /// Everything but the commit.
    pub(crate) dry_run: bool,
    pub(crate) validation: FieldValidation,
    /// Who manages the fields that the write changes: `fieldManager`, or the client's product.
    pub(crate) manager: String,
    /// Whether applying takes fields of other managers.
    pub(crate) force: bool,
}

impl WriteOptions {
    /// Reads them; `kind` is what upstream calls them, as in `CreateOptions`.
    pub(crate) fn parse(query: &Query, headers: &HeaderMap, kind: &str) -> Result<Self, Status> {
        let applies = kind == "PatchOptions" && patch_body(headers) == Ok(PatchBody::Configuration);
        let mut errors = Vec::new();
        let manager = query.get("fieldManager").unwrap_or_default();
        let at = Path::new("fieldManager");
        if kind == "PatchOptions" && !applies && query.get("force").is_some() {
            errors.push(FieldError::forbidden(
                &Path::new("force"),
                "may not be specified for non-apply patch",
            ));
        }
        if applies && manager.is_empty() {
            errors.push(FieldError::required(&at, "is required for apply patch"));
        }
        if manager.len() > MANAGER_MAX {
            errors.push(FieldError::too_long(&at, MANAGER_MAX));
        }
        for (position, letter) in manager.char_indices().filter(|(_, c)| !is_printable(*c)) {
            let code = u32::from(letter);
            let why = format!("invalid character U+{code:04X} (at position {position})");
            errors.push(FieldError::invalid(&at, manager, why));
        }
        let dry_run = dry_run(&query.all("dryRun"), &mut errors);
        let validation = match query.get("fieldValidation").unwrap_or_default() {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                errors.push(FieldError::not_supported(
                    &Path::new("fieldValidation"),
                    other,
                    &["", "Ignore", "Strict", "Warn"],
                ));
                FieldValidation::Warn
            }
        };
        if !errors.is_empty() {
            return Err(invalid_options(kind, &errors));
        }
        Ok(Self {
            dry_run,
            validation,
            manager: if manager.is_empty() {
                agent(headers)
            } else {
                manager.to_owned()
            },
            force: query.flag("force").unwrap_or(false),
        })
    }
}

/// Whether the values of `dryRun` ask for one; adds an error for any other value than `All`.
pub(crate) fn dry_run(values: &[&str], errors: &mut Vec<FieldError>) -> bool {
    if values.iter().any(|value| *value != "All") {
        errors.push(FieldError::not_supported(
            &Path::new("dryRun"),
            values.to_vec(),
            &["All"],
        ));
    }
    !values.is_empty()
}

/// 422 about options.
pub(crate) fn invalid_options(kind: &str, errors: &[FieldError]) -> Status {
    Status::invalid_kind("meta.k8s.io", kind, "", errors)
}

/// A resourceVersion in a query or object.
pub(crate) fn revision(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("strconv.ParseUint: parsing {text:?}: invalid syntax"))
}

/// How a list's resourceVersion is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// Nothing said.
    Unset,
    /// Exactly that state.
    Exact,
    /// That state or a newer one.
    NotOlderThan,
}

/// What a list or watch asks for.
#[derive(Debug)]
pub(crate) struct ListOptions {
    /// Empty when not given.
    pub(crate) resource_version: String,
    pub(crate) matching: Match,
    /// 0 is no limit.
    pub(crate) limit: usize,
    pub(crate) continuation: Option<String>,
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) bookmarks: bool,
    pub(crate) send_initial_events: Option<bool>,
}

impl ListOptions {
    /// Reads and checks them.
    pub(crate) fn parse(query: &Query, watch: bool) -> Result<Self, Status> {
        let limit = query.number("limit")?.unwrap_or(0);
        let timeout = query.number("timeoutSeconds")?;
        let options = Self {
            resource_version: query.text("resourceVersion").unwrap_or_default().to_owned(),
            matching: match query.text("resourceVersionMatch") {
                Some("Exact") => Match::Exact,
                Some("NotOlderThan") => Match::NotOlderThan,
                _ => Match::Unset,
            },
            limit: usize::try_from(limit).unwrap_or(0),
            continuation: query.text("continue").map(ToOwned::to_owned),
            timeout_seconds: timeout
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|seconds| *seconds > 0),
            bookmarks: query.flag("allowWatchBookmarks").unwrap_or(false),
            send_initial_events: query
                .text("sendInitialEvents")
                .and_then(|_| query.flag("sendInitialEvents")),
        };
        let given = query.text("resourceVersionMatch");
        let errors = if watch {
            options.watch_faults(given)
        } else {
            options.list_faults(given)
        };
        if errors.is_empty() {
            Ok(options)
        } else {
            Err(invalid_options("ListOptions", &errors))
        }
    }

    fn watch_faults(&self, given: Option<&str>) -> Vec<FieldError> {
        let path = Path::new("resourceVersionMatch");
        let mut errors = Vec::new();
        match (given, self.send_initial_events) {
            (Some(_), None) => errors.push(FieldError::forbidden(
                &path,
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )),
            (given, Some(_)) if given != Some("NotOlderThan") => {
                errors.push(FieldError::forbidden(
                    &path,
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                ));
            }
            _ => {}
        }
        if let Some(given) = given.filter(|given| *given != "NotOlderThan") {
            errors.push(FieldError::not_supported(&path, given, &["NotOlderThan"]));
        }
        if self.continuation.is_some() {
            errors.push(FieldError::forbidden(
                &path,
                "resourceVersionMatch is forbidden when continue is provided",
            ));
        }
        errors
    }

    fn list_faults(&self, given: Option<&str>) -> Vec<FieldError> {
        let path = Path::new("resourceVersionMatch");
        let mut errors = Vec::new();
        if self.send_initial_events.is_some() {
            let path = Path::new("sendInitialEvents");
            errors.push(FieldError::forbidden(
                &path,
                "sendInitialEvents is forbidden for list",
            ));
        }
        let Some(given) = given else { return errors };
        if self.resource_version.is_empty() {
            let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            errors.push(FieldError::forbidden(&path, why));
        }
        if self.continuation.is_some() {
            errors.push(FieldError::forbidden(
                &path,
                "resourceVersionMatch is forbidden when continue is provided",
            ));
        }
        if !matches!(given, "Exact" | "NotOlderThan") {
            errors.push(FieldError::not_supported(
                &path,
                given,
                &["Exact", "NotOlderThan", ""],
            ));
        }
        if given == "Exact" && self.resource_version == "0" {
            let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            errors.push(FieldError::forbidden(&path, why));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_as_go_reads_them() {
        let query = Query::parse(Some(
            "a=1&a=2&b=x%20y+z&broken=%zz&watch=banana&off=false&limit=1e3",
        ));
        assert_eq!(query.get("a"), Some("1"));
        assert_eq!(query.get("b"), Some("x y z"));
        assert_eq!(query.get("broken"), None);
        assert_eq!(query.flag("watch"), Some(true));
        assert_eq!(query.flag("off"), Some(false));
        assert_eq!(
            query.number("limit").unwrap_err().message,
            "strconv.ParseInt: parsing \"1e3\": invalid syntax"
        );
    }

    #[test]
    fn a_dry_run_is_all_or_an_error() {
        assert!(
            WriteOptions::parse(
                &Query::parse(Some("dryRun=All&dryRun=All")),
                &HeaderMap::new(),
                "CreateOptions"
            )
            .unwrap()
            .dry_run
        );
        let status = WriteOptions::parse(
            &Query::parse(Some("dryRun=all")),
            &HeaderMap::new(),
            "CreateOptions",
        )
        .unwrap_err();
        let expected = r#"CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["all"]: supported values: "All""#;
        assert_eq!((status.code, status.message.as_str()), (422, expected));
    }
}
