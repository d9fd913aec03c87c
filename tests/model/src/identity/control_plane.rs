//! What the control plane records of an endpoint, and what it does with starts and links.
//! What these mean is the protocol crate's decision.

use std::collections::BTreeMap;

use armour_protocol::v2::identity::{
    IdentityError,
    body::LinkBody,
    judge::{
        ANSWER_MS, Asked, Current, KeySpan, LinkFacts, LinkVerdict, STREAM_MS, StartFacts,
        StartVerdict, judge_link, judge_start,
    },
};

use super::endpoints::{ENDPOINT, Endpoints, Link, Process, Start, long_term};

/// What the database holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ControlPlane {
    /// Accepted starts, by ascending counter.
    recorded: Vec<Start>,
    incarnations: BTreeMap<Start, Recorded>,
    /// The start that has not ended.
    pub current: Option<Start>,
    /// A standby has taken over.
    pub fence: Option<Fence>,
    /// Somebody else holds a key or a folder.
    pub collision: Option<Collision>,
}

/// What a take-over excuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    /// Something from before may still come.
    pub under_way: bool,
    /// A start or link was recorded since.
    heard: bool,
}

/// Where a copy was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Collision {
    /// By a start.
    Start,
    /// By a link.
    Link,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Recorded {
    head: Option<Link>,
    renewals: Vec<Link>,
    ended: Option<Option<Link>>,
    /// Since the fence: it was heard; it was accepted after the endpoint had been heard; it
    /// ended.
    heard: bool,
    nothing_lost: bool,
    ended_since: bool,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reply {
    /// The start is accepted.
    Started(Start),
    /// The chain's head, none before its first link.
    Head(Start, Option<Link>),
    /// The incarnation has ended.
    Ended(Start),
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// What is answered, if anything is.
    pub reply: Option<Reply>,
    /// It was recorded now.
    pub recorded: bool,
}

const NOTHING: Taken = Taken {
    reply: None,
    recorded: false,
};

impl ControlPlane {
    /// A standby takes over: it may lack whatever came last.
    pub fn take_over(&mut self) {
        self.fence = Some(Fence {
            under_way: true,
            heard: false,
        });
        for one in self.incarnations.values_mut() {
            (one.heard, one.nothing_lost, one.ended_since) = (false, false, false);
        }
    }

    /// So long after the take-over that nothing from before it is under way any more.
    pub fn fence_passes(&mut self) {
        if let Some(fence) = &mut self.fence {
            fence.under_way = false;
        }
    }

    /// Whether starts may be lost.
    fn is_endpoint_fenced(&self) -> bool {
        self.fence
            .is_some_and(|fence| !fence.heard || fence.under_way)
    }

    /// Whether links of this start may be lost.
    fn is_chain_fenced(&self, one: &Recorded) -> bool {
        let lived = one.ended.is_none() || one.ended_since;
        self.fence
            .is_some_and(|fence| lived && !one.nothing_lost && (!one.heard || fence.under_way))
    }

    fn is_heard(&self) -> bool {
        self.fence.is_some_and(|fence| fence.heard)
    }

    fn hear(&mut self) {
        if let Some(fence) = &mut self.fence {
            fence.heard = true;
        }
    }

    /// Takes a start. If the current incarnation is asked about it, `by` answers.
    pub fn start(&mut self, endpoints: &Endpoints, start: Start, by: Option<Process>) -> Taken {
        let (signed, _) = endpoints.start(start);
        let about = signed.unverified().hash();
        let key = long_term().verifying_key();
        let recorded: Vec<_> = self
            .recorded
            .iter()
            .map(|one| endpoints.start(*one).0.unverified().clone())
            .collect();
        let current = self.current.and_then(|of| {
            let key = self.keys(endpoints, of).last()?.key;
            Some((endpoints.of(of), key))
        });
        let mut facts = StartFacts {
            endpoint: ENDPOINT,
            long_term: &key,
            recorded: &recorded,
            declined: &[],
            current: current.as_ref().map(|(of, key)| Current {
                of: *of,
                key,
                touched: Some(STREAM_MS),
            }),
            asked: None,
            dispute: None,
            fenced: self.is_endpoint_fenced(),
        };
        let mut verdict = judge_start(&signed, &facts);
        if verdict == Ok(StartVerdict::Ask) {
            let answer = by.and_then(|process| endpoints.present(process, start));
            let waited = match answer {
                Some(_) => 1,
                None => ANSWER_MS + 1,
            };
            facts.asked = Some(Asked {
                about,
                waited,
                answer,
            });
            verdict = judge_start(&signed, &facts);
        }
        let reply = Some(Reply::Started(start));
        match verdict {
            Ok(StartVerdict::Accept { .. }) => {
                if let Some(ended) = self.current.and_then(|of| self.incarnations.get_mut(&of)) {
                    ended.ended = Some(None);
                    ended.ended_since = true;
                }
                self.recorded.push(start);
                let counter = |one: &Start| endpoints.start(*one).0.unverified().counter();
                self.recorded.sort_by_key(counter);
                let recorded = Recorded {
                    nothing_lost: self.is_heard(),
                    ..Recorded::default()
                };
                self.incarnations.insert(start, recorded);
                self.hear();
                self.current = Some(start);
                Taken {
                    reply,
                    recorded: true,
                }
            }
            Ok(StartVerdict::Repeat) => Taken {
                reply,
                recorded: false,
            },
            Ok(StartVerdict::Collision(_)) => {
                self.collision = Some(Collision::Start);
                NOTHING
            }
            // Overtaken, or in use: people would choose, which this does not go through.
            _ => NOTHING,
        }
    }

    /// Takes a link.
    pub fn link(&mut self, endpoints: &Endpoints, link: Link) -> Taken {
        let (signed, _, start) = endpoints.link(link);
        let keys = self.keys(endpoints, start);
        let of = endpoints.of(start);
        let mark = |link: Link| endpoints.link(link).0.mark();
        let Some(one) = self.incarnations.get(&start) else {
            // Nobody knows the start: it is to be sent again.
            return NOTHING;
        };
        let fenced = self.is_chain_fenced(one);
        let facts = LinkFacts {
            of,
            head: one.head.map_or(of.origin(), mark),
            keys: &keys,
            fenced,
            ended: one.ended.map(|late| late.map(|late| mark(late).hash)),
        };
        let verdict = match judge_link(&signed, &facts) {
            Ok(LinkVerdict::Collision(_)) => {
                self.collision = Some(Collision::Link);
                return NOTHING;
            }
            Ok(verdict) => verdict,
            Err(IdentityError::Signature) if fenced && one.ended.is_none() => {
                let reply = Some(Reply::Head(start, one.head));
                return Taken {
                    reply,
                    recorded: false,
                };
            }
            Err(_) => return NOTHING,
        };
        let recorded = matches!(verdict, LinkVerdict::Next(_) | LinkVerdict::AfterGap(_));
        if recorded {
            self.hear();
        }
        let Some(one) = self.incarnations.get_mut(&start) else {
            return NOTHING;
        };
        match verdict {
            LinkVerdict::Next(_) | LinkVerdict::AfterGap(_) => {
                one.head = Some(link);
                one.heard = true;
                if let LinkBody::Renew(_) = signed.body() {
                    one.renewals.push(link);
                }
            }
            LinkVerdict::Late(_) => {
                one.ended = Some(Some(link));
                let reply = Some(Reply::Ended(start));
                return Taken {
                    reply,
                    recorded: false,
                };
            }
            _ => {}
        }
        Taken {
            reply: Some(Reply::Head(start, one.head)),
            recorded,
        }
    }

    fn keys(&self, endpoints: &Endpoints, start: Start) -> Vec<KeySpan> {
        let first = KeySpan {
            key: *endpoints.start(start).0.unverified().key(),
            since: endpoints.of(start).origin(),
        };
        let renewals = self.incarnations.get(&start).map(|one| &one.renewals);
        let renewed = renewals.into_iter().flatten().filter_map(|link| {
            let (signed, ..) = endpoints.link(*link);
            match signed.body() {
                LinkBody::Renew(keys) => Some(KeySpan {
                    key: keys.key,
                    since: signed.mark(),
                }),
                _ => None,
            }
        });
        [first].into_iter().chain(renewed).collect()
    }
}
