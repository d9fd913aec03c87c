//! `/v1/endpoint/…`: what endpoints ask: themselves, bundles, heartbeats.

use armour_api::{
    AccessToken, BundleGrant, BundleState, BundleStatus, CollisionKind, Disown, DrawBundle,
    Endpoint, EndpointSelf, EndpointState, EnrolProof, Heartbeat, HeartbeatAck, KeyProof, LogHead,
    PairState, Problem, TokenRequest,
};
use armour_protocol::{
    Suite,
    bundle::{BundleContext, BundleSecret},
    envelope,
};
use armour_storage::{Actor, BundleRow, NewBundle, NewEvent, StorageError, Tx, bundle_secret};
use axum::extract::FromRef;
use axum::{
    Json as Answer,
    extract::State,
    http::{StatusCode, request::Parts},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ed25519_dalek::VerifyingKey;
use rand::Rng;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::audit::routes::{Since, consistent, log_head};
use crate::{
    http::extract::{Id, Json, Params},
    http::problem::{ApiError, ApiResult},
    identity::authn::{self, Authn, EndpointAuth, Route, denial::Denied, dpop},
    ledger::collision::{Found, record_collision},
};

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(token))
        .routes(routes!(own))
        .routes(routes!(log))
        .routes(routes!(heartbeat))
        .routes(routes!(request_bundle))
        .routes(routes!(grant))
        .routes(routes!(acknowledge))
        .routes(routes!(disown))
        .routes(routes!(disown_successor))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Pinned {
    /// Size of the audit log's head that the endpoint has pinned.
    pinned: Option<u64>,
}

/// Gives an access token to the holder of an endpoint's key, to which the token is
/// bound (RFC 9449, section 5).
#[utoipa::path(post, path = "/v1/endpoint/token", tag = "endpoint", request_body = TokenRequest,
    params(("DPoP" = String, Header, description = "A proof with the endpoint's Ed25519 key")),
    security(()),
    responses((status = 200, body = AccessToken), (status = "4XX", body = Problem)))]
async fn token(
    State(authn): State<Arc<Authn>>,
    parts: Parts,
    Json(ask): Json<TokenRequest>,
) -> ApiResult<Answer<AccessToken>> {
    let proof = dpop::check(&parts, &authn, None)?;
    let mut tx = authn.store.tenant(ask.tenant_id).await?;
    let endpoint = tx.endpoints().find(ask.endpoint_id).await;
    drop(tx);
    let endpoint = match endpoint {
        Ok(endpoint) => endpoint,
        Err(StorageError::NotFound) => return Err(dpop::invalid("it is of no known endpoint")),
        Err(error) => return Err(error.into()),
    };
    let route = Route::of(&parts);
    let denied = Denied {
        tenant: ask.tenant_id,
        actor: Actor::Endpoint(endpoint.id),
        route: &route,
    };
    let key = STANDARD
        .decode(&endpoint.signing_key)
        .map_err(ApiError::internal)?;
    if URL_SAFE_NO_PAD.encode(key) != proof.key {
        authn
            .denials
            .note(&denied, "a proof with another key")
            .await;
        return Err(dpop::invalid("it is of no known endpoint"));
    }
    dpop::consume(&authn, ask.tenant_id, &proof).await?;
    if endpoint.state == EndpointState::Revoked {
        authn
            .denials
            .note(&denied, "the endpoint was revoked")
            .await;
        return Err(authn::revoked());
    }
    let issued =
        authn::issue_access_token(&authn, ask.tenant_id, endpoint.id, proof.thumbprint).await?;
    Ok(Answer(issued))
}

/// The calling endpoint and its pairs.
#[utoipa::path(get, path = "/v1/endpoint", tag = "endpoint",
    responses((status = 200, body = EndpointSelf), (status = "4XX", body = Problem)))]
async fn own(mut caller: EndpointAuth) -> ApiResult<Answer<EndpointSelf>> {
    let pairs = caller
        .tx
        .pairs()
        .list(Some(caller.endpoint.party_id), None)
        .await?
        .items;
    let draws = caller
        .tx
        .endpoints()
        .issuance_counter(caller.endpoint.id)
        .await?;
    Ok(Answer(EndpointSelf {
        endpoint: caller.endpoint,
        pairs,
        draws,
    }))
}

/// The audit log's latest head, and how it follows from one that the endpoint has
/// pinned.
#[utoipa::path(get, path = "/v1/endpoint/log", tag = "endpoint", params(Since),
    responses((status = 200, body = LogHead), (status = "4XX", body = Problem)))]
