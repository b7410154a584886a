//! Tokens of ServiceAccounts: what is in them, and whether what they speak of still lives. A token is valid as long as
//! its account and the object it is bound to exist with the same uid, and its time is not over.

use jiff::{Timestamp, ToSpan};
use plinth_api::Status;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::UserInfo;
use super::jwt::{BadKey, Signer};
use crate::kind::Kinds;
use crate::write::meta_text;

/// The lifetime that pods' automatic volumes ask for. Tokens with it live on for a year, for programs that read their
/// token once; the kubelet renews the file by the hour all the same.
pub(crate) const EXTENDABLE: i64 = 3607;
const YEAR: i64 = 365 * 24 * 60 * 60;
/// An account or pod that is being deleted vouches for its tokens this much longer.
const LEEWAY: i64 = 60;

/// With what ServiceAccount tokens are signed, and in whose name.
pub struct ServiceAccountConfig {
    /// A private key on the curve P-256, PKCS#8 DER.
    pub key: Vec<u8>,
    /// The issuer of tokens, and the audience of those that name none.
    pub issuer: String,
}

/// Issues and judges tokens.
pub(crate) struct ServiceAccounts {
    signer: Signer,
    pub(crate) issuer: String,
}

/// What is in a token.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    #[serde(default)]
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    iss: String,
    #[serde(default)]
    jti: String,
    #[serde(rename = "kubernetes.io")]
    subject: Subject,
    nbf: i64,
    sub: String,
}

/// Whose token it is and what it is bound to.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Subject {
    namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<Reference>,
    serviceaccount: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warnafter: Option<i64>,
}

/// An object, by name and uid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// What a token is to be bound to besides its account.
#[derive(Debug, Default)]
pub(crate) struct Binding {
    pub(crate) pod: Option<Reference>,
    pub(crate) secret: Option<Reference>,
    pub(crate) node: Option<Reference>,
}

/// A token that is to be issued.
pub(crate) struct Order<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) account: Reference,
    pub(crate) audiences: Vec<String>,
    pub(crate) seconds: i64,
    pub(crate) binding: Binding,
}

/// Whom a valid token names, and for which of the audiences asked about.
#[derive(Debug)]
pub(crate) struct Authenticated {
    pub(crate) user: UserInfo,
    pub(crate) audiences: Vec<String>,
}

/// Why a token is not accepted. Told to the log and to reviewers, not to whoever shows it.
pub(crate) type Refusal = &'static str;

impl ServiceAccounts {
    pub(crate) fn new(config: &ServiceAccountConfig) -> Result<Self, BadKey> {
        Ok(Self {
            signer: Signer::new(&config.key)?,
            issuer: config.issuer.clone(),
        })
    }

    /// A new token.
    pub(crate) fn issue(&self, order: Order<'_>, now: Timestamp) -> Result<String, Status> {
        let now = now.as_second();
        let extend = order.seconds == EXTENDABLE && order.audiences == [self.issuer.as_str()];
        let claims = Claims {
            aud: order.audiences,
            exp: now + if extend { YEAR } else { order.seconds },
            iat: now,
            iss: self.issuer.clone(),
            jti: uuid::Uuid::new_v4().to_string(),
            nbf: now,
            sub: UserInfo::service_account(order.namespace, &order.account.name).name,
            subject: Subject {
                namespace: order.namespace.to_owned(),
                serviceaccount: order.account,
                pod: order.binding.pod,
                secret: order.binding.secret,
                node: order.binding.node,
                warnafter: extend.then_some(now + order.seconds),
            },
        };
        self.signer.sign(&claims).map_err(Status::internal)
    }

    /// Whom a token names, if it is ours, in time, for one of these audiences, and everything it speaks of lives.
    pub(crate) fn authenticate(
        &self,
        token: &str,
        audiences: &[String],
        kinds: &Kinds,
        now: Timestamp,
    ) -> Result<Authenticated, Refusal> {
        let claims: Claims = self.signer.verify(token).map_err(|_| "forged or foreign")?;
        let seconds = now.as_second();
        if claims.iss != self.issuer {
            return Err("of another issuer");
        }
        if seconds >= claims.exp {
            return Err("service account token has expired");
        }
        if seconds < claims.nbf {
            return Err("service account token is not valid yet");
        }
        let meant: Vec<String> = audiences
            .iter()
            .filter(|audience| claims.aud.contains(audience))
            .cloned()
            .collect();
        if meant.is_empty() {
            return Err("token audiences is invalid for the target audiences");
        }
        let subject = claims.subject;
        let (namespace, account) = (subject.namespace.as_str(), &subject.serviceaccount);
        if claims.sub != UserInfo::service_account(namespace, &account.name).name {
            return Err("its subject is not its account");
        }
        let lives = |plural: &str, namespace: &str, reference: &Reference| {
            lives(kinds, plural, namespace, reference, seconds)
        };
        if !lives("serviceaccounts", namespace, account) {
            return Err("service account token has been invalidated");
        }
        for (plural, namespace, bound) in [
            ("pods", namespace, &subject.pod),
            ("secrets", namespace, &subject.secret),
        ] {
            if let Some(bound) = bound
                && !lives(plural, namespace, bound)
            {
                return Err("the object it is bound to is gone");
            }
        }
        // A token of a pod tells its node, too, but is bound to the pod alone.
        if let (Some(node), None) = (&subject.node, &subject.pod)
            && !lives("nodes", "", node)
        {
            return Err("the node it is bound to is gone");
        }
        let mut user = UserInfo::service_account(namespace, &account.name);
        user.uid.clone_from(&account.uid);
        let mut note = |key: &str, value: String| {
            user.extra
                .insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
        };
        if !claims.jti.is_empty() {
            note("credential-id", format!("JTI={}", claims.jti));
        }
        for (kind, bound) in [("pod", subject.pod), ("node", subject.node)] {
            if let Some(bound) = bound {
                note(&format!("{kind}-name"), bound.name);
                note(&format!("{kind}-uid"), bound.uid);
            }
        }
        Ok(Authenticated {
            user: user.authenticated(),
            audiences: meant,
        })
    }

