//! Whom the enclave signs for: the long-term key until the start is signed, then the
//! incarnation, with its one chain of links.

use std::{mem, sync::Arc};

use armour_dpop::{self as dpop, Claims};
use armour_protocol::{
    crypto::{Sign, Signer},
    v2::identity::{
        body::{LinkBody, LinkKind},
        chain::{Answered, Chain, Foreign, HeadStanding, InFlight},
        incarnation::Incarnation,
        keep::Keep,
        mark::{LinkHash, LinkMark},
        start::StartHash,
        starting::{StartRecord, Started, Starting},
    },
};
use ed25519_dalek::{SigningKey, VerifyingKey};

use super::{failed::Failed, random::kernel_rng};
use crate::ipc::{ChainState, Reply};

/// The endpoint's long-term keys.
pub(crate) struct Keys {
    pub(crate) signing: Box<SigningKey>,
    /// X25519, public.
    pub(crate) kem_key: [u8; 32],
}

pub(super) struct Identity {
    signing_key: [u8; 32],
    kem_key: [u8; 32],
    phase: Phase,
}

/// How far the start is. What signs moves on the heap, so that no copy is left.
enum Phase {
    LongTerm(Box<SigningKey>),
    /// Signed; the record that counts it is not kept yet.
    Begun(Box<Keep<Starting>>),
    Starting(Box<Starting>),
    Running(Box<Running>),
    /// Between two phases.
    Moving,
}

pub(super) struct Running {
    pub(super) incarnation: Incarnation,
    chain: Links,
    /// When the keys were renewed last, in milliseconds of CLOCK_BOOTTIME.
    renewed_ms: u64,
}

/// How long a key is kept after its renewal at least, in milliseconds: a bundle that names it
/// may have been minted and be on its way.
const KEPT_MS: u64 = 600_000;

enum Links {
    Ready(Chain),
    InFlight(Box<InFlight>),
    Foreign(Foreign),
    /// Between two states.
    Moving,
}

/// The long-term key, which signs once and is not moved.
struct LongTerm<'a>(&'a SigningKey);

impl Sign for LongTerm<'_> {
    fn signature(&self, message: &[u8]) -> [u8; 64] {
        self.0.signature(message)
    }
}

