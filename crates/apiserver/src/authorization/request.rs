//! What a request asks to do, read from method, path and query alone, so that whoever may not ask learns nothing about
//! what is served. Pure.

use http::header::UPGRADE;
use http::{HeaderMap, Method};
use plinth_api::FieldSelector;

use super::{Attributes, Selectors, Subject};
use crate::authentication::UserInfo;
use crate::query::Query;
use crate::route::percent_decode;

/// What a request asks to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) verb: &'static str,
    /// Empty in everything but the path when no object is meant.
    pub(crate) resource: Option<Objects>,
    pub(crate) path: String,
    selectors: Option<Selectors>,
}

/// The objects a request is about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Objects {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) name: String,
}

impl Request {
    /// Reads a request.
    pub(crate) fn of(method: &Method, path: &str, query: Option<&str>) -> Self {
        let path = percent_decode(path);
        match resource(&path) {
            None => Self {
                verb: plain_verb(method),
                path,
                ..Self::default()
            },
            Some((mut found, watches)) => {
                let verb = match *method {
                    Method::POST => "create",
                    Method::PUT => "update",
                    Method::PATCH => "patch",
                    Method::DELETE if found.name.is_empty() => "deletecollection",
                    Method::DELETE => "delete",
                    Method::GET | Method::HEAD if watches => "watch",
                    Method::GET | Method::HEAD => "get",
                    _ => "",
                };
                let collection = found.name.is_empty();
                let (verb, selectors) =
                    if matches!(verb, "get" | "watch" | "deletecollection") && collection {
                        let query = Query::parse(query);
                        let selectors = selectors(&query);
                        if let Some((_, name)) = selectors
                            .fields
                            .iter()
                            .find(|(field, _)| field == "metadata.name")
                            && verb != "deletecollection"
                        {
                            found.name.clone_from(name);
                        }
                        let verb = match verb {
                            "get" if query.flag("watch").unwrap_or(false) => "watch",
                            "get" => "list",
                            verb => verb,
                        };
                        (verb, Some(selectors))
                    } else {
                        (verb, None)
                    };
                Self {
                    verb,
                    resource: Some(found),
                    path,
                    selectors,
                }
            }
        }
    }

    /// Whether a client reads its way into a pod: over a WebSocket, which begins as a GET. That takes the right to
    /// create what is run there, as the other ways do.
    pub(crate) fn joins_pod(&self, headers: &HeaderMap) -> bool {
        let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
        let pods = self.resource.as_ref().is_some_and(|of| {
            of.group.is_empty()
                && of.resource == "pods"
                && matches!(of.subresource.as_str(), "exec" | "attach" | "portforward")
        });
        self.verb == "get" && pods && upgrade.is_some_and(|to| to.eq_ignore_ascii_case("websocket"))
    }

    /// The question whether somebody may do it.
    pub(crate) fn attributes<'a>(&'a self, user: &'a UserInfo) -> Attributes<'a> {
        let subject = match &self.resource {
            None => Subject::Path(&self.path),
            Some(of) => Subject::Resource {
                group: &of.group,
                resource: &of.resource,
                subresource: &of.subresource,
                namespace: &of.namespace,
                name: &of.name,
            },
        };
        Attributes {
            user,
            verb: self.verb,
            subject,
            selectors: self.selectors.as_ref(),
        }
    }
}

fn plain_verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "",
    }
}

/// The objects a path is about, and whether it is the old form of a watch.
fn resource(path: &str) -> Option<(Objects, bool)> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (watches, rest) = match rest {
        [] => return None,
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        rest => (false, rest),
    };
    let (namespace, rest) = match rest {
        // A namespace is in itself: whoever has a role there may have it for the namespace, too.
        ["namespaces", name] | ["namespaces", name, "status" | "finalize"] => (*name, rest),
        ["namespaces", namespace, inside @ ..] => (*namespace, inside),
        rest => ("", rest),
    };
    let part = |index: usize| (*rest.get(index).unwrap_or(&"")).to_owned();
    let found = Objects {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        resource: part(0),
        name: part(1),
        subresource: part(2),
    };
    Some((found, watches))
}

fn selectors(query: &Query) -> Selectors {
    let text = query.get("fieldSelector").unwrap_or_default();
    // What cannot be read selects nothing here; the request itself is refused for it later.
    let fields = FieldSelector::parse(text)
        .map(|selector| {
            selector
                .terms()
                .iter()
                .filter(|term| term.equal)
                .map(|term| (term.field.clone(), term.value.clone()))
                .collect()
        })
        .unwrap_or_default();
    Selectors { fields }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn websockets_into_pods_create_there() {
        let joins = |path: &str, upgrade: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(UPGRADE, upgrade.parse().unwrap());
            Request::of(&Method::GET, path, None).joins_pod(&headers)
        };
        for way in ["exec", "attach", "portforward"] {
            let path = format!("/api/v1/namespaces/n/pods/p/{way}");
            assert!(joins(&path, "WebSocket"), "{way}");
            assert!(!joins(&path, "SPDY/3.1"), "{way}");
        }
        assert!(!joins("/api/v1/namespaces/n/pods/p/proxy", "websocket"));
        assert!(!joins("/api/v1/namespaces/n/pods/p", "websocket"));
    }

    #[test]
    fn requests_are_read_as_upstream_reads_them() {
        for (method, uri, expected) in [
            (Method::GET, "/version", "get /version"),
            (Method::GET, "/api/v1", "get /api/v1"),
            (Method::GET, "/apis/apps/v1", "get /apis/apps/v1"),
            (Method::POST, "/healthz", "post /healthz"),
            (Method::GET, "/api/v1/nodes", "list |nodes||"),
            (Method::GET, "/api/v1/pods?watch=1", "watch |pods||"),
            (Method::GET, "/api/v1/watch/pods", "watch |pods||"),
            (
                Method::GET,
                "/api/v1/namespaces/a/pods/b/log",
                "get |pods/log|a|b",
            ),
            (Method::GET, "/api/v1/namespaces/a", "get |namespaces|a|a"),
            (
                Method::PUT,
                "/api/v1/namespaces/a/finalize",
                "update |namespaces/finalize|a|a",
            ),
            (
                Method::DELETE,
                "/apis/apps/v1/namespaces/a/statefulsets",
                "deletecollection apps|statefulsets|a|",
            ),
            (
                Method::GET,
                "/api/v1/nodes?fieldSelector=metadata.name%3Dn",
                "list |nodes||n",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/a/pods/b/proxy/x/y",
                "get |pods/proxy|a|b",
            ),
            (
                Method::POST,
                "/apis/none.example.com/v1/things",
                "create none.example.com|things||",
            ),
        ] {
            let (path, query) = uri
                .split_once('?')
                .map_or((uri, None), |(p, q)| (p, Some(q)));
            let request = Request::of(&method, path, query);
            let told = match &request.resource {
                None => format!("{} {}", request.verb, request.path),
                Some(of) => {
                    let slash = if of.subresource.is_empty() { "" } else { "/" };
                    format!(
                        "{} {}|{}{slash}{}|{}|{}",
                        request.verb, of.group, of.resource, of.subresource, of.namespace, of.name
                    )
                }
            };
            assert_eq!(told, expected, "{uri}");
        }
    }
}
