//! The ledger: what is recorded, and what a report does. What a report means is the
//! protocol crate's decision.

use std::collections::BTreeMap;

use armour_protocol::v2::ledger::Verdict;

use crate::lanes::{Bundle, Item, Lane, Lanes, Response};

/// A bundle's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Life {
    /// In use.
    Active,
    /// An end started anew: it ended without a word of what was signed in it.
    Superseded,
    /// Its consumer retired it, and said of either lane how far it had come.
    Retired([Option<Lane>; 2]),
    /// Ended by a finding, or behind a fence.
    Disconnected,
}

/// An end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The consumer.
    Consumer,
    /// The producer.
    Producer,
}

/// How a copy became evident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// Two tickets in one place.
    ConsumerClone,
    /// Two receipts for one ticket.
    ProducerClone,
    /// A ticket that names a receipt which its consumer cannot show.
    ForeignReceipt,
    /// An end says of a recorded message that it did not sign it.
    Disowned,
    /// A ticket beyond what its consumer said when it retired the bundle.
    AfterRetirement,
}

/// What was found: whose identity ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Finding {
    /// None if it cannot be told any more: then the bundle alone ends.
    pub side: Option<Side>,
    /// How.
    pub how: How,
}

/// A consumer that is asked to show the receipt that its ticket names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Asked {
    /// The bundle.
    pub bundle: Bundle,
    /// The lane.
    pub lane: u8,
    /// The receipt's number.
    pub n: u64,
}

/// Everything in the database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Ledger {
    /// In the order in which they were minted.
    pub bundles: BTreeMap<Bundle, Record>,
    /// The first finding.
    pub finding: Option<Finding>,
    /// What a consumer is asked.
    pub asked: Option<Asked>,
    /// The start of the consumer that lives.
    pub consumer: u8,
    /// The start of the producer that lives.
    pub producer: u8,
}

/// A bundle in the database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// Its state.
    pub life: Life,
    /// Tickets and receipts of its two lanes, in turn.
    pub lanes: [Vec<Item>; 2],
}

/// What a reporter is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Recorded, or known.
    Taken,
    /// Exchanges before it are missing.
    Gap,
    /// The bundle is of no more use.
    Dead,
}

impl Record {
    /// The last recorded ticket, or receipt, of a lane.
    pub fn head(&self, lane: usize, side: Side) -> Option<Item> {
        let of = |item: &&Item| {
            matches!(
                (item, side),
                (Item::Ticket(_), Side::Consumer) | (Item::Receipt(_), Side::Producer)
            )
        };
        self.lanes[lane].iter().rev().find(of).copied()
    }
}

impl Ledger {
    /// Mints a bundle for the two starts that live.
    pub fn draw(&mut self, number: u8) -> Bundle {
        let bundle = Bundle {
            number,
            consumer: self.consumer,
            producer: self.producer,
        };
        let record = Record {
            life: Life::Active,
            lanes: Default::default(),
        };
        self.bundles.insert(bundle, record);
        bundle
    }

    /// A bundle's state; of one that the database has lost, none.
    pub fn life(&self, bundle: Bundle) -> Option<Life> {
        self.bundles.get(&bundle).map(|record| record.life)
    }

    /// An end starts anew: bundles of its earlier start have ended.
    pub fn start(&mut self, side: Side, start: u8) {
        let living = match side {
            Side::Consumer => &mut self.consumer,
            Side::Producer => &mut self.producer,
        };
        *living = start;
        for (bundle, record) in &mut self.bundles {
            let of = match side {
                Side::Consumer => bundle.consumer,
                Side::Producer => bundle.producer,
            };
            if of != start && record.life == Life::Active {
                record.life = Life::Superseded;
            }
        }
        if let Some(asked) = self
            .asked
            .filter(|asked| asked.bundle.consumer != self.consumer)
        {
            self.unclear(asked.bundle);
        }
    }

    /// Somebody signed in an end's name: the end's identity is over with all its bundles.
    pub fn find(&mut self, side: Side, how: How) {
        self.finding.get_or_insert(Finding {
            side: Some(side),
            how,
        });
        for record in self.bundles.values_mut() {
            record.life = Life::Disconnected;
        }
    }

