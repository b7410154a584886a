//! Secrets at rest: what the store keeps of them is sealed, and opened on the way to the cache. Knows keys and bytes; which
//! kinds are secret, and nothing else of them.
//!
//! A sealed value is `plinth:enc:aesgcm:v1:<key id>:<revision>:<nonce><AES-256-GCM>`. Its place in the store is
//! authenticated with it, so that no value can be moved to another key. Values that do not begin so are read as they are:
//! they were written before there was a key.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use plinth_store::{Event, Payload, Revision};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

use crate::encode::Layout;
use crate::kind::{Kinds, split_key};

const PREFIX: &[u8] = b"plinth:enc:aesgcm:v1:";
/// Storage names of the kinds whose objects are sealed.
const SEALED: &[&str] = &["secrets"];
const KEY_LENGTH: usize = 32;

/// The keys of sealed values: the first seals, all open.
#[derive(Clone, Default)]
pub struct EncryptionKeys(Arc<[Key]>);

struct Key {
    id: String,
    key: LessSafeKey,
}

/// The text is no list of keys.
#[derive(Debug, thiserror::Error)]
#[error("line {0} is no key: 32 bytes in base64 are needed")]
pub struct BadKeys(usize);

/// A value cannot be opened or sealed.
#[derive(Debug, thiserror::Error)]
pub enum EncryptionError {
    /// Its key is not among ours.
    #[error("it is encrypted with the key {0}, which this server does not have")]
    UnknownKey(String),
    /// It is not what was sealed.
    #[error("it was damaged or moved")]
    Damaged,
    /// There is no randomness.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

impl EncryptionKeys {
    /// Reads one key a line.
    pub fn parse(text: &str) -> Result<Self, BadKeys> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let bad = || BadKeys(index + 1);
            let bytes = STANDARD.decode(line.trim()).map_err(|_| bad())?;
            let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| bad())?;
            keys.push(Key {
                id: hex::encode(&Sha256::digest(&bytes)[..4]),
                key: LessSafeKey::new(key),
            });
        }
        Ok(Self(keys.into()))
    }

    /// A new key, as a line.
    pub fn generate() -> Result<String, EncryptionError> {
        let mut key = [0; KEY_LENGTH];
        SystemRandom::new()
            .fill(&mut key)
            .map_err(|_| EncryptionError::NoRandomness)?;
        Ok(STANDARD.encode(key))
    }

    /// What the store is to keep of an object.
    pub(crate) fn seal(&self, key: &str, payload: Payload) -> Result<Payload, EncryptionError> {
        let Some(own) = self.0.first().filter(|_| is_sealed(key)) else {
            return Ok(payload);
        };
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| EncryptionError::NoRandomness)?;
        let mut text = payload.tail;
        own.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(key.as_bytes()),
                &mut text,
            )
            .map_err(|_| EncryptionError::Damaged)?;
        Ok(Payload {
            head: [PREFIX, own.id.as_bytes(), b":"].concat(),
            tail: [b":", &nonce[..], &text].concat(),
        })
    }

    /// The object in what the store keeps.
    pub(crate) fn open(
        &self,
        kinds: &Kinds,
        key: &str,
        revision: Revision,
        kept: &Bytes,
    ) -> Result<Bytes, EncryptionError> {
        match split_key(key).and_then(|(storage, _, _)| kinds.stored_as(storage)) {
            Some(kind) => self.open_as(&kind.layout, key, revision, kept),
            None => Ok(kept.clone()),
        }
    }

    fn open_as(
        &self,
        layout: &Layout,
        key: &str,
        revision: Revision,
        kept: &Bytes,
    ) -> Result<Bytes, EncryptionError> {
        let Some(rest) = kept.strip_prefix(PREFIX) else {
            return Ok(kept.clone());
        };
        let mut parts = rest.splitn(3, |byte| *byte == b':');
        let (Some(id), Some(_), Some(sealed)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(EncryptionError::Damaged);
        };
        let id = String::from_utf8_lossy(id);
        let Some(own) = self.0.iter().find(|own| own.id == id) else {
            return Err(EncryptionError::UnknownKey(id.into_owned()));
        };
        let (nonce, text) = sealed
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(EncryptionError::Damaged)?;
        let mut text = text.to_vec();
        let tail = own
            .key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(key.as_bytes()),
                &mut text,
            )
            .map_err(|_| EncryptionError::Damaged)?;
        Ok(Payload {
            head: layout.head().to_vec(),
            tail: tail.to_vec(),
        }
        .at(revision))
    }
}

