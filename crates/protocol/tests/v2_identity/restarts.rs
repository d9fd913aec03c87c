//! One honest endpoint, whose process ends between any two steps, whose folder is restored,
//! under a network that loses, repeats and reorders, and a control plane whose standby takes
//! over. Whatever happens, nobody is accused, and the endpoint goes on.

use armour_protocol::v2::identity::{
    body::{BundleRequest, LinkBody, NO_BUNDLE, Retirement},
    chain::{Answered, Chain, HeadStanding, InFlight},
    incarnation::Incarnation,
    judge::{ANSWER_MS, Asked, LinkVerdict, StartVerdict},
    link::SignedLink,
    start::{SignedStart, StartHash},
    starting::{StartRecord, Starting},
};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::control_plane::{ControlPlane, ENDPOINT, LinkReply, long_term};

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A process begins; or ends before it has kept its start.
    Start,
    StartNotKept,
    Crash,
    /// The start, or the link in flight.
    Send,
    Beat,
    Draw,
    Renew,
    Leave,
    Deliver(u8),
    DeliverAndRepeat(u8),
    Lose(u8),
    Answer(u8),
    LoseAnswer(u8),
    /// A copy of the folder is made; the folder is put back to it.
    Backup,
    Restore,
    /// The standby has what there is; later it takes over.
    Replicate,
    TakeOver,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Start),
        1 => Just(Step::StartNotKept),
        2 => Just(Step::Crash),
        8 => Just(Step::Send),
        4 => Just(Step::Beat),
        4 => Just(Step::Draw),
        2 => Just(Step::Renew),
        1 => Just(Step::Leave),
        8 => any::<u8>().prop_map(Step::Deliver),
        3 => any::<u8>().prop_map(Step::DeliverAndRepeat),
        1 => any::<u8>().prop_map(Step::Lose),
        8 => any::<u8>().prop_map(Step::Answer),
        1 => any::<u8>().prop_map(Step::LoseAnswer),
        1 => Just(Step::Backup),
        1 => Just(Step::Restore),
        1 => Just(Step::Replicate),
        1 => Just(Step::TakeOver),
    ];
    proptest::collection::vec(step, 20..160)
}

enum Process {
    Off,
    Starting(Box<Starting>),
    Idle(Box<(Incarnation, Chain)>),
    InFlight(Box<(Incarnation, InFlight)>),
}

#[derive(Clone)]
enum Request {
    Start(Vec<u8>),
    Link(Vec<u8>),
}

#[derive(Clone, Copy)]
enum Response {
    Started(StartHash),
    Link(StartHash, LinkReply),
}

struct World {
    cp: ControlPlane,
    standby: ControlPlane,
    disk: Vec<u8>,
    /// A copy of the folder, and whether no start after it has left the machine.
    backup: Option<(Vec<u8>, bool)>,
    process: Process,
    requests: Vec<Request>,
    responses: Vec<Response>,
    rng: ChaCha20Rng,
    draw: u64,
}

impl World {
    fn new() -> Self {
        Self {
            cp: ControlPlane::new(),
            standby: ControlPlane::new(),
            disk: StartRecord::new(ENDPOINT).to_bytes(),
            backup: None,
            process: Process::Off,
            requests: Vec::new(),
            responses: Vec::new(),
            rng: ChaCha20Rng::from_seed([5; 32]),
            draw: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Start | Step::StartNotKept if matches!(self.process, Process::Off) => {
                let record = StartRecord::from_bytes(&self.disk).unwrap();
                let made = record.begin(long_term(), &mut self.rng).unwrap();
                if matches!(step, Step::Start) {
                    self.disk = made.bytes().to_vec();
                    self.process = Process::Starting(Box::new(made.kept()));
                }
            }
            Step::Crash => self.process = Process::Off,
            Step::Send => self.send(),
            Step::Beat => self.link(LinkBody::Heartbeat(b"beat".to_vec())),
            Step::Draw => {
                self.draw += 1;
                let draw = self.draw;
                let pair = [3; 16];
                self.link(LinkBody::Request(vec![BundleRequest {
                    pair,
                    draw,
                    replaces: NO_BUNDLE,
                }]));
            }
            Step::Leave => self.link(LinkBody::Retire(Retirement {
                leaving: true,
                bundles: Vec::new(),
            })),
            Step::Renew => self.renew(),
            Step::Deliver(which) | Step::DeliverAndRepeat(which) => {
                if let Some(at) = pick(&self.requests, which) {
                    let request = self.requests[at].clone();
                    if matches!(step, Step::Deliver(_)) {
                        self.requests.swap_remove(at);
                    }
                    self.deliver(&request);
                }
            }
            Step::Lose(which) => {
                pick(&self.requests, which).map(|at| self.requests.swap_remove(at));
            }
            Step::Answer(which) => {
                if let Some(at) = pick(&self.responses, which) {
                    let response = self.responses.swap_remove(at);
                    self.answer(response);
                }
            }
            Step::LoseAnswer(which) => {
                pick(&self.responses, which).map(|at| self.responses.swap_remove(at));
            }
            Step::Backup => self.backup = Some((self.disk.clone(), true)),
            Step::Restore => {
                if let Some((disk, true)) = &self.backup {
                    self.disk = disk.clone();
                    self.process = Process::Off;
                }
            }
            Step::Replicate => self.standby = self.cp.clone(),
            Step::TakeOver => {
                self.cp = self.standby.clone();
                self.cp.fenced = true;
                self.standby.fenced = true;
            }
            Step::Start | Step::StartNotKept => {}
        }
    }

