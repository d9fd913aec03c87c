//! What the ledger, the audit log and the upstream recorded, held against each other.

use std::{collections::BTreeMap, fmt};

use anyhow::Context as _;
use armour_api::{AuditEntry, Bundle, BundleState, LaneHead, RecordedTicket};
use tokio::process::Command;
use uuid::Uuid;

use crate::{ledger::heads, load::Tally, process::program, system::System};

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

/// Stops the agents, which report what they did before they end: from then on the ledger
/// stands still.
///
/// # Errors
/// If an agent does not end cleanly.
pub async fn settle(system: &mut System) -> anyhow::Result<()> {
    // The consumer first: the producer answers what is still under way.
    system.consumer.stop().await?;
    system.producer.stop().await
}

/// Reads everything and checks it; the agents have been stopped.
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
        for lane in lanes(system, bundle.id).await? {
            history.lanes.1 += 1;
            history.recorded += lane.tickets.len() as u64;
            if let Some(fault) = lane.fault() {
                history.broken_lanes.push(format!(
                    "bundle {} lane {}: {fault}",
                    bundle.id, lane.head.lane
                ));
            }
        }
    }
    audit(system, &bundles, &mut history).await?;
    Ok(history)
}

/// What the ledger holds of a lane.
struct Lane {
    head: LaneHead,
    /// Latest first.
    tickets: Vec<RecordedTicket>,
}

impl Lane {
    /// Why the tickets are no unbroken chain from 0 to the head, if they are none: each is
    /// the one before the last, and names its receipt: one value at a time, which is what
    /// makes a lane linearizable.
    fn fault(&self) -> Option<String> {
        let latest = self.tickets.first().map(|ticket| (ticket.n, &ticket.hash));
        if latest != Some((self.head.n, &self.head.hash)) {
            let n = latest.map(|(n, _)| n);
            return Some(format!(
                "its head is {}, its last ticket {n:?}",
                self.head.n
            ));
        }
        let broken = self.tickets.windows(2).find(|pair| {
            pair[0].n != pair[1].n + 1 || Some(&pair[0].previous) != pair[1].next.as_ref()
        });
        if let Some(pair) = broken {
            return Some(format!("{} does not follow {}", pair[0].n, pair[1].n));
        }
        let first = self.tickets.last().map_or(0, |ticket| ticket.n);
        (first != 0).then(|| format!("its first ticket is {first}"))
    }
}

/// All of a bundle's lanes, as they are at one time: heads and tickets are two questions,
/// and what an agent reported last may still be on its way into the ledger.
async fn lanes(system: &System, bundle: Uuid) -> anyhow::Result<Vec<Lane>> {
    loop {
        let before = heads(system, bundle).await?;
        let mut lanes = Vec::new();
        for head in before.clone() {
            let path = format!("/v1/bundles/{bundle}/tickets?lane={}&", head.lane);
            let tickets = system.all(&path).await?;
            lanes.push(Lane { head, tickets });
        }
        if heads(system, bundle).await? == before {
            return Ok(lanes);
        }
    }
}

/// Every act has its entry, and the log is whole.
async fn audit(system: &System, bundles: &[Bundle], history: &mut History) -> anyhow::Result<()> {
    let entries: Vec<AuditEntry> = system.all("/v1/audit?").await?;
    let mut noted: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for entry in &entries {
        *noted
            .entry((&entry.action, entry.target.clone()))
            .or_default() += 1;
        // Those that ended at once have one entry together.
        let together = entry.detail["bundles"].as_array();
        let ids = together.into_iter().flatten().filter_map(|id| id.as_str());
        for id in ids {
            *noted.entry((&entry.action, id.to_owned())).or_default() += 1;
        }
        // What a bundle has superseded is in the entry of its issue.
        let superseded = &entry.detail["supersedes"];
        let ids = superseded.as_array().into_iter().flatten();
        for id in ids.chain([superseded]).filter_map(|id| id.as_str()) {
            let of = ("bundle.supersede", id.to_owned());
            *noted.entry(of).or_default() += 1;
        }
    }
    let has = |action, id: &dyn ToString| {
        let id = id.to_string();
        noted
            .keys()
            .any(|(a, target)| *a == action && target.contains(&id))
    };
    for bundle in bundles {
        let state = match bundle.state {
            BundleState::Active => None,
            BundleState::Superseded => Some("bundle.supersede"),
            BundleState::Retired => Some("bundle.retire"),
            BundleState::Disconnected => Some("bundle.disconnect"),
        };
        for action in ["bundle.mint"].into_iter().chain(state) {
            if !has(action, &bundle.id) {
                history.unaudited.push(format!("{action} of {}", bundle.id));
            }
        }
    }
    for collision in system.all_collisions().await? {
        if !has("collision.detect", &collision.endpoint_id) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Tickets 0 to `last`, latest first.
    fn lane(last: u64) -> Lane {
        let ticket = |n: u64| RecordedTicket {
            lane: 3,
            n,
            hash: format!("hash {n}"),
            previous: format!("link {}", n as i64 - 1),
            receipt: Some(format!("receipt {n}")),
            next: Some(format!("link {n}")),
            reporter_id: Uuid::nil(),
            consumer_reported: true,
            producer_reported: true,
            recorded_at: Default::default(),
        };
        Lane {
            head: LaneHead {
                lane: 3,
                n: last,
                k: 0,
                hash: format!("hash {last}"),
            },
            tickets: (0..=last).rev().map(ticket).collect(),
        }
    }

    fn fault_of(change: impl Fn(&mut Lane)) -> String {
        let mut lane = lane(4);
        change(&mut lane);
        lane.fault().unwrap_or_default()
    }

    #[test]
    fn a_chain_from_0_to_the_head_is_whole() {
        assert_eq!(lane(0).fault(), None);
        assert_eq!(lane(4).fault(), None);
    }

    #[test]
    fn a_gap_is_found_wherever_it_is() {
        let without = |n: u64| fault_of(|lane| lane.tickets.retain(|ticket| ticket.n != n));
        assert_eq!(without(0), "its first ticket is 1");
        assert_eq!(without(2), "3 does not follow 1");
        assert_eq!(without(4), "its head is 4, its last ticket Some(3)");
        let none = fault_of(|lane| lane.tickets.clear());
        assert_eq!(none, "its head is 4, its last ticket None");
    }

    #[test]
    fn a_fork_or_a_ticket_beyond_the_head_is_found() {
        let twice = fault_of(|lane| lane.tickets.insert(2, lane.tickets[2].clone()));
        assert_eq!(twice, "2 does not follow 2");
        let forked = fault_of(|lane| lane.tickets[2].next = Some("another".into()));
        assert_eq!(forked, "3 does not follow 2");
        let head = fault_of(|lane| lane.head.hash = "another".into());
        assert_eq!(head, "its head is 4, its last ticket Some(4)");
        // Such as one that was recorded after the head was read.
        let beyond = fault_of(|lane| lane.head = self::lane(3).head);
        assert_eq!(beyond, "its head is 3, its last ticket Some(4)");
    }
}
