//! What the consumer's agent does.

use super::state::{At, Consumer, State, System};
use crate::{
    lanes::{Item, Lane, Request, Response, Told, Who},
    ledger::{Answer, Asked, How, Life, Side, first_run},
};

impl System {
    pub(super) fn consumer_draws(&self, state: &mut State) -> Option<()> {
        let bundle = state.ledger.draw(state.spent.draws);
        state.spent.draws += 1;
        state.consumer.at = Some(At {
            bundle,
            number: 0,
            lane: self.lanes.consumer(bundle, 0, false)?,
            waiting: None,
            unsent: false,
            opened: None,
            fresh: true,
            given_up: None,
        });
        Some(())
    }

    pub(super) fn consumer_begins(&self, state: &mut State, refresh: bool) -> Option<()> {
        let at = state.consumer.at?;
        let who = state.consumer.who;
        let (lane, request) = match refresh {
            true => self.lanes.refresh(at.lane, who, state.now)?,
            false => self.lanes.begin(at.lane, who, state.now)?,
        };
        state.spent.tickets += 1;
        state.spent.refreshes += u8::from(refresh);
        state.seen.strange |= at.opened == Some(Who::Stranger);
        state.consumer.at = Some(At {
            lane,
            waiting: Some(request),
            unsent: self.bounds.strict,
            fresh: false,
            ..at
        });
        state.consumer.reports.push(Item::Ticket(request));
        if !self.bounds.strict {
            state.requests.insert(request);
        }
        Some(())
    }

    pub(super) fn consumer_receives(&self, state: &mut State, response: Response) -> Option<()> {
        let at = state.consumer.at?;
        let (giver, bundle, answered) = self.lanes.giver(response);
        if bundle != at.bundle {
            return None;
        }
        let Some(request) = at.waiting else {
            // It comes late, or again; or it shows that somebody else answered, too.
            let items = [Item::Ticket(answered), Item::Receipt(response)];
            let told = state.consumer.reports.contains(&items[1]);
            return (!told && self.lanes.is_clone(at.lane, response))
                .then(|| state.consumer.reports.extend(items));
        };
        let Some((lane, told)) = self.lanes.receive(at.lane, response, state.now) else {
            if answered == request && giver == Who::Owner {
                self.lanes.fail();
            }
            return None;
        };
        let ran = state.seen.ran.contains_key(&request);
        let true_word = match told {
            Told::Nothing => true,
            Told::Content | Told::Aborted => ran,
            Told::Refused => !ran,
        };
        state.seen.misled |= giver == Who::Owner && !true_word;
        state.seen.answered |= told == Told::Content;
        if giver == Who::Copy {
            state.seen.taken.insert(response);
        }
        state.consumer.at = Some(At {
            lane,
            waiting: None,
            opened: at.opened.or(Some(giver)),
            ..at
        });
        push(&mut state.consumer.reports, request, response);
        Some(())
    }

    pub(super) fn consumer_reports(&self, state: &mut State, answered: bool) -> Option<()> {
        let items = first_run(&self.lanes, &state.consumer.reports).to_vec();
        let (bundle, ..) = self.lanes.place(*items.first()?);
        let told = state.ledger.report(&self.lanes, &items);
        if !answered {
            return Some(());
        }
        state.consumer.reports.drain(..items.len());
        match (told, &mut state.consumer.at) {
            (Answer::Dead, Some(at)) if at.bundle == bundle => state.consumer.at = None,
            (Answer::Taken, Some(at)) if at.unsent => {
                at.unsent = false;
                state.requests.extend(at.waiting);
            }
            _ => {}
        }
        Some(())
    }

    /// A heartbeat: its answer tells which bundles have ended, and what the ledger holds in
    /// the consumer's name.
    pub(super) fn consumer_beats(&self, state: &mut State) {
        let Some(at) = state.consumer.at else {
            self.look_back(state);
            return;
        };
        let ended = state.ledger.life(at.bundle) != Some(Life::Active);
        if !ended || self.bounds.granted.looks_last {
            self.look(state, at.bundle, at.lanes());
        }
        if ended {
            state.consumer.past.push((at.bundle, at.lanes()));
            state.consumer.at = None;
        }
        self.look_back(state);
    }

