//! A control plane in memory: it decides by the core's functions alone, and keeps what they
//! need. All that reaches it has passed through bytes.

use std::collections::HashMap;

use armour_protocol::v2::identity::{
    IdentityError,
    body::LinkBody,
    judge::{
        Asked, Current, Dispute, KeySpan, LinkCollision, LinkFacts, LinkVerdict, STREAM_MS,
        StartCollision, StartFacts, StartVerdict, judge_link, judge_start,
    },
    link::SignedLink,
    mark::{Incarnated, LinkHash, LinkMark},
    start::{SignedStart, Start, StartHash},
};
use ed25519_dalek::{SigningKey, VerifyingKey};

pub const ENDPOINT: [u8; 16] = [1; 16];

pub fn long_term() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

#[derive(Clone)]
pub struct ControlPlane {
    key: VerifyingKey,
    recorded: Vec<Start>,
    incarnations: HashMap<StartHash, Incarnation>,
    pub current: Option<StartHash>,
    pub asked: Option<Asked>,
    pub dispute: Option<Dispute>,
    pub fenced: bool,
}

#[derive(Clone)]
struct Incarnation {
    of: Incarnated,
    head: LinkMark,
    keys: Vec<KeySpan>,
    ended: Option<Option<LinkHash>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Start(StartCollision),
    Link(LinkCollision),
}

/// What a link gets back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkReply {
    Head(LinkMark),
    Ended,
    /// No such start is recorded: it is to be sent again.
    Unknown,
}

impl ControlPlane {
    pub fn new() -> Self {
        Self {
            key: long_term().verifying_key(),
            recorded: Vec::new(),
            incarnations: HashMap::new(),
            current: None,
            asked: None,
            dispute: None,
            fenced: false,
        }
    }

    /// Takes a start, and does what is decided of it.
    pub fn start(&mut self, bytes: &[u8]) -> Result<StartVerdict, Found> {
        let start = SignedStart::from_bytes(bytes).unwrap();
        let current = self.current.map(|hash| &self.incarnations[&hash]);
        let facts = StartFacts {
            endpoint: ENDPOINT,
            long_term: &self.key,
            recorded: &self.recorded,
            declined: &[],
            current: current.map(|one| Current {
                of: one.of,
                key: &one.keys.last().unwrap().key,
                touched: Some(STREAM_MS),
            }),
            asked: self.asked,
            dispute: self.dispute,
            fenced: self.fenced,
        };
        let verdict = judge_start(&start, &facts).unwrap();
        match verdict {
            StartVerdict::Collision(which) => return Err(Found::Start(which)),
            StartVerdict::Accept { ends } => {
                if let Some(one) = ends.and_then(|ended| self.incarnations.get_mut(&ended)) {
                    one.ended = Some(None);
                }
                self.accept(start.unverified());
            }
            _ => {}
        }
        Ok(verdict)
    }

    fn accept(&mut self, start: &Start) {
        let of = Incarnated::by(start);
        self.recorded.push(start.clone());
        self.recorded.sort_by_key(Start::counter);
        self.current = Some(of.start);
        self.asked = None;
        let span = KeySpan {
            key: *start.key(),
            since: of.origin(),
        };
        let incarnation = Incarnation {
            of,
            head: of.origin(),
            keys: vec![span],
            ended: None,
        };
        self.incarnations.insert(of.start, incarnation);
    }

    /// Takes a link; what comes back besides the reply is the verdict, if there was one.
    pub fn link(&mut self, bytes: &[u8]) -> Result<(LinkReply, Option<LinkVerdict>), Found> {
        let link = SignedLink::from_bytes(bytes).unwrap();
        let start = link.head().of().start;
        let Some(one) = self.incarnations.get_mut(&start) else {
            return Ok((LinkReply::Unknown, None));
        };
        let facts = LinkFacts {
            of: one.of,
            head: one.head,
            keys: &one.keys,
            fenced: self.fenced,
            ended: one.ended,
        };
        let verdict = match judge_link(&link, &facts) {
            Ok(LinkVerdict::Collision(which)) => return Err(Found::Link(which)),
            Ok(verdict) => verdict,
            Err(IdentityError::Signature) if self.fenced => {
                return Ok((LinkReply::Head(one.head), None));
            }
            Err(error) => panic!("it is an honest link: {error}"),
        };
        match verdict {
            LinkVerdict::Next(mark) | LinkVerdict::AfterGap(mark) => {
                one.head = mark;
                if let LinkBody::Renew(keys) = link.body() {
                    one.keys.push(KeySpan {
                        key: keys.key,
                        since: mark,
                    });
                }
                if matches!(link.body(), LinkBody::Retire(retired) if retired.leaving) {
                    one.ended = Some(None);
                    self.current = self.current.filter(|current| *current != start);
                }
            }
            LinkVerdict::Late(hash) => {
                one.ended = Some(Some(hash));
                return Ok((LinkReply::Ended, Some(verdict)));
            }
            _ => {}
        }
        Ok((LinkReply::Head(one.head), Some(verdict)))
    }
}
