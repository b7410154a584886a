//! What a request path points at. Pure: paths in, targets out.

use std::sync::Arc;

use plinth_api::Subresource;

use crate::kind::{Kind, Kinds};

/// What a path points at.
pub(crate) enum Target {
    /// `/`: the list of paths.
    Index,
    /// `/livez`, `/readyz`, `/healthz`, or one check of them.
    Health { check: Option<String> },
    /// `/metrics`.
    Metrics,
    /// `/version`.
    Version,
    /// `/.well-known/openid-configuration`.
    OpenIdConfiguration,
    /// `/openid/v1/jwks`.
    OpenIdKeys,
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3`.
    OpenApiV3Index,
    /// `/openapi/v3/<group version>`.
    OpenApiV3(String),
    /// `/api`; exact paths may be answered in the aggregated form.
    CoreVersions { exact: bool },
    /// `/apis`.
    Groups { exact: bool },
    /// `/apis/<group>`.
    Group(String),
    /// `/api/v1` or `/apis/<group>/<version>`.
    GroupVersion { group: String, version: String },
    /// Objects.
    Resource(ResourcePath),
    /// Nothing, in a place where no API is.
    NoPage,
    /// Nothing, in a place of the API.
    NoResource,
}

/// A path to objects of a kind.
pub(crate) struct ResourcePath {
    pub(crate) kind: Arc<Kind>,
    /// Set exactly when the kind is namespaced and the path names a namespace.
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<Subresource>,
    /// The old `/watch/` form of a watch.
    pub(crate) watch: bool,
}

impl ResourcePath {
    /// Whether the path names all objects of a kind, or of a kind in one namespace.
    pub(crate) fn is_collection(&self) -> bool {
        self.name.is_none()
    }

    /// The namespace, empty for cluster-wide kinds.
    pub(crate) fn in_namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    /// The name, empty for collections.
    pub(crate) fn object(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
}

/// Finds what a path (without query) points at.
pub(crate) fn route(kinds: &Kinds, path: &str) -> Target {
    let decoded = percent_decode(path);
    let parts: Vec<&str> = decoded.trim_matches('/').split('/').collect();
    let exact = !decoded.ends_with('/');
    match parts.as_slice() {
        [""] => Target::Index,
        ["healthz" | "livez" | "readyz"] => Target::Health { check: None },
        ["healthz" | "livez" | "readyz", check @ ..] => Target::Health {
            check: Some(check.join("/")),
        },
        ["metrics"] => Target::Metrics,
        ["version"] => Target::Version,
        [".well-known", "openid-configuration"] => Target::OpenIdConfiguration,
        ["openid", "v1", "jwks"] => Target::OpenIdKeys,
        ["openapi", "v2"] => Target::OpenApiV2,
        ["openapi", "v3"] => Target::OpenApiV3Index,
        ["openapi", "v3", rest @ ..] => Target::OpenApiV3(rest.join("/")),
        ["api"] => Target::CoreVersions { exact },
        ["apis"] => Target::Groups { exact },
        ["api", version, rest @ ..] => in_group(kinds, "", version, rest),
        ["apis", group] => {
            if kinds.serves_group(group) {
                Target::Group((*group).to_owned())
            } else {
                Target::NoPage
            }
        }
        ["apis", group, version, rest @ ..] => {
            match in_group(kinds, group, version, rest) {
                // Where only definitions make kinds, there is nothing that could say more.
                Target::NoResource if !kinds.built_in(group) => Target::NoPage,
                target => target,
            }
        }
        _ => Target::NoPage,
    }
}

fn in_group(kinds: &Kinds, group: &str, version: &str, rest: &[&str]) -> Target {
    if !kinds.serves(group, version) {
        return Target::NoResource;
    }
    match rest {
        [] => Target::GroupVersion {
            group: group.to_owned(),
            version: version.to_owned(),
        },
        ["watch", rest @ ..] => resource(kinds, group, version, rest, true),
        rest => resource(kinds, group, version, rest, false),
    }
}

fn resource(kinds: &Kinds, group: &str, version: &str, parts: &[&str], watch: bool) -> Target {
    let (namespace, parts) = match parts {
        // A namespace itself, its subresources, and what is in it share a beginning.
        ["namespaces", name, "status" | "finalize"] if group.is_empty() => {
            (None, &["namespaces", name, parts[2]][..])
        }
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        parts => (None, parts),
    };
    let (plural, name, subresource) = match parts {
        [plural] => (*plural, None, None),
        [plural, name] => (*plural, Some(*name), None),
        [plural, name, subresource] => (*plural, Some(*name), Some(*subresource)),
        // What follows is for whoever is behind the proxy.
        [plural, name, "proxy", ..] => (*plural, Some(*name), Some("proxy")),
        _ => return Target::NoResource,
    };
    let Some(kind) = kinds.find(group, version, plural) else {
        return Target::NoResource;
    };
    let subresource = match subresource {
        None => None,
        Some(text) => match kind.resource.subresources.iter().find(|s| s.name() == text) {
            Some(subresource) => Some(*subresource),
            None => return Target::NoResource,
        },
    };
    let fits = if kind.resource.namespaced() {
        namespace.is_some() || name.is_none()
    } else {
        namespace.is_none()
    };
    if !fits {
        return Target::NoResource;
    }
    Target::Resource(ResourcePath {
        kind,
        namespace: namespace.map(ToOwned::to_owned),
        name: name.map(ToOwned::to_owned),
        subresource,
        watch,
    })
}

/// Undoes percent-encoding; what is no valid escape stays as it is.
pub(crate) fn percent_decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = escaped {
            plain.push(byte);
            at += 3;
        } else {
            plain.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(path: &str) -> String {
        match route(&Kinds::new().unwrap(), path) {
            Target::Resource(p) => format!(
                "{} ns={:?} name={:?} sub={:?} watch={}",
                p.kind.storage, p.namespace, p.name, p.subresource, p.watch
            ),
            Target::NoPage => "no page".into(),
            Target::NoResource => "no resource".into(),
            Target::GroupVersion { group, version } => format!("group {group:?} version {version}"),
            Target::CoreVersions { exact } => format!("core versions {exact}"),
            _ => "other".into(),
        }
    }

    #[test]
    fn paths_point_at_what_upstream_serves_there() {
        let expected = [
            (
                "/api/v1/pods",
                "pods ns=None name=None sub=None watch=false",
            ),
            (
                "/api/v1/namespaces/a/pods/b/log",
                "pods ns=Some(\"a\") name=Some(\"b\") sub=Some(Log) watch=false",
            ),
            (
                "/api/v1/namespaces/a",
                "namespaces ns=None name=Some(\"a\") sub=None watch=false",
            ),
            (
                "/api/v1/namespaces/a/finalize",
                "namespaces ns=None name=Some(\"a\") sub=Some(Finalize) watch=false",
            ),
            (
                "/api/v1/namespaces",
                "namespaces ns=None name=None sub=None watch=false",
            ),
            (
                "/api/v1/watch/namespaces/a/pods",
                "pods ns=Some(\"a\") name=None sub=None watch=true",
            ),
            (
                "/apis/apps/v1/statefulsets/",
                "statefulsets.apps ns=None name=None sub=None watch=false",
            ),
            (
                "/api/v1/namespaces/a/pods/b:80/proxy/x/y/",
                "pods ns=Some(\"a\") name=Some(\"b:80\") sub=Some(Proxy) watch=false",
            ),
            (
                "/api/v1/nodes/n/proxy",
                "nodes ns=None name=Some(\"n\") sub=Some(Proxy) watch=false",
            ),
            ("/api/v1/namespaces/a/configmaps/b/proxy/x", "no resource"),
            ("/api/v1/pods/x", "no resource"),
            ("/api/v1/namespaces/a/persistentvolumes", "no resource"),
            ("/api/v1/namespaces/a/configmaps/a%2Fb", "no resource"),
            ("/api/v1/namespaces/a/configmaps/x/scale", "no resource"),
            ("/apis/apps/v2/statefulsets", "no resource"),
            ("/apis/none.example.com", "no page"),
            ("/nothing", "no page"),
            ("/apis/apps/v1", "group \"apps\" version v1"),
            ("/api/", "core versions false"),
        ];
        for (path, target) in expected {
            assert_eq!(describe(path), target, "{path}");
        }
    }
}
