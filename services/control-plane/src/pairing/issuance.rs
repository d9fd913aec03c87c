//! Issuing bundles: minted, sealed to both ends' living starts, one more or in place of another.

use std::collections::{BTreeMap, BTreeSet};

use armour_ambient::Random;
use armour_api::{Endpoint, Pair, PairState, ProblemType};
use armour_protocol::v2::{
    context::{Binding, Context, End},
    envelope,
    identity::start::StartHash,
    schedule::BundleSecret,
    suite::Suite,
};
use armour_storage::{
    Actor, BundleRow, HeldBundle, KeyRow, NewBundle, NewEvent, PairingAction, StorageError, Tx,
};
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{assignments::fleet, fleet::Fleet};
use crate::http::problem::{ApiError, ApiResult, OperationError};

/// How many of a producer's endpoints are locked for one draw: some of them may draw near while the
/// locks are waited for.
const CANDIDATES: usize = 3;

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
    #[error("no endpoint of the producer serves")]
    NoProducer,
    /// Whoever could serve is refused.
    #[error(
        "endpoints of the producer share one address: a balancer in front of them leads calls to \
         those that they are not for; give each an address of its own"
    )]
    AddressShared,
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
            Self::AddressShared => ProblemType::AddressShared,
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

/// What a consumer's living start asks for. Its endpoint's row is locked.
#[derive(Debug, Clone)]
pub struct Draws {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its living start.
    pub start: StartHash,
    /// The bundles.
    pub draws: Vec<Draw>,
}

/// One end of a bundle: an endpoint's living start.
struct Living {
    endpoint: Endpoint,
    start: StartHash,
    keys: KeyRow,
}

/// What came of a draw.
#[derive(Debug)]
pub struct Issued {
    /// The new bundle, or why there is none.
    pub bundle: ApiResult<Uuid>,
    /// How many bundles of the pair the endpoint should hold; 0 if there is no such pair.
    pub wanted: u32,
}

/// A bundle that was issued, as is to be told of it.
#[derive(Debug, Clone, Copy)]
pub struct Minted {
    id: Uuid,
    pair: Uuid,
    consumer: Uuid,
    superseded: Option<Uuid>,
}

/// A pair that bundles are drawn of.
struct DrawnPair {
    ends: [Uuid; 2],
    /// As none of its consumer's endpoints holds any.
    fleet: Fleet,
}

/// What is drawn of, locked.
struct Locked {
    pairs: BTreeMap<Uuid, DrawnPair>,
    held: Vec<HeldBundle>,
}

/// Issues bundles to consumers' living starts, no two of them of one endpoint; those that are
/// replaced are superseded. For each draw what came of it, and what is to be told by [`tell`]: the
/// tenant's journal is not locked yet.
///
/// # Errors
/// If the database refuses.
pub async fn issue(tx: &mut Tx, all: &[Draws]) -> ApiResult<(Vec<Vec<Issued>>, Vec<Minted>)> {
    let mut locked = lock(tx, all).await?;
    let (mut issued, mut minted) = (Vec::with_capacity(all.len()), Vec::new());
    for asked in all {
        issued.push(issue_all_of(tx, &mut locked, asked, &mut minted).await?);
    }
    Ok((issued, minted))
}

/// Issues what one endpoint asks for.
async fn issue_all_of(
    tx: &mut Tx,
    locked: &mut Locked,
    asked: &Draws,
    minted: &mut Vec<Minted>,
) -> ApiResult<Vec<Issued>> {
    let Locked { pairs, held } = locked;
    let consumer = living(tx, asked.endpoint.clone(), asked.start).await?;
    // As this one sees the pairs.
    for (id, pair) in &mut *pairs {
        let own = |bundle: &&HeldBundle| bundle.pair == *id && bundle.consumer == asked.endpoint.id;
        pair.fleet.held = held.iter().filter(own).copied().collect();
    }
    let mut issued = Vec::with_capacity(asked.draws.len());
    for draw in &asked.draws {
        let of = pairs.get_mut(&draw.pair);
        let of = of.filter(|pair| pair.ends[0] == asked.endpoint.party_id);
        issued.push(match of {
            None => Issued {
                bundle: Err(IssueError::NotOfConsumer.into()),
                wanted: 0,
            },
            Some(pair) => {
                let done = issue_one(tx, &consumer, pair, draw).await;
                Issued {
                    bundle: done.map(|one| {
                        minted.push(one);
                        one.id
                    }),
                    wanted: pair.fleet.wanted(),
                }
            }
        });
    }
    Ok(issued)
}

