//! What is lost and what is not: a deleted pod, a restarted and a killed server, a member that will not go.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::{PATIENCE, Stage, heading};
use crate::{Process, Stop, processes};

impl Stage {
    pub(super) fn lose_a_pod(&self) -> Result<()> {
        heading("6. a deleted member returns: same name, same data, another address");
        let before = self.pod_ip("kubia-1")?;
        self.shell
            .run("kubectl delete po kubia-1")?
            .ok()?
            .says("pod \"kubia-1\" deleted")?;
        self.shell
            .until("kubectl get po kubia-1", PATIENCE, |output| {
                output.stdout.contains("1/1     Running")
            })?;
        let after = self.pod_ip("kubia-1")?;
        ensure!(
            before != after,
            "the address {after} was given again at once"
        );
        self.curl(&format!("{after}:8080"))?
            .says("You've hit kubia-1")?
            .says("hello kubia.")?;
        self.shell
            .until("kubectl get endpoints kubia", PATIENCE, |output| {
                output.stdout.contains(&format!("{after}:8080"))
                    && !output.stdout.contains(&format!("{before}:8080"))
            })?;
        Ok(())
    }

    pub(super) fn restart_the_server(&mut self) -> Result<()> {
        for how in [Stop::Terminate, Stop::Kill] {
            heading(&format!(
                "12. the server goes ({how:?}) and comes back: pods never notice"
            ));
            let state = "kubectl get po -o custom-columns=NAME:.metadata.name,UID:.metadata.uid,IP:.status.podIP,\
                         RESTARTS:.status.containerStatuses[*].restartCount,STARTED:.status.containerStatuses[*].state.running.startedAt";
            let before = self.shell.run(state)?.ok()?;
            let apps = Self::apps();
            ensure!(
                apps.len() >= 4,
                "expected the members' processes, found {apps:?}"
            );
            let one = self.pod_ip("kubia-1")?;
            self.stop_server(how)?;
            self.shell
                .run(&format!("curl -sS {one}:8080"))?
                .ok()?
                .says("hello kubia.")?;
            self.start_server()?;
            self.shell
                .run("kubectl wait --for=condition=Ready node/lab --timeout=60s")?
                .ok()?;
            // A write through the whole cluster shows that it works again, not only that it answers.
            self.shell
                .run(&format!(
                    "kubectl annotate --overwrite sts kubia example.org/seen={how:?}"
                ))?
                .ok()?;
            self.rolled_out("kubia")?;
            let after = self.shell.run(state)?.ok()?;
            ensure!(before.stdout == after.stdout, "pods are not what they were");
            ensure!(
                apps == Self::apps(),
                "processes are not what they were: {apps:?} {:?}",
                Self::apps()
            );
            self.shell
                .run(&format!("curl -sS {one}:8080"))?
                .ok()?
                .says("hello kubia.")?;
            self.shell.run("kubectl logs kubia-1 --tail=1")?.ok()?;
        }
        Ok(())
    }

    pub(super) fn replace_a_stubborn_member(&self) -> Result<()> {
        heading("13. a member that ignores SIGTERM: never two of the same identity");
        self.shell
            .run(&format!(
                "kubectl apply -f {}",
                Self::example("stubborn.yaml").display()
            ))?
            .ok()?;
        self.rolled_out("stubborn")?;
        let stubborn = || processes("trap '' TERM; while :");
        let old = match stubborn().as_slice() {
            [only] => only.clone(),
            other => bail!("expected one stubborn process, found {other:?}"),
        };
        let asked = Instant::now();
        self.shell
            .run("kubectl delete pod stubborn-0 --wait=false")?
            .ok()?;
        let new: Process = loop {
            let seen = stubborn();
            ensure!(seen.len() <= 1, "side by side: {seen:?}");
            if let Some(new) = seen.into_iter().find(|process| *process != old) {
                ensure!(!old.is_alive(), "{new:?} started while {old:?} still ran");
                break new;
            }
            ensure!(asked.elapsed() < PATIENCE, "no replacement came");
        };
        println!(
            "process {} was gone before process {} started, after {:.1} s",
            old.pid,
            new.pid,
            asked.elapsed().as_secs_f64()
        );
        ensure!(
            asked.elapsed().as_secs() >= 2,
            "it was not given its grace period of 3 s"
        );
        self.rolled_out("stubborn")?;
        let restarts = self
            .shell
            .run("kubectl get po stubborn-0 --no-headers")?
            .ok()?;
        let row: Vec<_> = restarts
            .stdout
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        ensure!(
            row.get(3).context("no restart count")? == "0",
            "the replacement is a new pod, not a restarted one"
        );
        Ok(())
    }
}
