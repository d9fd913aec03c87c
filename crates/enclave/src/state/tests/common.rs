//! Two endpoints, and what their proxies keep.

pub(super) use std::sync::Arc;

pub(super) use armour_ambient::BootClock;
pub(super) use armour_protocol::{
    crypto::Sign,
    v2::{
        content::{DigestKind, Padding},
        context::Context,
        envelope,
        identity::{
            certificate::{Certificate, Certifier, Pin, Role, Subject, UnixTime},
            link::SignedLink,
            start::SignedStart,
        },
        message::{Request, Response},
        proxy::{
            Arrived, Begun as CallBegun, FirstContent, Incoming, Outgoing, Pending,
            SEGMENT_HEADER_LEN, SegmentHeader, WholeContent,
        },
        schedule::BundleSecret,
        suite::Suite,
        time::ProducerTime,
    },
};
pub(super) use ed25519_dalek::SigningKey;
pub(super) use serde::{Serialize, de::DeserializeOwned};

pub(super) use super::super::{EnclaveState, Keys, kernel_rng};
pub(super) use crate::{
    binding::{Binding, BindingEnd, LaneId},
    frame,
    ipc::{
        Accepted, Begun, Call, ChainState, Concluded, Install, Installed, Peer, Received, Reply,
    },
    pins::Pins,
};

pub(super) const TENANT: [u8; 16] = [0x10; 16];
pub(super) const PAIR: [u8; 16] = [0x11; 16];
pub(super) const BUNDLE: [u8; 16] = [0x12; 16];
pub(super) const MINTED: [u8; 32] = [7; 32];
pub(super) const LOG_HEAD: &[u8] = b"a signed log head";
pub(super) const MAX_LANES: u16 = 3;
pub(super) const BUDGET: u32 = 2_000;
pub(super) const NOW: u64 = 1_800_000_000;
/// What the time was when the enclaves started.
pub(super) const STARTED: u64 = NOW - 10_000;

/// An endpoint, and what its proxy keeps.
pub(super) struct End {
    pub(super) state: EnclaveState,
    pub(super) clock: BootClock,
    pub(super) party: u8,
    pub(super) record: Option<Vec<u8>>,
    pub(super) start: Vec<u8>,
    pub(super) renewals: Vec<Vec<u8>>,
    pub(super) certificate: Option<Vec<u8>>,
}

/// A consumer and a producer.
pub(super) struct World {
    pub(super) consumer: End,
    pub(super) producer: End,
    pub(super) draw: u64,
    pub(super) suite: Suite,
}

impl End {
    /// An endpoint's first start.
    pub(super) fn new(party: u8, pins: impl Into<Pins>) -> Self {
        let mut end = Self::unstarted(party, pins);
        end.start();
        end
    }

    pub(super) fn unstarted(party: u8, pins: impl Into<Pins>) -> Self {
        let clock = BootClock::fixed(1_000 * u64::from(party));
        let keys = Keys {
            signing: Box::new(long_term(party)),
            kem_key: [party; 32],
        };
        Self {
            state: EnclaveState::new(keys, pins, clock.clone(), UnixTime(STARTED)),
            clock,
            party,
            record: None,
            start: Vec::new(),
            renewals: Vec::new(),
            certificate: None,
        }
    }

    pub(super) fn start(&mut self) {
        let (endpoint, record) = (self.endpoint(), self.record.clone());
        self.record = Some(self.bytes(Call::BeginStart { endpoint, record }));
        self.start = self.bytes(Call::StartKept);
        self.record = Some(self.bytes(Call::StartAccepted));
        self.done(Call::LogHead {
            head: LOG_HEAD.to_vec(),
        });
    }

    /// The process again, with what its folder keeps.
    pub(super) fn restarted(self, pins: impl Into<Pins>) -> Self {
        let mut end = Self {
            record: self.record,
            certificate: self.certificate,
            ..Self::unstarted(self.party, pins)
        };
        end.start();
        end
    }

    /// By when a call begins that has the usual time.
    pub(super) fn by(&self) -> u64 {
        self.clock.now_ms() + u64::from(BUDGET)
    }

    pub(super) fn endpoint(&self) -> [u8; 16] {
        [self.party + 1; 16]
    }

    /// Asks, through bytes in both directions.
    pub(super) fn call(&mut self, call: Call) -> Reply {
        let reply = self.state.answer(door(call));
        door(reply)
    }

    pub(super) fn failed(&mut self, call: Call) -> String {
        match self.call(call) {
            Reply::Failed(code) => code,
            _ => panic!("it does not fail"),
        }
    }

