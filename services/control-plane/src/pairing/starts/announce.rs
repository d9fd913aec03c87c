//! Announcing a start.

use std::{sync::Arc, time::Duration};

use armour_api::{AnnounceStart, CollisionKind, Endpoint, ProblemType, StartAccepted};
use armour_protocol::v2::{
    VERSION,
    identity::{
        IdentityError,
        judge::{ANSWER_MS, StartCollision, StartVerdict},
        start::SignedStart,
    },
};
use armour_storage::{Actor, NewEvent, NewStart, Tx, Urgency};
use axum::{Json as Answer, extract::State, http::request::Parts};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;
use uuid::Uuid;

use super::{
    accept::{Announced, accept},
    dispute,
    lookup::{find, unknown},
    verdict::{Known, judge},
};
use crate::{
    http::{
        extract::{Json, check_text},
        problem::{ApiError, ApiResult},
        rate_limit::{self, Class, Source},
    },
    identity::authn::{
        Authn, NotLiving, Route, collided,
        denial::Denied,
        refuse,
        signed_calls::{KnownKeys, Signatory},
        start_ended,
    },
    ledger::collision::{Found, record_collision},
    pairing::enrolment::check_address,
};

/// How often the answer of the living start is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often a start is judged in one call: it may have to be asked about, and what is known
/// may change meanwhile.
const MAX_ROUNDS: usize = 4;

/// Announces a start of an endpoint: from here on it is the endpoint, and an earlier start's
/// bundles, tokens and links end. If the earlier one says within two seconds that it lives,
/// this one is refused, and people are told. The same start gets the same answer again.
#[utoipa::path(post, path = "/v1/endpoint/starts", tag = "endpoint",
    request_body = AnnounceStart, security(()),
    extensions(("x-problems" = json!([
        ProblemType::Unauthenticated, ProblemType::IdentityInUse, ProblemType::StartEnded,
        ProblemType::IdentityCollided, ProblemType::EndpointRevoked
    ]))),
    responses((status = 200, body = StartAccepted)))]
pub(super) async fn announce(
    State(authn): State<Arc<Authn>>,
    parts: Parts,
    Json(ask): Json<AnnounceStart>,
) -> ApiResult<Answer<StartAccepted>> {
    let start = STANDARD.decode(&ask.start).ok();
    let start = start.ok_or_else(|| ApiError::invalid("start is not a signed start"))?;
    let start = SignedStart::from_bytes(&start).map_err(|error| unreadable(error, &start))?;
    if let Some(host) = &ask.host {
        check_text("host", host, 255)?;
    }
    let id = Uuid::from_bytes(*start.unverified().endpoint());
    let (calls, source) = (&authn.signed_calls, Source::of(&parts.extensions));
    let by = Signatory {
        tenant: ask.tenant_id,
        endpoint: id,
    };
    let signed = |key: &VerifyingKey| start.verify(id.as_bytes(), key).is_ok();
    let is_known = calls.admit(source, by, |known| {
        known.long_term.is_some_and(|key| signed(&key))
    })?;
    let mut tx = match is_known {
        true => authn.store.tenant_for(ask.tenant_id, Urgency::Life).await?,
        false => {
            authn
                .store
                .tenant_unproven(ask.tenant_id, Urgency::Life)
                .await?
        }
    };
    let found = find(&mut tx, id).await?;
    drop(tx);
    // Nothing is locked, and nothing counts or is noted as the endpoint's, before its
    // signature is found.
    let Some((endpoint, key)) = found.filter(|(_, key)| signed(key)) else {
        calls.unverified(source);
        return Err(unknown());
    };
    let keys = KnownKeys {
        long_term: Some(key),
        start: None,
    };
    calls.verified(by, keys)?;
    let route = Route::of(&parts);
    let denied = Denied {
        tenant: ask.tenant_id,
        actor: Actor::Endpoint(endpoint.id),
        route: &route,
    };
    if let Some(address) = &ask.address {
        check_address(endpoint.role, Some(address))?;
    }
    rate_limit::consume(
        &parts,
        &authn.rates,
        &authn.store,
        ask.tenant_id,
        Class::Endpoints,
    )
    .await?;
    let announced = Announced {
        endpoint: &endpoint,
        new: NewStart {
            endpoint: endpoint.id,
            start: &start,
            host: ask.host.as_deref(),
            process: ask.process,
        },
        address: ask.address.as_deref(),
    };
    for _ in 0..MAX_ROUNDS {
        let mut tx = authn.store.tenant_for(ask.tenant_id, Urgency::Life).await?;
        match round(&mut tx, &announced, &key).await? {
            Round::Done(answer) => {
                tx.commit().await?;
                return answer.map(Answer);
            }
            Round::NotAny(why) => {
                tx.rollback().await?;
                return Err(refuse(&authn, &denied, why).await);
            }
            Round::Again => tx.commit().await?,
            Round::Wait => {
                tx.commit().await?;
                wait(&authn, ask.tenant_id, endpoint.id).await?;
            }
        }
    }
    Err(ApiError::new(
        ProblemType::Unavailable,
        "other starts of this endpoint are being judged; try again",
    ))
}

