//! `/v1/enrolment-tokens` and `/v1/enrol`: how an agent becomes an endpoint.

use armour_api::{
    CreatedSecret, Endpoint, Enrol, EnrolmentToken, NewEnrolmentToken, Page, Problem, Role,
};
use armour_storage::{Actor, Counted, NewEndpoint, NewEvent, StorageError, Tx};
use axum::extract::FromRef;
use axum::{Json as Answer, extract::State, http::StatusCode, http::request::Parts};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::Duration;
use serde_json::json;
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    http::extract::{Cursor, Id, Json, Params, check_text},
    http::problem::{ApiError, ApiResult},
    identity::authn::{self, Authn, Member, Route, denial::Denied},
    identity::oidc::{Oidc, workload},
    identity::token::{self, Kind, Token},
};

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Arc<Oidc>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(enrol))
        .routes(routes!(enrol_workload))
}

/// Creates an enrolment token: one use, expiring, shown this once.
#[utoipa::path(post, path = "/v1/enrolment-tokens", tag = "enrolment",
    request_body = NewEnrolmentToken,
    responses((status = 201, body = CreatedSecret), (status = "4XX", body = Problem)))]
async fn create(
    mut member: Member,
    Json(new): Json<NewEnrolmentToken>,
) -> ApiResult<(StatusCode, Answer<CreatedSecret>)> {
    let seconds = new.expires_in_s.unwrap_or(3600);
    if !(60..=604_800).contains(&seconds) {
        return Err(ApiError::invalid("expires_in_s must be from 60 to 604800"));
    }
    let actor = member.actor();
    let tx = &mut member.tx;
    let (text, token) = token::mint(Kind::Enrolment, tx.tenant_id());
    let expires = tx.now() + Duration::seconds(seconds.into());
    tx.enrolment_tokens()
        .create(token.id, new.role, new.party_id, &token.hash, expires)
        .await?;
    let detail = json!({ "role": new.role, "party_id": new.party_id, "expires_at": expires });
    tx.audit_log()
        .append(&actor, "enrolment-token.create", token.id, detail)
        .await?;
    member.tx.commit().await?;
    Ok((
        StatusCode::CREATED,
        Answer(CreatedSecret {
            id: token.id,
            token: text,
        }),
    ))
}

/// Lists enrolment tokens, without their secrets.
#[utoipa::path(get, path = "/v1/enrolment-tokens", tag = "enrolment", params(Cursor),
    responses((status = 200, body = Page<EnrolmentToken>), (status = "4XX", body = Problem)))]
async fn list(
    mut member: Member,
    Params(cursor): Params<Cursor>,
) -> ApiResult<Answer<Page<EnrolmentToken>>> {
    Ok(Answer(
        member.tx.enrolment_tokens().list(cursor.cursor).await?,
    ))
}

/// Enrols an agent; the bearer token is the enrolment token.
#[utoipa::path(post, path = "/v1/enrol", tag = "enrolment", request_body = Enrol,
    responses((status = 201, body = Endpoint), (status = "4XX", body = Problem)))]
async fn enrol(
    State(authn): State<Arc<Authn>>,
    parts: Parts,
    Json(new): Json<Enrol>,
) -> ApiResult<(StatusCode, Answer<Endpoint>)> {
    let token = token::parse(authn::bearer(&parts)?)
        .filter(|token| token.kind == Kind::Enrolment)
        .ok_or_else(spent)?;
    let keys = Keys::read(&new)?;
    let mut tx = authn.store.tenant(token.tenant).await?;
    let (role, party) = match tx
        .enrolment_tokens()
        .consume(token.id, &token.hash, authn.now())
        .await
    {
        Ok(admitted) => admitted,
        Err(StorageError::NotFound) => {
            drop(tx);
            note_spent(&authn, &parts, &token).await?;
            return Err(spent());
        }
        Err(error) => return Err(error.into()),
    };
    let admission = Admission {
        actor: Actor::Enrolment(token.id),
        role,
        party,
    };
    let endpoint = admit(&mut tx, &admission, &new, &keys).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(endpoint)))
}

/// Enrols a workload in a tenant; the bearer token is one of an issuer that the
/// tenant trusts, a Kubernetes service account's for example.
#[utoipa::path(post, path = "/v1/enrol/workload/{id}", tag = "enrolment",
    params(("id" = Uuid, Path, description = "The tenant")), request_body = Enrol,
    responses((status = 201, body = Endpoint), (status = "4XX", body = Problem),
              (status = 502, body = Problem)))]
