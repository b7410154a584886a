//! Pods: what is put into them, what they say, how they fail and how they end.

use anyhow::{Context, Result, ensure};

use super::{Desk, PATIENCE, fixture};
use crate::processes;

pub(super) fn commands(desk: &Desk) -> Result<()> {
    full(desk)?;
    logs(desk)?;
    limits(desk)?;
    change(desk)?;
    fates(desk)?;
    endings(desk)
}

fn full(desk: &Desk) -> Result<()> {
    desk.prints(
        "kubectl create cm conf --from-literal=first=one",
        "configmap/conf created",
    )?;
    desk.prints(
        "kubectl create secret generic hush --from-literal=word=abracadabra",
        "secret/hush created",
    )?;
    desk.prints(
        &format!("kubectl apply -f {}", fixture("full")),
        "pod/full created",
    )?;
    desk.prints(
        "kubectl wait --for=condition=Ready pod/full --timeout=60s",
        "pod/full condition met",
    )?;
    desk.says(
        "kubectl get pod",
        &["NAME READY STATUS RESTARTS AGE\nfull 2/2 Running 0"],
    )?;
    let ip = desk.says(
        "kubectl get pod full -o jsonpath={.status.podIP}",
        &["10.244.0."],
    )?;
    desk.says(
        "kubectl get pod full -o wide",
        &[
            &format!("{ip} lab <none> <none>"),
            "IP NODE NOMINATED NODE READINESS GATES",
        ],
    )?;
    desk.comes_to_say("kubectl logs full -c main", &["tick"])?;
    desk.says(
        "kubectl logs full -c main",
        &[&format!("word=abracadabra pod=full ip={ip} memory=67108864 first=one\noneabracadabraleft by prepare\ntick")],
    )?;
    desk.says(
        "kubectl describe pod full",
        &[
            "Node: lab/",
            "Status: Running",
            "Labels: app=full",
            &format!("IP: {ip}"),
            "Init Containers:\nprepare:\nContainer ID: plinth://",
            "State: Terminated\nReason: Completed\nExit Code: 0",
            "State: Running",
            "Limits:\ncpu: 500m\nmemory: 64Mi\nRequests:\ncpu: 500m\nmemory: 32Mi",
            "conf ConfigMap Optional: false",
            "WORD: <set to the key 'word' in secret 'hush'> Optional: false",
            "/secret from hush (ro)",
            "PodScheduled True",
            "Type: EmptyDir (a temporary directory that shares a pod's lifetime)",
            "QoS Class: Burstable",
            "Successfully assigned default/full to lab",
            "Container started",
        ],
    )?;
    desk.says(
        "kubectl get events --field-selector involvedObject.name=full,reason=Scheduled",
        &["pod/full", "Normal"],
    )?;
    desk.says("kubectl events --for pod/full", &["Pod/full", "Started"])?;
    desk.prints(
        "kubectl get pod --field-selector status.phase=Running,spec.nodeName=lab -o name",
        "pod/full",
    )?;
    desk.says(
        "kubectl get pod --field-selector status.phase!=Running",
        &["No resources found"],
    )?;
    desk.prints(
        "kubectl get pod full -o jsonpath='{.status.initContainerStatuses[*].state.terminated.exitCode}'",
        "0",
    )
}

fn logs(desk: &Desk) -> Result<()> {
    desk.says(
        "kubectl logs full",
        &[
            "Defaulted container \"main\" out of: main, side, prepare (init)",
            "tick",
        ],
    )?;
    desk.prints("kubectl logs full -c prepare", "prepared")?;
    desk.prints("kubectl logs full -c side", "side here")?;
    desk.says(
        "kubectl logs full --all-containers",
        &["prepared", "side here", "tick"],
    )?;
    desk.prints("kubectl logs full -c main --tail=1", "tick")?;
    desk.prints("kubectl logs full -c side --tail=0", "")?;
    desk.prints("kubectl logs full -c main --limit-bytes=4", "word")?;
    let stamped = desk.says("kubectl logs full -c side --timestamps", &["Z side here"])?;
    let (time, _) = stamped.split_once(' ').context("no time before the line")?;
    desk.prints(
        &format!("kubectl logs full -c side --since-time={time}"),
        "side here",
    )?;
    desk.prints(
        "kubectl logs full -c side --since-time=2999-01-01T00:00:00Z",
        "",
    )?;
    desk.says("kubectl logs full -c main --since=1h", &["tick"])?;
    desk.says(
        "kubectl logs -l app=full -c side --prefix",
        &["[pod/full/side] side here"],
    )?;
    desk.refused(
        "kubectl logs full -c nobody",
        &["container nobody is not valid for pod full"],
    )?;
    desk.refused(
        "kubectl logs full -c side --previous",
        &["previous terminated container \"side\" in pod \"full\" not found"],
    )?;
    desk.refused("kubectl logs nobody", &["pods \"nobody\" not found"])?;
    // The lines that came before the follower are given at once, later ones as they come.
    desk.says(
        "kubectl logs -f full -c main --tail=1 | head -n 4",
        &["tick\ntick\ntick\ntick"],
    )?;
    Ok(())
}