impl Identity {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            signing_key: keys.signing.verifying_key().to_bytes(),
            kem_key: keys.kem_key,
            phase: Phase::LongTerm(keys.signing),
        }
    }

    pub(super) fn public(&self) -> Reply {
        Reply::Identity {
            signing_key: self.signing_key,
            kem_key: self.kem_key,
        }
    }

    /// Signs the start, and forgets the long-term key. The same record again until it is
    /// said to be kept.
    pub(super) fn begin(
        &mut self,
        endpoint: [u8; 16],
        record: Option<&[u8]>,
    ) -> Result<Vec<u8>, Failed> {
        let key = match &self.phase {
            Phase::LongTerm(key) => key,
            Phase::Begun(made) => return Ok(made.bytes().to_vec()),
            _ => return Err(Failed("started")),
        };
        let record = match record {
            Some(record) => StartRecord::from_bytes(record)?,
            None => StartRecord::new(endpoint),
        };
        if *record.endpoint() != endpoint {
            return Err(Failed("subject"));
        }
        let made = record.begin(LongTerm(key), &mut kernel_rng())?;
        let bytes = made.bytes().to_vec();
        self.phase = Phase::Begun(Box::new(made));
        Ok(bytes)
    }

    pub(super) fn kept(&mut self) -> Result<Vec<u8>, Failed> {
        self.phase = match mem::replace(&mut self.phase, Phase::Moving) {
            Phase::Begun(made) => Phase::Starting(Box::new(made.kept())),
            other => other,
        };
        match &self.phase {
            Phase::Starting(starting) => Ok(starting.start().to_bytes()),
            _ => Err(Failed("unexpected")),
        }
    }

    pub(super) fn accepted(&mut self) -> Result<Vec<u8>, Failed> {
        match mem::replace(&mut self.phase, Phase::Moving) {
            Phase::Starting(starting) => {
                let Started {
                    incarnation,
                    chain,
                    record,
                } = starting.accepted();
                self.phase = Phase::Running(Box::new(Running {
                    incarnation,
                    chain: Links::Ready(chain),
                    renewed_ms: 0,
                }));
                Ok(record.to_bytes())
            }
            other => {
                self.phase = other;
                Err(Failed("unexpected"))
            }
        }
    }

    pub(super) fn present(&self, other: [u8; 32]) -> Result<Vec<u8>, Failed> {
        let presence = self.running()?.incarnation.present(StartHash(other));
        let presence = presence.ok_or(Failed("subject"))?;
        Ok(presence.to_bytes().to_vec())
    }

    /// A DPoP proof: by the long-term key before the start, which enrols; then by the
    /// incarnation's current key.
    pub(super) fn prove(&self, claims: Claims) -> Result<String, Failed> {
        let proof = match &self.phase {
            Phase::LongTerm(key) => dpop::sign(key, &claims),
            _ => {
                let incarnation = &self.running()?.incarnation;
                let key = &incarnation.keys().key;
                let signer = incarnation.signer(key).ok_or(Failed("proof"))?;
                dpop::sign_with(key, &claims, |message| signer.signature(message))
            }
        };
        proof.map_err(|_| Failed("proof"))
    }

    /// What this incarnation signs with and opens with, in bundles that name this key.
    pub(super) fn keys_of(
        &self,
        endpoint: &[u8; 16],
        key: &VerifyingKey,
    ) -> Result<(Arc<Signer>, &[u8; 32]), Failed> {
        let incarnation = &self.running()?.incarnation;
        let ours = incarnation.start().unverified().endpoint() == endpoint;
        let (Some(signer), Some(hpke), true) =
            (incarnation.signer(key), incarnation.hpke_secret(key), ours)
        else {
            return Err(Failed("not-ours"));
        };
        Ok((signer.clone(), hpke))
    }

    /// Signs the next link; the same bytes if it is in flight.
    pub(super) fn link(&mut self, kind: u8, body: &[u8]) -> Result<Vec<u8>, Failed> {
        if self.is_in_flight(kind, body) {
            return self.running()?.chain.in_flight();
        }
        let body = LinkBody::from_bytes(LinkKind::from_u8(kind)?, body)?;
        self.running_mut()?.sign(|chain, by| chain.link(body, by))
    }

    pub(super) fn renew(&mut self) -> Result<Vec<u8>, Failed> {
        let running = self.running_mut()?;
        if let Links::InFlight(link) = &running.chain
            && link.link().head().kind() == LinkKind::Renew
        {
            return running.chain.in_flight();
        }
        running.sign(|chain, by| chain.renew(by, &mut kernel_rng()))
    }

    /// Whether the link in flight is this one.
    pub(super) fn is_in_flight(&self, kind: u8, body: &[u8]) -> bool {
        let Phase::Running(running) = &self.phase else {
            return false;
        };
        match &running.chain {
            Links::InFlight(link) => {
                let link = link.link();
                link.head().kind() as u8 == kind && link.body().to_bytes() == body
            }
            _ => false,
        }
    }

    /// A bundle has ended: forgets renewed keys that no other one names.
    pub(super) fn forget_unused(&mut self, now_ms: u64) {
        if let Phase::Running(running) = &mut self.phase
            && now_ms.saturating_sub(running.renewed_ms) >= KEPT_MS
        {
            running.incarnation.forget_unused();
        }
    }

    /// Takes the head that the control plane answered with, at this time.
    pub(super) fn answered(
        &mut self,
        k: u64,
        hash: [u8; 32],
        now_ms: u64,
    ) -> Result<ChainState, Failed> {
        let head = LinkMark {
            k,
            hash: LinkHash(hash),
        };
        let Running {
            incarnation,
            chain,
            renewed_ms,
        } = self.running_mut()?;
        let before = incarnation.keys().key;
        let (next, state) = match mem::replace(chain, Links::Moving) {
            Links::InFlight(link) => match link.answered(&head, incarnation) {
                Answered::Taken(chain) => (Links::Ready(chain), Ok(ChainState::Taken)),
                Answered::Waiting(link) => (Links::InFlight(link), Ok(ChainState::Waiting)),
                Answered::Foreign(found) => (Links::Foreign(found), Ok(ChainState::Foreign)),
            },
            Links::Ready(chain) => {
                let state = match chain.standing(&head) {
                    HeadStanding::Own | HeadStanding::Earlier => Ok(ChainState::Taken),
                    // The answer to the next link leads to its disowning.
                    HeadStanding::Foreign => Err(Failed("unexpected")),
                };
                (Links::Ready(chain), state)
            }
            Links::Foreign(found) => (Links::Foreign(found), Ok(ChainState::Foreign)),
            Links::Moving => (Links::Moving, Err(Failed("unexpected"))),
        };
        *chain = next;
        if incarnation.keys().key != before {
            *renewed_ms = now_ms;
        }
        state
    }

    /// Signs that the head is not ours; the same bytes if that is in flight.
    pub(super) fn disown(&mut self) -> Result<Vec<u8>, Failed> {
        let Running {
            incarnation, chain, ..
        } = self.running_mut()?;
        match mem::replace(chain, Links::Moving) {
            Links::Foreign(found) => match found.disown(incarnation) {
                Ok(link) => *chain = Links::InFlight(Box::new(link)),
                Err((back, error)) => {
                    *chain = Links::Ready(*back);
                    return Err(error.into());
                }
            },
            other => *chain = other,
        }
        match chain {
            Links::InFlight(link) if link.link().head().kind() == LinkKind::Disown => {
                chain.in_flight()
            }
            _ => Err(Failed("unexpected")),
        }
    }

    pub(super) fn running(&self) -> Result<&Running, Failed> {
        match &self.phase {
            Phase::Running(running) => Ok(running),
            _ => Err(Failed("not-started")),
        }
    }

    fn running_mut(&mut self) -> Result<&mut Running, Failed> {
        match &mut self.phase {
            Phase::Running(running) => Ok(running),
            _ => Err(Failed("not-started")),
        }
    }
}

