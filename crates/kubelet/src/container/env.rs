//! A container's environment from values, references and whole objects. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, Secret};

use super::{ConfigError, Facts, expand, pod_field, resource_field};

/// The ConfigMaps and Secrets a container's environment refers to, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct References {
    pub(crate) config_maps: BTreeSet<String>,
    pub(crate) secrets: BTreeSet<String>,
}

/// What must be fetched before [`environment`] can be asked.
pub(crate) fn references(container: &Container) -> References {
    let mut found = References::default();
    for source in container.env_from.iter().flatten() {
        found
            .config_maps
            .extend(source.config_map_ref.as_ref().map(|r| r.name.clone()));
        found
            .secrets
            .extend(source.secret_ref.as_ref().map(|r| r.name.clone()));
    }
    for from in container
        .env
        .iter()
        .flatten()
        .filter_map(|v| v.value_from.as_ref())
    {
        found
            .config_maps
            .extend(from.config_map_key_ref.as_ref().map(|r| r.name.clone()));
        found
            .secrets
            .extend(from.secret_key_ref.as_ref().map(|r| r.name.clone()));
    }
    found
}

/// What an environment is made from.
pub(crate) struct Environment<'a> {
    pub(crate) container: &'a Container,
    pub(crate) facts: &'a Facts<'a>,
    /// Those that exist of [`references`].
    pub(crate) config_maps: &'a BTreeMap<String, ConfigMap>,
    /// Those that exist of [`references`].
    pub(crate) secrets: &'a BTreeMap<String, Secret>,
    /// Lowest in rank; anything the container says wins.
    pub(crate) services: &'a [(String, String)],
}

/// The variables in order of definition; a later one has replaced an earlier one of the same name.
pub(crate) fn environment(of: &Environment<'_>) -> Result<Vec<(String, String)>, ConfigError> {
    let mut variables = of.services.to_vec();
    let mut own: BTreeMap<String, String> = BTreeMap::new();
    for source in of.container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let mut found = Vec::new();
        if let Some(reference) = &source.config_map_ref {
            match of.config_maps.get(&reference.name) {
                Some(map) => found.extend(map.data.clone().unwrap_or_default()),
                None if reference.optional == Some(true) => {}
                None => return Err(ConfigError::NoConfigMap(reference.name.clone())),
            }
        }
        if let Some(reference) = &source.secret_ref {
            match of.secrets.get(&reference.name) {
                Some(secret) => {
                    for (key, value) in secret.data.iter().flatten() {
                        found.push((key.clone(), text("Secret", key, &value.0)?));
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(ConfigError::NoSecret(reference.name.clone())),
            }
        }
        for (key, value) in found {
            own.insert(format!("{prefix}{key}"), value.clone());
            variables.push((format!("{prefix}{key}"), value));
        }
    }
    for variable in of.container.env.iter().flatten() {
        let lookup = |name: &str| {
            let service = || {
                of.services
                    .iter()
                    .rev()
                    .find(|(k, _)| k == name)
                    .map(|(_, v)| v)
            };
            own.get(name).or_else(service).cloned()
        };
        let value = match of.value(variable)? {
            Some(value) => value,
            None if variable.value_from.is_some() => continue,
            None => expand(variable.value.as_deref().unwrap_or_default(), lookup),
        };
        own.insert(variable.name.clone(), value.clone());
        variables.push((variable.name.clone(), value));
    }
    Ok(last_wins(variables))
}

impl Environment<'_> {
    /// The value a reference yields; `None` for a plain variable or an optional reference to nothing.
    fn value(&self, variable: &EnvVar) -> Result<Option<String>, ConfigError> {
        let Some(from) = &variable.value_from else {
            return Ok(None);
        };
        if let Some(field) = &from.field_ref {
            return Ok(Some(pod_field(self.facts, &field.field_path)?));
        }
        if let Some(selector) = &from.resource_field_ref {
            return Ok(Some(resource_field(self.facts, self.container, selector)?));
        }
        if let Some(r) = &from.config_map_key_ref {
            let Some(map) = self.config_maps.get(&r.name) else {
                return if r.optional == Some(true) {
                    Ok(None)
                } else {
                    Err(ConfigError::NoConfigMap(r.name.clone()))
                };
            };
            if let Some(value) = map.data.as_ref().and_then(|d| d.get(&r.key)) {
                return Ok(Some(value.clone()));
            }
            return self.missing("ConfigMap", &r.name, &r.key, r.optional);
        }
        if let Some(r) = &from.secret_key_ref {
            let Some(secret) = self.secrets.get(&r.name) else {
                return if r.optional == Some(true) {
                    Ok(None)
                } else {
                    Err(ConfigError::NoSecret(r.name.clone()))
                };
            };
            if let Some(value) = secret.data.as_ref().and_then(|d| d.get(&r.key)) {
                return Ok(Some(text("Secret", &r.key, &value.0)?));
            }
            return self.missing("Secret", &r.name, &r.key, r.optional);
        }
        Err(ConfigError::Unsupported(format!(
            "the source of variable {}",
            variable.name
        )))
    }

    fn missing(
        &self,
        kind: &'static str,
        name: &str,
        key: &str,
        optional: Option<bool>,
    ) -> Result<Option<String>, ConfigError> {
        if optional == Some(true) {
            return Ok(None);
        }
        let namespace = self
            .facts
            .pod
            .metadata
            .namespace
            .clone()
            .unwrap_or_default();
        Err(ConfigError::NoKey {
            kind,
            namespace,
            name: name.to_owned(),
            key: key.to_owned(),
        })
    }
}

