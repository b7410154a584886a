//! Pod specs under the names and in the order upstream prints them in refusals: its internal types, every field shown.
//! Knows the shape of those types and no rules.

use serde_json::{Map, Value};

use crate::resources::difference::Printed;
use crate::resources::object::ensure;

/// How a field is shown.
#[derive(Clone, Copy)]
enum Shape {
    /// A text, empty when absent.
    Text,
    /// A number, zero when absent.
    Number,
    /// A truth, false when absent.
    Truth,
    /// An amount, zero when absent.
    Amount,
    /// A scalar, list of scalars or map, null when absent.
    Optional,
    /// An object, null when absent.
    Pointer(&'static str),
    /// An object, shown whole when absent.
    Embedded(&'static str),
    /// A list of objects, null when absent.
    List(&'static str),
    /// A field of a type that prints itself, left out when absent.
    Given,
    /// A list of such types.
    GivenList(&'static str),
}

use Shape::{Amount, Embedded, Given, GivenList, List, Number, Optional, Pointer, Text, Truth};

/// Upstream's name, the API's name, the shape.
type Field = (&'static str, &'static str, Shape);

/// A pod's spec.
pub(crate) fn pod_spec(spec: &Value) -> Printed {
    shown("PodSpec", &with_host_settings(spec))
}

/// A pod template.
pub(crate) fn pod_template(template: &Value) -> Printed {
    let mut flat = metadata(&template["metadata"]);
    flat.push(("Spec".to_owned(), pod_spec(&template["spec"])));
    Printed::Object(flat)
}

/// A selector of labels, which prints itself.
pub(crate) fn label_selector(selector: &Value) -> Printed {
    shown("LabelSelector", selector)
}

/// An ephemeral container.
pub(crate) fn ephemeral_container(container: &Value) -> Printed {
    shown("EphemeralContainer", container)
}

/// The internal type keeps the settings of the host in the security context, which is always there.
fn with_host_settings(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let settings: Vec<_> = [
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "shareProcessNamespace",
        "hostUsers",
    ]
    .into_iter()
    .filter_map(|field| Some((field, spec.get(field)?.clone())))
    .collect();
    let context = ensure(&mut spec, "securityContext");
    for (field, value) in settings {
        context[field] = value;
    }
    spec
}

/// Metadata that is part of another object prints its fields there.
fn metadata(metadata: &Value) -> Vec<(String, Printed)> {
    let order = ["name", "labels", "annotations"];
    order
        .into_iter()
        .filter_map(|field| {
            Some((
                field.to_owned(),
                Printed::Value(metadata.get(field)?.clone()),
            ))
        })
        .collect()
}

fn shown(kind: &str, object: &Value) -> Printed {
    let mut fields = Vec::new();
    if kind == "PersistentVolumeClaimTemplate" {
        fields = metadata(&object["metadata"]);
    }
    for (name, field, shape) in fields_of(kind) {
        let value = object.get(*field).filter(|value| !value.is_null());
        let printed = match (shape, value) {
            (Given | GivenList(_), None) => continue,
            (Pointer(_) | List(_) | Optional, None) => Printed::Value(Value::Null),
            (Text, None) => Printed::Value("".into()),
            (Number, None) => Printed::Value(0.into()),
            (Truth, None) => Printed::Value(false.into()),
            (Amount, None) => Printed::Value("0".into()),
            (Embedded(kind), None) => shown(kind, &Value::Object(Map::new())),
            (Embedded(kind) | Pointer(kind), Some(value)) => shown(kind, value),
            (List(kind) | GivenList(kind), Some(value)) => Printed::List(
                value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|item| shown(kind, item))
                    .collect(),
            ),
            (Text | Number | Truth | Amount | Optional | Given, Some(value)) => {
                Printed::Value(value.clone())
            }
        };
        fields.push(((*name).to_owned(), printed));
    }
    Printed::Object(fields)
}

/// The fields of a type; none for a name that stands nowhere in the table.
fn fields_of(kind: &str) -> &'static [Field] {
    TYPES
        .iter()
        .find(|(name, _)| *name == kind)
        .map_or(&[], |(_, fields)| fields)
}

#[rustfmt::skip]
const TYPES: &[(&str, &[Field])] = &[
    ("PodSpec", &[("Volumes", "volumes", List("Volume")), ("InitContainers", "initContainers", List("Container")),
        ("Containers", "containers", List("Container")), ("EphemeralContainers", "ephemeralContainers", List("EphemeralContainer")),
        ("RestartPolicy", "restartPolicy", Text), ("TerminationGracePeriodSeconds", "terminationGracePeriodSeconds", Optional),
        ("ActiveDeadlineSeconds", "activeDeadlineSeconds", Optional), ("DNSPolicy", "dnsPolicy", Text),
        ("NodeSelector", "nodeSelector", Optional), ("ServiceAccountName", "serviceAccountName", Text),
        ("AutomountServiceAccountToken", "automountServiceAccountToken", Optional), ("NodeName", "nodeName", Text),
        ("SecurityContext", "securityContext", Pointer("PodSecurityContext")), ("ImagePullSecrets", "imagePullSecrets", List("Reference")),
        ("Hostname", "hostname", Text), ("Subdomain", "subdomain", Text), ("SetHostnameAsFQDN", "setHostnameAsFQDN", Optional),
        ("Affinity", "affinity", Pointer("Affinity")), ("SchedulerName", "schedulerName", Text), ("Tolerations", "tolerations", List("Toleration")),
        ("HostAliases", "hostAliases", List("HostAlias")), ("PriorityClassName", "priorityClassName", Text), ("Priority", "priority", Optional),
        ("PreemptionPolicy", "preemptionPolicy", Optional), ("DNSConfig", "dnsConfig", Pointer("DNSConfig")),
        ("ReadinessGates", "readinessGates", List("ReadinessGate")), ("RuntimeClassName", "runtimeClassName", Optional),
        ("Overhead", "overhead", Optional), ("EnableServiceLinks", "enableServiceLinks", Optional),
        ("TopologySpreadConstraints", "topologySpreadConstraints", List("Spread")), ("OS", "os", Pointer("Reference")),
        ("SchedulingGates", "schedulingGates", List("Reference")), ("ResourceClaims", "resourceClaims", List("PodResourceClaim")),
        ("Resources", "resources", Pointer("Resources")), ("HostnameOverride", "hostnameOverride", Optional),
        ("SchedulingGroup", "schedulingGroup", Pointer("SchedulingGroup"))]),
    ("PodSecurityContext", &[("HostNetwork", "hostNetwork", Truth), ("HostPID", "hostPID", Truth), ("HostIPC", "hostIPC", Truth),
        ("ShareProcessNamespace", "shareProcessNamespace", Optional), ("HostUsers", "hostUsers", Optional),
        ("SELinuxOptions", "seLinuxOptions", Pointer("SELinux")), ("WindowsOptions", "windowsOptions", Pointer("Windows")),
        ("RunAsUser", "runAsUser", Optional), ("RunAsGroup", "runAsGroup", Optional), ("RunAsNonRoot", "runAsNonRoot", Optional),
        ("SupplementalGroups", "supplementalGroups", Optional), ("SupplementalGroupsPolicy", "supplementalGroupsPolicy", Optional),
        ("FSGroup", "fsGroup", Optional), ("FSGroupChangePolicy", "fsGroupChangePolicy", Optional), ("Sysctls", "sysctls", List("Pair")),
        ("SeccompProfile", "seccompProfile", Pointer("Profile")), ("AppArmorProfile", "appArmorProfile", Pointer("Profile")),
        ("SELinuxChangePolicy", "seLinuxChangePolicy", Optional)]),
    ("SELinux", &[("User", "user", Text), ("Role", "role", Text), ("Type", "type", Text), ("Level", "level", Text)]),
    ("Windows", &[("GMSACredentialSpecName", "gmsaCredentialSpecName", Optional), ("GMSACredentialSpec", "gmsaCredentialSpec", Optional),
        ("RunAsUserName", "runAsUserName", Optional), ("HostProcess", "hostProcess", Optional)]),
    ("Profile", &[("Type", "type", Text), ("LocalhostProfile", "localhostProfile", Optional)]),
    ("Pair", &[("Name", "name", Text), ("Value", "value", Text)]),
    ("Reference", &[("Name", "name", Text)]),
    ("PodResourceClaim", &[("Name", "name", Text), ("ResourceClaimName", "resourceClaimName", Optional),
        ("ResourceClaimTemplateName", "resourceClaimTemplateName", Optional)]),
    ("SchedulingGroup", &[("PodGroupName", "podGroupName", Optional)]),
    ("HostAlias", &[("IP", "ip", Text), ("Hostnames", "hostnames", Optional)]),
    ("DNSConfig", &[("Nameservers", "nameservers", Optional), ("Searches", "searches", Optional), ("Options", "options", List("DNSOption"))]),
    ("DNSOption", &[("Name", "name", Text), ("Value", "value", Optional)]),
    ("ReadinessGate", &[("ConditionType", "conditionType", Text)]),
    ("Toleration", &[("Key", "key", Text), ("Operator", "operator", Text), ("Value", "value", Text), ("Effect", "effect", Text),
        ("TolerationSeconds", "tolerationSeconds", Optional)]),
    ("Spread", &[("MaxSkew", "maxSkew", Number), ("TopologyKey", "topologyKey", Text), ("WhenUnsatisfiable", "whenUnsatisfiable", Text),
        ("LabelSelector", "labelSelector", Pointer("LabelSelector")), ("MinDomains", "minDomains", Optional),
        ("NodeAffinityPolicy", "nodeAffinityPolicy", Optional), ("NodeTaintsPolicy", "nodeTaintsPolicy", Optional),
        ("MatchLabelKeys", "matchLabelKeys", Optional)]),
    ("Affinity", &[("NodeAffinity", "nodeAffinity", Pointer("NodeAffinity")), ("PodAffinity", "podAffinity", Pointer("PodAffinity")),
        ("PodAntiAffinity", "podAntiAffinity", Pointer("PodAffinity"))]),
    ("NodeAffinity", &[("RequiredDuringSchedulingIgnoredDuringExecution", "requiredDuringSchedulingIgnoredDuringExecution", Pointer("NodeSelector")),
        ("PreferredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution", List("PreferredNodes"))]),
    ("PreferredNodes", &[("Weight", "weight", Number), ("Preference", "preference", Embedded("NodeTerm"))]),
    ("NodeSelector", &[("NodeSelectorTerms", "nodeSelectorTerms", List("NodeTerm"))]),
    ("NodeTerm", &[("MatchExpressions", "matchExpressions", List("NodeRequirement")), ("MatchFields", "matchFields", List("NodeRequirement"))]),
    ("NodeRequirement", &[("Key", "key", Text), ("Operator", "operator", Text), ("Values", "values", Optional)]),
    ("PodAffinity", &[("RequiredDuringSchedulingIgnoredDuringExecution", "requiredDuringSchedulingIgnoredDuringExecution", List("PodTerm")),
        ("PreferredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution", List("WeightedTerm"))]),
    ("WeightedTerm", &[("Weight", "weight", Number), ("PodAffinityTerm", "podAffinityTerm", Embedded("PodTerm"))]),
    ("PodTerm", &[("LabelSelector", "labelSelector", Pointer("LabelSelector")), ("Namespaces", "namespaces", Optional),
        ("TopologyKey", "topologyKey", Text), ("NamespaceSelector", "namespaceSelector", Pointer("LabelSelector")),
        ("MatchLabelKeys", "matchLabelKeys", Optional), ("MismatchLabelKeys", "mismatchLabelKeys", Optional)]),
    ("LabelSelector", &[("matchLabels", "matchLabels", Given), ("matchExpressions", "matchExpressions", GivenList("LabelRequirement"))]),
    ("LabelRequirement", &[("key", "key", Text), ("operator", "operator", Text), ("values", "values", Given)]),
    ("Container", &[("Name", "name", Text), ("Image", "image", Text), ("Command", "command", Optional), ("Args", "args", Optional),
        ("WorkingDir", "workingDir", Text), ("Ports", "ports", List("Port")), ("EnvFrom", "envFrom", List("EnvFrom")), ("Env", "env", List("EnvVar")),
        ("Resources", "resources", Embedded("Resources")), ("ResizePolicy", "resizePolicy", List("ResizePolicy")),
        ("RestartPolicy", "restartPolicy", Optional), ("RestartPolicyRules", "restartPolicyRules", List("RestartRule")),
        ("VolumeMounts", "volumeMounts", List("Mount")), ("VolumeDevices", "volumeDevices", List("Device")),
        ("LivenessProbe", "livenessProbe", Pointer("Probe")), ("ReadinessProbe", "readinessProbe", Pointer("Probe")),
        ("StartupProbe", "startupProbe", Pointer("Probe")), ("Lifecycle", "lifecycle", Pointer("Lifecycle")),
        ("TerminationMessagePath", "terminationMessagePath", Text), ("TerminationMessagePolicy", "terminationMessagePolicy", Text),
        ("ImagePullPolicy", "imagePullPolicy", Text), ("SecurityContext", "securityContext", Pointer("SecurityContext")),
        ("Stdin", "stdin", Truth), ("StdinOnce", "stdinOnce", Truth), ("TTY", "tty", Truth)]),
    ("EphemeralContainer", &[("Name", "name", Text), ("Image", "image", Text), ("Command", "command", Optional), ("Args", "args", Optional),
        ("WorkingDir", "workingDir", Text), ("Ports", "ports", List("Port")), ("EnvFrom", "envFrom", List("EnvFrom")), ("Env", "env", List("EnvVar")),
        ("Resources", "resources", Embedded("Resources")), ("ResizePolicy", "resizePolicy", List("ResizePolicy")),
        ("RestartPolicy", "restartPolicy", Optional), ("RestartPolicyRules", "restartPolicyRules", List("RestartRule")),
        ("VolumeMounts", "volumeMounts", List("Mount")), ("VolumeDevices", "volumeDevices", List("Device")),
        ("LivenessProbe", "livenessProbe", Pointer("Probe")), ("ReadinessProbe", "readinessProbe", Pointer("Probe")),
        ("StartupProbe", "startupProbe", Pointer("Probe")), ("Lifecycle", "lifecycle", Pointer("Lifecycle")),
        ("TerminationMessagePath", "terminationMessagePath", Text), ("TerminationMessagePolicy", "terminationMessagePolicy", Text),
        ("ImagePullPolicy", "imagePullPolicy", Text), ("SecurityContext", "securityContext", Pointer("SecurityContext")),
        ("Stdin", "stdin", Truth), ("StdinOnce", "stdinOnce", Truth), ("TTY", "tty", Truth), ("TargetContainerName", "targetContainerName", Text)]),
    ("Port", &[("Name", "name", Text), ("HostPort", "hostPort", Number), ("ContainerPort", "containerPort", Number), ("Protocol", "protocol", Text),
        ("HostIP", "hostIP", Text)]),
    ("EnvFrom", &[("Prefix", "prefix", Text), ("ConfigMapRef", "configMapRef", Pointer("EnvSource")), ("SecretRef", "secretRef", Pointer("EnvSource"))]),
    ("EnvSource", &[("Name", "name", Text), ("Optional", "optional", Optional)]),
    ("EnvVar", &[("Name", "name", Text), ("Value", "value", Text), ("ValueFrom", "valueFrom", Pointer("ValueFrom"))]),
    ("ValueFrom", &[("FieldRef", "fieldRef", Pointer("FieldRef")), ("ResourceFieldRef", "resourceFieldRef", Pointer("ResourceRef")),
        ("ConfigMapKeyRef", "configMapKeyRef", Pointer("KeyRef")), ("SecretKeyRef", "secretKeyRef", Pointer("KeyRef")),
        ("FileKeyRef", "fileKeyRef", Pointer("FileRef"))]),
    ("FieldRef", &[("APIVersion", "apiVersion", Text), ("FieldPath", "fieldPath", Text)]),
    ("ResourceRef", &[("ContainerName", "containerName", Text), ("Resource", "resource", Text), ("Divisor", "divisor", Amount)]),
    ("KeyRef", &[("Name", "name", Text), ("Key", "key", Text), ("Optional", "optional", Optional)]),
    ("FileRef", &[("VolumeName", "volumeName", Text), ("Path", "path", Text), ("Key", "key", Text), ("Optional", "optional", Optional)]),
    ("Resources", &[("Limits", "limits", Optional), ("Requests", "requests", Optional), ("Claims", "claims", List("ResourceClaim"))]),
    ("ResourceClaim", &[("Name", "name", Text), ("Request", "request", Text)]),
    ("ResizePolicy", &[("ResourceName", "resourceName", Text), ("RestartPolicy", "restartPolicy", Text)]),
    ("RestartRule", &[("Action", "action", Text), ("ExitCodes", "exitCodes", Pointer("ExitCodes"))]),
    ("ExitCodes", &[("Operator", "operator", Text), ("Values", "values", Optional)]),
    ("Mount", &[("Name", "name", Text), ("ReadOnly", "readOnly", Truth), ("RecursiveReadOnly", "recursiveReadOnly", Optional),
        ("MountPath", "mountPath", Text), ("SubPath", "subPath", Text), ("MountPropagation", "mountPropagation", Optional),
        ("SubPathExpr", "subPathExpr", Text)]),
    ("Device", &[("Name", "name", Text), ("DevicePath", "devicePath", Text)]),
    ("Probe", &[("Exec", "exec", Pointer("Exec")), ("HTTPGet", "httpGet", Pointer("HTTPGet")), ("TCPSocket", "tcpSocket", Pointer("TCPSocket")),
        ("GRPC", "grpc", Pointer("GRPC")), ("InitialDelaySeconds", "initialDelaySeconds", Number), ("TimeoutSeconds", "timeoutSeconds", Number),
        ("PeriodSeconds", "periodSeconds", Number), ("SuccessThreshold", "successThreshold", Number), ("FailureThreshold", "failureThreshold", Number),
        ("TerminationGracePeriodSeconds", "terminationGracePeriodSeconds", Optional)]),
    ("Exec", &[("Command", "command", Optional)]),
    ("HTTPGet", &[("Path", "path", Text), ("Port", "port", Number), ("Host", "host", Text), ("Scheme", "scheme", Text),
        ("HTTPHeaders", "httpHeaders", List("Pair"))]),
    ("TCPSocket", &[("Port", "port", Number), ("Host", "host", Text)]),
    ("GRPC", &[("Port", "port", Number), ("Service", "service", Optional)]),
    ("Lifecycle", &[("PostStart", "postStart", Pointer("Hook")), ("PreStop", "preStop", Pointer("Hook")), ("StopSignal", "stopSignal", Optional)]),
    ("Hook", &[("Exec", "exec", Pointer("Exec")), ("HTTPGet", "httpGet", Pointer("HTTPGet")), ("TCPSocket", "tcpSocket", Pointer("TCPSocket")),
        ("Sleep", "sleep", Pointer("Sleep"))]),
    ("Sleep", &[("Seconds", "seconds", Number)]),
    ("SecurityContext", &[("Capabilities", "capabilities", Pointer("Capabilities")), ("Privileged", "privileged", Optional),
        ("SELinuxOptions", "seLinuxOptions", Pointer("SELinux")), ("WindowsOptions", "windowsOptions", Pointer("Windows")),
        ("RunAsUser", "runAsUser", Optional), ("RunAsGroup", "runAsGroup", Optional), ("RunAsNonRoot", "runAsNonRoot", Optional),
        ("ReadOnlyRootFilesystem", "readOnlyRootFilesystem", Optional), ("AllowPrivilegeEscalation", "allowPrivilegeEscalation", Optional),
        ("ProcMount", "procMount", Optional), ("SeccompProfile", "seccompProfile", Pointer("Profile")),
        ("AppArmorProfile", "appArmorProfile", Pointer("Profile"))]),
    ("Capabilities", &[("Add", "add", Optional), ("Drop", "drop", Optional)]),
    ("Volume", &[("Name", "name", Text), ("HostPath", "hostPath", Pointer("HostPath")), ("EmptyDir", "emptyDir", Pointer("EmptyDir")),
        ("GCEPersistentDisk", "gcePersistentDisk", Pointer("GCEDisk")), ("AWSElasticBlockStore", "awsElasticBlockStore", Pointer("AWSDisk")),
        ("GitRepo", "gitRepo", Pointer("GitRepo")), ("Secret", "secret", Pointer("SecretVolume")), ("NFS", "nfs", Pointer("NFS")),
        ("ISCSI", "iscsi", Pointer("ISCSI")), ("Glusterfs", "glusterfs", Pointer("Glusterfs")),
        ("PersistentVolumeClaim", "persistentVolumeClaim", Pointer("ClaimVolume")), ("RBD", "rbd", Pointer("RBD")),
        ("Quobyte", "quobyte", Pointer("Quobyte")), ("FlexVolume", "flexVolume", Pointer("FlexVolume")), ("Cinder", "cinder", Pointer("Cinder")),
        ("CephFS", "cephfs", Pointer("CephFS")), ("Flocker", "flocker", Pointer("Flocker")), ("DownwardAPI", "downwardAPI", Pointer("DownwardVolume")),
        ("FC", "fc", Pointer("FC")), ("AzureFile", "azureFile", Pointer("AzureFile")), ("ConfigMap", "configMap", Pointer("ConfigMapVolume")),
        ("VsphereVolume", "vsphereVolume", Pointer("Vsphere")), ("AzureDisk", "azureDisk", Pointer("AzureDisk")),
        ("PhotonPersistentDisk", "photonPersistentDisk", Pointer("Photon")), ("Projected", "projected", Pointer("ProjectedVolume")),
        ("PortworxVolume", "portworxVolume", Pointer("Portworx")), ("ScaleIO", "scaleIO", Pointer("ScaleIO")),
        ("StorageOS", "storageos", Pointer("StorageOS")), ("CSI", "csi", Pointer("CSI")), ("Ephemeral", "ephemeral", Pointer("EphemeralVolume")),
        ("Image", "image", Pointer("ImageVolume"))]),
    ("HostPath", &[("Path", "path", Text), ("Type", "type", Optional)]),
    ("EmptyDir", &[("Medium", "medium", Text), ("SizeLimit", "sizeLimit", Optional)]),
    ("GCEDisk", &[("PDName", "pdName", Text), ("FSType", "fsType", Text), ("Partition", "partition", Number), ("ReadOnly", "readOnly", Truth)]),
    ("AWSDisk", &[("VolumeID", "volumeID", Text), ("FSType", "fsType", Text), ("Partition", "partition", Number), ("ReadOnly", "readOnly", Truth)]),
    ("GitRepo", &[("Repository", "repository", Text), ("Revision", "revision", Text), ("Directory", "directory", Text)]),
    ("SecretVolume", &[("SecretName", "secretName", Text), ("Items", "items", List("KeyToPath")), ("DefaultMode", "defaultMode", Optional),
        ("Optional", "optional", Optional)]),
    ("KeyToPath", &[("Key", "key", Text), ("Path", "path", Text), ("Mode", "mode", Optional)]),
    ("NFS", &[("Server", "server", Text), ("Path", "path", Text), ("ReadOnly", "readOnly", Truth)]),
    ("ISCSI", &[("TargetPortal", "targetPortal", Text), ("IQN", "iqn", Text), ("Lun", "lun", Number), ("ISCSIInterface", "iscsiInterface", Text),
        ("FSType", "fsType", Text), ("ReadOnly", "readOnly", Truth), ("Portals", "portals", Optional), ("DiscoveryCHAPAuth", "chapAuthDiscovery", Truth),
        ("SessionCHAPAuth", "chapAuthSession", Truth), ("SecretRef", "secretRef", Pointer("Reference")), ("InitiatorName", "initiatorName", Optional)]),
    ("Glusterfs", &[("EndpointsName", "endpoints", Text), ("Path", "path", Text), ("ReadOnly", "readOnly", Truth)]),
    ("ClaimVolume", &[("ClaimName", "claimName", Text), ("ReadOnly", "readOnly", Truth)]),
    ("RBD", &[("CephMonitors", "monitors", Optional), ("RBDImage", "image", Text), ("FSType", "fsType", Text), ("RBDPool", "pool", Text),
        ("RadosUser", "user", Text), ("Keyring", "keyring", Text), ("SecretRef", "secretRef", Pointer("Reference")), ("ReadOnly", "readOnly", Truth)]),
    ("Quobyte", &[("Registry", "registry", Text), ("Volume", "volume", Text), ("ReadOnly", "readOnly", Truth), ("User", "user", Text),
        ("Group", "group", Text), ("Tenant", "tenant", Text)]),
    ("FlexVolume", &[("Driver", "driver", Text), ("FSType", "fsType", Text), ("SecretRef", "secretRef", Pointer("Reference")),
        ("ReadOnly", "readOnly", Truth), ("Options", "options", Optional)]),
    ("Cinder", &[("VolumeID", "volumeID", Text), ("FSType", "fsType", Text), ("ReadOnly", "readOnly", Truth), ("SecretRef", "secretRef", Pointer("Reference"))]),
    ("CephFS", &[("Monitors", "monitors", Optional), ("Path", "path", Text), ("User", "user", Text), ("SecretFile", "secretFile", Text),
        ("SecretRef", "secretRef", Pointer("Reference")), ("ReadOnly", "readOnly", Truth)]),
    ("Flocker", &[("DatasetName", "datasetName", Text), ("DatasetUUID", "datasetUUID", Text)]),
    ("DownwardVolume", &[("Items", "items", List("DownwardFile")), ("DefaultMode", "defaultMode", Optional)]),
    ("DownwardFile", &[("Path", "path", Text), ("FieldRef", "fieldRef", Pointer("FieldRef")), ("ResourceFieldRef", "resourceFieldRef", Pointer("ResourceRef")),
        ("Mode", "mode", Optional)]),
    ("FC", &[("TargetWWNs", "targetWWNs", Optional), ("Lun", "lun", Optional), ("FSType", "fsType", Text), ("ReadOnly", "readOnly", Truth),
        ("WWIDs", "wwids", Optional)]),
    ("AzureFile", &[("SecretName", "secretName", Text), ("ShareName", "shareName", Text), ("ReadOnly", "readOnly", Truth)]),
    ("ConfigMapVolume", &[("Name", "name", Text), ("Items", "items", List("KeyToPath")), ("DefaultMode", "defaultMode", Optional),
        ("Optional", "optional", Optional)]),
    ("Vsphere", &[("VolumePath", "volumePath", Text), ("FSType", "fsType", Text), ("StoragePolicyName", "storagePolicyName", Text),
        ("StoragePolicyID", "storagePolicyID", Text)]),
    ("AzureDisk", &[("DiskName", "diskName", Text), ("DataDiskURI", "diskURI", Text), ("CachingMode", "cachingMode", Optional),
        ("FSType", "fsType", Optional), ("ReadOnly", "readOnly", Optional), ("Kind", "kind", Optional)]),
    ("Photon", &[("PdID", "pdID", Text), ("FSType", "fsType", Text)]),
    ("ProjectedVolume", &[("Sources", "sources", List("Projection")), ("DefaultMode", "defaultMode", Optional)]),
    ("Projection", &[("Secret", "secret", Pointer("KeyProjection")), ("DownwardAPI", "downwardAPI", Pointer("DownwardProjection")),
        ("ConfigMap", "configMap", Pointer("KeyProjection")), ("ServiceAccountToken", "serviceAccountToken", Pointer("TokenProjection")),
        ("ClusterTrustBundle", "clusterTrustBundle", Pointer("TrustProjection")), ("PodCertificate", "podCertificate", Pointer("CertificateProjection"))]),
    ("KeyProjection", &[("Name", "name", Text), ("Items", "items", List("KeyToPath")), ("Optional", "optional", Optional)]),
    ("DownwardProjection", &[("Items", "items", List("DownwardFile"))]),
    ("TokenProjection", &[("Audience", "audience", Text), ("ExpirationSeconds", "expirationSeconds", Number), ("Path", "path", Text)]),
    ("TrustProjection", &[("Name", "name", Optional), ("SignerName", "signerName", Optional), ("LabelSelector", "labelSelector", Pointer("LabelSelector")),
        ("Optional", "optional", Optional), ("Path", "path", Text)]),
    ("CertificateProjection", &[("SignerName", "signerName", Text), ("KeyType", "keyType", Text), ("MaxExpirationSeconds", "maxExpirationSeconds", Optional),
        ("CredentialBundlePath", "credentialBundlePath", Text), ("KeyPath", "keyPath", Text), ("CertificateChainPath", "certificateChainPath", Text),
        ("UserAnnotations", "userAnnotations", Optional)]),
    ("Portworx", &[("VolumeID", "volumeID", Text), ("FSType", "fsType", Text), ("ReadOnly", "readOnly", Truth)]),
    ("ScaleIO", &[("Gateway", "gateway", Text), ("System", "system", Text), ("SecretRef", "secretRef", Pointer("Reference")), ("SSLEnabled", "sslEnabled", Truth),
        ("ProtectionDomain", "protectionDomain", Text), ("StoragePool", "storagePool", Text), ("StorageMode", "storageMode", Text),
        ("VolumeName", "volumeName", Text), ("FSType", "fsType", Text), ("ReadOnly", "readOnly", Truth)]),
    ("StorageOS", &[("VolumeName", "volumeName", Text), ("VolumeNamespace", "volumeNamespace", Text), ("FSType", "fsType", Text),
        ("ReadOnly", "readOnly", Truth), ("SecretRef", "secretRef", Pointer("Reference"))]),
    ("CSI", &[("Driver", "driver", Text), ("ReadOnly", "readOnly", Optional), ("FSType", "fsType", Optional), ("VolumeAttributes", "volumeAttributes", Optional),
        ("NodePublishSecretRef", "nodePublishSecretRef", Pointer("Reference"))]),
    ("EphemeralVolume", &[("VolumeClaimTemplate", "volumeClaimTemplate", Pointer("PersistentVolumeClaimTemplate"))]),
    ("ImageVolume", &[("Reference", "reference", Text), ("PullPolicy", "pullPolicy", Text)]),
    ("PersistentVolumeClaimTemplate", &[("Spec", "spec", Embedded("ClaimSpec"))]),
    ("ClaimSpec", &[("AccessModes", "accessModes", Optional), ("Selector", "selector", Pointer("LabelSelector")),
        ("Resources", "resources", Embedded("ClaimResources")), ("VolumeName", "volumeName", Text), ("StorageClassName", "storageClassName", Optional),
        ("VolumeMode", "volumeMode", Optional), ("DataSource", "dataSource", Pointer("TypedReference")),
        ("DataSourceRef", "dataSourceRef", Pointer("NamespacedReference")), ("VolumeAttributesClassName", "volumeAttributesClassName", Optional)]),
    ("ClaimResources", &[("Limits", "limits", Optional), ("Requests", "requests", Optional)]),
    ("TypedReference", &[("APIGroup", "apiGroup", Optional), ("Kind", "kind", Text), ("Name", "name", Text)]),
    ("NamespacedReference", &[("APIGroup", "apiGroup", Optional), ("Kind", "kind", Text), ("Name", "name", Text), ("Namespace", "namespace", Optional)]),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_of_the_table_is_in_it() {
        for (kind, fields) in TYPES {
            for (name, _, shape) in *fields {
                if let Pointer(of) | Embedded(of) | List(of) | GivenList(of) = shape {
                    assert!(!fields_of(of).is_empty(), "{kind}.{name}: {of}");
                }
            }
        }
    }

    #[test]
    fn fields_of_the_api_are_all_shown() {
        // Fields that upstream's internal types do not have, or keep elsewhere.
        let elsewhere = [
            "serviceAccount",
            "hostNetwork",
            "hostPID",
            "hostIPC",
            "shareProcessNamespace",
            "hostUsers",
        ];
        for (kind, of) in [
            ("PodSpec", "PodSpec"),
            ("Container", "Container"),
            ("Volume", "Volume"),
            ("Probe", "Probe"),
        ] {
            let schema = crate::schema::type_named(&format!("io.k8s.api.core.v1.{kind}")).unwrap();
            for field in schema
                .fields
                .iter()
                .filter(|field| !elsewhere.contains(&field.name))
            {
                assert!(
                    fields_of(of).iter().any(|(_, name, _)| *name == field.name),
                    "{kind}.{}",
                    field.name
                );
            }
        }
    }

    #[test]
    fn absent_fields_are_shown_as_what_they_are() {
        let spec = json!({"hostNetwork": true, "containers": [{"name": "c", "livenessProbe": {"tcpSocket": {"port": "a"}}}],
            "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"selector": {"matchLabels": {"x": "y"}}}}}}]});
        let text = pod_spec(&spec).compact();
        for part in [
            "{\"Volumes\":[{\"Name\":\"v\",\"HostPath\":null,",
            "{\"labels\":{\"a\":\"b\"},\"Spec\":{\"AccessModes\":null,\"Selector\":{\"matchLabels\":{\"x\":\"y\"}},\"Resources\":{\"Limits\":null,\"Requests\":null}",
            "\"LivenessProbe\":{\"Exec\":null,\"HTTPGet\":null,\"TCPSocket\":{\"Port\":\"a\",\"Host\":\"\"},\"GRPC\":null,\"InitialDelaySeconds\":0",
            "\"SecurityContext\":{\"HostNetwork\":true,\"HostPID\":false",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