/// Why a start cannot be read, and which side to upgrade if it is of another version.
fn unreadable(error: IdentityError, start: &[u8]) -> ApiError {
    let (IdentityError::Version, Some(&theirs)) = (error, start.first()) else {
        return ApiError::invalid("start is not a signed start");
    };
    let side = if theirs > VERSION {
        "control plane"
    } else {
        "agent"
    };
    ApiError::invalid(format!(
        "the agent's start is of version {theirs} of the protocol, of which this control plane \
         speaks version {VERSION}: upgrade the {side}"
    ))
}

/// What came of judging a start.
enum Round {
    /// This is the answer; what was written is kept.
    Done(ApiResult<StartAccepted>),
    /// The endpoint may not start any more.
    NotAny(NotLiving),
    /// It is to be judged again.
    Again,
    /// Also, once the living start has answered.
    Wait,
}

async fn round(tx: &mut Tx, announced: &Announced<'_>, key: &VerifyingKey) -> ApiResult<Round> {
    let (endpoint, start) = (announced.endpoint, announced.new.start);
    let known = match Known::lock(tx, endpoint.id, start.unverified()).await? {
        Ok(known) => known,
        Err(why) => return Ok(Round::NotAny(why)),
    };
    let verdict = judge(start, key, &known, tx.now(), None)?;
    let done = |answer| Ok(Round::Done(answer));
    match verdict {
        StartVerdict::Repeat => match known.lives(start.unverified().hash()) {
            true => done(Ok(accepted(tx, announced))),
            false => done(Err(start_ended())),
        },
        StartVerdict::Accept { .. } => {
            accept(tx, announced, &Actor::Endpoint(endpoint.id)).await?;
            done(Ok(accepted(tx, announced)))
        }
        StartVerdict::Overtaken | StartVerdict::Declined => done(Err(start_ended())),
        StartVerdict::InUse => done(Err(dispute::refuse(tx, announced, &known).await?)),
        StartVerdict::BothEnd => {
            dispute::end_both(tx, endpoint.id).await?;
            Ok(Round::Again)
        }
        StartVerdict::Wait => Ok(Round::Wait),
        StartVerdict::Ask => {
            // Another start that is being asked about comes first.
            if !known.is_asking(tx.now()) {
                ask(tx, announced).await?;
            }
            Ok(Round::Wait)
        }
        StartVerdict::Collision(which) => {
            collide(tx, endpoint, start, &known, which).await?;
            done(Err(collided()))
        }
    }
}

fn accepted(tx: &Tx, announced: &Announced<'_>) -> StartAccepted {
    StartAccepted {
        endpoint_id: announced.endpoint.id,
        counter: announced.new.start.unverified().counter(),
        server_time: tx.now(),
    }
}

async fn ask(tx: &mut Tx, announced: &Announced<'_>) -> ApiResult<()> {
    let (endpoint, about) = (
        announced.endpoint.id,
        announced.new.start.unverified().hash(),
    );
    tx.presence_questions().ask(endpoint, about).await?;
    tx.events()
        .record(NewEvent::EndpointPresenceAsked {
            endpoint,
            start: &STANDARD.encode(about.0),
        })
        .await?;
    Ok(())
}

/// Waits until what was asked has an answer, is no longer asked, or can have no answer any more.
async fn wait(authn: &Authn, tenant: Uuid, endpoint: Uuid) -> ApiResult<()> {
    let looks = ANSWER_MS / LOOK_EVERY.as_millis() as u64 + 2;
    for _ in 0..looks {
        tokio::time::sleep(LOOK_EVERY).await;
        let mut tx = authn.store.tenant_for(tenant, Urgency::Life).await?;
        match tx.presence_questions().find(endpoint).await? {
            Some(question) if question.answer.is_none() => {
                let waited = (tx.now() - question.asked_at).num_milliseconds();
                if u64::try_from(waited).is_ok_and(|waited| waited > ANSWER_MS) {
                    return Ok(());
                }
            }
            _ => return Ok(()),
        }
    }
    Ok(())
}

async fn collide(
    tx: &mut Tx,
    endpoint: &Endpoint,
    start: &SignedStart,
    known: &Known,
    which: StartCollision,
) -> ApiResult<()> {
    let recorded = match which {
        StartCollision::Counter { recorded } | StartCollision::Ancestor { recorded } => {
            known.recorded(recorded)
        }
        StartCollision::Unknown { .. } => known.last(),
    };
    let said = start.unverified();
    record_collision(
        tx,
        &Found {
            endpoint: endpoint.id,
            role: endpoint.role,
            start: recorded.map_or(said.hash(), |recorded| recorded.unverified().hash()),
            kind: CollisionKind::Start,
            place: None,
            n: said.counter(),
            k: None,
            recorded: recorded.map(SignedStart::to_bytes),
            reported: Some(start.to_bytes()),
            reporter: endpoint.id,
        },
    )
    .await?;
    Ok(())
}
