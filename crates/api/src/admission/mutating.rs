//! MutatingAdmissionPolicies, compiled: what they make of an object.

use serde_json::{Map, Value};

use super::expressions::{
    Conditions, Evaluation, Expression, Inputs, Matched, Offers, PER_POLICY, Returns, SPENT, Spent,
    Variables, scope,
};
use crate::apply::{Author, Configuration, FieldSet, atomics};
use crate::cel::{Expr, Node};
use crate::patch::{self, PatchError};
use crate::schema::{Gvk, TypeSchema};

/// A policy that can be asked.
#[derive(Debug)]
pub struct MutatingPolicy {
    fails: bool,
    again: bool,
    conditions: Conditions,
    variables: Variables,
    mutations: Vec<Mutation>,
}

#[derive(Debug)]
enum Mutation {
    /// Operations of a JSON patch.
    Patch(Expression),
    /// An object that is laid over the other, and what is wrong with the types it is made of.
    Apply(Expression, Option<String>),
}

impl MutatingPolicy {
    /// Compiles a policy's `spec`.
    pub fn compile(spec: &Value) -> Self {
        let mut names = scope(Offers::of_policy(spec));
        let variables = Variables::read(spec, &mut names);
        let mutations = spec["mutations"].as_array().into_iter().flatten();
        let mutation = |mutation: &Value| {
            let text = |field: &str| mutation[field]["expression"].as_str().unwrap_or_default();
            if mutation["patchType"] == "JSONPatch" {
                let text = text("jsonPatch");
                return Mutation::Patch(Expression::new(text, &names, Returns::Patches));
            }
            let expression = Expression::new(text("applyConfiguration"), &names, Returns::Object);
            let fault = expression
                .program()
                .and_then(|program| misplaced(program.expr(), "Object"));
            Mutation::Apply(expression, fault)
        };
        Self {
            fails: spec["failurePolicy"] != "Ignore",
            again: spec["reinvocationPolicy"] == "IfNeeded",
            conditions: Conditions::read(spec, &names),
            mutations: mutations.map(mutation).collect(),
            variables,
        }
    }

    /// Whether what cannot be told counts against a request.
    pub fn fails(&self) -> bool {
        self.fails
    }

    /// Whether it wants to see what others made of the object after it.
    pub fn again(&self) -> bool {
        self.again
    }

    /// How many mutations it has.
    pub fn mutations(&self) -> usize {
        self.mutations.len()
    }

    /// Whether it is about a request.
    pub fn meant(&self, inputs: &Inputs<'_>) -> Matched {
        self.conditions.judge_with(inputs, &self.variables)
    }

    /// What one of its mutations makes of the object in `inputs`; the error is upstream's text.
    pub fn mutate(
        &self,
        index: usize,
        inputs: &Inputs<'_>,
        schema: &TypeSchema,
        gvk: &Gvk,
    ) -> Result<Value, String> {
        let (Some(mutation), Some(object)) = (self.mutations.get(index), inputs.object) else {
            return Err("there is no object to mutate".to_owned());
        };
        let evaluation = Evaluation::new(inputs, &self.variables, PER_POLICY);
        let value = |expression: &Expression| match (expression.fault(), evaluation.run(expression))
        {
            (Some(fault), _) => Err(fault.to_owned()),
            (None, Ok(Ok(value))) => Ok(value.to_json()),
            (None, Ok(Err(why))) => Err(why),
            (None, Err(Spent)) => Err(SPENT.to_owned()),
        };
        match mutation {
            Mutation::Patch(expression) => {
                let operations = value(expression)?;
                match patch::json(object, operations.to_string().as_bytes()) {
                    Ok(patched) => Ok(patched),
                    // A test that fails means that there is nothing to do.
                    Err(PatchError::Rejected(why)) if why.contains("testing value") => {
                        Ok(object.clone())
                    }
                    Err(error) => Err(format!("JSONPath: {error}")),
                }
            }
            Mutation::Apply(expression, fault) => {
                let config = value(expression)?;
                if let Some(fault) = fault {
                    return Err(format!("type mismatch: {fault}"));
                }
                laid_over(object, config, schema, gvk)
                    .map_err(|why| format!("error applying patch: {why}"))
            }
        }
    }
}

