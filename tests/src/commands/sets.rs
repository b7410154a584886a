//! StatefulSets, their members, claims and revisions.

use anyhow::Result;

use super::{Desk, fixture};

pub(super) fn commands(desk: &Desk) -> Result<()> {
    readiness_gates(desk)?;
    look(desk)?;
    roll_out(desk)?;
    scale(desk)?;
    delete(desk)
}

fn rolled_out(desk: &Desk) -> Result<()> {
    desk.says(
        "kubectl rollout status sts/web --timeout=60s",
        &["roll out complete"],
    )?;
    Ok(())
}

/// Makes a member answer its readiness probe: the file that is asked for appears in its volume.
fn make_ready(desk: &Desk, member: &str) -> Result<()> {
    desk.comes_to_say(&format!("kubectl get pvc data-{member}"), &["Bound"])?;
    let volume = desk.says(
        &format!("kubectl get pvc data-{member} -o jsonpath={{.spec.volumeName}}"),
        &["pvc-"],
    )?;
    let path = desk.says(
        &format!("kubectl get pv {volume} -o jsonpath={{.spec.hostPath.path}}"),
        &["/"],
    )?;
    desk.says(&format!("touch {path}/ready"), &[])?;
    desk.prints(
        &format!("kubectl wait --for=condition=Ready pod/{member} --timeout=60s"),
        &format!("pod/{member} condition met"),
    )
}

fn readiness_gates(desk: &Desk) -> Result<()> {
    desk.says(
        &format!("kubectl apply -f {}", fixture("set")),
        &["service/web created", "statefulset.apps/web created"],
    )?;
    desk.comes_to_say(
        "kubectl describe pod web-0",
        &["Readiness probe failed: HTTP probe failed with statuscode: 404"],
    )?;
    desk.says("kubectl get pod", &["web-0 0/1 Running 0"])?;
    desk.refused("kubectl get pod web-1", &["not found"])?;
    desk.says("kubectl get ep web", &["web <none>"])?;
    desk.prints(
        "kubectl get sts web -o jsonpath='{.status.replicas} {.status.readyReplicas}'",
        "1",
    )?;
    make_ready(desk, "web-0")?;
    let ip = desk.says(
        "kubectl get pod web-0 -o jsonpath={.status.podIP}",
        &["10.244."],
    )?;
    desk.comes_to_say("kubectl get ep web", &[&format!("web {ip}:8080")])?;
    desk.comes_to_say("kubectl get pod", &["web-1 0/1 Running 0"])?;
    make_ready(desk, "web-1")?;
    rolled_out(desk)
}

fn look(desk: &Desk) -> Result<()> {
    desk.says(
        "kubectl get all",
        &[
            "pod/web-0 1/1 Running",
            "service/web ClusterIP None <none> 80/TCP",
            "statefulset.apps/web 2/2",
        ],
    )?;
    desk.says(
        "kubectl get sts -o wide",
        &[
            "NAME READY AGE CONTAINERS IMAGES",
            "web 2/2",
            "web plinth-node",
        ],
    )?;
    desk.says(
        "kubectl get pod web-1 --show-labels",
        &[
            "app=web,apps.kubernetes.io/pod-index=1,controller-revision-hash=web-",
            "statefulset.kubernetes.io/pod-name=web-1",
        ],
    )?;
    desk.says(
        "kubectl describe sts web",
        &[
            "Replicas: 2 desired | 2 total",
            "Update Strategy: RollingUpdate\nPartition: 0",
            "Pods Status: 2 Running / 0 Waiting / 0 Succeeded / 0 Failed",
            "Readiness: http-get http://:http/ready delay=0s timeout=1s period=1s",
            "Volume Claims:\nName: data",
            "Create Pod web-1 in StatefulSet web successful",
        ],
    )?;
    desk.says(
        "kubectl describe pvc data-web-0",
        &[
            "StorageClass: local-path",
            "Status: Bound",
            "Used By: web-0",
            "pv.kubernetes.io/bind-completed: yes",
            "ProvisioningSucceeded",
        ],
    )?;
    desk.says(
        "kubectl describe pv",
        &[
            "Claim: default/data-web-0",
            "Reclaim Policy: Delete",
            "kubernetes.io/hostname in [lab]",
            "Type: HostPath",
        ],
    )?;
    desk.says(
        "kubectl describe svc web",
        &["IP: None", "TargetPort: http/TCP", ":8080,10.244."],
    )?;
    desk.says(
        "kubectl describe pod web-0",
        &["Controlled By: StatefulSet/web", "ClaimName: data-web-0"],
    )?;
    desk.says(
        "kubectl describe endpointslice",
        &["TargetRef: Pod/web-0", "Hostname: web-1"],
    )?;
    desk.says(
        "kubectl describe node lab",
        &["Non-terminated Pods: (2 in total)", "default web-0"],
    )?;
    Ok(())
}

