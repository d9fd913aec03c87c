//! `/v1/endpoint/…`: what endpoints ask: themselves, bundles, heartbeats.

use armour_api::{
    BundleGrant, BundleState, BundleStatus, Disown, DrawBundle, Endpoint, EndpointSelf, Heartbeat,
    HeartbeatAck, PairState, Problem, Role,
};
use armour_protocol::{
    Suite,
    bundle::{BundleContext, BundleSecret},
    envelope,
};
use armour_storage::{BundleRow, NewBundle, NewEvent, StorageError};
use axum::{Json as Answer, extract::State, http::StatusCode};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::Utc;
use ed25519_dalek::VerifyingKey;
use rand::Rng;
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    auth::Caller,
    collision::{Found, declare},
    extract::{Id, Json},
    problem::{ApiError, ApiResult},
    state::App,
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(own))
        .routes(routes!(heartbeat))
        .routes(routes!(draw))
        .routes(routes!(grant))
        .routes(routes!(acknowledge))
        .routes(routes!(disown))
}

/// The calling endpoint and its pairs.
#[utoipa::path(get, path = "/v1/endpoint", tag = "endpoint",
    responses((status = 200, body = EndpointSelf), (status = "4XX", body = Problem)))]
async fn own(mut caller: Caller) -> ApiResult<Answer<EndpointSelf>> {
    let pairs = caller
        .tx
        .list_pairs(Some(caller.endpoint.party_id), None)
        .await?
        .items;
    Ok(Answer(EndpointSelf {
        endpoint: caller.endpoint,
        pairs,
    }))
}

/// A sign of life. The answer tells the state of the bundles asked about and,
/// to their consumer, the ledger's lane heads: it must own every one of them.
#[utoipa::path(post, path = "/v1/endpoint/heartbeat", tag = "endpoint", request_body = Heartbeat,
    responses((status = 200, body = HeartbeatAck), (status = "4XX", body = Problem)))]
async fn heartbeat(
    mut caller: Caller,
    Json(beat): Json<Heartbeat>,
) -> ApiResult<Answer<HeartbeatAck>> {
    if beat.bundles.len() > 1000 {
        return Err(ApiError::invalid("at most 1000 bundles a heartbeat"));
    }
    caller.tx.touch_endpoint(caller.endpoint.id).await?;
    let mut bundles = Vec::with_capacity(beat.bundles.len());
    for id in beat.bundles {
        let bundle = match caller.tx.find_bundle(id).await {
            Ok(bundle) => bundle,
            // A bundle that is gone is as good as disconnected.
            Err(StorageError::NotFound) => {
                let state = BundleState::Disconnected;
                bundles.push(BundleStatus {
                    id,
                    state,
                    lanes: Vec::new(),
                });
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let lanes = match bundle.consumer_endpoint_id == caller.endpoint.id {
            true => caller.tx.lane_heads(id).await?,
            false => Vec::new(),
        };
        bundles.push(BundleStatus {
            id,
            state: bundle.state,
            lanes,
        });
    }
    caller.tx.commit().await?;
    Ok(Answer(HeartbeatAck {
        server_time: Utc::now(),
        bundles,
    }))
}

/// Draws a bundle: mints its secret and seals it to both endpoints. The
/// endpoint's active bundle of the pair is superseded.
#[utoipa::path(post, path = "/v1/endpoint/bundles", tag = "endpoint", request_body = DrawBundle,
    responses((status = 201, body = BundleGrant), (status = "4XX", body = Problem)))]
