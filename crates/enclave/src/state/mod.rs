//! Everything that must not leave the enclave: the endpoint's keys and the lanes of its
//! bundles.

mod bound;
mod bundles;
mod consumer;
mod end;
mod failed;
mod identity;
mod peers;
mod producer;
mod random;
mod rekeying;
#[cfg(feature = "state-export")]
mod stolen;
#[cfg(test)]
mod tests;
mod wall_clock;

use armour_ambient::BootClock;
use armour_protocol::v2::{
    identity::{
        body::{Intrusion, LinkKind},
        certificate::UnixTime,
    },
    time::{LocalTime, ProducerTime},
};

use self::{bundles::Bundles, failed::Failed, identity::Identity, wall_clock::WallClock};
use crate::{
    clock,
    error::INTRUDED,
    ipc::{Call, Reply},
    pins::Pins,
};

pub(crate) use self::{identity::Keys, random::kernel_rng};

/// The enclave's state.
pub(crate) struct EnclaveState {
    identity: Identity,
    bundles: Bundles,
    clock: Clock,
    wall: WallClock,
    /// What was wrong at the door, first.
    intrusion: Option<Intrusion>,
}

/// One clock, as either end tells it.
struct Clock {
    boot: BootClock,
    started_ms: u64,
}

impl Clock {
    fn local(&self) -> LocalTime {
        LocalTime(self.boot.now_ms())
    }

    fn producer(&self) -> ProducerTime {
        clock::since(self.started_ms, self.boot.now_ms())
    }
}

impl EnclaveState {
    /// An endpoint that has not started yet. `started` is what the time was.
    pub(crate) fn new(
        keys: Keys,
        pins: impl Into<Pins>,
        clock: BootClock,
        started: UnixTime,
    ) -> Self {
        Self {
            wall: WallClock::new(started, clock.now_ms()),
            identity: Identity::new(keys),
            bundles: Bundles::new(pins.into()),
            clock: Clock {
                started_ms: clock.now_ms(),
                boot: clock,
            },
            intrusion: None,
        }
    }

    /// The zero of a producer's clock, in milliseconds of CLOCK_BOOTTIME.
    pub(crate) fn started_ms(&self) -> u64 {
        self.clock.started_ms
    }

    /// Something was wrong at the door: nothing that opens or seals is left.
    pub(crate) fn intruded(&mut self, what: Intrusion) {
        self.intrusion.get_or_insert(what);
        self.bundles.wipe();
    }

    /// Whether something was wrong at the door.
    pub(crate) fn is_intruded(&self) -> bool {
        self.intrusion.is_some()
    }

    /// Answers a call. A failed one changes nothing.
    pub(crate) fn answer(&mut self, call: Call) -> Reply {
        self.judge(call)
            .and_then(|call| self.reply(call))
            .unwrap_or_else(|Failed(code)| Reply::Failed(code.to_owned()))
    }

    /// After an intrusion: lets in only what tells the control plane of it.
    fn judge(&self, call: Call) -> Result<Call, Failed> {
        let Some(what) = self.intrusion else {
            return Ok(call);
        };
        match call {
            Call::Link { kind, .. } if kind == LinkKind::EnclaveIntruder as u8 => Ok(Call::Link {
                kind,
                // What was found here, whatever the proxy thinks.
                body: vec![what as u8],
            }),
            Call::Link { kind, ref body } if self.identity.is_in_flight(kind, body) => Ok(call),
            Call::LinkAnswered { .. } | Call::Proof { .. } => Ok(call),
            _ => Err(Failed(INTRUDED)),
        }
    }