async fn enrol_workload(
    State(oidc): State<Arc<Oidc>>,
    parts: Parts,
    Id(tenant): Id,
    Json(new): Json<Enrol>,
) -> ApiResult<(StatusCode, Answer<Endpoint>)> {
    let keys = Keys::read(&new)?;
    let workload = workload::identify(&oidc, tenant, authn::bearer(&parts)?).await?;
    let admission = Admission {
        actor: Actor::Workload {
            issuer: workload.issuer,
            subject: workload.subject,
        },
        role: workload.rule.role,
        party: workload.rule.party_id,
    };
    let mut tx = oidc.store.tenant(tenant).await?;
    let endpoint = admit(&mut tx, &admission, &new, &keys).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(endpoint)))
}

/// Who vouches for an agent, and what it may become.
struct Admission {
    actor: Actor,
    role: Role,
    party: Uuid,
}

struct Keys {
    signing: [u8; 32],
    kem: [u8; 32],
}

impl Keys {
    fn read(new: &Enrol) -> ApiResult<Self> {
        check_text("name", &new.name, 100)?;
        check_text("version", &new.version, 50)?;
        let signing = key("signing_key", &new.signing_key)?;
        ed25519_dalek::VerifyingKey::from_bytes(&signing)
            .ok()
            .filter(|key| !key.is_weak())
            .ok_or_else(|| ApiError::invalid("signing_key is not an Ed25519 public key"))?;
        let kem = key("kem_key", &new.kem_key)?;
        Ok(Self { signing, kem })
    }
}

async fn admit(
    tx: &mut Tx,
    admission: &Admission,
    new: &Enrol,
    keys: &Keys,
) -> ApiResult<Endpoint> {
    let role = admission.role;
    match (role, &new.address) {
        (Role::Producer, Some(address)) => check_address(address)?,
        (Role::Producer, None) => {
            return Err(ApiError::invalid("a producer's endpoint needs an address"));
        }
        (Role::Consumer, Some(_)) => {
            return Err(ApiError::invalid("a consumer's endpoint has no address"));
        }
        (Role::Consumer, None) => {}
    }
    tx.quotas().check(Counted::Endpoints).await?;
    let id = Uuid::now_v7();
    // The entry that agents will ask for proof of: whose keys these are.
    let detail = json!({
        "role": role,
        "party_id": admission.party,
        "name": new.name,
        "signing_key": STANDARD.encode(keys.signing),
        "kem_key": STANDARD.encode(keys.kem),
    });
    let enrol_entry = tx
        .audit_log()
        .append(&admission.actor, "endpoint.enrol", id, detail)
        .await?;
    let endpoint = tx
        .endpoints()
        .create(&NewEndpoint {
            id,
            role,
            party: admission.party,
            name: &new.name,
            signing_key: &keys.signing,
            kem_key: &keys.kem,
            address: new.address.as_deref(),
            version: &new.version,
            enrol_entry: &enrol_entry,
        })
        .await?;
    tx.events()
        .record(&NewEvent {
            kind: "endpoint.enrolled",
            endpoint: Some(endpoint.id),
            detail: json!({ "role": role, "name": endpoint.name }),
            ..Default::default()
        })
        .await?;
    Ok(endpoint)
}

fn spent() -> ApiError {
    ApiError::unauthenticated("the enrolment token is not valid, or was used")
}

/// A token that exists, but is used, expired or wrong, is somebody's attempt.
async fn note_spent(authn: &Authn, parts: &Parts, token: &Token) -> ApiResult<()> {
    let mut tx = authn.store.tenant(token.tenant).await?;
    let known = tx.enrolment_tokens().exists(token.id).await?;
    drop(tx);
    if known {
        let denied = Denied {
            tenant: token.tenant,
            actor: Actor::Enrolment(token.id),
            route: &Route::of(parts),
        };
        authn
            .denials
            .note(
                &denied,
                "the enrolment token was used, has expired or is wrong",
            )
            .await;
    }
    Ok(())
}

fn key(field: &str, text: &str) -> ApiResult<[u8; 32]> {
    STANDARD
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| ApiError::invalid(format!("{field} must be 32 bytes in base64")))
}

fn check_address(address: &str) -> ApiResult<()> {
    let uri: Option<http::Uri> = address.parse().ok().filter(|_| address.len() <= 300);
    match uri {
        Some(uri)
            if matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
                && matches!(uri.path(), "" | "/")
                && uri.query().is_none() =>
        {
            Ok(())
        }
        _ => Err(ApiError::invalid(
            "address must be http://host:port or https://host:port",
        )),
    }
}
