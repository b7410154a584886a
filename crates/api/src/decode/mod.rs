//! Turns a request body into an object the API may keep: pruned to its schema, with the answers of upstream's
//! decoder for whatever does not fit. It refuses to know which kind a path serves.

mod custom;
mod fit;
mod json_syntax;
mod scalar;
mod tree;
mod yaml;

use serde_json::Value;

pub(crate) use fit::{Dialect, fit};
pub(crate) use tree::{Node, Step, down};

use crate::schema::{Gvk, TypeSchema, schema_of};

/// What to do about fields that the schema does not have, and fields given twice (`fieldValidation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them and warn the client.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

/// The syntax of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// `application/json`.
    Json,
    /// `application/yaml`; of several documents only the first counts.
    Yaml,
}

/// A decoded object and what the client should be told about it.
#[derive(Debug)]
pub struct Decoded {
    /// The object, holding only fields of its schema, with `apiVersion` and `kind`.
    pub object: Value,
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
}

/// Why a body is not an object of its kind. Its text is the message of a 400 BadRequest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

/// A field that was dropped because the schema does not have it, as a path such as `spec.foo`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown field {0:?}")]
pub struct UnknownField(pub String);

/// The group, version and kind a body claims to be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    group: String,
    version: String,
    kind: String,
}

impl Claim {
    fn is(&self, gvk: &Gvk) -> bool {
        self.group == gvk.group && self.version == gvk.version && self.kind == gvk.kind
    }

    fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// Decodes a body sent to an endpoint of `gvk`; `apiVersion` and `kind` may be left out.
///
/// Fields of the schema that hold nothing (null, an empty list or map, the zero of a scalar that upstream does not
/// hold by pointer) are dropped, and quantities and times get their canonical text, as the round trip through
/// upstream's types does.
pub fn decode(
    schema: &'static TypeSchema,
    gvk: &Gvk,
    body: &[u8],
    format: BodyFormat,
    validation: FieldValidation,
) -> Result<Decoded, DecodeError> {
    let unrecognized = |reason: &str| {
        DecodeError(format!(
            "the object provided is unrecognized (must be of type {}): {reason} ({})",
            gvk.kind,
            summary(body)
        ))
    };
    let mut problems = Vec::new();
    let node = match format {
        BodyFormat::Json => Node::from_json(body).map_err(|error| {
            unrecognized(&format!(
                "couldn't get version/kind; json parse error: {error}"
            ))
        })?,
        BodyFormat::Yaml => {
            let parsed = yaml::parse(body).map_err(|error| unrecognized(&error))?;
            problems.extend(parsed.duplicates);
            parsed.node
        }
    };
    if schema.is_custom()
        && let Some(missing) = custom::missing_type(&node, body)
    {
        return Err(unrecognized(&missing));
    }
    let claim = claim(&node, gvk).map_err(|error| unrecognized(&error))?;
    let (object, mut strict) = decode_claimed(schema, gvk, &claim, node).map_err(|error| {
        if error.mismatch {
            DecodeError(error.text)
        } else {
            refused(&claim, gvk, &error.text)
        }
    })?;
    problems.append(&mut strict);
    match validation {
        FieldValidation::Strict if !problems.is_empty() => {
            Err(refused(&claim, gvk, &strict_error(&problems)))
        }
        FieldValidation::Warn => Ok(Decoded {
            object,
            warnings: problems,
        }),
        FieldValidation::Strict | FieldValidation::Ignore => Ok(Decoded {
            object,
            warnings: Vec::new(),
        }),
    }
}

/// Removes what the schema does not have and reports it; also brings scalars into their canonical form where they
/// fit. Values of a wrong type stay as they are.
pub fn prune(schema: &TypeSchema, object: &mut Value) -> Vec<UnknownField> {
    let Some(declared) = schema.custom else {
        return fit::prune(schema, object);
    };
    let mut unknown = Vec::new();
    declared.structural.prune(object, true, &mut unknown);
    unknown.into_iter().map(UnknownField).collect()
}

/// A body without any schema.
pub(crate) struct Untyped {
    pub(crate) value: Value,
    /// One text for all fields given twice, if any.
    pub(crate) duplicates: Option<String>,
}

/// Parses YAML and says nothing about what it holds. JSON is YAML, but read faster as what it is.
pub(crate) fn parse_yaml(body: &[u8]) -> Result<Untyped, String> {
    if body.first() == Some(&b'{')
        && let Ok(node) = Node::from_json(body)
    {
        let mut twice = Vec::new();
        let value = node.into_value(&mut String::new(), &mut twice);
        return Ok(Untyped {
            value,
            duplicates: yaml::duplicates(&twice),
        });
    }
    yaml::parse(body).map(|parsed| Untyped {
        value: parsed.node.into_value(&mut String::new(), &mut Vec::new()),
        duplicates: parsed.duplicates,
    })
}

/// Brings an object made of parts into the form of its type, as the converter between upstream's types does. Custom
/// resources have none.
pub fn fit_to(schema: &'static TypeSchema, object: Value) -> Result<Value, String> {
    if schema.is_custom() {
        return Ok(object);
    }
    fit(schema, Node::from(object), Dialect::Converter).map(|(object, _)| object)
}

/// Decodes a patched object; the error texts are upstream's without the words around them.
pub(crate) fn decode_patched(
    schema: &'static TypeSchema,
    gvk: &Gvk,
    patched: Value,
) -> Result<(Value, Vec<String>), String> {
    let node = Node::from(patched);
    let claim = claim(&node, gvk)?;
    decode_claimed(schema, gvk, &claim, node).map_err(|error| error.text)
}

/// `strict decoding error: ` and all problems.
pub(crate) fn strict_error(problems: &[String]) -> String {
    format!("strict decoding error: {}", problems.join(", "))
}

struct ClaimError {
    text: String,
    /// The object is readable, but of another API version than the endpoint's: reported without the kind.
    mismatch: bool,
}

fn decode_claimed(
    schema: &'static TypeSchema,
    gvk: &Gvk,
    claim: &Claim,
    node: Node,
) -> Result<(Value, Vec<String>), ClaimError> {
    let refuse = |text: String| ClaimError {
        text,
        mismatch: false,
    };
    if let Some(declared) = schema.custom {
        return custom::decode(schema, declared, gvk, claim, node);
    }
    if !claim.is(gvk) {
        let other = schema_of(&claim.group, &claim.version, &claim.kind).ok_or_else(|| {
            refuse(format!(
                "no kind {:?} is registered for version {:?} in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
                claim.kind,
                claim.api_version()
            ))
        })?;
        // The object is read as what it claims to be before anything is said about the kind.
        fit(other, node, Dialect::Json).map_err(refuse)?;
        if claim.kind == gvk.kind && internal_group(&claim.group) == internal_group(gvk.group) {
            return Err(ClaimError {
                text: format!(
                    "the API version in the data ({}) does not match the expected API version ({})",
                    claim.api_version(),
                    gvk.api_version()
                ),
                mismatch: true,
            });
        }
        return Err(refuse(format!(
            "converting ({}.{}) to ({}.{}): unknown conversion",
            claim.version,
            claim.kind,
            internal_group(gvk.group),
            gvk.kind
        )));
    }
    let (mut object, problems) = fit(schema, node, Dialect::Json).map_err(refuse)?;
    set_type(&mut object, gvk);
    Ok((object, problems))
}

/// Writes `apiVersion` and `kind` into an object.
pub(crate) fn set_type(object: &mut Value, gvk: &Gvk) {
    if let Value::Object(fields) = object {
        fields.insert("apiVersion".to_owned(), Value::String(gvk.api_version()));
        fields.insert("kind".to_owned(), Value::String(gvk.kind.to_owned()));
    }
}

fn refused(claim: &Claim, gvk: &Gvk, reason: &str) -> DecodeError {
    DecodeError(format!(
        "{} in version {:?} cannot be handled as a {}: {reason}",
        claim.kind, claim.version, gvk.kind
    ))
}

/// What a body says it is; what it leaves out comes from the endpoint.
fn claim(node: &Node, gvk: &Gvk) -> Result<Claim, String> {
    let fields = match node {
        Node::Object(fields) => fields.as_slice(),
        Node::Null => &[],
        other => {
            return Err(format!(
                "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value of type struct \
                 {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
                 \"json:\\\"kind,omitempty\\\"\" }}",
                other.json_name()
            ));
        }
    };
    let (mut api_version, mut kind) = ("", "");
    for (name, value) in fields {
        let target = match name.as_str() {
            "apiVersion" => &mut api_version,
            "kind" => &mut kind,
            _ => continue,
        };
        match value {
            Node::Text(text) => *target = text,
            Node::Null => {}
            other => {
                return Err(format!(
                    "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go struct field \
                     .{name} of type string",
                    other.json_name()
                ));
            }
        }
    }
    let (mut group, mut version) = match api_version.split_once('/') {
        None => ("", api_version),
        Some((_, version)) if version.contains('/') => {
            return Err(format!("unexpected GroupVersion string: {api_version}"));
        }
        Some(parts) => parts,
    };
    if version.is_empty() && (group.is_empty() || group == gvk.group) {
        (group, version) = (gvk.group, gvk.version);
    }
    if kind.is_empty() {
        kind = gvk.kind;
    }
    Ok(Claim {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
    })
}

/// The package of a group's hub types; kinds that moved between groups share one.
fn internal_group(group: &str) -> &str {
    match group {
        "" | "events.k8s.io" => "core",
        "internal.apiserver.k8s.io" => "apiserverinternal",
        "flowcontrol.apiserver.k8s.io" => "flowcontrol",
        _ => group.split('.').next().unwrap_or(group),
    }
}

/// The start of a body for an error message: as text when it looks like JSON, in hexadecimal otherwise.
fn summary(body: &[u8]) -> String {
    const SHOWN: usize = 30;
    let head = &body[..body.len().min(SHOWN)];
    let text = match body.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(head).into_owned(),
        Some(_) => head
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 0xf])
            .filter_map(|digit| char::from_digit(digit.into(), 16))
            .collect(),
    };
    if body.len() > SHOWN {
        format!("{text} ...")
    } else {
        text
    }
}

#[cfg(test)]
mod tests;
