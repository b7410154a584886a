//! Which requests are written down, and how much of them: an `audit.k8s.io/v1` Policy. Pure.

use serde::Deserialize;

use crate::authentication::UserInfo;
use crate::authorization::Request;

/// How much of a request is written down; each level has what the ones before have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) enum Level {
    /// Nothing.
    #[default]
    None,
    /// Who, when, what and with what outcome.
    Metadata,
    /// The body of the request, too.
    Request,
    /// And the body of the answer.
    RequestResponse,
}

impl Level {
    /// The name in events.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// The first rule that fits a request decides; what fits none is not written down.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditPolicy {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    #[serde(default)]
    #[allow(dead_code, reason = "a policy may carry it")]
    metadata: serde_json::Value,
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

/// A moment of a request at which something is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Stage {
    /// Before anything is done.
    RequestReceived,
    /// The answer has begun and goes on, as a watch does.
    ResponseStarted,
    /// The answer is complete.
    ResponseComplete,
    /// Something went very wrong.
    Panic,
}

impl Stage {
    /// The name in events.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Rule {
    level: Level,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<Objects>,
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    urls: Vec<String>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Objects {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

/// What the policy says about one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) level: Level,
    omitted: Vec<Stage>,
    pub(crate) omit_managed_fields: bool,
}

impl Verdict {
    /// Whether the stage is written down.
    pub(crate) fn wants(&self, stage: Stage) -> bool {
        self.level > Level::None && !self.omitted.contains(&stage)
    }
}

/// A policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadPolicy {
    /// It is not a policy.
    #[error("it is no audit policy: {0}")]
    Syntax(String),
    /// It is one of another version.
    #[error("it is a {kind} of {api_version}, not a Policy of audit.k8s.io/v1")]
    Kind {
        /// What it is.
        kind: String,
        /// Of which version.
        api_version: String,
    },
    /// It has no rules.
    #[error("it has no rules, so that nothing would be written down")]
    Empty,
}

impl AuditPolicy {
    /// Reads YAML.
    pub fn parse(text: &str) -> Result<Self, BadPolicy> {
        let policy: Self =
            serde_saphyr::from_str(text).map_err(|error| BadPolicy::Syntax(error.to_string()))?;
        if policy.kind != "Policy" || policy.api_version != "audit.k8s.io/v1" {
            return Err(BadPolicy::Kind {
                kind: policy.kind,
                api_version: policy.api_version,
            });
        }
        if policy.rules.is_empty() {
            return Err(BadPolicy::Empty);
        }
        Ok(policy)
    }

    /// Everything at the level `Metadata`.
    pub fn metadata() -> Self {
        Self {
            api_version: "audit.k8s.io/v1".to_owned(),
            kind: "Policy".to_owned(),
            metadata: serde_json::Value::Null,
            rules: vec![Rule {
                level: Level::Metadata,
                ..Rule::default()
            }],
            omit_stages: vec![Stage::RequestReceived],
            omit_managed_fields: false,
        }
    }

    /// What is written down of a request.
    pub(crate) fn verdict(&self, user: &UserInfo, request: &Request) -> Verdict {
        let Some(rule) = self.rules.iter().find(|rule| rule.fits(user, request)) else {
            return Verdict::default();
        };
        let mut omitted = self.omit_stages.clone();
        omitted.extend(&rule.omit_stages);
        Verdict {
            level: rule.level,
            omitted,
            omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
        }
    }
}

impl Rule {
    fn fits(&self, user: &UserInfo, request: &Request) -> bool {
        let within = |list: &[String], value: &str| {
            list.is_empty() || list.iter().any(|entry| entry == value)
        };
        if !within(&self.users, &user.name)
            || !within(&self.verbs, request.verb)
            || !(self.user_groups.is_empty() || self.user_groups.iter().any(|g| user.is_in(g)))
        {
            return false;
        }
        let about_objects = !self.resources.is_empty() || !self.namespaces.is_empty();
        match &request.resource {
            Some(of) => {
                (about_objects || self.urls.is_empty())
                    && within(&self.namespaces, &of.namespace)
                    && (self.resources.is_empty()
                        || self.resources.iter().any(|resources| {
                            resources.group == of.group
                                && (resources.resources.is_empty()
                                    || resources
                                        .resources
                                        .iter()
                                        .any(|named| names(named, &of.resource, &of.subresource)))
                                && within(&resources.resource_names, &of.name)
                        }))
            }
            None => {
                (!about_objects || !self.urls.is_empty())
                    && (self.urls.is_empty()
                        || self.urls.iter().any(|url| {
                            url == "*"
                                || *url == request.path
                                || url
                                    .strip_suffix('*')
                                    .is_some_and(|start| request.path.starts_with(start))
                        }))
            }
        }
    }
}

/// `pods`, `pods/log`, `*/status`, `pods/*` or `*`.
fn names(named: &str, resource: &str, subresource: &str) -> bool {
    match named.split_once('/') {
        _ if named == "*" => true,
        None => subresource.is_empty() && named == resource,
        Some((of, part)) => {
            (of == "*" || of == resource)
                && (part == subresource || (part == "*" && !subresource.is_empty()))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn the_first_rule_that_fits_decides() {
        let policy = AuditPolicy::parse(
            r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:kube-controller-manager"]
- level: None
  nonResourceURLs: ["/healthz*", "/version"]
- level: Metadata
  resources: [{group: "", resources: [secrets, configmaps]}]
- level: Request
  namespaces: [prod]
  verbs: [create, update]
- level: RequestResponse
  resources: [{group: apps}, {group: "", resources: ["pods/*"]}]
  omitStages: [ResponseStarted]
"#,
        )
        .unwrap();
        let level = |user: &str, method: Method, path: &str| {
            let request = Request::of(&method, path, None);
            policy.verdict(&UserInfo::named(user, &[]), &request).level
        };
        for (user, method, path, expected) in [
            (
                "system:kube-controller-manager",
                Method::GET,
                "/api/v1/secrets",
                Level::None,
            ),
            ("a", Method::GET, "/healthz/ping", Level::None),
            ("a", Method::GET, "/version", Level::None),
            ("a", Method::GET, "/apis", Level::None),
            ("a", Method::GET, "/api/v1/secrets", Level::Metadata),
            (
                "a",
                Method::POST,
                "/api/v1/namespaces/prod/pods",
                Level::Request,
            ),
            (
                "a",
                Method::POST,
                "/api/v1/namespaces/test/pods",
                Level::None,
            ),
            (
                "a",
                Method::GET,
                "/api/v1/namespaces/test/pods/p/log",
                Level::RequestResponse,
            ),
            (
                "a",
                Method::DELETE,
                "/apis/apps/v1/namespaces/test/statefulsets/x",
                Level::RequestResponse,
            ),
        ] {
            assert_eq!(level(user, method, path), expected, "{user} {path}");
        }
        let watch = Request::of(&Method::GET, "/apis/apps/v1/statefulsets", Some("watch=1"));
        let verdict = policy.verdict(&UserInfo::named("a", &[]), &watch);
        assert!(!verdict.wants(Stage::RequestReceived) && !verdict.wants(Stage::ResponseStarted));
        assert!(verdict.wants(Stage::ResponseComplete));
        for wrong in [
            "kind: Policy",
            "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: []}",
            "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Much}]}",
        ] {
            assert!(AuditPolicy::parse(wrong).is_err(), "{wrong}");
        }
    }
}
