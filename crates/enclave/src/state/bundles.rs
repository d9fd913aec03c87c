//! Installed bundles.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use armour_protocol::v2::{
    body::BodyHash,
    enclave::{LaneMark, LaneMarks, consumer, producer},
    envelope,
    identity::certificate::{Role, UnixTime},
    message::MAX_LOG_HEAD,
    time::ProducerTime,
};
use zeroize::Zeroizing;

use super::{
    bound::Bound, consumer::Consumer, failed::Failed, identity::Identity, peers::Peers,
    producer::Producer,
};
use crate::{
    binding::LaneId,
    ipc::{Accepted, Install, Installed, Mark},
    pins::Pins,
};

pub(super) struct Bundles {
    peers: Peers,
    /// The log's head that is pinned.
    log_head: Vec<u8>,
    installed: HashMap<[u8; 16], Bundle>,
    /// The last draw of each consumer endpoint and pair.
    draws: HashMap<([u8; 16], [u8; 16]), u64>,
}

/// A bundle at one of its ends.
pub(super) enum Bundle {
    Consumer(Consumer),
    Producer(Producer),
    /// It has ended; how far each of its lanes came.
    Ended(BTreeMap<u16, LaneMarks>),
}

impl Bundles {
    pub(super) fn new(pins: Pins) -> Self {
        Self {
            peers: Peers::new(pins),
            log_head: Vec::new(),
            installed: HashMap::new(),
            draws: HashMap::new(),
        }
    }

    pub(super) fn known_peers(
        &mut self,
        peers: &[Vec<u8>],
        pairs: &[Vec<u8>],
    ) -> Result<(), Failed> {
        self.peers.remember(peers, pairs)
    }

    pub(super) fn log_head(&mut self, head: Vec<u8>) -> Result<(), Failed> {
        if head.len() > MAX_LOG_HEAD {
            return Err(Failed("log-head"));
        }
        self.log_head = head;
        Ok(())
    }

    /// Installs a bundle once all of it is verified.
    pub(super) fn install(
        &mut self,
        install: &Install,
        identity: &Identity,
        now: UnixTime,
    ) -> Result<Installed, Failed> {
        let context = Arc::new(install.binding.context()?);
        let binding = context.binding();
        let (own, peer, role) = match install.consumer {
            true => (&binding.consumer, &binding.producer, Role::Producer),
            false => (&binding.producer, &binding.consumer, Role::Consumer),
        };
        if install.max_lanes == 0 || own.endpoint == peer.endpoint {
            return Err(Failed("malformed"));
        }
        let (signer, hpke_secret) = identity.keys_of(&own.endpoint, &own.key)?;
        // Installed once: a second time would start its lanes over. The draw outlives the
        // bundle's erasure.
        if self.installed.contains_key(&binding.bundle) {
            return Err(Failed("installed"));
        }
        let draw = (binding.consumer.endpoint, binding.pair);
        if self.draws.get(&draw) >= Some(&binding.draw) {
            return Err(Failed("draw-over"));
        }
        let verified = self.peers.verify(binding, peer, role, &install.peer, now)?;
        let secret = envelope::open(hpke_secret, &context, &install.envelope)
            .map_err(|_| Failed("envelope"))?;
        let bound = Bound::new(context.clone(), signer);
        let (bundle, gate) = match install.consumer {
            true => {
                let lanes = consumer::Lanes::new(context.clone(), secret, install.max_lanes);
                let gate = lanes.gate();
                (Bundle::Consumer(Consumer::new(bound, lanes)), gate)
            }
            false => {
                let lanes = producer::Lanes::new(context.clone(), secret, install.max_lanes);
                let gate = lanes.gate();
                (Bundle::Producer(Producer::new(bound, lanes)), gate)
            }
        };
        self.draws.insert(draw, binding.draw);
        self.installed.insert(binding.bundle, bundle);
        let pinned = verified.pinned;
        let (peer, pair) = self.peers.keep(verified);
        Ok(Installed {
            gate: Zeroizing::new(*gate.as_bytes()),
            context: *context.hash(),
            pinned,
            peer,
            pair,
        })
    }

    /// Nothing that opens or seals is left.
    pub(super) fn wipe(&mut self) {
        self.installed.clear();
    }

    /// Nothing opens or seals in the bundle any more; how far its lanes came is kept.
    pub(super) fn end(&mut self, bundle: &[u8; 16]) -> Result<(), Failed> {
        let bundle = found(self.installed.get_mut(bundle))?;
        let marks = bundle
            .marks()
            .into_iter()
            .map(|marks| (marks.mark.lane, marks));
        *bundle = Bundle::Ended(marks.collect());
        Ok(())
    }

    pub(super) fn erase(&mut self, bundle: &[u8; 16]) {
        self.installed.remove(bundle);
    }

    /// Has nothing more of a bundle signed. How far each lane came, ascending, which is
    /// final.
    pub(super) fn retire(&mut self, bundle: &[u8; 16]) -> Result<Vec<Mark>, Failed> {
        match found(self.installed.get_mut(bundle))? {
            Bundle::Consumer(consumer) => consumer.retire(),
            Bundle::Producer(producer) => producer.retire(),
            Bundle::Ended(_) => {}
        }
        self.marks(bundle)
    }

