//! What a DELETE asks for, in its body or its query.

use bytes::Bytes;
use http::HeaderMap;
use plinth_api::{
    BodyFormat, FieldError, FieldValidation, Gvk, Path, Status, TypeSchema, decode, schema_of,
};
use serde_json::{Value, json};

use crate::http::media;
use crate::query::{Query, dry_run, invalid_options};

/// How dependents are treated (G-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// The owner goes now, dependents follow.
    Background,
    /// Dependents go first.
    Foreground,
    /// Dependents stay.
    Orphan,
}

/// A deletion's parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_period_seconds: Option<i64>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) dry_run: bool,
}

impl DeleteOptions {
    /// Reads them from the body or, when there is none, from the query.
    pub(crate) fn parse(query: &Query, headers: &HeaderMap, body: &Bytes) -> Result<Self, Status> {
        if body.is_empty() {
            return Self::from_query(query);
        }
        let schema = schema_of("", "v1", "DeleteOptions")
            .ok_or_else(|| Status::internal("there is no schema for DeleteOptions"))?;
        let (body, format) = media::body_text(headers, schema, body)?;
        Self::from_object(&decode_body(schema, &body, format)?)
    }

    fn from_query(query: &Query) -> Result<Self, Status> {
        let policy = query.text("propagationPolicy").map(ToOwned::to_owned);
        let mut options = Self::checked(
            policy.as_deref(),
            query.flag("orphanDependents"),
            &query.all("dryRun"),
        )?;
        options.grace_period_seconds = query.number("gracePeriodSeconds")?;
        Ok(options)
    }

    /// The options in an object, as an Eviction carries them.
    pub(super) fn from_object(object: &Value) -> Result<Self, Status> {
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let dry_run: Vec<&str> = object["dryRun"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let policy = object["propagationPolicy"].as_str();
        let mut options = Self::checked(policy, object["orphanDependents"].as_bool(), &dry_run)?;
        options.grace_period_seconds = object["gracePeriodSeconds"].as_i64();
        options.uid = text(&object["preconditions"]["uid"]);
        options.resource_version = text(&object["preconditions"]["resourceVersion"]);
        Ok(options)
    }

    /// As reviews show them.
    pub(crate) fn to_value(&self) -> Value {
        let mut value = json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"});
        if let Some(seconds) = self.grace_period_seconds {
            value["gracePeriodSeconds"] = seconds.into();
        }
        for (field, text) in [
            ("uid", &self.uid),
            ("resourceVersion", &self.resource_version),
        ] {
            if let Some(text) = text {
                value["preconditions"][field] = text.as_str().into();
            }
        }
        if let Some(policy) = self.propagation {
            value["propagationPolicy"] = format!("{policy:?}").into();
        }
        if self.dry_run {
            value["dryRun"] = json!(["All"]);
        }
        value
    }

    fn checked(policy: Option<&str>, orphan: Option<bool>, dry: &[&str]) -> Result<Self, Status> {
        let path = Path::new("propagationPolicy");
        let mut errors = Vec::new();
        if let (Some(policy), Some(_)) = (policy, orphan) {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(FieldError::invalid(&path, policy, why));
        }
        let propagation = match (policy, orphan) {
            (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            (Some(other), _) => {
                errors.push(FieldError::not_supported(
                    &path,
                    other,
                    &["Foreground", "Background", "Orphan", "nil"],
                ));
                None
            }
            (None, None) => None,
        };
        let dry_run = dry_run(dry, &mut errors);
        if errors.is_empty() {
            Ok(Self {
                propagation,
                dry_run,
                ..Self::default()
            })
        } else {
            Err(invalid_options("DeleteOptions", &errors))
        }
    }
}

/// The options in a body. Bodies with and without `kind` are both common (K-46).
fn decode_body(
    schema: &'static TypeSchema,
    body: &[u8],
    format: BodyFormat,
) -> Result<Value, Status> {
    if format == BodyFormat::Json {
        let value: Value = serde_json::from_slice(body).map_err(|error| {
            let why = if error.is_eof() {
                "unexpected end of JSON input".to_owned()
            } else {
                error.to_string()
            };
            Status::bad_request(format!(
                "couldn't get version/kind; json parse error: {why}"
            ))
        })?;
        let (kind, version) = (
            value["kind"].as_str().unwrap_or_default(),
            value["apiVersion"].as_str().unwrap_or_default(),
        );
        if !matches!(kind, "" | "DeleteOptions") {
            return Err(Status::bad_request(format!(
                "no kind {kind:?} is registered for version {version:?} in scheme \
                 \"pkg/apis/meta/internalversion/scheme/register.go:27\""
            )));
        }
    }
    let gvk = Gvk::of("", "v1", "DeleteOptions");
    decode(schema, &gvk, body, format, FieldValidation::Ignore)
        .map(|decoded| decoded.object)
        .map_err(|error| Status::bad_request(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str, body: &'static str) -> Result<DeleteOptions, String> {
        DeleteOptions::parse(
            &Query::parse(Some(query)),
            &HeaderMap::new(),
            &Bytes::from_static(body.as_bytes()),
        )
        .map_err(|status| status.message)
    }

    /// K-46: the body may be empty, or go without kind.
    #[test]
    fn options_come_from_the_body_or_the_query() {
        let options = of(
            "",
            r#"{"propagationPolicy":"Foreground","preconditions":{"uid":"u"}}"#,
        )
        .unwrap();
        assert_eq!(
            (options.propagation, options.uid.as_deref()),
            (Some(Propagation::Foreground), Some("u"))
        );
        let options = of("gracePeriodSeconds=5&orphanDependents=true", "").unwrap();
        assert_eq!(
            (options.propagation, options.grace_period_seconds),
            (Some(Propagation::Orphan), Some(5))
        );
    }

    #[test]
    fn contradictions_and_unknown_words_are_refused() {
        let both = of(
            "",
            r#"{"propagationPolicy":"Orphan","orphanDependents":true}"#,
        )
        .unwrap_err();
        assert!(
            both.ends_with("orphanDependents and deletionPropagation cannot be both set"),
            "{both}"
        );
        let unknown = of("propagationPolicy=Sideways", "").unwrap_err();
        assert!(
            unknown
                .contains("supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""),
            "{unknown}"
        );
    }
}