    pub(super) fn done(&mut self, call: Call) {
        match self.call(call) {
            Reply::Done => {}
            Reply::Failed(code) => panic!("{code}"),
            _ => panic!("another reply"),
        }
    }

    pub(super) fn bytes(&mut self, call: Call) -> Vec<u8> {
        match self.call(call) {
            Reply::Bytes(bytes) => bytes,
            Reply::Failed(code) => panic!("{code}"),
            _ => panic!("another reply"),
        }
    }

    pub(super) fn marks(&mut self) -> Vec<(u16, u64)> {
        let marks = self.state.bundles.marks(&BUNDLE).unwrap();
        marks.iter().map(|mark| (mark.lane, mark.n)).collect()
    }

    /// Has nothing more of the bundle signed: how far its lanes came.
    pub(super) fn retire(&mut self) -> Vec<(u16, u64, [u8; 32])> {
        match self.call(Call::Retire { bundle: BUNDLE }) {
            Reply::Marks(marks) => {
                let marks = marks.iter().map(|mark| (mark.lane, mark.n, mark.hash));
                marks.collect()
            }
            _ => panic!("no marks"),
        }
    }

    pub(super) fn installed(&mut self, install: Install) -> Installed {
        match self.call(Call::Install(Box::new(install))) {
            Reply::Installed(installed) => installed,
            Reply::Failed(code) => panic!("{code}"),
            _ => panic!("another reply"),
        }
    }

    /// Sends a link and has it answered.
    pub(super) fn linked(&mut self, call: Call) -> SignedLink {
        let link = SignedLink::from_bytes(&self.bytes(call)).unwrap();
        let mark = link.mark();
        assert_eq!(self.answered(mark.k, mark.hash.0), Ok(ChainState::Taken));
        link
    }

    pub(super) fn answered(&mut self, k: u64, hash: [u8; 32]) -> Result<ChainState, String> {
        match self.call(Call::LinkAnswered { k, hash }) {
            Reply::Chain(state) => Ok(state),
            Reply::Failed(code) => Err(code),
            _ => panic!("another reply"),
        }
    }

    pub(super) fn renew(&mut self) {
        let link = self.linked(Call::Renew);
        self.renewals.push(link.to_bytes());
    }

    /// What it has signed of itself.
    pub(super) fn peer(&self) -> Peer {
        Peer {
            signing_key: long_term(self.party).verifying_key().to_bytes(),
            kem_key: [self.party; 32],
            start: self.start.clone(),
            renewals: self.renewals.clone(),
            certificate: self.certificate.clone(),
        }
    }

    /// Its incarnation's current keys, Ed25519 and X25519.
    pub(super) fn keys(&self) -> ([u8; 32], [u8; 32]) {
        use armour_protocol::v2::identity::body::LinkBody;
        match self.renewals.last() {
            Some(link) => match SignedLink::from_bytes(link).unwrap().body() {
                LinkBody::Renew(keys) => (keys.key.to_bytes(), keys.hpke_key),
                _ => panic!("that renews nothing"),
            },
            None => {
                let start = SignedStart::from_bytes(&self.start).unwrap();
                let said = start.unverified();
                (said.key().to_bytes(), *said.hpke_key())
            }
        }
    }

    pub(super) fn binding_end(&self) -> BindingEnd {
        BindingEnd {
            party: [self.party; 16],
            endpoint: self.endpoint(),
            key: self.keys().0,
        }
    }
}

impl World {
    /// Both have started.
    pub(super) fn new() -> Self {
        Self {
            consumer: End::new(0x20, Vec::new()),
            producer: End::new(0x30, Vec::new()),
            draw: 1,
            suite: Suite::X25519ChaCha20Poly1305,
        }
    }

    /// A bundle between them is installed.
    pub(super) fn installed(suite: Suite) -> Self {
        let mut world = Self {
            suite,
            ..Self::new()
        };
        let binding = world.binding(suite);
        let consumer = world.install(&binding, true);
        let producer = world.install(&binding, false);
        let consumer = world.consumer.installed(consumer);
        let producer = world.producer.installed(producer);
        assert_eq!(consumer.gate, producer.gate);
        assert_eq!(consumer.context, producer.context);
        world
    }

    pub(super) fn binding(&self, suite: Suite) -> Binding {
        Binding {
            suite: suite as u8,
            tenant: TENANT,
            pair: PAIR,
            bundle: BUNDLE,
            draw: self.draw,
            policy: [0x13; 32],
            consumer: self.consumer.binding_end(),
            producer: self.producer.binding_end(),
        }
    }

