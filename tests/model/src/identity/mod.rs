//! One endpoint's starts and its chain of links to the control plane, as a state machine.
//!
//! Starts, chains and their judgement are `armour_protocol`'s own. The process ends between
//! any two steps, the folder is written late, the network loses, repeats, reorders and
//! delays, a standby takes over; a thief copies the folder, or the process with its key.

mod control_plane;
mod endpoints;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use armour_protocol::v2::identity::body::LinkKind;
use stateright::{Model, Property};

pub use self::endpoints::Endpoints;
use self::{
    control_plane::{Collision, ControlPlane, Reply, Taken},
    endpoints::{Folder, Gave, Link, Process, Standing, Start},
};
use crate::lanes::Who;

/// How much may happen.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Starts of the endpoint.
    pub starts: u8,
    /// Its links.
    pub links: u8,
    /// How many of these renew its key.
    pub renewals: u8,
    /// Take-overs by a standby.
    pub take_overs: u8,
    /// A standby had taken over long before all that.
    pub fenced: bool,
    /// Starts from a copied folder.
    pub stolen_starts: u8,
    /// Links by a copied process.
    pub stolen_links: u8,
    /// A folder is put back to an earlier state, although a start has left the machine.
    pub restores: bool,
}

impl Bounds {
    /// Nobody steals.
    pub const HONEST: Self = Self {
        starts: 3,
        links: 3,
        renewals: 1,
        take_overs: 0,
        fenced: false,
        stolen_starts: 0,
        stolen_links: 0,
        restores: false,
    };
    /// Nobody steals, and a standby takes over.
    pub const TAKEN_OVER: Self = Self {
        starts: 2,
        take_overs: 1,
        ..Self::HONEST
    };
    /// The process is copied with its key.
    pub const KEY_COPIED: Self = Self {
        starts: 1,
        stolen_links: 2,
        ..Self::HONEST
    };
    /// The same, and a fence of long ago excuses none of it.
    pub const KEY_COPIED_AFTER_A_FENCE: Self = Self {
        fenced: true,
        ..Self::KEY_COPIED
    };
    /// The folder is copied with the long-term key.
    pub const FOLDER_COPIED: Self = Self {
        links: 1,
        renewals: 0,
        stolen_starts: 2,
        stolen_links: 1,
        ..Self::HONEST
    };
}

/// The model.
#[derive(Clone)]
pub struct Identity {
    /// How much may happen.
    pub bounds: Bounds,
    /// Real processes and messages.
    pub endpoints: Arc<Endpoints>,
    judged: Arc<Mutex<HashMap<Judged, (ControlPlane, Taken)>>>,
}

/// A message, what was recorded when it came, and who answers for the current incarnation.
type Judged = (Message, ControlPlane, Option<Process>);

/// A moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    owner: Option<Process>,
    folder: Folder,
    /// What the folder says once it is written.
    unwritten: Option<Folder>,
    thief: Option<Process>,
    copied: Option<Folder>,
    control_plane: ControlPlane,
    standby: Option<Box<ControlPlane>>,
    /// Sent and never taken out.
    requests: BTreeSet<Message>,
    replies: BTreeSet<Reply>,
    /// Incarnations in which a copy's link is recorded.
    beside: BTreeSet<Start>,
    /// A copy's start was accepted.
    instead: bool,
    /// The owner has acted since.
    due: bool,
    /// A link of the owner's was recorded after a copy's.
    mixed: bool,
    spent: Spent,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Spent {
    starts: u8,
    links: u8,
    renewals: u8,
    take_overs: u8,
    stolen_starts: u8,
    stolen_links: u8,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    /// A start.
    Start(Start),
    /// A link.
    Link(Link),
}

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Starts,
    Crashes,
    WritesItsFolder,
    Beats,
    Renews,
    Receives(Reply),
    /// Whether the incarnation that is asked about a start answers.
    Deliver(Message, bool),
    Replicates,
    TakesOver,
    /// So much time passes that nothing from before the take-over is under way any more.
    FencePasses,
    FolderIsCopied,
    FolderIsRestored,
    ProcessIsCopied,
    ThiefStarts,
    ThiefBeats,
    ThiefReceives(Reply),
}

