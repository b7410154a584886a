//! Holds a policy's expressions to the types of the kinds it is about. What is found is told, and changes nothing.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::expressions::{Offers, Variables, scope};
use crate::cel::{Scope, Ty, compile};
use crate::resources::object::{list, text};
use crate::schema::{Type, TypeSchema};

/// At most this many kinds are looked at for one rule.
const KINDS: usize = 10;

/// A group, a version and a kind.
type Named = (String, String, String);

/// Whoever knows the kinds that are served.
pub trait Resolve {
    /// The kind that is served under a group, a version and a plural.
    fn kind(&self, group: &str, version: &str, plural: &str) -> Option<String>;
    /// The schema of a kind.
    fn schema(&self, group: &str, version: &str, kind: &str) -> Option<&'static TypeSchema>;
}

/// `status.typeChecking` of a policy.
pub fn type_check(spec: &Value, known: &dyn Resolve) -> Value {
    let mut kinds = Vec::new();
    for (group, version, kind) in kinds_of(spec, known) {
        if let Some(schema) = known.schema(&group, &version, &kind) {
            kinds.push(((group, version, kind), ty(schema)));
        }
    }
    let params = &spec["paramKind"];
    let (group, version) = split(text(params, "apiVersion"));
    let params = known.schema(group, version, text(params, "kind")).map(ty);
    let mut warnings = Vec::new();
    let mut check = |field: String, expression: &str| {
        let faults = kinds.iter().filter_map(|(named, ty)| {
            let why = compile(expression, &typed(spec, ty, params.as_ref())).err()?;
            Some(format!("{}: {why}\n", shown(named)))
        });
        let faults: Vec<String> = faults.collect();
        if !faults.is_empty() {
            warnings.push(json!({"fieldRef": field, "warning": faults.join("\n")}));
        }
    };
    for (index, validation) in list(spec, "validations").iter().enumerate() {
        for field in ["expression", "messageExpression"] {
            let expression = text(validation, field);
            if field == "expression" || !expression.is_empty() {
                check(format!("spec.validations[{index}].{field}"), expression);
            }
        }
    }
    if warnings.is_empty() {
        json!({})
    } else {
        json!({"expressionWarnings": warnings})
    }
}

/// The names expressions know, with types where those are known.
fn typed(spec: &Value, object: &Ty, params: Option<&Ty>) -> Scope {
    let mut scope = scope(Offers {
        params: params.is_some(),
        authorizer: true,
    });
    scope.insert("object".to_owned(), object.clone());
    scope.insert("oldObject".to_owned(), object.clone());
    if let Some(params) = params {
        scope.insert("params".to_owned(), params.clone());
    }
    Variables::read(spec, &mut scope);
    scope
}

fn ty(schema: &'static TypeSchema) -> Ty {
    match schema.custom {
        Some(custom) => Ty::of(custom.structural, schema.short_name(), true),
        None => Ty::of_table(&Type::Object(schema)),
    }
}

fn split(version: &str) -> (&str, &str) {
    version.split_once('/').unwrap_or(("", version))
}

fn shown((group, version, kind): &Named) -> String {
    if group.is_empty() {
        format!("/{version}, Kind={kind}")
    } else {
        format!("{group}/{version}, Kind={kind}")
    }
}

/// The kinds a policy's rules name. A rule with a wildcard names none.
fn kinds_of(spec: &Value, known: &dyn Resolve) -> BTreeSet<Named> {
    let mut kinds = BTreeSet::new();
    for rule in list(&spec["matchConstraints"], "resourceRules") {
        let texts = |field: &str| -> Vec<&str> {
            let mut texts: Vec<&str> = list(rule, field).iter().filter_map(Value::as_str).collect();
            texts.sort_unstable();
            texts
        };
        let (groups, versions) = (texts("apiGroups"), texts("apiVersions"));
        if groups
            .iter()
            .chain(&versions)
            .any(|text| text.contains('*'))
        {
            continue;
        }
        let resources = texts("resources").into_iter();
        let resources: Vec<&str> = resources
            .filter(|text| !text.contains(['*', '/']))
            .collect();
        let mut count = 0;
        for group in &groups {
            for version in &versions {
                for plural in &resources {
                    if let Some(kind) = known.kind(group, version, plural) {
                        kinds.insert(((*group).to_owned(), (*version).to_owned(), kind));
                        count += 1;
                        if count == KINDS {
                            return kinds;
                        }
                    }
                }
            }
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::schema_of;

    struct BuiltIn;

    impl Resolve for BuiltIn {
        fn kind(&self, group: &str, version: &str, plural: &str) -> Option<String> {
            crate::find(group, version, plural).map(|resource| resource.kind.to_owned())
        }

        fn schema(&self, group: &str, version: &str, kind: &str) -> Option<&'static TypeSchema> {
            schema_of(group, version, kind)
        }
    }

    #[test]
    fn expressions_are_held_to_the_kinds_they_are_about() {
        let spec = |expression: &str, resources: &[&str]| {
            json!({"matchConstraints": {"resourceRules": [
                {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": resources}]},
                "validations": [{"expression": expression}]})
        };
        let fine = spec("object.spec.replicas > 1", &["deployments", "*/scale"]);
        assert_eq!(type_check(&fine, &BuiltIn), json!({}));
        let wrong = spec("object.spec.size > 1", &["statefulsets", "deployments"]);
        let told = type_check(&wrong, &BuiltIn);
        let told = &told["expressionWarnings"][0];
        assert_eq!(told["fieldRef"], "spec.validations[0].expression");
        let place = "ERROR: <input>:1:12: undefined field 'size'\n | object.spec.size > 1\n | ...........^\n";
        assert_eq!(
            told["warning"],
            format!("apps/v1, Kind=Deployment: {place}\napps/v1, Kind=StatefulSet: {place}")
        );
    }
}
