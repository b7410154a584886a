//! Media types: what the client sends and what it accepts. Of several offers the first that can be served is taken,
//! which is what makes kubectl's lists of alternatives work (K-1).

use std::borrow::Cow;

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use plinth_api::patch::PatchKind;
use plinth_api::{BodyFormat, Status, TypeSchema};

use super::protobuf;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    Json,
    Yaml,
}

impl Syntax {
    /// The value of `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
        }
    }
}

/// Into what an object is turned before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Itself.
    Object,
    /// A Table of this version of `meta.k8s.io`.
    Table(&'static str),
    /// Metadata only.
    Partial(&'static str),
    /// A list of objects' metadata only.
    PartialList(&'static str),
}

/// What the client wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accept {
    pub(crate) syntax: Syntax,
    pub(crate) form: Form,
    pub(crate) pretty: bool,
}

impl Accept {
    /// Plain JSON.
    pub(crate) const JSON: Self = Self {
        syntax: Syntax::Json,
        form: Form::Object,
        pretty: false,
    };
}

/// The form of objects that Go clients prefer.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// The media types upstream names in its refusals. Protobuf is among them although this server writes none: the
/// texts are part of the API.
const WRITABLE: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];
const WATCHABLE: &[&str] = &[
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
const READABLE: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];

/// One offer of an `Accept` header.
struct Offer<'a> {
    media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl<'a> Offer<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let quality = parameters
            .iter()
            .find(|(key, _)| *key == "q")
            .and_then(|(_, value)| value.parse().ok());
        Self {
            media,
            parameters,
            quality: quality.unwrap_or(1.0),
        }
    }

    fn parameter(&self, key: &str) -> Option<&'a str> {
        self.parameters
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| *value)
    }

    fn syntax(&self) -> Option<Syntax> {
        match self.media {
            "application/json" | "*/*" | "" => Some(Syntax::Json),
            "application/yaml" => Some(Syntax::Yaml),
            _ => None,
        }
    }

    fn is_protobuf(&self) -> bool {
        self.media == PROTOBUF
    }

    fn form(&self) -> Option<Form> {
        let Some(form) = self.parameter("as") else {
            return Some(Form::Object);
        };
        if self.parameter("g") != Some("meta.k8s.io") {
            return None;
        }
        let version = match self.parameter("v")? {
            "v1" => "v1",
            "v1beta1" => "v1beta1",
            _ => return None,
        };
        match form {
            "Table" => Some(Form::Table(version)),
            "PartialObjectMetadata" => Some(Form::Partial(version)),
            "PartialObjectMetadataList" => Some(Form::PartialList(version)),
            _ => None,
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn offers(headers: &HeaderMap) -> Vec<Offer<'_>> {
    let mut offers: Vec<_> = header(headers, &ACCEPT)
        .split(',')
        .map(|text| Offer::parse(text.trim()))
        .collect();
    // Stable: offers of one quality keep the client's order.
    offers.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    offers
}

/// What endpoints for objects write for this client.
pub(crate) fn accepted(headers: &HeaderMap, collection: bool) -> Result<Accept, Status> {
    let offers = offers(headers);
    for offer in &offers {
        if let (Some(syntax), Some(form)) = (offer.syntax(), offer.form()) {
            let pretty = offer
                .parameter("pretty")
                .is_some_and(|value| value != "0" && value != "false");
            return Ok(Accept {
                syntax,
                form,
                pretty,
            });
        }
    }
    if offers
        .iter()
        .any(|offer| offer.syntax().is_some() || offer.is_protobuf())
    {
        return Err(Status::not_acceptable(WRITABLE));
    }
    let watchable: &[&str] = if collection { WATCHABLE } else { &[] };
    Err(no_representation(&[WRITABLE, watchable].concat()))
}

/// What a watch writes for this client: JSON, or a refusal.
pub(crate) fn accepted_for_watch(headers: &HeaderMap) -> Result<Accept, Status> {
    let accept = accepted(headers, true)?;
    if accept.syntax == Syntax::Yaml {
        Err(Status::not_acceptable(WATCHABLE))
    } else {
        Ok(accept)
    }
}

/// The syntax in which to tell this client of an error.
pub(crate) fn syntax_of_errors(headers: &HeaderMap) -> Syntax {
    offers(headers)
        .iter()
        .find_map(Offer::syntax)
        .unwrap_or(Syntax::Json)
}

/// The aggregated form of discovery the client wants: `v2` or `v2beta1`.
pub(crate) enum Discovery {
    /// One list of groups or versions.
    Plain(Accept),
    /// Everything at once, in this version.
    Aggregated(&'static str),
}

/// How discovery is written for this client. Only exact paths have the aggregated form (§13.7).
pub(crate) fn accepted_for_discovery(
    headers: &HeaderMap,
    aggregated: bool,
) -> Result<Discovery, Status> {
    let offers = offers(headers);
    for offer in &offers {
        let Some(syntax) = offer.syntax() else {
            continue;
        };
        if offer.parameter("as").is_none() {
            return Ok(Discovery::Plain(Accept {
                syntax,
                ..Accept::JSON
            }));
        }
        let wanted = (
            offer.parameter("g"),
            offer.parameter("as"),
            offer.parameter("v"),
        );
        if aggregated
            && let (Some("apidiscovery.k8s.io"), Some("APIGroupDiscoveryList"), Some(version)) =
                wanted
        {
            match version {
                "v2" => return Ok(Discovery::Aggregated("v2")),
                "v2beta1" => return Ok(Discovery::Aggregated("v2beta1")),
                _ => {}
            }
        }
    }
    if offers
        .iter()
        .any(|offer| offer.syntax().is_some() || offer.is_protobuf())
    {
        return Err(Status::not_acceptable(WRITABLE));
    }
    Err(no_representation(WRITABLE))
}

/// How the OpenAPI v2 document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenApiV2 {
    Json,
    Protobuf,
}

/// What the protobuf form of the OpenAPI v2 document is called. Clients ask for it by this or an older name.
pub(crate) const OPENAPI_V2_PROTOBUF: &str =
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const OPENAPI_V2_PROTOBUF_OLD: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// How the OpenAPI v2 document is written for this client.
pub(crate) fn openapi_v2(headers: &HeaderMap) -> Result<OpenApiV2, Status> {
    offers(headers)
        .iter()
        .find_map(|offer| match offer.media {
            OPENAPI_V2_PROTOBUF | OPENAPI_V2_PROTOBUF_OLD => Some(OpenApiV2::Protobuf),
            _ => (offer.syntax() == Some(Syntax::Json)).then_some(OpenApiV2::Json),
        })
        .ok_or_else(|| no_representation(&["application/json", OPENAPI_V2_PROTOBUF]))
}

/// Refuses clients that accept no JSON, for endpoints that write nothing else.
pub(crate) fn json_only(headers: &HeaderMap) -> Result<(), Status> {
    let json = |offer: &Offer<'_>| offer.syntax() == Some(Syntax::Json);
    if offers(headers).iter().any(json) {
        Ok(())
    } else {
        Err(no_representation(&["application/json"]))
    }
}

fn no_representation(available: &[&str]) -> Status {
    let message = format!(
        "406: Not Acceptable\n\nAvailable representations: {}",
        available.join(", ")
    );
    Status {
        message,
        details: Some(plinth_api::Details::default()),
        ..Status::not_acceptable(&[])
    }
}

fn content_media(headers: &HeaderMap) -> &str {
    header(headers, &CONTENT_TYPE)
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
}

/// An object in a request body as text this server decodes, and its syntax.
pub(crate) fn body_text<'b>(
    headers: &HeaderMap,
    schema: &TypeSchema,
    body: &'b [u8],
) -> Result<(Cow<'b, [u8]>, BodyFormat), Status> {
    match content_media(headers) {
        "" | "application/json" => Ok((Cow::Borrowed(body), BodyFormat::Json)),
        "application/yaml" => Ok((Cow::Borrowed(body), BodyFormat::Yaml)),
        PROTOBUF => match protobuf::to_json(schema, body) {
            Ok(object) => Ok((
                Cow::Owned(object.to_string().into_bytes()),
                BodyFormat::Json,
            )),
            Err(error) => Err(Status::bad_request(error.to_string())),
        },
        _ => Err(Status::unsupported_media_type(READABLE)),
    }
}