impl Running {
    /// Signs a link, if none is in flight.
    fn sign<E: Into<Failed>>(
        &mut self,
        sign: impl FnOnce(Chain, &Incarnation) -> Result<InFlight, (Box<Chain>, E)>,
    ) -> Result<Vec<u8>, Failed> {
        let (next, failed) = match mem::replace(&mut self.chain, Links::Moving) {
            Links::Ready(chain) => match sign(chain, &self.incarnation) {
                Ok(link) => (Links::InFlight(Box::new(link)), None),
                Err((chain, error)) => (Links::Ready(*chain), Some(error.into())),
            },
            other @ Links::InFlight(_) => (other, Some(Failed("link-in-flight"))),
            other => (other, Some(Failed("head-foreign"))),
        };
        self.chain = next;
        match failed {
            Some(failed) => Err(failed),
            None => self.chain.in_flight(),
        }
    }
}

impl Links {
    fn in_flight(&self) -> Result<Vec<u8>, Failed> {
        match self {
            Self::InFlight(link) => Ok(link.link().to_bytes()),
            _ => Err(Failed("unexpected")),
        }
    }
}

/// Copies of an incarnation, for the demonstration of a theft.
#[cfg(feature = "state-export")]
mod stolen {
    use zeroize::Zeroizing;

    use super::*;

    impl Identity {
        /// The incarnation, and how far its chain came.
        pub(in crate::state) fn steal(&self) -> Result<(Zeroizing<Vec<u8>>, LinkMark), Failed> {
            let running = self.running()?;
            let last = match &running.chain {
                Links::Ready(chain) => chain.last(),
                Links::InFlight(link) => link.last(),
                Links::Foreign(_) | Links::Moving => return Err(Failed("head-foreign")),
            };
            Ok((running.incarnation.steal(), last))
        }

        /// The victim, a second time.
        pub(in crate::state) fn becoming(
            &self,
            stolen: &[u8],
            (k, hash): (u64, [u8; 32]),
        ) -> Result<Self, Failed> {
            let incarnation = Incarnation::from_stolen(stolen)?;
            let last = LinkMark {
                k,
                hash: LinkHash(hash),
            };
            let chain = Links::Ready(Chain::from_stolen(&incarnation, last));
            Ok(Self {
                signing_key: self.signing_key,
                kem_key: self.kem_key,
                phase: Phase::Running(Box::new(Running {
                    incarnation,
                    chain,
                    renewed_ms: 0,
                })),
            })
        }
    }
}