async fn log(mut caller: EndpointAuth, Params(since): Params<Since>) -> ApiResult<Answer<LogHead>> {
    Ok(Answer(log_head(&mut caller.tx, since.since).await?))
}

/// A sign of life. The answer tells the state of the bundles asked about and,
/// to their consumer, the ledger's lane heads: it must own every one of them.
#[utoipa::path(post, path = "/v1/endpoint/heartbeat", tag = "endpoint", request_body = Heartbeat,
    responses((status = 200, body = HeartbeatAck), (status = "4XX", body = Problem)))]
async fn heartbeat(
    mut caller: EndpointAuth,
    Json(heartbeat): Json<Heartbeat>,
) -> ApiResult<Answer<HeartbeatAck>> {
    if heartbeat.bundles.len() > 1000 {
        return Err(ApiError::invalid("at most 1000 bundles a heartbeat"));
    }
    if caller.tx.endpoints().touch(caller.endpoint.id).await? {
        let actor = caller.actor();
        let id = caller.endpoint.id;
        caller
            .tx
            .audit_log()
            .append(&actor, "endpoint.back", id, json!({}))
            .await?;
        caller
            .tx
            .events()
            .record(&NewEvent {
                kind: "endpoint.back",
                endpoint: Some(caller.endpoint.id),
                detail: json!({ "name": caller.endpoint.name }),
                ..NewEvent::default()
            })
            .await?;
    }
    if let Some(error) = &heartbeat.error {
        // Told by an agent, shown to people.
        let error: String = error
            .chars()
            .filter(|c| !c.is_control())
            .take(300)
            .collect();
        caller
            .tx
            .endpoints()
            .record_error(caller.endpoint.id, &error)
            .await?;
    }
    caller
        .tx
        .disconnect_acknowledgements()
        .record(caller.endpoint.id, &heartbeat.bundles)
        .await?;
    let mut bundles = Vec::with_capacity(heartbeat.bundles.len());
    for id in heartbeat.bundles {
        let bundle = match caller.tx.bundles().find(id).await {
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
            true => caller.tx.lanes().heads(id).await?,
            false => Vec::new(),
        };
        bundles.push(BundleStatus {
            id,
            state: bundle.state,
            lanes,
        });
    }
    let log_behind = match heartbeat.log_size {
        Some(seen) => seen > caller.tx.audit_log().size().await?,
        None => false,
    };
    let server_time = caller.tx.now();
    caller.tx.commit().await?;
    Ok(Answer(HeartbeatAck {
        server_time,
        bundles,
        log_behind,
    }))
}

/// Draws a bundle: mints its secret and seals it to both endpoints. The
/// endpoint's active bundle of the pair is superseded.
#[utoipa::path(post, path = "/v1/endpoint/bundles", tag = "endpoint", request_body = DrawBundle,
    responses((status = 201, body = BundleGrant), (status = "4XX", body = Problem)))]
async fn request_bundle(
    mut caller: EndpointAuth,
    Json(ask): Json<DrawBundle>,
) -> ApiResult<(StatusCode, Answer<BundleGrant>)> {
    let actor = caller.actor();
    let (tx, consumer) = (&mut caller.tx, &caller.endpoint);
    if tx.pairs().lock(ask.pair_id).await? == PairState::Disconnected {
        return Err(ApiError::conflict(
            "pair-disconnected",
            "the pair is disconnected; an member must re-arm it",
        ));
    }
    let pair = tx.pairs().find(ask.pair_id).await?;
    if pair.consumer_id != consumer.party_id {
        return Err(ApiError::not_found("no such pair of this consumer"));
    }
    let producer = tx
        .endpoints()
        .latest_of_producer(pair.producer_id)
        .await
        .map_err(|error| match error {
            StorageError::NotFound => {
                ApiError::conflict("no-producer", "the producer has no active endpoint yet")
            }
            other => other.into(),
        })?;
    if let Some(number) = ask.number
        && !tx
            .endpoints()
            .advance_issuance_counter(consumer.id, number)
            .await?
    {
        return Err(ApiError::conflict(
            "draw-over",
            "the endpoint has made a later draw; number the next one after it",
        ));
    }
    let id = Uuid::now_v7();
    let superseded = tx.bundles().supersede(pair.id, consumer.id).await?;
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
    let (for_consumer, for_producer) = mint(&context, consumer, &producer)?;
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
    if let Some(earlier) = superseded {
        tx.audit_log()
            .append(
                &actor,
                "bundle.supersede",
                earlier,
                json!({ "successor": id }),
            )
            .await?;
        tx.events()
            .record(&NewEvent {
                kind: "bundle.superseded",
                pair: Some(pair.id),
                bundle: Some(earlier),
                detail: json!({ "successor": id }),
                ..Default::default()
            })
            .await?;
    }
    tx.audit_log()
        .append(
            &actor,
            "bundle.mint",
            id,
            json!({ "pair_id": pair.id, "supersedes": superseded }),
        )
        .await?;
    tx.events()
        .record(&NewEvent {
            kind: "bundle.minted",
            pair: Some(pair.id),
            bundle: Some(id),
            ..Default::default()
        })
        .await?;
    let bundle = tx.bundles().find_for_share(id).await?;
    let grant = grant_of(&mut caller, &bundle, ask.pinned).await?;
    caller.tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(grant)))
}

