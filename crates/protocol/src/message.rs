//! Heads on the wire and the signature sealed with a payload.

use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

use crate::{
    Error, Result, Suite, VERSION,
    crypto::{Sign, verify},
    schedule::Transcript,
    ticket::{SIGNED_TICKET_LEN, SignedTicket, TICKET_LEN, TicketHash, take},
};

/// Bytes of a response's fixed part.
pub const RESPONSE_FIXED_LEN: usize = 1 + 1 + 16 + 4 + 8 + 32;
/// Prefix of what a payload's signature covers.
pub const LABEL_PAYLOAD: &[u8] = b"armour/1 payload";
/// Bytes of a payload's signature.
pub const SIGNATURE_LEN: usize = 64;
const COMMITMENT_LEN: usize = 32;

/// A request's head: signed ticket, key share, commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// The ticket this exchange spends.
    pub ticket: SignedTicket,
    /// The consumer's fresh key share.
    pub share: Vec<u8>,
    /// Commitment to the consumer's root.
    pub commitment: [u8; 32],
}

/// A response's head: what it answers, key share, commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// The bundle's suite.
    pub suite: Suite,
    /// The bundle.
    pub bundle: [u8; 16],
    /// The lane.
    pub lane: u32,
    /// The exchange's number.
    pub n: u64,
    /// Hash of the ticket that this answers.
    pub answers: TicketHash,
    /// The producer's fresh key share.
    pub share: Vec<u8>,
    /// Commitment to the producer's root.
    pub commitment: [u8; 32],
}

impl RequestHead {
    /// Bytes of a request's head, from its first [`TICKET_LEN`] bytes on.
    ///
    /// # Errors
    /// As [`SignedTicket::from_bytes`].
    pub fn len_of(ticket: &[u8]) -> Result<usize> {
        let ticket = crate::ticket::Ticket::from_bytes(ticket)?;
        let share = match ticket.n {
            0 => ticket.suite.opening_share_len(),
            _ => ticket.suite.share_len(),
        };
        Ok(SIGNED_TICKET_LEN + share + COMMITMENT_LEN)
    }

    /// Reads a whole head. The signature and commitment are not checked.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Version`], [`Error::Suite`] or
    /// [`Error::KeyShare`] where the share is not the one the ticket names.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.len() < TICKET_LEN || bytes.len() != Self::len_of(&bytes[..TICKET_LEN])? {
            return Err(Error::Malformed);
        }
        let end = bytes.len() - COMMITMENT_LEN;
        let head = Self {
            ticket: SignedTicket::from_bytes(&bytes[..SIGNED_TICKET_LEN])?,
            share: bytes[SIGNED_TICKET_LEN..end].to_vec(),
            commitment: take(bytes, end),
        };
        if head.ticket.ticket.share_digest != share_digest(&head.share) {
            return Err(Error::KeyShare);
        }
        Ok(head)
    }

    /// The head's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.transcript_bytes()[..], &self.commitment].concat()
    }

    /// What the AEAD authenticates besides the payload: the ticket.
    pub fn associated_data(&self) -> [u8; TICKET_LEN] {
        self.ticket.ticket.to_bytes()
    }

    pub(crate) fn transcript_bytes(&self) -> Vec<u8> {
        [&self.ticket.to_bytes()[..], &self.share].concat()
    }
}

impl ResponseHead {
    /// Bytes of a response's head, from its first two bytes on.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Version`] or [`Error::Suite`].
    pub fn len_of(start: &[u8]) -> Result<usize> {
        match start {
            [VERSION, suite, ..] => {
                Ok(RESPONSE_FIXED_LEN + Suite::from_u8(*suite)?.share_len() + COMMITMENT_LEN)
            }
            [_, _, ..] => Err(Error::Version),
            _ => Err(Error::Malformed),
        }
    }

    /// Reads a whole head. The commitment is not checked.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Version`] or [`Error::Suite`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.len() != Self::len_of(bytes)? {
            return Err(Error::Malformed);
        }
        let end = bytes.len() - COMMITMENT_LEN;
        Ok(Self {
            suite: Suite::from_u8(bytes[1])?,
            bundle: take(bytes, 2),
            lane: u32::from_be_bytes(take(bytes, 18)),
            n: u64::from_be_bytes(take(bytes, 22)),
            answers: TicketHash(take(bytes, 30)),
            share: bytes[RESPONSE_FIXED_LEN..end].to_vec(),
            commitment: take(bytes, end),
        })
    }

    /// The head's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.transcript_bytes()[..], &self.commitment].concat()
    }

    /// What the AEAD authenticates besides the payload: the fixed part.
    pub fn associated_data(&self) -> [u8; RESPONSE_FIXED_LEN] {
        let mut out = [0u8; RESPONSE_FIXED_LEN];
        out[0] = VERSION;
        out[1] = self.suite as u8;
        out[2..18].copy_from_slice(&self.bundle);
        out[18..22].copy_from_slice(&self.lane.to_be_bytes());
        out[22..30].copy_from_slice(&self.n.to_be_bytes());
        out[30..62].copy_from_slice(&self.answers.0);
        out
    }

    pub(crate) fn transcript_bytes(&self) -> Vec<u8> {
        [&self.associated_data()[..], &self.share].concat()
    }
}

/// Signs a payload: Ed25519 over [`LABEL_PAYLOAD`], the transcript up to and
/// with its head (which holds the ticket), and the SHA-256 of the content.
pub fn sign_payload(key: &impl Sign, transcript: &Transcript, digest: &[u8; 32]) -> [u8; 64] {
    key.signature(&payload_bytes(transcript, digest))
}

/// Checks a payload's signature.
///
/// # Errors
/// [`Error::PayloadSignature`] if it was not made by `key` over the same.
pub fn verify_payload(
    key: &VerifyingKey,
    transcript: &Transcript,
    digest: &[u8; 32],
    signature: &[u8; 64],
) -> Result<()> {
    match verify(key, &payload_bytes(transcript, digest), signature) {
        true => Ok(()),
        false => Err(Error::PayloadSignature),
    }
}

/// SHA-256 of a key share, as a ticket names it.
pub fn share_digest(share: &[u8]) -> [u8; 32] {
    Sha256::digest(share).into()
}

fn payload_bytes(transcript: &Transcript, digest: &[u8; 32]) -> [u8; LABEL_PAYLOAD.len() + 64] {
    let mut out = [0u8; LABEL_PAYLOAD.len() + 64];
    let (label, rest) = out.split_at_mut(LABEL_PAYLOAD.len());
    label.copy_from_slice(LABEL_PAYLOAD);
    rest[..32].copy_from_slice(transcript.as_bytes());
    rest[32..].copy_from_slice(digest);
    out
}