    /// What one of the ends is granted.
    pub(super) fn install(&self, binding: &Binding, consumer: bool) -> Install {
        let (own, peer) = match consumer {
            true => (&self.consumer, &self.producer),
            false => (&self.producer, &self.consumer),
        };
        let secret = BundleSecret::from_bytes(MINTED);
        let context = binding.context().unwrap();
        let key = own.keys().1;
        Install {
            binding: binding.clone(),
            consumer,
            peer: peer.peer(),
            envelope: envelope::seal(&key, &context, &secret, &mut kernel_rng()).unwrap(),
            max_lanes: MAX_LANES,
            now: NOW,
        }
    }

    pub(super) fn context(&self) -> Arc<Context> {
        Arc::new(self.binding(self.suite).context().unwrap())
    }

    /// Opens a lane at both ends; its number.
    pub(super) fn opened(&mut self, replaces: Option<u16>) -> u16 {
        let (lane, head) = self.open(replaces).unwrap();
        let (receipt, ended) = answered(self.accept(lane, &head));
        assert_eq!(ended, replaces);
        assert!(matches!(self.receive(lane, &receipt), Ok(Received::Ready)));
        lane
    }

    pub(super) fn open(&mut self, replaces: Option<u16>) -> Result<(u16, Vec<u8>), String> {
        let bundle = BUNDLE;
        match self.consumer.call(Call::Open { bundle, replaces }) {
            Reply::Opened { lane, head } => Ok((lane, head)),
            Reply::Failed(code) => Err(code),
            _ => panic!("another reply"),
        }
    }

    pub(super) fn accept(&mut self, lane: u16, head: &[u8]) -> Result<Accepted, String> {
        let (lane, head) = (id(lane), head.to_vec());
        match self.producer.call(Call::Accept { lane, head }) {
            Reply::Accepted(accepted) => Ok(accepted),
            Reply::Failed(code) => Err(code),
            _ => panic!("another reply"),
        }
    }

    pub(super) fn receive(&mut self, lane: u16, head: &[u8]) -> Result<Received, String> {
        let (lane, head) = (id(lane), head.to_vec());
        match self.consumer.call(Call::Receive { lane, head }) {
            Reply::Received(received) => Ok(received),
            Reply::Failed(code) => Err(code),
            _ => panic!("another reply"),
        }
    }

    pub(super) fn begin(&mut self, lane: u16, claim: &[u8]) -> Begun {
        let call = Call::Begin {
            lane: id(lane),
            claim: claim.to_vec(),
            by_ms: self.consumer.by(),
        };
        match self.consumer.call(call) {
            Reply::Begun(begun) => begun,
            Reply::Failed(code) => panic!("{code}"),
            _ => panic!("another reply"),
        }
    }

    /// Begins a call with whole content: the ticket and the sealed content.
    pub(super) fn call(&mut self, lane: u16, content: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let content = whole(content);
        let begun = self.begin(lane, &content.claim().to_bytes());
        let mut body = Vec::new();
        let outgoing = Outgoing::<Request>::from_bytes(&begun.outgoing).unwrap();
        content.seal(outgoing, &mut body).unwrap();
        (begun.head, body)
    }

    /// Accepts a call with whole content and begins it: what was asked.
    pub(super) fn run(&mut self, lane: u16, head: &[u8], body: &[u8]) -> (CallBegun, Vec<u8>) {
        match self.arrived(lane, head, body) {
            (begun, Arrived::Whole(content)) => (begun, content.content().to_vec()),
            _ => panic!("it is whole"),
        }
    }

    /// Accepts a call and begins it.
    pub(super) fn arrived(
        &mut self,
        lane: u16,
        head: &[u8],
        body: &[u8],
    ) -> (CallBegun, Arrived<Request>) {
        let Ok(Accepted::Call(incoming)) = self.accept(lane, head) else {
            panic!("it is a call");
        };
        let incoming = Incoming::from_bytes(&incoming).unwrap();
        let (header, sealed) = segments(body)[0];
        let pending = Pending::new(self.context(), incoming);
        let received = pending.receive(header, sealed);
        let undecided = received.unwrap_or_else(|(_, error)| panic!("{error}"));
        let begun = undecided.begin(self.producer_time());
        begun.unwrap_or_else(|_| panic!("it is late"))
    }

    pub(super) fn producer_time(&self) -> ProducerTime {
        self.producer.state.clock.producer()
    }