/// The limits are where the kernel reads them, on either version of cgroups.
fn limits(desk: &Desk) -> Result<()> {
    let uid = desk.says("kubectl get pod full -o jsonpath={.metadata.uid}", &[])?;
    let found = desk.says(
        &format!(
            "find /sys/fs/cgroup -path '*{uid}*' \\( -name memory.limit_in_bytes -o -name memory.max \\) -exec cat {{}} +"
        ),
        &[],
    )?;
    ensure!(
        found.lines().any(|line| line == "67108864"),
        "no cgroup of the pod has its memory limit:\n{found}"
    );
    let found = desk.says(
        &format!("find /sys/fs/cgroup -path '*{uid}*' \\( -name cpu.cfs_quota_us -o -name cpu.max \\) -exec cat {{}} +"),
        &[],
    )?;
    ensure!(
        found
            .lines()
            .any(|line| line.split(' ').next() == Some("50000")),
        "no cgroup of the pod has its processor limit:\n{found}"
    );
    Ok(())
}

fn change(desk: &Desk) -> Result<()> {
    // kubectl sends the order of the volumes because the token's was added to them; nothing is changed by that.
    let version = desk.says(
        "kubectl get pod full -o jsonpath={.metadata.generation}",
        &[],
    )?;
    desk.prints(
        &format!("kubectl apply -f {}", fixture("full")),
        "pod/full configured",
    )?;
    desk.prints(
        "kubectl get pod full -o jsonpath={.metadata.generation}",
        &version,
    )?;
    desk.refused(
        r#"kubectl patch pod full -p '{"spec":{"hostname":"other"}}'"#,
        &["spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"],
    )?;
    // Another image restarts that container and no other.
    desk.prints(
        "kubectl set image pod/full side=absent",
        "pod/full image updated",
    )?;
    desk.comes_to_say("kubectl get pod full", &["full 1/2 ErrImageNeverPull"])?;
    desk.prints(
        "kubectl set image pod/full side=plinth-node:latest",
        "pod/full image updated",
    )?;
    desk.comes_to_say("kubectl get pod full", &["full 2/2 Running 1 ("])?;
    desk.prints(
        "kubectl get pod full -o jsonpath='{range .status.containerStatuses[*]}{.name}={.restartCount} {end}'",
        "main=0 side=1",
    )?;
    desk.refused(
        "kubectl set image pod/full nobody=x",
        &["unable to find container named \"nobody\""],
    )?;
    desk.says("kubectl delete pod full", &["pod \"full\" deleted"])?;
    desk.says(
        "kubectl get pod",
        &["No resources found in default namespace."],
    )?;
    Ok(())
}

