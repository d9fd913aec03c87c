//! Sub-tickets and sub-receipts of an exchange whose streams re-keyed.

use armour_api::{Collision, CollisionKind, Role};
use armour_protocol::v2::{
    body::BodyHash,
    context::Context,
    ledger::{Exchange, Run, Testimony},
    rekey::{SubBody, SubEvidence, SubKind},
};

use super::shown::{Said, Shown, both};

/// An exchange of a lane.
pub struct Place {
    pub context: Context,
    pub lane: u16,
    pub n: u64,
}

/// A sub-ticket of an exchange.
pub struct Line {
    pub place: Place,
    pub k: u32,
}

/// Checks what is recorded of an exchange's line, and what was reported.
pub fn check(
    collision: &Collision,
    line: &Line,
    said: Said<'_>,
    shown: &mut Shown,
) -> Result<(), String> {
    let kind = match collision.role {
        Role::Consumer => SubKind::Ticket,
        Role::Producer => SubKind::Receipt,
    };
    match collision.kind {
        CollisionKind::Fork => fork(line, said, shown),
        CollisionKind::ProducerClone => two(line, both(said)?, SubKind::Receipt, shown),
        CollisionKind::ForeignReceipt => foreign(line, said, shown),
        CollisionKind::AfterRetirement => {
            let reported = said.1.ok_or("what was reported is missing")?;
            line.body("reported", reported, kind, shown)?;
            shown.rests_on(
                "that its signer had retired the bundle, and where its lanes ended, is the \
                 control plane's word",
            );
            Ok(())
        }
        CollisionKind::Disowned => {
            let recorded = said.0.ok_or("what was disowned is missing")?;
            line.body("disowned", recorded, kind, shown)?;
            shown.rests_on("that it did not sign this is the endpoint's word");
            Ok(())
        }
        CollisionKind::Link | CollisionKind::Start => Err("it is of no lane".into()),
    }
}

/// Two sub-tickets in one place; or a sub-ticket and a ticket, of which only one can be there.
fn fork(line: &Line, said: Said<'_>, shown: &mut Shown) -> Result<(), String> {
    let (recorded, reported) = both(said)?;
    let run = |bytes| match Testimony::from_bytes(bytes) {
        Ok(Testimony::Within(run)) => Some(run),
        _ => None,
    };
    match (run(recorded), run(reported)) {
        (None, None) => two(line, (recorded, reported), SubKind::Ticket, shown),
        (Some(ticket), None) => {
            let sub = line.body("reported", reported, SubKind::Ticket, shown)?;
            beside(line, &sub, &ticket, shown)
        }
        (None, Some(ticket)) => {
            let sub = line.body("recorded", recorded, SubKind::Ticket, shown)?;
            beside(line, &sub, &ticket, shown)
        }
        (Some(_), Some(_)) => Err("neither message is a sub-ticket".into()),
    }
}

/// Two bodies in one place that name the same one before them.
fn two(
    line: &Line,
    (recorded, reported): (&[u8], &[u8]),
    kind: SubKind,
    shown: &mut Shown,
) -> Result<(), String> {
    let recorded = line.body("recorded", recorded, kind, shown)?;
    let reported = line.body("reported", reported, kind, shown)?;
    if recorded == reported {
        return Err("the two messages are the same one: they contradict nothing".into());
    }
    if recorded.previous != reported.previous {
        return Err("the two messages do not follow the same one".into());
    }
    shown.proves(match kind {
        SubKind::Receipt => {
            "two different sub-receipts for one sub-ticket: two holders of the producer's state"
        }
        SubKind::Ticket => {
            "two different sub-tickets in one place: two holders of the consumer's state"
        }
    });
    Ok(())
}

