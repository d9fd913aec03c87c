//! What is reported: a part of a lane's chain, or of the line of sub-tickets of one of its
//! exchanges.

use armour_api::LaneReport;
use armour_enclave::binding::LaneId;
use armour_protocol::v2::{
    body::{Body, BodyHash, Kind},
    ledger::{Run, SubRun},
    message::Evidence,
    proof::Proof,
    rekey::{SubBody, SubEvidence, SubKind},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

/// A ticket or receipt, or a sub-ticket or sub-receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Lane(Evidence),
    Line(SubEvidence),
}

/// Such in a row, without holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Run(Run),
    Line(SubRun),
}

impl Said {
    pub fn lane(&self) -> LaneId {
        let (bundle, lane) = match self {
            Self::Lane(one) => (one.body.header.bundle, one.body.header.lane),
            Self::Line(one) => (one.body.bundle, one.body.lane),
        };
        LaneId { bundle, lane }
    }

    pub fn n(&self) -> u64 {
        match self {
            Self::Lane(one) => one.body.header.n,
            Self::Line(one) => one.body.n,
        }
    }

    /// Whether it is the consumer's half.
    pub fn is_ticket(&self) -> bool {
        match self {
            Self::Lane(one) => one.body.header.kind == Kind::Ticket,
            Self::Line(one) => one.body.kind == SubKind::Ticket,
        }
    }

    /// Whether the other follows this directly.
    pub fn is_before(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Lane(last), Self::Lane(next)) => follows(&last.body, &next.body),
            (Self::Line(last), Self::Line(next)) => sub_follows(&last.body, &next.body),
            _ => false,
        }
    }
}

impl Part {
    pub fn of(first: &Said) -> Self {
        match first {
            Said::Lane(ticket) => Self::Run(Run::of(ticket)),
            Said::Line(ticket) => Self::Line(SubRun::of(ticket)),
        }
    }

    /// Goes on with what follows, as was checked.
    pub fn append(&mut self, next: &Said) {
        match (self, next) {
            (Self::Run(run), Said::Lane(next)) => {
                run.rests.push(next.body.rest);
                match next.body.header.kind {
                    Kind::Receipt => run.receipt = Some(next.proof.clone()),
                    _ => run.ticket = next.proof.clone(),
                }
            }
            (Self::Line(run), Said::Line(next)) => {
                run.rests.push(next.body.rest);
                match next.body.kind {
                    SubKind::Receipt => run.receipt = Some(next.proof.clone()),
                    SubKind::Ticket => run.ticket = next.proof.clone(),
                }
            }
            _ => {}
        }
    }

    /// How many bodies it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Run(run) => run.rests.len(),
            Self::Line(run) => run.rests.len(),
        }
    }

    /// Number of its first exchange, or of the one whose line it is of.
    pub fn first(&self) -> u64 {
        match self {
            Self::Run(run) => run.first,
            Self::Line(run) => run.n,
        }
    }

    /// Whether a receipt is among it: a ticket alone may be a stranger's.
    pub fn has_receipt(&self) -> bool {
        match self {
            Self::Run(run) => run.receipt.is_some(),
            Self::Line(run) => run.receipt.is_some(),
        }
    }

    /// Whether it holds this exchange or what comes after it, or of its line sub-ticket `k`.
    pub fn reaches_back_to(&self, n: u64, k: u32) -> bool {
        match self {
            Self::Run(run) => k == 0 && run.first <= n,
            Self::Line(run) => k > 0 && run.n == n && run.first <= k,
        }
    }

    /// As the control plane takes it.
    pub fn wire(&self, bundle: [u8; 16]) -> LaneReport {
        let bundle_id = Uuid::from_bytes(bundle);
        let proof = |proof: &Proof| STANDARD.encode(proof.to_bytes());
        match self {
            Self::Run(run) => LaneReport {
                bundle_id,
                lane: run.lane,
                exchange: None,
                first: run.first,
                previous: STANDARD.encode(run.previous.0),
                before: run.before.map(|before| STANDARD.encode(before.to_bytes())),
                rests: STANDARD.encode(run.rests.as_flattened()),
                ticket: proof(&run.ticket),
                receipt: run.receipt.as_ref().map(proof),
            },
            Self::Line(run) => LaneReport {
                bundle_id,
                lane: run.lane,
                exchange: Some(run.n),
                first: run.first.into(),
                previous: STANDARD.encode(run.previous.0),
                before: None,
                rests: STANDARD.encode(run.rests.as_flattened()),
                ticket: proof(&run.ticket),
                receipt: run.receipt.as_ref().map(proof),
            },
        }
    }
}

/// Whether one follows the other in a lane's chain.
fn follows(last: &Body, next: &Body) -> bool {
    let (kind, n, previous) = match last.header.kind {
        Kind::Ticket => (Kind::Receipt, Some(last.header.n), last.hash()),
        _ => (
            Kind::Ticket,
            last.header.n.checked_add(1),
            BodyHash::after(last),
        ),
    };
    (next.header.kind, Some(next.header.n), next.previous) == (kind, n, previous)
}

/// The same in the line of one exchange.
fn sub_follows(last: &SubBody, next: &SubBody) -> bool {
    let (kind, k) = match last.kind {
        SubKind::Ticket => (SubKind::Receipt, Some(last.k)),
        SubKind::Receipt => (SubKind::Ticket, last.k.checked_add(1)),
    };
    (next.n, next.kind, Some(next.k), next.previous) == (last.n, kind, k, last.hash())
}