impl Identity {
    /// A system within bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            endpoints: Arc::default(),
            judged: Arc::default(),
        }
    }

    fn stands(&self, process: Option<Process>, standing: Standing) -> bool {
        process.is_some_and(|process| self.endpoints.standing(process) == standing)
    }

    fn thieving(&self) -> bool {
        self.bounds.stolen_starts + self.bounds.stolen_links > 0
    }

    fn send(state: &mut State, gave: Gave) {
        match gave {
            Gave::Start(start, _) => {
                state.requests.insert(Message::Start(start));
            }
            Gave::Link(link) => {
                state.requests.insert(Message::Link(link));
            }
            Gave::Folder(_) | Gave::Nothing => {}
        }
    }

    fn receive(&self, process: Process, reply: Reply) -> Option<(Option<Process>, Gave)> {
        let start = self.endpoints.start_of(process);
        let step = match (reply, self.endpoints.standing(process)) {
            (Reply::Started(of), Standing::Starting) if of == start => {
                self.endpoints.accepted(process)
            }
            (Reply::Head(of, head), Standing::InFlight) if of == start => {
                self.endpoints.answered(process, head)
            }
            (Reply::Ended(of), _) if of == start => return Some((None, Gave::Nothing)),
            _ => None,
        };
        step.map(|(process, gave)| (Some(process), gave))
    }

    fn deliver(&self, state: &mut State, message: Message, answers: bool) {
        let endpoints = &self.endpoints;
        let current = state.control_plane.current;
        let of_current = |process: &Process| {
            Some(endpoints.start_of(*process)) == current
                && endpoints.standing(*process) != Standing::Starting
        };
        let living = [state.owner, state.thief].into_iter().flatten();
        let by = living.filter(|_| answers).find(of_current);
        let taken = self.judge(&mut state.control_plane, message, by);
        state.replies.extend(taken.reply);
        if !taken.recorded {
            return;
        }
        match message {
            Message::Start(start) => state.instead |= endpoints.start(start).1 == Who::Copy,
            Message::Link(link) => {
                let (_, who, start) = endpoints.link(link);
                if who == Who::Copy {
                    state.beside.insert(start);
                }
                state.mixed |= who == Who::Owner && state.beside.contains(&start);
            }
        }
    }

    fn judge(
        &self,
        control_plane: &mut ControlPlane,
        message: Message,
        by: Option<Process>,
    ) -> Taken {
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (message, control_plane.clone(), by);
        let (after, taken) = judged.entry(key).or_insert_with(|| {
            let mut after = control_plane.clone();
            let taken = match message {
                Message::Start(start) => after.start(&self.endpoints, start, by),
                Message::Link(link) => after.link(&self.endpoints, link),
            };
            (after, taken)
        });
        *control_plane = after.clone();
        *taken
    }

    fn apply(&self, state: &mut State, action: Action) -> Option<()> {
        let endpoints = &self.endpoints;
        match action {
            Action::Starts => {
                let (process, gave) = endpoints.begin(state.folder, Who::Owner)?;
                state.owner = Some(process);
                state.spent.starts += 1;
                if let Gave::Start(_, folder) = gave {
                    // Kept before it is used.
                    state.folder = folder;
                }
                state.due |= state.instead;
                Self::send(state, gave);
            }
            Action::Crashes => (state.owner, state.unwritten, state.due) = (None, None, false),
            Action::WritesItsFolder => state.folder = state.unwritten.take()?,
            Action::Beats | Action::Renews => {
                let owner = state.owner?;
                let (process, gave) = match action {
                    Action::Beats => endpoints.beat(owner, Who::Owner)?,
                    _ => endpoints.renew(owner, Who::Owner)?,
                };
                state.owner = Some(process);
                state.spent.links += 1;
                state.spent.renewals += u8::from(action == Action::Renews);
                state.due |= state.beside.contains(&endpoints.start_of(process));
                Self::send(state, gave);
            }
            Action::Receives(reply) => {
                let (process, gave) = self.receive(state.owner?, reply)?;
                state.owner = process;
                state.due &= process.is_some();
                if let Gave::Folder(folder) = gave {
                    state.unwritten = Some(folder);
                }
                Self::send(state, gave);
            }
            Action::Deliver(message, answers) => self.deliver(state, message, answers),
            Action::Replicates => state.standby = Some(Box::new(state.control_plane.clone())),
            Action::TakesOver => {
                state.control_plane = *state.standby.take()?;
                state.control_plane.take_over();
                state.spent.take_overs += 1;
            }
            Action::FencePasses => {
                state.control_plane.fence_passes();
                state.replies.clear();
                let owner = state.owner.map(|owner| endpoints.start_of(owner));
                let of_owner = |link: &Link| {
                    let (signed, who, start) = endpoints.link(*link);
                    (Some(start) == owner && who == Who::Owner).then(|| signed.head().k())
                };
                let links = state.requests.iter().filter_map(|message| match message {
                    Message::Link(link) => of_owner(link),
                    Message::Start(_) => None,
                });
                let waits = self.stands(state.owner, Standing::InFlight);
                let last = links.max().filter(|_| waits);
                // Who lives says its start, its renewals and what is in flight again; a thief
                // says anything.
                state.requests.retain(|message| match message {
                    Message::Start(start) => {
                        Some(*start) == owner || endpoints.start(*start).1 == Who::Copy
                    }
                    Message::Link(link) => match of_owner(link) {
                        Some(k) => {
                            let (signed, ..) = endpoints.link(*link);
                            Some(k) == last || signed.head().kind() == LinkKind::Renew
                        }
                        None => endpoints.link(*link).1 == Who::Copy,
                    },
                });
            }
            Action::FolderIsCopied => state.copied = Some(state.folder),
            Action::FolderIsRestored => state.folder = state.copied.take()?,
            Action::ProcessIsCopied => state.thief = state.owner,
            Action::ThiefStarts => {
                let (process, gave) = endpoints.begin(state.copied?, Who::Copy)?;
                if let Gave::Start(_, folder) = gave {
                    state.copied = Some(folder);
                }
                state.thief = Some(process);
                state.spent.stolen_starts += 1;
                Self::send(state, gave);
            }
            Action::ThiefBeats => {
                let (process, gave) = endpoints.beat(state.thief?, Who::Copy)?;
                state.thief = Some(process);
                state.spent.stolen_links += 1;
                Self::send(state, gave);
            }
            Action::ThiefReceives(reply) => {
                let (process, gave) = self.receive(state.thief?, reply)?;
                // A thief does not say that it is one.
                if let Gave::Link(_) = gave {
                    return None;
                }
                state.thief = process;
            }
        }
        Some(())
    }

    /// Whether everything that the living owner has sent was heard and answered.
    fn is_quiet(&self, state: &State) -> bool {
        let Some(owner) = state.owner else {
            return false;
        };
        let start = self.endpoints.start_of(owner);
        let mine = state.requests.iter().filter(|message| match message {
            Message::Start(one) => *one == start,
            Message::Link(link) => {
                let (_, who, of) = self.endpoints.link(*link);
                of == start && who == Who::Owner
            }
        });
        let same = |action| {
            let mut after = state.clone();
            self.apply(&mut after, action).is_none() || after == *state
        };
        mine.map(|message| Action::Deliver(*message, false))
            .chain(state.replies.iter().map(|reply| Action::Receives(*reply)))
            .all(same)
    }
}

