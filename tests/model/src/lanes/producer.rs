//! Steps at the producer's end.

use armour_protocol::v2::{
    enclave::{
        After, LaneMark,
        producer::{Accepted, Answering, BareAfter, Lanes},
    },
    message::{Receipt, SignedTicket},
    mode::Reason,
    proof::Unsigned,
    proxy::{Arrived, Conclusion, Incoming, Pending},
};

use super::{
    bundle::{Signs, Who},
    names::Request,
    real::{Effect, Given, LOG_HEAD, MAX_LANES, Real, Step, Taking, clock, seal, segment, whole},
};

impl Taking<'_> {
    pub(super) fn at_producer(
        &mut self,
        before: Option<Real>,
        step: Step,
    ) -> Option<(Real, Effect)> {
        match (before, step) {
            (None, Step::Producer { .. }) => {
                let (context, secret) = (self.bundle.context(), self.bundle.secret());
                let lanes = Lanes::new(context, secret, MAX_LANES);
                Some((Real::Lanes(lanes), Effect::None))
            }
            (Some(Real::Lanes(mut lanes)), Step::Noted { request }) => {
                let ticket = self.arrived(request)?;
                let (_, replaced) = lanes.open(&ticket).ok()?;
                if let Some(lane) = replaced {
                    // What it came to is read from the model's own state of it.
                    let hash = ticket.unverified().body().hash();
                    lanes.ended(LaneMark {
                        lane,
                        n: 0,
                        k: 0,
                        hash,
                    });
                }
                Some((Real::Lanes(lanes), Effect::Replaces(replaced.is_some())))
            }
            (Some(Real::Lanes(mut lanes)), Step::Open { request, who, now }) => {
                let (opened, _) = lanes.open(&self.arrived(request)?).ok()?;
                let answered = opened.answer(LOG_HEAD, clock(now), &mut self.rng);
                let (lane, receipt) = answered.ok()?;
                let receipt = self.give(receipt, request, who, None, Vec::new());
                Some((Real::Ready(Box::new(lane)), receipt))
            }
            (Some(Real::Ready(lane)), Step::Accept { request }) => {
                let ticket = self.arrived(request)?;
                let Ok(Accepted::Call(lane, incoming)) = lane.accept(&ticket) else {
                    return None;
                };
                let incoming = Incoming::from_bytes(&incoming.to_bytes()).ok()?;
                let (header, sealed) = segment(&self.issued(request)?.body)?;
                let pending = Pending::new(self.bundle.context(), incoming);
                let call = pending.receive(header, sealed).ok()?;
                Some((Real::Called(request, Box::new(lane), call), Effect::None))
            }
            (Some(Real::Ready(lane)), Step::Bare { request, who, now }) => {
                let Ok(Accepted::Bare(lane)) = lane.accept(&self.arrived(request)?) else {
                    return None;
                };
                let (after, receipt) = lane.answer(clock(now), &mut self.rng).ok()?;
                let BareAfter::Ready(lane) = after else {
                    return None;
                };
                let receipt = self.give(receipt, request, who, None, Vec::new());
                Some((Real::Ready(lane), receipt))
            }
            (Some(Real::Called(request, lane, call)), Step::Run { now }) => {
                let (begun, content) = call.begin(clock(now)).ok()?;
                let Arrived::Whole(content) = content else {
                    return None;
                };
                let expected = self.issued(request)?.content.as_deref();
                let same = expected == Some(content.content());
                same.then_some((Real::Running(request, lane, begun), Effect::None))
            }
            (Some(Real::Called(request, lane, call)), Step::Late { who, now }) => {
                let late = call.begin(clock(now)).err()?;
                self.conclude(*lane, late.conclude(), request, (who, now), None)
            }
            (Some(Real::Called(request, lane, call)), Step::Refuse { who, now }) => {
                let refused = call.refuse(Reason::BUSY);
                self.conclude(*lane, refused.conclude(), request, (who, now), None)
            }
            (Some(Real::Running(request, lane, begun)), Step::Answer { who, now }) => {
                let content = format!("response of {who:?}").into_bytes();
                let answer = begun.answer(whole(&content)?.claim());
                self.conclude(*lane, answer, request, (who, now), Some(content))
            }
            (Some(Real::Running(request, lane, begun)), Step::Abort { who, now }) => {
                let aborted = begun.abort(Reason::API);
                self.conclude(*lane, aborted, request, (who, now), None)
            }
            _ => None,
        }
    }

    /// The call's one receipt.
    fn conclude(
        &mut self,
        lane: Answering,
        conclusion: Conclusion,
        request: Request,
        (who, now): (Who, u8),
        content: Option<Vec<u8>>,
    ) -> Option<(Real, Effect)> {
        let conclusion = Conclusion::from_bytes(&conclusion.to_bytes()).ok()?;
        let concluded = lane.conclude(conclusion, clock(now), &mut self.rng);
        let concluded = concluded.ok()?;
        let After::Lane(lane) = concluded.lane else {
            return None;
        };
        let body = match (&content, &concluded.outgoing) {
            (Some(content), Some(outgoing)) => seal(content, outgoing)?,
            _ => Vec::new(),
        };
        let receipt = self.give(concluded.receipt, request, who, content, body);
        Some((Real::Ready(Box::new(lane)), receipt))
    }

    fn give(
        &self,
        receipt: Unsigned<Receipt>,
        request: Request,
        who: Who,
        content: Option<Vec<u8>>,
        body: Vec<u8>,
    ) -> Effect {
        Effect::Receipt(Given {
            receipt: receipt.sign(&self.key(Signs::Receipts, who)),
            body,
            who,
            bundle: self.bundle,
            request,
            content,
        })
    }

    fn arrived(&self, request: Request) -> Option<SignedTicket> {
        SignedTicket::from_bytes(&self.issued(request)?.ticket.to_bytes()).ok()
    }
}
