//! Issuing bundles: minted, sealed to both endpoints, in place of the one before.

use armour_ambient::Random;
use armour_api::{Endpoint, Pair, PairState, ProblemType};
use armour_protocol::{
    Suite,
    bundle::{BundleContext, BundleSecret},
    envelope,
};
use armour_storage::{Actor, NewBundle, NewEvent, PairingAction, StorageError, Tx};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;
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
    #[error("the producer has no active endpoint yet")]
    NoProducer,
    /// Somebody with the consumer's state has asked since.
    #[error("the endpoint has made a later draw; number the next one after it")]
    Overtaken,
}

impl OperationError for IssueError {
    fn problem_type(&self) -> ProblemType {
        match self {
            Self::PairDisconnected => ProblemType::PairDisconnected,
            Self::NotOfConsumer => ProblemType::NotFound,
            Self::NoProducer => ProblemType::NoProducer,
            Self::Overtaken => ProblemType::DrawOver,
        }
    }
}

/// Issues a bundle of a pair to a consumer; the consumer's active one is superseded.
/// Returns the new one's id. `number` is the consumer's own count of its requests.
///
/// # Errors
/// [`IssueError`], or if the database refuses.
pub async fn issue_bundle(
    tx: &mut Tx,
    consumer: &Endpoint,
    pair: Uuid,
    number: Option<u64>,
) -> ApiResult<Uuid> {
    let pair = lock_active_pair(tx, consumer, pair).await?;
    let producer = producer_of(tx, &pair).await?;
    if let Some(number) = number {
        advance_counter(tx, consumer, number).await?;
    }
    let id = tx.new_id();
    let superseded = tx.bundles().supersede(pair.id, consumer.id).await?;
    let context = BundleContext {
        suite: Suite::from_u8(pair.policy.suite).map_err(ApiError::internal)?,
        tenant: *tx.tenant_id().as_bytes(),
        pair: *pair.id.as_bytes(),
        bundle: *id.as_bytes(),
        consumer: *consumer.id.as_bytes(),
        producer: *producer.id.as_bytes(),
        consumer_key: signing_key(consumer)?,
        producer_key: signing_key(&producer)?,
    };
    let (for_consumer, for_producer) = mint(&context, consumer, &producer, tx.random())?;
    tx.bundles()
        .create(&NewBundle {
            id,
            pair: pair.id,
            consumer: consumer.id,
            producer: producer.id,
            suite: pair.policy.suite,
            for_consumer: &for_consumer,
            for_producer: &for_producer,
        })
        .await?;
    tell(tx, consumer, &pair, id, superseded).await?;
    Ok(id)
}

async fn lock_active_pair(tx: &mut Tx, consumer: &Endpoint, id: Uuid) -> ApiResult<Pair> {
    if tx.pairs().lock(id).await? == PairState::Disconnected {
        return Err(IssueError::PairDisconnected.into());
    }
    let pair = tx.pairs().find(id).await?;
    if pair.consumer_id != consumer.party_id {
        return Err(IssueError::NotOfConsumer.into());
    }
    Ok(pair)
}

async fn producer_of(tx: &mut Tx, pair: &Pair) -> ApiResult<Endpoint> {
    match tx.endpoints().latest_of_producer(pair.producer_id).await {
        Ok(producer) => Ok(producer),
        Err(StorageError::NotFound) => Err(IssueError::NoProducer.into()),
        Err(error) => Err(error.into()),
    }
}

/// Makes sure that no thief of the consumer's state has asked before.
async fn advance_counter(tx: &mut Tx, consumer: &Endpoint, number: u64) -> ApiResult<()> {
    let advanced = tx
        .endpoints()
        .advance_issuance_counter(consumer.id, number)
        .await?;
    match advanced {
        true => Ok(()),
        false => Err(IssueError::Overtaken.into()),
    }
}

/// Mints a bundle's secret. Only what is sealed to the two endpoints leaves this
/// function.
fn mint(
    context: &BundleContext,
    consumer: &Endpoint,
    producer: &Endpoint,
    random: &Random,
) -> ApiResult<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    random.fill(&mut *bytes);
    let secret = BundleSecret::from_bytes(*bytes);
    let mut generator = random.generator();
    let mut seal = |endpoint: &Endpoint| -> ApiResult<Vec<u8>> {
        let key = STANDARD
            .decode(&endpoint.kem_key)
            .map_err(ApiError::internal)?;
        envelope::seal(&key, context, &secret, &mut generator).map_err(ApiError::internal)
    };
    Ok((seal(consumer)?, seal(producer)?))
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
                    successor: id,
                },
            )
            .await?;
        tx.events()
            .record(NewEvent::BundleSuperseded {
                pair: pair.id,
                bundle: earlier,
                successor: id,
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

fn signing_key(endpoint: &Endpoint) -> ApiResult<VerifyingKey> {
    let bytes = STANDARD
        .decode(&endpoint.signing_key)
        .map_err(ApiError::internal)?;
    let bytes = bytes
        .as_slice()
        .try_into()
        .map_err(|_| ApiError::internal("a stored key"))?;
    VerifyingKey::from_bytes(bytes).map_err(ApiError::internal)
}
