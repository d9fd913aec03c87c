//! Issuing bundles: minted, sealed to both ends' living starts, in place of the one before.

use std::collections::{BTreeMap, BTreeSet};

use armour_ambient::Random;
use armour_api::{BundleState, Endpoint, EndpointState, Pair, PairState, ProblemType};
use armour_protocol::v2::{
    context::{Binding, Context, End},
    envelope,
    identity::start::StartHash,
    schedule::BundleSecret,
    suite::Suite,
};
use armour_storage::{
    Actor, BundleRow, KeyRow, NewBundle, NewEvent, PairingAction, StorageError, Tx,
};
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::http::problem::{ApiError, ApiResult, OperationError};

/// Why no bundle is issued.
#[derive(Debug, Clone, Copy, Error)]
pub enum IssueError {
    /// It is for an operator to say that the pair may go on.
    #[error("the pair is disconnected; an operator must re-arm it")]
    PairDisconnected,
    /// The pair is another consumer's.
    #[error("no such pair of this consumer")]
    NotOfConsumer,
    /// There is nobody to seal the secret to.
    #[error("no endpoint of the producer lives")]
    NoProducer,
    /// Somebody with the consumer's state has asked since, or the same was asked before.
    #[error("the endpoint has made this draw, or a later one; number the next one after it")]
    Overtaken,
    /// Another one takes the place of one that there is.
    #[error("the endpoint holds as many bundles of the pair as it should")]
    Enough,
    /// It is not of this pair and endpoint.
    #[error("no such bundle of this pair and endpoint")]
    NothingToReplace,
}

impl OperationError for IssueError {
    fn problem_type(&self) -> ProblemType {
        match self {
            Self::PairDisconnected => ProblemType::PairDisconnected,
            Self::NotOfConsumer | Self::NothingToReplace => ProblemType::NotFound,
            Self::NoProducer => ProblemType::NoProducer,
            Self::Overtaken => ProblemType::DrawOver,
            Self::Enough => ProblemType::BundlesEnough,
        }
    }
}

/// A request of one bundle.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    /// The pair.
    pub pair: Uuid,
    /// The consumer's own count of its requests for this pair.
    pub number: u64,
    /// The bundle that the new one supersedes, if it is still of use; none for one more.
    pub replaces: Option<Uuid>,
}

/// One end of a bundle: an endpoint's living start.
struct Living {
    endpoint: Endpoint,
    start: StartHash,
    keys: KeyRow,
}

/// Issues bundles to a consumer's living start, whose endpoint's row is locked; its active ones
/// of the same pairs are superseded. For each draw the new bundle's id, or why there is none.
///
/// # Errors
/// If the database refuses.
pub async fn issue(
    tx: &mut Tx,
    consumer: &Endpoint,
    start: StartHash,
    draws: &[Draw],
) -> ApiResult<Vec<ApiResult<Uuid>>> {
    let producers = lock(tx, consumer, draws).await?;
    let consumer = living(tx, consumer.clone(), start).await?;
    let mut issued = Vec::with_capacity(draws.len());
    for draw in draws {
        issued.push(issue_one(tx, &consumer, &producers, draw).await);
    }
    Ok(issued)
}

