//! Links as they come: judged under the endpoint's row lock, answered again with the same.

use std::sync::Arc;

use armour_api::{
    ChainHead, CollisionKind, Endpoint, EndpointState, LinkAnswer, LinkOutcome, ProblemType,
    SendLink,
};
use armour_protocol::v2::identity::{
    body::{LinkBody, LinkKind},
    judge::{KeySpan, LinkFacts, LinkVerdict, judge_link},
    link::SignedLink,
    mark::LinkMark,
};
use armour_storage::{Actor, KeyRow, StartRow, StorageError, Tx, Urgency};
use axum::{Json as Answer, extract::State, http::request::Parts};
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use super::{heartbeat, outcome, told::Told};
use crate::{
    http::{
        extract::Json,
        problem::{ApiError, ApiResult},
        rate_limit::{self, Class, Source},
    },
    identity::authn::{
        Authn, NotLiving, Route, collided,
        denial::Denied,
        refuse,
        signed_calls::{KnownKeys, Signatory},
    },
    ledger::collision::{Found, record_collision},
    pairing::{fenced::is_chain_fenced, starts},
};

/// Takes the next link of an endpoint's chain: a heartbeat, a request of bundles, or what
/// else an endpoint does. The chain's last link gets the same answer as before. What is
/// signed is in docs/protocol.md.
#[utoipa::path(post, path = "/v1/endpoint/links", tag = "endpoint", request_body = SendLink,
    security(()),
    extensions(("x-problems" = json!([
        ProblemType::Unauthenticated, ProblemType::NotThisChain, ProblemType::IdentityCollided,
        ProblemType::EndpointRevoked, ProblemType::RenewedTooSoon
    ]))),
    responses((status = 200, body = LinkAnswer)))]
pub(super) async fn send(
    State(authn): State<Arc<Authn>>,
    parts: Parts,
    Json(sent): Json<SendLink>,
) -> ApiResult<Answer<LinkAnswer>> {
    let link = STANDARD.decode(&sent.link).ok();
    let link = link.and_then(|bytes| SignedLink::from_bytes(&bytes).ok());
    let link = link.ok_or_else(|| ApiError::invalid("link is not a signed link"))?;
    let (calls, source) = (&authn.signed_calls, Source::of(&parts.extensions));
    let by = Signatory {
        tenant: sent.tenant_id,
        endpoint: Uuid::from_bytes(link.head().of().endpoint),
    };
    let is_known = calls.admit(source, by, |known| match &known.start {
        // At most two.
        Some((of, keys)) => of == link.head().of() && keys.iter().any(|key| link.is_signed_by(key)),
        None => false,
    })?;
    let urgency = match link.body() {
        LinkBody::Request(_) => Urgency::Draws,
        _ => Urgency::Life,
    };
    let mut tx = match is_known {
        true => authn.store.tenant_for(sent.tenant_id, urgency).await?,
        false => authn.store.tenant_unproven(sent.tenant_id).await?,
    };
    // Nothing is locked, and nothing counts as the endpoint's, before its signature is found.
    let Some(chain) = Chain::read(&mut tx, &link).await? else {
        calls.unverified(source);
        return Err(not_this_chain());
    };
    if !chain.signed {
        calls.unverified(source);
        // The renewal that made its key may be lost: its endpoint sends that again, above
        // this head.
        let ended = chain.start.ended_at.is_some();
        return match chain.fenced && !ended {
            true => Ok(Answer(answer(chain.start.head, ended, None))),
            false => Err(ApiError::unauthenticated(
                "the link is not signed by a key of its start",
            )),
        };
    }
    calls.verified(by, chain.known_keys(&link))?;
    let (rates, class) = (&authn.rates, Class::Endpoints);
    let is_leased = rate_limit::consume_leased(&parts, rates, sent.tenant_id, class)?;
    if !is_leased {
        // Leasing more takes a transaction of its own.
        tx.rollback().await?;
        rate_limit::consume(&parts, rates, &authn.store, sent.tenant_id, class).await?;
        tx = authn.store.tenant_for(sent.tenant_id, urgency).await?;
    } else if !is_known {
        // From here on it is the tenant's own.
        tx.rollback().await?;
        tx = authn.store.tenant_for(sent.tenant_id, urgency).await?;
    }
    match take(&mut tx, &link).await? {
        Taken::Answered(answer) => {
            tx.commit().await?;
            Ok(Answer(answer))
        }
        Taken::Collided => {
            tx.commit().await?;
            Err(collided())
        }
        Taken::NotAny(why) => {
            drop(tx);
            let denied = Denied {
                tenant: sent.tenant_id,
                actor: Actor::Endpoint(chain.endpoint.id),
                route: &Route::of(&parts),
            };
            Err(refuse(&authn, &denied, why).await)
        }
    }
}

