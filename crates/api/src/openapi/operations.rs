//! The paths of a kind and what may be done there, as OpenAPI operations. It refuses to know the shapes of objects.

use serde_json::{Map, Value, json};

use super::operation::{CREATED, DELETED, OK, Operation, WRITTEN};
use super::parameters::{DELETE, FORCE, LOG, PRETTY, SELECT, WATCH, WRITE, query, typed};
use super::{Dialect, connect, types_of};
use crate::resource::{Resource, Scope, Subresource};
use crate::schema::{Gvk, TypeSchema, schema_of, type_named};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// `api/v1` or `apis/<group>/<version>`.
pub(super) fn root(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

/// `apps_v1`; without version `apps`.
pub(super) fn tag(group: &str, version: &str) -> String {
    let group = short(group);
    if version.is_empty() {
        group
    } else {
        format!("{group}_{version}")
    }
}

/// `AppsV1`; without version `Apps`.
pub(super) fn camel(group: &str, version: &str) -> String {
    capital(&short(group)) + &capital(version)
}

/// `core`, `apps`, `rbacAuthorization`.
fn short(group: &str) -> String {
    if group.is_empty() {
        return "core".to_owned();
    }
    let own = group.strip_suffix(".k8s.io").unwrap_or(group);
    let mut words = own.split('.');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &capital(word))
}

pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// The operation of a discovery document.
pub(super) fn discovery(
    id: &str,
    what: &str,
    answer: Option<&'static TypeSchema>,
    tag: &str,
    dialect: Dialect,
) -> Value {
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
    types.extend(
        ["DeleteOptions", "Patch", "Status"]
            .into_iter()
            .filter_map(meta),
    );
    let namespaced = resource.scope == Scope::Namespaced;
    let root = root(resource.group, resource.version);
    let place = if namespaced {
        "namespaces/{namespace}/"
    } else {
        ""
    };
    let collection = format!("/{root}/{place}{}", resource.plural);
    let item = format!("{collection}/{{name}}");
    let kind = Described::new(resource, tag, dialect);

    let mut on_collection = kind.parameters(&[], namespaced);
    let mut on_item = kind.parameters(&["name"], namespaced);
    for verb in resource.verbs {
        let (here, method, operation) = match *verb {
            "list" => (&mut on_collection, "get", kind.list("")),
            "create" => (&mut on_collection, "post", kind.create()),
            "deletecollection" => (&mut on_collection, "delete", kind.delete_collection()),
            "get" => (&mut on_item, "get", kind.get(None)),
            "update" => (&mut on_item, "put", kind.update(None)),
            "patch" => (&mut on_item, "patch", kind.patch(None)),
            "delete" => (&mut on_item, "delete", kind.delete()),
            _ => continue,
        };
        here.insert(method.to_owned(), operation);
    }
    if namespaced && resource.verbs.contains(&"list") {
        let mut everywhere = kind.parameters(&[], false);
        everywhere.insert("get".to_owned(), kind.list("ForAllNamespaces"));
        paths.insert(
            format!("/{root}/{}", resource.plural),
            Value::Object(everywhere),
        );
    }
    paths.insert(collection, Value::Object(on_collection));
    // What is only ever asked has no items.
    if resource.strategy.stored() {
        paths.insert(item.clone(), Value::Object(on_item));
    }

    for part in resource.subresources {
        let mut here = kind.parameters(&["name"], namespaced);
        if part.connects() {
            connect::add(paths, &item, resource, *part, (tag, dialect), &here);
            continue;
        }
        types.extend(part_schema(resource, *part));
        for verb in part.verbs() {
            let (method, operation) = match (*part, *verb) {
                (Subresource::Log, _) => ("get", kind.log()),
                (_, "get") => ("get", kind.get(Some(*part))),
                (_, "update") => ("put", kind.update(Some(*part))),
                (_, "patch") => ("patch", kind.patch(Some(*part))),
                (_, "create") => ("post", kind.create_part(*part)),
                _ => continue,
            };
            here.insert(method.to_owned(), operation);
        }
        paths.insert(format!("{item}/{}", part.name()), Value::Object(here));
    }
}