/// Locks all that is touched, in the order that all keep to: producers' endpoints, pairs,
/// bundles. Returns the endpoint that each producer's bundles are sealed to.
async fn lock(tx: &mut Tx, consumer: &Endpoint, draws: &[Draw]) -> ApiResult<BTreeMap<Uuid, Uuid>> {
    let mut pairs = BTreeSet::new();
    let mut producers = BTreeSet::new();
    for draw in draws {
        match tx.pairs().find(draw.pair).await {
            Ok(pair) if pair.consumer_id == consumer.party_id => {
                pairs.insert(pair.id);
                producers.insert(pair.producer_id);
            }
            Ok(_) | Err(StorageError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let producers = lock_producers(tx, producers).await?;
    let pairs: Vec<Uuid> = pairs.into_iter().collect();
    for pair in &pairs {
        tx.pairs().lock(*pair).await?;
    }
    tx.bundles().lock_active(consumer.id, &pairs).await?;
    Ok(producers)
}

/// Locks of each producer the endpoint that was heard of last, of those that live. It is chosen
/// once: another that is heard of meanwhile is not locked, and may be revoked in this moment.
async fn lock_producers(
    tx: &mut Tx,
    mut producers: BTreeSet<Uuid>,
) -> ApiResult<BTreeMap<Uuid, Uuid>> {
    let mut chosen = BTreeMap::new();
    while !producers.is_empty() {
        let mut latest = BTreeMap::new();
        for producer in producers {
            let endpoint = tx.endpoints().latest_living(producer).await?;
            latest.extend(endpoint.map(|endpoint| (endpoint, producer)));
        }
        let ids: Vec<Uuid> = latest.keys().copied().collect();
        tx.endpoints().lock_for_share(&ids).await?;
        let states = tx.endpoints().states(&ids).await?;
        producers = BTreeSet::new();
        for (endpoint, producer) in latest {
            let is_active = states.get(&endpoint) == Some(&EndpointState::Active);
            if is_active && tx.starts().living(endpoint).await?.is_some() {
                chosen.insert(producer, endpoint);
            } else {
                // It ended while its lock was waited for, and is not found another time.
                producers.insert(producer);
            }
        }
    }
    Ok(chosen)
}

async fn issue_one(
    tx: &mut Tx,
    consumer: &Living,
    producers: &BTreeMap<Uuid, Uuid>,
    draw: &Draw,
) -> ApiResult<Uuid> {
    let pair = active_pair(tx, &consumer.endpoint, draw.pair).await?;
    let producer = producers.get(&pair.producer_id);
    let producer = producer_end(tx, *producer.ok_or(IssueError::NoProducer)?).await?;
    let advanced = tx
        .pair_draws()
        .advance(consumer.endpoint.id, pair.id, draw.number)
        .await?;
    if !advanced {
        return Err(IssueError::Overtaken.into());
    }
    let id = tx.new_id();
    if draw.replaces.is_none() && holds_one(tx, &consumer.endpoint, pair.id).await? {
        return Err(IssueError::Enough.into());
    }
    let superseded = tx
        .bundles()
        .supersede(pair.id, consumer.endpoint.id)
        .await?;
    let context = Context::new(Binding {
        suite: Suite::from_u8(pair.policy.suite).map_err(ApiError::internal)?,
        tenant: *tx.tenant_id().as_bytes(),
        pair: *pair.id.as_bytes(),
        bundle: *id.as_bytes(),
        draw: draw.number,
        policy: pair.policy.hash().map_err(ApiError::internal)?,
        consumer: consumer.end(),
        producer: producer.end(),
    });
    let hpke_keys = [consumer, &producer].map(|end| &end.keys.hpke_key);
    let [for_consumer, for_producer] = mint(&context, hpke_keys, tx.random())?;
    tx.bundles()
        .create(&NewBundle {
            context: &context,
            policy: &pair.policy,
            consumer_start: consumer.start,
            producer_start: producer.start,
            for_consumer: &for_consumer,
            for_producer: &for_producer,
        })
        .await?;
    tell(tx, &consumer.endpoint, &pair, id, superseded).await?;
    Ok(id)
}

async fn holds_one(tx: &mut Tx, consumer: &Endpoint, pair: Uuid) -> ApiResult<bool> {
    let live = tx.bundles().live_of_endpoint(consumer.id).await?;
    let bundles = tx.bundles().find_many(&live).await?;
    let of_pair = |bundle: &BundleRow| bundle.pair == pair && bundle.state == BundleState::Active;
    Ok(bundles.values().any(of_pair))
}

impl Living {
    fn end(&self) -> End {
        End {
            party: *self.endpoint.party_id.as_bytes(),
            endpoint: *self.endpoint.id.as_bytes(),
            key: self.keys.span.key,
        }
    }
}

async fn active_pair(tx: &mut Tx, consumer: &Endpoint, id: Uuid) -> ApiResult<Pair> {
    let pair = match tx.pairs().find(id).await {
        Ok(pair) if pair.consumer_id == consumer.party_id => pair,
        Ok(_) | Err(StorageError::NotFound) => return Err(IssueError::NotOfConsumer.into()),
        Err(error) => return Err(error.into()),
    };
    match pair.state {
        PairState::Active => Ok(pair),
        PairState::Disconnected => Err(IssueError::PairDisconnected.into()),
    }
}

/// A producer's endpoint that is locked, and lives.
async fn producer_end(tx: &mut Tx, id: Uuid) -> ApiResult<Living> {
    let endpoint = tx.endpoints().find(id).await?;
    let start = tx.starts().living(id).await?;
    let start = start.ok_or(IssueError::NoProducer)?;
    living(tx, endpoint, start.hash).await
}

async fn living(tx: &mut Tx, endpoint: Endpoint, start: StartHash) -> ApiResult<Living> {
    let keys = tx
        .starts()
        .keys_around(endpoint.id, start, u64::MAX)
        .await?
        .pop();
    Ok(Living {
        keys: keys.ok_or_else(|| ApiError::internal("a start without a key"))?,
        endpoint,
        start,
    })
}

/// Mints a bundle's secret. Only what is sealed to the two starts leaves this function.
fn mint(context: &Context, keys: [&[u8; 32]; 2], random: &Random) -> ApiResult<[Vec<u8>; 2]> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    random.fill(&mut *bytes);
    let secret = BundleSecret::from_bytes(*bytes);
    let mut generator = random.generator();
    let mut seal = |key: &[u8; 32]| {
        envelope::seal(key, context, &secret, &mut generator).map_err(ApiError::internal)
    };
    Ok([seal(keys[0])?, seal(keys[1])?])
}

/// Writes the audit entries and events of a bundle that was issued.
async fn tell(
    tx: &mut Tx,
    consumer: &Endpoint,
    pair: &Pair,
    id: Uuid,
    superseded: Option<Uuid>,
) -> ApiResult<()> {
    let actor = Actor::Endpoint(consumer.id);
    if let Some(earlier) = superseded {
        tx.audit_log()
            .append(
                &actor,
                PairingAction::BundleSupersede {
                    id: earlier,
                    successor: Some(id),
                },
            )
            .await?;
        tx.events()
            .record(NewEvent::BundleSuperseded {
                pair: pair.id,
                bundle: earlier,
                successor: Some(id),
            })
            .await?;
    }
    tx.audit_log()
        .append(
            &actor,
            PairingAction::BundleMint {
                id,
                pair_id: pair.id,
                supersedes: superseded,
            },
        )
        .await?;
    tx.events()
        .record(NewEvent::BundleMinted {
            pair: pair.id,
            bundle: id,
        })
        .await?;
    Ok(())
}
