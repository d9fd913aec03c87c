//! Streams that re-keyed: messages that nobody made, signed by both ends. The same seed makes
//! the same rests.

use armour_api::{LaneReport, Role};
use armour_protocol::{
    crypto::Sign,
    v2::{
        body::{Body, BodyHash},
        ledger::{Before, Run, SubPosition, SubRun, sub_bodies},
        rekey::SubBody,
    },
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

    /// A checkpoint of the exchange's streams that an end's key signed, as it is shown to others:
    /// of the epoch of sub-ticket 2.
    pub fn checkpoint(&self, by: Role) -> Vec<u8> {
        let keys = self.bundle.keys();
        let (direction, label, key) = match by {
            Role::Consumer => (0, "armour/2 checkpoint request", keys.0),
            Role::Producer => (1, "armour/2 checkpoint response", keys.1),
        };
        let exchange = (1_u64.to_be_bytes(), 2_u32.to_be_bytes());
        let (ticket, session) = (self.ticket.hash().0, [5; 32]);
        let (sequence, bytes, digest) = (3_u64.to_be_bytes(), 4_u64.to_be_bytes(), [6; 32]);
        // The peer's mark, which is none, and the flags.
        let (mark, flags) = ([0; 40], [0]);
        let fields: [&[u8]; 12] = [
            label.as_bytes(),
            self.bundle.context.hash(),
            &exchange.0,
            &exchange.1,
            &ticket,
            &session,
            &sequence,
            &bytes,
            &digest,
            &mark[..8],
            &mark[8..],
            &flags,
        ];
        let mut statement = Vec::new();
        for field in fields {
            statement.extend_from_slice(&(field.len() as u32).to_be_bytes());
            statement.extend_from_slice(field);
        }
        let signature = key.signature(&statement);
        let place = [
            &[direction][..],
            &exchange.0,
            &ticket,
            &exchange.1,
            &session,
        ]
        .concat();
        let claim = [&sequence[..], &bytes, &digest, &mark, &flags].concat();
        // A signature of its own.
        [&place[..], &claim, &[1], &signature].concat()
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
