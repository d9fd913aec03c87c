//! Heads on the wire: tickets and receipts.

use std::marker::PhantomData;

use ed25519_dalek::VerifyingKey;

use crate::crypto::Sign;

use super::{
    body::{BODY_LEN, Body, BodyHash, Direction, HEADER_LEN, Header, Kind},
    content::Disclosure,
    context::Context,
    error::HeadError,
    fields::{Reader, hash},
    mode::{Mode, Reason},
    proof::{Proof, Signed, Stated, Statement, StatementKind},
};

pub(crate) const LABEL_REST: &[u8] = b"armour/2 rest";
const LABEL_TICKET: &[u8] = b"armour/2 ticket";
const LABEL_RECEIPT: &[u8] = b"armour/2 receipt";

/// Most bytes of a log head that an opening carries.
pub const MAX_LOG_HEAD: usize = 1024;
/// Bytes of the shortest head: a transient refusal.
pub(crate) const MIN_HEAD: usize = HEADER_LEN + 32 + 1 + 4 + Proof::MIN_LEN;
/// Bytes of the longest: a receipt of suite 2 that opens a lane.
pub(crate) const MAX_HEAD: usize = FIXED_LEN + 32 + 1184 + 1088 + 2 + MAX_LOG_HEAD + Proof::MAX_LEN;
/// Bytes of a head without its share, its opening and its proof.
const FIXED_LEN: usize = HEADER_LEN + 32 + 8 + 1 + 1 + 32 + 32;
/// `replaces` where no lane is given up.
const NONE: u32 = u32::MAX;

/// Marks what goes from consumer to producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {}

/// Marks what goes from producer to consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {}

/// Which of the two halves of an exchange.
pub trait Side: sealed::Sealed {
    /// Its direction.
    const DIRECTION: Direction;
}

/// The consumer's half of an exchange.
pub type Ticket = Head<Request>;
/// The producer's half.
pub type Receipt = Head<Response>;
/// A ticket with its proof.
pub type SignedTicket = Signed<Ticket>;
/// A receipt with its proof.
pub type SignedReceipt = Signed<Receipt>;

/// A ticket or a receipt: all that is said but for the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head<S> {
    pub(crate) header: Header,
    /// Of the body before it.
    pub(crate) previous: BodyHash,
    /// Ticket: by when the call must begin. Receipt: the producer's clock.
    pub(crate) moment: u64,
    pub(crate) mode: Mode,
    pub(crate) reason: Option<Reason>,
    /// To the content.
    pub(crate) commitment: [u8; 32],
    pub(crate) share: Vec<u8>,
    /// Of a lane's exchange 0 only.
    pub(crate) opening: Option<OpeningPart>,
    /// To the sender's root.
    pub(crate) key_commitment: [u8; 32],
    pub(crate) side: PhantomData<S>,
}

/// What the two messages that open a lane say besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpeningPart {
    /// Ticket: the lane that this one takes the place of.
    pub(crate) replaces: Option<u16>,
    /// The signed log head that the sender has pinned, as its own encoding.
    pub(crate) log_head: Vec<u8>,
}

/// What remains of a ticket or receipt as evidence: its body and the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// What was said.
    pub body: Body,
    /// Who said it.
    pub proof: Proof,
}

impl Side for Request {
    const DIRECTION: Direction = Direction::Request;
}

impl Side for Response {
    const DIRECTION: Direction = Direction::Response;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Request {}
    impl Sealed for super::Response {}
}

impl<S: Side> Head<S> {
    /// What it is about.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What it says of its content.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The body: what is signed and compared.
    pub fn body(&self) -> Body {
        Body {
            header: self.header,
            previous: self.previous,
            rest: hash(LABEL_REST, &[&self.to_bytes()[HEADER_LEN + 32..]]),
        }
    }

    /// Whether it committed to this content: whole, or a stream's first segment. For third
    /// parties, as ends compare when they open content: who is shown a head with its proof, the
    /// content and what one of the ends disclosed has evidence of what the other one sent.
    pub fn commits_to(&self, content: &[u8], disclosed: &Disclosure) -> bool {
        let commitment = disclosed.commitment(S::DIRECTION, self.mode, content);
        self.mode.has_content() && commitment == self.commitment
    }

    /// The signed log head that an opening carries.
    pub fn log_head(&self) -> Option<&[u8]> {
        self.opening.as_ref().map(|part| &part.log_head[..])
    }

