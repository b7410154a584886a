//! Who may do what: asking, giving, acting as others, and what a pod may do with the token it finds.

use anyhow::Result;

use super::{Desk, fixture};

const READER: &str = "system:serviceaccount:default:reader";

pub(super) fn commands(desk: &Desk) -> Result<()> {
    asking(desk)?;
    giving(desk)?;
    from_inside(desk)?;
    certificates(desk)
}

fn asking(desk: &Desk) -> Result<()> {
    desk.says(
        "kubectl auth whoami",
        &[
            "Username kubernetes-admin",
            "[system:masters system:authenticated]",
        ],
    )?;
    desk.prints("kubectl auth can-i '*' '*'", "yes")?;
    desk.refused("kubectl auth can-i get pods --as jane", &["no"])?;
    desk.refused(
        "kubectl get pods --as jane",
        &[r#"Error from server (Forbidden): pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default""#],
    )?;
    desk.says(
        "kubectl get clusterrole view -o jsonpath={.rules[*].resources}",
        &["configmaps", "statefulsets"],
    )?;
    Ok(())
}

fn giving(desk: &Desk) -> Result<()> {
    desk.prints("kubectl create sa reader", "serviceaccount/reader created")?;
    desk.prints(
        "kubectl create role reads --verb=get,list --resource=pods,configmaps",
        "role.rbac.authorization.k8s.io/reads created",
    )?;
    desk.prints(
        "kubectl create rolebinding reads --role=reads --serviceaccount=default:reader",
        "rolebinding.rbac.authorization.k8s.io/reads created",
    )?;
    desk.prints(
        &format!("kubectl auth can-i list pods --as {READER}"),
        "yes",
    )?;
    desk.refused(
        &format!("kubectl auth can-i delete pods --as {READER}"),
        &["no"],
    )?;
    desk.refused(
        &format!("kubectl auth can-i list pods -n kube-system --as {READER}"),
        &["no"],
    )?;
    desk.says(
        &format!("kubectl auth can-i --list --as {READER}"),
        &[
            "configmaps [] [] [get list]",
            "selfsubjectreviews.authentication.k8s.io [] [] [create]",
        ],
    )?;
    desk.refused(
        &format!("kubectl create role more --verb='*' --resource=secrets --as {READER}"),
        &["is forbidden"],
    )?;
    desk.says(
        "kubectl describe rolebinding reads",
        &["Kind: Role", "ServiceAccount reader default"],
    )?;
    desk.says("kubectl create token reader --duration 20m", &["eyJ"])?;
    desk.says(
        "curl -sk -H \"Authorization: Bearer $(kubectl create token reader)\" \
         $(kubectl config view -o jsonpath={.clusters[0].cluster.server})/api/v1/namespaces/default/pods",
        &[r#""kind":"PodList""#],
    )?;
    desk.refused(
        "kubectl create token reader --duration 1m",
        &["may not specify a duration less than 10 minutes"],
    )
}

/// A pod asks the API for pods, which it may see, and for secrets, which it may not.
fn from_inside(desk: &Desk) -> Result<()> {
    desk.prints(
        &format!("kubectl apply -f {}", fixture("caller")),
        "pod/caller created",
    )?;
    desk.comes_to_say("kubectl logs caller", &["done"])?;
    desk.says(
        "kubectl logs caller",
        &["namespace=default\npods: 200 PodList undefined\nsecrets: 403 Status Forbidden\ndone"],
    )?;
    desk.says(
        "kubectl get pod caller -o jsonpath={.spec.volumes[0].name}",
        &["kube-api-access-"],
    )?;
    desk.says("kubectl delete pod caller", &[r#"pod "caller" deleted"#])?;
    Ok(())
}

fn certificates(desk: &Desk) -> Result<()> {
    desk.says(
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /O=devs/CN=jane \
         -keyout $LAB_DIR/jane.key -out $LAB_DIR/jane.csr 2>&1; echo made",
        &["made"],
    )?;
    desk.says(
        "printf 'apiVersion: certificates.k8s.io/v1\\nkind: CertificateSigningRequest\\nmetadata: {name: jane}\\n\
         spec: {signerName: kubernetes.io/kube-apiserver-client, usages: [client auth], request: %s}\\n' \
         $(base64 -w0 $LAB_DIR/jane.csr) | kubectl apply -f -",
        &["certificatesigningrequest.certificates.k8s.io/jane created"],
    )?;
    desk.says(
        "kubectl get csr",
        &[
            "jane",
            "kubernetes.io/kube-apiserver-client kubernetes-admin <none> Pending",
        ],
    )?;
    desk.says(
        "kubectl certificate approve jane",
        &["certificatesigningrequest.certificates.k8s.io/jane approved"],
    )?;
    desk.comes_to_say("kubectl get csr jane", &["Approved,Issued"])?;
    desk.says(
        "kubectl get csr jane -o jsonpath={.status.certificate} | base64 -d > $LAB_DIR/jane.crt; \
         kubectl config view --raw -o jsonpath={.clusters[0].cluster.server} > $LAB_DIR/server; \
         kubectl --kubeconfig /dev/null --server $(cat $LAB_DIR/server) --insecure-skip-tls-verify \
         --client-certificate $LAB_DIR/jane.crt --client-key $LAB_DIR/jane.key auth whoami",
        &["Username jane", "[devs system:authenticated]"],
    )?;
    Ok(())
}
