//! Links as they come.

use std::sync::Arc;

use armour_api::{LinkAnswer, ProblemType, SendLink};
use armour_protocol::v2::identity::{body::LinkBody, link::SignedLink};
use armour_storage::{Actor, Urgency};
use axum::{Json as Answer, extract::State, http::request::Parts};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    chain::Chain,
    draws::{Asking, DrawTogether},
    take::{Taken, answer, endpoint_of, not_this_chain, take},
};
use crate::{
    http::{
        extract::Json,
        problem::{ApiError, ApiResult},
        rate_limit::{self, Class, Source},
    },
    identity::authn::{Authn, Route, collided, denial::Denied, refuse, signed_calls::Signatory},
    pairing::fleet_watch::FleetWatch,
    platform::group_commit::GroupCommit,
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
    State(watch): State<Arc<FleetWatch>>,
    State(draws): State<Arc<GroupCommit<DrawTogether>>>,
    parts: Parts,
    Json(sent): Json<SendLink>,
) -> ApiResult<Answer<LinkAnswer>> {
    let link = STANDARD.decode(&sent.link).ok();
    let link = link.and_then(|bytes| SignedLink::from_bytes(&bytes).ok());
    let link = link.ok_or_else(|| ApiError::invalid("link is not a signed link"))?;
    let (calls, source) = (&authn.signed_calls, Source::of(&parts.extensions));
    let by = Signatory {
        tenant: sent.tenant_id,
        endpoint: endpoint_of(&link),
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
        false => authn.store.tenant_unproven(sent.tenant_id, urgency).await?,
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
    let draws_bundles = matches!(link.body(), LinkBody::Request(_));
    // Leasing more takes a transaction of its own; so do draws, for all who draw just now; and what
    // was not known to be the tenant's own was not counted as that.
    let tx = match is_leased && is_known && !draws_bundles {
        true => Some(tx),
        false => {
            tx.rollback().await?;
            None
        }
    };
    if !is_leased {
        rate_limit::consume(&parts, rates, &authn.store, sent.tenant_id, class).await?;
    }
    let taken = if draws_bundles {
        draws.submit(sent.tenant_id, Asking::now(link)).await?
    } else {
        let mut tx = match tx {
            Some(tx) => tx,
            None => authn.store.tenant_for(sent.tenant_id, urgency).await?,
        };
        let taken = take(&mut tx, &watch, &link).await?;
        match taken {
            Taken::NotAny(_) => drop(tx),
            _ => tx.commit().await?,
        }
        taken
    };
    match taken {
        Taken::Answered(answer) => Ok(Answer(answer)),
        Taken::Collided => Err(collided()),
        Taken::NotAny(why) => {
            let denied = Denied {
                tenant: sent.tenant_id,
                actor: Actor::Endpoint(chain.endpoint.id),
                route: &Route::of(&parts),
            };
            Err(refuse(&authn, &denied, why).await)
        }
    }
}
