//! The ledger: what is recorded, and what a report does. What a report means is the
//! protocol crate's decision.

use std::collections::BTreeMap;

use armour_protocol::ledger::{Chain, Verdict, judge};

use crate::lanes::{Lanes, Request};

/// A bundle's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Life {
    /// Its consumer's current one.
    Active,
    /// Another was drawn after it; `over` once its grace has passed.
    Superseded { over: bool },
    /// Ended.
    Disconnected,
}

/// Everything in the database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Ledger {
    /// By number.
    pub bundles: BTreeMap<u8, Record>,
    /// The first collision that was declared.
    pub collision: Option<How>,
}

/// How a collision became evident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// Two different successors of one ticket.
    Fork,
    /// A superseded bundle was used.
    Superseded,
    /// The owner disowned a recorded ticket.
    Disowned,
    /// The owner disowned a draw.
    Usurped,
}

/// A bundle in the database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// Its state.
    pub life: Life,
    /// The recorded tickets of its two lanes.
    pub lanes: [Vec<Request>; 2],
}

/// A ticket that an end has yet to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    /// The ticket.
    pub request: Request,
    /// Issued or received after the grace of its superseded bundle.
    pub late: bool,
}

/// What a reporter is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Recorded, or known.
    Taken,
    /// The bundle is of no more use.
    Dead,
}

impl Ledger {
    /// A new bundle; the active one is superseded.
    pub fn draw(&mut self, number: u8) {
        for record in self.bundles.values_mut() {
            if record.life == Life::Active {
                record.life = Life::Superseded { over: false };
            }
        }
        let record = Record {
            life: Life::Active,
            lanes: Default::default(),
        };
        self.bundles.insert(number, record);
    }

    /// A bundle's state; of one that the database has lost, none.
    pub fn life(&self, bundle: u8) -> Option<Life> {
        self.bundles.get(&bundle).map(|record| record.life)
    }

    /// Whether a bundle's grace is over.
    pub fn is_over(&self, bundle: u8) -> bool {
        self.life(bundle) == Some(Life::Superseded { over: true })
    }

    /// A collision: the bundle, and whatever may be the thief's too, is dead.
    pub fn collide(&mut self, bundle: u8, how: How) {
        self.collision.get_or_insert(how);
        let all = matches!(how, How::Superseded | How::Usurped);
        for (number, record) in &mut self.bundles {
            if all || *number == bundle {
                record.life = Life::Disconnected;
            }
        }
    }

    /// Whether what is recorded are chains without holes or forks.
    pub fn is_sound(&self, lanes: &Lanes) -> bool {
        let recorded = self.bundles.values().flat_map(|record| &record.lanes);
        recorded.into_iter().all(|lane| {
            let mut before = None;
            lane.iter().zip(0..).all(|(request, n)| {
                let ticket = lanes.ticket(*request).ticket;
                let follows = before.is_none_or(|hash| ticket.previous == hash);
                before = Some(ticket.hash());
                follows && ticket.n == n
            })
        })
    }

    /// Takes a chain of tickets of one lane.
    pub fn report(&mut self, lanes: &Lanes, entries: &[Entry]) -> Told {
        let Some((last, chain)) = entries.last().zip(chain(lanes, entries)) else {
            return Told::Taken;
        };
        let (_, bundle) = lanes.origin(last.request);
        let late = last.late && self.is_over(bundle);
        let Some(record) = self.bundles.get_mut(&bundle) else {
            // "No such bundle": the database has lost it.
            return Told::Dead;
        };
        if record.life == Life::Disconnected {
            return Told::Dead;
        }
        let Ok(reported) = chain.tickets() else {
            return Told::Taken;
        };
        if !lanes.vouched(last.request, &reported) {
            return Told::Taken;
        }
        let recorded = &mut record.lanes[usize::from(chain.lane == 1)];
        let tickets: Vec<_> = recorded
            .iter()
            .map(|request| lanes.ticket(*request))
            .collect();
        match judge(tickets.last(), &tickets, &reported) {
            Verdict::Known => Told::Taken,
            Verdict::Gap { .. } => Told::Dead,
            Verdict::Collision { .. } => {
                self.collide(bundle, How::Fork);
                Told::Dead
            }
            Verdict::Extends { .. } if late => {
                self.collide(bundle, How::Superseded);
                Told::Dead
            }
            Verdict::Extends { from } => {
                recorded.extend(entries[from..].iter().map(|entry| entry.request));
                Told::Taken
            }
        }
    }
}

/// The first entries that form one chain, as an agent sends them.
pub fn first_chain<'a>(lanes: &Lanes, entries: &'a [Entry]) -> &'a [Entry] {
    let longest = (1..=entries.len()).rev();
    let mut chains = longest.map(|count| &entries[..count]);
    chains
        .find(|entries| chain(lanes, entries).is_some())
        .unwrap_or(&[])
}

fn chain(lanes: &Lanes, entries: &[Entry]) -> Option<Chain> {
    let first = lanes.ticket(entries.first()?.request);
    let mut chain = Chain::of(&first);
    let mut last = first;
    for entry in &entries[1..] {
        let ticket = lanes.ticket(entry.request);
        if !chain.push(&last.ticket, &ticket) {
            return None;
        }
        last = ticket;
    }
    Some(chain)
}
