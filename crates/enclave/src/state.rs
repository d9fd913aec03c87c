//! The endpoint's keys and the lanes of its bundles.

use std::{collections::HashMap, sync::Arc};

use armour_dpop as dpop;
use armour_protocol::{
    Error, Suite,
    bundle::{BundleContext, BundleSecret},
    consumer::{IdleLane, Keyed as ProtocolKeyed, WaitingLane},
    crypto::Signer,
    envelope,
    message::{RequestHead, ResponseHead, sign_payload},
    producer::{AnsweringLane, ReadyLane, Standing},
    schedule::Transcript,
    ticket::TicketHash,
};
use ed25519_dalek::{SigningKey, VerifyingKey};
use rand::rand_core::UnwrapErr;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    binding::{Binding, LaneId},
    ipc::{Accepted, Call, Keyed, OneTimeKey, Reply, Signed},
};

/// The endpoint's long-term keys.
pub struct Keys {
    pub signing: SigningKey,
    pub kem_secret: Zeroizing<[u8; 32]>,
    pub kem_public: [u8; 32],
}

/// Everything that must not leave the enclave.
pub struct EnclaveState {
    keys: Keys,
    /// The signing key once more, ready for use.
    signer: Signer,
    bundles: HashMap<[u8; 16], Bundle>,
}

struct Bundle {
    context: Arc<BundleContext>,
    secret: BundleSecret,
    consumer: bool,
    lanes: HashMap<u32, Lane>,
}

enum Lane {
    Idle(IdleLane),
    Waiting(WaitingLane),
    Ready(ReadyLane),
    Answering(AnsweringLane),
}

/// The kernel's randomness, each time. A generator in this process would hold a state
/// from which whoever copies the enclave computes the ephemeral secrets that it drew
/// before, though they were erased.
#[expect(
    clippy::disallowed_types,
    reason = "the enclave keeps no generator's state"
)]
pub fn kernel_rng() -> UnwrapErr<rand::rngs::SysRng> {
    UnwrapErr(rand::rngs::SysRng)
}

/// Why a call failed, by its code.
struct Failed(&'static str);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error.code())
    }
}

impl EnclaveState {
    pub fn new(keys: Keys) -> Self {
        Self {
            signer: Signer::new(&keys.signing),
            keys,
            bundles: HashMap::new(),
        }
    }

    /// Answers a call. A failed one changes nothing.
    pub fn answer(&mut self, call: Call) -> Reply {
        match call {
            // The process itself answers that.
            Call::Hardening => Err(Failed("unexpected")),
            Call::Identity => Ok(Reply::Identity {
                signing_key: self.keys.signing.verifying_key().to_bytes(),
                kem_key: self.keys.kem_public,
            }),
            Call::Proof {
                jti,
                htm,
                htu,
                iat,
                ath,
                nonce,
            } => {
                let claims = dpop::Claims {
                    jti: Uuid::from_bytes(jti),
                    htm,
                    htu,
                    iat,
                    ath,
                    nonce,
                };
                dpop::sign(&self.keys.signing, &claims)
                    .map(Reply::Proof)
                    .map_err(|_| Failed("proof"))
            }
            Call::Install { binding, envelope } => self.install(&binding, &envelope),
            Call::Erase { bundle } => {
                self.bundles.remove(&bundle);
                Ok(Reply::Done)
            }
            Call::Begin { lane, content } => self.begin(lane, content),
            Call::Receive { lane, head } => self.receive(lane, &head),
            Call::Owns { lane, n, hash } => Ok(Reply::Owns(self.owns(lane, n, TicketHash(hash)))),
            Call::Accept { lane, head } => self.accept(lane, &head).map(Reply::Accepted),
            Call::Respond { lane, content } => self.respond(lane, content),
            Call::Sign { transcript, digest } => {
                Ok(Reply::Signature(self.sign(transcript, &digest)))
            }
            #[cfg(feature = "state-export")]
            Call::Export { bundle } => self.export(bundle).map(Reply::Stolen),
            #[cfg(feature = "state-export")]
            Call::Import { stolen } => self.import(&stolen),
        }
        .unwrap_or_else(|Failed(code)| Reply::Failed(code.to_owned()))
    }

    fn sign(&self, transcript: [u8; 32], digest: &[u8; 32]) -> Vec<u8> {
        sign_payload(&self.signer, &Transcript::from_bytes(transcript), digest).to_vec()
    }

    /// Adds the signature of content that is known.
    fn signed(&self, keyed: Keyed, content: Option<[u8; 32]>) -> Keyed {
        let signed = content.map(|content| Signed {
            content,
            signature: self.sign(keyed.transcript, &content),
        });
        Keyed { signed, ..keyed }
    }