/// Locks all that is touched, in the order that all keep to: producers' endpoints, pairs,
/// bundles. Returns the consumers' own pairs among those that are drawn of, each with those of
/// its producer's endpoints that are locked and serve.
async fn lock(tx: &mut Tx, all: &[Draws]) -> ApiResult<Locked> {
    let draws = all.iter().flat_map(|asked| &asked.draws);
    let asked: BTreeSet<Uuid> = draws.map(|draw| draw.pair).collect();
    let ends = tx.pairs().ends(&Vec::from_iter(asked)).await?;
    let parties: BTreeSet<Uuid> = all.iter().map(|asked| asked.endpoint.party_id).collect();
    let own = ends.into_iter().filter(|(_, [of, _])| parties.contains(of));
    let own: BTreeMap<Uuid, [Uuid; 2]> = own.collect();
    let consumers: BTreeSet<Uuid> = all.iter().map(|asked| asked.endpoint.id).collect();
    let consumers = Vec::from_iter(consumers);
    let locked = lock_producers(tx, all, &own, &consumers).await?;
    let ids: Vec<Uuid> = own.keys().copied().collect();
    for pair in &ids {
        tx.pairs().lock(*pair).await?;
    }
    tx.bundles().lock_active(&consumers, &ids).await?;
    // Others have drawn while the locks were waited for: what counts is read now.
    let held = tx.fleets().held(&consumers).await?;
    let mut pairs = BTreeMap::new();
    for (pair, ends) in own {
        let fleet = Fleet {
            locked: Some(locked.clone()),
            ..fleet(tx, (pair, ends), &[]).await?
        };
        pairs.insert(pair, DrawnPair { ends, fleet });
    }
    Ok(Locked { pairs, held })
}

/// Locks those of the producers' endpoints that the draws may come to, a few of each pair.
async fn lock_producers(
    tx: &mut Tx,
    all: &[Draws],
    own: &BTreeMap<Uuid, [Uuid; 2]>,
    consumers: &[Uuid],
) -> ApiResult<BTreeSet<Uuid>> {
    let held = tx.fleets().held(consumers).await?;
    let mut locked = BTreeSet::new();
    for (pair, ends) in own {
        let mut fleet = fleet(tx, (*pair, *ends), &[]).await?;
        let draws = all.iter().flat_map(|asked| &asked.draws);
        let count = draws.filter(|draw| draw.pair == *pair).count();
        for asked in all {
            let consumer = &asked.endpoint;
            let own = |held: &&HeldBundle| held.pair == *pair && held.consumer == consumer.id;
            fleet.held = held.iter().filter(own).copied().collect();
            for draw in asked.draws.iter().filter(|draw| draw.pair == *pair) {
                let found = fleet.candidates(draw.replaces, consumer.zone.as_deref(), tx.random());
                locked.extend(found.into_iter().take(CANDIDATES + count - 1));
            }
        }
    }
    tx.endpoints()
        .lock_to_draw(&Vec::from_iter(locked.iter().copied()))
        .await?;
    Ok(locked)
}

