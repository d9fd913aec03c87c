//! What those do who copied an end's state.

use super::state::{Call, Double, Serving, State, System, Thief};
use crate::lanes::{Accepted, Bundle, Request, Response, Who};

impl System {
    fn who(&self) -> Who {
        match self.bounds.strangers {
            true => Who::Stranger,
            false => Who::Copy,
        }
    }

    pub(super) fn consumer_is_copied(&self, state: &mut State) -> Option<()> {
        let at = state.consumer.at?;
        state.thief = Some(Thief {
            bundle: at.bundle,
            lane: self.lanes.stolen(at.lane),
            waiting: at.waiting.is_some(),
            invented: false,
        });
        Some(())
    }

    pub(super) fn thief_begins(&self, state: &mut State) -> Option<()> {
        let thief = state.thief.as_mut()?;
        let (lane, request) = self.lanes.begin(thief.lane, self.who(), state.now)?;
        (thief.lane, thief.waiting) = (lane, true);
        state.requests.insert(request);
        state.spent.stolen_tickets += 1;
        Some(())
    }

    pub(super) fn thief_opens_a_lane(&self, state: &mut State) -> Option<()> {
        let lane = self.lanes.consumer(state.thief?.bundle, 1, false)?;
        let (_, request) = self.lanes.begin(lane, self.who(), state.now)?;
        state.requests.insert(request);
        state.spent.stolen_tickets += 1;
        state.spent.stolen_lane = true;
        Some(())
    }

    pub(super) fn thief_receives(&self, state: &mut State, response: Response) -> Option<()> {
        let thief = state.thief.as_mut()?;
        let (lane, _) = self.lanes.receive(thief.lane, response, state.now)?;
        (thief.lane, thief.waiting) = (lane, false);
        Some(())
    }

    pub(super) fn thief_invents(&self, state: &mut State) -> Option<()> {
        let thief = state.thief.as_mut()?;
        thief.lane = self.lanes.invented(thief.lane)?;
        thief.invented = true;
        Some(())
    }

    pub(super) fn producer_is_copied(&self, state: &mut State, bundle: Bundle) -> Option<()> {
        let mut held = match state.producer.bundles.get(&bundle) {
            Some(held) => *held,
            None => self.empty(bundle)?,
        };
        for serving in held.places.iter_mut().flatten() {
            serving.lane = self.lanes.stolen(serving.lane);
        }
        state.double = Some(Double { bundle, held });
        Some(())
    }

    /// The copy answers in the producer's place: at once, whatever the time.
    pub(super) fn double_answers(&self, state: &mut State, request: Request) -> Option<()> {
        let (who, now) = (self.who(), state.now);
        let double = state.double.as_mut()?;
        let (_, bundle) = self.lanes.issuer(request);
        if bundle != double.bundle {
            return None;
        }
        let (body, call) = self.lanes.ticket(request);
        let place = usize::from(body.header.lane == 1);
        let held = &mut double.held;
        let (lane, response) = match held.places[place] {
            None => {
                let (lanes, _, lane, response) = self.lanes.open(held.lanes, request, who, now)?;
                held.lanes = lanes;
                (lane, response)
            }
            Some(one) => {
                let begun = match one.call {
                    Call::None => {
                        let next = self.lanes.standing(one.lane, request) == Accepted::Next;
                        let lane = Some(one.lane).filter(|_| next)?;
                        match call {
                            true => self.lanes.run(self.lanes.accept(lane, request)?, now),
                            false => None,
                        }
                    }
                    Call::Accepted { .. } if one.seen == request => self.lanes.run(one.lane, now),
                    Call::Frozen | Call::Running if one.seen == request => Some(one.lane),
                    _ => return None,
                };
                match begun {
                    Some(lane) => self.lanes.answer(lane, who, now)?,
                    None => self.lanes.bare(one.lane, request, who, now)?,
                }
            }
        };
        held.places[place] = Some(Serving {
            lane,
            call: Call::None,
            seen: request,
            conflict: None,
            replaced: false,
        });
        state.responses.insert(response);
        state.spent.stolen_answers += 1;
        Some(())
    }
}