    /// How far each lane came, ascending; those of one lane one directly behind the other.
    pub(super) fn marks(&self, bundle: &[u8; 16]) -> Result<Vec<Mark>, Failed> {
        let mut marks = self.find(bundle)?.marks();
        marks.sort_unstable_by_key(|marks| marks.mark.lane);
        let marks = marks.into_iter().flat_map(LaneMarks::iter);
        let marks = marks.map(|LaneMark { lane, n, k, hash }| Mark {
            lane,
            n,
            k,
            hash: hash.0,
        });
        Ok(marks.collect())
    }

    /// Whether the ledger's head of a lane is this end's own work. A lane that was never
    /// opened here has none.
    pub(super) fn owns(&self, id: LaneId, n: u64, k: u32, hash: [u8; 32]) -> Result<bool, Failed> {
        let marks = self.find(&id.bundle)?.marks_of(id.lane);
        let head = LaneMark {
            lane: id.lane,
            n,
            k,
            hash: BodyHash(hash),
        };
        Ok(marks.is_some_and(|marks| marks.own(&head)))
    }

    pub(super) fn open(
        &mut self,
        bundle: &[u8; 16],
        replaces: Option<u16>,
    ) -> Result<(u16, Vec<u8>), Failed> {
        match found(self.installed.get_mut(bundle))? {
            Bundle::Consumer(consumer) => consumer.open(&self.log_head, replaces),
            Bundle::Producer(_) => Err(NOT_OURS),
            Bundle::Ended(_) => Err(ENDED),
        }
    }

    pub(super) fn accept(
        &mut self,
        id: LaneId,
        head: &[u8],
        now: ProducerTime,
    ) -> Result<Accepted, Failed> {
        match found(self.installed.get_mut(&id.bundle))? {
            Bundle::Consumer(_) => Err(NOT_OURS),
            Bundle::Producer(producer) => producer.accept(id.lane, head, &self.log_head, now),
            Bundle::Ended(_) => Err(ENDED),
        }
    }

    pub(super) fn give_up(&mut self, id: LaneId) -> Result<(), Failed> {
        match found(self.installed.get_mut(&id.bundle))? {
            Bundle::Consumer(consumer) => consumer.give_up(id.lane),
            Bundle::Producer(producer) => producer.give_up(id.lane),
            Bundle::Ended(_) => Err(ENDED),
        }
    }

    pub(super) fn checkpoint(&mut self, id: LaneId, claim: &[u8]) -> Result<Vec<u8>, Failed> {
        match found(self.installed.get_mut(&id.bundle))? {
            Bundle::Consumer(consumer) => consumer.checkpoint(id.lane, claim),
            Bundle::Producer(producer) => producer.checkpoint(id.lane, claim),
            Bundle::Ended(_) => Err(ENDED),
        }
    }

    pub(super) fn finish(&mut self, id: LaneId, last: Option<&[u8]>) -> Result<(), Failed> {
        match found(self.installed.get_mut(&id.bundle))? {
            Bundle::Consumer(consumer) => consumer.finish(id.lane, last),
            Bundle::Producer(producer) => producer.finish(id.lane, last),
            Bundle::Ended(_) => Err(ENDED),
        }
    }

    pub(super) fn consumer(&mut self, bundle: &[u8; 16]) -> Result<&mut Consumer, Failed> {
        match found(self.installed.get_mut(bundle))? {
            Bundle::Consumer(consumer) => Ok(consumer),
            Bundle::Producer(_) => Err(NOT_OURS),
            Bundle::Ended(_) => Err(ENDED),
        }
    }

    pub(super) fn producer(&mut self, bundle: &[u8; 16]) -> Result<&mut Producer, Failed> {
        match found(self.installed.get_mut(bundle))? {
            Bundle::Producer(producer) => Ok(producer),
            Bundle::Consumer(_) => Err(NOT_OURS),
            Bundle::Ended(_) => Err(ENDED),
        }
    }

    pub(super) fn find(&self, bundle: &[u8; 16]) -> Result<&Bundle, Failed> {
        found(self.installed.get(bundle))
    }

    /// Takes a bundle that was not installed but copied.
    #[cfg(feature = "state-export")]
    pub(super) fn adopt(&mut self, bundle: [u8; 16], adopted: Bundle) {
        self.installed.insert(bundle, adopted);
    }
}

impl Bundle {
    /// How far each lane came, in no order.
    fn marks(&self) -> Vec<LaneMarks> {
        match self {
            Self::Consumer(consumer) => consumer.marks(),
            Self::Producer(producer) => producer.marks(),
            Self::Ended(marks) => marks.values().copied().collect(),
        }
    }

    fn marks_of(&self, lane: u16) -> Option<LaneMarks> {
        match self {
            Self::Consumer(consumer) => consumer.marks_of(lane),
            Self::Producer(producer) => producer.marks_of(lane),
            Self::Ended(marks) => marks.get(&lane).copied(),
        }
    }
}

const NOT_OURS: Failed = Failed("not-ours");
pub(super) const ENDED: Failed = Failed("bundle-ended");

fn found<T>(bundle: Option<T>) -> Result<T, Failed> {
    bundle.ok_or(Failed("bundle-unknown"))
}
