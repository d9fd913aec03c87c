//! Version 2: one lane under a network that loses, repeats and reorders, ends that decide
//! late, and crashes before or after an end has kept what it did. Whatever happens: no call
//! begins twice, after its time, or once it was refused; a ticket has one receipt; and what
//! arrives is what was sent.

use std::collections::{HashMap, HashSet};

use armour_protocol::v2::{
    body::{Body, BodyHash},
    enclave::{
        After,
        consumer::{Answered, Idle, Waiting},
        producer::{Accepted, Answering, Ready},
    },
    mode::Reason,
    proxy::{Arrived, Look, Pending, Screen},
    suite::Suite,
};
use proptest::prelude::*;

use crate::v2_common::{BUDGET, Replied, Sent, World, lane, one, received, whole};

#[derive(Debug, Clone, Copy)]
enum Step {
    Begin,
    SendAgain,
    DeliverRequest(u8),
    LoseRequest(u8),
    DeliverResponse(u8),
    LoseResponse(u8),
    Run,
    Refuse,
    AnswerAgain,
    Wait(u16),
    /// The producer's enclave has accepted and its proxy forgets what it was given.
    CrashProducer,
    /// The receipt was signed, and the process ends before it is sent.
    CrashBeforeSending,
    CrashConsumer,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Begin),
        3 => Just(Step::SendAgain),
        8 => any::<u8>().prop_map(Step::DeliverRequest),
        1 => any::<u8>().prop_map(Step::LoseRequest),
        8 => any::<u8>().prop_map(Step::DeliverResponse),
        1 => any::<u8>().prop_map(Step::LoseResponse),
        5 => Just(Step::Run),
        1 => Just(Step::Refuse),
        3 => Just(Step::AnswerAgain),
        2 => (1u16..1500).prop_map(Step::Wait),
    ];
    let crash = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Step::CrashProducer)),
        1 => Just(Some(Step::CrashBeforeSending)),
        1 => Just(Some(Step::CrashConsumer)),
    ];
    (
        proptest::collection::vec(step, 20..120),
        crash,
        any::<prop::sample::Index>(),
    )
        .prop_map(|(mut steps, crash, at)| {
            let at = at.index(steps.len());
            steps.splice(at..at, crash);
            steps
        })
}

enum Consumer {
    Idle(Box<Idle>),
    Waiting(Box<Waiting>, Box<Sent>, u64),
    Gone,
}

enum Producer {
    Ready(Box<Ready>),
    Answering(Box<(Answering, Pending, Sent)>),
    Gone,
}

struct Lane {
    w: World,
    consumer: Consumer,
    producer: Producer,
    screen: Screen,
    cache: Option<(BodyHash, Replied)>,
    requests: Vec<Sent>,
    responses: Vec<Replied>,
    /// When each ticket was issued.
    issued: HashMap<BodyHash, u64>,
    begun: HashSet<BodyHash>,
    refused: HashSet<BodyHash>,
    receipts: HashMap<BodyHash, Body>,
}

fn content_of(ticket: &Body) -> Vec<u8> {
    ticket.header.n.to_be_bytes().to_vec()
}

impl Lane {
    fn new(suite: Suite) -> Self {
        let mut w = World::new(suite);
        let (idle, ready) = w.opened();
        Self {
            w,
            consumer: Consumer::Idle(Box::new(idle)),
            producer: Producer::Ready(Box::new(ready)),
            screen: Screen::default(),
            cache: None,
            requests: Vec::new(),
            responses: Vec::new(),
            issued: HashMap::new(),
            begun: HashSet::new(),
            refused: HashSet::new(),
            receipts: HashMap::new(),
        }
    }