    /// The OpenID Connect discovery document.
    pub(crate) fn discovery(&self, address: &str) -> Value {
        serde_json::json!({
            "issuer": self.issuer, "jwks_uri": format!("https://{address}/openid/v1/jwks"),
            "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// The keys that tokens can be checked with.
    pub(crate) fn key_set(&self) -> Value {
        self.signer.key_set()
    }
}

/// Whether exactly that object exists and is not long past its deletion.
fn lives(kinds: &Kinds, plural: &str, namespace: &str, reference: &Reference, now: i64) -> bool {
    let Some(object) = kinds
        .core(plural)
        .and_then(|kind| kind.cache.get(namespace, &reference.name))
    else {
        return false;
    };
    if object.header.uid != reference.uid {
        return false;
    }
    if !object.header.terminating {
        return true;
    }
    let object: Value = serde_json::from_slice(&object.bytes).unwrap_or_default();
    meta_text(&object, "deletionTimestamp")
        .parse::<Timestamp>()
        .is_ok_and(|deleted| now < (deleted + LEEWAY.seconds()).as_second())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::authentication::jwt::new_key;
    use crate::cache::{Header, Object};

    fn issuer(name: &str) -> ServiceAccounts {
        ServiceAccounts::new(&ServiceAccountConfig {
            key: new_key().unwrap(),
            issuer: name.to_owned(),
        })
        .unwrap()
    }

    /// A cluster with the account `ns/bot`.
    fn kinds() -> Kinds {
        let kinds = Kinds::new().unwrap();
        let account = json!({"metadata": {"namespace": "ns", "name": "bot", "uid": "u"}});
        let kind = kinds.core("serviceaccounts").unwrap();
        let header = Arc::new(Header::of(kind.resource, &account));
        let object = Object::new(header, 1, account.to_string().into());
        kind.cache.load(Arc::new(object));
        kinds
    }

    fn order(audience: &str, seconds: i64, uid: &str) -> Order<'static> {
        Order {
            namespace: "ns",
            account: Reference {
                name: "bot".to_owned(),
                uid: uid.to_owned(),
            },
            audiences: vec![audience.to_owned()],
            seconds,
            binding: Binding::default(),
        }
    }

    #[test]
    fn a_token_has_its_time_its_audience_and_its_issuer() {
        let (ours, kinds, now) = (issuer("us"), kinds(), Timestamp::now());
        let us = ["us".to_owned()];
        let check = |token: &str, audiences: &[String], later: i64| {
            ours.authenticate(token, audiences, &kinds, now + later.seconds())
                .map(|known| known.user.name)
        };
        let token = ours.issue(order("us", 600, "u"), now).unwrap();
        assert_eq!(
            check(&token, &us, 599).unwrap(),
            "system:serviceaccount:ns:bot"
        );
        assert_eq!(
            check(&token, &us, 600),
            Err("service account token has expired")
        );
        assert!(
            check(&token, &us, -5).is_err(),
            "it is not valid before it is made"
        );
        assert!(check(&token, &["them".to_owned()], 0).is_err());
        let gone = ours.issue(order("us", 600, "before"), now).unwrap();
        assert!(
            check(&gone, &us, 0).is_err(),
            "the account is another one now"
        );

        let theirs = issuer("us").issue(order("us", 600, "u"), now).unwrap();
        assert_eq!(check(&theirs, &us, 0), Err("forged or foreign"));
        let renamed = ServiceAccounts {
            signer: Signer::new(&new_key().unwrap()).unwrap(),
            issuer: "them".to_owned(),
        };
        let foreign = renamed.issue(order("us", 600, "u"), now).unwrap();
        assert!(renamed.authenticate(&foreign, &us, &kinds, now).is_ok());
        assert!(check(&foreign, &us, 0).is_err());
    }

    #[test]
    fn automatic_tokens_live_on_for_programs_that_read_them_once() {
        let (ours, kinds, now) = (issuer("us"), kinds(), Timestamp::now());
        let us = ["us".to_owned()];
        let token = ours.issue(order("us", EXTENDABLE, "u"), now).unwrap();
        let later = now + (EXTENDABLE + 60).seconds();
        assert!(ours.authenticate(&token, &us, &kinds, later).is_ok());
        let other = ours.issue(order("vault", EXTENDABLE, "u"), now).unwrap();
        assert!(
            ours.authenticate(&other, &["vault".to_owned()], &kinds, later)
                .is_err()
        );
    }
}
