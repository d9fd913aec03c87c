//! What the ledger, the audit log and the upstream recorded, held against each other.

use std::{collections::BTreeMap, fmt};

use anyhow::Context as _;
use armour_api::{AuditEntry, Bundle, LaneHead, RecordedTicket};
use tokio::process::Command;

use crate::{load::Tally, process::program, system::System};

/// What was recorded, and what of it is wrong.
#[derive(Debug, Default)]
pub struct History {
    /// What became of the calls.
    pub tally: Tally,
    /// Bundles and their lanes.
    pub lanes: (usize, usize),
    /// Exchanges in the ledger.
    pub recorded: u64,
    /// Lanes whose tickets are no unbroken chain from 0 to the head.
    pub broken_lanes: Vec<String>,
    /// Acts without their audit entry.
    pub unaudited: Vec<String>,
    /// What the offline check of the exported audit log says.
    pub audit: String,
    /// Whether it holds.
    pub audit_holds: bool,
}

/// Reads everything and checks it.
///
/// # Errors
/// If something cannot be read.
pub async fn check(system: &System, tally: Tally) -> anyhow::Result<History> {
    let mut history = History {
        tally,
        ..History::default()
    };
    let bundles: Vec<Bundle> = system.all("/v1/bundles?").await?;
    history.lanes.0 = bundles.len();
    for bundle in &bundles {
        let path = format!("/v1/bundles/{}/lanes", bundle.id);
        let heads: Vec<LaneHead> = system.operator.get(&path).await?;
        for head in heads {
            history.lanes.1 += 1;
            let path = format!("/v1/bundles/{}/tickets?lane={}&", bundle.id, head.lane);
            let tickets: Vec<RecordedTicket> = system.all(&path).await?;
            history.recorded += tickets.len() as u64;
            // Latest first, each the one before the last, down to 0: one value at a
            // time, which is what makes a lane linearizable.
            let numbers = tickets.iter().map(|ticket| ticket.n);
            if !numbers.eq((0..=head.n).rev()) {
                history
                    .broken_lanes
                    .push(format!("bundle {} lane {}", bundle.id, head.lane));
            }
        }
    }
    audit(system, &bundles, &mut history).await?;
    Ok(history)
}

/// Every act has its entry, and the log is whole.
async fn audit(system: &System, bundles: &[Bundle], history: &mut History) -> anyhow::Result<()> {
    let entries: Vec<AuditEntry> = system.all("/v1/audit?").await?;
    let mut noted: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for entry in &entries {
        *noted
            .entry((&entry.action, entry.target.clone()))
            .or_default() += 1;
    }
    let has = |action, id: &dyn ToString| {
        let id = id.to_string();
        noted
            .keys()
            .any(|(a, target)| *a == action && target.contains(&id))
    };
    for bundle in bundles {
        let state = match bundle.state {
            armour_api::BundleState::Active => None,
            armour_api::BundleState::Superseded => Some("bundle.supersede"),
            armour_api::BundleState::Disconnected => Some("bundle.disconnect"),
        };
        for action in ["bundle.mint"].into_iter().chain(state) {
            if !has(action, &bundle.id) {
                history.unaudited.push(format!("{action} of {}", bundle.id));
            }
        }
    }
    for collision in system.all_collisions().await? {
        if !has("collision.detect", &collision.bundle_id) {
            history
                .unaudited
                .push(format!("collision {}", collision.id));
        }
    }
    let file = system.folder().join("audit.ndjson");
    let export = system.operator.stream("/v1/audit/export").await?;
    tokio::fs::write(&file, export.bytes().await?).await?;
    let checked = Command::new(program("armour")?)
        .args(["audit", "verify"])
        .arg(&file)
        .output()
        .await
        .context("armour audit verify")?;
    history.audit_holds = checked.status.success();
    let said = [checked.stdout, checked.stderr].concat();
    history.audit = String::from_utf8_lossy(&said).trim().to_owned();
    Ok(())
}

impl History {
    /// Whether everything holds.
    pub fn is_clean(&self) -> bool {
        let tally = &self.tally;
        tally.run_twice + tally.lost + tally.wrong == 0
            && self.broken_lanes.is_empty()
            && self.unaudited.is_empty()
            && self.audit_holds
            && self.recorded >= tally.acknowledged
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.tally;
        writeln!(f, "history")?;
        let lines = [
            ("calls", tally.sent),
            ("acknowledged", tally.acknowledged),
            ("refused or outcome unknown", tally.refused),
            ("run twice upstream", tally.run_twice),
            ("acknowledged and lost", tally.lost),
            ("wrong answers", tally.wrong),
            ("bundles", self.lanes.0 as u64),
            ("lanes", self.lanes.1 as u64),
            ("exchanges in the ledger", self.recorded),
            ("lanes that are no chain", self.broken_lanes.len() as u64),
            ("acts without an audit entry", self.unaudited.len() as u64),
        ];
        for (name, value) in lines {
            writeln!(f, "  {name:46} {value:>8}")?;
        }
        for wrong in self.broken_lanes.iter().chain(&self.unaudited) {
            writeln!(f, "    {wrong}")?;
        }
        writeln!(f, "  audit log, checked offline: {}", self.audit)
    }
}