fn text(kind: &'static str, key: &str, bytes: &[u8]) -> Result<String, ConfigError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ConfigError::NotText {
        kind,
        key: key.to_owned(),
    })
}

fn last_wins(variables: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<_> = variables
        .into_iter()
        .rev()
        .filter(|(name, _)| seen.insert(name.clone()))
        .collect();
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Amounts;
    use crate::status::Addresses;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    fn resolve(container: Value, config: &Value, secret: &Value) -> Result<Vec<String>, String> {
        let mut container = container;
        container["name"] = json!("c");
        let container: Container = serde_json::from_value(container).expect("container");
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "web-0", "namespace": "ns"}}))
                .expect("pod");
        let facts = Facts {
            pod: &pod,
            addresses: &Addresses::default(),
            allocatable: &Amounts::new(),
        };
        let config_maps = if config.is_null() {
            BTreeMap::new()
        } else {
            [(
                "cm".to_owned(),
                serde_json::from_value(json!({"data": config})).expect("map"),
            )]
            .into()
        };
        let secrets = if secret.is_null() {
            BTreeMap::new()
        } else {
            [(
                "s".to_owned(),
                serde_json::from_value(json!({"data": secret})).expect("secret"),
            )]
            .into()
        };
        let services = [("DB_SERVICE_HOST".to_owned(), "10.96.0.5".to_owned())];
        let of = Environment {
            container: &container,
            facts: &facts,
            config_maps: &config_maps,
            secrets: &secrets,
            services: &services,
        };
        let variables = environment(&of).map_err(|e| e.to_string())?;
        Ok(variables
            .into_iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect())
    }

    #[test]
    fn later_definitions_win_and_see_earlier_ones() {
        let container = json!({
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "s"}}],
            "env": [
                {"name": "A", "value": "1"},
                {"name": "B", "value": "$(A)-$(P_x)-$(LATER)-$(DB_SERVICE_HOST)"},
                {"name": "LATER", "value": "z"},
                {"name": "A", "value": "2"},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "x"}}},
                {"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
                {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "no", "key": "k", "optional": true}}},
            ],
        });
        let got = resolve(
            container,
            &json!({"x": "cmx"}),
            &json!({"token": "c2VjcmV0"}),
        )
        .expect("environment");
        assert_eq!(
            got,
            [
                "DB_SERVICE_HOST=10.96.0.5",
                "P_x=cmx",
                "token=secret",
                "B=1-cmx-$(LATER)-10.96.0.5",
                "LATER=z",
                "A=2",
                "POD=web-0",
                "K=cmx",
                "T=secret",
            ]
        );
    }

    #[test]
    fn what_is_missing_is_named_as_upstream_names_it() {
        let key = |source: Value| json!({"env": [{"name": "V", "valueFrom": source}]});
        let config =
            |key_name: &str| key(json!({"configMapKeyRef": {"name": "cm", "key": key_name}}));
        assert_eq!(
            resolve(config("k"), &Value::Null, &Value::Null),
            Err("configmap \"cm\" not found".into())
        );
        assert_eq!(
            resolve(config("k"), &json!({}), &Value::Null),
            Err("couldn't find key k in ConfigMap ns/cm".into())
        );
        let secret = key(json!({"secretKeyRef": {"name": "s", "key": "k"}}));
        assert_eq!(
            resolve(secret.clone(), &Value::Null, &Value::Null),
            Err("secret \"s\" not found".into())
        );
        assert_eq!(
            resolve(secret, &Value::Null, &json!({})),
            Err("couldn't find key k in Secret ns/s".into())
        );
        let whole = json!({"envFrom": [{"configMapRef": {"name": "cm"}}]});
        assert_eq!(
            resolve(whole, &Value::Null, &Value::Null),
            Err("configmap \"cm\" not found".into())
        );
    }
}
