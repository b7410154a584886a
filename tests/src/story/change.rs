//! The set changes: a new version and back, more members and fewer; and what is refused.

use anyhow::{Context, Result, ensure};

use super::{PATIENCE, Stage, heading};

impl Stage {
    pub(super) fn roll_out_and_back(&self) -> Result<()> {
        heading("9. a new version, from the highest ordinal down, and back");
        self.shell
            .run("plinth image build -t kubia-stored:v2 --build-arg VERSION=v2 examples/kubia")?
            .ok()?;
        let watch = self
            .shell
            .watch("kubectl get po -w --output-watch-events")?;
        self.shell
            .run("kubectl set image statefulset kubia kubia=kubia-stored:v2")?
            .ok()?
            .says("statefulset.apps/kubia image updated")?;
        self.rolled_out("kubia")?;
        let lines = watch.stop()?;
        let deleted: Vec<&str> = lines
            .iter()
            .filter(|line| line.starts_with("DELETED"))
            .filter_map(|line| line.split_whitespace().nth(1))
            .collect();
        ensure!(
            deleted == ["kubia-2", "kubia-1", "kubia-0"],
            "members were replaced in the order {deleted:?}"
        );
        let one = self.pod_ip("kubia-1")?;
        self.curl(&format!("{one}:8080"))?
            .says("v2, Data stored on this Pod: hello kubia.")?;
        let history = self
            .shell
            .run("kubectl rollout history statefulset kubia")?
            .ok()?;
        ensure!(
            history
                .stdout
                .lines()
                .filter(|line| line.starts_with(['1', '2']))
                .count()
                == 2,
            "two revisions were expected"
        );
        self.shell
            .run("kubectl rollout undo statefulset kubia")?
            .ok()?
            .says("rolled back")?;
        self.rolled_out("kubia")?;
        let one = self.pod_ip("kubia-1")?;
        let told = self.curl(&format!("{one}:8080"))?.says("hello kubia.")?;
        ensure!(!told.stdout.contains("v2"), "v1 was expected to be back");
        Ok(())
    }

    pub(super) fn scale_up_and_down(&self) -> Result<()> {
        heading("10. five members, then two: up in order, down from the top, claims stay");
        let watch = self
            .shell
            .watch("kubectl get po -w --output-watch-events")?;
        self.shell
            .run("kubectl scale statefulset kubia --replicas=5")?
            .ok()?
            .says("statefulset.apps/kubia scaled")?;
        self.rolled_out("kubia")?;
        // As the first process of its container, the app is deaf to SIGTERM until it listens.
        self.curl(&format!("{}:8080", self.pod_ip("kubia-4")?))?;
        self.shell
            .run("kubectl scale statefulset kubia --replicas=2")?
            .ok()?;
        for ordinal in 2..5 {
            self.shell
                .run(&format!(
                    "kubectl wait --for=delete pod/kubia-{ordinal} --timeout=60s"
                ))?
                .ok()?;
        }
        let lines = watch.stop()?;
        let of = |event: &str| -> Vec<String> {
            let matching = lines.iter().filter(|line| line.starts_with(event));
            let names = matching.filter_map(|line| line.split_whitespace().nth(1));
            names
                .filter(|name| !["kubia-0", "kubia-1"].contains(name))
                .map(str::to_owned)
                .collect()
        };
        let (added, deleted) = (of("ADDED"), of("DELETED"));
        ensure!(
            added.ends_with(&["kubia-3".to_owned(), "kubia-4".to_owned()]),
            "members came in the order {added:?}"
        );
        ensure!(
            deleted == ["kubia-4", "kubia-3", "kubia-2"],
            "members went in the order {deleted:?}"
        );
        let claims = self.shell.run("kubectl get pvc")?.ok()?;
        ensure!(
            claims.rows().iter().filter(|row| row[1] == "Bound").count() == 5,
            "all five claims were expected to stay"
        );
        self.shell.run("kubectl get sts kubia")?.ok()?.says("2/2")?;
        Ok(())
    }

    pub(super) fn refuse_bad_input(&self) -> Result<()> {
        heading("what cannot be is refused, clearly, and changes nothing");
        let refused = |line: &str, why: &str| -> Result<()> {
            let output = self.shell.run(line)?;
            ensure!(output.code != 0, "`{line}` was not refused");
            ensure!(
                output.stderr.contains(why) || output.stdout.contains(why),
                "`{line}` does not say {why:?}"
            );
            Ok(())
        };
        let before = self
            .shell
            .quietly("kubectl get sts kubia -o jsonpath={.metadata.resourceVersion}")?
            .ok()?
            .stdout;
        refused(
            "kubectl patch sts kubia -p '{\"spec\":{\"serviceName\":\"other\"}}'",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
             'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        )?;
        refused(
            "kubectl patch sts kubia --type=merge -p '{\"spec\":{\"replicas\":-1}}'",
            "must be greater than or equal to 0",
        )?;
        refused(
            "kubectl get widgets",
            "the server doesn't have a resource type",
        )?;
        refused("kubectl get pod nobody", "pods \"nobody\" not found")?;
        refused(
            "printf 'apiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: typo}\\ndatta: {a: b}\\n' | kubectl create -f -",
            "unknown field \"datta\"",
        )?;
        refused(
            "printf 'FROM scratch\\nFLY me\\n' | plinth image build -t moon -f /dev/stdin examples/kubia",
            "FLY",
        )?;
        refused(
            &format!(
                "plinth server --config {} --secure-port 6444",
                self.config.display()
            ),
            "already in use by process",
        )?;
        refused(
            "plinth server --data-dir $LAB_DIR/other --write-kubeconfig $LAB_DIR/other.yaml",
            "listening on 0.0.0.0:6443 for the API: Address already in use",
        )?;
        refused(
            "printf 'secure-prot: 1\\n' > $LAB_DIR/typo.yaml; plinth server --config $LAB_DIR/typo.yaml",
            "secure-prot",
        )?;
        let after = self
            .shell
            .quietly("kubectl get sts kubia -o jsonpath={.metadata.resourceVersion}")?
            .ok()?
            .stdout;
        ensure!(before == after, "a refused change left a trace");

        self.shell
            .run("kubectl run missing --image=no-such-image --image-pull-policy=Never")?
            .ok()?;
        self.shell
            .until("kubectl get pod missing", PATIENCE, |output| {
                output.stdout.contains("ErrImageNeverPull")
            })?;
        self.shell.run("kubectl delete pod missing")?.ok()?;

        let claim = "printf 'apiVersion: v1\\nkind: PersistentVolumeClaim\\nmetadata: {name: hopeless}\\nspec: {storageClassName: none-such, \
                     accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}\\n' | kubectl apply -f -";
        self.shell.run(claim)?.ok()?;
        self.shell
            .until("kubectl describe pvc hopeless", PATIENCE, |output| {
                output.stdout.contains("Pending")
                    && output
                        .stdout
                        .contains("storageclass.storage.k8s.io \"none-such\" not found")
            })?;
        self.shell.run("kubectl delete pvc hopeless")?.ok()?;
        let events = self
            .shell
            .run("kubectl get events --field-selector involvedObject.name=kubia")?
            .ok()?;
        events
            .rows()
            .iter()
            .find(|row| row.contains(&"SuccessfulCreate"))
            .context("no event tells of the creation")?;
        Ok(())
    }
}