fn fates(desk: &Desk) -> Result<()> {
    desk.says(
        &format!("kubectl apply -f {}", fixture("fates")),
        &["pod/crash created", "pod/toobig created"],
    )?;
    desk.comes_to_say(
        "kubectl get pod",
        &[
            "badstart 0/1 Init:CrashLoopBackOff 2 (",
            "crash 0/1 CrashLoopBackOff 2 (",
            "done 0/1 Completed 0",
            "failed 0/1 Error 0",
            "hungry 0/1 OOMKilled 0",
            "noclaim 0/1 Pending 0",
            "nocommand 0/1 CrashLoopBackOff",
            "noconfig 0/1 CreateContainerConfigError 0",
            "noimage 0/1 ErrImageNeverPull 0",
            "noname 0/1 InvalidImageName 0",
            "nostart 0/1 Init:Error 0",
            "novolume 0/1 ContainerCreating 0",
            "toobig 0/1 Pending 0",
        ],
    )?;
    let status =
        |pod: &str, path: &str| format!("kubectl get pod {pod} -o jsonpath={{.status.{path}}}");
    let container = "containerStatuses[0]";
    desk.prints(
        &status(
            "crash",
            &format!("{container}.lastState.terminated.exitCode"),
        ),
        "3",
    )?;
    desk.says(
        &status("crash", &format!("{container}.state.waiting.message")),
        &["back-off 20s restarting failed container=c pod=crash_default("],
    )?;
    desk.prints(&status("failed", "phase"), "Failed")?;
    desk.prints(
        &status("failed", &format!("{container}.state.terminated.exitCode")),
        "7",
    )?;
    desk.prints(&status("done", "phase"), "Succeeded")?;
    desk.prints(
        &status("done", &format!("{container}.state.terminated.message")),
        "last words",
    )?;
    desk.prints(
        &status("hungry", &format!("{container}.state.terminated.exitCode")),
        "137",
    )?;
    desk.prints(&status("nostart", "phase"), "Failed")?;
    desk.prints(
        &status(
            "nocommand",
            &format!("{container}.lastState.terminated.exitCode"),
        ),
        "128",
    )?;
    desk.prints(
        "kubectl wait --for=jsonpath={.status.phase}=Succeeded pod/done --timeout=5s",
        "pod/done condition met",
    )?;
    desk.refused(
        "kubectl wait --for=condition=Ready pod/failed --timeout=1s",
        &["timed out waiting for the condition on pods/failed"],
    )?;
    desk.prints("kubectl logs failed", "bye")?;
    desk.prints("kubectl logs crash --previous", "one more")?;
    desk.prints("kubectl logs badstart -c first", "no")?;
    desk.prints("kubectl logs toobig", "")?;
    desk.refused(
        "kubectl logs badstart -c c",
        &["container \"c\" in pod \"badstart\" is waiting to start: PodInitializing"],
    )?;
    desk.refused(
        "kubectl logs noimage",
        &["container \"c\" in pod \"noimage\" is waiting to start: image is not present and may not be pulled"],
    )?;
    desk.says(
        "kubectl describe pod noimage",
        &["Container image \"absent\" is not present with pull policy of Never"],
    )?;
    desk.says(
        "kubectl describe pod noconfig",
        &["Error: configmap \"missing\" not found"],
    )?;
    desk.says(
        "kubectl describe pod novolume",
        &["MountVolume.SetUp failed for volume \"v\" : configmap \"missing\" not found"],
    )?;
    desk.says(
        "kubectl describe pod noclaim",
        &["persistentvolumeclaim \"missing\" not found"],
    )?;
    desk.says(
        "kubectl describe pod toobig",
        &["0/1 nodes are available: 1 Insufficient cpu."],
    )?;
    desk.says(
        "kubectl describe pod crash",
        &[
            "Back-off restarting failed container c in pod crash_default",
            "Exit Code: 3",
        ],
    )?;
    desk.says(
        "kubectl events --types=Warning",
        &["BackOff", "FailedScheduling"],
    )?;
    // What was missing comes, and the pods that waited for it go on.
    desk.prints(
        "kubectl create cm missing --from-literal=k=v",
        "configmap/missing created",
    )?;
    desk.prints(
        "kubectl wait --for=condition=Ready pod/noconfig pod/novolume --timeout=60s",
        "pod/noconfig condition met\npod/novolume condition met",
    )?;
    desk.says(
        "kubectl delete pod --all --grace-period=1",
        &["pod \"crash\" deleted", "pod \"toobig\" deleted"],
    )?;
    desk.says("kubectl get pod", &["No resources found"])?;
    Ok(())
}

fn endings(desk: &Desk) -> Result<()> {
    let deaf = || processes("trap '' TERM; echo deaf");
    let begin = || -> Result<()> {
        desk.prints(
            &format!("kubectl apply -f {}", fixture("stubborn")),
            "pod/stubborn created",
        )?;
        desk.comes_to_say("kubectl logs stubborn", &["deaf"])
    };
    begin()?;
    ensure!(
        deaf().len() == 1,
        "one container, but these processes: {:?}",
        deaf()
    );
    desk.says(
        "kubectl delete pod stubborn --wait=false",
        &["pod \"stubborn\" deleted"],
    )?;
    desk.says("kubectl get pod stubborn", &["stubborn 1/1 Terminating 0"])?;
    desk.prints(
        "kubectl get pod stubborn -o jsonpath={.metadata.deletionGracePeriodSeconds}",
        "600",
    )?;
    ensure!(deaf().len() == 1, "it was killed before its time");
    // A second, shorter grace period counts from now; the pod is gone only when its processes are.
    desk.says(
        "kubectl delete pod stubborn --grace-period=1",
        &["pod \"stubborn\" deleted"],
    )?;
    ensure!(deaf().is_empty(), "the pod is gone, but not {:?}", deaf());
    begin()?;
    desk.says(
        "kubectl delete pod stubborn --now",
        &["pod \"stubborn\" deleted"],
    )?;
    ensure!(deaf().is_empty(), "the pod is gone, but not {:?}", deaf());
    begin()?;
    desk.says(
        "kubectl delete pod stubborn --force",
        &[
            "Warning: Immediate deletion does not wait for confirmation",
            "pod \"stubborn\" force deleted",
        ],
    )?;
    desk.refused("kubectl get pod stubborn", &["pods \"stubborn\" not found"])?;
    // The object went first; the processes follow.
    desk.shell.until("true", PATIENCE, |_| deaf().is_empty())?;
    desk.prints(
        "kubectl run once --image=plinth-node --image-pull-policy=Never --restart=Never --env=X=1 -- sh -c 'echo X is $X; exit 5'",
        "pod/once created",
    )?;
    desk.comes_to_say(
        "kubectl get pod once -o jsonpath={.status.containerStatuses[0].state.terminated.exitCode}",
        &["5"],
    )?;
    desk.says("kubectl logs once", &["X is"])?;
    desk.says("kubectl delete pod -l run=once", &["pod \"once\" deleted"])?;
    desk.says("kubectl delete cm conf missing", &["deleted"])?;
    desk.says("kubectl delete secret hush", &["deleted"])?;
    Ok(())
}