async fn draw(
    State(app): State<App>,
    mut caller: Caller,
    Json(ask): Json<DrawBundle>,
) -> ApiResult<(StatusCode, Answer<BundleGrant>)> {
    let actor = caller.actor();
    let (tx, consumer) = (&mut caller.tx, &caller.endpoint);
    if tx.lock_pair(ask.pair_id).await? == PairState::Disconnected {
        return Err(ApiError::conflict(
            "pair-disconnected",
            "the pair is disconnected; an operator must re-arm it",
        ));
    }
    let pair = tx.find_pair(ask.pair_id).await?;
    if pair.consumer_id != consumer.party_id {
        return Err(ApiError::not_found("no such pair of this consumer"));
    }
    let producer = tx
        .latest_producer_endpoint(pair.producer_id)
        .await
        .map_err(|error| match error {
            StorageError::NotFound => {
                ApiError::conflict("no-producer", "the producer has no active endpoint yet")
            }
            other => other.into(),
        })?;
    let id = Uuid::now_v7();
    let superseded = tx.supersede_bundle(pair.id, consumer.id).await?;
    let context = BundleContext {
        suite: Suite::from_u8(pair.policy.suite).map_err(ApiError::internal)?,
        tenant: *tx.tenant_id().as_bytes(),
        pair: *pair.id.as_bytes(),
        bundle: *id.as_bytes(),
        consumer: *consumer.id.as_bytes(),
        producer: *producer.id.as_bytes(),
        consumer_key: verifying_key(&consumer.signing_key)?,
        producer_key: verifying_key(&producer.signing_key)?,
    };
    let (sealed_consumer, sealed_producer) = mint(&app, &context, consumer, &producer)?;
    tx.create_bundle(&NewBundle {
        id,
        pair: pair.id,
        consumer: consumer.id,
        producer: producer.id,
        suite: pair.policy.suite,
        key_version: app.vault.version(),
        sealed_consumer: &sealed_consumer,
        sealed_producer: &sealed_producer,
    })
    .await?;
    if let Some(earlier) = superseded {
        tx.audit(
            actor,
            "bundle.supersede",
            earlier,
            json!({ "successor": id }),
        )
        .await?;
        tx.record_event(&NewEvent {
            kind: "bundle.superseded",
            pair: Some(pair.id),
            bundle: Some(earlier),
            detail: json!({ "successor": id }),
            ..Default::default()
        })
        .await?;
    }
    tx.audit(
        actor,
        "bundle.mint",
        id,
        json!({ "pair_id": pair.id, "supersedes": superseded }),
    )
    .await?;
    tx.record_event(&NewEvent {
        kind: "bundle.minted",
        pair: Some(pair.id),
        bundle: Some(id),
        ..Default::default()
    })
    .await?;
    let bundle = tx.bundle_for_share(id).await?;
    let grant = grant_of(&app, &mut caller, &bundle).await?;
    caller.tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(grant)))
}

/// A bundle of the calling endpoint, with the secret sealed to it until that
/// is acknowledged.
#[utoipa::path(get, path = "/v1/endpoint/bundles/{id}", tag = "endpoint",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = BundleGrant), (status = "4XX", body = Problem)))]
async fn grant(
    State(app): State<App>,
    mut caller: Caller,
    Id(id): Id,
) -> ApiResult<Answer<BundleGrant>> {
    let bundle = own_bundle(&mut caller, id).await?;
    Ok(Answer(grant_of(&app, &mut caller, &bundle).await?))
}

/// The endpoint holds the secret: the control plane erases its copy.
#[utoipa::path(post, path = "/v1/endpoint/bundles/{id}/acknowledge", tag = "endpoint",
    params(("id" = Uuid, Path)), responses((status = 204), (status = "4XX", body = Problem)))]
async fn acknowledge(mut caller: Caller, Id(id): Id) -> ApiResult<StatusCode> {
    let actor = caller.actor();
    let bundle = own_bundle(&mut caller, id).await?;
    caller.tx.lock_pair(bundle.pair).await?;
    caller
        .tx
        .erase_sealed_secret(id, caller.endpoint.role)
        .await?;
    caller
        .tx
        .audit(actor, "bundle.acknowledge", id, json!({}))
        .await?;
    caller.tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The consumer says that a recorded ticket is not its own: a collision.
#[utoipa::path(post, path = "/v1/endpoint/disown", tag = "endpoint", request_body = Disown,
    responses((status = 204), (status = "4XX", body = Problem)))]
