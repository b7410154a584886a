//! Objects are made, changed and shown: what holds for every kind, tried with ConfigMaps.

use anyhow::{Result, ensure};

use super::{Desk, PATIENCE, fixture};

pub(super) fn commands(desk: &Desk) -> Result<()> {
    make_and_change(desk)?;
    patch(desk)?;
    show(desk)?;
    watch(desk)?;
    remove(desk)
}

fn make_and_change(desk: &Desk) -> Result<()> {
    let file = fixture("config");
    desk.prints(
        &format!("kubectl apply -f {file} --dry-run=client"),
        "configmap/one created (dry run)",
    )?;
    desk.prints(
        &format!("kubectl apply -f {file} --dry-run=server"),
        "configmap/one created (server dry run)",
    )?;
    desk.refused("kubectl get cm one", &["configmaps \"one\" not found"])?;
    desk.prints(&format!("kubectl apply -f {file}"), "configmap/one created")?;
    desk.prints(
        &format!("kubectl apply -f {file}"),
        "configmap/one unchanged",
    )?;
    // A field that the file no longer has goes; what others added stays.
    desk.prints(
        "kubectl patch cm one -p '{\"data\":{\"foreign\":\"x\"}}'",
        "configmap/one patched",
    )?;
    desk.prints(
        &format!("sed 's/b: .2./c: \"3\"/' {file} | kubectl apply -f -"),
        "configmap/one configured",
    )?;
    desk.prints(
        "kubectl get cm one -o jsonpath={.data}",
        r#"{"a":"1","c":"3","foreign":"x"}"#,
    )?;
    desk.says(
        &format!("kubectl diff -f {file}; test $? = 1"),
        &["+ b: \"2\"", "- c: \"3\""],
    )?;
    desk.says("kubectl apply view-last-applied cm one", &["c: \"3\""])?;
    desk.refused(
        &format!("kubectl create -f {file}"),
        &[
            "Error from server (AlreadyExists): error when creating",
            "configmaps \"one\" already exists",
        ],
    )?;
    desk.prints(
        &format!("kubectl replace -f {file}"),
        "configmap/one replaced",
    )?;
    desk.prints(
        "kubectl get cm one -o jsonpath={.data}",
        r#"{"a":"1","b":"2"}"#,
    )?;
    desk.says(
        &format!("kubectl replace --force -f {file}"),
        &["configmap \"one\" deleted", "configmap/one replaced"],
    )?;
    desk.prints(
        "KUBE_EDITOR='sed -i s/b:/edited:/' kubectl edit cm one",
        "configmap/one edited",
    )?;
    desk.prints("kubectl get cm one -o jsonpath={.data.edited}", "2")?;
    desk.says(
        "KUBE_EDITOR=true kubectl edit cm one",
        &["Edit cancelled, no changes made."],
    )?;
    desk.prints("kubectl label cm one tier=front", "configmap/one labeled")?;
    desk.refused(
        "kubectl label cm one tier=back",
        &["already has a value (front), and --overwrite is false"],
    )?;
    desk.prints(
        "kubectl label cm one tier=back --overwrite",
        "configmap/one labeled",
    )?;
    desk.prints("kubectl label cm one tier-", "configmap/one unlabeled")?;
    desk.refused(
        "kubectl label cm one 'tier=a b'",
        &["a valid label must be an empty string or consist of"],
    )?;
    desk.prints(
        "kubectl annotate cm one note='two words'",
        "configmap/one annotated",
    )?;
    desk.prints("kubectl annotate cm one note-", "configmap/one annotated")?;
    desk.prints(
        "kubectl create cm made --from-literal=k=v",
        "configmap/made created",
    )?;
    desk.prints(
        "kubectl create secret generic made --from-literal=k=v",
        "secret/made created",
    )?;
    desk.prints("kubectl get secret made -o jsonpath={.data.k}", "dg==")?;
    desk.says(
        "kubectl describe secret made",
        &["Type: Opaque", "k: 1 bytes"],
    )?;
    desk.says("kubectl describe cm made", &["k:\n----\nv"])?;
    desk.prints("kubectl create sa robot", "serviceaccount/robot created")?;
    desk.prints(
        "kubectl create service clusterip made --tcp=80:8080",
        "service/made created",
    )?;
    desk.says(
        "kubectl get svc made",
        &["made ClusterIP 10.96.", "<none> 80/TCP"],
    )?;
    desk.says(
        "kubectl delete cm/made secret/made sa/robot svc/made",
        &["configmap \"made\" deleted", "service \"made\" deleted"],
    )?;
    Ok(())
}

