//! What the protocol says of messages and reports: nothing changes by it.

use armour_protocol::v2::{
    body::Body,
    enclave::{LaneMark, consumer::ReceiptStanding, producer::Standing},
    ledger::{Exchange, Verdict, compare},
    message::Evidence,
    mode::Reason,
    proxy::{Look, Screen},
    run_builder::RunBuilder,
};

use super::{
    all::{Inner, Lanes},
    bundle::{Bundle, Signs},
    names::{Accepted, Item, Lane, Request, Response},
    real::{Real, local},
};

impl Lanes {
    /// What a ticket is to a producer's lane.
    pub fn standing(&self, lane: Lane, request: Request) -> Accepted {
        let mut inner = self.lock();
        if let Some(known) = inner.standings.get(&(lane, request)) {
            return *known;
        }
        let ticket = &inner.requests[request.0 as usize].ticket;
        let judged = match self.make(&inner, lane) {
            Some(Real::Ready(lane)) => lane.judge(ticket),
            Some(Real::Called(_, lane, _) | Real::Running(_, lane, _)) => lane.judge(ticket),
            _ => return Accepted::Refused,
        };
        let accepted = match judged {
            Ok(Standing::Next) => Accepted::Next,
            Ok(Standing::Repeat) => Accepted::Repeat,
            Ok(Standing::Conflict { .. }) => Accepted::Conflict,
            Ok(Standing::ForeignReceipt | Standing::Elsewhere { .. }) => Accepted::Elsewhere,
            Err(_) => Accepted::Refused,
        };
        inner.standings.insert((lane, request), accepted);
        accepted
    }

    /// What the proxy says of a ticket, that has had `seen` accepted and has reported
    /// `conflict` beside it.
    pub fn look(&self, seen: Request, conflict: Option<Request>, request: Request) -> Look {
        let inner = self.lock();
        let body = |request: Request| {
            inner.requests[request.0 as usize]
                .ticket
                .unverified()
                .body()
        };
        let mut screen = Screen::default();
        screen.accepted(&body(seen));
        if let Some(conflict) = conflict {
            screen.conflicts(&body(conflict));
        }
        screen.look(&body(request))
    }

    /// Whether a receipt that nobody awaits shows that the producer was copied.
    pub fn is_clone(&self, lane: Lane, response: Response) -> bool {
        let mut inner = self.lock();
        if let Some(known) = inner.clones.get(&(lane, response)) {
            return *known;
        }
        let receipt = &inner.responses[response.0 as usize].receipt;
        let judged = match self.make(&inner, lane) {
            Some(Real::Idle(lane)) => lane.judge(receipt),
            _ => return false,
        };
        let found = matches!(judged, Ok(ReceiptStanding::Clone { .. }));
        inner.clones.insert((lane, response), found);
        found
    }

    /// Whether the call's time is over for sure.
    pub fn is_past(&self, lane: Lane, now: u8) -> bool {
        let mut inner = self.lock();
        if let Some(known) = inner.past.get(&(lane, now)) {
            return *known;
        }
        let past = match self.make(&inner, lane) {
            Some(Real::Waiting(lane)) => lane.is_past(local(now)),
            _ => false,
        };
        inner.past.insert((lane, now), past);
        past
    }

    /// Whether a producer's lane can refuse a ticket for now, and the consumer's lane takes
    /// its word.
    pub fn puts_off(&self, lane: Lane, request: Request, consumer: Lane) -> bool {
        let inner = self.lock();
        let issued = &inner.requests[request.0 as usize];
        let Some(Real::Ready(lane)) = self.make(&inner, lane) else {
            return false;
        };
        let Ok(unsigned) = lane.put_off(&issued.ticket, Reason::BUSY, 100) else {
            return false;
        };
        let answer = unsigned.sign(&issued.bundle.key(Signs::Receipts));
        match self.make(&inner, consumer) {
            Some(Real::Waiting(lane)) => lane.put_off(&answer).is_ok(),
            _ => false,
        }
    }

    /// Whether the ledger's head can be this lane's own work: of a consumer's lane the
    /// last ticket, of a producer's the last receipt.
    pub fn owns(&self, lane: Option<Lane>, head: Item) -> bool {
        let mut inner = self.lock();
        if let Some(known) = inner.owned.get(&(lane, head)) {
            return *known;
        }
        let body = inner.body(head);
        let head_mark = LaneMark {
            lane: body.header.lane,
            n: body.header.n,
            k: 0,
            hash: body.hash(),
        };
        let mark = lane.and_then(|lane| self.mark(&inner, lane));
        let owns = mark.is_some_and(|mark| mark.owns(&head_mark));
        inner.owned.insert((lane, head), owns);
        owns
    }

    fn mark(&self, inner: &Inner, lane: Lane) -> Option<LaneMark> {
        match self.make(inner, lane)? {
            Real::Opening(lane) => Some(lane.mark()),
            Real::Refreshing(lane) => Some(lane.mark()),
            Real::Waiting(lane) => Some(lane.mark()),
            Real::Idle(lane) => Some(lane.mark()),
            Real::Ready(lane) => Some(lane.mark()),
            // The proxy kept it when it handed the ticket in.
            Real::Called(..) | Real::Running(..) => self.mark(inner, inner.history(lane).from?),
            Real::Fresh(..) | Real::Lanes(_) => None,
        }
    }

