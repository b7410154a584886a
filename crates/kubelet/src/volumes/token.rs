//! The tokens of a pod's ServiceAccount: asked of the API, bound to the pod, kept while they are fresh and renewed before
//! they expire. A new daemon asks anew.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use kube::api::PostParams;
use kube::{Api, Client};
use tracing::warn;

/// A token is renewed when this part of its life (in percent) is over, and at the latest after a day.
const FRESH: i32 = 80;
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// The life of a token that says nothing of it.
const USUAL: i64 = 3600;

/// The tokens of one pod.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<BTreeMap<Wanted, Held>>);

/// What tells one token from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    audience: Option<String>,
    seconds: i64,
}

#[derive(Clone, Debug)]
struct Held {
    token: String,
    renew_at: Timestamp,
    expires: Timestamp,
}

impl Tokens {
    /// When the first of them is to be renewed.
    pub(crate) fn renew_at(&self) -> Option<Timestamp> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.values().map(|token| token.renew_at).min()
    }

    /// The token for a volume.
    pub(super) async fn get(
        &self,
        client: &Client,
        pod: &Pod,
        volume: &ServiceAccountTokenProjection,
        now: Timestamp,
    ) -> kube::Result<String> {
        let wanted = Wanted {
            audience: volume
                .audience
                .clone()
                .filter(|audience| !audience.is_empty()),
            seconds: volume.expiration_seconds.unwrap_or(USUAL),
        };
        let held = self.held(&wanted);
        if let Some(held) = &held
            && now < held.renew_at
        {
            return Ok(held.token.clone());
        }
        match request(client, pod, &wanted, now).await {
            Ok(new) => {
                let token = new.token.clone();
                let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                all.insert(wanted, new);
                Ok(token)
            }
            // An old token is better than none.
            Err(error) => match held {
                Some(held) if now < held.expires => {
                    warn!(%error, "a ServiceAccount token cannot be renewed yet");
                    let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                    let renew_at = now + SignedDuration::from_secs(10);
                    all.insert(
                        wanted,
                        Held {
                            renew_at,
                            ..held.clone()
                        },
                    );
                    Ok(held.token)
                }
                _ => Err(error),
            },
        }
    }

    fn held(&self, wanted: &Wanted) -> Option<Held> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(wanted).cloned()
    }
}

async fn request(
    client: &Client,
    pod: &Pod,
    wanted: &Wanted,
    now: Timestamp,
) -> kube::Result<Held> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let account = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.clone())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "default".to_owned());
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: wanted.audience.clone().map(|audience| vec![audience]),
            expiration_seconds: Some(wanted.seconds),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
            }),
        }),
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> =
        Api::namespaced(client.clone(), &text(&pod.metadata.namespace));
    let answer = accounts
        .create_token_request(&account, &PostParams::default(), &request)
        .await?;
    let status = answer.status.unwrap_or_default();
    // The API always says; a token of which it does not is asked for again at once.
    let expires = status.expiration_timestamp.map_or(now, |time| time.0);
    Ok(Held {
        token: status.token.unwrap_or_default(),
        renew_at: renewal(now, expires),
        expires,
    })
}

/// When a token of that life is to be renewed. Pure.
fn renewal(now: Timestamp, expires: Timestamp) -> Timestamp {
    let life = expires.duration_since(now).max(SignedDuration::ZERO);
    now + (life * FRESH / 100).min(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_renewed_in_good_time() {
        let now = Timestamp::UNIX_EPOCH;
        let after = |seconds| renewal(now, now + SignedDuration::from_secs(seconds)).as_second();
        assert_eq!(after(3600), 2880);
        assert_eq!(after(600), 480);
        assert_eq!(after(365 * 24 * 3600), 24 * 3600);
        assert_eq!(after(-5), 0);
    }
}
