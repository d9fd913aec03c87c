//! The producer's bundles: held in the enclave, or known to be of no use.

use std::{collections::HashMap, sync::Arc, time::Duration};

use armour_api::BundleState;
use armour_enclave::{Enclave, EnclaveError};
use armour_protocol::ticket::SignedTicket;
use parking_lot::Mutex;
use tokio::{sync::Mutex as AsyncMutex, time::Instant};
use uuid::Uuid;

use super::exchange::Exchange;
use crate::{
    control_plane::{
        grant::{Grant, GrantError, Wanted},
        session::Session,
    },
    wire::{problem::Refusal, problem_type::ProblemType},
};

/// Accepting a ticket and noting its exchange go together, lane by lane.
const STRIPES: usize = 16;
/// How long an unknown bundle's id is not asked about again.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
/// Most bundles remembered that are of no use.
const MAX_GONE: usize = 10_000;

/// A bundle whose roots the enclave holds.
pub struct Held {
    /// Its keys and policy.
    pub grant: Grant,
    /// When it was superseded, if it was.
    superseded: Mutex<Option<Instant>>,
    stripes: [AsyncMutex<()>; STRIPES],
    lanes: Mutex<HashMap<u32, Arc<Exchange>>>,
}

/// What is known of a bundle.
#[derive(Clone)]
pub enum Known {
    /// It can be used.
    Held(Arc<Held>),
    /// It cannot, and this is why.
    Gone(Arc<Gone>),
}

/// A bundle that cannot be used.
pub struct Gone {
    /// How consumers are told.
    pub refusal: Refusal,
    /// With whose key its tickets are checked before they are reported; none
    /// where nobody need be told.
    grant: Option<Grant>,
    since: Instant,
}

/// All bundles of a producer.
pub struct Bundles {
    session: Arc<Session>,
    enclave: Enclave,
    known: Mutex<HashMap<Uuid, Known>>,
    /// One question to the control plane at a time.
    asking: AsyncMutex<()>,
}

impl Held {
    /// The lock under which a lane's tickets are accepted.
    pub fn stripe(&self, lane: u32) -> &AsyncMutex<()> {
        &self.stripes[lane as usize % STRIPES]
    }

    /// The lane's last exchange.
    pub fn last(&self, lane: u32) -> Option<Arc<Exchange>> {
        self.lanes.lock().get(&lane).cloned()
    }

    /// Notes the lane's last exchange.
    pub fn set_last(&self, lane: u32, exchange: Arc<Exchange>) {
        self.lanes.lock().insert(lane, exchange);
    }

    /// Whether its grace after being superseded is over.
    fn is_over(&self) -> bool {
        let grace = Duration::from_millis(self.grant.policy.supersede_grace_ms.into());
        self.superseded
            .lock()
            .is_some_and(|since| since.elapsed() > grace)
    }
}

impl Gone {
    /// Whether a ticket of this bundle is its consumer's, and so worth a report:
    /// the ledger judges what the use of a dead bundle means.
    pub fn is_evidence(&self, ticket: &SignedTicket) -> bool {
        self.grant
            .as_ref()
            .is_some_and(|grant| ticket.verify(&grant.consumer_key).is_ok())
    }
}

impl Bundles {
    /// None yet.
    pub fn new(session: Arc<Session>, enclave: Enclave) -> Self {
        Self {
            session,
            enclave,
            known: Mutex::default(),
            asking: AsyncMutex::new(()),
        }
    }

    /// The bundles held.
    pub fn held(&self) -> Vec<Arc<Held>> {
        let known = self.known.lock();
        let held = known.values().filter_map(|known| match known {
            Known::Held(held) => Some(held.clone()),
            Known::Gone(_) => None,
        });
        held.collect()
    }

    /// What is known of a bundle; asks the control plane where nothing is.
    ///
    /// # Errors
    /// If the control plane cannot be asked now.
    pub async fn get(&self, id: Uuid) -> Result<Known, Refusal> {
        if let Some(known) = self.lookup(id).await? {
            return Ok(known);
        }
        let _one = self.asking.lock().await;
        if let Some(known) = self.lookup(id).await? {
            return Ok(known);
        }
        let known = self.ask(id).await?;
        let mut all = self.known.lock();
        if all.len() > MAX_GONE {
            all.retain(|_, known| matches!(known, Known::Held(_)));
        }
        all.insert(id, known.clone());
        Ok(known)
    }

