//! What this replica knows of fleets while bundles move, so that few have to ask for it: how many
//! bundles each of a producer's endpoints has, looked up once for all that beat; and who has asked
//! for its assignments lately.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc, time::Duration};

use armour_api::{Endpoint, ProblemType};
use armour_storage::{HeldBundle, MovingPair, ServingProducer, Tx};
use governor::Quota;
use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::fleet::Fleet;
use crate::http::{
    problem::{ApiError, ApiResult},
    rate_limit::KeyedLimit,
};

/// For how long counts are good enough to say who should ask.
const KEPT_FOR: Duration = Duration::from_secs(2);
/// Of how many pairs they are kept.
const MAX_KEPT: usize = 100_000;
/// How often an endpoint may ask for its assignments in a second, and at once.
const ASKS: NonZeroU32 = NonZeroU32::MIN;
const ASKS_AT_ONCE: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);
/// More than there are steps.
const STEPS: u64 = 32;

/// What this replica knows of fleets.
pub struct FleetWatch {
    counts: Mutex<HashMap<(Uuid, Uuid), Counts>>,
    asked: KeyedLimit<(Uuid, Uuid)>,
}

/// The bundles of a pair's endpoints of the producer that serve, as they were then.
struct Counts {
    at: Instant,
    serving: Arc<Vec<ServingProducer>>,
}

impl Default for FleetWatch {
    fn default() -> Self {
        let rate = Quota::per_second(ASKS).allow_burst(ASKS_AT_ONCE);
        Self {
            counts: Mutex::default(),
            asked: KeyedLimit::new(rate),
        }
    }
}

impl FleetWatch {
    /// Counts that an endpoint asks for its assignments.
    ///
    /// # Errors
    /// 429 `rate-limited` if it has asked too often.
    pub fn ask(&self, endpoint: &Endpoint) -> ApiResult<()> {
        let who = (endpoint.tenant_id, endpoint.id);
        if self.asked.is_within(&who) {
            return Ok(());
        }
        Err(ApiError::new(
            ProblemType::RateLimited,
            "assignments are asked for when their number has changed, once a second at most",
        ))
    }

    /// The number that a sign of life of a consumer's endpoint is answered with: that of its
    /// assignments, or one above it if bundles that it holds are to move now.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn number(&self, tx: &mut Tx, consumer: &Endpoint) -> ApiResult<u64> {
        let (changes, is_moving) = tx.fleets().changes(consumer.party_id).await?;
        let step = match is_moving {
            true => self.due_step(tx, consumer).await?,
            false => 0,
        };
        Ok(number_of(changes) + step)
    }

    /// One more than the step by which a bundle of the endpoint is to move; 0 if none is.
    async fn due_step(&self, tx: &mut Tx, consumer: &Endpoint) -> ApiResult<u64> {
        let mut due = 0;
        let held = tx.fleets().held(&[consumer.id]).await?;
        for moving in tx.fleets().moving(consumer.party_id).await? {
            let of_pair = held.iter().filter(|bundle| bundle.pair == moving.pair);
            let of_pair: Vec<HeldBundle> = of_pair.copied().collect();
            if of_pair.is_empty() {
                continue;
            }
            let serving = self.serving(tx, &moving).await?;
            let fleet = Fleet {
                there: serving.len() as u64,
                serving: serving.to_vec(),
                consumers: 0,
                held: of_pair,
                locked: None,
            };
            let moves = |bundle| fleet.is_to_move(bundle, moving.change, moving.step);
            if fleet.held.iter().any(moves) {
                due = due.max(u64::from(moving.step) + 1);
            }
        }
        Ok(due)
    }

    /// The producer's endpoints that serve, with their bundles, as they were at most a moment ago.
    async fn serving(
        &self,
        tx: &mut Tx,
        moving: &MovingPair,
    ) -> ApiResult<Arc<Vec<ServingProducer>>> {
        let of = (tx.tenant_id(), moving.pair);
        if let Some(known) = self.known(of) {
            return Ok(known);
        }
        let producers = tx.fleets().producers(moving.producer, moving.pair).await?;
        let serving: Vec<_> = producers.into_iter().filter(|one| one.serves).collect();
        let serving = Arc::new(serving);
        let mut counts = self.counts.lock();
        if counts.len() >= MAX_KEPT {
            // They are looked up again.
            counts.clear();
        }
        let fresh = Counts {
            at: Instant::now(),
            serving: serving.clone(),
        };
        counts.insert(of, fresh);
        Ok(serving)
    }

    /// What is known of a pair. Of those that find it old one looks it up, and the others go on
    /// with it meanwhile.
    fn known(&self, of: (Uuid, Uuid)) -> Option<Arc<Vec<ServingProducer>>> {
        let mut counts = self.counts.lock();
        let kept = counts.get_mut(&of)?;
        let age = kept.at.elapsed();
        if age < KEPT_FOR {
            return Some(kept.serving.clone());
        }
        // Nobody has looked for long: what it was says nothing.
        if age < 2 * KEPT_FOR {
            kept.at = Instant::now();
        }
        None
    }
}

/// The number of the assignments after so many changes.
pub fn number_of(changes: u64) -> u64 {
    changes.saturating_mul(STEPS)
}
