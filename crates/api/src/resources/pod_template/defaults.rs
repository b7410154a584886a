//! What a PodSpec gets when a client leaves it out (§5.1).

use serde_json::{Value, json};

use crate::resources::object::{canonical_amounts, ensure, fill, given, inside, items, put, text};

/// Volume sources that a volume may name; without any it is an `emptyDir`.
pub(super) const SOURCES: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "configMap",
    "fc",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "downwardAPI",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
    "workloadRef",
];

const PODS_MODE: i64 = 0o644;

/// Defaults of a PodTemplateSpec.
pub(crate) fn default_template(template: &mut Value) {
    ensure(template, "metadata");
    default_spec(ensure(template, "spec"));
}

/// Defaults of a PodSpec, wherever it stands.
pub(crate) fn default_spec(spec: &mut Value) {
    fill(spec, "dnsPolicy", "ClusterFirst");
    fill(spec, "restartPolicy", "Always");
    fill(spec, "securityContext", json!({}));
    fill(spec, "terminationGracePeriodSeconds", 30);
    fill(spec, "schedulerName", "default-scheduler");
    // The old name of the field is served beside the new one, and read when it stands alone.
    let account = match (
        text(spec, "serviceAccountName"),
        text(spec, "serviceAccount"),
    ) {
        ("", old) => old.to_owned(),
        (new, _) => new.to_owned(),
    };
    if !account.is_empty() {
        put(spec, "serviceAccountName", account.as_str().into());
        put(spec, "serviceAccount", account.into());
    }
    if let Some(resources) = inside(spec, "resources") {
        default_resources(resources);
    }
    canonical_amounts(spec, "overhead");
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items(spec, field) {
            default_container(container);
        }
    }
    for volume in items(spec, "volumes") {
        default_volume(volume);
    }
}

/// On the host's network a container's port is the host's port.
pub(crate) fn fill_host_ports(spec: &mut Value) {
    if spec["hostNetwork"] != true {
        return;
    }
    for field in ["initContainers", "containers"] {
        for container in items(spec, field) {
            for port in items(container, "ports") {
                if port["hostPort"].as_i64().unwrap_or(0) == 0 {
                    let number = port["containerPort"].clone();
                    put(port, "hostPort", number);
                }
            }
        }
    }
}

/// `Always` for images whose tag may move: `latest` or none, and no digest.
fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = image
        .split_once('@')
        .map_or((image, false), |(name, _)| (name, true));
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.split_once(':') {
        Some((_, tag)) if tag != "latest" => "IfNotPresent",
        None if digest || image.is_empty() => "IfNotPresent",
        _ => "Always",
    }
}

/// Canonical amounts; a limit without a request is also the request.
fn default_resources(resources: &mut Value) {
    canonical_amounts(resources, "limits");
    canonical_amounts(resources, "requests");
}

/// Copies limits to absent requests: done for pods, not for templates.
pub(crate) fn request_limits(spec: &mut Value) {
    for field in ["initContainers", "containers"] {
        for container in items(spec, field) {
            let Some(resources) = inside(container, "resources") else {
                continue;
            };
            let Some(limits) = resources["limits"].as_object().cloned() else {
                continue;
            };
            let requests = ensure(resources, "requests");
            for (name, amount) in limits {
                fill(requests, &name, amount);
            }
            if requests.as_object().is_some_and(serde_json::Map::is_empty) {
                put(resources, "requests", Value::Null);
            }
        }
    }
}

fn default_container(container: &mut Value) {
    let policy = pull_policy(text(container, "image"));
    fill(container, "imagePullPolicy", policy);
    fill(container, "terminationMessagePath", "/dev/termination-log");
    fill(container, "terminationMessagePolicy", "File");
    default_resources(ensure(container, "resources"));
    for port in items(container, "ports") {
        fill(port, "protocol", "TCP");
    }
    for variable in items(container, "env") {
        if let Some(source) = inside(variable, "valueFrom") {
            default_downward(source);
            if let Some(reference) = inside(source, "fileKeyRef") {
                fill(reference, "optional", false);
            }
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = inside(container, probe) {
            for (field, value) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                // A zero in the request is as good as none.
                if probe[field].as_i64().unwrap_or(0) == 0 {
                    put(probe, field, value.into());
                }
            }
            default_handler(probe);
        }
    }
    if let Some(lifecycle) = inside(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(hook) = inside(lifecycle, hook) {
                default_handler(hook);
            }
        }
    }
}

