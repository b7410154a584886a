//! One operation of an OpenAPI document: what it takes and what it answers. It refuses to know paths and kinds.

use serde_json::{Map, Value, json};

use super::Dialect;
use super::parameters::{Parameter, query};
use super::schemas::reference;
use crate::schema::Gvk;

const JSON_AND_YAML: [&str; 2] = ["application/json", "application/yaml"];
const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
/// What an operation takes and gives.
pub(super) struct Operation<'a> {
    pub(super) id: String,
    pub(super) description: String,
    pub(super) tag: &'a str,
    /// What the verb is called in `x-kubernetes-action`; none for discovery.
    pub(super) action: Option<(&'static str, Gvk)>,
    pub(super) parameters: Vec<&'static [Parameter]>,
    pub(super) body: Option<(&'static str, bool)>,
    pub(super) patch: bool,
    /// The answer's type; none for plain text.
    pub(super) answer: Option<&'static str>,
    /// HTTP codes with the answer, and what they are called.
    pub(super) codes: &'static [(&'static str, &'static str)],
    pub(super) watchable: bool,
}

pub(super) const OK: &[(&str, &str)] = &[("200", "OK")];
pub(super) const WRITTEN: &[(&str, &str)] = &[("200", "OK"), ("201", "Created")];
pub(super) const CREATED: &[(&str, &str)] =
    &[("200", "OK"), ("201", "Created"), ("202", "Accepted")];
pub(super) const DELETED: &[(&str, &str)] = &[("200", "OK"), ("202", "Accepted")];

impl Operation<'_> {
    /// The operation as it stands under a method of a path.
    pub(super) fn print(&self, dialect: Dialect) -> Value {
        let mut produces = JSON_AND_YAML.to_vec();
        if self.watchable {
            produces.push("application/json;stream=watch");
        }
        if self.answer.is_none() {
            produces = vec!["text/plain"];
        }
        let consumes = if self.patch {
            PATCHES.to_vec()
        } else {
            vec!["*/*"]
        };
        let mut parameters: Vec<Value> = self
            .parameters
            .iter()
            .copied()
            .flatten()
            .map(|parameter| query(parameter, dialect))
            .collect();
        let mut out =
            json!({"operationId": self.id, "description": self.description, "tags": [self.tag]});
        let schema = self.answer.map_or_else(
            || json!({"type": "string"}),
            |name| reference(name, dialect),
        );
        let content = |kinds: &[&str], schema: &Value| -> Value {
            kinds
                .iter()
                .map(|kind| ((*kind).to_owned(), json!({ "schema": schema })))
                .collect::<Map<_, _>>()
                .into()
        };
        let mut responses = Map::new();
        for (code, what) in self.codes {
            let answer = match dialect {
                Dialect::V2 => json!({"description": what, "schema": schema}),
                Dialect::V3 => json!({"description": what, "content": content(&produces, &schema)}),
            };
            responses.insert((*code).to_owned(), answer);
        }
        responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
        out["responses"] = Value::Object(responses);
        if let Some((body, required)) = self.body {
            let schema = reference(body, dialect);
            match dialect {
                Dialect::V2 => parameters.insert(
                    0,
                    json!({"name": "body", "in": "body", "required": required, "schema": schema}),
                ),
                Dialect::V3 => {
                    out["requestBody"] = json!({"content": content(&consumes, &schema)});
                    if required {
                        out["requestBody"]["required"] = json!(true);
                    }
                }
            }
        }
        if dialect == Dialect::V2 {
            out["consumes"] = json!(consumes);
            out["produces"] = json!(produces);
            out["schemes"] = json!(["https"]);
        }
        if !parameters.is_empty() {
            out["parameters"] = Value::Array(parameters);
        }
        if let Some((action, gvk)) = self.action {
            out["x-kubernetes-action"] = json!(action);
            out["x-kubernetes-group-version-kind"] =
                json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind});
        }
        out
    }
}
