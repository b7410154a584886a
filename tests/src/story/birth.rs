//! The set comes to life: image, ordered creation, and what a person then sees.

use anyhow::{Context, Result, ensure};

use super::{Stage, heading};

impl Stage {
    /// Makes the image that everything else is made of: Node.js and busybox.
    pub(crate) fn import_base(&self) -> Result<()> {
        let base = self.cast.project.join("target/tools/plinth-node.tar");
        self.shell
            .run(&format!(
                "plinth image import --rootfs plinth-node {}",
                base.display()
            ))?
            .ok()?;
        Ok(())
    }

    pub(crate) fn build_images(&self) -> Result<()> {
        heading("1. an image is built");
        self.import_base()?;
        self.shell
            .run("plinth image build -t kubia-stored examples/kubia")?
            .ok()?;
        let again = self
            .shell
            .run("plinth image build -t kubia-stored examples/kubia")?
            .ok()?;
        ensure!(
            format!("{}{}", again.stdout, again.stderr).contains("CACHED"),
            "building the same again does not use the cache"
        );
        self.shell
            .run("plinth image ls")?
            .ok()?
            .says("kubia-stored")?;
        Ok(())
    }

    pub(super) fn create_the_set(&self) -> Result<()> {
        heading("2. a Service and a StatefulSet are applied; 3. members come one after the other");
        let watch = self.shell.watch("kubectl get po -w")?;
        let applied = self
            .shell
            .run(&format!(
                "kubectl apply -f {}",
                Self::example("kubia.yaml").display()
            ))?
            .ok()?;
        applied
            .says("service/kubia created")?
            .says("statefulset.apps/kubia created")?;
        self.rolled_out("kubia")?;
        let lines = watch.stop()?;
        let position = |pod: &str, status: &str| {
            let found = lines.iter().position(|line| {
                let columns: Vec<_> = line.split_whitespace().collect();
                columns.first() == Some(&pod) && columns.get(2) == Some(&status)
            });
            found.with_context(|| format!("{pod} was never seen {status}"))
        };
        for (earlier, later) in [("kubia-0", "kubia-1"), ("kubia-1", "kubia-2")] {
            let running = position(earlier, "Running")?;
            let first = lines
                .iter()
                .position(|line| line.starts_with(later))
                .context("a member never came")?;
            ensure!(running < first, "{later} came before {earlier} was running");
            position(later, "ContainerCreating")?;
        }
        Ok(())
    }

    pub(super) fn look_at_everything(&self) -> Result<()> {
        heading("4. what there is");
        self.shell.run("kubectl get sts")?.ok()?.says("3/3")?;
        let volumes = self.shell.run("kubectl get pv")?.ok()?;
        volumes
            .clone()
            .says("CAPACITY   ACCESS MODES   RECLAIM POLICY   STATUS   CLAIM")?;
        let claims = self.shell.run("kubectl get pvc")?.ok()?;
        for ordinal in 0..3 {
            let claim = format!("datapvc-kubia-{ordinal}");
            let rows = claims.rows();
            let row = rows
                .iter()
                .find(|row| row[0] == claim)
                .with_context(|| format!("no claim {claim}"))?;
            ensure!(
                row[1] == "Bound" && row[3..6] == ["1Mi", "RWO", "local-path"],
                "{row:?}"
            );
            let volume = row[2];
            let rows = volumes.rows();
            let row = rows
                .iter()
                .find(|row| row[0] == volume)
                .with_context(|| format!("no volume {volume}"))?;
            let expected = [
                "1Mi",
                "RWO",
                "Delete",
                "Bound",
                &format!("default/{claim}"),
                "local-path",
            ];
            ensure!(row[1..7] == expected, "{row:?}");
        }
        let services = self.shell.run("kubectl get svc")?.ok()?;
        let row = |name: &str| {
            let rows = services.rows();
            rows.into_iter()
                .find(|row| row[0] == name)
                .with_context(|| format!("no service {name}"))
        };
        ensure!(row("kubernetes")?[1..5] == ["ClusterIP", "10.96.0.1", "<none>", "443/TCP"]);
        ensure!(row("kubia")?[1..5] == ["ClusterIP", "None", "<none>", "80/TCP"]);
        let endpoints = self.shell.run("kubectl get endpoints kubia")?.ok()?;
        for ordinal in 0..3 {
            let address = format!("{}:8080", self.pod_ip(&format!("kubia-{ordinal}"))?);
            ensure!(endpoints.stdout.contains(&address), "{address} is missing");
        }
        Ok(())
    }