    pub(super) fn conclude(&mut self, lane: u16, conclusion: Vec<u8>) -> Concluded {
        let lane = id(lane);
        match self.producer.call(Call::Conclude { lane, conclusion }) {
            Reply::Concluded(concluded) => concluded,
            Reply::Failed(code) => panic!("{code}"),
            _ => panic!("another reply"),
        }
    }

    /// Answers a call with whole content: the receipt and the sealed content.
    pub(super) fn reply(
        &mut self,
        lane: u16,
        begun: CallBegun,
        content: &[u8],
    ) -> (Vec<u8>, Vec<u8>) {
        let content = whole(content);
        let conclusion = begun.answer(content.claim()).to_bytes();
        let concluded = self.conclude(lane, conclusion);
        let mut body = Vec::new();
        let outgoing = concluded.outgoing.unwrap();
        let outgoing = Outgoing::<Response>::from_bytes(&outgoing).unwrap();
        content.seal(outgoing, &mut body).unwrap();
        (concluded.head, body)
    }

    /// Takes a whole response.
    pub(super) fn take(&mut self, lane: u16, head: &[u8], body: &[u8]) -> Vec<u8> {
        let received = self.receive(lane, head);
        let Ok(Received::Content(incoming)) = received else {
            panic!("it has content");
        };
        let (header, sealed) = segments(body)[0];
        let opened = Incoming::from_bytes(&incoming)
            .unwrap()
            .open(header, sealed);
        match opened.unwrap().verify(&self.context()).unwrap() {
            Arrived::Whole(content) => content.content().to_vec(),
            Arrived::Stream(..) => panic!("it is whole"),
        }
    }

    /// One whole exchange.
    pub(super) fn exchange(&mut self, lane: u16) {
        let (head, body) = self.call(lane, b"ask");
        let (begun, asked) = self.run(lane, &head, &body);
        assert_eq!(asked, b"ask");
        let (head, body) = self.reply(lane, begun, b"answer");
        assert_eq!(self.take(lane, &head, &body), b"answer");
    }
}

pub(super) fn answered(accepted: Result<Accepted, String>) -> (Vec<u8>, Option<u16>) {
    match accepted {
        Ok(Accepted::Answered { receipt, ended }) => (receipt, ended),
        Ok(_) => panic!("it is not answered at once"),
        Err(code) => panic!("{code}"),
    }
}

/// Through the enclave's door.
pub(super) fn door<T: Serialize + DeserializeOwned>(message: T) -> T {
    frame::decode(&frame::encode(&message).unwrap()).unwrap()
}

pub(super) fn id(lane: u16) -> LaneId {
    LaneId {
        bundle: BUNDLE,
        lane,
    }
}

pub(super) fn long_term(party: u8) -> SigningKey {
    SigningKey::from_bytes(&[party; 32])
}

pub(super) fn whole(content: &[u8]) -> WholeContent<'_> {
    WholeContent::new(content, DigestKind::Sha256, Padding::Padme).unwrap()
}

pub(super) fn first(content: &[u8]) -> FirstContent<'_> {
    FirstContent::new(content, DigestKind::Sha256, Padding::None).unwrap()
}

/// A body's segments.
pub(super) fn segments(mut body: &[u8]) -> Vec<(SegmentHeader, &[u8])> {
    let mut found = Vec::new();
    while let Some((header, rest)) = body.split_first_chunk::<SEGMENT_HEADER_LEN>() {
        let header = SegmentHeader::from_bytes(*header).unwrap();
        let (sealed, rest) = rest.split_at(header.len);
        found.push((header, sealed));
        body = rest;
    }
    found
}

/// The key of a party that certifies its endpoint, and the pin to it.
pub(super) fn pinned(end: &End) -> (SigningKey, Pin) {
    let key = SigningKey::from_bytes(&[0x77; 32]);
    let pin = Pin {
        tenant: TENANT,
        party: [end.party; 16],
        key: key.verifying_key(),
    };
    (key, pin)
}

pub(super) fn certificate(end: &End, role: Role, not_after: u64, by: &impl Sign) -> Vec<u8> {
    let subject = Subject {
        tenant: TENANT,
        party: [end.party; 16],
        role,
        endpoint: end.endpoint(),
        signing_key: long_term(end.party).verifying_key(),
        kem_key: [end.party; 32],
        not_after: UnixTime(not_after),
    };
    Certificate::certify(subject, None::<Certifier>, by).to_bytes()
}