    /// Takes note of a bundle's state.
    pub async fn set_state(&self, id: Uuid, state: BundleState) {
        let held = match self.known.lock().get(&id) {
            Some(Known::Held(held)) => held.clone(),
            _ => return,
        };
        match state {
            BundleState::Active => {}
            BundleState::Superseded => {
                held.superseded.lock().get_or_insert_with(Instant::now);
                // Erases it once its grace is over.
                let _ = self.lookup(id).await;
            }
            BundleState::Disconnected => {
                let _ = self.retire(id, &held, disconnected(), false).await;
            }
        }
    }

    async fn lookup(&self, id: Uuid) -> Result<Option<Known>, Refusal> {
        let known = self.known.lock().get(&id).cloned();
        Ok(match known {
            Some(Known::Held(held)) if held.is_over() => {
                Some(self.retire(id, &held, superseded(), true).await?)
            }
            Some(Known::Gone(gone))
                if gone.grant.is_none() && gone.since.elapsed() > UNKNOWN_FOR =>
            {
                None
            }
            known => known,
        })
    }

    /// Erases a bundle's roots.
    async fn retire(
        &self,
        id: Uuid,
        held: &Held,
        refusal: Refusal,
        report: bool,
    ) -> Result<Known, Refusal> {
        let gone = Known::Gone(Arc::new(Gone {
            refusal,
            grant: report.then(|| held.grant.clone()),
            since: Instant::now(),
        }));
        self.known.lock().insert(id, gone.clone());
        held.lanes.lock().clear();
        self.enclave
            .erase(id.into_bytes())
            .await
            .map_err(|_| Refusal::stopping())?;
        tracing::info!(bundle = %id, kind = gone.kind(), "erased a bundle");
        Ok(gone)
    }

    async fn ask(&self, id: Uuid) -> Result<Known, Refusal> {
        let gone = |refusal, grant| {
            Ok(Known::Gone(Arc::new(Gone {
                refusal,
                grant,
                since: Instant::now(),
            })))
        };
        let granted = self.session.grant(Wanted::Known { bundle: id }).await;
        let granted = match granted {
            Err(GrantError::Client(error)) if error.is("not-found") => {
                return gone(unknown(), None);
            }
            granted => granted,
        };
        let mut grant = granted.map_err(|error| {
            tracing::warn!(%error, bundle = %id, "cannot ask about a bundle");
            self.session.note(format!("bundle {id}: {error}"));
            Refusal::new(
                ProblemType::ControlPlane,
                "the control plane cannot be asked about this bundle now",
            )
        })?;
        match (grant.state, grant.sealed_secret.take()) {
            (BundleState::Disconnected, _) => return gone(disconnected(), None),
            (BundleState::Superseded, _) => return gone(superseded(), Some(grant)),
            // Acknowledged before a restart: its lanes are lost.
            (BundleState::Active, None) => return gone(unknown(), Some(grant)),
            (BundleState::Active, Some(sealed)) => {
                match self.enclave.install(grant.binding.clone(), sealed).await {
                    Ok(()) => {}
                    Err(EnclaveError::Gone) => return Err(Refusal::stopping()),
                    Err(error) => {
                        tracing::error!(%error, bundle = %id, "cannot take a bundle's secret");
                        return gone(unknown(), Some(grant));
                    }
                }
            }
        }
        // Until this is through the control plane keeps its copy, which only
        // this endpoint can open.
        if let Err(error) = self.session.client().acknowledge_bundle(id).await {
            tracing::warn!(%error, bundle = %id, "cannot acknowledge a bundle");
        }
        tracing::info!(bundle = %id, "took a bundle");
        Ok(Known::Held(Arc::new(Held {
            grant,
            superseded: Mutex::new(None),
            stripes: Default::default(),
            lanes: Mutex::default(),
        })))
    }
}

impl Known {
    fn kind(&self) -> &str {
        match self {
            Self::Held(_) => "held",
            Self::Gone(gone) => gone.refusal.problem.name(),
        }
    }
}

fn unknown() -> Refusal {
    Refusal::new(
        ProblemType::BundleUnknown,
        "this endpoint holds no lanes of the bundle; draw its successor",
    )
}

fn superseded() -> Refusal {
    Refusal::new(ProblemType::BundleSuperseded, "the bundle was superseded")
}

fn disconnected() -> Refusal {
    Refusal::new(
        ProblemType::BundleDisconnected,
        "the bundle was disconnected",
    )
}