    fn install(&mut self, binding: &Binding, sealed: &[u8]) -> Result<Reply, Failed> {
        let context = context_of(binding)?;
        let mine = self.keys.signing.verifying_key();
        let consumer = context.consumer_key == mine;
        if !consumer && context.producer_key != mine {
            return Err(Failed("not-ours"));
        }
        // Installed once: a second time would start its lanes over.
        if self.bundles.contains_key(&binding.bundle) {
            return Err(Failed("installed"));
        }
        let secret = envelope::open(&self.keys.kem_secret, &context, sealed)?;
        let bundle = Bundle {
            context: Arc::new(context),
            secret,
            consumer,
            lanes: HashMap::new(),
        };
        self.bundles.insert(binding.bundle, bundle);
        Ok(Reply::Done)
    }

    fn begin(&mut self, id: LaneId, content: Option<[u8; 32]>) -> Result<Reply, Failed> {
        let bundle = self
            .bundles
            .get_mut(&id.bundle)
            .ok_or(Failed("bundle-unknown"))?;
        if !bundle.consumer {
            return Err(Failed("not-ours"));
        }
        let lane = match bundle.lanes.remove(&id.lane) {
            None => IdleLane::new(bundle.context.clone(), &bundle.secret, id.lane),
            Some(Lane::Idle(lane)) => lane,
            Some(other) => {
                bundle.lanes.insert(id.lane, other);
                return Err(Failed("lane-busy"));
            }
        };
        let (waiting, keyed) = lane.begin(&self.signer, &mut kernel_rng())?;
        bundle.lanes.insert(id.lane, Lane::Waiting(waiting));
        let begun = hand_over(keyed.head.to_bytes(), &keyed);
        Ok(Reply::Keyed(self.signed(begun, content)))
    }

    fn receive(&mut self, id: LaneId, head: &[u8]) -> Result<Reply, Failed> {
        let head = ResponseHead::from_bytes(head)?;
        let bundle = self
            .bundles
            .get_mut(&id.bundle)
            .ok_or(Failed("bundle-unknown"))?;
        match bundle.lanes.remove(&id.lane) {
            Some(Lane::Waiting(waiting)) => match waiting.receive(head) {
                Ok((idle, keyed)) => {
                    bundle.lanes.insert(id.lane, Lane::Idle(idle));
                    Ok(Reply::Keyed(hand_over(keyed.head.to_bytes(), &keyed)))
                }
                Err((waiting, error)) => {
                    bundle.lanes.insert(id.lane, Lane::Waiting(*waiting));
                    Err(error.into())
                }
            },
            other => {
                bundle.lanes.extend(other.map(|lane| (id.lane, lane)));
                Err(Failed("unexpected"))
            }
        }
    }

    fn owns(&self, id: LaneId, n: u64, hash: TicketHash) -> bool {
        let lane = self
            .bundles
            .get(&id.bundle)
            .and_then(|bundle| bundle.lanes.get(&id.lane));
        match lane {
            Some(Lane::Idle(lane)) => lane.owns_head(n, hash),
            Some(Lane::Waiting(lane)) => lane.owns_head(n, hash),
            _ => false,
        }
    }

    fn accept(&mut self, id: LaneId, head: &[u8]) -> Result<Accepted, Failed> {
        let head = RequestHead::from_bytes(head)?;
        let bundle = self
            .bundles
            .get_mut(&id.bundle)
            .ok_or(Failed("bundle-unknown"))?;
        if bundle.consumer {
            return Err(Failed("not-ours"));
        }
        let (standing, lane) = match bundle.lanes.remove(&id.lane) {
            Some(Lane::Answering(lane)) => (lane.judge(&head.ticket), Err(Lane::Answering(lane))),
            Some(Lane::Ready(lane)) => (lane.judge(&head.ticket), Ok(lane)),
            _ => {
                let lane = ReadyLane::new(bundle.context.clone(), &bundle.secret, id.lane);
                (lane.judge(&head.ticket), Ok(lane))
            }
        };
        let (outcome, lane) = match (standing, lane) {
            (Ok(Standing::Next), Ok(ready)) => match ready.accept(head) {
                Ok((answering, keyed)) => {
                    let keyed = hand_over(keyed.head.to_bytes(), &keyed);
                    (Ok(Accepted::Next(keyed)), Lane::Answering(answering))
                }
                Err((ready, error)) => (Err(error.into()), Lane::Ready(*ready)),
            },
            (standing, lane) => {
                let outcome = match standing {
                    Ok(Standing::Repeat) => Ok(Accepted::Repeat),
                    Ok(Standing::Conflict { .. }) => Ok(Accepted::Conflict),
                    // The next one while its predecessor is unanswered, too.
                    Ok(Standing::Elsewhere { .. } | Standing::Next) => Ok(Accepted::Elsewhere),
                    Err(error) => Err(error.into()),
                };
                (outcome, lane.map_or_else(|lane| lane, Lane::Ready))
            }
        };
        // A lane that was never opened is no state worth keeping: whoever sends
        // garbage must not make the table grow.
        if !matches!(&lane, Lane::Ready(ready) if ready.next() == 0) {
            bundle.lanes.insert(id.lane, lane);
        }
        outcome
    }