    /// The head's bytes up to its proof.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.transcript_bytes();
        out.extend_from_slice(&self.key_commitment);
        out
    }

    /// What the transcript absorbs: all but the commitment to the root that follows
    /// from it.
    pub(crate) fn transcript_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED_LEN + self.share.len() + Proof::MIN_LEN);
        out.extend_from_slice(&self.header.to_bytes());
        out.extend_from_slice(&self.previous.0);
        out.extend_from_slice(&self.moment.to_be_bytes());
        let reason = self.reason.map_or(0, Reason::as_u8);
        out.extend_from_slice(&[self.mode as u8, reason]);
        out.extend_from_slice(&self.commitment);
        out.extend_from_slice(&self.share);
        if let Some(part) = &self.opening {
            if S::DIRECTION == Direction::Request {
                let replaces = part.replaces.map_or(NONE, u32::from);
                out.extend_from_slice(&replaces.to_be_bytes());
            }
            // At most `MAX_LOG_HEAD`, as lanes and the parser check.
            out.extend_from_slice(&(part.log_head.len() as u16).to_be_bytes());
            out.extend_from_slice(&part.log_head);
        }
        out
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, HeadError> {
        let header = Header::read(reader)?;
        if header.kind != kind(S::DIRECTION) {
            return Err(HeadError::Malformed);
        }
        let first = header.n == 0;
        let previous = BodyHash(reader.array()?);
        let moment = reader.u64()?;
        let mode = Mode::from_u8(reader.u8()?)?;
        let reason = Reason::from_u8(reader.u8()?);
        let commitment: [u8; 32] = reader.array()?;
        // A lane's first ticket answers no share; its receipt answers the ticket's.
        let alone = first && S::DIRECTION == Direction::Request;
        let share = reader.bytes(header.suite.share_len(alone))?.to_vec();
        let opening = first.then(|| OpeningPart::read(S::DIRECTION, reader));
        let head = Self {
            header,
            previous,
            moment,
            mode,
            reason,
            commitment,
            share,
            opening: opening.transpose()?,
            key_commitment: reader.array()?,
            side: PhantomData,
        };
        let canonical = mode.goes(S::DIRECTION)
            && mode.has_reason() == reason.is_some()
            && mode.has_content() == (commitment != [0; 32])
            && (!first || mode == Mode::Empty)
            && (!alone || moment == 0);
        match canonical {
            true => Ok(head),
            false => Err(HeadError::Malformed),
        }
    }
}

impl OpeningPart {
    fn read(direction: Direction, reader: &mut Reader<'_>) -> Result<Self, HeadError> {
        let replaces = match direction {
            Direction::Response => None,
            Direction::Request => match reader.u32()? {
                NONE => None,
                number => Some(u16::try_from(number).map_err(|_| HeadError::Malformed)?),
            },
        };
        let length = usize::from(reader.u16()?);
        if length > MAX_LOG_HEAD {
            return Err(HeadError::Malformed);
        }
        Ok(Self {
            replaces,
            log_head: reader.bytes(length)?.to_vec(),
        })
    }
}

impl<S: Side> Stated for Head<S> {
    fn statement(&self, context: &Context) -> Statement {
        statement(&self.body(), context)
    }

    fn signer<'a>(&self, context: &'a Context) -> &'a VerifyingKey {
        signer(S::DIRECTION, context)
    }
}

impl<S: Side> Signed<Head<S>> {
    /// The bytes that a gate frames: head, proof.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.message.to_bytes();
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
            message: Head::read(&mut reader)?,
            proof: Proof::read(&mut reader)?,
        };
        reader.end()?;
        Ok(signed)
    }

    /// What the ledger records: body and proof.
    pub fn evidence(&self) -> Evidence {
        self.evidence_of(self.message.body())
    }

    /// The same, of the message's own body that was made before.
    pub(crate) fn evidence_of(&self, body: Body) -> Evidence {
        Evidence {
            body,
            proof: self.proof.clone(),
        }
    }

    /// The body, if the context's end said it.
    pub(crate) fn verified(&self, context: &Context) -> Result<Body, HeadError> {
        let body = self.message.body();
        let statement = statement(&body, context);
        match self.proof.proves(&statement, signer(S::DIRECTION, context)) {
            true => Ok(body),
            false => Err(HeadError::Signature),
        }
    }
}

impl Evidence {
    /// Checks that the end whose kind of body this is said it.
    ///
    /// # Errors
    /// [`HeadError::Signature`] if it did not, or of another bundle than the context's
    /// [`HeadError::Suite`] or [`HeadError::Address`].
    pub fn verify(&self, context: &Context) -> Result<(), HeadError> {
        let header = &self.body.header;
        header.belongs(context, header.lane)?;
        let direction = match header.kind {
            Kind::Ticket => Direction::Request,
            Kind::Receipt => Direction::Response,
            Kind::Transient => return Err(HeadError::Malformed),
        };
        let statement = statement(&self.body, context);
        match self.proof.proves(&statement, signer(direction, context)) {
            true => Ok(()),
            false => Err(HeadError::Signature),
        }
    }

    /// Signs a body by itself, for [`Run::signed`](super::ledger::Run::signed).
    pub(crate) fn sign(body: &Body, context: &Context, key: &impl Sign) -> Self {
        Self {
            body: *body,
            proof: Proof::alone(&statement(body, context), key),
        }
    }

    /// The body's bytes, then the proof's.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.body.to_bytes()[..], &self.proof.to_bytes()].concat()
    }

    /// Reads what [`Evidence::to_bytes`] wrote; the proof is not checked.
    ///
    /// # Errors
    /// As [`Body::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let (body, proof) = bytes
            .split_at_checked(BODY_LEN)
            .ok_or(HeadError::Malformed)?;
        Ok(Self {
            body: Body::from_bytes(body)?,
            proof: Proof::from_bytes(proof)?,
        })
    }
}

fn kind(direction: Direction) -> Kind {
    match direction {
        Direction::Request => Kind::Ticket,
        Direction::Response => Kind::Receipt,
    }
}

fn statement(body: &Body, context: &Context) -> Statement {
    let (kind, label, to) = match body.header.kind {
        Kind::Ticket | Kind::Transient => (
            StatementKind::Ticket,
            LABEL_TICKET,
            &context.binding().producer,
        ),
        Kind::Receipt => (
            StatementKind::Receipt,
            LABEL_RECEIPT,
            &context.binding().consumer,
        ),
    };
    Statement::new(kind, label, context, to, &[&body.to_bytes()])
}

/// The key that signs in this direction.
pub(crate) fn signer(direction: Direction, context: &Context) -> &VerifyingKey {
    match direction {
        Direction::Request => &context.binding().consumer.key,
        Direction::Response => &context.binding().producer.key,
    }
}