/// The object with a configuration laid over it. Nobody becomes the manager of a field by that.
fn laid_over(
    object: &Value,
    mut config: Value,
    schema: &TypeSchema,
    gvk: &Gvk,
) -> Result<Value, String> {
    let atomics = atomics(schema, &config);
    if !atomics.is_empty() {
        return Err(format!(
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {}",
            atomics.join(", ")
        ));
    }
    config["apiVersion"] = gvk.api_version().into();
    config["kind"] = gvk.kind.into();
    let configuration = Configuration {
        schema,
        gvk: (gvk.group, gvk.version, gvk.kind),
        reset: &FieldSet::default(),
        author: Author {
            manager: "mutating-admission-policy",
            api_version: &gvk.api_version(),
            subresource: "",
            time: "",
        },
        force: true,
        config: &config,
    };
    let mut applied = configuration
        .apply(Some(object))
        .map_err(|status| status.message)?;
    let managers = object["metadata"].get("managedFields").cloned();
    if let Some(metadata) = applied["metadata"].as_object_mut() {
        restore(metadata, managers);
    }
    Ok(applied)
}

fn restore(metadata: &mut Map<String, Value>, managers: Option<Value>) {
    match managers {
        Some(managers) => metadata.insert("managedFields".to_owned(), managers),
        None => metadata.remove("managedFields"),
    };
}

/// The first part of an object that is made of another type than its place says.
fn misplaced(expr: &Expr, place: &str) -> Option<String> {
    match &expr.node {
        Node::Struct(name, _) if name != place => Some(format!(
            "unexpected type name {name:?}, expected {place:?}, which matches field name path from root Object type"
        )),
        Node::Struct(_, fields) => fields
            .iter()
            .find_map(|(field, value, _)| misplaced(value, &format!("{place}.{field}"))),
        Node::List(items) => items.iter().find_map(|(item, _)| misplaced(item, place)),
        Node::Call { name, args, .. } if name == "_?_:_" => {
            args[1..].iter().find_map(|arg| misplaced(arg, place))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::{Answer, Authorizer, Check};
    use crate::schema::schema_of;

    struct Nobody;

    impl Authorizer for Nobody {
        fn answer(&self, _: &Check) -> Answer {
            Answer {
                allowed: false,
                reason: String::new(),
            }
        }
    }

    fn made(mutation: &Value, object: &Value) -> Result<Value, String> {
        let policy = MutatingPolicy::compile(&json!({"mutations": [mutation]}));
        let request = json!({});
        let inputs = Inputs {
            object: Some(object),
            old_object: None,
            request: &request,
            namespace: None,
            params: None,
            authorizer: &Nobody,
        };
        let gvk = Gvk::of("apps", "v1", "Deployment");
        policy.mutate(
            0,
            &inputs,
            schema_of("apps", "v1", "Deployment").unwrap(),
            &gvk,
        )
    }

    fn applied(text: &str, object: &Value) -> Result<Value, String> {
        made(
            &json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}}),
            object,
        )
    }

    fn deployment() -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
            "template": {"spec": {"containers": [{"name": "a", "image": "x"}]}}}})
    }

    #[test]
    fn a_configuration_is_laid_over_the_object() {
        let text = "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{\
                    containers: object.spec.template.spec.containers.map(c, Object.spec.template.spec.containers{\
                    name: c.name, imagePullPolicy: 'Always'})}}}}";
        let object = applied(text, &deployment()).unwrap();
        assert_eq!(
            object["spec"]["template"]["spec"]["containers"],
            json!([{"name": "a", "image": "x", "imagePullPolicy": "Always"}])
        );
        assert!(object["metadata"].get("managedFields").is_none());
    }

    #[test]
    fn atomic_parts_are_not_laid_over_and_types_are_those_of_their_places() {
        let text =
            "Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'a': 'b'}}}}";
        assert_eq!(
            applied(text, &deployment()).unwrap_err(),
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.selector"
        );
        let text = "Object{spec: Object.other{}}";
        assert_eq!(
            applied(text, &deployment()).unwrap_err(),
            "type mismatch: unexpected type name \"Object.other\", expected \"Object.spec\", which matches field name \
             path from root Object type"
        );
    }

    #[test]
    fn a_patch_whose_test_fails_does_nothing() {
        let patch = |text: &str| {
            let mutation = json!({"patchType": "JSONPatch", "jsonPatch": {"expression": text}});
            made(&mutation, &deployment())
        };
        let tested = "[JSONPatch{op: 'test', path: '/metadata/name', value: 'other'}, \
                      JSONPatch{op: 'remove', path: '/spec'}]";
        assert_eq!(patch(tested), Ok(deployment()));
        let escaped = "[JSONPatch{op: 'add', path: '/metadata/labels', value: {}}, JSONPatch{op: 'add', \
                       path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'c'}]";
        assert_eq!(
            patch(escaped).unwrap()["metadata"]["labels"],
            json!({"a/b": "c"})
        );
        assert!(
            patch("[JSONPatch{op: 'remove', path: '/nowhere'}]")
                .unwrap_err()
                .starts_with("JSONPath: ")
        );
    }
}
