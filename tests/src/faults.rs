//! What a set must withstand: the server killed at any moment while the set changes. The schedule follows from a
//! seed, so a failure can be played again.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::story::{Cast, Stage};
use crate::{Stop, processes};

/// A small generator (SplitMix64): the same seed gives the same schedule everywhere.
struct Schedule(u64);

impl Schedule {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// Kills the server `rounds` times, each time somewhere in the middle of a change, and checks after each that
/// the set reaches its goal with one process a member and every member's data.
pub fn killed_at_any_moment(cast: Cast, seed: u64, rounds: usize) -> Result<()> {
    let mut stage = Stage::prepare(cast)?;
    let result = kills(&mut stage, seed, rounds);
    if result.is_err() {
        stage.print_log();
    }
    let reset = stage.reset();
    result?;
    reset
}

fn kills(stage: &mut Stage, seed: u64, rounds: usize) -> Result<()> {
    println!("seed {seed}");
    let mut schedule = Schedule(seed);
    stage.start_server()?;
    stage
        .shell
        .run("kubectl wait --for=condition=Ready node/lab --timeout=60s")?
        .ok()?;
    stage.build_images()?;
    stage
        .shell
        .run("kubectl apply -f examples/kubia/kubia.yaml")?
        .ok()?;
    stage.rolled_out("kubia")?;
    for ordinal in 0..3 {
        let ip = stage.pod_ip(&format!("kubia-{ordinal}"))?;
        stage.curl(&format!("-d 'of {ordinal}' {ip}:8080"))?;
    }
    let claims = volumes(stage)?;
    for round in 0..rounds {
        let change = match schedule.below(3) {
            0 => format!(
                "kubectl delete pod kubia-{} --wait=false",
                schedule.below(3)
            ),
            1 => format!("kubectl set env sts/kubia ROUND={round}"),
            _ => format!("kubectl annotate --overwrite sts kubia example.org/round={round}"),
        };
        stage.shell.run(&change)?.ok()?;
        // The moment is the point of the test; nothing is waited for.
        let moment = Duration::from_millis(schedule.below(1500));
        #[allow(clippy::disallowed_methods, reason = "this is no wait for anything")]
        thread::sleep(moment);
        println!("# killed {moment:?} into it");
        stage.stop_server(Stop::Kill)?;
        stage.start_server()?;
        stage.shell.run("kubectl get sts kubia")?.ok()?;
        stage.rolled_out("kubia")?;
        check(stage, &claims)?;
    }
    Ok(())
}

fn check(stage: &Stage, claims: &BTreeMap<String, String>) -> Result<()> {
    ensure!(&volumes(stage)? == claims, "a claim lost its volume");
    for ordinal in 0..3 {
        let ip = stage.pod_ip(&format!("kubia-{ordinal}"))?;
        let told = stage.curl(&format!("{ip}:8080"))?;
        told.says(&format!("You've hit kubia-{ordinal}\n"))?
            .says(&format!("of {ordinal}"))?;
    }
    let apps = processes("node /app.js");
    ensure!(
        apps.len() == 3,
        "three members, but these processes: {apps:?}"
    );
    let shims = processes("plinth shim");
    ensure!(shims.len() == 3, "three pods, but these shims: {shims:?}");
    Ok(())
}

/// Which volume each claim has.
fn volumes(stage: &Stage) -> Result<BTreeMap<String, String>> {
    let output = stage.shell.quietly("kubectl get pvc")?.ok()?;
    let rows = output.rows();
    rows.iter()
        .map(|row| {
            Ok((
                row.first().context("no name")?.to_string(),
                row.get(2).context("no volume")?.to_string(),
            ))
        })
        .collect()
}
