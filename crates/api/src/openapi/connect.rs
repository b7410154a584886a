//! The paths of subresources that requests are connected through (exec, attach, port-forward, proxy), as OpenAPI
//! operations. It refuses to know what is said on the way.

use serde_json::{Map, Value, json};

use super::Dialect;
use super::operation::{OK, Operation};
use super::operations::capital;
use super::parameters::{Parameter, query, typed};
use crate::resource::{Resource, Scope, Subresource};
use crate::schema::Gvk;

const CONTAINER: Parameter = (
    "container",
    "string",
    "The container that is meant; needed if the pod has several.",
);
const STREAMS: [Parameter; 4] = [
    ("stderr", "boolean", "Whether standard error is wanted."),
    ("stdin", "boolean", "Whether standard input is given."),
    ("stdout", "boolean", "Whether standard output is wanted."),
    ("tty", "boolean", "Whether the program has a terminal."),
];
const COMMAND: Parameter = (
    "command",
    "string",
    "The program to run and, in further parameters of this name, its arguments.",
);
const PORTS: Parameter = (
    "ports",
    "integer",
    "Ports to forward; needed by clients that use WebSocket channels.",
);
const PATH: Parameter = (
    "path",
    "string",
    "What is asked of whatever is behind the proxy.",
);

/// Adds the paths of one such subresource of the object at `item`, whose own parameters are `common`.
pub(super) fn add(
    paths: &mut Map<String, Value>,
    item: &str,
    resource: &Resource,
    part: Subresource,
    (tag, dialect): (&str, Dialect),
    common: &Map<String, Value>,
) {
    let Some(options) = part.options_kind(resource) else {
        return;
    };
    let own: Vec<Parameter> = match part {
        Subresource::Exec => [&[COMMAND, CONTAINER], &STREAMS[..]].concat(),
        Subresource::Attach => [&[CONTAINER], &STREAMS[..]].concat(),
        Subresource::PortForward => vec![PORTS],
        _ => vec![PATH],
    };
    let methods: &[&str] = match part {
        Subresource::Proxy => &["get", "put", "post", "delete", "options", "head", "patch"],
        _ => &["get", "post"],
    };
    // These are not printed for people: there is no `pretty`.
    let named = common["parameters"].as_array().into_iter().flatten();
    let named: Vec<Value> = named.filter(|p| p["in"] == "path").cloned().collect();
    let mut path = json!({"name": "path", "in": "path", "required": true,
        "description": "the path behind the proxy"});
    typed(&mut path, "string", dialect);
    let below = (part == Subresource::Proxy).then_some(("/{path}", "WithPath", path));
    for (suffix, id, further) in [("", "", None)]
        .into_iter()
        .chain(below.map(|(suffix, id, path)| (suffix, id, Some(path))))
    {
        let mut parameters = named.clone();
        parameters.extend(further);
        parameters.extend(own.iter().map(|parameter| query(parameter, dialect)));
        let mut here = Map::new();
        here.insert("parameters".to_owned(), parameters.into());
        for method in methods {
            let place = if resource.scope == Scope::Namespaced {
                "Namespaced"
            } else {
                ""
            };
            let what = match part {
                Subresource::PortForward => "Portforward".to_owned(),
                part => capital(part.name()),
            };
            let operation = Operation {
                id: format!(
                    "connectCoreV1{}{place}{}{what}{id}",
                    capital(method),
                    resource.kind
                ),
                description: format!(
                    "connect {} requests to {} of {}",
                    method.to_uppercase(),
                    part.name(),
                    resource.kind
                ),
                tag,
                action: Some(("connect", Gvk::of("", "v1", options))),
                parameters: Vec::new(),
                body: None,
                patch: false,
                answer: None,
                codes: OK,
                watchable: false,
            };
            let mut printed = operation.print(dialect);
            match dialect {
                Dialect::V2 => printed["produces"] = json!(["*/*"]),
                Dialect::V3 => {
                    printed["responses"]["200"]["content"] =
                        json!({"*/*": {"schema": {"type": "string"}}});
                }
            }
            here.insert((*method).to_owned(), printed);
        }
        paths.insert(
            format!("{item}/{}{suffix}", part.name()),
            Value::Object(here),
        );
    }
}
