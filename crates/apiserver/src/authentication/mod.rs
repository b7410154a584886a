//! Who calls: by client certificate, by token, or nobody known; and as whom the caller wants to act. Decides nothing
//! about what they may do.

mod certificate;
pub(crate) mod impersonation;
mod jwt;
mod service_account;
mod static_tokens;
mod user;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use jiff::Timestamp;
use plinth_api::Status;
use rustls::pki_types::CertificateDer;

pub(crate) use certificate::Certified;
pub use certificate::ClientCertificates;
pub use jwt::BadKey;
#[cfg(fuzzing)]
pub use jwt::believed;
pub use service_account::ServiceAccountConfig;
pub(crate) use service_account::{Authenticated, Binding, Order, Reference, ServiceAccounts};
pub use static_tokens::{BadTokens, StaticTokens};
pub(crate) use user::MASTERS;
pub use user::UserInfo;

use crate::kind::Kinds;

/// How callers prove who they are.
pub struct Credentials {
    /// Client certificates and their authorities.
    pub certificates: ClientCertificates,
    /// ServiceAccounts' tokens.
    pub accounts: ServiceAccountConfig,
    /// Tokens an administrator wrote down.
    pub tokens: StaticTokens,
}

impl Credentials {
    /// For a server that is not called from outside: a key nobody else has, and no authority.
    pub fn internal() -> Result<Self, BadKey> {
        Ok(Self {
            certificates: ClientCertificates::none(),
            accounts: ServiceAccountConfig {
                key: jwt::new_key()?,
                issuer: "https://kubernetes.default.svc".to_owned(),
            },
            tokens: StaticTokens::default(),
        })
    }
}

/// Knows everybody who can prove who they are.
pub(crate) struct Authenticator {
    pub(crate) accounts: ServiceAccounts,
    certificates: ClientCertificates,
    tokens: StaticTokens,
}

/// What a connection has shown.
#[derive(Clone, Debug, Default)]
pub(crate) enum Shown {
    /// No certificate.
    #[default]
    Nothing,
    /// One of ours.
    Certificate(Certified),
    /// One that nobody we know has signed.
    Foreign,
}

impl Authenticator {
    pub(crate) fn new(credentials: Credentials) -> Result<Self, BadKey> {
        Ok(Self {
            accounts: ServiceAccounts::new(&credentials.accounts)?,
            certificates: credentials.certificates,
            tokens: credentials.tokens,
        })
    }

    /// Judges the certificates of a connection.
    pub(crate) fn shown(&self, chain: &[CertificateDer<'_>]) -> Shown {
        if chain.is_empty() {
            return Shown::Nothing;
        }
        self.certificates
            .identify(chain)
            .map_or(Shown::Foreign, Shown::Certificate)
    }

    /// The sender of a request. Whoever shows nothing is anonymous; whoever shows something wrong is refused.
    pub(crate) fn caller(
        &self,
        shown: &Shown,
        headers: &HeaderMap,
        kinds: &Kinds,
    ) -> Result<UserInfo, Status> {
        let now = Timestamp::now();
        let mut wrong = false;
        match shown {
            Shown::Certificate(certified) if now.as_second() <= certified.until => {
                return Ok(certified.user.clone());
            }
            Shown::Certificate(_) | Shown::Foreign => wrong = true,
            Shown::Nothing => {}
        }
        if let Some(token) = bearer(headers).or_else(|| websocket_bearer(headers)) {
            match self.token(&token, std::slice::from_ref(&self.accounts.issuer), kinds) {
                Some(known) => return Ok(known.user),
                None => wrong = true,
            }
        }
        if wrong {
            return Err(Status::unauthorized());
        }
        Ok(UserInfo::anonymous())
    }

    /// Whom a token names, for one of these audiences.
    pub(crate) fn token(
        &self,
        token: &str,
        audiences: &[String],
        kinds: &Kinds,
    ) -> Option<Authenticated> {
        if let Some(user) = self.tokens.user(token) {
            return Some(Authenticated {
                user: user.clone().authenticated(),
                audiences: audiences.to_vec(),
            });
        }
        self.accounts
            .authenticate(token, audiences, kinds, Timestamp::now())
            .inspect_err(|why| tracing::debug!(why, "a bearer token is refused"))
            .ok()
    }
}

/// The token of `Authorization: Bearer`; an empty one counts as none.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

/// Browsers cannot send headers with a WebSocket: they hide their token among its protocols.
fn websocket_bearer(headers: &HeaderMap) -> Option<String> {
    const HIDDEN: &str = "base64url.bearer.authorization.k8s.io.";
    let protocols = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let hidden = protocols
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|protocol| protocol.trim().strip_prefix(HIDDEN))?;
    let token = URL_SAFE_NO_PAD.decode(hidden).ok()?;
    String::from_utf8(token).ok()
}

/// The sender of a request that has come this far; a request nobody vouches for is anonymous.
pub(crate) fn sender(parts: &Parts) -> UserInfo {
    parts
        .extensions
        .get::<UserInfo>()
        .cloned()
        .unwrap_or_else(UserInfo::anonymous)
}
