//! A report of one lane's exchanges, and what the ledger does with it.

use anyhow::Context as _;
use armour_protocol::v2::{
    ledger::{Exchange, Run, Verdict, compare},
    run_builder::RunBuilder,
    suite::Suite,
};

use crate::lane::Bundle;

const EXCHANGES: usize = 32;

/// A run of 32 exchanges that follows the one that is recorded.
pub struct Judged {
    bundle: Bundle,
    recorded: Vec<Exchange>,
    reported: Run,
}

impl Judged {
    /// Makes the exchanges.
    ///
    /// # Errors
    /// If an end refuses what the other sends.
    pub fn new() -> anyhow::Result<Self> {
        let mut bundle = Bundle::new(Suite::X25519ChaCha20Poly1305)?;
        let (mut lane, _) = bundle.open()?;
        let mut runs: Vec<RunBuilder> = Vec::new();
        for n in 0..=EXCHANGES {
            let (next, _, [ticket, receipt]) = bundle.refreshed(lane)?;
            lane = next;
            // The first is what the ledger has already.
            if n < 2 {
                runs.push(RunBuilder::of(&ticket));
            }
            let run = runs.last_mut().context("a run")?;
            let follows = (n < 2 || run.push(bundle.context(), &ticket))
                && run.push(bundle.context(), &receipt);
            anyhow::ensure!(follows, "a chain");
        }
        let reported = runs.pop().context("a report")?.finish();
        let recorded = runs.pop().context("a record")?.finish();
        let recorded = recorded.verified(bundle.context())?;
        Ok(Self {
            bundle,
            recorded,
            reported,
        })
    }

    /// Checks the report's two proofs and compares it with the record, short of storing it.
    ///
    /// # Errors
    /// If the report is not taken.
    pub fn judge(&self) -> anyhow::Result<()> {
        let reported = self.reported.verified(self.bundle.context())?;
        let verdict = compare(&self.recorded, None, &reported);
        anyhow::ensure!(verdict == (Verdict::Extends { from: 0 }), "{verdict:?}");
        Ok(())
    }
}