    fn step(&mut self, step: Step) {
        self.w.now += 1;
        match step {
            Step::Begin => self.begin(),
            Step::SendAgain => {
                if let Consumer::Waiting(_, sent, _) = &self.consumer {
                    self.requests.push((**sent).clone());
                }
            }
            Step::DeliverRequest(which) => {
                if let Some(sent) = pick(&self.requests, which).cloned() {
                    self.deliver_request(&sent);
                }
            }
            Step::LoseRequest(which) => lose(&mut self.requests, which),
            Step::DeliverResponse(which) => {
                if let Some(replied) = pick(&self.responses, which).cloned() {
                    self.deliver_response(&replied);
                }
            }
            Step::LoseResponse(which) => lose(&mut self.responses, which),
            Step::Run => self.decide(true, true),
            Step::Refuse => self.decide(false, true),
            Step::AnswerAgain => {
                self.responses
                    .extend(self.cache.iter().map(|(_, it)| it.clone()));
            }
            Step::Wait(time) => self.w.now += u64::from(time),
            Step::CrashProducer => self.producer = Producer::Gone,
            Step::CrashBeforeSending => {
                self.decide(true, false);
                (self.producer, self.cache) = (Producer::Gone, None);
            }
            Step::CrashConsumer => self.consumer = Consumer::Gone,
        }
    }

    fn begin(&mut self) {
        match std::mem::replace(&mut self.consumer, Consumer::Gone) {
            Consumer::Idle(idle) => {
                let content = idle.next().to_be_bytes();
                let (waiting, sent) = self.w.begin(*idle, &content);
                let hash = sent.ticket.unverified().body().hash();
                self.issued.insert(hash, self.w.now);
                self.requests.push(sent.clone());
                self.consumer = Consumer::Waiting(Box::new(waiting), Box::new(sent), self.w.now);
            }
            other => self.consumer = other,
        }
    }

    fn deliver_request(&mut self, sent: &Sent) {
        let ticket = self.w.ticket(&sent.ticket);
        let body = ticket.unverified().body();
        match self.screen.look(&body) {
            Look::Older => return,
            Look::Repeat => {
                let cached = self.cache.iter().filter(|(hash, _)| *hash == body.hash());
                self.responses.extend(cached.map(|(_, it)| it.clone()));
                return;
            }
            Look::Ask => {}
        }
        match std::mem::replace(&mut self.producer, Producer::Gone) {
            Producer::Ready(ready) => match ready.accept(&ticket) {
                Ok(Accepted::Call(answering, incoming)) => {
                    self.screen.accepted(&body);
                    let undecided = Pending::new(self.w.context.clone(), incoming);
                    let call = (answering, undecided, sent.clone());
                    self.producer = Producer::Answering(Box::new(call));
                }
                Ok(Accepted::Bare(_)) => panic!("all are calls"),
                Err((ready, _)) => self.producer = Producer::Ready(ready),
            },
            other => self.producer = other,
        }
    }

    fn decide(&mut self, run: bool, send: bool) {
        let (answering, undecided, sent) =
            match std::mem::replace(&mut self.producer, Producer::Gone) {
                Producer::Answering(call) => *call,
                other => {
                    self.producer = other;
                    return;
                }
            };
        let ticket = sent.ticket.unverified().body();
        let call = received(undecided, &sent.body);
        let outcome = match run {
            true => call.begin(self.w.clock()),
            false => Err(call.refuse(Reason::BUSY)),
        };
        let (conclusion, reply) = match outcome {
            Ok((begun, Arrived::Whole(content))) => {
                assert_eq!(content.content(), content_of(&ticket));
                assert!(self.begun.insert(ticket.hash()), "begun twice");
                let late = self.w.now - self.issued[&ticket.hash()];
                assert!(
                    late <= u64::from(BUDGET),
                    "begun {late} ms after its ticket"
                );
                let reply = [&content_of(&ticket)[..], b" done"].concat();
                (begun.answer(whole(&reply).claim()), Some(reply))
            }
            Err(refused) => {
                self.refused.insert(ticket.hash());
                (refused.conclude(), None)
            }
            _ => panic!("genuine content is whole and valid"),
        };
        let concluded = self.w.conclude(answering, conclusion);
        let receipt = concluded.receipt.sign(&self.w.producer);
        let mut body = Vec::new();
        if let (Some(reply), Some(outgoing)) = (reply, concluded.outgoing) {
            whole(&reply).seal(outgoing, &mut body).unwrap();
        }
        let said = receipt.unverified().body();
        let before = self.receipts.insert(ticket.hash(), said);
        assert!(before.is_none(), "two receipts for one ticket");
        let replied = Replied { receipt, body };
        if send {
            self.responses.push(replied.clone());
        }
        self.cache = Some((ticket.hash(), replied));
        self.producer = Producer::Ready(Box::new(lane(concluded.lane)));
    }

