//! The protocol's real starts and chains of links behind small numbers, as
//! [`crate::lanes`] does with lanes.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use armour_protocol::v2::identity::{
    body::LinkBody,
    chain::{Answered, Chain, InFlight},
    incarnation::{Incarnation, Presence},
    link::SignedLink,
    mark::{Incarnated, LinkMark},
    start::SignedStart,
    starting::{StartRecord, Starting},
};
use ed25519_dalek::SigningKey;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use sha2::{Digest, Sha256};

use crate::lanes::Who;

/// The endpoint.
pub(super) const ENDPOINT: [u8; 16] = [1; 16];

/// A process of the endpoint, or a copy of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Process(u32);

/// What a folder keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Folder(u32);

/// A start's statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Start(u32);

/// A link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link(u32);

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Begin { folder: Folder, who: Who },
    Accepted,
    Beat { who: Who },
    Renew { who: Who },
    Answered { head: Option<Link> },
}

/// What a process waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Its start is on its way.
    Starting,
    /// Nothing.
    Idle,
    /// Its link is on its way.
    InFlight,
}

/// What a step gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gave {
    /// A start, and the folder that counts it.
    Start(Start, Folder),
    /// The folder that says that the start was answered.
    Folder(Folder),
    /// A link.
    Link(Link),
    /// Nothing to send.
    Nothing,
}

enum Real {
    Starting(Box<Starting>),
    Idle(Box<(Incarnation, Chain)>),
    InFlight(Box<(Incarnation, InFlight)>),
}

enum Effect {
    Start(SignedStart, Vec<u8>),
    Folder(Vec<u8>),
    Link(SignedLink),
    None,
}

/// All processes and messages met so far.
#[derive(Default)]
pub struct Endpoints(Mutex<Inner>);

/// The process after a step and what it gave; nothing if it does not take the step.
type Outcome = Option<(Process, Gave)>;

#[derive(Default)]
struct Inner {
    processes: Vec<(Option<Process>, Step, Start, Standing)>,
    known: HashMap<(Option<Process>, Step), Outcome>,
    folders: Vec<Vec<u8>>,
    starts: Vec<(SignedStart, Who)>,
    links: Vec<(SignedLink, Who, Start)>,
}

/// The endpoint's long-term key.
pub(super) fn long_term() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

impl Endpoints {
    /// The folder of an endpoint that has just enrolled.
    pub fn enrolled(&self) -> Folder {
        self.lock().folder(StartRecord::new(ENDPOINT).to_bytes())
    }

    /// A process begins from a folder.
    pub fn begin(&self, folder: Folder, who: Who) -> Option<(Process, Gave)> {
        self.step(None, Step::Begin { folder, who })
    }

    /// Its start is accepted.
    pub fn accepted(&self, process: Process) -> Option<(Process, Gave)> {
        self.step(Some(process), Step::Accepted)
    }

    /// A heartbeat.
    pub fn beat(&self, process: Process, who: Who) -> Option<(Process, Gave)> {
        self.step(Some(process), Step::Beat { who })
    }

    /// The incarnation's next key.
    pub fn renew(&self, process: Process, who: Who) -> Option<(Process, Gave)> {
        self.step(Some(process), Step::Renew { who })
    }

    /// The control plane says what the chain's head is. A head that is not this process's
    /// own is disowned.
    pub fn answered(&self, process: Process, head: Option<Link>) -> Option<(Process, Gave)> {
        self.step(Some(process), Step::Answered { head })
    }

    /// The start that a process is of.
    pub fn start_of(&self, process: Process) -> Start {
        self.lock().processes[process.0 as usize].2
    }

    /// What a process waits for.
    pub fn standing(&self, process: Process) -> Standing {
        self.lock().processes[process.0 as usize].3
    }

    /// The word of a process that it lives, although another start wants its place.
    pub fn present(&self, process: Process, other: Start) -> Option<Presence> {
        let inner = self.lock();
        let other = inner.starts[other.0 as usize].0.unverified().hash();
        match inner.make(process)? {
            Real::Starting(_) => None,
            Real::Idle(running) => running.0.present(other),
            Real::InFlight(running) => running.0.present(other),
        }
    }

    /// A start, and whose it is.
    pub fn start(&self, start: Start) -> (SignedStart, Who) {
        self.lock().starts[start.0 as usize].clone()
    }

    /// A link, whose it is, and of which start.
    pub fn link(&self, link: Link) -> (SignedLink, Who, Start) {
        self.lock().links[link.0 as usize].clone()
    }

    /// Whose chain follows this start.
    pub fn of(&self, start: Start) -> Incarnated {
        Incarnated::by(self.lock().starts[start.0 as usize].0.unverified())
    }

    /// Real processes, and real messages.
    pub fn met(&self) -> (usize, usize) {
        let inner = self.lock();
        (
            inner.processes.len(),
            inner.starts.len() + inner.links.len(),
        )
    }

