//! `Impersonate-*` headers: a caller who may acts as somebody else. Reads headers and says what must be allowed; whether
//! it is, others decide.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use http::HeaderMap;
use plinth_api::Status;

use super::user::{self, UserInfo, service_account_groups, split_service_account};
use crate::authorization::{Attributes, Subject};
use crate::route::percent_decode;

const EXTRA: &str = "impersonate-extra-";

/// Whom the headers ask to act as; `None` when they ask for nobody.
pub(crate) fn wanted(headers: &HeaderMap) -> Result<Option<UserInfo>, Status> {
    let all = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter();
        values
            .filter_map(|value| value.to_str().ok().map(ToOwned::to_owned))
            .collect()
    };
    let first = |name: &str| all(name).into_iter().next().unwrap_or_default();
    let mut extra = BTreeMap::new();
    for name in headers.keys() {
        if let Some(key) = name.as_str().strip_prefix(EXTRA) {
            extra.insert(percent_decode(key), all(name.as_str()));
        }
    }
    let wanted = UserInfo {
        name: first("impersonate-user"),
        uid: first("impersonate-uid"),
        groups: all("impersonate-group"),
        extra,
    };
    if !wanted.name.is_empty() {
        return Ok(Some(wanted));
    }
    if wanted == UserInfo::default() {
        return Ok(None);
    }
    Err(Status::bad_request(format!(
        "requested {} without impersonating a user name",
        as_go(&wanted)
    )))
}

/// What somebody must be allowed to do in order to act as `wanted`.
pub(crate) fn needed<'a>(caller: &'a UserInfo, wanted: &'a UserInfo) -> Vec<Attributes<'a>> {
    let ask = |group, resource, subresource, namespace, name| Attributes {
        user: caller,
        verb: "impersonate",
        subject: Subject::Resource {
            group,
            resource,
            subresource,
            namespace,
            name,
        },
        selectors: None,
    };
    let mut needed = Vec::new();
    needed.push(match split_service_account(&wanted.name) {
        Some((namespace, name)) => ask("", "serviceaccounts", "", namespace, name),
        None => ask("", "users", "", "", &wanted.name),
    });
    for group in &wanted.groups {
        needed.push(ask("", "groups", "", "", group));
    }
    for (key, values) in &wanted.extra {
        for value in values {
            needed.push(ask("authentication.k8s.io", "userextras", key, "", value));
        }
    }
    if !wanted.uid.is_empty() {
        needed.push(ask("authentication.k8s.io", "uids", "", "", &wanted.uid));
    }
    needed
}

/// The user as whom the request goes on: with the groups that come with the name.
pub(crate) fn complete(mut wanted: UserInfo) -> UserInfo {
    if wanted.groups.is_empty()
        && let Some((namespace, _)) = split_service_account(&wanted.name)
    {
        wanted.groups = service_account_groups(namespace);
    }
    if wanted.name == user::ANONYMOUS {
        if !wanted.is_in(user::UNAUTHENTICATED) {
            wanted.groups.push(user::UNAUTHENTICATED.to_owned());
        }
        return wanted;
    }
    wanted.authenticated()
}

/// A user as Go prints one, which clients see in this one message.
fn as_go(user: &UserInfo) -> String {
    let list = |values: &[String]| {
        let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
        format!("[]string{{{}}}", quoted.join(", "))
    };
    let groups = if user.groups.is_empty() {
        "[]string(nil)".to_owned()
    } else {
        list(&user.groups)
    };
    let mut extra = "map[string][]string".to_owned();
    if user.extra.is_empty() {
        extra.push_str("(nil)");
    } else {
        let entries: Vec<String> = user
            .extra
            .iter()
            .map(|(key, values)| format!("{key:?}:{}", list(values)))
            .collect();
        // Writing to a String cannot fail.
        let _ = write!(extra, "{{{}}}", entries.join(", "));
    }
    format!(
        "&user.DefaultInfo{{Name:{:?}, UID:{:?}, Groups:{groups}, Extra:{extra}}}",
        user.name, user.uid
    )
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_name_is_needed() {
        assert_eq!(wanted(&headers(&[])).unwrap(), None);
        let error = wanted(&headers(&[("Impersonate-Group", "g")])).unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (
                400,
                r#"requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"g"}, Extra:map[string][]string(nil)} without impersonating a user name"#
            )
        );
    }

    #[test]
    fn every_part_must_be_allowed() {
        let caller = UserInfo::named("a", &[]);
        let asked = wanted(&headers(&[
            ("Impersonate-User", "system:serviceaccount:ns:bot"),
            ("Impersonate-Group", "g"),
            ("Impersonate-Uid", "7"),
            ("Impersonate-Extra-Acme.com%2Fscope", "s"),
        ]))
        .unwrap()
        .unwrap();
        let needed: Vec<String> = needed(&caller, &asked)
            .iter()
            .map(|attributes| attributes.refusal(""))
            .map(|status| status.message)
            .collect();
        assert_eq!(
            needed,
            [
                r#"serviceaccounts "bot" is forbidden: User "a" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "ns""#,
                r#"groups "g" is forbidden: User "a" cannot impersonate resource "groups" in API group "" at the cluster scope"#,
                r#"userextras.authentication.k8s.io "s" is forbidden: User "a" cannot impersonate resource "userextras/acme.com/scope" in API group "authentication.k8s.io" at the cluster scope"#,
                r#"uids.authentication.k8s.io "7" is forbidden: User "a" cannot impersonate resource "uids" in API group "authentication.k8s.io" at the cluster scope"#,
            ]
        );
        assert_eq!(complete(asked).groups, ["g", "system:authenticated"]);
        let account = UserInfo::named("system:serviceaccount:ns:bot", &[]);
        assert_eq!(
            complete(account).groups,
            [
                "system:serviceaccounts",
                "system:serviceaccounts:ns",
                "system:authenticated"
            ]
        );
    }
}