fn roll_out(desk: &Desk) -> Result<()> {
    desk.says(
        "kubectl rollout history sts/web",
        &["REVISION CHANGE-CAUSE\n1 <none>"],
    )?;
    desk.refused(
        "kubectl rollout undo sts/web",
        &["no last revision to roll back to"],
    )?;
    desk.prints(
        "kubectl annotate sts/web kubernetes.io/change-cause='a variable'",
        "statefulset.apps/web annotated",
    )?;
    desk.prints(
        "kubectl set env sts/web COLOUR=blue",
        "statefulset.apps/web env updated",
    )?;
    rolled_out(desk)?;
    desk.says("kubectl set env sts/web --list", &["COLOUR=blue"])?;
    desk.prints(
        "kubectl set resources sts/web --limits=memory=32Mi",
        "statefulset.apps/web resource requirements updated",
    )?;
    rolled_out(desk)?;
    desk.prints(
        "kubectl get pod web-0 -o jsonpath={.spec.containers[0].resources.limits.memory}",
        "32Mi",
    )?;
    desk.says(
        "kubectl rollout history sts/web",
        &["1 <none>\n2 a variable\n3 a variable"],
    )?;
    desk.says(
        "kubectl rollout history sts/web --revision=2",
        &["with revision #2", "COLOUR: blue"],
    )?;
    desk.refused(
        "kubectl rollout history sts/web --revision=9",
        &["unable to find the specified revision"],
    )?;
    desk.refused(
        "kubectl rollout undo sts/web --to-revision=9",
        &["unable to find specified revision 9 in history"],
    )?;
    // Clients older than the revisions' form of 1.34 see a difference here, and change nothing; others skip it.
    desk.says(
        "kubectl rollout undo sts/web --to-revision=3",
        &["statefulset.apps/web"],
    )?;
    desk.says(
        "kubectl rollout undo sts/web --to-revision=1",
        &["statefulset.apps/web rolled back"],
    )?;
    rolled_out(desk)?;
    desk.prints("kubectl get pod web-0 -o jsonpath='{.spec.containers[0].env} {.spec.containers[0].resources}'", "{}")?;
    // The revision keeps its name and takes the newest number.
    desk.says(
        "kubectl rollout history sts/web",
        &["2 a variable\n3 a variable\n4 <none>"],
    )?;
    desk.prints(
        "kubectl rollout restart sts/web",
        "statefulset.apps/web restarted",
    )?;
    rolled_out(desk)?;
    desk.says(
        "kubectl get pod web-0 -o jsonpath={.metadata.annotations}",
        &["kubectl.kubernetes.io/restartedAt"],
    )?;
    desk.refused(
        "kubectl rollout pause sts/web",
        &["pausing is not supported"],
    )?;
    desk.says(
        "kubectl get controllerrevisions",
        &["NAME CONTROLLER REVISION AGE", "statefulset.apps/web 5"],
    )?;
    Ok(())
}

fn scale(desk: &Desk) -> Result<()> {
    desk.refused(
        "kubectl scale sts/web --replicas=1 --current-replicas=7",
        &["Expected replicas to be 7, was 2"],
    )?;
    desk.prints(
        "kubectl scale sts/web --replicas=1 --current-replicas=2",
        "statefulset.apps/web scaled",
    )?;
    desk.says("kubectl wait --for=delete pod/web-1 --timeout=60s", &[])?;
    desk.prints(
        "kubectl wait --for=jsonpath={.status.replicas}=1 sts/web --timeout=60s",
        "statefulset.apps/web condition met",
    )?;
    desk.says("kubectl get pvc", &["data-web-0 Bound", "data-web-1 Bound"])?;
    // The claim is found again, and with it the file that makes the member ready.
    desk.prints(
        "kubectl scale sts/web --replicas=2",
        "statefulset.apps/web scaled",
    )?;
    rolled_out(desk)
}

fn delete(desk: &Desk) -> Result<()> {
    let uid = "kubectl get pod web-0 -o jsonpath={.metadata.uid}";
    let before = desk.says(uid, &[])?;
    desk.says(
        "kubectl delete sts web --cascade=orphan",
        &["statefulset.apps \"web\" deleted"],
    )?;
    desk.says(
        "kubectl get pod",
        &["web-0 1/1 Running", "web-1 1/1 Running"],
    )?;
    desk.comes_to_say(
        "kubectl get pod web-0 -o jsonpath={.metadata.ownerReferences}/",
        &["/"],
    )?;
    desk.prints(uid, &before)?;
    desk.says(
        &format!("kubectl apply -f {}", fixture("set")),
        &["service/web unchanged", "statefulset.apps/web created"],
    )?;
    rolled_out(desk)?;
    desk.says(
        "kubectl delete sts web --cascade=foreground",
        &["statefulset.apps \"web\" deleted"],
    )?;
    desk.says(
        "kubectl get pod,sts,controllerrevision",
        &["No resources found"],
    )?;
    desk.says("kubectl get pvc", &["data-web-0 Bound", "data-web-1 Bound"])?;
    desk.says(
        "kubectl delete pvc --all",
        &["\"data-web-0\" deleted", "\"data-web-1\" deleted"],
    )?;
    desk.comes_to_say("kubectl get pv", &["No resources found"])?;
    desk.says("kubectl delete svc web", &["service \"web\" deleted"])?;
    desk.comes_to_say(
        "kubectl get endpointslice -o name",
        &["endpointslice.discovery.k8s.io/kubernetes\n"],
    )?;
    desk.refused("kubectl get ep web", &["not found"])
}
