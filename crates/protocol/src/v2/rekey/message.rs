//! Heads of sub-tickets and sub-receipts.

use std::marker::PhantomData;

use ed25519_dalek::VerifyingKey;

use crate::crypto::Sign;
use crate::v2::{
    VERSION,
    body::{BODY_LEN, BodyHash, Direction, HEADER_LEN, KIND_AT, LABEL_BODY},
    checkpoint::Mark,
    context::Context,
    error::HeadError,
    fields::{Reader, hash},
    message::{LABEL_REST, Request, Response, Side, signer},
    proof::{Proof, Signed, Stated, Statement, StatementKind},
    suite::Suite,
};

const LABEL_SUB_TICKET: &[u8] = b"armour/2 sub-ticket";
const LABEL_SUB_RECEIPT: &[u8] = b"armour/2 sub-receipt";

/// Which of the two halves of a re-keying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SubKind {
    /// The consumer's.
    Ticket = 3,
    /// The producer's.
    Receipt = 4,
}

/// What is signed, recorded and compared of a sub-ticket or sub-receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubBody {
    /// The bundle's suite.
    pub suite: Suite,
    /// Whose it is.
    pub kind: SubKind,
    /// The bundle.
    pub bundle: [u8; 16],
    /// The lane within the bundle.
    pub lane: u16,
    /// The exchange.
    pub n: u64,
    /// The number within the exchange, from 1.
    pub k: u32,
    /// Of the body before it.
    pub previous: BodyHash,
    /// Hash of the rest of the head.
    pub rest: [u8; 32],
}

/// A sub-ticket.
pub type SubTicket = SubHead<Request>;
/// A sub-receipt.
pub type SubReceipt = SubHead<Response>;
/// A sub-ticket with its proof.
pub type SignedSubTicket = Signed<SubTicket>;
/// A sub-receipt with its proof.
pub type SignedSubReceipt = Signed<SubReceipt>;

/// A sub-ticket or sub-receipt: all that is said but for the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubHead<S> {
    pub(crate) suite: Suite,
    pub(crate) bundle: [u8; 16],
    pub(crate) lane: u16,
    pub(crate) n: u64,
    pub(crate) k: u32,
    pub(crate) previous: BodyHash,
    /// The last checkpoint of the request that the sender signed or verified.
    pub(crate) request: Mark,
    /// The same of the response.
    pub(crate) response: Mark,
    pub(crate) share: Vec<u8>,
    /// Sub-receipt: to what follows from both. None in a sub-ticket.
    pub(crate) key_commitment: Option<[u8; 32]>,
    pub(crate) side: PhantomData<S>,
}

/// What remains of a sub-ticket or sub-receipt as evidence: its body and the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubEvidence {
    /// What was said.
    pub body: SubBody,
    /// Who said it.
    pub proof: Proof,
}

impl SubKind {
    fn of(direction: Direction) -> Self {
        match direction {
            Direction::Request => Self::Ticket,
            Direction::Response => Self::Receipt,
        }
    }

    fn direction(self) -> Direction {
        match self {
            Self::Ticket => Direction::Request,
            Self::Receipt => Direction::Response,
        }
    }

    fn from_u8(number: u8) -> Result<Self, HeadError> {
        match number {
            3 => Ok(Self::Ticket),
            4 => Ok(Self::Receipt),
            _ => Err(HeadError::Malformed),
        }
    }
}

impl SubBody {
    /// The body's bytes, as signed and hashed: of the same layout as a
    /// [`Body`](crate::v2::body::Body).
    pub fn to_bytes(&self) -> [u8; BODY_LEN] {
        let mut out = [0; BODY_LEN];
        out[0] = VERSION;
        out[1] = self.suite as u8;
        out[KIND_AT] = self.kind as u8;
        out[3..19].copy_from_slice(&self.bundle);
        out[19..21].copy_from_slice(&self.lane.to_be_bytes());
        out[21..29].copy_from_slice(&self.n.to_be_bytes());
        out[29..HEADER_LEN].copy_from_slice(&self.k.to_be_bytes());
        out[HEADER_LEN..HEADER_LEN + 32].copy_from_slice(&self.previous.0);
        out[HEADER_LEN + 32..].copy_from_slice(&self.rest);
        out
    }