    fn respond(&mut self, id: LaneId, content: Option<[u8; 32]>) -> Result<Reply, Failed> {
        let bundle = self
            .bundles
            .get_mut(&id.bundle)
            .ok_or(Failed("bundle-unknown"))?;
        match bundle.lanes.remove(&id.lane) {
            Some(Lane::Answering(answering)) => {
                let (ready, keyed) = answering.respond(&mut kernel_rng())?;
                bundle.lanes.insert(id.lane, Lane::Ready(ready));
                let begun = hand_over(keyed.head.to_bytes(), &keyed);
                Ok(Reply::Keyed(self.signed(begun, content)))
            }
            other => {
                bundle.lanes.extend(other.map(|lane| (id.lane, lane)));
                Err(Failed("unexpected"))
            }
        }
    }
}

#[cfg(feature = "state-export")]
impl EnclaveState {
    fn export(&self, id: [u8; 16]) -> Result<crate::stolen::Stolen, Failed> {
        let bundle = self.bundles.get(&id).ok_or(Failed("bundle-unknown"))?;
        let context = &bundle.context;
        // At its full size from the start: one that grows leaves copies behind.
        let mut lanes = Vec::with_capacity(bundle.lanes.len());
        lanes.extend(bundle.lanes.values().filter_map(|lane| match lane {
            Lane::Idle(lane) if lane.is_open() => Some(lane.steal()),
            _ => None,
        }));
        Ok(crate::stolen::Stolen {
            binding: Binding {
                suite: context.suite as u8,
                tenant: context.tenant,
                pair: context.pair,
                bundle: context.bundle,
                consumer: context.consumer,
                producer: context.producer,
                consumer_key: context.consumer_key.to_bytes(),
                producer_key: context.producer_key.to_bytes(),
            },
            signing: self.keys.signing.to_bytes(),
            kem_secret: *self.keys.kem_secret,
            kem_public: self.keys.kem_public,
            lanes,
        })
    }

    fn import(&mut self, stolen: &crate::stolen::Stolen) -> Result<Reply, Failed> {
        let context = Arc::new(context_of(&stolen.binding)?);
        self.keys = Keys {
            signing: SigningKey::from_bytes(&stolen.signing),
            kem_secret: Zeroizing::new(stolen.kem_secret),
            kem_public: stolen.kem_public,
        };
        self.signer = Signer::new(&self.keys.signing);
        let mut lanes = HashMap::new();
        for lane in &stolen.lanes {
            let idle = IdleLane::from_stolen(context.clone(), lane)?;
            lanes.insert(lane.lane, Lane::Idle(idle));
        }
        let bundle = Bundle {
            context,
            // A thief of idle lanes has them alone.
            secret: BundleSecret::from_bytes([0; 32]),
            consumer: true,
            lanes,
        };
        self.bundles.insert(stolen.binding.bundle, bundle);
        Ok(Reply::Done)
    }
}

fn context_of(binding: &Binding) -> Result<BundleContext, Failed> {
    let key = |bytes| VerifyingKey::from_bytes(bytes).map_err(|_| Failed("malformed"));
    Ok(BundleContext {
        suite: Suite::from_u8(binding.suite)?,
        tenant: binding.tenant,
        pair: binding.pair,
        bundle: binding.bundle,
        consumer: binding.consumer,
        producer: binding.producer,
        consumer_key: key(&binding.consumer_key)?,
        producer_key: key(&binding.producer_key)?,
    })
}

fn hand_over<H>(head: Vec<u8>, keyed: &ProtocolKeyed<H>) -> Keyed {
    Keyed {
        head,
        key: OneTimeKey(Zeroizing::new(*keyed.key.as_bytes())),
        transcript: *keyed.transcript.as_bytes(),
        signed: None,
    }
}
