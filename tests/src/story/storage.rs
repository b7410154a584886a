//! Volumes that were there before their claims.

use anyhow::{Context, Result, ensure};

use super::{Stage, heading};

impl Stage {
    pub(super) fn bind_volumes_made_by_hand(&self) -> Result<()> {
        heading("11. a set on volumes made by hand: each claim gets the smallest that fits");
        let manifest = Self::example("by-hand.yaml");
        self.shell
            .run(&format!(
                "sed \"s|\\${{LAB_DIR}}|$LAB_DIR|\" {} | kubectl apply -f -",
                manifest.display()
            ))?
            .ok()?;
        self.rolled_out("ledger")?;
        let claims = self.shell.run("kubectl get pvc -l app=ledger")?.ok()?;
        for (claim, volume) in [
            ("books-ledger-0", "by-hand-fits"),
            ("books-ledger-1", "by-hand-large"),
        ] {
            let rows = claims.rows();
            let row = rows
                .iter()
                .find(|row| row[0] == claim)
                .with_context(|| format!("no claim {claim}"))?;
            ensure!(row[1..3] == ["Bound", volume], "{row:?}");
        }
        self.shell
            .run("kubectl get pv by-hand-small")?
            .ok()?
            .says("Available")?;
        let ip = self.pod_ip("ledger-0")?;
        self.curl(&format!("{ip}:8080"))?
            .says("prepared by ledger-0")?;
        let file = self.cast.directory.join("by-hand/fits/kubia.txt");
        self.shell
            .run(&format!("cat {}", file.display()))?
            .ok()?
            .says("prepared by ledger-0")?;
        Ok(())
    }
}