    fn step(&self, from: Option<Process>, step: Step) -> Option<(Process, Gave)> {
        let mut inner = self.lock();
        if let Some(known) = inner.known.get(&(from, step)) {
            return *known;
        }
        let outcome = inner.go(from, step);
        inner.known.insert((from, step), outcome);
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn go(&mut self, from: Option<Process>, step: Step) -> Option<(Process, Gave)> {
        let before = match from {
            Some(process) => Some(self.make(process)?),
            None => None,
        };
        let (after, effect) = self.take(from, before, step)?;
        let who = match step {
            Step::Begin { who, .. } | Step::Beat { who } | Step::Renew { who } => who,
            // Only the owner's process disowns.
            Step::Accepted | Step::Answered { .. } => Who::Owner,
        };
        let standing = match after {
            Real::Starting(_) => Standing::Starting,
            Real::Idle(_) => Standing::Idle,
            Real::InFlight(_) => Standing::InFlight,
        };
        let before = from.map(|process| self.processes[process.0 as usize].2);
        let (start, gave) = match effect {
            Effect::Start(start, folder) => {
                let number = Start(u32::try_from(self.starts.len()).ok()?);
                self.starts.push((start, who));
                (number, Gave::Start(number, self.folder(folder)))
            }
            Effect::Folder(folder) => (before?, Gave::Folder(self.folder(folder))),
            Effect::Link(link) => {
                let number = Link(u32::try_from(self.links.len()).ok()?);
                self.links.push((link, who, before?));
                (before?, Gave::Link(number))
            }
            Effect::None => (before?, Gave::Nothing),
        };
        let process = Process(u32::try_from(self.processes.len()).ok()?);
        self.processes.push((from, step, start, standing));
        Some((process, gave))
    }

    fn make(&self, process: Process) -> Option<Real> {
        let (from, step, ..) = self.processes[process.0 as usize];
        let before = match from {
            Some(process) => Some(self.make(process)?),
            None => None,
        };
        self.take(from, before, step).map(|taken| taken.0)
    }

    fn take(
        &self,
        from: Option<Process>,
        before: Option<Real>,
        step: Step,
    ) -> Option<(Real, Effect)> {
        let mut rng = rng(from, step);
        match (before, step) {
            (None, Step::Begin { folder, .. }) => {
                let kept = &self.folders[folder.0 as usize];
                let record = StartRecord::from_bytes(kept).ok()?;
                let made = record.begin(long_term(), &mut rng).ok()?;
                let folder = made.bytes().to_vec();
                let starting = made.kept();
                let start = SignedStart::from_bytes(&starting.start().to_bytes()).ok()?;
                let starting = Real::Starting(Box::new(starting));
                Some((starting, Effect::Start(start, folder)))
            }
            (Some(Real::Starting(starting)), Step::Accepted) => {
                let started = starting.accepted();
                let running = Box::new((started.incarnation, started.chain));
                let folder = Effect::Folder(started.record.to_bytes());
                Some((Real::Idle(running), folder))
            }
            (Some(Real::Idle(running)), Step::Beat { who }) => {
                let (incarnation, chain) = *running;
                let body = LinkBody::Heartbeat(format!("{who:?}").into_bytes());
                in_flight(chain.link(body, &incarnation).ok()?, incarnation)
            }
            (Some(Real::Idle(running)), Step::Renew { .. }) => {
                let (incarnation, chain) = *running;
                in_flight(chain.renew(&incarnation, &mut rng).ok()?, incarnation)
            }
            (Some(Real::InFlight(running)), Step::Answered { head }) => {
                let (mut incarnation, link) = *running;
                let head = self.mark(head, &incarnation)?;
                match link.answered(&head, &mut incarnation) {
                    Answered::Taken(chain) => {
                        let running = Box::new((incarnation, chain));
                        Some((Real::Idle(running), Effect::None))
                    }
                    Answered::Waiting(_) => None,
                    Answered::Foreign(foreign) => {
                        in_flight(foreign.disown(&incarnation).ok()?, incarnation)
                    }
                }
            }
            _ => None,
        }
    }

    fn mark(&self, head: Option<Link>, incarnation: &Incarnation) -> Option<LinkMark> {
        Some(match head {
            Some(link) => self.links.get(link.0 as usize)?.0.mark(),
            None => Incarnated::by(incarnation.start().unverified()).origin(),
        })
    }

    fn folder(&mut self, bytes: Vec<u8>) -> Folder {
        let place = self.folders.iter().position(|kept| *kept == bytes);
        let place = place.unwrap_or_else(|| {
            self.folders.push(bytes);
            self.folders.len() - 1
        });
        // There are a few dozen.
        Folder(place as u32)
    }
}

fn in_flight(link: InFlight, incarnation: Incarnation) -> Option<(Real, Effect)> {
    let sent = SignedLink::from_bytes(&link.link().to_bytes()).ok()?;
    let running = Real::InFlight(Box::new((incarnation, link)));
    Some((running, Effect::Link(sent)))
}

/// Randomness of its own for each step from each process.
fn rng(from: Option<Process>, step: Step) -> ChaCha20Rng {
    ChaCha20Rng::from_seed(Sha256::digest(format!("{from:?} {step:?}")).into())
}
