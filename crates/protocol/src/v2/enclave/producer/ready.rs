//! A lane that awaits a ticket.

use std::marker::PhantomData;

use crate::v2::{
    body::{Body, BodyHash, Kind},
    checkpoint::Place,
    enclave::core::{Core, LaneMark, LaneMarks},
    error::{HeadError, LaneError},
    message::{Receipt, Request, SignedTicket},
    mode::Reason,
    proof::Unsigned,
    proxy::{Incoming, keys::Keys},
    schedule::MessageKey,
    time::ProducerTime,
    transient::Transient,
};

use super::{
    owed::{Owed, Said},
    standing::{NotAccepted, Standing, against, verified},
    states::{Answering, Bare, Fresh, Opened, Ready},
};

/// An accepted ticket.
pub enum Accepted {
    /// A call.
    Call(Answering, Incoming<Request>),
    /// Nothing to do but answer.
    Bare(Bare),
}

impl Fresh {
    /// Accepts ticket 0. Its signature is verified before its share is used.
    pub(super) fn accept(self, ticket: &SignedTicket) -> Result<Opened, NotAccepted> {
        let body = self.next_body(ticket)?;
        let (owed, _) = Owed::take(self.core, None, ticket, body).map_err(|(_, error)| error)?;
        Ok(Opened(owed))
    }

    /// The body of the ticket that opens this lane.
    fn next_body(&self, ticket: &SignedTicket) -> Result<Body, NotAccepted> {
        let body = verified(&self.core, ticket)?;
        self.standing(&body).next()?;
        Ok(body)
    }

    fn standing(&self, body: &Body) -> Standing {
        let first = BodyHash::opening(&self.core.context, self.core.lane);
        match body.header.n == 0 && body.previous == first {
            true => Standing::Next,
            false => Standing::Elsewhere { expected: 0 },
        }
    }

    /// A transient refusal of ticket 0.
    pub(super) fn put_off(
        &self,
        ticket: &SignedTicket,
        reason: Reason,
        after: u32,
    ) -> Result<Unsigned<Transient>, NotAccepted> {
        let body = self.next_body(ticket)?;
        Ok(put_off(&self.core, &body, reason, after))
    }
}

impl Ready {
    /// The lane after its receipt, the receipt, and the key of what goes with it.
    pub(super) fn after(said: Said) -> Result<(Self, Unsigned<Receipt>, MessageKey), LaneError> {
        let receipt = Unsigned::new(said.receipt, &said.core.context);
        let ready = Self {
            core: said.core,
            next: said
                .body
                .header
                .n
                .checked_add(1)
                .ok_or(LaneError::Exhausted)?,
            ticket: said.ticket,
            receipt: said.body,
            secret: said.secret,
            told: said.told,
        };
        Ok((ready, receipt, said.key))
    }

    /// Judges a ticket without changing anything.
    ///
    /// # Errors
    /// [`HeadError`]: it is not the consumer's, and proves nothing.
    pub fn judge(&self, ticket: &SignedTicket) -> Result<Standing, HeadError> {
        let body = verified(&self.core, ticket)?;
        Ok(self.standing(&body))
    }

    fn standing(&self, body: &Body) -> Standing {
        match body.header.n == self.next {
            true if body.previous == self.named() => Standing::Next,
            true => Standing::ForeignReceipt,
            false => against(&self.ticket, body, self.next),
        }
    }

    /// What the next ticket names.
    fn named(&self) -> BodyHash {
        let last = self.told.as_ref().and_then(|told| told.line.receipt());
        BodyHash::after_rekeyed(&self.receipt, last)
    }

    /// The body of the ticket that this lane awaits.
    fn next_body(&self, ticket: &SignedTicket) -> Result<Body, NotAccepted> {
        let body = verified(&self.core, ticket)?;
        self.standing(&body).next()?;
        Ok(body)
    }

    /// Takes the next ticket, whose body this is.
    fn take(
        self,
        ticket: &SignedTicket,
        body: Body,
    ) -> Result<(Owed, MessageKey), (Box<Self>, NotAccepted)> {
        let after = self
            .told
            .as_ref()
            .and_then(|told| told.line.after(&self.core));
        if let Some(core) = after {
            return Owed::take(core, Some(&self.secret), ticket, body)
                .map_err(|(_, error)| (Box::new(self), error.into()));
        }
        Owed::take(self.core, Some(&self.secret), ticket, body)
            .map_err(|(core, error)| (Box::new(Self { core, ..self }), error.into()))
    }

    /// Accepts the lane's next ticket. Its signature is verified before its share is used.
    ///
    /// # Errors
    /// [`NotAccepted`]; the lane is as it was.
    pub fn accept(self, ticket: &SignedTicket) -> Result<Accepted, (Box<Self>, NotAccepted)> {
        let body = match self.next_body(ticket) {
            Ok(body) => body,
            Err(error) => return Err((Box::new(self), error)),
        };
        let (owed, key) = self.take(ticket, body)?;
        let head = &ticket.message;
        if !head.mode.has_content() {
            return Ok(Accepted::Bare(Bare(owed)));
        }
        let hash = owed.hash();
        let incoming = Incoming {
            keys: Keys {
                suite: owed.core.context.suite(),
                mode: head.mode,
                place: Place::first(head.header.n, hash),
                body: hash,
                commitment: head.commitment,
                key,
                side: PhantomData,
            },
            begin_by: ProducerTime(head.moment),
        };
        Ok(Accepted::Call(Answering(owed), incoming))
    }

    /// A transient refusal of the next ticket: the same bytes may come again.
    ///
    /// # Errors
    /// [`NotAccepted`]: nothing is to be signed for this ticket.
    pub fn put_off(
        &self,
        ticket: &SignedTicket,
        reason: Reason,
        after: u32,
    ) -> Result<Unsigned<Transient>, NotAccepted> {
        let body = self.next_body(ticket)?;
        Ok(put_off(&self.core, &body, reason, after))
    }

    /// The exchange that is awaited.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How far the lane has come.
    pub fn mark(&self) -> LaneMark {
        LaneMark::of(&self.receipt)
    }

    /// And the line of sub-receipts of its last exchange.
    pub fn marks(&self) -> LaneMarks {
        let told = self.told.as_ref();
        LaneMarks {
            mark: self.mark(),
            sub: told.and_then(|told| told.line.mark(self.core.lane)),
        }
    }
}

fn put_off(core: &Core, body: &Body, reason: Reason, after: u32) -> Unsigned<Transient> {
    let transient = Transient {
        header: core.header(Kind::Transient, body.header.n),
        ticket: body.hash(),
        reason,
        after,
    };
    Unsigned::new(transient, &core.context)
}
