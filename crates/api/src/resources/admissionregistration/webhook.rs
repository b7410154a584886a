//! What mutating and validating webhooks share: defaults and validation of one entry. Knows not what is called.

use std::collections::HashSet;

use serde_json::Value;

use super::matching;
use crate::admission::Offers;
use crate::field::{FieldError, Path};
use crate::names;
use crate::resources::object::{ensure, fill, inside, int, items, list, text};
use crate::resources::webhook_client;

const TIMEOUT: i64 = 10;
const TIMEOUT_MAX: i64 = 30;
/// Versions of the question that this server can ask.
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];
const SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];

/// Defaults of all webhooks; mutating ones may be asked again.
pub(super) fn default(object: &mut Value, mutating: bool) {
    for webhook in items(object, "webhooks") {
        fill(webhook, "failurePolicy", "Fail");
        fill(webhook, "matchPolicy", "Equivalent");
        ensure(webhook, "namespaceSelector");
        ensure(webhook, "objectSelector");
        fill(webhook, "timeoutSeconds", TIMEOUT);
        if mutating {
            fill(webhook, "reinvocationPolicy", "Never");
        }
        if let Some(service) = inside(ensure(webhook, "clientConfig"), "service") {
            fill(service, "port", 443);
        }
        matching::default_rules(webhook, "rules");
    }
}

/// Faults of all webhooks.
pub(super) fn validate(object: &Value, mutating: bool) -> Vec<FieldError> {
    let (path, mut errors, mut seen) = (Path::new("webhooks"), Vec::new(), HashSet::new());
    for (index, webhook) in list(object, "webhooks").iter().enumerate() {
        let at = path.index(index);
        errors.extend(one(webhook, &at, mutating));
        errors.extend(reviews(webhook, &at.child("admissionReviewVersions")));
        let name = text(webhook, "name");
        if !name.is_empty() && !seen.insert(name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
    }
    errors
}

fn one(webhook: &Value, path: &Path, mutating: bool) -> Vec<FieldError> {
    let mut errors = full_name(text(webhook, "name"), &path.child("name"));
    for (index, rule) in list(webhook, "rules").iter().enumerate() {
        errors.extend(matching::rule(rule, &path.child("rules").index(index)));
    }
    errors.extend(matching::failure_policy(webhook, path));
    errors.extend(matching::match_policy(webhook, path));
    let at = path.child("sideEffects");
    match text(webhook, "sideEffects") {
        "" => {
            let detail = format!("must specify one of {}", SIDE_EFFECTS.join(", "));
            errors.push(FieldError::required(&at, detail));
        }
        effects if SIDE_EFFECTS.contains(&effects) => {}
        effects => errors.push(FieldError::not_supported(&at, effects, &SIDE_EFFECTS)),
    }
    if let Some(seconds) = int(webhook, "timeoutSeconds").filter(|s| !(1..=TIMEOUT_MAX).contains(s))
    {
        let detail = format!("the timeout value must be between 1 and {TIMEOUT_MAX} seconds");
        let at = path.child("timeoutSeconds");
        errors.push(FieldError::invalid(&at, seconds, detail));
    }
    errors.extend(matching::selectors(webhook, path));
    if mutating {
        let (policy, set) = (text(webhook, "reinvocationPolicy"), &["IfNeeded", "Never"]);
        if !set.contains(&policy) {
            let at = path.child("reinvocationPolicy");
            errors.push(FieldError::not_supported(&at, policy, set));
        }
    }
    let client = &webhook["clientConfig"];
    errors.extend(webhook_client::faults(client, &path.child("clientConfig")));
    let at = path.child("matchConditions");
    let offers = Offers {
        params: false,
        authorizer: true,
    };
    errors.extend(matching::conditions(webhook, &at, offers));
    errors
}

fn full_name(name: &str, at: &Path) -> Vec<FieldError> {
    if name.is_empty() {
        return vec![FieldError::required(at, "")];
    }
    let faults = names::dns1123_subdomain(name, false);
    if !faults.is_empty() {
        return vec![FieldError::invalid(at, name, faults.join(","))];
    }
    if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        return vec![FieldError::invalid(at, name, detail)];
    }
    Vec::new()
}

fn reviews(webhook: &Value, path: &Path) -> Vec<FieldError> {
    let versions = list(webhook, "admissionReviewVersions");
    if versions.is_empty() {
        let detail = format!("must specify one of {}", REVIEWS.join(", "));
        return vec![FieldError::required(path, detail)];
    }
    let (mut errors, mut seen) = (Vec::new(), HashSet::new());
    for (index, version) in versions.iter().enumerate() {
        let (version, at) = (version.as_str().unwrap_or_default(), path.index(index));
        if !seen.insert(version) {
            errors.push(FieldError::invalid(&at, version, "duplicate version"));
            continue;
        }
        let faults = names::dns1035_label(version, false).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid(&at, version, fault)));
    }
    if !REVIEWS.iter().any(|known| seen.contains(known)) {
        let detail = format!("must include at least one of {}", REVIEWS.join(", "));
        errors.push(FieldError::invalid(path, versions.to_vec(), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    fn webhook() -> Value {
        json!({"name": "a.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"service": {"namespace": "n", "name": "s"}},
            "rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}]})
    }

    #[test]
    fn a_webhook_says_what_it_leaves_out() {
        let mut object = json!({"webhooks": [webhook()]});
        default(&mut object, true);
        let made = &object["webhooks"][0];
        assert_eq!(made["timeoutSeconds"], 10);
        assert_eq!(made["clientConfig"]["service"]["port"], 443);
        assert_eq!(made["rules"][0]["scope"], "*");
        assert_eq!(made["reinvocationPolicy"], "Never");
        assert!(validate(&object, true).is_empty());
    }

    #[test]
    fn names_effects_and_times_are_checked() {
        let mut bad = webhook();
        bad["name"] = "short".into();
        bad["sideEffects"] = "Some".into();
        bad["timeoutSeconds"] = 31.into();
        bad["admissionReviewVersions"] = json!(["v0"]);
        let mut object = json!({"webhooks": [bad]});
        default(&mut object, false);
        assert_eq!(
            texts(&validate(&object, false)),
            [
                r#"webhooks[0].name: Invalid value: "short": should be a domain with at least three segments separated by dots"#,
                r#"webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun""#,
                "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
                r#"webhooks[0].admissionReviewVersions: Invalid value: ["v0"]: must include at least one of v1, v1beta1"#,
            ]
        );
    }
}