async fn disown(mut caller: Caller, Json(word): Json<Disown>) -> ApiResult<StatusCode> {
    let bundle = caller.tx.find_bundle(word.bundle_id).await?;
    if bundle.consumer_endpoint_id != caller.endpoint.id {
        return Err(ApiError::not_found("no such bundle of this consumer"));
    }
    caller.tx.lock_pair(bundle.pair_id).await?;
    let recorded = caller.tx.lane_head(word.bundle_id, word.lane).await?;
    if recorded.is_none_or(|head| head.ticket.n < word.n) {
        return Err(ApiError::conflict(
            "not-recorded",
            "the ledger holds no such ticket",
        ));
    }
    let bundle = caller.tx.bundle_for_share(word.bundle_id).await?;
    let found = Found {
        bundle,
        kind: armour_api::CollisionKind::Disowned,
        lane: word.lane,
        n: word.n,
        recorded,
        reported: None,
        reporter: caller.endpoint.id,
    };
    declare(&mut caller.tx, &found).await?;
    caller.tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Mints a bundle's secret. Only what is sealed to the two endpoints, wrapped
/// under the tenant's key, leaves this function.
fn mint(
    app: &App,
    context: &BundleContext,
    consumer: &Endpoint,
    producer: &Endpoint,
) -> ApiResult<(Vec<u8>, Vec<u8>)> {
    let mut rng = rand::rng();
    let mut bytes = Zeroizing::new([0u8; 32]);
    rng.fill_bytes(&mut *bytes);
    let secret = BundleSecret::from_bytes(*bytes);
    let bundle = Uuid::from_bytes(context.bundle);
    let mut seal = |endpoint: &Endpoint| -> ApiResult<Vec<u8>> {
        let key = STANDARD
            .decode(&endpoint.kem_key)
            .map_err(ApiError::internal)?;
        let sealed =
            envelope::seal(&key, context, &secret, &mut rng).map_err(ApiError::internal)?;
        app.vault
            .wrap(endpoint.tenant_id, &row(bundle, endpoint.role), &sealed)
            .map_err(ApiError::internal)
    };
    Ok((seal(consumer)?, seal(producer)?))
}

async fn own_bundle(caller: &mut Caller, id: Uuid) -> ApiResult<BundleRow> {
    // Read without a lock: locks are taken from the pair down.
    let bundle = caller.tx.find_bundle(id).await?;
    let me = caller.endpoint.id;
    if bundle.consumer_endpoint_id != me && bundle.producer_endpoint_id != me {
        return Err(ApiError::not_found("no such bundle of this endpoint"));
    }
    caller.tx.lock_pair(bundle.pair_id).await?;
    Ok(caller.tx.bundle_for_share(id).await?)
}

async fn grant_of(app: &App, caller: &mut Caller, row_: &BundleRow) -> ApiResult<BundleGrant> {
    let tx = &mut caller.tx;
    let bundle = tx.find_bundle(row_.id).await?;
    let pair = tx.find_pair(row_.pair).await?;
    let consumer = tx.find_endpoint(row_.consumer).await?;
    let producer = tx.find_endpoint(row_.producer).await?;
    let role = caller.endpoint.role;
    let boxed = match role {
        Role::Consumer => &row_.sealed_consumer,
        Role::Producer => &row_.sealed_producer,
    };
    let sealed_secret = match boxed {
        None => None,
        Some(boxed) => {
            let opened = app
                .vault
                .unwrap(tx.tenant_id(), &row(row_.id, role), row_.key_version, boxed)
                .map_err(ApiError::internal)?;
            Some(STANDARD.encode(&*opened))
        }
    };
    Ok(BundleGrant {
        bundle,
        policy: pair.policy,
        tenant_id: tx.tenant_id(),
        consumer_signing_key: consumer.signing_key,
        producer_signing_key: producer.signing_key,
        producer_address: producer.address,
        sealed_secret,
    })
}

pub(super) fn verifying_key(text: &str) -> ApiResult<VerifyingKey> {
    let bytes = STANDARD.decode(text).map_err(ApiError::internal)?;
    let bytes: [u8; 32] = bytes
        .try_into()
        .map_err(|_| ApiError::internal("a stored key"))?;
    VerifyingKey::from_bytes(&bytes).map_err(ApiError::internal)
}

/// The identity of the row that a wrapped secret belongs to.
fn row(bundle: Uuid, role: Role) -> String {
    format!("bundle:{bundle}:{}", role.as_str())
}
