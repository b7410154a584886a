//! What a connection is asked for, as the object that admission is asked about.

use plinth_api::{Gvk, Subresource};
use serde_json::{Map, Value};

use crate::kind::Kind;
use crate::query::Query;

/// The object that stands for a connection's parameters.
pub(super) fn read(
    kind: &Kind,
    subresource: Subresource,
    query: &Query,
    path: &str,
) -> (Gvk, Value) {
    let name = match (subresource, kind.resource.kind) {
        (Subresource::Exec, _) => "PodExecOptions",
        (Subresource::Attach, _) => "PodAttachOptions",
        (Subresource::PortForward, _) => "PodPortForwardOptions",
        (_, "Service") => "ServiceProxyOptions",
        (_, "Node") => "NodeProxyOptions",
        _ => "PodProxyOptions",
    };
    let mut object = Map::new();
    object.insert("kind".to_owned(), name.into());
    object.insert("apiVersion".to_owned(), "v1".into());
    if subresource == Subresource::Proxy {
        if !path.is_empty() {
            object.insert("path".to_owned(), path.into());
        }
    } else if subresource == Subresource::PortForward {
        let ports = query.all("ports").into_iter();
        let ports: Vec<Value> = ports
            .flat_map(|ports| ports.split(','))
            .filter_map(|port| port.parse::<i32>().ok().map(Value::from))
            .collect();
        if !ports.is_empty() {
            object.insert("ports".to_owned(), ports.into());
        }
    } else {
        for flag in FLAGS {
            // What is refused is not what is left out: output is wanted unless refused.
            if let Some(wanted) = query.flag(flag) {
                object.insert(flag.to_owned(), wanted.into());
            }
        }
        if let Some(container) = query.text("container") {
            object.insert("container".to_owned(), container.into());
        }
        let command = query.all("command");
        if subresource == Subresource::Exec && !command.is_empty() {
            object.insert("command".to_owned(), command.into());
        }
    }
    (Gvk::of("", "v1", name), object.into())
}

const FLAGS: [&str; 4] = ["stdin", "stdout", "stderr", "tty"];

/// The parameters that an object stands for.
pub(super) fn written(options: &Value) -> Query {
    let one = |name: &str, value: &Value| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), ToOwned::to_owned);
        format!("{name}={}", crate::node_proxy::encode(&text))
    };
    let mut pairs = Vec::new();
    for (name, value) in options.as_object().into_iter().flatten() {
        match value {
            _ if matches!(name.as_str(), "kind" | "apiVersion") => {}
            Value::Array(items) => pairs.extend(items.iter().map(|item| one(name, item))),
            value => pairs.push(one(name, value)),
        }
    }
    Query::parse(Some(&pairs.join("&")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_an_object_and_back() {
        let object = json!({"kind": "PodExecOptions", "apiVersion": "v1", "command": ["sh", "-c", "a&b"],
                            "stdin": true, "container": "c"});
        let query = written(&object);
        assert_eq!(query.all("command"), ["sh", "-c", "a&b"]);
        assert_eq!(query.flag("stdin"), Some(true));
        assert_eq!(query.flag("tty"), None);
        assert_eq!(query.text("container"), Some("c"));
    }
}
