//! `/v1/platform/…` and `/v1/keys`: the service's own keys and its audit log.

use std::sync::Arc;

use armour_api::{
    AuditEntry, KeyRotation, KeyVersion, NewKeyRotation, Page, ProblemType, SigningKey, System,
};
use armour_storage::{Actor, AuditFilter, Store};
use axum::{
    Json as Answer,
    extract::{FromRef, Path, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    audit::routes::Before,
    http::{
        extract::{Id, Json, Params},
        problem::{ApiError, ApiResult},
    },
    identity::authn::{Authn, Platform, signing},
    platform::egress::Egresses,
    platform_admin::master_keys,
};

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Store: FromRef<S>,
    Egresses: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(jwks))
        .routes(routes!(key_versions))
        .routes(routes!(retire))
        .routes(routes!(rotate, rotations))
        .routes(routes!(rotation_))
        .routes(routes!(signing_keys, rotate_signing_key))
        .routes(routes!(audit))
        .routes(routes!(system))
}

/// The keys that sign endpoints' access tokens, as a JSON Web Key Set (RFC 7517).
#[utoipa::path(get, path = "/v1/keys", tag = "platform", security(()),
    responses((status = 200, body = Object)))]
async fn jwks(
    State(authn): State<Arc<Authn>>,
) -> ApiResult<([(HeaderName, HeaderValue); 1], Answer<Value>)> {
    // Shorter than a new key is published before it signs.
    let cache = HeaderValue::from_static("public, max-age=30");
    let keys = authn.signing.jwks(&authn.store).await?;
    Ok(([(header::CACHE_CONTROL, cache)], Answer(keys)))
}

/// Versions of the master key, and what they are for.
#[utoipa::path(get, path = "/v1/platform/master-keys", tag = "platform",
    responses((status = 200, body = Vec<KeyVersion>)))]
async fn key_versions(
    _: Platform,
    State(store): State<Store>,
) -> ApiResult<Answer<Vec<KeyVersion>>> {
    Ok(Answer(store.platform().await?.key_versions().list().await?))
}

/// Retires a version: from then on it is refused even where it is still loaded.
#[utoipa::path(post, path = "/v1/platform/master-keys/{version}/retire", tag = "platform",
    params(("version" = i32, Path)),
    extensions(("x-problems" = json!([
        ProblemType::KeyActive, ProblemType::KeyInUse, ProblemType::RotationRunning
    ]))),
    responses((status = 204)))]
async fn retire(
    platform: Platform,
    State(store): State<Store>,
    version: Result<Path<i32>, axum::extract::rejection::PathRejection>,
) -> ApiResult<StatusCode> {
    let Ok(Path(version)) = version else {
        return Err(ApiError::not_found("no such version"));
    };
    master_keys::retire(&store, platform, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Begins a rotation: the version seals from now on, and workers seal anew what is
/// under others.
#[utoipa::path(post, path = "/v1/platform/rotations", tag = "platform",
    request_body = NewKeyRotation,
    extensions(("x-problems" = json!([
        ProblemType::KeyNotLoaded, ProblemType::RotationRunning, ProblemType::NotFound
    ]))),
    responses((status = 201, body = KeyRotation)))]
async fn rotate(
    platform: Platform,
    State(store): State<Store>,
    Json(new): Json<NewKeyRotation>,
) -> ApiResult<(StatusCode, Answer<KeyRotation>)> {
    let rotation = master_keys::begin_rotation(&store, platform, new.to_version).await?;
    Ok((StatusCode::CREATED, Answer(rotation)))
}

/// Lists rotations, latest first.
#[utoipa::path(get, path = "/v1/platform/rotations", tag = "platform",
    responses((status = 200, body = Vec<KeyRotation>)))]
async fn rotations(_: Platform, State(store): State<Store>) -> ApiResult<Answer<Vec<KeyRotation>>> {
    Ok(Answer(store.platform().await?.rotations().list().await?))
}

/// One rotation, and how far it has come.
#[utoipa::path(get, path = "/v1/platform/rotations/{id}", tag = "platform",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = KeyRotation)))]
async fn rotation_(
    _: Platform,
    State(store): State<Store>,
    Id(id): Id,
) -> ApiResult<Answer<KeyRotation>> {
    Ok(Answer(store.platform().await?.rotations().find(id).await?))
}

/// Keys that sign access tokens, latest first.
#[utoipa::path(get, path = "/v1/platform/signing-keys", tag = "platform",
    responses((status = 200, body = Vec<SigningKey>)))]
async fn signing_keys(
    _: Platform,
    State(store): State<Store>,
) -> ApiResult<Answer<Vec<SigningKey>>> {
    Ok(Answer(store.platform().await?.signing_keys().list().await?))
}

/// Adds a signing key: published now, used in a minute; the earlier ones retire
/// once all that they signed has expired.
#[utoipa::path(post, path = "/v1/platform/signing-keys", tag = "platform",
    responses((status = 201, body = Vec<SigningKey>)))]
async fn rotate_signing_key(
    platform: Platform,
    State(store): State<Store>,
) -> ApiResult<(StatusCode, Answer<Vec<SigningKey>>)> {
    let mut tx = platform.begin(&store).await?;
    signing::add(&mut tx, &Actor::Platform, None).await?;
    let keys = tx.signing_keys().list().await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(keys)))
}

/// Replicas, the database, and what waits.
#[utoipa::path(get, path = "/v1/platform/system", tag = "platform",
    responses((status = 200, body = System)))]
async fn system(
    _: Platform,
    State(store): State<Store>,
    State(egresses): State<Egresses>,
) -> ApiResult<Answer<System>> {
    let mut tx = store.platform().await?;
    let system = tx.system(store.now()).await?;
    Ok(Answer(System {
        outward: Some(egresses.outward().clone()),
        ..system
    }))
}

/// Lists what was done to the platform itself, latest first.
#[utoipa::path(get, path = "/v1/platform/audit", tag = "platform", params(Before),
    responses((status = 200, body = Page<AuditEntry>)))]
async fn audit(
    _: Platform,
    State(store): State<Store>,
    Params(before): Params<Before>,
) -> ApiResult<Answer<Page<AuditEntry>>> {
    let filter = AuditFilter {
        before: before.cursor,
        ..AuditFilter::default()
    };
    let mut tx = store.platform().await?;
    Ok(Answer(tx.audit_log().list(&filter).await?))
}
