//! The paths of a kind and what may be done there, as OpenAPI operations. It refuses to know the shapes of objects.

use serde_json::{Map, Value, json};

use super::Dialect;
use super::schemas::reference;
use crate::resource::{Resource, Scope, Subresource};
use crate::schema::{Gvk, TypeSchema, schema_of, type_named};

const JSON_AND_YAML: [&str; 2] = ["application/json", "application/yaml"];
const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// `api/v1` or `apis/<group>/<version>`.
pub(super) fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// `apps_v1`; without version `apps`.
pub(super) fn tag(group: &str, version: &str) -> String {
    let group = short(group);
    if version.is_empty() { group.to_owned() } else { format!("{group}_{version}") }
}

/// `AppsV1`; without version `Apps`.
pub(super) fn camel(group: &str, version: &str) -> String {
    [short(group), version].map(capital).concat()
}

fn short(group: &str) -> &str {
    if group.is_empty() { "core" } else { group.split('.').next().unwrap_or(group) }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// One query parameter: name, OpenAPI type, what it does.
type Parameter = (&'static str, &'static str, &'static str);

const PRETTY: Parameter = ("pretty", "string", "If 'true', the output is indented.");
const SELECT: &[Parameter] = &[
    ("labelSelector", "string", "Only objects whose labels match this selector."),
    ("fieldSelector", "string", "Only objects whose fields match this selector."),
    ("limit", "integer", "The most items one answer should have; the rest follows with continue."),
    ("continue", "string", "Where a list with a limit goes on: the token of the answer before."),
    ("resourceVersion", "string", "How recent the answer must be."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: NotOlderThan or Exact."),
    ("timeoutSeconds", "integer", "How long the call may last."),
    ("sendInitialEvents", "boolean", "Whether a watch begins with the objects there are."),
];
const WATCH: &[Parameter] = &[
    ("watch", "boolean", "Answer with a stream of changes instead of a list."),
    ("allowWatchBookmarks", "boolean", "Whether a watch may contain BOOKMARK events."),
];
const WRITE: &[Parameter] = &[
    ("dryRun", "string", "With 'All' nothing is stored."),
    ("fieldManager", "string", "Who makes the change, for managedFields."),
    ("fieldValidation", "string", "What happens to unknown and duplicate fields: Ignore, Warn or Strict."),
];
const FORCE: &[Parameter] = &[("force", "boolean", "Whether an apply takes over fields of other managers.")];
const DELETE: &[Parameter] = &[
    ("dryRun", "string", "With 'All' nothing is deleted."),
    ("gracePeriodSeconds", "integer", "How long the object may take to end."),
    ("orphanDependents", "boolean", "Whether dependents stay; superseded by propagationPolicy."),
    ("propagationPolicy", "string", "What happens to dependents: Orphan, Background or Foreground."),
];
const LOG: &[Parameter] = &[
    ("container", "string", "Whose log; needed when the pod has several containers."),
    ("follow", "boolean", "Whether the answer goes on as the log grows."),
    ("previous", "boolean", "Whether the log of the container's last run is meant."),
    ("sinceSeconds", "integer", "Only lines that are at most this old."),
    ("tailLines", "integer", "Only this many lines from the end."),
    ("limitBytes", "integer", "At most this many bytes."),
    ("timestamps", "boolean", "Whether each line begins with its time."),
];

/// What an operation takes and gives.
struct Operation<'a> {
    id: String,
    description: String,
    tag: &'a str,
    /// What the verb is called in `x-kubernetes-action`; none for discovery.
    action: Option<(&'static str, Gvk)>,
    parameters: Vec<&'static [Parameter]>,
    body: Option<(&'static str, bool)>,
    patch: bool,
    /// The answer's type; none for plain text.
    answer: Option<&'static str>,
    /// HTTP codes with the answer, and what they are called.
    codes: &'static [(&'static str, &'static str)],
    watchable: bool,
}

const OK: &[(&str, &str)] = &[("200", "OK")];
const WRITTEN: &[(&str, &str)] = &[("200", "OK"), ("201", "Created")];
const CREATED: &[(&str, &str)] = &[("200", "OK"), ("201", "Created"), ("202", "Accepted")];
const DELETED: &[(&str, &str)] = &[("200", "OK"), ("202", "Accepted")];

/// The operation of a discovery document.
pub(super) fn discovery(id: &str, what: &str, answer: Option<&'static TypeSchema>, tag: &str, dialect: Dialect) -> Value {
    let operation = Operation {
        id: id.to_owned(),
        description: what.to_owned(),
        tag,
        action: None,
        parameters: Vec::new(),
        body: None,
        patch: false,
        answer: answer.map(|schema| schema.name),
        codes: OK,
        watchable: false,
    };
    json!({"get": operation.print(dialect)})
}

/// Adds the paths of one kind, and to `types` the types they mention besides the kind and its list.
pub(super) fn add(
    paths: &mut Map<String, Value>,
    types: &mut Vec<&'static TypeSchema>,
    resource: &'static Resource,
    tag: &str,
    dialect: Dialect,
) {
    types.extend(["DeleteOptions", "Patch", "Status"].into_iter().filter_map(meta));
    let namespaced = resource.scope == Scope::Namespaced;
    let root = root(resource.group, resource.version);
    let place = if namespaced { "namespaces/{namespace}/" } else { "" };
    let collection = format!("/{root}/{place}{}", resource.plural);
    let item = format!("{collection}/{{name}}");
    let kind = Described::new(resource, tag, dialect);

    let mut on_collection = kind.parameters(&[], namespaced);
    let mut on_item = kind.parameters(&["name"], namespaced);
    for verb in resource.verbs {
        match *verb {
            "list" => {
                on_collection.insert("get".to_owned(), kind.list(""));
                if namespaced {
                    let mut everywhere = kind.parameters(&[], false);
                    everywhere.insert("get".to_owned(), kind.list("ForAllNamespaces"));
                    paths.insert(format!("/{root}/{}", resource.plural), Value::Object(everywhere));
                }
            }
            "create" => drop(on_collection.insert("post".to_owned(), kind.create())),
            "deletecollection" => drop(on_collection.insert("delete".to_owned(), kind.delete_collection())),
            "get" => drop(on_item.insert("get".to_owned(), kind.get(None))),
            "update" => drop(on_item.insert("put".to_owned(), kind.update(None))),
            "patch" => drop(on_item.insert("patch".to_owned(), kind.patch(None))),
            "delete" => drop(on_item.insert("delete".to_owned(), kind.delete())),
            _ => {}
        }
    }
    paths.insert(collection, Value::Object(on_collection));
    paths.insert(item.clone(), Value::Object(on_item));

    for subresource in resource.subresources {
        let mut here = kind.parameters(&["name"], namespaced);
        types.extend(schema_named(part_gvk(resource, *subresource)));
        for verb in subresource.verbs() {
            match (*subresource, *verb) {
                (Subresource::Log, _) => drop(here.insert("get".to_owned(), kind.log())),
                (_, "get") => drop(here.insert("get".to_owned(), kind.get(Some(*subresource)))),
                (_, "update") => drop(here.insert("put".to_owned(), kind.update(Some(*subresource)))),
                (_, "patch") => drop(here.insert("patch".to_owned(), kind.patch(Some(*subresource)))),
                (_, "create") => drop(here.insert("post".to_owned(), kind.create_part(*subresource))),
                _ => {}
            }
        }
        paths.insert(format!("{item}/{}", subresource.name()), Value::Object(here));
    }
}

fn meta(kind: &str) -> Option<&'static TypeSchema> {
    type_named(&format!("{META}.{kind}"))
}

fn schema_named(gvk: Gvk) -> Option<&'static TypeSchema> {
    schema_of(gvk.group, gvk.version, gvk.kind)
}

/// The kind that is sent to and from a subresource.
fn part_gvk(resource: &Resource, part: Subresource) -> Gvk {
    match part {
        Subresource::Scale => Gvk::of("autoscaling", "v1", "Scale"),
        Subresource::Binding => Gvk::of("", "v1", "Binding"),
        Subresource::Status | Subresource::Log | Subresource::Finalize => {
            Gvk::of(resource.group, resource.version, resource.kind)
        }
    }
}

/// A kind whose operations are printed.
struct Described<'a> {
    resource: &'static Resource,
    tag: &'a str,
    dialect: Dialect,
}

impl<'a> Described<'a> {
    fn new(resource: &'static Resource, tag: &'a str, dialect: Dialect) -> Self {
        Self { resource, tag, dialect }
    }

    /// The parameters of a path, as a path item without operations.
    fn parameters(&self, names: &[&str], namespaced: bool) -> Map<String, Value> {
        let mut list: Vec<Value> = Vec::new();
        for name in names.iter().chain(namespaced.then_some(&"namespace")) {
            let text = match *name {
                "name" => format!("name of the {}", self.resource.kind),
                _ => "the namespace of the object".to_owned(),
            };
            let mut parameter = json!({"name": name, "in": "path", "required": true, "description": text});
            typed(&mut parameter, "string", self.dialect);
            list.push(parameter);
        }
        list.push(query(&PRETTY, self.dialect));
        Map::from_iter([("parameters".to_owned(), Value::Array(list))])
    }

    fn id(&self, verb: &str, infix: &str, part: &str) -> String {
        let place = if self.resource.scope == Scope::Namespaced && part != "ForAllNamespaces" { "Namespaced" } else { "" };
        let version = camel(self.resource.group, self.resource.version);
        format!("{verb}{version}{infix}{place}{}{part}", self.resource.kind)
    }

    fn operation(&self, action: &'static str, id: String, description: String) -> Operation<'a> {
        let Resource { group, version, kind, .. } = *self.resource;
        Operation {
            id,
            description,
            tag: self.tag,
            action: Some((action, Gvk::of(group, version, kind))),
            parameters: Vec::new(),
            body: None,
            patch: false,
            answer: self.type_name(None),
            codes: OK,
            watchable: false,
        }
    }

    /// The definition of the kind, of its list, or of a subresource's kind.
    fn type_name(&self, part: Option<Subresource>) -> Option<&'static str> {
        let gvk = match part {
            None => Gvk::of(self.resource.group, self.resource.version, self.resource.kind),
            Some(part) => part_gvk(self.resource, part),
        };
        schema_named(gvk).map(|schema| schema.name)
    }

    fn list(&self, suffix: &str) -> Value {
        let Resource { group, version, kind, list_kind, .. } = *self.resource;
        let what = format!("list or watch objects of kind {kind}");
        let mut operation = self.operation("list", self.id("list", "", suffix), what);
        operation.parameters = vec![SELECT, WATCH];
        operation.answer = schema_of(group, version, list_kind).map(|schema| schema.name);
        operation.watchable = true;
        operation.print(self.dialect)
    }

    fn create(&self) -> Value {
        let what = format!("create a {}", self.resource.kind);
        let mut operation = self.operation("post", self.id("create", "", ""), what);
        operation.parameters = vec![WRITE];
        operation.body = self.type_name(None).map(|name| (name, true));
        operation.codes = CREATED;
        operation.print(self.dialect)
    }

    fn delete_collection(&self) -> Value {
        let what = format!("delete collection of {}", self.resource.kind);
        let mut operation = self.operation("deletecollection", self.id("delete", "Collection", ""), what);
        operation.parameters = vec![SELECT, DELETE];
        operation.body = meta("DeleteOptions").map(|schema| (schema.name, false));
        operation.answer = meta("Status").map(|schema| schema.name);
        operation.print(self.dialect)
    }

    fn delete(&self) -> Value {
        let what = format!("delete a {}", self.resource.kind);
        let mut operation = self.operation("delete", self.id("delete", "", ""), what);
        operation.parameters = vec![DELETE];
        operation.body = meta("DeleteOptions").map(|schema| (schema.name, false));
        // These kinds answer with the object even when it is gone at once (A-9b).
        let object = matches!(
            self.resource.kind,
            "Pod" | "PersistentVolumeClaim" | "PersistentVolume" | "Service" | "ServiceAccount" | "StorageClass"
        );
        if !object {
            operation.answer = meta("Status").map(|schema| schema.name);
        }
        operation.codes = DELETED;
        operation.print(self.dialect)
    }

    fn of_part(&self, part: Option<Subresource>) -> (String, String) {
        match part {
            None => (String::new(), format!("the specified {}", self.resource.kind)),
            Some(part) => (
                capital(part.name()),
                format!("{} of the specified {}", part.name(), self.resource.kind),
            ),
        }
    }

    fn on_part(&self, action: &'static str, verb: &str, what: &str, part: Option<Subresource>) -> Operation<'a> {
        let (suffix, object) = self.of_part(part);
        let mut operation = self.operation(action, self.id(verb, "", &suffix), format!("{what} {object}"));
        if let Some(part) = part {
            operation.action = Some((action, part_gvk(self.resource, part)));
            operation.answer = self.type_name(Some(part));
        }
        operation
    }

    fn get(&self, part: Option<Subresource>) -> Value {
        self.on_part("get", "read", "read", part).print(self.dialect)
    }

    fn log(&self) -> Value {
        let mut operation = self.on_part("get", "read", "read", Some(Subresource::Log));
        operation.parameters = vec![LOG];
        operation.answer = None;
        operation.print(self.dialect)
    }

    fn update(&self, part: Option<Subresource>) -> Value {
        let mut operation = self.on_part("put", "replace", "replace", part);
        operation.parameters = vec![WRITE];
        operation.body = self.type_name(part).map(|name| (name, true));
        operation.codes = WRITTEN;
        operation.print(self.dialect)
    }

    fn patch(&self, part: Option<Subresource>) -> Value {
        let mut operation = self.on_part("patch", "patch", "partially update", part);
        operation.parameters = vec![WRITE, FORCE];
        operation.body = meta("Patch").map(|schema| (schema.name, true));
        operation.patch = true;
        operation.codes = WRITTEN;
        operation.print(self.dialect)
    }

    fn create_part(&self, part: Subresource) -> Value {
        let (suffix, _) = self.of_part(Some(part));
        let what = format!("create {} of a {}", part.name(), self.resource.kind);
        let mut operation = self.operation("post", self.id("create", "", &suffix), what);
        operation.action = Some(("post", part_gvk(self.resource, part)));
        operation.parameters = vec![WRITE];
        operation.body = self.type_name(Some(part)).map(|name| (name, true));
        operation.answer = self.type_name(Some(part));
        operation.codes = CREATED;
        operation.print(self.dialect)
    }
}

/// Gives a parameter its type.
fn typed(parameter: &mut Value, ty: &str, dialect: Dialect) {
    match dialect {
        Dialect::V2 => {
            parameter["type"] = json!(ty);
            parameter["uniqueItems"] = json!(true);
        }
        Dialect::V3 => parameter["schema"] = json!({"type": ty, "uniqueItems": true}),
    }
}

fn query((name, ty, text): &Parameter, dialect: Dialect) -> Value {
    let mut parameter = json!({"name": name, "in": "query", "description": text});
    typed(&mut parameter, ty, dialect);
    parameter
}

impl Operation<'_> {
    fn print(&self, dialect: Dialect) -> Value {
        let mut produces = JSON_AND_YAML.to_vec();
        if self.watchable {
            produces.push("application/json;stream=watch");
        }
        if self.answer.is_none() {
            produces = vec!["text/plain"];
        }
        let consumes = if self.patch { PATCHES.to_vec() } else { vec!["*/*"] };
        let mut parameters: Vec<Value> =
            self.parameters.iter().copied().flatten().map(|parameter| query(parameter, dialect)).collect();
        let mut out = json!({"operationId": self.id, "description": self.description, "tags": [self.tag]});
        let schema = self.answer.map_or_else(|| json!({"type": "string"}), |name| reference(name, dialect));
        let content = |kinds: &[&str], schema: &Value| -> Value {
            kinds.iter().map(|kind| ((*kind).to_owned(), json!({ "schema": schema }))).collect::<Map<_, _>>().into()
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
                Dialect::V2 => parameters
                    .insert(0, json!({"name": "body", "in": "body", "required": required, "schema": schema})),
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
