//! What the server is and what it knows.

use anyhow::Result;

use super::Desk;

pub(super) fn commands(desk: &Desk) -> Result<()> {
    desk.says("kubectl version", &["Server Version: v1.36"])?;
    desk.says(
        "kubectl cluster-info",
        &["is running at", "https://127.0.0.1:6443"],
    )?;
    desk.says(
        "kubectl api-versions",
        &["apps/v1", "discovery.k8s.io/v1", "storage.k8s.io/v1", "v1"],
    )?;
    desk.says(
        "kubectl api-resources",
        &[
            "NAME SHORTNAMES APIVERSION NAMESPACED KIND",
            "persistentvolumeclaims pvc v1 true PersistentVolumeClaim",
            "statefulsets sts apps/v1 true StatefulSet",
            "storageclasses sc storage.k8s.io/v1 false StorageClass",
        ],
    )?;
    desk.says(
        "kubectl api-resources --api-group=apps -o name",
        &["controllerrevisions.apps", "statefulsets.apps"],
    )?;
    desk.says(
        "kubectl explain pod",
        &[
            "KIND: Pod\nVERSION: v1",
            "Pod is a collection of containers",
            "spec\t<PodSpec>",
            "metadata\t<ObjectMeta>",
        ],
    )?;
    desk.says(
        "kubectl explain pod --recursive",
        &[
            "containers <[]Container> -required-",
            "image <string>",
            "volumeMounts <[]VolumeMount>",
        ],
    )?;
    desk.says(
        "kubectl explain sts.spec.volumeClaimTemplates.spec.accessModes",
        &["GROUP: apps", "FIELD: accessModes <[]string>"],
    )?;
    desk.says(
        "kubectl explain pvc.spec.resources",
        &["limits <map[string]Quantity>"],
    )?;
    desk.says(
        "kubectl explain service.spec.ports.protocol",
        &["FIELD: protocol <string>", "UDP"],
    )?;
    desk.says(
        "kubectl explain cm --output=plaintext-openapiv2",
        &["KIND: ConfigMap", "binaryData <map[string]string>"],
    )?;
    desk.refused(
        "kubectl explain pod.spec.nothing",
        &["field \"nothing\" does not exist"],
    )?;
    desk.says(
        "kubectl get node -o wide",
        &["NAME STATUS ROLES AGE VERSION INTERNAL-IP EXTERNAL-IP OS-IMAGE KERNEL-VERSION CONTAINER-RUNTIME", "lab Ready"],
    )?;
    desk.says(
        "kubectl describe node lab",
        &[
            "kubernetes.io/hostname=lab",
            "HolderIdentity: lab",
            "KubeletReady",
            "Unschedulable: false",
            "Container Runtime Version: plinth://",
            "Non-terminated Pods: (0 in total)",
        ],
    )?;
    desk.says(
        "kubectl describe sc",
        &[
            "Name: local-path",
            "IsDefaultClass: Yes",
            "Provisioner: rancher.io/local-path",
            "WaitForFirstConsumer",
        ],
    )?;
    desk.says(
        "kubectl describe ns default",
        &["Name: default", "Status: Active"],
    )?;
    desk.says(
        "kubectl describe svc kubernetes",
        &[
            "IP: 10.96.0.1",
            "Port: https 443/TCP",
            "TargetPort: 6443/TCP",
            "Endpoints:",
            "Session Affinity: None",
        ],
    )?;
    desk.says(
        "kubectl get all",
        &["service/kubernetes ClusterIP 10.96.0.1 <none> 443/TCP"],
    )?;
    desk.refused(
        "kubectl get nothing",
        &["the server doesn't have a resource type \"nothing\""],
    )
}