fn patch(desk: &Desk) -> Result<()> {
    let json = |patch: &str| format!("kubectl patch cm one --type=json -p '{patch}'");
    desk.prints(
        &json(r#"[{"op":"add","path":"/data/n","value":"9"}]"#),
        "configmap/one patched",
    )?;
    let rejected =
        "The request is invalid: the server rejected our request due to an error in our request";
    desk.refused(
        &json(r#"[{"op":"test","path":"/data/n","value":"8"}]"#),
        &[rejected],
    )?;
    desk.refused(
        &json(r#"[{"op":"remove","path":"/data/nothing"}]"#),
        &[rejected],
    )?;
    desk.prints(
        r#"kubectl patch cm one --type=merge -p '{"data":{"n":null}}'"#,
        "configmap/one patched",
    )?;
    desk.prints(
        r#"kubectl patch cm one -p '{"data":{"q":"1"}}'"#,
        "configmap/one patched",
    )?;
    desk.prints(
        r#"kubectl patch cm one -p '{"data":{"q":"1"}}'"#,
        "configmap/one patched (no change)",
    )?;
    desk.refused(
        r#"kubectl patch cm one -p '{"data":{"q":1}}'"#,
        &["patch: Invalid value: \"map[data:map[q:1]]\": cannot convert int64 to string"],
    )?;
    desk.prints(
        "kubectl get cm one -o jsonpath={.data}",
        r#"{"a":"1","edited":"2","q":"1"}"#,
    )
}

fn show(desk: &Desk) -> Result<()> {
    desk.says(
        "kubectl get cm",
        &["NAME DATA AGE\nkube-root-ca.crt 1", "\none 3 "],
    )?;
    desk.prints("kubectl get cm one -o name", "configmap/one")?;
    desk.says("kubectl get cm one -o wide", &["NAME DATA AGE\none 3"])?;
    desk.says(
        "kubectl get cm one -o yaml",
        &[
            "apiVersion: v1\ndata:\na: \"1\"",
            "kind: ConfigMap\nmetadata:",
        ],
    )?;
    desk.says("kubectl get cm one -o json", &["\"kind\": \"ConfigMap\""])?;
    desk.says(
        "kubectl get cm one -o custom-columns=N:.metadata.name,A:.data.a",
        &["N A\none 1"],
    )?;
    desk.prints("kubectl get cm one -o go-template='{{.data.a}}'", "1")?;
    desk.says(
        "kubectl get cm one --show-labels",
        &["NAME DATA AGE LABELS", "app=a"],
    )?;
    desk.says("kubectl get cm -L app", &["NAME DATA AGE APP"])?;
    desk.says(
        "kubectl get cm -A",
        &[
            "NAMESPACE NAME DATA AGE\ndefault kube-root-ca.crt 1",
            "kube-system kube-root-ca.crt 1",
        ],
    )?;
    desk.prints("kubectl get cm -l app=a -o name", "configmap/one")?;
    desk.prints(
        "kubectl get cm -l 'app in (a,b),!other' -o name",
        "configmap/one",
    )?;
    desk.says(
        "kubectl get cm -l app=b",
        &["No resources found in default namespace."],
    )?;
    desk.refused(
        "kubectl get cm -l app=a=b",
        &["found '=', expected: ',' or 'end of string'"],
    )?;
    desk.prints(
        "kubectl get cm --field-selector metadata.name=one -o name",
        "configmap/one",
    )?;
    desk.refused(
        "kubectl get cm --field-selector data.a=1",
        &["\"data.a\" is not a known field selector"],
    )?;
    desk.refused(
        "kubectl get pod --field-selector spec.image=x",
        &["field label not supported: spec.image"],
    )?;
    desk.prints(
        "kubectl get cm -n default --sort-by={.metadata.creationTimestamp} -o name",
        "configmap/kube-root-ca.crt\nconfigmap/one",
    )?;
    let chunked = desk.says("kubectl get cm -A --chunk-size=1 -o name", &[])?;
    ensure!(
        chunked.lines().count() == 5,
        "pages of one miss or repeat something:\n{chunked}"
    );
    desk.refused(
        "kubectl get cm nothing",
        &["Error from server (NotFound): configmaps \"nothing\" not found"],
    )?;
    desk.prints("kubectl get cm nothing --ignore-not-found", "")?;
    desk.says(
        "kubectl get statefulset.apps",
        &["No resources found in default namespace."],
    )?;
    desk.says(
        "kubectl get svc,cm one --ignore-not-found",
        &["NAME DATA AGE\none 3"],
    )?;
    Ok(())
}

fn watch(desk: &Desk) -> Result<()> {
    let watch = desk
        .shell
        .watch("kubectl get cm -l app=watched -w --output-watch-events")?;
    desk.prints(
        "kubectl create cm seen --from-literal=a=1",
        "configmap/seen created",
    )?;
    desk.prints(
        "kubectl label cm seen app=watched",
        "configmap/seen labeled",
    )?;
    desk.prints(
        "kubectl patch cm seen -p '{\"data\":{\"b\":\"2\"}}'",
        "configmap/seen patched",
    )?;
    desk.prints("kubectl label cm seen app-", "configmap/seen unlabeled")?;
    let row = |line: &String, kind: &str, keys: &str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        columns.starts_with(&[kind, "seen", keys])
    };
    watch.until(PATIENCE, |lines| {
        lines.iter().any(|line| line.starts_with("DELETED"))
    })?;
    let lines = watch.stop()?;
    let expected = [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")];
    ensure!(
        lines.len() == 4
            && expected
                .iter()
                .zip(&lines[1..])
                .all(|((kind, keys), line)| row(line, kind, keys)),
        "a watch with a selector says {lines:?}"
    );
    desk.says("kubectl delete cm seen", &["configmap \"seen\" deleted"])?;
    Ok(())
}

fn remove(desk: &Desk) -> Result<()> {
    let file = fixture("config");
    desk.says(
        "kubectl delete cm one --dry-run=server",
        &["configmap \"one\" deleted", "(server dry run)"],
    )?;
    desk.refused(
        "kubectl delete cm one nothing",
        &[
            "configmap \"one\" deleted",
            "configmaps \"nothing\" not found",
        ],
    )?;
    desk.refused(
        &format!("kubectl delete -f {file}"),
        &["configmaps \"one\" not found"],
    )?;
    desk.says(&format!("kubectl delete -f {file} --ignore-not-found"), &[])?;
    desk.says("kubectl delete cm -l app=a", &["No resources found"])?;
    // The cluster's own is put back.
    desk.says(
        "kubectl delete cm --all",
        &["configmap \"kube-root-ca.crt\" deleted"],
    )?;
    desk.comes_to_say("kubectl get cm", &["kube-root-ca.crt 1"])
}