    fn reply(&mut self, call: Call) -> Result<Reply, Failed> {
        let (identity, bundles, clock) = (&mut self.identity, &mut self.bundles, &self.clock);
        let wall = &mut self.wall;
        Ok(match call {
            // The process itself answers that.
            Call::Hardening => return Err(Failed("unexpected")),
            Call::Identity => identity.public(),
            Call::BeginStart { endpoint, record } => {
                Reply::Bytes(identity.begin(endpoint, record.as_deref())?)
            }
            Call::StartKept => Reply::Bytes(identity.kept()?),
            Call::StartAccepted => Reply::Bytes(identity.accepted()?),
            Call::Present { other } => Reply::Bytes(identity.present(other)?),
            Call::Link { kind, body } => Reply::Bytes(identity.link(kind, &body)?),
            Call::Renew => Reply::Bytes(identity.renew()?),
            Call::LinkAnswered { k, hash } => {
                Reply::Chain(identity.answered(k, hash, clock.local().0)?)
            }
            Call::DisownHead => Reply::Bytes(identity.disown()?),
            Call::Proof {
                jti,
                htm,
                htu,
                iat,
                ath,
                nonce,
            } => Reply::Proof(identity.prove(armour_dpop::Claims {
                jti: uuid::Uuid::from_bytes(jti),
                htm,
                htu,
                iat,
                ath,
                nonce,
            })?),
            Call::KnownPeers { peers, pairs } => done(bundles.known_peers(&peers, &pairs)?),
            Call::LogHead { head } => {
                let now = clock.local();
                wall.saw_log_head(&head, now.0);
                done(bundles.log_head(head)?)
            }
            Call::Install(install) => {
                let now = wall.at_least(install.now, clock.local().0)?;
                Reply::Installed(bundles.install(&install, identity, now)?)
            }
            Call::End { bundle } => {
                bundles.end(&bundle)?;
                identity.forget_unused(clock.local().0);
                Reply::Done
            }
            Call::Erase { bundle } => {
                bundles.erase(&bundle);
                identity.forget_unused(clock.local().0);
                Reply::Done
            }
            Call::Retire { bundle } => Reply::Marks(bundles.retire(&bundle)?),
            Call::Owns { lane, n, k, hash } => Reply::Is(bundles.owns(lane, n, k, hash)?),
            Call::Open { bundle, replaces } => {
                let (lane, head) = bundles.open(&bundle, replaces)?;
                Reply::Opened { lane, head }
            }
            Call::Begin { lane, claim, by_ms } => {
                let consumer = bundles.consumer(&lane.bundle)?;
                Reply::Begun(consumer.begin(lane.lane, &claim, clock.local(), by_ms)?)
            }
            Call::Refresh { lane } => {
                let consumer = bundles.consumer(&lane.bundle)?;
                Reply::Bytes(consumer.refresh(lane.lane, clock.local())?)
            }
            Call::Close { lane } => {
                let consumer = bundles.consumer(&lane.bundle)?;
                Reply::Bytes(consumer.close(lane.lane, clock.local())?)
            }
            Call::Receive { lane, head } => {
                let consumer = bundles.consumer(&lane.bundle)?;
                Reply::Received(consumer.receive(lane.lane, &head, clock.local())?)
            }
            Call::IsPast { lane } => {
                let consumer = bundles.consumer(&lane.bundle)?;
                Reply::Is(consumer.is_past(lane.lane, clock.local())?)
            }
            Call::LastReceipt { lane } => {
                let consumer = bundles.consumer(&lane.bundle)?;
                Reply::Bytes(consumer.last_receipt(lane.lane)?)
            }
            Call::LastSubReceipt { lane, n, k } => {
                let consumer = bundles.consumer(&lane.bundle)?;
                Reply::Bytes(consumer.last_sub_receipt(lane.lane, (n, k))?)
            }
            Call::GiveUp { lane } => done(bundles.give_up(lane)?),
            Call::Accept { lane, head } => {
                Reply::Accepted(bundles.accept(lane, &head, clock.producer())?)
            }
            Call::PutOff {
                lane,
                head,
                reason,
                after_ms,
            } => {
                let producer = bundles.producer(&lane.bundle)?;
                Reply::Bytes(producer.put_off(lane.lane, &head, reason, after_ms)?)
            }
            Call::Conclude { lane, conclusion } => {
                let producer = bundles.producer(&lane.bundle)?;
                Reply::Concluded(producer.conclude(lane.lane, &conclusion, clock.producer())?)
            }
            Call::Checkpoint { lane, claim } => Reply::Bytes(bundles.checkpoint(lane, &claim)?),
            Call::Finish { lane, last } => done(bundles.finish(lane, last.as_deref())?),
            Call::SubTicket { lane, peer } => {
                let consumer = bundles.consumer(&lane.bundle)?;
                Reply::Bytes(consumer.sub_ticket(lane.lane, &peer)?)
            }
            Call::SubReceipt { lane, head } => {
                let consumer = bundles.consumer(&lane.bundle)?;
                Reply::SubReceived(consumer.sub_receipt(lane.lane, &head)?)
            }
            Call::AnswerSub { lane, head, peer } => {
                let producer = bundles.producer(&lane.bundle)?;
                Reply::SubAccepted(producer.answer_sub(lane.lane, &head, &peer)?)
            }
            #[cfg(feature = "state-export")]
            Call::Export { bundle } => {
                Reply::Stolen(Box::new(stolen::export(identity, bundles, &bundle)?))
            }
            #[cfg(feature = "state-export")]
            Call::Import { stolen } => done(stolen::import(identity, bundles, &stolen)?),
        })
    }
}

fn done((): ()) -> Reply {
    Reply::Done
}
