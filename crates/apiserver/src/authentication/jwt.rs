//! JSON Web Tokens (RFC 7519) in the one form this cluster issues: compact, signed with ES256. Knows keys and claims,
//! not what a claim means.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The beginning of a P-256 public key as SubjectPublicKeyInfo; the point follows.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Tokens longer than this are none of ours.
const LONGEST: usize = 16 << 10;

/// A key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the key of ServiceAccount tokens is unusable: {0}")]
pub struct BadKey(String);

/// A new key of the kind that [`Signer::new`] takes.
pub(super) fn new_key() -> Result<Vec<u8>, BadKey> {
    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map(|document| document.as_ref().to_vec())
        .map_err(|error| BadKey(error.to_string()))
}

/// A token is not signed by us, or is no token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Forged;

/// Signs tokens and checks them.
pub(crate) struct Signer {
    key: EcdsaKeyPair,
    random: SystemRandom,
    key_id: String,
}

impl Signer {
    /// From a PKCS#8 private key on the curve P-256, DER.
    pub(crate) fn new(pkcs8: &[u8]) -> Result<Self, BadKey> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random)
            .map_err(|error| BadKey(error.to_string()))?;
        let spki = [&SPKI[..], key.public_key().as_ref()].concat();
        let key_id = URL_SAFE_NO_PAD.encode(Sha256::digest(spki));
        Ok(Self {
            key,
            random,
            key_id,
        })
    }

    /// The token that carries these claims.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> Result<String, BadKey> {
        let bad = |error: &dyn std::fmt::Display| BadKey(error.to_string());
        let header = json!({"alg": "ES256", "kid": self.key_id}).to_string();
        let claims = serde_json::to_vec(claims).map_err(|error| bad(&error))?;
        let mut token = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let signature = self
            .key
            .sign(&self.random, token.as_bytes())
            .map_err(|error| bad(&error))?;
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(token)
    }

    /// The claims of a token that we have signed. Nothing of a token is believed before that is clear.
    pub(crate) fn verify<C: DeserializeOwned>(&self, token: &str) -> Result<C, Forged> {
        if token.len() > LONGEST {
            return Err(Forged);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Forged)?;
        let (header, claims) = signed.split_once('.').ok_or(Forged)?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Forged);
        let header: Value = serde_json::from_slice(&decode(header)?).map_err(|_| Forged)?;
        if header["alg"] != "ES256" || header["kid"] != self.key_id.as_str() {
            return Err(Forged);
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref())
            .verify(signed.as_bytes(), &decode(signature)?)
            .map_err(|_| Forged)?;
        serde_json::from_slice(&decode(claims)?).map_err(|_| Forged)
    }

    /// The public key as a JSON Web Key Set (RFC 7517).
    pub(crate) fn key_set(&self) -> Value {
        // An uncompressed point is a byte 4, x and y.
        let point = self.key.public_key().as_ref();
        let half = |range: std::ops::Range<usize>| {
            URL_SAFE_NO_PAD.encode(point.get(range).unwrap_or_default())
        };
        json!({"keys": [{"use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256",
                         "x": half(1..33), "y": half(33..65)}]})
    }
}

/// The fuzzer's door: whether a token passes for one of a server that has signed none.
#[cfg(fuzzing)]
pub fn believed(token: &str) -> bool {
    static SIGNER: std::sync::LazyLock<Signer> = std::sync::LazyLock::new(|| {
        let key = new_key().expect("a key can be made");
        Signer::new(&key).expect("a new key is good")
    });
    SIGNER.verify::<Value>(token).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::new(&new_key().unwrap()).unwrap()
    }

    #[test]
    fn only_what_we_signed_is_believed() {
        let (ours, theirs) = (signer(), signer());
        let claims = json!({"sub": "a"});
        let token = ours.sign(&claims).unwrap();
        assert_eq!(ours.verify::<Value>(&token), Ok(claims.clone()));
        assert_eq!(theirs.verify::<Value>(&token), Err(Forged));

        let parts: Vec<&str> = token.split('.').collect();
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let other = encode(&json!({"sub": "b"}));
        let unsigned = encode(&json!({"alg": "none", "kid": ours.key_id}));
        for forged in [
            format!("{}.{other}.{}", parts[0], parts[2]),
            format!("{unsigned}.{}.", parts[1]),
            format!("{unsigned}.{}.{}", parts[1], parts[2]),
            format!("{}.{}", parts[0], parts[1]),
            String::new(),
            "...".to_owned(),
            "a.b.c".to_owned(),
            "x".repeat(LONGEST + 1),
        ] {
            assert_eq!(ours.verify::<Value>(&forged), Err(Forged), "{forged}");
        }
        assert!(Signer::new(b"no key").is_err());
    }
}