    fn deliver_response(&mut self, replied: &Replied) {
        let (waiting, sent, since) = match std::mem::replace(&mut self.consumer, Consumer::Gone) {
            Consumer::Waiting(waiting, sent, since) => (waiting, sent, since),
            other => {
                self.consumer = other;
                return;
            }
        };
        let ticket = sent.ticket.unverified().body();
        let receipt = self.w.receipt(&replied.receipt);
        match waiting.receive(&receipt, self.w.local()) {
            Err((waiting, _)) => {
                assert_ne!(receipt.unverified().body().previous, ticket.hash());
                self.consumer = Consumer::Waiting(waiting, sent, since);
            }
            Ok(received) => {
                match received.answer {
                    Answered::Content(incoming) => {
                        let (header, sealed) = one(&replied.body);
                        let response = incoming.open(header, sealed).unwrap();
                        let Ok(Arrived::Whole(content)) = response.verify(&self.w.context) else {
                            panic!("genuine content is whole and valid");
                        };
                        let expected = [&content_of(&ticket)[..], b" done"].concat();
                        assert_eq!(content.content(), expected);
                        assert!(self.begun.contains(&ticket.hash()));
                    }
                    Answered::Refused(_) => {
                        assert!(!self.begun.contains(&ticket.hash()), "refused, but it ran");
                    }
                    Answered::Aborted(_) => panic!("nothing breaks off here"),
                }
                let After::Lane(idle) = received.lane else {
                    panic!("nothing streams");
                };
                self.consumer = Consumer::Idle(Box::new(idle));
            }
        }
    }

    /// Once the network is well again the lane goes on, unless an end is gone.
    fn settle(&mut self) {
        for _ in 0..2 {
            self.step(Step::SendAgain);
            if let Some(sent) = self.requests.last().cloned() {
                self.deliver_request(&sent);
            }
            self.decide(true, true);
            self.step(Step::AnswerAgain);
            if let Some(replied) = self.responses.last().cloned() {
                self.deliver_response(&replied);
            }
        }
        assert!(self.begun.is_disjoint(&self.refused), "refused and begun");
        match (&self.consumer, &self.producer) {
            (Consumer::Gone, _) | (_, Producer::Gone) => {}
            (Consumer::Idle(idle), Producer::Ready(ready)) => {
                assert_eq!(idle.next(), ready.next());
                let last = self.receipts.values().max_by_key(|body| body.header.n);
                assert!(last.is_none_or(|last| last.header.n + 1 == idle.next()));
            }
            _ => panic!("the lane does not go on"),
        }
    }
}

fn pick<T>(from: &[T], which: u8) -> Option<&T> {
    from.get(usize::from(which) % from.len().max(1))
}

fn lose<T>(from: &mut Vec<T>, which: u8) {
    if !from.is_empty() {
        from.swap_remove(usize::from(which) % from.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_order_of_events_keeps_the_promises(number in 1u8..=3, steps in steps()) {
        let mut lane = Lane::new(Suite::from_u8(number).unwrap());
        for step in steps {
            lane.step(step);
        }
        lane.settle();
    }
}
