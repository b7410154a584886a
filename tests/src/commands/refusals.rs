//! What cannot be is refused with upstream's words, and changes nothing.

use anyhow::Result;

use super::{Desk, fixture};

pub(super) fn commands(desk: &Desk) -> Result<()> {
    unknown_things(desk)?;
    wrong_values(desk)?;
    what_may_not_change(desk)
}

/// A manifest in one line.
fn applied(manifest: &str) -> String {
    format!("printf '%s' '{manifest}' | kubectl apply -f -")
}

fn unknown_things(desk: &Desk) -> Result<()> {
    // The kinds that are known are applied all the same.
    desk.refused(
        &format!("kubectl apply -f {}", fixture("two-and-a-stranger")),
        &[
            "configmap/known created",
            "no matches for kind \"Potato\" in version \"v1\"",
            "ensure CRDs are installed first",
        ],
    )?;
    desk.says("kubectl delete cm known", &["configmap \"known\" deleted"])?;
    desk.refused(
        &applied(r#"{"apiVersion":"apps/v9","kind":"StatefulSet","metadata":{"name":"x"}}"#),
        &["no matches for kind \"StatefulSet\" in version \"apps/v9\""],
    )?;
    desk.refused(
        &applied(r#"{"apiVersion":"v1","metadata":{"name":"x"}}"#),
        &["kind not set"],
    )?;
    desk.refused(
        &applied(r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"nowhere"}}"#),
        &["namespaces \"nowhere\" not found"],
    )?;
    let typos = fixture("typos");
    let unknown = "unknown field \"datum\", unknown field \"metadata.lables\"";
    desk.refused(
        &format!("kubectl apply -f {typos}"),
        &[&format!("ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: {unknown}")],
    )?;
    desk.says(
        &format!("kubectl apply -f {typos} --validate=warn --dry-run=server"),
        &[
            "Warning: unknown field \"datum\"",
            "Warning: unknown field \"metadata.lables\"",
            "configmap/typos created",
        ],
    )?;
    desk.says(
        &format!("kubectl apply -f {typos} --validate=ignore"),
        &["configmap/typos created"],
    )?;
    desk.prints(
        "kubectl get cm typos -o jsonpath='{.data} {.metadata.labels}'",
        r#"{"a":"b"}"#,
    )?;
    desk.refused(&format!("kubectl replace -f {typos}"), &[unknown])?;
    desk.says("kubectl delete cm typos", &["configmap \"typos\" deleted"])?;
    Ok(())
}

fn wrong_values(desk: &Desk) -> Result<()> {
    desk.refused(
        &applied(r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"containers":[{"name":"c","image":3}]}}"#),
        &["Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string"],
    )?;
    desk.refused(
        &format!("sed 's/replicas: -1/replicas: many/' {} | kubectl apply -f -", fixture("wrong-set")),
        &["json: cannot unmarshal string into Go struct field StatefulSetSpec.spec.replicas of type int32"],
    )?;
    desk.refused(
        &format!("sed 's/2Gi/lots/' {} | kubectl apply -f -", fixture("wrong-pod")),
        &["quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"],
    )?;
    desk.refused(
        &format!("kubectl apply -f {}", fixture("wrong-pod")),
        &[
            "The Pod \"wrong\" is invalid:",
            "* spec.containers[0].name: Invalid value: \"C\": a lowercase RFC 1123 label must consist of",
            "* spec.containers[0].image: Required value",
            "* spec.containers[0].ports[0].containerPort: Invalid value: 99999: must be between 1 and 65535, inclusive",
            "* spec.containers[0].volumeMounts[0].name: Not found: \"nothing\"",
            "* spec.containers[0].resources.requests: Invalid value: \"2Gi\": must be less than or equal to memory limit of 1Gi",
            "* spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ],
    )?;
    desk.refused(
        &format!("kubectl apply -f {}", fixture("wrong-set")),
        &[
            "The StatefulSet \"wrong\" is invalid:",
            "* spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "* spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match template `labels`",
            "* spec.template.spec.containers: Required value",
        ],
    )?;
    desk.refused(
        "kubectl create cm Bad_Name",
        &["metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain must consist of"],
    )?;
    desk.refused(
        "kubectl create service clusterip x --tcp=80 --clusterip=10.96.0.1",
        &["failed to allocate IP 10.96.0.1: provided IP is already allocated"],
    )?;
    desk.refused(
        "head -c 1100000 /dev/zero | tr '\\0' x > $LAB_DIR/big; kubectl create cm big --from-file=$LAB_DIR/big",
        &["[]: Too long: may not be more than 1048576 bytes"],
    )
}

fn what_may_not_change(desk: &Desk) -> Result<()> {
    let claim = fixture("claim");
    desk.prints(
        &format!("kubectl apply -f {claim}"),
        "persistentvolumeclaim/claim created",
    )?;
    desk.refused(
        &format!("sed s/1Mi/2Mi/ {claim} | kubectl apply -f -"),
        &["spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"],
    )?;
    desk.comes_to_say(
        "kubectl describe pvc claim",
        &["Status: Pending", "WaitForFirstConsumer", "Used By: <none>"],
    )?;
    desk.says(
        "kubectl delete pvc claim",
        &["persistentvolumeclaim \"claim\" deleted"],
    )?;
    desk.prints(
        "kubectl create service clusterip fixed --tcp=80",
        "service/fixed created",
    )?;
    desk.refused(
        r#"kubectl patch svc fixed -p '{"spec":{"clusterIP":"10.96.0.77"}}'"#,
        &["spec.clusterIPs[0]: Invalid value: [\"10.96.0.77\"]: may not change once set"],
    )?;
    desk.prints(
        r#"kubectl patch svc fixed -p '{"spec":{"type":"NodePort"}}'"#,
        "service/fixed patched",
    )?;
    desk.says("kubectl get svc fixed", &["fixed NodePort 10.96.", "80:3"])?;
    desk.says("kubectl delete svc fixed", &["service \"fixed\" deleted"])?;
    let set = fixture("set");
    desk.says(
        &format!("sed 's/replicas: 2/replicas: 0/' {set} | kubectl apply -f -"),
        &["statefulset.apps/web created"],
    )?;
    let fixed = "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
    desk.refused(
        &format!("sed 's/serviceName: web/serviceName: other/' {set} | kubectl apply -f -"),
        &[fixed],
    )?;
    desk.refused(
        &format!("sed 's/1Mi/2Mi/' {set} | kubectl apply -f -"),
        &[fixed],
    )?;
    desk.says(
        &format!("kubectl delete -f {set}"),
        &[
            "service \"web\" deleted",
            "statefulset.apps \"web\" deleted",
        ],
    )?;
    desk.refused(
        "kubectl delete ns default",
        &["namespaces \"default\" is forbidden: this namespace may not be deleted"],
    )?;
    desk.refused(
        "kubectl scale sts nobody --replicas=1",
        &["statefulsets.apps \"nobody\" not found"],
    )?;
    desk.refused(
        "kubectl rollout status sts nobody",
        &["statefulsets.apps \"nobody\" not found"],
    )
}