    /// The receipt of this exchange that a consumer's lane can show.
    pub fn shows(&self, lane: Lane, n: u64) -> Option<Response> {
        let mut inner = self.lock();
        if let Some(known) = inner.shown.get(&(lane, n)) {
            return *known;
        }
        let shown = self.showing(&inner, lane, n);
        inner.shown.insert((lane, n), shown);
        shown
    }

    fn showing(&self, inner: &Inner, lane: Lane, n: u64) -> Option<Response> {
        let receipt: Option<Evidence> = match self.make(inner, lane)? {
            Real::Idle(lane) => Some(lane.receipt().clone()),
            Real::Waiting(lane) => lane.receipt().cloned(),
            Real::Refreshing(lane) => lane.receipt().cloned(),
            _ => None,
        };
        let receipt = receipt.filter(|receipt| receipt.body.header.n == n)?;
        let place = inner
            .responses
            .iter()
            .position(|given| given.receipt.evidence() == receipt);
        place
            .and_then(|place| u32::try_from(place).ok())
            .map(Response)
    }

    /// Where an item belongs: bundle, lane, exchange.
    pub fn place(&self, item: Item) -> (Bundle, u8, u64) {
        let inner = self.lock();
        let header = inner.body(item).header;
        // The model has two lanes.
        (inner.bundle(item), u8::from(header.lane == 1), header.n)
    }

    /// Whether `shown` proves that the producer was copied: it signed this receipt, too,
    /// for the same ticket as the one that is recorded.
    pub fn contradicts(&self, recorded: Response, shown: Response) -> bool {
        let inner = self.lock();
        let (ours, theirs) = (Item::Receipt(recorded), Item::Receipt(shown));
        let (a, b) = (inner.body(ours), inner.body(theirs));
        let context = inner.bundle(ours).context();
        a != b && a.previous == b.previous && inner.evidence(theirs).verify(&context).is_ok()
    }

    /// What a reported run is to what is recorded of its lane; nothing if it is nobody's
    /// word.
    pub fn verdict(&self, recorded: &[Item], reported: &[Item]) -> Option<Verdict> {
        let mut inner = self.lock();
        let key = (recorded.to_vec(), reported.to_vec());
        if let Some(known) = inner.verdicts.get(&key) {
            return *known;
        }
        let ours = match recorded {
            [] => Some(Vec::new()),
            _ => inner.exchanges(recorded),
        };
        let verdict = ours
            .zip(inner.exchanges(reported))
            .map(|(ours, theirs)| compare(&ours, None, &theirs));
        inner.verdicts.insert(key, verdict);
        verdict
    }

    /// How many of the items, from the first on, make one run.
    pub fn run_len(&self, items: &[Item]) -> usize {
        let mut inner = self.lock();
        if let Some(known) = inner.lengths.get(items) {
            return *known;
        }
        let length = inner.run_len(items);
        inner.lengths.insert(items.to_vec(), length);
        length
    }

    /// A message of a legitimate end that its peer did not take.
    pub fn fail(&self) {
        self.lock().failures += 1;
    }
}

impl Inner {
    fn run_len(&self, items: &[Item]) -> usize {
        let Some((first, rest)) = items.split_first() else {
            return 0;
        };
        let context = self.bundle(*first).context();
        let mut run = RunBuilder::of(&self.evidence(*first));
        let follow = rest
            .iter()
            .take_while(|item| run.push(&context, &self.evidence(**item)));
        1 + follow.count()
    }

    fn body(&self, item: Item) -> Body {
        self.evidence(item).body
    }

    fn bundle(&self, item: Item) -> Bundle {
        match item {
            Item::Ticket(request) => self.requests[request.0 as usize].bundle,
            Item::Receipt(response) => self.responses[response.0 as usize].bundle,
        }
    }

    fn evidence(&self, item: Item) -> Evidence {
        match item {
            Item::Ticket(request) => self.requests[request.0 as usize].ticket.evidence(),
            Item::Receipt(response) => self.responses[response.0 as usize].receipt.evidence(),
        }
    }

    /// A run's exchanges, if both its proofs hold.
    fn exchanges(&mut self, items: &[Item]) -> Option<Vec<Exchange>> {
        if let Some(known) = self.runs.get(items) {
            return known.clone();
        }
        let exchanges = self.verified(items);
        self.runs.insert(items.to_vec(), exchanges.clone());
        exchanges
    }

    fn verified(&self, items: &[Item]) -> Option<Vec<Exchange>> {
        let (first, rest) = items.split_first()?;
        let context = self.bundle(*first).context();
        let mut run = RunBuilder::of(&self.evidence(*first));
        for item in rest {
            if !run.push(&context, &self.evidence(*item)) {
                return None;
            }
        }
        run.finish().verified(&context).ok()
    }
}
