//! The life of a release: a chart with a custom kind, a set with volumes, roles, a budget, hooks and a test.

use anyhow::Result;

use crate::desk::Desk;

const CHART: &str = "tests/fixtures/chart";
const WAIT: &str = "--wait --timeout 60s";

pub(super) fn life_of_a_release(desk: &Desk, tools: &str) -> Result<()> {
    desk.prints(
        &format!("ln -s {tools}/helm $LAB_DIR/bin/helm && helm version --template '{{{{.Version}}}}' | cut -d. -f1"),
        "v4",
    )?;
    look_before(desk)?;
    install(desk)?;
    upgrade_and_roll_back(desk)?;
    conflict(desk)?;
    failed_upgrade(desk)?;
    uninstall(desk)
}

/// What a careful person asks before installing; the server judges without keeping anything.
fn look_before(desk: &Desk) -> Result<()> {
    desk.says(
        &format!("helm lint {CHART}"),
        &["1 chart(s) linted, 0 chart(s) failed"],
    )?;
    desk.says(
        "cd $LAB_DIR && helm create fresh && helm install fresh ./fresh --dry-run=server",
        &[
            "Creating fresh",
            "STATUS: pending-install",
            "kind: Deployment",
        ],
    )?;
    desk.prints("helm list --short", "")?;
    desk.says(
        &format!("helm package {CHART} --destination $LAB_DIR"),
        &["ledger-1.0.0.tgz"],
    )?;
    Ok(())
}

fn install(desk: &Desk) -> Result<()> {
    desk.says(
        &format!("helm install first $LAB_DIR/ledger-1.0.0.tgz --namespace books --create-namespace {WAIT}"),
        &[
            "STATUS: deployed",
            "REVISION: 1",
            "first has 2 members that say hello.",
        ],
    )?;
    desk.says(
        "kubectl config set-context --current --namespace books",
        &["modified"],
    )?;
    // Waiting meant waiting: nothing is on its way any more.
    desk.prints(
        "kubectl get statefulset first -o jsonpath={.status.readyReplicas}/{.spec.replicas}",
        "2/2",
    )?;
    desk.prints(
        "kubectl get pvc -o 'jsonpath={.items[*].status.phase}'",
        "Bound Bound",
    )?;
    desk.prints("kubectl logs first-before", "before revision 1")?;
    desk.says("kubectl get book first", &["first 10"])?;
    desk.prints(
        "kubectl get book first -o jsonpath={.spec.binding}",
        "cloth",
    )?;
    desk.prints(
        "kubectl auth can-i list books --as system:serviceaccount:books:first",
        "yes",
    )?;
    desk.prints(
        "kubectl get configmap first -o jsonpath={.metadata.managedFields[*].manager}/{.metadata.managedFields[*].operation}",
        "helm/Apply",
    )?;
    desk.refused(
        &format!("helm install first {CHART}"),
        &["cannot reuse a name that is still in use"],
    )?;
    desk.says(
        "helm test first --logs",
        &["Phase: Succeeded", "POD LOGS: first-reads (main)\nhello"],
    )?;
    Ok(())
}

fn upgrade_and_roll_back(desk: &Desk) -> Result<()> {
    desk.says(
        &format!("helm upgrade first {CHART} --set greeting=bye,replicas=3,pages=20 {WAIT}"),
        &["REVISION: 2", "first has 3 members that say bye."],
    )?;
    desk.prints(
        "kubectl get statefulset first -o \
         jsonpath={.status.updatedReplicas}/{.status.readyReplicas}/{.spec.replicas}",
        "3/3/3",
    )?;
    desk.prints("kubectl exec first-0 -- cat /book/lines", "hello\nbye")?;
    desk.prints("kubectl logs first-before", "before revision 2")?;
    desk.says(
        &format!("helm rollback first 1 {WAIT}"),
        &["Rollback was a success!"],
    )?;
    desk.prints(
        "kubectl get pods -l app.kubernetes.io/instance=first -o name",
        "pod/first-0\npod/first-1",
    )?;
    desk.prints("kubectl get book first -o jsonpath={.spec.pages}", "10")?;
    desk.says("helm list", &["first books 3", "deployed ledger-1.0.0 1"])?;
    desk.says(
        "helm status first",
        &[
            "STATUS: deployed",
            "==> v1/StatefulSet\nNAME READY AGE\nfirst 2/2",
        ],
    )?;
    desk.says(
        "helm history first",
        &[
            "superseded ledger-1.0.0 1 Upgrade complete",
            "Rollback to 1",
        ],
    )?;
    desk.says("helm get values first --revision 2", &["greeting: bye"])?;
    desk.says("helm get manifest first", &["kind: PodDisruptionBudget"])?;
    desk.says("helm get hooks first", &["helm.sh/hook: test"])?;
    desk.says("helm get notes first", &["first has 2 members"])?;
    desk.says(
        "helm get metadata first",
        &["REVISION: 3", "STATUS: deployed"],
    )?;
    Ok(())
}

/// Somebody has taken a field over: helm says so, and takes it back only when told to.
fn conflict(desk: &Desk) -> Result<()> {
    desk.says(
        "printf 'apiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: first}\\ndata: {greeting: mine}\\n' | \
         kubectl apply --server-side --force-conflicts --field-manager hand -f -",
        &["configmap/first serverside-applied"],
    )?;
    desk.refused(
        &format!("helm upgrade first {CHART} --set greeting=again {WAIT}"),
        &[r#"Apply failed with 1 conflict: conflict with "hand": .data.greeting"#],
    )?;
    desk.prints(
        "kubectl get configmap first -o jsonpath={.data.greeting}",
        "mine",
    )?;
    desk.says(
        &format!("helm upgrade first {CHART} --set greeting=again --force-conflicts {WAIT}"),
        &["REVISION: 5"],
    )?;
    desk.prints(
        "kubectl get configmap first -o jsonpath={.data.greeting}",
        "again",
    )
}

fn failed_upgrade(desk: &Desk) -> Result<()> {
    desk.refused(
        &format!("helm upgrade first {CHART} --set greeting=again,pages=101 --rollback-on-failure --timeout 60s"),
        &[
            "spec.pages: Invalid value: 101: spec.pages in body should be less than or equal to 100",
            "has been rolled back",
        ],
    )?;
    desk.says(
        "helm history first",
        &[
            "6 ",
            "failed ledger-1.0.0",
            "deployed ledger-1.0.0 1 Rollback to 5",
        ],
    )?;
    desk.prints("kubectl get book first -o jsonpath={.spec.pages}", "10")
}

/// Everything of the release goes; claims, which the set made, and the custom kind stay.
fn uninstall(desk: &Desk) -> Result<()> {
    desk.says(
        &format!("helm uninstall first {WAIT}"),
        &[r#"release "first" uninstalled"#],
    )?;
    desk.says(
        "kubectl wait --for=delete pod -l app.kubernetes.io/instance=first --timeout=60s",
        &[],
    )?;
    desk.prints(
        "kubectl get statefulset,service,serviceaccount,role,rolebinding,pdb,book,configmap,secret,pod -o name | sort",
        "configmap/first-before\nconfigmap/kube-root-ca.crt\npod/first-before\npod/first-reads\n\
         serviceaccount/default",
    )?;
    desk.says(
        "kubectl get pvc -o name | sort",
        &["book-first-0", "book-first-1", "book-first-2"],
    )?;
    desk.says("kubectl get crd -o name", &["books.ledger.example.com"])?;
    desk.prints("helm list --short", "")
}