/// A bundle of the calling endpoint, with the secret sealed to it until that
/// is acknowledged.
#[utoipa::path(get, path = "/v1/endpoint/bundles/{id}", tag = "endpoint",
    params(("id" = Uuid, Path), Pinned),
    responses((status = 200, body = BundleGrant), (status = "4XX", body = Problem)))]
async fn grant(
    mut caller: EndpointAuth,
    Id(id): Id,
    Params(pinned): Params<Pinned>,
) -> ApiResult<Answer<BundleGrant>> {
    let bundle = own_bundle(&mut caller, id).await?;
    Ok(Answer(grant_of(&mut caller, &bundle, pinned.pinned).await?))
}

/// The endpoint holds the secret: the control plane erases its copy.
#[utoipa::path(post, path = "/v1/endpoint/bundles/{id}/acknowledge", tag = "endpoint",
    params(("id" = Uuid, Path)), responses((status = 204), (status = "4XX", body = Problem)))]
async fn acknowledge(mut caller: EndpointAuth, Id(id): Id) -> ApiResult<StatusCode> {
    let actor = caller.actor();
    let bundle = own_bundle(&mut caller, id).await?;
    caller.tx.pairs().lock(bundle.pair).await?;
    caller
        .tx
        .bundles()
        .erase_secret(id, caller.endpoint.role)
        .await?;
    caller
        .tx
        .audit_log()
        .append(&actor, "bundle.acknowledge", id, json!({}))
        .await?;
    caller.tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The consumer says that a recorded ticket is not its own: a collision.
#[utoipa::path(post, path = "/v1/endpoint/disown", tag = "endpoint", request_body = Disown,
    responses((status = 204), (status = "4XX", body = Problem)))]
async fn disown(mut caller: EndpointAuth, Json(word): Json<Disown>) -> ApiResult<StatusCode> {
    let bundle = caller.tx.bundles().find(word.bundle_id).await?;
    if bundle.consumer_endpoint_id != caller.endpoint.id {
        return Err(ApiError::not_found("no such bundle of this consumer"));
    }
    caller.tx.pairs().lock(bundle.pair_id).await?;
    let recorded = caller.tx.lanes().head(word.bundle_id, word.lane).await?;
    if recorded.is_none_or(|head| head.ticket.n < word.n) {
        return Err(ApiError::conflict(
            "not-recorded",
            "the ledger holds no such ticket",
        ));
    }
    let bundle = caller.tx.bundles().find_for_share(word.bundle_id).await?;
    let found = Found {
        bundle,
        kind: CollisionKind::Disowned,
        lane: word.lane,
        n: word.n,
        recorded,
        reported: None,
        reporter: caller.endpoint.id,
    };
    record_collision(&mut caller.tx, &found).await?;
    caller.tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The consumer says that its bundle was superseded by a draw that is not its own: a
/// collision.
#[utoipa::path(post, path = "/v1/endpoint/bundles/{id}/disown-successor", tag = "endpoint",
    params(("id" = Uuid, Path)), responses((status = 204), (status = "4XX", body = Problem)))]
