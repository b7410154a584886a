//! Which optional scalars keep a zero that a client wrote, because upstream holds them by pointer or always prints them.
//! All other optional scalars lose their zero (`""`, `0`, `false`) on the way through the server, as upstream's do.

use super::{FieldSchema, TypeSchema};

/// Whether an explicit zero in this optional scalar field survives.
pub(crate) fn keeps_zero(schema: &TypeSchema, field: &FieldSchema) -> bool {
    let Some(short) = last_parts(schema.name, 3) else {
        return true;
    };
    KEPT.binary_search_by_key(&short, |(name, _)| name)
        .is_ok_and(|at| KEPT[at].1.contains(&field.name))
}

/// The last `count` dot-separated parts of a definition name: `core.v1.PodSpec`.
fn last_parts(name: &str, count: usize) -> Option<&str> {
    let start = name
        .rmatch_indices('.')
        .nth(count - 1)
        .map_or(0, |(at, _)| at + 1);
    name.get(start..)
}

#[rustfmt::skip]
static KEPT: &[(&str, &[&str])] = &[
    ("admissionregistration.v1.MatchResources", &["matchPolicy"]),
    ("admissionregistration.v1.MutatingWebhook", &["failurePolicy", "matchPolicy", "reinvocationPolicy", "sideEffects", "timeoutSeconds"]),
    ("admissionregistration.v1.NamedRuleWithOperations", &["scope"]),
    ("admissionregistration.v1.ParamRef", &["parameterNotFoundAction"]),
    ("admissionregistration.v1.RuleWithOperations", &["scope"]),
    ("admissionregistration.v1.ServiceReference", &["path", "port"]),
    ("admissionregistration.v1.ValidatingAdmissionPolicySpec", &["failurePolicy"]),
    ("admissionregistration.v1.ValidatingWebhook", &["failurePolicy", "matchPolicy", "sideEffects", "timeoutSeconds"]),
    ("admissionregistration.v1.Validation", &["reason"]),
    ("admissionregistration.v1.WebhookClientConfig", &["url"]),
    ("apiextensions.v1.CustomResourceDefinitionVersion", &["deprecationWarning"]),
    ("apiextensions.v1.CustomResourceSubresourceScale", &["labelSelectorPath"]),
    ("apiextensions.v1.JSONSchemaProps", &["$ref", "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minProperties", "minimum", "multipleOf", "x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-preserve-unknown-fields"]),
    ("apiextensions.v1.ServiceReference", &["path", "port"]),
    ("apiextensions.v1.ValidationRule", &["optionalOldSelf", "reason"]),
    ("apiextensions.v1.WebhookClientConfig", &["url"]),
    ("apiregistration.v1.ServiceReference", &["port"]),
    ("apps.v1.DaemonSetSpec", &["revisionHistoryLimit"]),
    ("apps.v1.DaemonSetStatus", &["collisionCount"]),
    ("apps.v1.DeploymentSpec", &["progressDeadlineSeconds", "replicas", "revisionHistoryLimit"]),
    ("apps.v1.DeploymentStatus", &["collisionCount", "terminatingReplicas"]),
    ("apps.v1.ReplicaSetSpec", &["replicas"]),
    ("apps.v1.ReplicaSetStatus", &["terminatingReplicas"]),
    ("apps.v1.RollingUpdateStatefulSetStrategy", &["partition"]),
    ("apps.v1.StatefulSetOrdinals", &["start"]),
    ("apps.v1.StatefulSetSpec", &["serviceName", "replicas", "revisionHistoryLimit"]),
    ("apps.v1.StatefulSetStatus", &["availableReplicas", "collisionCount"]),
    ("authentication.v1.TokenRequestSpec", &["expirationSeconds"]),
    ("autoscaling.v1.HorizontalPodAutoscalerSpec", &["minReplicas", "targetCPUUtilizationPercentage"]),
    ("autoscaling.v1.HorizontalPodAutoscalerStatus", &["currentCPUUtilizationPercentage", "observedGeneration"]),
    ("autoscaling.v2.HPAScalingRules", &["selectPolicy", "stabilizationWindowSeconds"]),
    ("autoscaling.v2.HorizontalPodAutoscalerSpec", &["minReplicas"]),
    ("autoscaling.v2.HorizontalPodAutoscalerStatus", &["observedGeneration"]),
    ("autoscaling.v2.MetricTarget", &["averageUtilization"]),
    ("autoscaling.v2.MetricValueStatus", &["averageUtilization"]),
    ("batch.v1.CronJobSpec", &["failedJobsHistoryLimit", "startingDeadlineSeconds", "successfulJobsHistoryLimit", "suspend", "timeZone"]),
    ("batch.v1.JobSpec", &["activeDeadlineSeconds", "backoffLimit", "backoffLimitPerIndex", "completionMode", "completions", "managedBy", "manualSelector", "maxFailedIndexes", "parallelism", "podReplacementPolicy", "suspend", "ttlSecondsAfterFinished"]),
    ("batch.v1.JobStatus", &["failedIndexes", "ready", "terminating"]),
    ("batch.v1.PodFailurePolicyOnExitCodesRequirement", &["containerName"]),
    ("batch.v1.SuccessPolicyRule", &["succeededCount", "succeededIndexes"]),
    ("certificates.v1.CertificateSigningRequestSpec", &["expirationSeconds"]),
    ("coordination.v1.LeaseSpec", &["holderIdentity", "leaseDurationSeconds", "leaseTransitions", "preferredHolder", "strategy"]),
    ("core.v1.AppArmorProfile", &["localhostProfile"]),
    ("core.v1.AzureDiskVolumeSource", &["cachingMode", "fsType", "kind", "readOnly"]),
    ("core.v1.AzureFilePersistentVolumeSource", &["secretNamespace"]),
    ("core.v1.CSIVolumeSource", &["fsType", "readOnly"]),
    ("core.v1.ClientIPConfig", &["timeoutSeconds"]),
    ("core.v1.ClusterTrustBundleProjection", &["name", "optional", "signerName"]),
    ("core.v1.ConfigMap", &["immutable"]),
    ("core.v1.ConfigMapEnvSource", &["optional"]),
    ("core.v1.ConfigMapKeySelector", &["optional"]),
    ("core.v1.ConfigMapProjection", &["optional"]),
    ("core.v1.ConfigMapVolumeSource", &["defaultMode", "optional"]),
    ("core.v1.Container", &["restartPolicy"]),
    ("core.v1.ContainerStatus", &["started", "stopSignal"]),
    ("core.v1.DownwardAPIVolumeFile", &["mode"]),
    ("core.v1.DownwardAPIVolumeSource", &["defaultMode"]),
    ("core.v1.EndpointAddress", &["nodeName"]),
    ("core.v1.EndpointPort", &["appProtocol"]),
    ("core.v1.EphemeralContainer", &["restartPolicy"]),
    ("core.v1.Event", &["reportingComponent", "reportingInstance"]),
    ("core.v1.FCVolumeSource", &["lun"]),
    ("core.v1.FileKeySelector", &["optional"]),
    ("core.v1.GRPCAction", &["service"]),
    ("core.v1.GlusterfsPersistentVolumeSource", &["endpointsNamespace"]),
    ("core.v1.HostPathVolumeSource", &["type"]),
    ("core.v1.ISCSIPersistentVolumeSource", &["initiatorName"]),
    ("core.v1.ISCSIVolumeSource", &["initiatorName"]),
    ("core.v1.KeyToPath", &["mode"]),
    ("core.v1.Lifecycle", &["stopSignal"]),
    ("core.v1.LoadBalancerIngress", &["ipMode"]),
    ("core.v1.LocalVolumeSource", &["fsType"]),
    ("core.v1.NodeFeatures", &["supplementalGroupsPolicy"]),
    ("core.v1.NodeRuntimeHandlerFeatures", &["recursiveReadOnlyMounts", "userNamespaces"]),
    ("core.v1.NodeSwapStatus", &["capacity"]),
    ("core.v1.PersistentVolumeClaimSpec", &["storageClassName", "volumeAttributesClassName", "volumeMode"]),
    ("core.v1.PersistentVolumeClaimStatus", &["currentVolumeAttributesClassName"]),
    ("core.v1.PersistentVolumeSpec", &["volumeAttributesClassName", "volumeMode"]),
    ("core.v1.PodCertificateProjection", &["maxExpirationSeconds"]),
    ("core.v1.PodDNSConfigOption", &["value"]),
    ("core.v1.PodResourceClaim", &["resourceClaimName", "resourceClaimTemplateName"]),
    ("core.v1.PodResourceClaimStatus", &["resourceClaimName"]),
    ("core.v1.PodSecurityContext", &["fsGroup", "fsGroupChangePolicy", "runAsGroup", "runAsNonRoot", "runAsUser", "seLinuxChangePolicy", "supplementalGroupsPolicy"]),
    ("core.v1.PodSpec", &["activeDeadlineSeconds", "automountServiceAccountToken", "enableServiceLinks", "hostUsers", "hostnameOverride", "preemptionPolicy", "priority", "runtimeClassName", "setHostnameAsFQDN", "shareProcessNamespace", "terminationGracePeriodSeconds"]),
    ("core.v1.PortStatus", &["error"]),
    ("core.v1.Probe", &["terminationGracePeriodSeconds"]),
    ("core.v1.ProjectedVolumeSource", &["defaultMode"]),
    ("core.v1.ReplicationControllerSpec", &["replicas"]),
    ("core.v1.SeccompProfile", &["localhostProfile"]),
    ("core.v1.Secret", &["immutable"]),
    ("core.v1.SecretEnvSource", &["optional"]),
    ("core.v1.SecretKeySelector", &["optional"]),
    ("core.v1.SecretProjection", &["optional"]),
    ("core.v1.SecretVolumeSource", &["defaultMode", "optional"]),
    ("core.v1.SecurityContext", &["allowPrivilegeEscalation", "privileged", "procMount", "readOnlyRootFilesystem", "runAsGroup", "runAsNonRoot", "runAsUser"]),
    ("core.v1.ServiceAccount", &["automountServiceAccountToken"]),
    ("core.v1.ServiceAccountTokenProjection", &["expirationSeconds"]),
    ("core.v1.ServicePort", &["appProtocol"]),
    ("core.v1.ServiceSpec", &["allocateLoadBalancerNodePorts", "internalTrafficPolicy", "ipFamilyPolicy", "loadBalancerClass", "trafficDistribution"]),
    ("core.v1.Toleration", &["tolerationSeconds"]),
    ("core.v1.TopologySpreadConstraint", &["minDomains", "nodeAffinityPolicy", "nodeTaintsPolicy"]),
    ("core.v1.TypedLocalObjectReference", &["apiGroup"]),
    ("core.v1.TypedObjectReference", &["apiGroup", "namespace"]),
    ("core.v1.VolumeMount", &["mountPropagation", "recursiveReadOnly"]),
    ("core.v1.VolumeMountStatus", &["recursiveReadOnly"]),
    ("core.v1.WindowsSecurityContextOptions", &["gmsaCredentialSpec", "gmsaCredentialSpecName", "hostProcess", "runAsUserName"]),
    ("discovery.v1.Endpoint", &["hostname", "nodeName", "zone"]),
    ("discovery.v1.EndpointConditions", &["ready", "serving", "terminating"]),
    ("discovery.v1.EndpointPort", &["appProtocol", "name", "port", "protocol"]),
    ("flowcontrol.v1.ExemptPriorityLevelConfiguration", &["lendablePercent", "nominalConcurrencyShares"]),
    ("flowcontrol.v1.LimitedPriorityLevelConfiguration", &["borrowingLimitPercent", "lendablePercent", "nominalConcurrencyShares"]),
    ("meta.v1.DeleteOptions", &["gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential", "orphanDependents", "propagationPolicy"]),
    ("meta.v1.ListMeta", &["remainingItemCount"]),
    ("meta.v1.ObjectMeta", &["deletionGracePeriodSeconds"]),
    ("meta.v1.OwnerReference", &["blockOwnerDeletion", "controller"]),
    ("meta.v1.Preconditions", &["resourceVersion", "uid"]),
    ("networking.v1.HTTPIngressPath", &["pathType"]),
    ("networking.v1.IngressClassParametersReference", &["apiGroup", "namespace", "scope"]),
    ("networking.v1.IngressPortStatus", &["error"]),
    ("networking.v1.IngressSpec", &["ingressClassName"]),
    ("networking.v1.NetworkPolicyPort", &["endPort", "protocol"]),
    ("policy.v1.PodDisruptionBudgetSpec", &["unhealthyPodEvictionPolicy"]),
    ("policy.v1.PodDisruptionBudgetStatus", &["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"]),
    ("resource.v1.Device", &["allNodes", "allowMultipleAllocations", "bindsToNode", "nodeName"]),
    ("resource.v1.DeviceAttribute", &["bool", "int", "string", "version"]),
    ("resource.v1.DeviceClassSpec", &["extendedResourceName"]),
    ("resource.v1.DeviceConstraint", &["distinctAttribute", "matchAttribute"]),
    ("resource.v1.DeviceRequestAllocationResult", &["adminAccess", "shareID"]),
    ("resource.v1.DeviceToleration", &["tolerationSeconds"]),
    ("resource.v1.ExactDeviceRequest", &["adminAccess"]),
    ("resource.v1.ResourceSliceSpec", &["allNodes", "nodeName", "perDeviceNodeSelection"]),
    ("scheduling.v1.PriorityClass", &["preemptionPolicy", "value"]),
    ("storage.v1.CSIDriverSpec", &["attachRequired", "fsGroupPolicy", "nodeAllocatableUpdatePeriodSeconds", "podInfoOnMount", "preventPodSchedulingIfMissing", "requiresRepublish", "seLinuxMount", "serviceAccountTokenInSecrets", "storageCapacity"]),
    ("storage.v1.StorageClass", &["allowVolumeExpansion", "reclaimPolicy", "volumeBindingMode"]),
    ("storage.v1.TokenRequest", &["expirationSeconds"]),
    ("storage.v1.VolumeAttachmentSource", &["persistentVolumeName"]),
    ("storage.v1.VolumeError", &["errorCode"]),
    ("storage.v1.VolumeNodeResources", &["count"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::generated::TYPES;

    #[test]
    fn the_table_names_existing_optional_fields_in_order() {
        assert!(KEPT.is_sorted_by_key(|(name, _)| *name));
        for (name, fields) in KEPT {
            let schema = TYPES
                .iter()
                .find(|schema| last_parts(schema.name, 3) == Some(name));
            let schema = schema.unwrap_or_else(|| panic!("no type {name}"));
            for field in *fields {
                let field = schema
                    .field(field)
                    .unwrap_or_else(|| panic!("no field {field} in {name}"));
                assert!(keeps_zero(schema, field));
            }
        }
    }
}