/// A sub-ticket that does not begin with the exchange's ticket, or beside the next ticket, which
/// does not name its answer.
fn beside(line: &Line, sub: &SubBody, run: &Run, shown: &mut Shown) -> Result<(), String> {
    let (place, k) = (&line.place, line.k);
    let exchanges = verified(place, run)?;
    let ticket = |n: u64| {
        let mut all = exchanges.iter();
        all.find(|one| one.ticket.header.n == n)
    };
    if let Some(mine) = ticket(place.n)
        && k == 1
        && sub.previous != mine.ticket.hash()
    {
        shown.proves(format!(
            "sub-ticket 1 follows another ticket {} than this one: two holders of the consumer's \
             state",
            place.n
        ));
        return Ok(());
    }
    let next = place.n.checked_add(1).ok_or("there is no next ticket")?;
    if ticket(next).is_none() {
        return Err("the two messages may both stand".into());
    }
    let named = match (ticket(place.n).and_then(|one| one.receipt), run.before) {
        // Within a run a ticket names the receipt before it alone.
        (Some(_), _) => 0,
        (None, Some(before)) if run.first == next => before.line.map_or(0, |(k, _)| k),
        _ => return Err("the ticket's run does not say what it names".into()),
    };
    if named >= k {
        return Err("the ticket names a sub-receipt after the sub-ticket".into());
    }
    shown.proves(format!(
        "a sub-ticket {k}, and a ticket {next} that names no sub-receipt of it: two holders of \
         the consumer's state"
    ));
    Ok(())
}

/// A sub-ticket or ticket that names another sub-receipt than the producer's.
fn foreign(line: &Line, said: Said<'_>, shown: &mut Shown) -> Result<(), String> {
    let reported = said.1.ok_or("the reported run is missing")?;
    let named = named(line, reported)?;
    let k = line.k;
    match said.0 {
        Some(recorded) => {
            let receipt = line.body("recorded", recorded, SubKind::Receipt, shown)?;
            if named == receipt.hash() {
                return Err(
                    "the message names the recorded sub-receipt: they contradict nothing".into(),
                );
            }
            shown.checked(format!(
                "the consumer signed a message that names another sub-receipt {k} than the \
                 producer's"
            ));
        }
        None => shown.rests_on(format!(
            "that the producer gave another sub-receipt {k} is the control plane's word"
        )),
    }
    shown.rests_on("that the consumer did not show that sub-receipt is the control plane's word");
    Ok(())
}

/// Which sub-receipt (n, k) is named.
fn named(line: &Line, reported: &[u8]) -> Result<BodyHash, String> {
    let (place, k) = (&line.place, line.k);
    let missing = || "what was reported names no such sub-receipt".to_owned();
    match Testimony::from_bytes(reported) {
        Ok(Testimony::SubWithin(run)) => {
            let exchanges = run
                .verified(&place.context)
                .map_err(|error| format!("the reported run: {error}"))?;
            let next = exchanges
                .iter()
                .find(|one| Some(one.ticket.k) == k.checked_add(1));
            let next = next.filter(|_| (run.lane, run.n) == (place.lane, place.n));
            next.map(|next| next.ticket.previous).ok_or_else(missing)
        }
        Ok(Testimony::Within(run)) => {
            verified(place, &run)?;
            let before = run
                .before
                .filter(|_| Some(run.first) == place.n.checked_add(1));
            let before = before.ok_or_else(missing)?;
            let bodies = before.bodies(&place.context, run.lane, run.first);
            let (_, last) = bodies.map_err(|error| error.to_string())?;
            let last = last.filter(|last| last.k == k);
            last.map(|last| last.hash()).ok_or_else(missing)
        }
        _ => Err(missing()),
    }
}

fn verified(place: &Place, run: &Run) -> Result<Vec<Exchange>, String> {
    let exchanges = run
        .verified(&place.context)
        .map_err(|error| format!("the run: {error}"))?;
    match run.lane == place.lane {
        true => Ok(exchanges),
        false => Err("the run is of another lane".into()),
    }
}

impl Line {
    /// The sub-ticket or sub-receipt of this place, whose sender signed it.
    fn body(
        &self,
        name: &str,
        bytes: &[u8],
        kind: SubKind,
        shown: &mut Shown,
    ) -> Result<SubBody, String> {
        let Place { context, lane, n } = &self.place;
        let (what, who) = match kind {
            SubKind::Receipt => ("sub-receipt", "producer"),
            SubKind::Ticket => ("sub-ticket", "consumer"),
        };
        // Alone, with its own proof, it may stand as such.
        let testimony = match SubEvidence::from_bytes(bytes) {
            Ok(evidence) => Ok(Testimony::SubAlone(evidence)),
            Err(_) => Testimony::from_bytes(bytes),
        };
        let body = testimony
            .and_then(|said| said.sub_body(context, *lane, kind, (*n, self.k)))
            .map_err(|error| format!("the {name} {what} of the {who}: {error}"))?;
        shown.checked(format!(
            "the {name} {what}, number {} of exchange {n} of lane {lane}, is signed by the \
             {who}'s key",
            self.k
        ));
        Ok(body)
    }
}