async fn issue_one(
    tx: &mut Tx,
    consumer: &Living,
    of: &mut DrawnPair,
    draw: &Draw,
) -> ApiResult<Minted> {
    let pair = active_pair(tx, &consumer.endpoint, draw.pair).await?;
    let fleet = &of.fleet;
    if fleet.serving.is_empty() {
        let [_, producer] = of.ends;
        return Err(match tx.fleets().is_address_shared(producer).await? {
            true => IssueError::AddressShared.into(),
            false => IssueError::NoProducer.into(),
        });
    }
    let advanced = tx
        .pair_draws()
        .advance(consumer.endpoint.id, pair.id, draw.number)
        .await?;
    if !advanced {
        return Err(IssueError::Overtaken.into());
    }
    let replaced = replaced(tx, consumer, fleet, draw).await?;
    if replaced.is_none() && fleet.is_enough() {
        return Err(IssueError::Enough.into());
    }
    let zone = consumer.endpoint.zone.as_deref();
    let chosen = fleet
        .candidates(replaced, zone, tx.random())
        .into_iter()
        .next();
    let Some(chosen) = chosen else {
        return Err(match fleet.has_others(replaced) {
            // All that were locked ended while their locks were waited for.
            true => ApiError::new(ProblemType::DatabaseBusy, "the producer's endpoints change"),
            false => IssueError::Enough.into(),
        });
    };
    let producer = producer_end(tx, chosen).await?;
    let id = tx.new_id();
    let superseded = match replaced {
        Some(replaced) if tx.bundles().supersede(replaced).await? => Some(replaced),
        _ => None,
    };
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
    let drawn = HeldBundle {
        id,
        pair: pair.id,
        consumer: consumer.endpoint.id,
        producer: producer.endpoint.id,
    };
    of.fleet.drew(drawn, superseded);
    Ok(Minted {
        id,
        pair: pair.id,
        consumer: consumer.endpoint.id,
        superseded,
    })
}

/// The active bundle that a draw replaces. One that is of no use any more takes no place, nor does
/// one that a restored database has lost.
async fn replaced(
    tx: &mut Tx,
    consumer: &Living,
    fleet: &Fleet,
    draw: &Draw,
) -> ApiResult<Option<Uuid>> {
    let Some(id) = draw.replaces else {
        return Ok(None);
    };
    if fleet.held.iter().any(|held| held.id == id) {
        return Ok(Some(id));
    }
    let known = tx.bundles().find_many(&[id]).await?;
    let is_own =
        |bundle: &BundleRow| bundle.pair == draw.pair && bundle.consumer == consumer.endpoint.id;
    match known.get(&id).is_none_or(is_own) {
        true => Ok(None),
        false => Err(IssueError::NothingToReplace.into()),
    }
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

/// Tells of bundles that were issued: by one entry of the audit log, however many they are, and by
/// an event of each. It takes the journal's lock, which the tenant's other endpoints wait for, and so
/// comes last.
///
/// # Errors
/// If the database refuses.
pub async fn tell(tx: &mut Tx, minted: &[Minted]) -> ApiResult<()> {
    let all = |part: fn(&Minted) -> Uuid| minted.iter().map(part).collect::<Vec<_>>();
    match minted {
        [] => return Ok(()),
        [one] => {
            let action = PairingAction::BundleMint {
                id: one.id,
                pair_id: one.pair,
                supersedes: one.superseded,
            };
            let actor = Actor::Endpoint(one.consumer);
            tx.audit_log().append(&actor, action).await?;
        }
        _ => {
            let supersedes: Vec<_> = minted.iter().map(|one| one.superseded).collect();
            let action = PairingAction::BundlesMint {
                bundles: &all(|one| one.id),
                pairs: &all(|one| one.pair),
                endpoints: &all(|one| one.consumer),
                supersedes: &supersedes,
            };
            tx.audit_log().append(&Actor::Service, action).await?;
        }
    }
    let mut events: Vec<NewEvent<'static>> = Vec::new();
    for one in minted {
        events.extend(one.superseded.map(|earlier| NewEvent::BundleSuperseded {
            pair: one.pair,
            bundle: earlier,
            successor: Some(one.id),
        }));
        events.push(NewEvent::BundleMinted {
            pair: one.pair,
            bundle: one.id,
        });
    }
    Ok(tx.events().record_all(events).await?)
}
