//! Namespaces: made, used, deleted with everything in them.

use anyhow::{Result, ensure};

use super::{Desk, PATIENCE, fixture};
use crate::processes;

pub(super) fn commands(desk: &Desk) -> Result<()> {
    let sleepers = || processes("sleep 4242");
    desk.prints("kubectl create ns team", "namespace/team created")?;
    desk.refused(
        "kubectl create ns team",
        &["namespaces \"team\" already exists"],
    )?;
    desk.says(
        "kubectl config set-context --current --namespace=team",
        &["modified"],
    )?;
    desk.comes_to_say(
        "kubectl get sa,cm -o name",
        &["serviceaccount/default", "configmap/kube-root-ca.crt"],
    )?;
    desk.prints(
        "kubectl run sleeper --image=plinth-node --image-pull-policy=Never --command -- sh -c 'sleep 4242; true'",
        "pod/sleeper created",
    )?;
    desk.prints(
        "kubectl wait --for=condition=Ready pod/sleeper --timeout=60s",
        "pod/sleeper condition met",
    )?;
    desk.shell
        .until("true", PATIENCE, |_| sleepers().len() == 1)?;
    desk.prints(
        "kubectl expose pod sleeper --port=80",
        "service/sleeper exposed",
    )?;
    desk.prints(
        &format!("kubectl apply -f {}", fixture("claim")),
        "persistentvolumeclaim/claim created",
    )?;
    desk.says(
        "kubectl get pod -A",
        &["NAMESPACE NAME READY STATUS RESTARTS AGE\nteam sleeper 1/1 Running"],
    )?;
    desk.says(
        "kubectl get pod -n default",
        &["No resources found in default namespace."],
    )?;
    // The pod has half a minute to end, so the namespace is seen to wait for it.
    desk.says(
        "kubectl delete ns team --wait=false",
        &["namespace \"team\" deleted"],
    )?;
    desk.says("kubectl get ns team", &["team Terminating"])?;
    desk.refused(
        "kubectl create cm late",
        &["configmaps \"late\" is forbidden: unable to create new content in namespace team because it is being terminated"],
    )?;
    desk.comes_to_say("kubectl get pod", &["sleeper 1/1 Terminating"])?;
    desk.says(
        "kubectl delete pod sleeper --grace-period=1",
        &["pod \"sleeper\" deleted"],
    )?;
    ensure!(
        sleepers().is_empty(),
        "the pod is gone, but not {:?}",
        sleepers()
    );
    desk.says("kubectl wait --for=delete ns/team --timeout=60s", &[])?;
    desk.refused("kubectl get ns team", &["namespaces \"team\" not found"])?;
    desk.says(
        "kubectl get svc,pvc,cm,sa,ep,endpointslice,events",
        &["No resources found in team namespace."],
    )?;
    desk.says(
        "kubectl config set-context --current --namespace=default",
        &["modified"],
    )?;
    desk.says("kubectl get ns", &["default Active", "kube-system Active"])?;
    Ok(())
}