    fn look_back(&self, state: &mut State) {
        if self.bounds.granted.looks_last {
            for (bundle, lanes) in state.consumer.past.clone() {
                self.look(state, bundle, lanes);
            }
        }
    }

    /// Whether the ledger holds in our name only what we did.
    fn look(&self, state: &mut State, bundle: crate::lanes::Bundle, ours: [Option<Lane>; 2]) {
        let Some(record) = state.ledger.bundles.get(&bundle) else {
            return;
        };
        let foreign = (0..2).any(|lane| {
            let head = record.head(lane, Side::Consumer);
            head.is_some_and(|head| !self.lanes.owns(ours[lane], head))
        });
        if foreign && record.life != Life::Disconnected {
            state.ledger.find(Side::Consumer, How::Disowned);
        }
    }

    /// Shows the receipt that a ticket in our name has named.
    pub(super) fn consumer_shows(&self, state: &mut State) -> Option<()> {
        let asked = state.ledger.asked?;
        let shown = self.shown(state, asked);
        let shown = shown.filter(|_| self.bounds.granted.shows_receipts);
        state.ledger.show(&self.lanes, asked, shown);
        Some(())
    }

    fn shown(&self, state: &State, asked: Asked) -> Option<Response> {
        let Asked { bundle, lane, n } = asked;
        let at = state.consumer.at.filter(|at| at.bundle == bundle);
        let past = state.consumer.past.iter().filter(|one| one.0 == bundle);
        let lanes = at.map(|at| at.lanes()).into_iter();
        let mut kept = lanes
            .chain(past.map(|one| one.1))
            .filter_map(|lanes| lanes[usize::from(lane)]);
        let unreported = || {
            state.consumer.reports.iter().find_map(|item| match item {
                Item::Receipt(response) if self.lanes.place(*item) == (bundle, lane, n) => {
                    Some(*response)
                }
                _ => None,
            })
        };
        kept.find_map(|lane| self.lanes.shows(lane, n))
            .or_else(unreported)
    }

    /// Nobody can begin the call any more: a new lane takes the place of this one.
    pub(super) fn consumer_gives_up_a_lane(&self, state: &mut State) -> Option<()> {
        let at = state.consumer.at?;
        state.consumer.at = Some(At {
            number: 1,
            lane: self.lanes.consumer(at.bundle, 1, true)?,
            waiting: None,
            opened: None,
            fresh: true,
            given_up: Some(at.lane),
            ..at
        });
        Some(())
    }

    pub(super) fn consumer_retires(&self, state: &mut State) -> Option<()> {
        let at = state.consumer.at.take()?;
        state.ledger.retire(&self.lanes, at.bundle, at.lanes());
        state.consumer.past.push((at.bundle, at.lanes()));
        Some(())
    }

    pub(super) fn consumer_crashes(&self, state: &mut State) {
        state.spent.consumer_crashes += 1;
        let lost = state.consumer.reports.iter().any(|item| match item {
            Item::Receipt(response) => self.lanes.giver(*response).0 == Who::Copy,
            Item::Ticket(_) => false,
        });
        state.seen.forgotten |= lost && !self.bounds.granted.keeps_reports;
        let reports = match self.bounds.granted.keeps_reports {
            true => std::mem::take(&mut state.consumer.reports),
            false => Vec::new(),
        };
        state.consumer = Consumer {
            start: state.consumer.start + 1,
            up: false,
            reports,
            ..Consumer::default()
        };
    }

    pub(super) fn consumer_starts(state: &mut State) {
        state.consumer.up = true;
        state.ledger.start(Side::Consumer, state.consumer.start);
    }

    pub(super) fn consumer_resumes(state: &mut State) -> Option<()> {
        state.consumer.at = Some(state.consumer.snapshot.take()?);
        state.consumer.who = Who::Resumed;
        Some(())
    }
}

/// A receipt is reported with its ticket, unless that has just been put there.
pub(super) fn push(reports: &mut Vec<Item>, request: Request, response: Response) {
    if reports.last() != Some(&Item::Ticket(request)) {
        reports.push(Item::Ticket(request));
    }
    reports.push(Item::Receipt(response));
}