/// What a patch's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchBody {
    /// Changes to the live object.
    Patch(PatchKind),
    /// A configuration that becomes part of the object.
    Configuration,
}

/// What the body of a patch is.
pub(crate) fn patch_body(headers: &HeaderMap) -> Result<PatchBody, Status> {
    match content_media(headers) {
        "application/json-patch+json" => Ok(PatchBody::Patch(PatchKind::Json)),
        "application/merge-patch+json" => Ok(PatchBody::Patch(PatchKind::Merge)),
        "application/strategic-merge-patch+json" => Ok(PatchBody::Patch(PatchKind::Strategic)),
        "application/apply-patch+yaml" => Ok(PatchBody::Configuration),
        _ => Err(Status {
            message: "415: Unsupported Media Type".to_owned(),
            details: Some(plinth_api::Details::default()),
            ..Status::unsupported_media_type(&[])
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &str) -> Result<Accept, String> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, value.parse().unwrap());
        accepted(&headers, false).map_err(|status| status.message)
    }

    /// K-1, and the offers of client-go based clients.
    #[test]
    fn the_first_offer_that_can_be_served_is_taken() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(accept(table).unwrap().form, Form::Table("v1"));
        let protobuf = "application/vnd.kubernetes.protobuf,application/json";
        assert_eq!(accept(protobuf), Ok(Accept::JSON));
        assert_eq!(accept("*/*"), Ok(Accept::JSON));
        assert_eq!(accept("application/yaml").unwrap().syntax, Syntax::Yaml);
        assert_eq!(
            accept("application/json;as=Chair;v=v1;g=meta.k8s.io,application/json"),
            Ok(Accept::JSON)
        );
        assert_eq!(
            accept("text/html, application/json;q=0.9"),
            Ok(Accept::JSON)
        );
    }

    /// §13.7: there are two texts for 406.
    #[test]
    fn clients_that_accept_nothing_we_write_are_told() {
        assert!(
            accept("application/xml")
                .unwrap_err()
                .starts_with("406: Not Acceptable\n\nAvailable")
        );
        assert!(
            accept("application/*")
                .unwrap_err()
                .starts_with("406: Not Acceptable")
        );
        assert!(
            accept("application/vnd.kubernetes.protobuf")
                .unwrap_err()
                .starts_with("only the following")
        );
        assert!(
            accept("application/json;as=Chair;v=v1;g=meta.k8s.io")
                .unwrap_err()
                .starts_with("only the following")
        );
    }
}