/// What became of a link.
enum Taken {
    /// This is the answer.
    Answered(LinkAnswer),
    /// It shows that somebody else holds the key.
    Collided,
    /// The endpoint may not act any more.
    NotAny(NotLiving),
}

/// A chain as it is recorded, beside a link that says that it is of it.
struct Chain {
    endpoint: Endpoint,
    start: StartRow,
    /// The key that is due, and the one after it; all of them if another one signed the link.
    keys: Vec<KeyRow>,
    /// Whether one of the start's keys signed the link.
    signed: bool,
    fenced: bool,
}

impl Chain {
    /// Reads the chain that a link says it is of.
    async fn read(tx: &mut Tx, link: &SignedLink) -> ApiResult<Option<Self>> {
        let of = link.head().of();
        let id = Uuid::from_bytes(of.endpoint);
        let endpoint = match tx.endpoints().find(id).await {
            Ok(endpoint) => endpoint,
            Err(StorageError::NotFound) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(start) = tx.starts().find(id, of.start).await? else {
            return Ok(None);
        };
        let k = link.head().k();
        let mut keys = tx.starts().keys_around(id, of.start, k).await?;
        let due = keys.first().filter(|key| key.span.since.k < k);
        let mut signed = due.is_some_and(|key| link.is_signed_by(&key.span.key));
        if !signed {
            // Another of its keys may have: then there is a copy. There may be a thousand.
            keys = tx.starts().keys(id, of.start).await?;
            let (evidence, all) = (link.evidence(), keys.clone());
            signed = tokio::task::spawn_blocking(move || {
                all.iter().any(|key| evidence.is_signed_by(&key.span.key))
            })
            .await
            .map_err(ApiError::internal)?;
        }
        Ok(Some(Self {
            keys,
            signed,
            fenced: is_chain_fenced(tx, id, &start).await?,
            endpoint,
            start,
        }))
    }

    /// The keys of the start whose link this is that sign links now.
    fn known_keys(&self, link: &SignedLink) -> KnownKeys {
        let keys = self.keys.iter().rev().take(2);
        KnownKeys {
            long_term: None,
            start: Some((*link.head().of(), keys.map(|key| key.span.key).collect())),
        }
    }

    /// What the link is to it; none if its key is not known, which it may be behind a fence.
    fn judge(&self, link: &SignedLink) -> Option<LinkVerdict> {
        let keys: Vec<KeySpan> = self.keys.iter().map(|key| key.span).collect();
        let facts = LinkFacts {
            of: *link.head().of(),
            head: self.start.head,
            keys: &keys,
            fenced: self.fenced,
            ended: self.start.ended_at.map(|_| self.start.late),
        };
        judge_link(link, &facts).ok()
    }
}

/// Judges a link and does what it says.
async fn take(tx: &mut Tx, link: &SignedLink) -> ApiResult<Taken> {
    let id = Uuid::from_bytes(link.head().of().endpoint);
    // What may end it waits for who draws with it; its signs of life do not.
    let state = match link.body() {
        LinkBody::Heartbeat(_) | LinkBody::Request(_) | LinkBody::Acknowledge(_) => {
            tx.endpoints().lock_living(id).await?
        }
        LinkBody::Disown(_)
        | LinkBody::Retire(_)
        | LinkBody::Renew(_)
        | LinkBody::EnclaveIntruder(_) => tx.endpoints().lock(id).await?,
    };
    match state {
        EndpointState::Active => {}
        EndpointState::Revoked => return Ok(Taken::NotAny(NotLiving::Revoked)),
        EndpointState::Collided => return Ok(Taken::NotAny(NotLiving::Collided)),
    }
    let dispute = match tx.disputes().find(id).await? {
        Some(dispute) if starts::expire(tx, id, &dispute).await? => None,
        dispute => dispute,
    };
    let chain = Chain::read(tx, link).await?.ok_or_else(not_this_chain)?;
    let ended = chain.start.ended_at.is_some();
    let with_head =
        |head: LinkMark, ended, outcome| Ok(Taken::Answered(answer(head, ended, outcome)));
    match chain.judge(link) {
        None => with_head(chain.start.head, ended, None),
        Some(LinkVerdict::Next(mark) | LinkVerdict::AfterGap(mark)) => {
            let told = Told {
                endpoint: &chain.endpoint,
                start: chain.start.hash,
                in_dispute: dispute.is_some(),
                fenced: chain.fenced,
            };
            let outcome = outcome::apply(tx, &told, link).await?;
            // A heartbeat is answered with what is, whenever that is.
            let kept = match &outcome {
                LinkOutcome::Heartbeat(_) => None,
                kept => Some(serde_json::to_value(kept).map_err(ApiError::internal)?),
            };
            tx.starts().set_head(id, link, kept.as_ref()).await?;
            let lives = tx.starts().living(id).await?;
            let lives = lives.is_some_and(|living| living.hash == chain.start.hash);
            with_head(mark, !lives, Some(outcome))
        }
        Some(LinkVerdict::Repeat) => {
            let outcome = repeated(tx, &chain, link).await?;
            with_head(chain.start.head, ended, outcome)
        }
        Some(LinkVerdict::Below(head) | LinkVerdict::Gap(head)) => with_head(head, ended, None),
        Some(LinkVerdict::Late(_)) => {
            tx.starts().set_late(id, link).await?;
            with_head(chain.start.head, true, None)
        }
        Some(LinkVerdict::Collision(_)) => {
            collide(tx, &chain, link).await?;
            Ok(Taken::Collided)
        }
    }
}

fn answer(head: LinkMark, ended: bool, outcome: Option<LinkOutcome>) -> LinkAnswer {
    LinkAnswer {
        head: ChainHead {
            k: head.k,
            hash: STANDARD.encode(head.hash.0),
        },
        ended,
        outcome,
    }
}

/// What the chain's last link was answered with.
async fn repeated(tx: &mut Tx, chain: &Chain, link: &SignedLink) -> ApiResult<Option<LinkOutcome>> {
    if let Some(answer) = &chain.start.head_answer {
        let answer = serde_json::from_value(answer.clone());
        return Ok(Some(answer.map_err(ApiError::internal)?));
    }
    match link.body() {
        LinkBody::Heartbeat(told) => Ok(Some(heartbeat::again(tx, &chain.endpoint, told).await?)),
        _ => Ok(None),
    }
}

/// Records that two links stand beside each other that one start does not sign.
async fn collide(tx: &mut Tx, chain: &Chain, link: &SignedLink) -> ApiResult<()> {
    let (mark, start) = (link.mark(), &chain.start);
    // What it contradicts: a late link another late one, a second renewal the first, and
    // whatever else the head.
    let late = start.late_link.as_ref().filter(|_| {
        start.ended_at.is_some() && mark.k > start.head.k && start.late != Some(mark.hash)
    });
    let after = |key: &&KeyRow| key.span.since.k >= mark.k;
    let renewal = chain.keys.iter().filter(after).find_map(|key| {
        let renewal = key.renewal.as_ref()?;
        let renewal = SignedLink::from_bytes(renewal).ok()?;
        let other = renewal.mark() != mark && link.head().kind() == LinkKind::Renew;
        (other && mark.k < start.head.k).then(|| renewal.evidence().to_bytes())
    });
    let recorded = late
        .cloned()
        .or(renewal)
        .or_else(|| start.head_link.clone())
        // Before the first link, that is the start.
        .or_else(|| Some(start.start.to_bytes()));
    let kind = match link.body().disowns(&start.head) {
        true => CollisionKind::Disowned,
        false => CollisionKind::Link,
    };
    record_collision(
        tx,
        &Found {
            endpoint: chain.endpoint.id,
            role: chain.endpoint.role,
            start: start.hash,
            kind,
            place: None,
            n: mark.k,
            k: None,
            recorded,
            reported: Some(link.evidence().to_bytes()),
            reporter: chain.endpoint.id,
        },
    )
    .await?;
    Ok(())
}

/// The chain's start is not recorded: an unknown endpoint's, another tenant's, or one that
/// has yet to be announced.
fn not_this_chain() -> ApiError {
    ApiError::new(
        ProblemType::NotThisChain,
        "no such start is recorded; announce it, then send the link again",
    )
}