fn default_handler(handler: &mut Value) {
    if let Some(get) = inside(handler, "httpGet") {
        fill(get, "path", "/");
        fill(get, "scheme", "HTTP");
    }
    if let Some(grpc) = inside(handler, "grpc") {
        fill(grpc, "service", "");
    }
}

/// Defaults of a `fieldRef` or `resourceFieldRef` beside other sources.
fn default_downward(source: &mut Value) {
    if let Some(field) = inside(source, "fieldRef") {
        fill(field, "apiVersion", "v1");
    }
    if let Some(resource) = inside(source, "resourceFieldRef") {
        fill(resource, "divisor", "0");
    }
}

fn default_volume(volume: &mut Value) {
    if !SOURCES.iter().any(|source| given(volume, source)) {
        put(volume, "emptyDir", json!({}));
    }
    for source in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(source) = inside(volume, source) {
            fill(source, "defaultMode", PODS_MODE);
            for item in items(source, "items") {
                default_downward(item);
            }
        }
    }
    if let Some(projected) = inside(volume, "projected") {
        for source in items(projected, "sources") {
            if let Some(token) = inside(source, "serviceAccountToken") {
                fill(token, "expirationSeconds", 3600);
            }
            if let Some(downward) = inside(source, "downwardAPI") {
                for item in items(downward, "items") {
                    default_downward(item);
                }
            }
        }
    }
    if let Some(path) = inside(volume, "hostPath") {
        fill(path, "type", "");
    }
    if let Some(template) =
        inside(volume, "ephemeral").and_then(|e| inside(e, "volumeClaimTemplate"))
    {
        ensure(template, "metadata");
        super::super::core::persistentvolumeclaim::default_spec(ensure(template, "spec"));
    }
    if let Some(image) = inside(volume, "image") {
        let policy = pull_policy(text(image, "reference"));
        fill(image, "pullPolicy", policy);
    }
    if let Some(iscsi) = inside(volume, "iscsi") {
        fill(iscsi, "iscsiInterface", "default");
    }
    if let Some(rbd) = inside(volume, "rbd") {
        fill(rbd, "pool", "rbd");
        fill(rbd, "user", "admin");
        fill(rbd, "keyring", "/etc/ceph/keyring");
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("nginx", "Always")]
    #[case("nginx:latest", "Always")]
    #[case("nginx:1.25", "IfNotPresent")]
    #[case("registry:5000/team/nginx", "Always")]
    #[case("registry:5000/team/nginx:1", "IfNotPresent")]
    #[case("side@sha256:aaaa", "IfNotPresent")]
    #[case("nginx:latest@sha256:aaaa", "Always")]
    fn images_with_moving_tags_are_always_pulled(#[case] image: &str, #[case] policy: &str) {
        assert_eq!(pull_policy(image), policy);
    }

    #[test]
    fn a_minimal_spec_is_completed() {
        // §5.1
        let mut spec = json!({"containers": [{"name": "c", "image": "a/b:v1", "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "1.5", "memory": "1024Mi"}},
                "livenessProbe": {"httpGet": {"port": 80}}}],
            "volumes": [{"name": "v"}, {"name": "c", "configMap": {"name": "x"}}]});
        default_spec(&mut spec);
        assert_eq!(
            spec,
            json!({"containers": [{"name": "c", "image": "a/b:v1", "imagePullPolicy": "IfNotPresent",
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}},
                    "livenessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
                        "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
                "volumes": [{"name": "v", "emptyDir": {}}, {"name": "c", "configMap": {"name": "x", "defaultMode": 420}}],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                "securityContext": {}, "terminationGracePeriodSeconds": 30})
        );
        let once = spec.clone();
        default_spec(&mut spec);
        assert_eq!(spec, once, "defaulting is idempotent");
        request_limits(&mut spec);
        assert_eq!(
            spec["containers"][0]["resources"]["requests"],
            json!({"cpu": "1500m", "memory": "1Gi"})
        );
    }
}
