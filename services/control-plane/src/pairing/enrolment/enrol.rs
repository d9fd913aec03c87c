//! Enrolment with a token.

use std::sync::Arc;

use armour_api::{Endpoint, Enrol, ProblemType};
use armour_storage::{Actor, StorageError, Tx, Urgency};
use axum::{
    Json as Answer,
    extract::State,
    http::{StatusCode, request::Parts},
};

use super::admission::{Admission, Keys, admit};
use crate::{
    http::{
        extract::Json,
        problem::{ApiError, ApiResult},
    },
    identity::{
        authn::{
            self, Authn, Route,
            denial::{Attempt, Denied},
        },
        token::{self, Kind, Token},
    },
};

/// Enrols an agent; the bearer token is the enrolment token.
#[utoipa::path(post, path = "/v1/enrol", tag = "enrolment", request_body = Enrol,
    extensions(("x-problems" = json!([
        ProblemType::Unauthenticated, ProblemType::AlreadyExists, ProblemType::OverQuota
    ]))),
    responses((status = 201, body = Endpoint)))]
pub(super) async fn enrol(
    State(authn): State<Arc<Authn>>,
    parts: Parts,
    Json(new): Json<Enrol>,
) -> ApiResult<(StatusCode, Answer<Endpoint>)> {
    let token = token::parse(authn::bearer(&parts)?.token())
        .filter(|token| token.kind == Kind::Enrolment)
        .ok_or_else(spent)?;
    let keys = Keys::read(&new)?;
    let (mut tx, admission) = consume(&authn, &parts, &token).await?;
    let endpoint = admit(&mut tx, &admission, &new, &keys).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(endpoint)))
}

/// Uses up the token, which works once; the attempt to use another is noted.
async fn consume(authn: &Authn, parts: &Parts, token: &Token) -> ApiResult<(Tx, Admission)> {
    let mut tx = authn
        .store
        .tenant_unproven(token.tenant, Urgency::Members)
        .await?;
    let consumed = tx
        .enrolment_tokens()
        .consume(token.id, &token.hash, authn.now())
        .await;
    match consumed {
        Ok((role, party)) => {
            let actor = Actor::Enrolment(token.id);
            Ok((tx, Admission { actor, role, party }))
        }
        Err(StorageError::NotFound) => {
            drop(tx);
            note_spent(authn, parts, token).await?;
            Err(spent())
        }
        Err(error) => Err(error.into()),
    }
}

/// A token that exists, but is used, expired or wrong, is somebody's attempt.
async fn note_spent(authn: &Authn, parts: &Parts, token: &Token) -> ApiResult<()> {
    let mut tx = authn
        .store
        .tenant_unproven(token.tenant, Urgency::Members)
        .await?;
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
                Attempt::Guess,
                "the enrolment token was used, has expired or is wrong",
            )
            .await;
    }
    Ok(())
}

fn spent() -> ApiError {
    ApiError::unauthenticated("the enrolment token is not valid, or was used")
}