impl Model for Identity {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut control_plane = ControlPlane::default();
        if self.bounds.fenced {
            control_plane.take_over();
            control_plane.fence_passes();
        }
        vec![State {
            owner: None,
            folder: self.endpoints.enrolled(),
            unwritten: None,
            thief: None,
            copied: None,
            control_plane,
            standby: None,
            requests: BTreeSet::new(),
            replies: BTreeSet::new(),
            beside: BTreeSet::new(),
            instead: false,
            due: false,
            mixed: false,
            spent: Spent::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.control_plane.collision.is_some() {
            return;
        }
        let (bounds, spent) = (&self.bounds, &state.spent);
        let mut may = |allowed: bool, action| {
            if allowed {
                actions.push(action);
            }
        };
        may(
            state.owner.is_none() && spent.starts < bounds.starts,
            Action::Starts,
        );
        may(state.owner.is_some(), Action::Crashes);
        may(state.unwritten.is_some(), Action::WritesItsFolder);
        let idle = self.stands(state.owner, Standing::Idle) && spent.links < bounds.links;
        may(idle, Action::Beats);
        may(idle && spent.renewals < bounds.renewals, Action::Renews);
        for message in &state.requests {
            may(true, Action::Deliver(*message, false));
            may(
                matches!(message, Message::Start(_)) && self.thieving(),
                Action::Deliver(*message, true),
            );
        }
        for reply in &state.replies {
            may(state.owner.is_some(), Action::Receives(*reply));
            may(state.thief.is_some(), Action::ThiefReceives(*reply));
        }
        let standby = spent.take_overs < bounds.take_overs;
        may(standby, Action::Replicates);
        may(standby && state.standby.is_some(), Action::TakesOver);
        let fence = state.control_plane.fence;
        may(
            fence.is_some_and(|fence| fence.under_way),
            Action::FencePasses,
        );
        may(
            (bounds.stolen_starts > 0 || bounds.restores) && state.copied.is_none(),
            Action::FolderIsCopied,
        );
        may(
            bounds.restores && state.owner.is_none() && state.copied.is_some(),
            Action::FolderIsRestored,
        );
        may(
            bounds.stolen_links > 0 && bounds.stolen_starts == 0 && state.thief.is_none(),
            Action::ProcessIsCopied,
        );
        may(
            state.copied.is_some() && spent.stolen_starts < bounds.stolen_starts,
            Action::ThiefStarts,
        );
        may(
            self.stands(state.thief, Standing::Idle) && spent.stolen_links < bounds.stolen_links,
            Action::ThiefBeats,
        );
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.apply(&mut next, action)?;
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::<Self>::always("no honest endpoint is accused", |_, state| {
                let stolen = state.spent.stolen_starts + state.spent.stolen_links;
                stolen > 0 || state.control_plane.collision.is_none()
            }),
            Property::<Self>::always("no copied key or folder is missed", |model, state| {
                !state.due || state.control_plane.collision.is_some() || !model.is_quiet(state)
            }),
            Property::<Self>::always("a chain is one holder's", |_, state| !state.mixed),
            Property::<Self>::sometimes("a link is answered", |model, state| {
                let idle = model.stands(state.owner, Standing::Idle);
                idle && state.spent.links > 0
            }),
        ];
        if self.bounds.starts > 1 {
            properties.push(Property::<Self>::sometimes(
                "a second start goes on",
                |model, state| state.spent.starts > 1 && model.stands(state.owner, Standing::Idle),
            ));
        }
        if self.bounds.take_overs > 0 {
            properties.push(Property::<Self>::sometimes(
                "a chain goes on long after a take-over",
                |model, state| {
                    let fence = state.control_plane.fence;
                    fence.is_some_and(|fence| !fence.under_way)
                        && model.stands(state.owner, Standing::Idle)
                        && state.spent.links > 0
                },
            ));
        }
        if self.bounds.stolen_links > 0 && self.bounds.stolen_starts == 0 {
            properties.push(Property::<Self>::sometimes(
                "a copied key is found",
                |_, state| state.control_plane.collision == Some(Collision::Link),
            ));
        }
        if self.bounds.stolen_starts > 0 {
            properties.push(Property::<Self>::sometimes(
                "a copied folder is found",
                |_, state| state.control_plane.collision == Some(Collision::Start),
            ));
        }
        properties
    }
}
