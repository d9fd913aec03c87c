//! Whether a call begins: decided once, in one place. A request's content comes out of
//! that decision alone, and each decision leads to one conclusion.

use std::sync::Arc;

use crate::v2::{
    body::BodyHash,
    content::ContentClaim,
    context::Context,
    error::{ContentError, HeadError},
    fields::Reader,
    message::Request,
    mode::Reason,
    time::ProducerTime,
};

use super::{
    incoming::{Arrived, Unverified},
    keys::Incoming,
    segment::SegmentHeader,
};

/// A ticket that the enclave accepted, and whose call has neither begun nor been refused.
pub struct Undecided {
    context: Arc<Context>,
    incoming: Incoming<Request>,
}

/// The call has begun.
pub struct Begun(BodyHash);

/// The call has not begun and never will.
pub struct Refused(BodyHash, Reason);

/// Why a call was not begun.
pub enum NotBegun {
    /// The content is not what the consumer signed: it may come once more.
    Invalid(Box<Undecided>, ContentError),
    /// The ticket's time is over.
    Late(Refused),
}

/// How a ticket ended: what its one receipt says.
pub struct Conclusion {
    pub(crate) ticket: BodyHash,
    pub(crate) concluded: Concluded,
}

pub(crate) enum Concluded {
    Content(ContentClaim),
    Refused(Reason),
    Aborted(Reason),
}

impl Undecided {
    /// What the enclave accepted.
    pub fn new(context: Arc<Context>, incoming: Incoming<Request>) -> Self {
        Self { context, incoming }
    }

    /// Opens the request's first segment. It can be tried with other bytes if that fails.
    ///
    /// # Errors
    /// [`ContentError`]; the bytes are not the ones that were sent.
    pub fn receive(
        &self,
        header: SegmentHeader,
        sealed: &[u8],
    ) -> Result<Unverified<Request>, ContentError> {
        self.incoming.open_first(header, sealed)
    }

    /// Whether the ticket's time is over, so that its content need not be awaited.
    pub fn is_late(&self, now: ProducerTime) -> bool {
        now > self.incoming.begin_by
    }

    /// Verifies the content and begins the call, directly before the API's first byte.
    ///
    /// # Errors
    /// [`NotBegun`]: no byte of the request can be read.
    pub fn begin(
        self,
        request: Unverified<Request>,
        now: ProducerTime,
    ) -> Result<(Begun, Arrived<Request>), NotBegun> {
        if self.is_late(now) {
            return Err(NotBegun::Late(self.refuse(Reason::LATE)));
        }
        let ticket = self.incoming.keys.body;
        let verified = match request.is_of(ticket) {
            true => request.verified(&self.context),
            false => Err(ContentError::Commitment),
        };
        match verified {
            Ok(arrived) => Ok((Begun(ticket), arrived)),
            Err(error) => Err(NotBegun::Invalid(Box::new(self), error)),
        }
    }

    /// Decides that the call never begins.
    pub fn refuse(self, reason: Reason) -> Refused {
        Refused(self.incoming.keys.body, reason)
    }
}

impl Begun {
    /// The API has answered: with whole content, or with what a stream begins with.
    pub fn answer(self, claim: ContentClaim) -> Conclusion {
        self.concluded(Concluded::Content(claim))
    }

    /// There is no answer; how far the call ran is unknown.
    pub fn abort(self, reason: Reason) -> Conclusion {
        self.concluded(Concluded::Aborted(reason))
    }

    fn concluded(self, concluded: Concluded) -> Conclusion {
        Conclusion {
            ticket: self.0,
            concluded,
        }
    }
}

impl Refused {
    /// Why.
    pub fn reason(&self) -> Reason {
        self.1
    }

    /// What the receipt says.
    pub fn conclude(self) -> Conclusion {
        Conclusion {
            ticket: self.0,
            concluded: Concluded::Refused(self.1),
        }
    }
}

impl Conclusion {
    /// The bytes, for the enclave's door: hash of the ticket's body, 1 to 3, and the
    /// claim or the reason.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.ticket.0.to_vec();
        match &self.concluded {
            Concluded::Content(claim) => {
                out.push(1);
                out.extend_from_slice(&claim.to_bytes());
            }
            Concluded::Refused(reason) => out.extend_from_slice(&[2, reason.as_u8()]),
            Concluded::Aborted(reason) => out.extend_from_slice(&[3, reason.as_u8()]),
        }
        out
    }

    /// Reads what [`Conclusion::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`HeadError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(bytes);
        let ticket = BodyHash(reader.array()?);
        let reason =
            |reader: &mut Reader<'_>| Reason::from_u8(reader.u8()?).ok_or(HeadError::Malformed);
        let concluded = match reader.u8()? {
            1 => {
                let claim = reader.bytes(ContentClaim::LEN)?;
                Concluded::Content(ContentClaim::from_bytes(claim)?)
            }
            2 => Concluded::Refused(reason(&mut reader)?),
            3 => Concluded::Aborted(reason(&mut reader)?),
            _ => return Err(HeadError::Malformed),
        };
        reader.end()?;
        Ok(Self { ticket, concluded })
    }
}
