//! What a ticket that arrives does at the producer.

use armour_protocol::v2::proxy::Look;

use super::{
    consumer::push,
    state::{Call, Held, Serving, State, System},
};
use crate::{
    lanes::{Accepted, Bundle, Item, Request, Who},
    ledger::Life,
};

impl System {
    pub(super) fn deliver(&self, state: &mut State, request: Request) -> Option<()> {
        let (issuer, bundle) = self.lanes.issuer(request);
        let mut held = self.held(state, bundle)?;
        let (body, call) = self.lanes.ticket(request);
        let place = usize::from(body.header.lane == 1);
        let Some(serving) = &mut held.places[place] else {
            let (lanes, replaces, lane, response) =
                self.lanes
                    .open(held.lanes, request, state.producer.who, state.now)?;
            state.seen.strange |= issuer == Who::Stranger;
            held.lanes = lanes;
            if let Some(first) = held.places[0].as_mut().filter(|_| replaces) {
                first.replaced = true;
            }
            held.places[place] = Some(Serving {
                lane,
                call: Call::None,
                seen: request,
                conflict: None,
                replaced: false,
            });
            state.responses.insert(response);
            push(&mut state.producer.reports, request, response);
            state.producer.bundles.insert(bundle, held);
            return Some(());
        };
        let look = self.lanes.look(serving.seen, serving.conflict, request);
        if serving.replaced || look != Look::Ask {
            // Older, or answered with the bytes of before, which are on their way for ever.
            return None;
        }
        match self.lanes.standing(serving.lane, request) {
            Accepted::Next if call => {
                let Some(lane) = self.lanes.accept(serving.lane, request) else {
                    if issuer == Who::Owner {
                        self.lanes.fail();
                    }
                    return None;
                };
                state.seen.strange |= issuer == Who::Stranger;
                serving.lane = lane;
                serving.call = Call::Accepted {
                    cleared: !self.bounds.strict,
                };
                (serving.seen, serving.conflict) = (request, None);
                state.producer.reports.push(Item::Ticket(request));
            }
            Accepted::Next => {
                let who = state.producer.who;
                let bare = self.lanes.bare(serving.lane, request, who, state.now);
                let (lane, response) = bare?;
                serving.lane = lane;
                (serving.seen, serving.conflict) = (request, None);
                state.responses.insert(response);
                push(&mut state.producer.reports, request, response);
            }
            Accepted::Conflict => {
                serving.conflict.get_or_insert(request);
                evidence(state, request);
            }
            Accepted::Elsewhere => evidence(state, request),
            Accepted::Repeat | Accepted::Refused => return None,
        }
        state.producer.bundles.insert(bundle, held);
        Some(())
    }

    /// The bundle, which the producer may have to install yet.
    fn held(&self, state: &State, bundle: Bundle) -> Option<Held> {
        if let Some(held) = state.producer.bundles.get(&bundle) {
            return Some(*held).filter(|held| !held.over);
        }
        let known = bundle.producer == state.producer.start
            && state.ledger.life(bundle) == Some(Life::Active);
        match known {
            true => self.empty(bundle),
            // Nobody knows it, and nothing is signed.
            false => None,
        }
    }

    pub(super) fn empty(&self, bundle: Bundle) -> Option<Held> {
        Some(Held {
            lanes: self.lanes.producer(bundle)?,
            places: [None; 2],
            over: false,
        })
    }

    /// The producer has no room now: the same bytes may come again.
    pub(super) fn puts_off(&self, state: &mut State, request: Request) -> Option<()> {
        let (_, bundle) = self.lanes.issuer(request);
        let held = self.held(state, bundle)?;
        let serving = held.places[0].filter(|one| one.call == Call::None)?;
        let at = state.consumer.at.filter(|at| at.waiting == Some(request))?;
        if self.lanes.standing(serving.lane, request) != Accepted::Next
            || !self.lanes.ticket(request).1
        {
            return None;
        }
        if !self.lanes.puts_off(serving.lane, request, at.lane) {
            self.lanes.fail();
        }
        state.spent.put_offs += 1;
        state.seen.put_off.insert(request);
        Some(())
    }
}

fn evidence(state: &mut State, request: Request) {
    let item = Item::Ticket(request);
    if !state.producer.reports.contains(&item) {
        state.producer.reports.push(item);
    }
}
