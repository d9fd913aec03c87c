//! Enrolment tokens, as operators hand them out.

use armour_api::{CreatedSecret, EnrolmentToken, NewEnrolmentToken, Page, ProblemType};
use armour_storage::PairingAction;
use axum::{Json as Answer, http::StatusCode};
use chrono::Duration;

use crate::{
    http::{
        extract::{Cursor, Json, Params},
        problem::{ApiError, ApiResult},
    },
    identity::{
        authn::Member,
        token::{self, Kind},
    },
};

/// Creates an enrolment token: one use, expiring, shown this once.
#[utoipa::path(post, path = "/v1/enrolment-tokens", tag = "enrolment",
    request_body = NewEnrolmentToken,
    extensions(("x-problems" = json!([ProblemType::NotFound]))),
    responses((status = 201, body = CreatedSecret)))]
pub(super) async fn create(
    mut member: Member,
    Json(new): Json<NewEnrolmentToken>,
) -> ApiResult<(StatusCode, Answer<CreatedSecret>)> {
    let seconds = new.expires_in_s.unwrap_or(3600);
    if !(60..=604_800).contains(&seconds) {
        return Err(ApiError::invalid("expires_in_s must be from 60 to 604800"));
    }
    let actor = member.actor();
    let tx = &mut member.tx;
    let (text, token) = token::mint(Kind::Enrolment, tx);
    let expires = tx.now() + Duration::seconds(seconds.into());
    tx.enrolment_tokens()
        .create(token.id, new.role, new.party_id, &token.hash, expires)
        .await?;
    let action = PairingAction::EnrolmentTokenCreate {
        id: token.id,
        role: new.role,
        party_id: new.party_id,
        expires_at: expires,
    };
    tx.audit_log().append(&actor, action).await?;
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
    responses((status = 200, body = Page<EnrolmentToken>)))]
pub(super) async fn list(
    mut member: Member,
    Params(cursor): Params<Cursor>,
) -> ApiResult<Answer<Page<EnrolmentToken>>> {
    Ok(Answer(
        member.tx.enrolment_tokens().list(cursor.cursor).await?,
    ))
}
