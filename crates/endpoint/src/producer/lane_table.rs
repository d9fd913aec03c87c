//! What a producer's proxy knows of a bundle's lanes. That of those that ended is kept, too:
//! whoever has copied one of their frames would have the enclave verify a signature each time
//! that it sends it.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use armour_protocol::v2::{
    body::{Body, BodyHash},
    proxy::{Look, Screen},
    rekey::SubBody,
};

use super::exchange::Exchange;

/// A bundle's lanes. None is here that the enclave has not opened, but for the numbers of
/// those that were reported once.
pub struct LaneTable {
    lanes: HashMap<u16, Lane>,
    /// Lanes that ended, oldest first: their last answer may have been lost.
    closed: VecDeque<u16>,
    kept_closed: usize,
    /// The last ticket of each lane that ended, its number and hash; so many as a bundle has
    /// numbers for lanes at most.
    ended: HashMap<u16, (u64, BodyHash)>,
    /// Lanes without state that were reported.
    strays: BTreeSet<u16>,
    /// Sub-tickets that did not follow and were reported, the last few of each lane.
    sub_strays: HashMap<u16, VecDeque<BodyHash>>,
}

/// So many sub-tickets of a lane that did not follow are remembered.
const MAX_SUB_STRAYS: usize = 16;

#[derive(Default)]
struct Lane {
    screen: Screen,
    last: Option<Arc<Exchange>>,
    /// Up to which number tickets that do not fit were reported.
    reported: Option<u64>,
}

impl LaneTable {
    /// No lanes yet. The answers of so many closed ones are kept.
    pub fn new(kept_closed: usize) -> Self {
        Self {
            lanes: HashMap::new(),
            closed: VecDeque::new(),
            kept_closed,
            ended: HashMap::new(),
            strays: BTreeSet::new(),
            sub_strays: HashMap::new(),
        }
    }

    /// What to do with a ticket that passed the gate, and the lane's last exchange.
    pub fn look(&self, ticket: &Body) -> (Look, Option<Arc<Exchange>>) {
        let number = &ticket.header.lane;
        match (self.lanes.get(number), self.ended.get(number)) {
            (Some(lane), _) => (lane.screen.look(ticket), lane.last.clone()),
            (None, Some((n, hash))) if is_seen(ticket, *n, hash) => (Look::Older, None),
            (None, _) => (Look::Ask, None),
        }
    }

    /// The last exchange of a lane, unless that was replaced.
    pub fn last(&self, lane: u16) -> Option<Arc<Exchange>> {
        self.lanes.get(&lane)?.last.clone()
    }

    /// The enclave has accepted the ticket. Of a lane that was replaced before this was noted
    /// it is given up at once.
    pub fn accepted(&mut self, exchange: Arc<Exchange>) {
        let number = &exchange.ticket.header.lane;
        if let Some(last) = self.ended.get_mut(number) {
            *last = (exchange.ticket.header.n, exchange.ticket.hash());
            exchange.given_up.cancel();
            return;
        }
        let lane = self.lanes.entry(exchange.ticket.header.lane).or_default();
        lane.screen.accepted(&exchange.ticket);
        lane.last = Some(exchange);
    }

    /// The enclave has verified another ticket in the last one's place. Whether that is
    /// to be reported.
    pub fn conflicts(&mut self, ticket: &Body) -> bool {
        let lane = self.lanes.get_mut(&ticket.header.lane);
        lane.is_some_and(|lane| lane.screen.conflicts(ticket))
    }

    /// The enclave has verified a ticket that does not fit. Whether that is to be reported:
    /// one of each number, ascending.
    pub fn is_news(&mut self, ticket: &Body) -> bool {
        let n = ticket.header.n;
        if let Some(last) = self.ended.get_mut(&ticket.header.lane)
            && last.0 < n
        {
            *last = (n, ticket.hash());
        }
        match self.lanes.get_mut(&ticket.header.lane) {
            None => self.strays.insert(ticket.header.lane),
            Some(lane) if lane.reported.is_none_or(|reported| reported < n) => {
                lane.reported = Some(n);
                true
            }
            Some(_) => false,
        }
    }

    /// Whether this sub-ticket, which did not follow, was reported.
    pub fn is_known_stray(&self, ticket: &SubBody) -> bool {
        let known = self.sub_strays.get(&ticket.lane);
        known.is_some_and(|known| known.contains(&ticket.hash()))
    }

    /// The consumer has signed a sub-ticket that does not follow. Whether that is to be
    /// reported: once.
    pub fn note_stray(&mut self, ticket: &SubBody) -> bool {
        let known = self.sub_strays.entry(ticket.lane).or_default();
        if known.contains(&ticket.hash()) {
            return false;
        }
        known.push_back(ticket.hash());
        if known.len() > MAX_SUB_STRAYS {
            known.pop_front();
        }
        true
    }

    /// The lane has ended with its last exchange, whose answer is kept for a while, unless it
    /// was replaced.
    pub fn closed(&mut self, lane: u16) {
        if !self.lanes.contains_key(&lane) {
            return;
        }
        self.closed.push_back(lane);
        if self.closed.len() > self.kept_closed
            && let Some(oldest) = self.closed.pop_front()
        {
            self.end(oldest);
        }
    }

