//! Transient refusals: a signed word that permits the same bytes again, at the same
//! producer endpoint only. They are no part of the chain and conclude nothing.

use ed25519_dalek::VerifyingKey;

use super::{
    body::{BodyHash, Direction, Header, KIND_AT, Kind},
    context::Context,
    error::HeadError,
    fields::Reader,
    message::{SignedReceipt, signer},
    mode::Reason,
    proof::{Proof, Signed, Stated, Statement, StatementKind},
};

const LABEL: &[u8] = b"armour/2 transient";

/// The producer cannot take a ticket now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transient {
    pub(crate) header: Header,
    pub(crate) ticket: BodyHash,
    pub(crate) reason: Reason,
    pub(crate) after: u32,
}

/// A transient refusal with its proof.
pub type SignedTransient = Signed<Transient>;

/// What a producer answers a ticket with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A receipt, which concludes it.
    Receipt(Box<SignedReceipt>),
    /// A transient refusal, which does not.
    Transient(Box<SignedTransient>),
}

impl Transient {
    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// After how many milliseconds trying again may help.
    pub fn after(&self) -> u32 {
        self.after
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.header.to_bytes().to_vec();
        out.extend_from_slice(&self.ticket.0);
        out.push(self.reason.as_u8());
        out.extend_from_slice(&self.after.to_be_bytes());
        out
    }
}

impl Stated for Transient {
    fn statement(&self, context: &Context) -> Statement {
        let consumer = &context.binding().consumer;
        let bytes = self.to_bytes();
        Statement::new(
            StatementKind::Transient,
            LABEL,
            context,
            consumer,
            &[&bytes],
        )
    }

    fn signer<'a>(&self, context: &'a Context) -> &'a VerifyingKey {
        signer(Direction::Response, context)
    }
}

impl SignedTransient {
    /// The bytes that a gate frames: header, hash of the ticket's body, reason, wait,
    /// proof.
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
        let header = Header::read(&mut reader)?;
        if header.kind != Kind::Transient {
            return Err(HeadError::Malformed);
        }
        let message = Transient {
            header,
            ticket: BodyHash(reader.array()?),
            reason: Reason::from_u8(reader.u8()?).ok_or(HeadError::Malformed)?,
            after: reader.u32()?,
        };
        let proof = Proof::read(&mut reader)?;
        reader.end()?;
        Ok(Self { message, proof })
    }
}

impl Answer {
    /// Reads the head of an answer; its proof is not checked.
    ///
    /// # Errors
    /// [`HeadError::Malformed`], [`HeadError::Version`] or [`HeadError::Suite`].
    pub fn from_bytes(head: &[u8]) -> Result<Self, HeadError> {
        match head.get(KIND_AT) {
            Some(kind) if *kind == Kind::Transient as u8 => {
                SignedTransient::from_bytes(head).map(|it| Self::Transient(Box::new(it)))
            }
            _ => SignedReceipt::from_bytes(head).map(|it| Self::Receipt(Box::new(it))),
        }
    }
}