    /// Whoever could tell which end was copied is gone: the bundle ends.
    fn unclear(&mut self, bundle: Bundle) {
        self.finding.get_or_insert(Finding {
            side: None,
            how: How::ForeignReceipt,
        });
        if let Some(record) = self.bundles.get_mut(&bundle) {
            record.life = Life::Disconnected;
        }
        self.asked = None;
    }

    /// A consumer says how far it came, and ends the bundle. What is recorded beyond that
    /// is not its own.
    pub fn retire(&mut self, lanes: &Lanes, bundle: Bundle, marks: [Option<Lane>; 2]) {
        let Some(record) = self.bundles.get_mut(&bundle) else {
            return;
        };
        if record.life != Life::Active {
            return;
        }
        record.life = Life::Retired(marks);
        let beyond = (0..2).any(|lane| {
            let head = record.head(lane, Side::Consumer);
            head.is_some_and(|head| !lanes.owns(marks[lane], head))
        });
        if beyond {
            self.find(Side::Consumer, How::AfterRetirement);
        }
    }

    /// Whether what is recorded are runs without holes.
    pub fn is_sound(&self, lanes: &Lanes) -> bool {
        let recorded = self.bundles.values().flat_map(|record| &record.lanes);
        recorded
            .into_iter()
            .all(|lane| lane.is_empty() || lanes.run_len(lane) == lane.len())
    }

    /// Takes a run of tickets and receipts of one lane.
    pub fn report(&mut self, lanes: &Lanes, items: &[Item]) -> Answer {
        let Some(first) = items.first() else {
            return Answer::Taken;
        };
        let (bundle, lane, _) = lanes.place(*first);
        let Some(record) = self.bundles.get_mut(&bundle) else {
            // "No such bundle": the database has lost it.
            return Answer::Dead;
        };
        if record.life == Life::Disconnected {
            return Answer::Dead;
        }
        let recorded = &mut record.lanes[usize::from(lane)];
        let Some(verdict) = lanes.verdict(recorded, items) else {
            return Answer::Taken;
        };
        match verdict {
            Verdict::Known => Answer::Taken,
            Verdict::Gap { .. } => Answer::Gap,
            Verdict::ConsumerClone { .. } => {
                self.find(Side::Consumer, How::ConsumerClone);
                Answer::Dead
            }
            Verdict::ProducerClone { .. } => {
                self.find(Side::Producer, How::ProducerClone);
                Answer::Dead
            }
            Verdict::ForeignReceipt { .. } if bundle.consumer != self.consumer => {
                self.unclear(bundle);
                Answer::Dead
            }
            Verdict::ForeignReceipt { n } => {
                self.asked = Some(Asked { bundle, lane, n });
                Answer::Taken
            }
            Verdict::Extends { from } => {
                // A ticket and a receipt for each exchange; what is recorded may end with
                // the ticket of the first that is new.
                let known = usize::from(recorded.len() % 2 == 1);
                recorded.extend(items.iter().skip(2 * from + known));
                let Life::Retired(marks) = record.life else {
                    return Answer::Taken;
                };
                let head = record.head(usize::from(lane), Side::Consumer);
                match head.is_some_and(|head| !lanes.owns(marks[usize::from(lane)], head)) {
                    true => {
                        self.find(Side::Consumer, How::AfterRetirement);
                        Answer::Dead
                    }
                    false => Answer::Taken,
                }
            }
        }
    }

    /// The consumer shows the receipt that it was asked for, or cannot.
    pub fn show(&mut self, lanes: &Lanes, asked: Asked, shown: Option<Response>) {
        self.asked = None;
        let Some(record) = self.bundles.get(&asked.bundle) else {
            return;
        };
        let number = |item: &&Item| lanes.place(**item).2 == asked.n;
        let recorded = record.lanes[usize::from(asked.lane)].iter().filter(number);
        let receipts = recorded.filter_map(|item| match item {
            Item::Receipt(response) => Some(*response),
            Item::Ticket(_) => None,
        });
        let proven = receipts
            .last()
            .zip(shown)
            .is_some_and(|(ours, theirs)| lanes.contradicts(ours, theirs));
        match proven {
            true => self.find(Side::Producer, How::ProducerClone),
            false => self.find(Side::Consumer, How::ForeignReceipt),
        }
    }
}

/// The first items that make one run, as an agent sends them.
pub fn first_run<'a>(lanes: &Lanes, items: &'a [Item]) -> &'a [Item] {
    &items[..lanes.run_len(items)]
}
