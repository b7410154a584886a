//! Nobody may give what they do not have: roles are written, and bound, only by those who hold all of their permissions,
//! or who are allowed to `escalate` or to `bind`.

use plinth_api::Status;
use serde_json::Value;

use super::rbac::Rule;
use super::{Attributes, Subject};
use crate::authentication::UserInfo;
use crate::kind::Kind;
use crate::server::Core;
use crate::write::meta_text;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Says no to a new role or binding, or to a change of one, that would give its author more than they have.
pub(crate) fn check(
    core: &Core,
    user: &UserInfo,
    kind: &Kind,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    let resource = kind.resource;
    if resource.group != GROUP || user.is_master() {
        return Ok(());
    }
    let (namespace, name) = (meta_text(new, "namespace"), meta_text(new, "name"));
    let may = |verb: &str, resource: &str, name: &str| {
        core.decide(&Attributes {
            user,
            verb,
            subject: Subject::Resource {
                group: GROUP,
                resource,
                subresource: "",
                namespace,
                name,
            },
            selectors: None,
        })
        .allowed
    };
    let refuse = |why: &str| Err(Status::forbidden(resource, name, why));
    match resource.plural {
        "roles" | "clusterroles" => {
            let same = |field: &str| old.is_some_and(|old| old[field] == new[field]);
            if same("rules") && same("aggregationRule")
                || may("escalate", resource.plural, old.map_or("", |_| name))
            {
                return Ok(());
            }
            if !new["aggregationRule"].is_null()
                && lacking(core, user, namespace, &everything()).is_some()
            {
                return refuse("must have cluster-admin privileges to use an aggregationRule");
            }
            match lacking(core, user, namespace, &Rule::list(&new["rules"])) {
                None => Ok(()),
                Some(why) => refuse(&why),
            }
        }
        _ => {
            let text = |field: &str| new["roleRef"][field].as_str().unwrap_or_default();
            let (role_kind, role) = (text("kind"), text("name"));
            let roles = if role_kind == "ClusterRole" {
                "clusterroles"
            } else {
                "roles"
            };
            if may("bind", roles, role) {
                return Ok(());
            }
            let Some(rules) = core.rbac.rules_of(namespace, role_kind, role) else {
                return Err(Status::not_found(resource, role));
            };
            match lacking(core, user, namespace, &rules) {
                None => Ok(()),
                Some(why) => refuse(&why),
            }
        }
    }
}

fn everything() -> [Rule; 2] {
    let all = || vec!["*".to_owned()];
    [
        Rule {
            verbs: all(),
            api_groups: all(),
            resources: all(),
            ..Rule::default()
        },
        Rule {
            verbs: all(),
            urls: all(),
            ..Rule::default()
        },
    ]
}

/// What of these rules somebody does not have, in words.
fn lacking(core: &Core, user: &UserInfo, namespace: &str, rules: &[Rule]) -> Option<String> {
    let mut held: Vec<Rule> = Vec::new();
    core.rbac.visit(user, namespace, |_, rules| {
        held.extend_from_slice(rules);
        true
    });
    let mut lines: Vec<String> = Rule::beyond(&held, rules)
        .iter()
        .map(ToString::to_string)
        .collect();
    if lines.is_empty() {
        return None;
    }
    lines.sort();
    let groups: Vec<String> = user.groups.iter().map(|g| format!("{g:?}")).collect();
    Some(format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        groups.join(" "),
        lines.join("\n")
    ))
}
