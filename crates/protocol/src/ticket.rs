//! Tickets: one-time, signed, each naming the one before it.

use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

use crate::{
    Error, Result, Suite, VERSION,
    crypto::{Sign, verify},
};

/// Bytes of a ticket.
pub const TICKET_LEN: usize = 1 + 1 + 16 + 4 + 8 + 32 + 32;
/// Bytes of a ticket together with its signature.
pub const SIGNED_TICKET_LEN: usize = TICKET_LEN + 64;
/// Prefix of what a ticket's signature covers.
pub const LABEL_TICKET: &[u8] = b"armour/1 ticket";
/// `previous` of a lane's first ticket.
pub const NO_PREVIOUS: TicketHash = TicketHash([0; 32]);

/// SHA-256 of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TicketHash(pub [u8; 32]);

/// What one exchange spends: its place in a lane, the ticket before it and the
/// digest of the consumer's fresh key share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The bundle's suite.
    pub suite: Suite,
    /// The bundle.
    pub bundle: [u8; 16],
    /// The lane within the bundle.
    pub lane: u32,
    /// The exchange's number within the lane, from 0.
    pub n: u64,
    /// Hash of ticket `n - 1`; [`NO_PREVIOUS`] for ticket 0.
    pub previous: TicketHash,
    /// SHA-256 of the request's key share.
    pub share_digest: [u8; 32],
}

/// A ticket and the consumer endpoint's signature over it. Two different ones
/// with the same bundle, lane and number are a proof anyone can check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedTicket {
    /// The ticket.
    pub ticket: Ticket,
    /// Ed25519 over [`LABEL_TICKET`] and the ticket.
    pub signature: [u8; 64],
}

impl Ticket {
    /// The ticket's bytes, as hashed, signed and sent.
    pub fn to_bytes(&self) -> [u8; TICKET_LEN] {
        let mut out = [0u8; TICKET_LEN];
        out[0] = VERSION;
        out[1] = self.suite as u8;
        out[2..18].copy_from_slice(&self.bundle);
        out[18..22].copy_from_slice(&self.lane.to_be_bytes());
        out[22..30].copy_from_slice(&self.n.to_be_bytes());
        out[30..62].copy_from_slice(&self.previous.0);
        out[62..94].copy_from_slice(&self.share_digest);
        out
    }

    /// Reads a ticket.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Version`] or [`Error::Suite`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bytes: &[u8; TICKET_LEN] = bytes.try_into().map_err(|_| Error::Malformed)?;
        if bytes[0] != VERSION {
            return Err(Error::Version);
        }
        Ok(Self {
            suite: Suite::from_u8(bytes[1])?,
            bundle: take(bytes, 2),
            lane: u32::from_be_bytes(take(bytes, 18)),
            n: u64::from_be_bytes(take(bytes, 22)),
            previous: TicketHash(take(bytes, 30)),
            share_digest: take(bytes, 62),
        })
    }

    /// The ticket's hash, which its successor names.
    pub fn hash(&self) -> TicketHash {
        TicketHash(Sha256::digest(self.to_bytes()).into())
    }

    /// Signs the ticket.
    pub fn sign(self, key: &impl Sign) -> SignedTicket {
        SignedTicket {
            ticket: self,
            signature: key.signature(&self.signed_bytes()),
        }
    }

    fn signed_bytes(&self) -> [u8; LABEL_TICKET.len() + TICKET_LEN] {
        let mut out = [0u8; LABEL_TICKET.len() + TICKET_LEN];
        out[..LABEL_TICKET.len()].copy_from_slice(LABEL_TICKET);
        out[LABEL_TICKET.len()..].copy_from_slice(&self.to_bytes());
        out
    }
}

impl SignedTicket {
    /// Checks the signature.
    ///
    /// # Errors
    /// [`Error::Signature`] if it was not made by `key`.
    pub fn verify(&self, key: &VerifyingKey) -> Result<()> {
        match verify(key, &self.ticket.signed_bytes(), &self.signature) {
            true => Ok(()),
            false => Err(Error::Signature),
        }
    }

    /// The ticket's bytes followed by the signature's.
    pub fn to_bytes(&self) -> [u8; SIGNED_TICKET_LEN] {
        let mut out = [0u8; SIGNED_TICKET_LEN];
        out[..TICKET_LEN].copy_from_slice(&self.ticket.to_bytes());
        out[TICKET_LEN..].copy_from_slice(&self.signature);
        out
    }

    /// Reads a signed ticket; the signature is not checked.
    ///
    /// # Errors
    /// As [`Ticket::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.len() != SIGNED_TICKET_LEN {
            return Err(Error::Malformed);
        }
        Ok(Self {
            ticket: Ticket::from_bytes(&bytes[..TICKET_LEN])?,
            signature: take(bytes, TICKET_LEN),
        })
    }
}

/// Copies a field out of a slice whose length the caller has checked.
pub(crate) fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0u8; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
