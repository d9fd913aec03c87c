//! Streams that re-keyed: messages that nobody made, signed by both ends. The same seed makes
//! the same rests.

use armour_api::LaneReport;
use armour_protocol::v2::{
    body::{Body, BodyHash},
    ledger::{Before, Run, SubPosition, SubRun, sub_bodies},
    rekey::SubBody,
};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::TestBundle;

/// Lane 0 with exchanges 0 and 1, of which the second one's streams re-key.
pub struct Streaming<'a> {
    pub bundle: &'a TestBundle<'a>,
    /// The two exchanges.
    pub run: Run,
    ticket: Body,
    receipt: Body,
}

impl<'a> Streaming<'a> {
    /// The lane of everybody who has this seed.
    pub fn new(bundle: &'a TestBundle<'a>, seed: u8) -> Self {
        let run = bundle.made_up(0, 2, seed, None);
        let exchanges = run.verified(&bundle.context).expect("both ends signed it");
        let last = exchanges.last().expect("two exchanges");
        Self {
            bundle,
            ticket: last.ticket,
            receipt: last.receipt.expect("it is answered"),
            run,
        }
    }

    /// The exchanges up to ticket 1, or up to its receipt.
    pub fn opening(&self, receipt: bool) -> LaneReport {
        let keys = self.bundle.keys();
        let rests = self.run.rests[..3 + usize::from(receipt)].to_vec();
        let previous = self.run.previous;
        let run = Run::signed(
            &self.bundle.context,
            0,
            0,
            previous,
            rests,
            (&keys.0, &keys.1),
        );
        self.bundle.report_of(&run.expect("a run"))
    }

    /// The line of so many sub-tickets and sub-receipts, which part from those of seed 0 at
    /// this place, counted from 0.
    pub fn line(&self, bodies: usize, seed: u8, parts_at: usize) -> Vec<SubBody> {
        let rests: Vec<[u8; 32]> = (0..bodies)
            .map(|place| {
                let mut rest = [if place < parts_at { 0 } else { seed }; 32];
                rest[..8].copy_from_slice(&(place as u64).to_be_bytes());
                rest
            })
            .collect();
        let first = SubPosition::of_ticket(1);
        let previous = self.ticket.hash();
        sub_bodies(&self.bundle.context, (0, 1), first, previous, &rests).expect("a line")
    }

    /// A part of a line, which begins with a sub-ticket, as a run that both ends signed.
    pub fn sub_run(&self, part: &[SubBody]) -> SubRun {
        let keys = self.bundle.keys();
        let first = part.first().expect("a sub-ticket");
        let rests = part.iter().map(|body| body.rest).collect();
        SubRun::signed(
            &self.bundle.context,
            (0, 1),
            first.k,
            first.previous,
            rests,
            (&keys.0, &keys.1),
        )
        .expect("a run")
    }

    /// The same as a report.
    pub fn report(&self, part: &[SubBody]) -> LaneReport {
        let run = self.sub_run(part);
        LaneReport {
            bundle_id: self.bundle.id,
            lane: run.lane,
            exchange: Some(run.n),
            first: run.first.into(),
            previous: STANDARD.encode(run.previous.0),
            before: None,
            rests: STANDARD.encode(run.rests.concat()),
            ticket: STANDARD.encode(run.ticket.to_bytes()),
            receipt: run.receipt.map(|proof| STANDARD.encode(proof.to_bytes())),
        }
    }

    /// Exchange 2, or its ticket alone, which names this sub-receipt as the last one; `apart`:
    /// and says so.
    pub fn next(&self, last: Option<&SubBody>, bodies: usize, apart: bool) -> LaneReport {
        let keys = self.bundle.keys();
        let context = &self.bundle.context;
        let previous = BodyHash::after_rekeyed(&self.receipt, last.map(SubBody::hash));
        let rests = (0..bodies).map(|body| [70 + body as u8; 32]).collect();
        let run = Run::signed(context, 0, 2, previous, rests, (&keys.0, &keys.1));
        self.bundle.report_of(&Run {
            before: apart.then(|| Before::of(&self.receipt, last)),
            ..run.expect("a run")
        })
    }

    /// The exchange's ticket, and its receipt.
    pub fn exchange(&self) -> (Body, Body) {
        (self.ticket, self.receipt)
    }
}

/// The sub-receipt with this number.
pub fn sub_receipt(line: &[SubBody], k: u32) -> &SubBody {
    &line[2 * k as usize - 1]
}
