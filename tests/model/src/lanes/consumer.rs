//! Steps at the consumer's end.

use armour_protocol::v2::{
    enclave::{
        After,
        consumer::{Answered, Idle, Lanes},
    },
    message::{SignedReceipt, Ticket},
    proof::Unsigned,
    proxy::{Arrived, Incoming},
};

use super::{
    bundle::{Signs, Who},
    names::Response,
    real::{BUDGET, Effect, Issued, LOG_HEAD, MAX_LANES, Real, Step, Taking, Told},
    real::{local, seal, segment, whole},
};

impl Taking<'_> {
    pub(super) fn at_consumer(
        &mut self,
        before: Option<Real>,
        step: Step,
    ) -> Option<(Real, Effect)> {
        match (before, step) {
            (
                None,
                Step::Consumer {
                    number, replaces, ..
                },
            ) => {
                let (context, secret) = (self.bundle.context(), self.bundle.secret());
                let mut lanes = Lanes::new(context, secret, MAX_LANES);
                for _ in 0..number {
                    lanes.fresh().ok()?;
                }
                let replaced = u16::from(number).checked_sub(1).filter(|_| replaces);
                Some((Real::Fresh(lanes.fresh().ok()?, replaced), Effect::None))
            }
            (Some(Real::Idle(lane)), Step::Invented) => {
                let mut stolen = lane.steal();
                let proof = lane.receipt().proof.to_bytes().len();
                // The last byte of the receipt's body, in front of its proof.
                let at = stolen.len().checked_sub(proof + 1)?;
                *stolen.get_mut(at)? ^= 1;
                let copy = Idle::from_stolen(self.bundle.context(), &stolen).ok()?;
                Some((Real::Idle(Box::new(copy)), Effect::None))
            }
            (Some(Real::Fresh(lane, replaces)), Step::Begin { who, now }) => {
                let (lane, ticket) = lane.open(LOG_HEAD, replaces, &mut self.rng).ok()?;
                let ticket = self.issue(ticket, (who, now), None, Vec::new())?;
                Some((Real::Opening(lane), ticket))
            }
            (Some(Real::Idle(lane)), Step::Begin { who, now }) => {
                let content = format!("request {} of {who:?}", lane.next()).into_bytes();
                let claim = whole(&content)?.claim();
                let (lane, ticket, outgoing) =
                    lane.begin(claim, local(now), BUDGET, &mut self.rng).ok()?;
                let body = seal(&content, &outgoing)?;
                let ticket = self.issue(ticket, (who, now), Some(content), body)?;
                Some((Real::Waiting(Box::new(lane)), ticket))
            }
            (Some(Real::Idle(lane)), Step::Refresh { who, now }) => {
                let (lane, ticket) = lane.refresh(local(now), &mut self.rng).ok()?;
                let ticket = self.issue(ticket, (who, now), None, Vec::new())?;
                Some((Real::Refreshing(lane), ticket))
            }
            (Some(lane), Step::Receive { response, now }) => self.receive(lane, response, now),
            _ => None,
        }
    }

    fn issue(
        &self,
        ticket: Unsigned<Ticket>,
        (who, now): (Who, u8),
        content: Option<Vec<u8>>,
        body: Vec<u8>,
    ) -> Option<Effect> {
        Some(Effect::Ticket(Issued {
            ticket: ticket.sign(&self.key(Signs::Tickets, who)),
            body,
            who,
            bundle: self.bundle,
            now,
            content,
        }))
    }

    fn receive(&self, lane: Real, response: Response, now: u8) -> Option<(Real, Effect)> {
        let given = self.given(response)?;
        let receipt = SignedReceipt::from_bytes(&given.receipt.to_bytes()).ok()?;
        let (lane, told) = match lane {
            Real::Opening(lane) => (lane.receive(&receipt, local(now)).ok()?, Told::Nothing),
            Real::Refreshing(lane) => (lane.receive(&receipt, local(now)).ok()?, Told::Nothing),
            Real::Waiting(lane) => {
                let received = lane.receive(&receipt, local(now)).ok()?;
                let After::Lane(lane) = received.lane else {
                    return None;
                };
                let told = match received.answer {
                    Answered::Refused(_) => Told::Refused,
                    Answered::Aborted(_) => Told::Aborted,
                    Answered::Content(incoming) => {
                        let incoming = Incoming::from_bytes(&incoming.to_bytes()).ok()?;
                        let (header, sealed) = segment(&given.body)?;
                        let opened = incoming.open(header, sealed).ok()?;
                        let Ok(Arrived::Whole(content)) = opened.verify(&self.bundle.context())
                        else {
                            return None;
                        };
                        let same = given.content.as_deref() == Some(content.content());
                        same.then_some(Told::Content)?
                    }
                };
                (lane, told)
            }
            _ => return None,
        };
        Some((Real::Idle(Box::new(lane)), Effect::Told(told)))
    }
}
