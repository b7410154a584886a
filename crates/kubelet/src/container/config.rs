//! Puts a container's configuration together. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use plinth_runtime::{ContainerConfig, Mount, Resources};

use super::{ConfigError, expand, security, unsupported};
use crate::plan::HASH_ANNOTATION;
use crate::spec;

/// What a configuration is made from, beside the specification.
pub(crate) struct ConfigInput<'a> {
    pub(crate) spec: &'a PodSpec,
    pub(crate) container: &'a Container,
    /// How many containers of this name the pod has had before.
    pub(crate) attempt: u32,
    /// Name or id of the image, already present.
    pub(crate) image: String,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) resources: Resources,
}

/// What the runtime is asked to run.
pub(crate) fn container_config(input: ConfigInput<'_>) -> Result<ContainerConfig, ConfigError> {
    let ConfigInput {
        spec,
        container,
        attempt,
        image,
        env,
        mounts,
        resources,
    } = input;
    if let Some(wish) = unsupported(spec, container) {
        return Err(ConfigError::Unsupported(wish));
    }
    let variables: BTreeMap<&str, &str> =
        env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expanded = |words: &Option<Vec<String>>| {
        let lookup = |name: &str| variables.get(name).map(|v| (*v).to_owned());
        words
            .iter()
            .flatten()
            .map(|word| expand(word, lookup))
            .collect::<Vec<_>>()
    };
    let mut config = ContainerConfig {
        name: container.name.clone(),
        attempt,
        image,
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone().filter(|d| !d.is_empty()),
        mounts,
        resources,
        log_path: PathBuf::from(&container.name).join(format!("{attempt}.log")),
        stop_signal: container
            .lifecycle
            .as_ref()
            .and_then(|l| l.stop_signal.clone()),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        annotations: [(HASH_ANNOTATION.to_owned(), spec::container_hash(container))].into(),
        ..ContainerConfig::default()
    };
    security::apply(spec, container, &mut config);
    config.env = env;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_arguments_see_the_environment_and_logs_count_attempts() {
        let spec: PodSpec = serde_json::from_value(serde_json::json!({"containers": [{
            "name": "c", "image": "kubia:v1", "command": ["/bin/$(PROG)"], "args": ["--name=$(NAME)", "$(NO)", "$$(NAME)"]}]}))
        .expect("spec");
        let config = container_config(ConfigInput {
            spec: &spec,
            container: &spec.containers[0],
            attempt: 2,
            image: "sha256:1".into(),
            env: vec![
                ("PROG".into(), "serve".into()),
                ("NAME".into(), "kubia-0".into()),
            ],
            mounts: Vec::new(),
            resources: Resources::default(),
        })
        .expect("configuration");
        assert_eq!(config.command, ["/bin/serve"]);
        assert_eq!(config.args, ["--name=kubia-0", "$(NO)", "$(NAME)"]);
        assert_eq!(config.log_path, PathBuf::from("c/2.log"));
        assert_eq!(
            config.annotations.get(HASH_ANNOTATION),
            Some(&spec::container_hash(&spec.containers[0]))
        );
    }
}
