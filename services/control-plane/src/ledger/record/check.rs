//! What can be said of a report before any lane is read.

use std::collections::HashMap;

use armour_api::{BundleState, ReportVerdict, Role};
use armour_protocol::{
    Suite,
    ledger::{Chain, vouched},
    ticket::SignedTicket,
};
use armour_storage::{BundleRow, LaneId};
use ed25519_dalek::VerifyingKey;
use uuid::Uuid;

use super::report::{Call, MALFORMED, Report, refused, side};

/// A report whose chain is its bundle's consumer's.
pub struct Checked {
    /// Which call's, and which of its reports.
    pub at: (usize, usize),
    /// The endpoint that reports.
    pub reporter: Uuid,
    /// On which side it is.
    pub side: Role,
    /// The lane.
    pub lane: LaneId,
    /// For how long it has held the tickets, in milliseconds.
    pub age_ms: u64,
    /// The consumer's key.
    pub key: VerifyingKey,
    /// What is reported.
    pub chain: Chain,
    /// Its tickets, at least one.
    pub tickets: Vec<SignedTicket>,
}

/// What is said of a report of which nothing better can be said.
pub fn refuse(me: Uuid, report: &Report, bundles: &HashMap<Uuid, BundleRow>) -> ReportVerdict {
    match bundles.get(&report.bundle) {
        Some(bundle) if bundle.state == BundleState::Disconnected && side(bundle, me).is_some() => {
            ReportVerdict::Disconnected
        }
        Some(bundle) if side(bundle, me).is_some() => refused(MALFORMED),
        _ => refused("no such bundle"),
    }
}

/// The reports of a call that can be judged.
pub fn check(at: usize, call: &Call, bundles: &HashMap<Uuid, BundleRow>) -> Vec<Checked> {
    let reports = call.reports.iter().enumerate();
    let checked = reports.filter_map(|(place, report)| {
        let bundle = bundles.get(&report.bundle)?;
        let side = side(bundle, call.endpoint)?;
        if bundle.state == BundleState::Disconnected {
            return None;
        }
        let (previous, entries) = report.tickets.as_ref()?;
        let chain = Chain {
            suite: Suite::from_u8(bundle.suite).ok()?,
            bundle: *bundle.id.as_bytes(),
            lane: report.lane,
            first: report.first,
            previous: *previous,
            entries: entries.clone(),
        };
        let key = bundle.consumer_key.as_slice().try_into().ok()?;
        let key = VerifyingKey::from_bytes(key).ok()?;
        let tickets = chain.tickets().ok()?;
        // As many as the database can count.
        i64::try_from(tickets.last()?.ticket.n).ok()?;
        vouched(&tickets, &key).ok()?;
        Some(Checked {
            at: (at, place),
            reporter: call.endpoint,
            side,
            lane: (report.bundle, report.lane),
            age_ms: report.age_ms,
            key,
            chain,
            tickets,
        })
    });
    checked.collect()
}