    /// The lane was replaced: what is under way on it has been given up.
    pub fn replaced(&mut self, lane: u16) {
        let last = self.lanes.get(&lane).and_then(|lane| lane.last.as_ref());
        if let Some(last) = last {
            last.given_up.cancel();
        }
        self.end(lane);
    }

    /// How many lanes it knows more of than how far they came.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.lanes.len()
    }

    fn end(&mut self, lane: u16) {
        let ended = self.lanes.remove(&lane);
        if let Some(last) = ended.and_then(|ended| ended.screen.last()) {
            self.ended.insert(lane, last);
        }
    }
}

/// Whether a ticket of a lane that ended is this one, or before it.
fn is_seen(ticket: &Body, n: u64, hash: &BodyHash) -> bool {
    ticket.header.n < n || (ticket.header.n == n && ticket.hash() == *hash)
}

#[cfg(test)]
mod tests {
    use armour_protocol::v2::{
        body::{BodyHash, Header, Kind},
        suite::Suite,
    };
    use bytes::Bytes;

    use super::*;

    fn ticket(lane: u16, n: u64, rest: u8) -> Body {
        Body {
            header: Header {
                suite: Suite::X25519ChaCha20Poly1305,
                kind: Kind::Ticket,
                bundle: [0; 16],
                lane,
                n,
            },
            previous: BodyHash([0; 32]),
            rest: [rest; 32],
        }
    }

    fn accepted(table: &mut LaneTable, ticket: Body) {
        table.accepted(Exchange::answered(ticket, Bytes::new()));
    }

    #[test]
    fn what_does_not_fit_is_reported_once() {
        let mut table = LaneTable::new(1);
        assert!(table.is_news(&ticket(7, 4, 0)));
        assert!(!table.is_news(&ticket(7, 4, 0)));
        accepted(&mut table, ticket(0, 3, 0));
        assert!(table.is_news(&ticket(0, 9, 1)));
        assert!(!table.is_news(&ticket(0, 9, 2)));
        assert!(table.conflicts(&ticket(0, 3, 1)));
        assert!(!table.conflicts(&ticket(0, 3, 2)));
    }

    /// Each that the enclave is asked for costs it a signature's verification.
    #[test]
    fn a_copied_frame_of_a_lane_that_ended_does_not_reach_the_enclave() {
        let mut table = LaneTable::new(0);
        accepted(&mut table, ticket(0, 3, 0));
        table.closed(0);
        accepted(&mut table, ticket(1, 5, 0));
        table.replaced(1);
        for copied in [ticket(0, 0, 0), ticket(0, 3, 0), ticket(1, 5, 0)] {
            assert!(matches!(table.look(&copied), (Look::Older, None)));
        }
        // One that never arrived is verified once, and reported.
        let withheld = ticket(1, 6, 0);
        assert_eq!(table.look(&withheld).0, Look::Ask);
        assert!(table.is_news(&withheld));
        assert_eq!(table.look(&withheld).0, Look::Older);
        assert_eq!(table.look(&ticket(1, 6, 1)).0, Look::Ask);
    }

    #[test]
    fn a_call_whose_lane_is_replaced_is_given_up() {
        let mut table = LaneTable::new(0);
        let exchange = Exchange::answered(ticket(0, 3, 0), Bytes::new());
        table.accepted(exchange.clone());
        assert!(!exchange.given_up.is_cancelled());
        table.replaced(0);
        assert!(exchange.given_up.is_cancelled());
    }

    /// The enclave has taken both in this order; who asked it for the first is slower.
    #[test]
    fn a_ticket_that_is_noted_after_its_lane_was_replaced_is_given_up_and_not_kept() {
        let mut table = LaneTable::new(0);
        accepted(&mut table, ticket(0, 2, 0));
        table.replaced(0);
        let exchange = Exchange::answered(ticket(0, 3, 0), Bytes::new());
        table.accepted(exchange.clone());
        assert!(exchange.given_up.is_cancelled());
        assert!(table.lanes.is_empty());
        for copied in [ticket(0, 2, 0), ticket(0, 3, 0)] {
            assert!(matches!(table.look(&copied), (Look::Older, None)));
        }
    }

    #[test]
    fn a_lane_that_was_replaced_takes_no_place_of_those_that_closed() {
        let mut table = LaneTable::new(1);
        accepted(&mut table, ticket(0, 3, 0));
        table.closed(0);
        accepted(&mut table, ticket(1, 3, 0));
        table.replaced(1);
        table.closed(1);
        assert_eq!(table.look(&ticket(0, 3, 0)).0, Look::Repeat);
    }

    #[test]
    fn a_closed_lane_answers_again_until_others_have_closed() {
        let mut table = LaneTable::new(1);
        for lane in [0, 1] {
            accepted(&mut table, ticket(lane, 3, 0));
            table.closed(lane);
        }
        assert_eq!(table.look(&ticket(1, 3, 0)).0, Look::Repeat);
        let (look, last) = table.look(&ticket(0, 3, 0));
        assert!(look == Look::Older && last.is_none());
    }
}