    fn send(&mut self) {
        match &self.process {
            Process::Starting(starting) => {
                let start = starting.start().to_bytes();
                self.requests.push(Request::Start(start));
                if let Some((_, unsent)) = &mut self.backup {
                    *unsent = false;
                }
            }
            Process::InFlight(running) => {
                let link = running.1.link().to_bytes();
                self.requests.push(Request::Link(link));
            }
            Process::Off | Process::Idle(_) => {}
        }
    }

    fn link(&mut self, body: LinkBody) {
        self.issue(|incarnation, chain, _| {
            let made = chain.link(body, incarnation);
            made.unwrap_or_else(|_| panic!("it can be signed"))
        });
    }

    fn renew(&mut self) {
        self.issue(|incarnation, chain, rng| {
            let made = chain.renew(incarnation, rng);
            made.unwrap_or_else(|_| panic!("it can be signed"))
        });
    }

    fn issue(&mut self, make: impl FnOnce(&Incarnation, Chain, &mut ChaCha20Rng) -> InFlight) {
        self.process = match std::mem::replace(&mut self.process, Process::Off) {
            Process::Idle(running) => {
                let (incarnation, chain) = *running;
                let in_flight = make(&incarnation, chain, &mut self.rng);
                Process::InFlight(Box::new((incarnation, in_flight)))
            }
            other => other,
        };
    }

    /// The hash of the start that lives, if one does.
    fn living(&self) -> Option<StartHash> {
        match &self.process {
            Process::Off => None,
            Process::Starting(starting) => Some(starting.start().unverified().hash()),
            Process::Idle(running) => Some(running.0.start().unverified().hash()),
            Process::InFlight(running) => Some(running.0.start().unverified().hash()),
        }
    }

    fn deliver(&mut self, request: &Request) {
        match request {
            Request::Start(bytes) => {
                let about = SignedStart::from_bytes(bytes).unwrap().unverified().hash();
                let mut verdict = self.cp.start(bytes).expect("nobody is accused");
                if verdict == StartVerdict::Ask {
                    // The one that is asked has ended, or it would be asked about itself.
                    assert_ne!(self.living(), self.cp.current);
                    let (waited, answer) = (ANSWER_MS + 1, None);
                    self.cp.asked = Some(Asked {
                        about,
                        waited,
                        answer,
                    });
                    verdict = self.cp.start(bytes).expect("nobody is accused");
                }
                match verdict {
                    StartVerdict::Accept { .. } | StartVerdict::Repeat => {
                        self.responses.push(Response::Started(about));
                    }
                    StartVerdict::Overtaken => assert_ne!(self.living(), Some(about)),
                    other => panic!("nothing is in dispute: {other:?}"),
                }
            }
            Request::Link(bytes) => {
                let of = SignedLink::from_bytes(bytes).unwrap().head().of().start;
                let (reply, verdict) = self.cp.link(bytes).expect("nobody is accused");
                if let Some(LinkVerdict::Gap(_) | LinkVerdict::AfterGap(_)) = verdict {
                    assert!(self.cp.fenced && !matches!(verdict, Some(LinkVerdict::Gap(_))));
                }
                self.responses.push(Response::Link(of, reply));
            }
        }
    }

    fn answer(&mut self, response: Response) {
        let living = self.living();
        self.process = match (std::mem::replace(&mut self.process, Process::Off), response) {
            (Process::Starting(starting), Response::Started(hash)) if living == Some(hash) => {
                let started = starting.accepted();
                self.disk = started.record.to_bytes();
                Process::Idle(Box::new((started.incarnation, started.chain)))
            }
            (Process::InFlight(running), Response::Link(of, reply)) if living == Some(of) => {
                let (mut incarnation, in_flight) = *running;
                match reply {
                    LinkReply::Head(head) => {
                        assert_ne!(in_flight.standing(&head), HeadStanding::Foreign);
                        let above = |renewal: &&SignedLink| renewal.head().k() > head.k;
                        for renewal in incarnation.renewals().iter().filter(above) {
                            self.requests.push(Request::Link(renewal.to_bytes()));
                        }
                        match in_flight.answered(&head, &mut incarnation) {
                            Answered::Taken(chain) => Process::Idle(Box::new((incarnation, chain))),
                            Answered::Waiting(in_flight) => {
                                Process::InFlight(Box::new((incarnation, *in_flight)))
                            }
                            Answered::Foreign(_) => panic!("nobody else signs"),
                        }
                    }
                    // It has left, or an answer was lost: the process ends.
                    LinkReply::Ended => Process::Off,
                    LinkReply::Unknown => {
                        let start = incarnation.start().to_bytes();
                        self.requests.push(Request::Start(start));
                        Process::InFlight(Box::new((incarnation, in_flight)))
                    }
                }
            }
            (process, _) => process,
        };
    }

    /// Once the network is well the endpoint goes on.
    fn settle(&mut self) {
        self.step(Step::Start);
        for _ in 0..12 {
            if matches!(self.process, Process::Idle(_)) {
                return;
            }
            self.step(Step::Start);
            self.send();
            for request in std::mem::take(&mut self.requests) {
                self.deliver(&request);
            }
            for response in std::mem::take(&mut self.responses) {
                self.answer(response);
            }
        }
        panic!("the endpoint does not go on");
    }
}

fn pick<T>(from: &[T], which: u8) -> Option<usize> {
    (!from.is_empty()).then(|| usize::from(which) % from.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_order_of_honest_events_accuses(steps in steps(), fails_over in any::<bool>()) {
        let mut world = World::new();
        for step in steps {
            if fails_over || !matches!(step, Step::TakeOver) {
                world.step(step);
            }
        }
        world.settle();
    }
}