    pub(super) fn store_something(&self) -> Result<()> {
        heading("5. every member has a volume of its own");
        let (zero, one) = (self.pod_ip("kubia-0")?, self.pod_ip("kubia-1")?);
        self.curl(&format!("{one}:8080"))?
            .says("No data posted yet")?;
        self.curl(&format!("-d 'hello kubia.' {one}:8080"))?
            .says("Data stored on kubia-1")?;
        let told = self.curl(&format!("{one}:8080"))?;
        told.says("You've hit kubia-1")?
            .says("Data stored on this Pod: hello kubia.")?;
        self.curl(&format!("{zero}:8080"))?
            .says("No data posted yet")?;
        let storage = self.cast.directory.join("data/storage");
        let directory = self
            .shell
            .run(&format!(
                "ls -d {}/pvc-*_default_datapvc-kubia-1",
                storage.display()
            ))?
            .ok()?;
        self.shell
            .run(&format!("cat {}/kubia.txt", directory.stdout.trim()))?
            .ok()?
            .says("hello kubia.")?;
        self.shell
            .run("kubectl logs kubia-1")?
            .ok()?
            .says("stored what was posted")?;
        Ok(())
    }

    pub(super) fn resolve_names(&self) -> Result<()> {
        heading("7. names, asked from inside a pod");
        // A pod that asks and says what it heard: its log is what a shell inside would have shown.
        let questions = "hostname; nslookup kubia-1.kubia.default.svc.cluster.local; \
                         nslookup -type=srv _http._tcp.kubia.default.svc.cluster.local; \
                         cat /etc/resolv.conf; wget -qO- http://kubia-1.kubia:8080; node /ask.js";
        // The short name goes through the C library's search list, as any program's would.
        let script = "require('dns').lookup('kubia-1.kubia', (e, a) => console.log('kubia-1.kubia is', e || a)); \
                      require('https').get({host: '10.96.0.1', path: '/version', rejectUnauthorized: false}, \
                      r => r.pipe(process.stdout))";
        let questions = questions.replace("/ask.js", &format!("-e \"{script}\""));
        let line = format!(
            "kubectl run asker --image=plinth-node --image-pull-policy=Never --restart=Never --command -- sh -c '{}'",
            questions.replace('\'', "'\\''")
        );
        self.shell.run(&line)?.ok()?;
        self.shell
            .run("kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod/asker --timeout=60s")?
            .ok()?;
        let heard = self.shell.run("kubectl logs asker")?.ok()?;
        let one = self.pod_ip("kubia-1")?;
        ensure!(
            heard.stdout.starts_with("asker\n"),
            "the hostname is not the pod's name"
        );
        heard
            .says(&format!("Address: {one}"))?
            .says(&format!("kubia-1.kubia is {one}"))?
            .says("8080 kubia-2.kubia.default.svc.cluster.local")?
            .says("search default.svc.cluster.local svc.cluster.local cluster.local")?
            .says("You've hit kubia-1")?
            .says("gitVersion")?;
        self.shell.run("kubectl delete pod asker")?.ok()?;
        Ok(())
    }

    pub(super) fn explain_and_describe(&self) -> Result<()> {
        heading("8. documentation and details");
        let explained = self
            .shell
            .run("kubectl explain statefulset.spec.updateStrategy")?
            .ok()?;
        explained
            .says("StatefulSetUpdateStrategy")?
            .says("rollingUpdate")?
            .says("DESCRIPTION")?;
        let ip = self.pod_ip("kubia-1")?;
        self.shell
            .run("kubectl describe pod kubia-1")?
            .ok()?
            .says(&ip)?
            .says("Started")?;
        self.shell
            .run("kubectl describe sts kubia")?
            .ok()?
            .says("3 desired | 3 total")?
            .says("SuccessfulCreate")?;
        Ok(())
    }
}
