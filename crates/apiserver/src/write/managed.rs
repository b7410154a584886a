//! Whose name a write goes by in `managedFields`, and which fields each endpoint of a kind cannot change.

use http::HeaderMap;
use http::header::USER_AGENT;
use jiff::Timestamp;
use plinth_api::apply::{Author, FieldSet, track_across};
use plinth_api::{Resource, TypeSchema, catalogue, schema_of};
use serde_json::Value;

use super::{Part, timestamp};
use crate::kind::Kind;

/// Names of managers may have this many bytes.
pub(crate) const MANAGER_MAX: usize = 128;
/// This server's own name.
pub(crate) const OWN_NAME: &str = "kube-apiserver";

/// The fields that endpoints of a kind cannot change, and whose managers therefore stay.
#[derive(Debug)]
pub(crate) struct Resets {
    main: FieldSet,
    status: FieldSet,
    none: FieldSet,
}

impl Resets {
    /// Those of a kind.
    pub(crate) fn of(resource: &Resource) -> Self {
        let of = |subresource| FieldSet::of_paths(resource.strategy.reset_fields(subresource));
        Self {
            main: of(""),
            status: of("status"),
            none: FieldSet::default(),
        }
    }

    /// Those of the endpoint that writes this part.
    pub(super) fn at(&self, part: Part) -> &FieldSet {
        match part {
            Part::Main | Part::Scale => &self.main,
            Part::Status => &self.status,
            Part::Finalizers | Part::Own(_) | Part::Approval | Part::Bound => &self.none,
        }
    }
}

impl Part {
    /// The subresource whose endpoint writes this part.
    pub(super) fn subresource(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Scale => "scale",
            Self::Status => "status",
            Self::Finalizers => "finalize",
            Self::Own(subresource) => subresource.name(),
            Self::Approval => "approval",
            Self::Bound => "binding",
        }
    }
}

/// Does something with the author of a write.
pub(super) fn as_author<T>(
    kind: &Kind,
    part: Part,
    manager: &str,
    act: impl FnOnce(Author<'_>) -> T,
) -> T {
    act(Author {
        manager,
        api_version: &kind.gvk.api_version(),
        subresource: part.subresource(),
        time: &timestamp(Timestamp::now()),
    })
}

/// Brings the managers of an object that was made, or of `live` as it will be, up to date.
pub(crate) fn manage(
    kind: &Kind,
    part: Part,
    manager: &str,
    live: Option<&Value>,
    new: &mut Value,
) {
    as_author(kind, part, manager, |author| {
        track_across(
            kind.schema,
            kind.resets.at(part),
            &author,
            live,
            new,
            &|version, object| in_form_of(kind, version, object),
        );
    });
}

/// An object of a built-in kind in the form of another version. Fields of custom kinds go by the same names in all.
fn in_form_of(kind: &Kind, version: &str, object: &Value) -> Option<(&'static TypeSchema, Value)> {
    let resource = kind.resource;
    let conversion = resource.strategy.conversion();
    let place = conversion.map_or(
        (resource.group, resource.version, resource.plural),
        |conversion| conversion.stored,
    );
    let to = catalogue().iter().find(|other| {
        let stored = other
            .strategy
            .conversion()
            .map_or((other.group, other.version, other.plural), |conversion| {
                conversion.stored
            });
        stored == place && other.api_version() == version
    })?;
    let schema = schema_of(to.group, to.version, to.kind)?;
    let stored = match conversion {
        Some(conversion) => (conversion.to_stored)(object.clone()),
        None => object.clone(),
    };
    let formed = match to.strategy.conversion() {
        Some(conversion) => (conversion.from_stored)(stored),
        None => stored,
    };
    Some((schema, formed))
}

/// The name of a client that gave none: its product, up to the first slash.
pub(crate) fn agent(headers: &HeaderMap) -> String {
    let text = headers
        .get(USER_AGENT)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default();
    let product = text.split('/').next().unwrap_or_default();
    let mut name = String::new();
    for letter in product.chars().filter(|letter| is_printable(*letter)) {
        if name.len() + letter.len_utf8() > MANAGER_MAX {
            break;
        }
        name.push(letter);
    }
    name
}

/// Whether a letter may stand in the name of a manager.
pub(crate) fn is_printable(letter: char) -> bool {
    letter == ' ' || !(letter.is_control() || letter.is_whitespace())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_client_goes_by_the_name_of_its_product() {
        let named = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, text.parse().unwrap());
            agent(&headers)
        };
        assert_eq!(
            named("kube-controller-manager/v1.36.2 (linux/amd64)"),
            "kube-controller-manager"
        );
        assert_eq!(named("curl\tx"), "curlx");
        assert_eq!(named(&"x".repeat(200)).len(), MANAGER_MAX);
        assert_eq!(agent(&HeaderMap::new()), "");
    }

    #[test]
    fn fields_are_lost_under_the_names_they_were_gained_by() {
        let kinds = crate::kind::Kinds::new().unwrap();
        let (older, newer) = (
            kinds.core("events").unwrap(),
            kinds.find("events.k8s.io", "v1", "events").unwrap(),
        );
        let mut event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"},
            "note": "n", "type": "Normal"});
        newer.resource.strategy.default(&mut event);
        manage(&newer, Part::Main, "maker", None, &mut event);
        let (_, live) = in_form_of(&newer, "v1", &event).unwrap();
        let mut changed = live.clone();
        changed["message"] = "m".into();
        manage(&older, Part::Main, "changer", Some(&live), &mut changed);
        let fields: Vec<_> = changed["metadata"]["managedFields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| (entry["manager"].as_str().unwrap(), &entry["fieldsV1"]))
            .collect();
        assert_eq!(
            fields,
            [
                ("changer", &json!({"f:message": {}})),
                ("maker", &json!({"f:type": {}}))
            ]
        );
    }
}
