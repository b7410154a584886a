//! Which values a text field may have, for `kubectl explain`. Checking them is the business of each kind's
//! validation, which this module does not know.

const ACCESS_MODES: &[&str] = &[
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];
const EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "PreferNoSchedule"];
const NODES: &[&str] = &["Honor", "Ignore"];
const PROFILES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const PULL: &[&str] = &["Always", "IfNotPresent", "Never"];
const RECLAIM: &[&str] = &["Delete", "Recycle", "Retain"];
const ROUTING: &[&str] = &["Cluster", "Local"];
const SCOPES: &[&str] = &[
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
const TERMINATION: &[&str] = &["FallbackToLogsOnError", "File"];
const USAGES: &[&str] = crate::resources::CERTIFICATE_USAGES;
const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];

/// The values of a field, of the items of a list or of the values of a map; empty when any text will do.
pub(super) fn of_field(name: &str, field: &str) -> &'static [&'static str] {
    // Kinds of other servers than the main one have no `.api.` in their names.
    let parts = name
        .split_once(".api.")
        .or_else(|| name.split_once(".pkg.apis."));
    let Some((_, short)) = parts else {
        return &[];
    };
    match (short, field) {
        ("apiextensions.v1.ValidationRule", "reason") => &[
            "FieldValueDuplicate",
            "FieldValueForbidden",
            "FieldValueInvalid",
            "FieldValueRequired",
        ],
        ("apps.v1.DaemonSetUpdateStrategy" | "apps.v1.StatefulSetUpdateStrategy", "type") => {
            &["OnDelete", "RollingUpdate"]
        }
        ("apps.v1.DeploymentStrategy", "type") => &["Recreate", "RollingUpdate"],
        (
            "admissionregistration.v1.MatchResources"
            | "admissionregistration.v1.MutatingWebhook"
            | "admissionregistration.v1.ValidatingWebhook",
            "matchPolicy",
        ) => &["Equivalent", "Exact"],
        (
            "admissionregistration.v1.MutatingAdmissionPolicySpec"
            | "admissionregistration.v1.MutatingWebhook"
            | "admissionregistration.v1.ValidatingAdmissionPolicySpec"
            | "admissionregistration.v1.ValidatingWebhook",
            "failurePolicy",
        ) => &["Fail", "Ignore"],
        (
            "admissionregistration.v1.MutatingAdmissionPolicySpec"
            | "admissionregistration.v1.MutatingWebhook",
            "reinvocationPolicy",
        ) => &["IfNeeded", "Never"],
        (
            "admissionregistration.v1.MutatingWebhook"
            | "admissionregistration.v1.ValidatingWebhook",
            "sideEffects",
        ) => &["None", "NoneOnDryRun", "Some", "Unknown"],
        ("admissionregistration.v1.Mutation", "patchType") => &["ApplyConfiguration", "JSONPatch"],
        (
            "admissionregistration.v1.NamedRuleWithOperations"
            | "admissionregistration.v1.RuleWithOperations",
            "operations",
        ) => &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"],
        (
            "admissionregistration.v1.NamedRuleWithOperations"
            | "admissionregistration.v1.RuleWithOperations",
            "scope",
        ) => &["*", "Cluster", "Namespaced"],
        ("admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec", "validationActions") => {
            &["Audit", "Deny", "Warn"]
        }
        ("apps.v1.StatefulSetSpec", "podManagementPolicy") => &["OrderedReady", "Parallel"],
        ("batch.v1.CronJobSpec", "concurrencyPolicy") => &["Allow", "Forbid", "Replace"],
        ("batch.v1.JobSpec", "completionMode") => &["Indexed", "NonIndexed"],
        ("batch.v1.JobSpec", "podReplacementPolicy") => &["Failed", "TerminatingOrFailed"],
        ("batch.v1.PodFailurePolicyOnExitCodesRequirement", "operator") => &["In", "NotIn"],
        ("batch.v1.PodFailurePolicyRule", "action") => &["Count", "FailIndex", "FailJob", "Ignore"],
        ("certificates.v1.CertificateSigningRequestSpec", "usages") => USAGES,
        ("core.v1.AppArmorProfile" | "core.v1.SeccompProfile", "type") => PROFILES,
        ("core.v1.AzureDiskVolumeSource", "cachingMode") => &["None", "ReadOnly", "ReadWrite"],
        ("core.v1.AzureDiskVolumeSource", "kind") => &["Dedicated", "Managed", "Shared"],
        ("core.v1.Container" | "core.v1.EphemeralContainer", "imagePullPolicy")
        | ("core.v1.ImageVolumeSource", "pullPolicy") => PULL,
        ("core.v1.Container" | "core.v1.EphemeralContainer", "terminationMessagePolicy") => {
            TERMINATION
        }
        (
            "core.v1.ContainerPort"
            | "core.v1.EndpointPort"
            | "core.v1.PortStatus"
            | "core.v1.ServicePort"
            | "discovery.v1.EndpointPort"
            | "networking.v1.IngressPortStatus"
            | "networking.v1.NetworkPolicyPort",
            "protocol",
        ) => PROTOCOLS,
        ("core.v1.HTTPGetAction", "scheme") => &["HTTP", "HTTPS"],
        ("core.v1.HostPathVolumeSource", "type") => &[
            "",
            "BlockDevice",
            "CharDevice",
            "Directory",
            "DirectoryOrCreate",
            "File",
            "FileOrCreate",
            "Socket",
        ],
        ("core.v1.ModifyVolumeStatus", "status") => &["InProgress", "Infeasible", "Pending"],
        ("core.v1.NamespaceStatus", "phase") => &["Active", "Terminating"],
        ("core.v1.NodeSelectorRequirement", "operator") => {
            &["DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"]
        }
        ("core.v1.NodeStatus", "phase") => &["Pending", "Running", "Terminated"],
        (
            "core.v1.PersistentVolumeClaimSpec"
            | "core.v1.PersistentVolumeClaimStatus"
            | "core.v1.PersistentVolumeSpec",
            "accessModes",
        ) => ACCESS_MODES,
        ("core.v1.PersistentVolumeClaimSpec" | "core.v1.PersistentVolumeSpec", "volumeMode") => {
            VOLUME_MODES
        }
        ("core.v1.PersistentVolumeClaimStatus", "allocatedResourceStatuses") => &[
            "ControllerResizeInProgress",
            "ControllerResizeInfeasible",
            "NodeResizeInProgress",
            "NodeResizeInfeasible",
            "NodeResizePending",
        ],
        ("core.v1.PersistentVolumeClaimStatus", "phase") => &["Bound", "Lost", "Pending"],
        ("core.v1.PersistentVolumeSpec", "persistentVolumeReclaimPolicy")
        | ("storage.v1.StorageClass", "reclaimPolicy") => RECLAIM,
        ("core.v1.PersistentVolumeStatus", "phase") => {
            &["Available", "Bound", "Failed", "Pending", "Released"]
        }
        ("core.v1.PodSecurityContext", "fsGroupChangePolicy") => &["Always", "OnRootMismatch"],
        ("core.v1.PodSecurityContext", "supplementalGroupsPolicy") => &["Merge", "Strict"],
        ("core.v1.PodSpec", "dnsPolicy") => {
            &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]
        }
        ("core.v1.PodSpec" | "scheduling.v1.PriorityClass", "preemptionPolicy") => {
            &["Never", "PreemptLowerPriority"]
        }
        ("core.v1.PodSpec", "restartPolicy") => &["Always", "Never", "OnFailure"],
        ("core.v1.PodStatus", "phase") => &["Failed", "Pending", "Running", "Succeeded", "Unknown"],
        ("core.v1.PodStatus", "qosClass") => &["BestEffort", "Burstable", "Guaranteed"],
        ("core.v1.ResourceQuotaSpec", "scopes")
        | ("core.v1.ScopedResourceSelectorRequirement", "scopeName") => SCOPES,
        ("core.v1.ScopedResourceSelectorRequirement", "operator") => {
            &["DoesNotExist", "Exists", "In", "NotIn"]
        }
        ("core.v1.SecurityContext", "procMount") => &["Default", "Unmasked"],
        ("core.v1.ServiceSpec", "externalTrafficPolicy" | "internalTrafficPolicy") => ROUTING,
        ("core.v1.ServiceSpec", "ipFamilies") => &["", "IPv4", "IPv6"],
        ("core.v1.ServiceSpec", "ipFamilyPolicy") => {
            &["PreferDualStack", "RequireDualStack", "SingleStack"]
        }
        ("core.v1.ServiceSpec", "sessionAffinity") => &["ClientIP", "None"],
        ("core.v1.ServiceSpec", "type") => {
            &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]
        }
        ("core.v1.Taint" | "core.v1.Toleration", "effect") => EFFECTS,
        ("core.v1.Toleration", "operator") => &["Equal", "Exists", "Gt", "Lt"],
        ("core.v1.TopologySpreadConstraint", "nodeAffinityPolicy" | "nodeTaintsPolicy") => NODES,
        ("core.v1.TopologySpreadConstraint", "whenUnsatisfiable") => {
            &["DoNotSchedule", "ScheduleAnyway"]
        }
        ("core.v1.VolumeMount", "mountPropagation") => {
            &["Bidirectional", "HostToContainer", "None"]
        }
        ("discovery.v1.EndpointSlice", "addressType") => &["FQDN", "IPv4", "IPv6"],
        ("policy.v1.PodDisruptionBudgetSpec", "unhealthyPodEvictionPolicy") => {
            &["AlwaysAllow", "IfHealthyBudget"]
        }
        ("networking.v1.HTTPIngressPath", "pathType") => {
            &["Exact", "ImplementationSpecific", "Prefix"]
        }
        ("networking.v1.NetworkPolicySpec", "policyTypes") => &["Egress", "Ingress"],
        ("resource.v1.DeviceAllocationConfiguration", "source") => &["FromClaim", "FromClass"],
        ("resource.v1.DeviceSubRequest" | "resource.v1.ExactDeviceRequest", "allocationMode") => {
            &["All", "ExactCount"]
        }
        ("resource.v1.DeviceTaint" | "resource.v1.DeviceToleration", "effect") => {
            &["NoExecute", "NoSchedule", "None"]
        }
        ("resource.v1.DeviceToleration", "operator") => &["Equal", "Exists"],
        ("storage.v1.StorageClass", "volumeBindingMode") => &["Immediate", "WaitForFirstConsumer"],
        _ => &[],
    }
}