fn meta(kind: &str) -> Option<&'static TypeSchema> {
    type_named(&format!("{META}.{kind}"))
}

/// The schema of what is sent to and from a subresource.
fn part_schema(resource: &'static Resource, part: Subresource) -> Option<&'static TypeSchema> {
    let gvk = part_gvk(resource, part);
    if gvk == Gvk::of(resource.group, resource.version, resource.kind) {
        types_of(resource).0
    } else {
        schema_of(gvk.group, gvk.version, gvk.kind)
    }
}

/// The kind that is sent to and from a subresource.
fn part_gvk(resource: &Resource, part: Subresource) -> Gvk {
    match part {
        Subresource::Scale => Gvk::of("autoscaling", "v1", "Scale"),
        Subresource::Binding => Gvk::of("", "v1", "Binding"),
        Subresource::Eviction => Gvk::of("policy", "v1", "Eviction"),
        Subresource::Token => Gvk::of("authentication.k8s.io", "v1", "TokenRequest"),
        _ => Gvk::of(resource.group, resource.version, resource.kind),
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
        Self {
            resource,
            tag,
            dialect,
        }
    }

    /// The parameters of a path, as a path item without operations.
    fn parameters(&self, names: &[&str], namespaced: bool) -> Map<String, Value> {
        let mut list: Vec<Value> = Vec::new();
        for name in names.iter().chain(namespaced.then_some(&"namespace")) {
            let text = match *name {
                "name" => format!("name of the {}", self.resource.kind),
                _ => "the namespace of the object".to_owned(),
            };
            let mut parameter =
                json!({"name": name, "in": "path", "required": true, "description": text});
            typed(&mut parameter, "string", self.dialect);
            list.push(parameter);
        }
        list.push(query(&PRETTY, self.dialect));
        Map::from_iter([("parameters".to_owned(), Value::Array(list))])
    }

    fn id(&self, verb: &str, infix: &str, part: &str) -> String {
        let place = if self.resource.scope == Scope::Namespaced && part != "ForAllNamespaces" {
            "Namespaced"
        } else {
            ""
        };
        let version = camel(self.resource.group, self.resource.version);
        format!("{verb}{version}{infix}{place}{}{part}", self.resource.kind)
    }

    fn operation(&self, action: &'static str, id: String, description: String) -> Operation<'a> {
        let Resource {
            group,
            version,
            kind,
            ..
        } = *self.resource;
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
        let schema = match part {
            None => types_of(self.resource).0,
            Some(part) => part_schema(self.resource, part),
        };
        schema.map(|schema| schema.name)
    }

    fn list(&self, suffix: &str) -> Value {
        let what = format!("list or watch objects of kind {}", self.resource.kind);
        let mut operation = self.operation("list", self.id("list", "", suffix), what);
        operation.parameters = vec![SELECT, WATCH];
        operation.answer = types_of(self.resource).1.map(|schema| schema.name);
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
        let mut operation = self.operation(
            "deletecollection",
            self.id("delete", "Collection", ""),
            what,
        );
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
        if !self.resource.strategy.shown_when_deleted() {
            operation.answer = meta("Status").map(|schema| schema.name);
        }
        operation.codes = DELETED;
        operation.print(self.dialect)
    }

    fn of_part(&self, part: Option<Subresource>) -> (String, String) {
        match part {
            None => (
                String::new(),
                format!("the specified {}", self.resource.kind),
            ),
            Some(part) => (
                capital(part.name()),
                format!("{} of the specified {}", part.name(), self.resource.kind),
            ),
        }
    }

    fn on_part(
        &self,
        action: &'static str,
        verb: &str,
        what: &str,
        part: Option<Subresource>,
    ) -> Operation<'a> {
        let (suffix, object) = self.of_part(part);
        let mut operation = self.operation(
            action,
            self.id(verb, "", &suffix),
            format!("{what} {object}"),
        );
        if let Some(part) = part {
            operation.action = Some((action, part_gvk(self.resource, part)));
            operation.answer = self.type_name(Some(part));
        }
        operation
    }

    fn get(&self, part: Option<Subresource>) -> Value {
        self.on_part("get", "read", "read", part)
            .print(self.dialect)
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