impl EncryptionKeys {
    /// Events with their values opened; `None` when there was nothing to open.
    pub(crate) fn open_events(&self, kinds: &Kinds, events: &[Event]) -> Option<Vec<Event>> {
        if !events.iter().any(|event| event.value.starts_with(PREFIX)) {
            return None;
        }
        let open = |event: &Event| {
            let mut event = event.clone();
            match self.open(kinds, &event.key, event.revision, &event.value) {
                Ok(value) => event.value = value,
                // This server has just sealed it, so this does not happen while it has its keys.
                Err(error) => tracing::error!(key = %event.key, %error, "cannot read a value"),
            }
            event
        };
        Some(events.iter().map(open).collect())
    }
}

fn is_sealed(key: &str) -> bool {
    split_key(key).is_some_and(|(storage, _, _)| SEALED.contains(&storage))
}

#[cfg(test)]
mod tests {
    use plinth_api::find;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_kept_of_a_secret_says_nothing_and_cannot_be_moved() {
        let new = EncryptionKeys::generate().unwrap();
        let keys = EncryptionKeys::parse(&new).unwrap();
        let layout = Layout::of(find("", "v1", "secrets").unwrap());
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "aHVzaA=="}});
        let sealed = keys.seal("secrets/ns/s", layout.payload(&secret)).unwrap();
        let kept = sealed.at(Revision(7));
        assert!(!kept.windows(4).any(|part| part == b"aHVz"));
        let open = |keys: &EncryptionKeys, key: &str, kept: &Bytes| {
            keys.open_as(&layout, key, Revision(7), kept)
        };
        let opened = open(&keys, "secrets/ns/s", &kept).unwrap();
        let opened: Value = serde_json::from_slice(&opened).unwrap();
        assert_eq!(opened["data"]["k"], "aHVzaA==");
        assert_eq!(opened["metadata"]["resourceVersion"], "7");

        let (moved, other) = (
            open(&keys, "secrets/other/s", &kept),
            EncryptionKeys::parse(&EncryptionKeys::generate().unwrap()).unwrap(),
        );
        assert!(matches!(moved, Err(EncryptionError::Damaged)));
        assert!(matches!(
            open(&other, "secrets/ns/s", &kept),
            Err(EncryptionError::UnknownKey(_))
        ));
        let mut damaged = kept.to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(matches!(
            open(&keys, "secrets/ns/s", &damaged.into()),
            Err(EncryptionError::Damaged)
        ));

        let rotated =
            EncryptionKeys::parse(&format!("{}\n{new}\n", EncryptionKeys::generate().unwrap()))
                .unwrap();
        assert!(open(&rotated, "secrets/ns/s", &kept).is_ok());
        let plain = layout.payload(&secret).at(Revision(7));
        assert_eq!(open(&keys, "secrets/ns/s", &plain).unwrap(), plain);
        assert!(EncryptionKeys::parse("short").is_err());
    }

    #[test]
    fn other_kinds_are_kept_as_they_are() {
        let keys = EncryptionKeys::parse(&EncryptionKeys::generate().unwrap()).unwrap();
        let payload = Payload {
            head: b"{".to_vec(),
            tail: b"}".to_vec(),
        };
        let kept = keys.seal("configmaps/ns/m", payload).unwrap();
        assert_eq!(kept.head, b"{");
    }
}