async fn disown_successor(mut caller: EndpointAuth, Id(id): Id) -> ApiResult<StatusCode> {
    let bundle = caller.tx.bundles().find(id).await?;
    if bundle.consumer_endpoint_id != caller.endpoint.id {
        return Err(ApiError::not_found("no such bundle of this consumer"));
    }
    caller.tx.pairs().lock(bundle.pair_id).await?;
    let bundle = caller.tx.bundles().find_for_share(id).await?;
    if bundle.state == BundleState::Active {
        return Err(ApiError::conflict(
            "not-superseded",
            "the bundle has no successor",
        ));
    }
    let found = Found {
        bundle,
        kind: CollisionKind::Usurped,
        lane: 0,
        n: 0,
        recorded: None,
        reported: None,
        reporter: caller.endpoint.id,
    };
    // One that was disconnected meanwhile is dead already.
    if found.bundle.state == BundleState::Superseded {
        record_collision(&mut caller.tx, &found).await?;
    }
    caller.tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Mints a bundle's secret. Only what is sealed to the two endpoints leaves this
/// function.
fn mint(
    context: &BundleContext,
    consumer: &Endpoint,
    producer: &Endpoint,
) -> ApiResult<(Vec<u8>, Vec<u8>)> {
    let mut rng = rand::rng();
    let mut bytes = Zeroizing::new([0u8; 32]);
    rng.fill_bytes(&mut *bytes);
    let secret = BundleSecret::from_bytes(*bytes);
    let mut seal = |endpoint: &Endpoint| -> ApiResult<Vec<u8>> {
        let key = STANDARD
            .decode(&endpoint.kem_key)
            .map_err(ApiError::internal)?;
        envelope::seal(&key, context, &secret, &mut rng).map_err(ApiError::internal)
    };
    Ok((seal(consumer)?, seal(producer)?))
}

async fn own_bundle(caller: &mut EndpointAuth, id: Uuid) -> ApiResult<BundleRow> {
    // Read without a lock: locks are taken from the pair down.
    let bundle = caller.tx.bundles().find(id).await?;
    let me = caller.endpoint.id;
    if bundle.consumer_endpoint_id != me && bundle.producer_endpoint_id != me {
        return Err(ApiError::not_found("no such bundle of this endpoint"));
    }
    caller.tx.pairs().lock(bundle.pair_id).await?;
    Ok(caller.tx.bundles().find_for_share(id).await?)
}

async fn grant_of(
    caller: &mut EndpointAuth,
    row: &BundleRow,
    pinned: Option<u64>,
) -> ApiResult<BundleGrant> {
    let tx = &mut caller.tx;
    let bundle = tx.bundles().find(row.id).await?;
    let pair = tx.pairs().find(row.pair).await?;
    let consumer = tx.endpoints().find(row.consumer).await?;
    let producer = tx.endpoints().find(row.producer).await?;
    let secret = tx
        .secrets()
        .get(&bundle_secret(row.id, caller.endpoint.role))
        .await?;
    let log = match pinned {
        None => None,
        Some(pinned) => Some(key_proof(tx, Some(pinned), &[row.consumer, row.producer]).await?),
    };
    Ok(BundleGrant {
        bundle,
        policy: pair.policy,
        tenant_id: tx.tenant_id(),
        consumer_signing_key: consumer.signing_key,
        producer_signing_key: producer.signing_key,
        producer_address: producer.address,
        sealed_secret: secret.map(|secret| STANDARD.encode(&*secret)),
        log,
    })
}

/// What the audit log says of endpoints' keys, and how it follows from the head
/// that the caller knows.
pub async fn key_proof(tx: &mut Tx, known: Option<u64>, endpoints: &[Uuid]) -> ApiResult<KeyProof> {
    let head = tx.audit_tree().latest_head().await?;
    let mut keys = Vec::new();
    for endpoint in endpoints {
        let entry = tx.endpoints().enrolment_entry(*endpoint).await?;
        let inclusion = tx
            .audit_tree()
            .prove_inclusion(entry.seq, head.size)
            .await?;
        keys.push(EnrolProof { entry, inclusion });
    }
    Ok(KeyProof {
        consistency: consistent(tx, known, head.size).await?,
        head,
        keys,
    })
}

fn verifying_key(text: &str) -> ApiResult<VerifyingKey> {
    stored_key(&STANDARD.decode(text).map_err(ApiError::internal)?)
}

/// A key of the database's.
pub fn stored_key(bytes: &[u8]) -> ApiResult<VerifyingKey> {
    let bytes = bytes
        .try_into()
        .map_err(|_| ApiError::internal("a stored key"))?;
    VerifyingKey::from_bytes(bytes).map_err(ApiError::internal)
}