    fn read(
        reader: &mut Reader<'_>,
        rest: impl FnOnce(&mut Reader<'_>) -> Result<[u8; 32], HeadError>,
    ) -> Result<Self, HeadError> {
        if reader.u8()? != VERSION {
            return Err(HeadError::Version);
        }
        let body = Self {
            suite: Suite::from_u8(reader.u8()?)?,
            kind: SubKind::from_u8(reader.u8()?)?,
            bundle: reader.array()?,
            lane: reader.u16()?,
            n: reader.u64()?,
            k: reader.u32()?,
            previous: BodyHash(reader.array()?),
            rest: rest(reader)?,
        };
        // A lane's exchange 0 has no content, and k = 0 is the ticket's.
        match body.n > 0 && body.k > 0 {
            true => Ok(body),
            false => Err(HeadError::Malformed),
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`HeadError::Malformed`], [`HeadError::Version`] or [`HeadError::Suite`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        let body = Self::read(&mut reader, |reader| reader.array())?;
        reader.end()?;
        Ok(body)
    }

    /// The body's hash.
    pub fn hash(&self) -> BodyHash {
        BodyHash(hash(LABEL_BODY, &[&self.to_bytes()]))
    }

    /// Whether this is of the context's bundle, on this lane.
    pub(crate) fn belongs(&self, context: &Context, lane: u16) -> Result<(), HeadError> {
        if self.suite != context.suite() {
            return Err(HeadError::Suite);
        }
        match self.bundle == context.binding().bundle && self.lane == lane {
            true => Ok(()),
            false => Err(HeadError::Address),
        }
    }
}

impl<S: Side> SubHead<S> {
    /// The body: what is signed and compared.
    pub fn body(&self) -> SubBody {
        let mut rest = self.rest();
        if let Some(commitment) = &self.key_commitment {
            rest.extend_from_slice(commitment);
        }
        self.body_of(hash(LABEL_REST, &[&rest]))
    }

    fn body_of(&self, rest: [u8; 32]) -> SubBody {
        SubBody {
            suite: self.suite,
            kind: SubKind::of(S::DIRECTION),
            bundle: self.bundle,
            lane: self.lane,
            n: self.n,
            k: self.k,
            previous: self.previous,
            rest,
        }
    }

    /// The rest without the key commitment.
    fn rest(&self) -> Vec<u8> {
        let marks = [self.request.to_bytes(), self.response.to_bytes()].concat();
        [&marks[..], &self.share].concat()
    }

    /// What the session takes in: all but the key commitment, which follows from it.
    pub(crate) fn session_bytes(&self) -> Vec<u8> {
        let body = self.body_of([0; 32]).to_bytes();
        [&body[..HEADER_LEN + 32], &self.rest()].concat()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, HeadError> {
        let body = SubBody::read(reader, |_| Ok([0; 32]))?;
        if body.kind != SubKind::of(S::DIRECTION) {
            return Err(HeadError::Malformed);
        }
        let (request, response) = (Mark::read(reader)?, Mark::read(reader)?);
        let (share_len, committed) = match body.kind {
            SubKind::Ticket => (body.suite.share_len(true), false),
            SubKind::Receipt => (body.suite.last_share_len(), true),
        };
        let share = reader.bytes(share_len)?.to_vec();
        let key_commitment = committed.then(|| reader.array()).transpose()?;
        Ok(Self {
            suite: body.suite,
            bundle: body.bundle,
            lane: body.lane,
            n: body.n,
            k: body.k,
            previous: body.previous,
            request,
            response,
            share,
            key_commitment,
            side: PhantomData,
        })
    }
}

impl<S: Side> Stated for SubHead<S> {
    fn statement(&self, context: &Context) -> Statement {
        statement(&self.body(), context)
    }

    fn signer<'a>(&self, context: &'a Context) -> &'a VerifyingKey {
        signer(S::DIRECTION, context)
    }
}

impl<S: Side> Signed<SubHead<S>> {
    /// The bytes that a gate frames: head, proof.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.message.session_bytes();
        if let Some(commitment) = &self.message.key_commitment {
            out.extend_from_slice(commitment);
        }
        out.extend_from_slice(&self.proof.to_bytes());
        out
    }

    /// Reads what [`Signed::to_bytes`] wrote; the proof is not checked.
    ///
    /// # Errors
    /// [`HeadError::Malformed`], [`HeadError::Version`] or [`HeadError::Suite`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        let signed = Self {
            message: SubHead::read(&mut reader)?,
            proof: Proof::read(&mut reader)?,
        };
        reader.end()?;
        Ok(signed)
    }

    /// What the ledger records: body and proof.
    pub fn evidence(&self) -> SubEvidence {
        SubEvidence {
            body: self.message.body(),
            proof: self.proof.clone(),
        }
    }

    /// The body, if it is of this lane and the context's end said it.
    pub(crate) fn verified(&self, context: &Context, lane: u16) -> Result<SubBody, HeadError> {
        let body = self.message.body();
        body.belongs(context, lane)?;
        match self
            .proof
            .proves(&statement(&body, context), signer(S::DIRECTION, context))
        {
            true => Ok(body),
            false => Err(HeadError::Signature),
        }
    }
}

impl SubEvidence {
    /// Signs a body by itself, for [`SubRun::signed`](crate::v2::ledger::SubRun::signed).
    pub(crate) fn sign(body: &SubBody, context: &Context, key: &impl Sign) -> Self {
        Self {
            body: *body,
            proof: Proof::alone(&statement(body, context), key),
        }
    }

    /// Checks that the end whose kind of body this is said it.
    ///
    /// # Errors
    /// [`HeadError::Signature`] if it did not, or of another bundle than the context's
    /// [`HeadError::Suite`] or [`HeadError::Address`].
    pub fn verify(&self, context: &Context) -> Result<(), HeadError> {
        self.body.belongs(context, self.body.lane)?;
        let key = signer(self.body.kind.direction(), context);
        match self.proof.proves(&statement(&self.body, context), key) {
            true => Ok(()),
            false => Err(HeadError::Signature),
        }
    }

    /// The body's bytes, then the proof's.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.body.to_bytes()[..], &self.proof.to_bytes()].concat()
    }

    /// Reads what [`SubEvidence::to_bytes`] wrote; the proof is not checked.
    ///
    /// # Errors
    /// As [`SubBody::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let (body, proof) = bytes
            .split_at_checked(BODY_LEN)
            .ok_or(HeadError::Malformed)?;
        Ok(Self {
            body: SubBody::from_bytes(body)?,
            proof: Proof::from_bytes(proof)?,
        })
    }
}

fn statement(body: &SubBody, context: &Context) -> Statement {
    let binding = context.binding();
    let (kind, label, to) = match body.kind {
        SubKind::Ticket => (
            StatementKind::SubTicket,
            LABEL_SUB_TICKET,
            &binding.producer,
        ),
        SubKind::Receipt => (
            StatementKind::SubReceipt,
            LABEL_SUB_RECEIPT,
            &binding.consumer,
        ),
    };
    Statement::new(kind, label, context, to, &[&body.to_bytes()])
}
