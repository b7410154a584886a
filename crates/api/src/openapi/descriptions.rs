//! The descriptions of types and fields, unpacked for the time a document is made.
//! They are packed by build.rs. It refuses to know what is described.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::ZlibDecoder;

static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.json.z"));

/// Descriptions by definition name and field name.
pub(super) struct Descriptions(BTreeMap<String, BTreeMap<String, String>>);

impl Descriptions {
    /// Unpacks them: some two megabytes, freed with the value.
    pub(super) fn load() -> Self {
        let mut text = Vec::new();
        // The bytes are ours, made by build.rs; a test shows that they are read. Without them documents lack prose,
        // which is no reason to have none.
        let unpacked = ZlibDecoder::new(PACKED).read_to_end(&mut text);
        Self(
            unpacked
                .ok()
                .and_then(|_| serde_json::from_slice(&text).ok())
                .unwrap_or_default(),
        )
    }

    /// What a type is.
    pub(super) fn of_type(&self, name: &str) -> Option<&str> {
        self.of_field(name, "")
    }

    /// What a field of a type is.
    pub(super) fn of_field(&self, name: &str, field: &str) -> Option<&str> {
        self.0.get(name)?.get(field).map(String::as_str)
    }

    /// What a list of objects or one of its fields is: lists are all alike, and none of them is packed.
    pub(super) fn of_list(&self, item: &str, field: &str) -> Option<String> {
        Some(match field {
            "" => format!("{item}List is a list of {item} objects."),
            "items" => format!("The {item} objects."),
            "metadata" => self
                .of_type("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta")?
                .to_owned(),
            other => self
                .of_field("io.k8s.apimachinery.pkg.apis.meta.v1.Status", other)?
                .to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packed_descriptions_are_readable() {
        let descriptions = Descriptions::load();
        let text = descriptions
            .of_field("io.k8s.api.apps.v1.StatefulSetSpec", "replicas")
            .unwrap();
        assert!(text.contains("desired number of replicas"), "{text}");
        assert!(descriptions.of_type("io.k8s.api.core.v1.Pod").is_some());
    }
}
