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

use super::{incoming::Arrived, keys::Incoming, segment::SegmentHeader};

/// A ticket that the enclave accepted, and whose content has not come, or was not what
/// the consumer signed.
pub struct Pending {
    context: Arc<Context>,
    incoming: Incoming<Request>,
}

/// A verified request, whose call has neither begun nor been refused. Nobody can read it.
pub struct Undecided {
    ticket: BodyHash,
    begin_by: ProducerTime,
    request: Arrived<Request>,
}

/// The call has begun.
pub struct Begun(BodyHash);

/// The call has not begun and never will.
pub struct Refused(BodyHash, Reason);

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

impl Pending {
    /// What the enclave accepted.
    pub fn new(context: Arc<Context>, incoming: Incoming<Request>) -> Self {
        Self { context, incoming }
    }

    /// Opens the request's first segment and verifies it.
    ///
    /// # Errors
    /// [`ContentError`]: it is not what the consumer signed, which may still come.
    pub fn receive(
        self,
        header: SegmentHeader,
        sealed: &[u8],
    ) -> Result<Undecided, (Box<Self>, ContentError)> {
        let opened = self.incoming.open_first(header, sealed);
        match opened.and_then(|request| request.verified(&self.context)) {
            Err(error) => Err((Box::new(self), error)),
            Ok(request) => Ok(Undecided {
                ticket: self.incoming.keys.body,
                begin_by: self.incoming.begin_by,
                request,
            }),
        }
    }

    /// The last moment at which the call may begin.
    pub fn begin_by(&self) -> ProducerTime {
        self.incoming.begin_by
    }

    /// Whether the ticket's time is over, so that its content need not be awaited.
    pub fn is_late(&self, now: ProducerTime) -> bool {
        now > self.incoming.begin_by
    }

    /// Decides that the call never begins.
    pub fn refuse(self, reason: Reason) -> Refused {
        Refused(self.incoming.keys.body, reason)
    }
}

impl Undecided {
    /// Begins the call: to be done directly before the API's first byte.
    ///
    /// # Errors
    /// [`Refused`], late: no byte of the request can be read.
    pub fn begin(self, now: ProducerTime) -> Result<(Begun, Arrived<Request>), Refused> {
        match now > self.begin_by {
            true => Err(self.refuse(Reason::LATE)),
            false => Ok((Begun(self.ticket), self.request)),
        }
    }

    /// Decides that the call never begins.
    pub fn refuse(self, reason: Reason) -> Refused {
        Refused(self.ticket, reason)
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
