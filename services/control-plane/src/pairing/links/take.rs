//! Taking links: judged under the endpoint's row lock, answered again with the same.

use armour_api::{ChainHead, EndpointState, LinkAnswer, LinkOutcome, ProblemType};
use armour_protocol::v2::identity::{
    body::LinkBody, judge::LinkVerdict, link::SignedLink, mark::LinkMark,
};
use armour_storage::Tx;
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use super::{
    chain::{Chain, collide},
    heartbeat, outcome,
    told::Told,
};
use crate::{
    http::problem::{ApiError, ApiResult},
    identity::authn::NotLiving,
    pairing::{fleet_watch::FleetWatch, starts},
};

/// What became of a link.
pub enum Taken {
    /// This is the answer.
    Answered(LinkAnswer),
    /// It shows that somebody else holds the key.
    Collided,
    /// The endpoint may not act any more.
    NotAny(NotLiving),
}

/// What a link is, if it is to be done what it says.
pub enum Judged {
    /// Nothing is to be done any more.
    Taken(Taken),
    /// It follows the head.
    Next(Box<NextLink>),
    /// It stands beside another one of this chain.
    Collides(Box<Chain>),
    /// Nobody chose in time between two starts of its endpoint: both are to end, which has locks of
    /// its own, and then it is to be judged again.
    DisputeOver,
}

/// A link that follows its chain's head.
pub struct NextLink {
    /// The chain.
    pub chain: Chain,
    /// Its place.
    pub mark: LinkMark,
    /// Whether another start lives, and people have yet to choose.
    pub in_dispute: bool,
}

/// Judges a link and does what it says, unless it asks for bundles.
///
/// # Errors
/// If the database refuses: then the link is not taken.
pub async fn take(tx: &mut Tx, watch: &FleetWatch, link: &SignedLink) -> ApiResult<Taken> {
    let id = endpoint_of(link);
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
    let next = match judge_alone(tx, watch, state, link).await? {
        Judged::Taken(taken) => return Ok(taken),
        Judged::Next(next) => next,
        Judged::DisputeOver => return Err(ApiError::internal("a dispute that does not end")),
        Judged::Collides(chain) => {
            collide(tx, &chain, link).await?;
            return Ok(Taken::Collided);
        }
    };
    let outcome = outcome::apply(tx, &next.told(watch), link).await?;
    next.done(tx, link, outcome).await
}

/// The endpoint that a link says it is of.
pub fn endpoint_of(link: &SignedLink) -> Uuid {
    Uuid::from_bytes(link.head().of().endpoint)
}

/// As [`judge`], of a link that is judged by itself: a dispute that is over ends.
///
/// # Errors
/// As [`judge`].
pub async fn judge_alone(
    tx: &mut Tx,
    watch: &FleetWatch,
    state: EndpointState,
    link: &SignedLink,
) -> ApiResult<Judged> {
    match judge(tx, watch, state, link).await? {
        Judged::DisputeOver => {
            starts::end_both(tx, endpoint_of(link)).await?;
            judge(tx, watch, state, link).await
        }
        judged => Ok(judged),
    }
}

/// Says what a link is to its chain. Its endpoint's row is locked, and this is its state.
///
/// # Errors
/// 409 `not-this-chain`; if the database refuses.
pub async fn judge(
    tx: &mut Tx,
    watch: &FleetWatch,
    state: EndpointState,
    link: &SignedLink,
) -> ApiResult<Judged> {
    let id = endpoint_of(link);
    match state {
        EndpointState::Active => {}
        EndpointState::Revoked => return Ok(Judged::Taken(Taken::NotAny(NotLiving::Revoked))),
        EndpointState::Collided => return Ok(Judged::Taken(Taken::NotAny(NotLiving::Collided))),
    }
    let dispute = tx.disputes().find(id).await?;
    if dispute.as_ref().is_some_and(|one| starts::is_over(tx, one)) {
        return Ok(Judged::DisputeOver);
    }
    let chain = Chain::read(tx, link).await?.ok_or_else(not_this_chain)?;
    let (head, ended) = (chain.start.head, chain.start.ended_at.is_some());
    let answered = |ended, outcome| Judged::Taken(Taken::Answered(answer(head, ended, outcome)));
    Ok(match chain.judge(link) {
        None => answered(ended, None),
        Some(LinkVerdict::Next(mark) | LinkVerdict::AfterGap(mark)) => {
            Judged::Next(Box::new(NextLink {
                chain,
                mark,
                in_dispute: dispute.is_some(),
            }))
        }
        Some(LinkVerdict::Repeat) => {
            let outcome = repeated(tx, watch, &chain, link).await?;
            answered(ended, outcome)
        }
        Some(LinkVerdict::Below(at) | LinkVerdict::Gap(at)) => {
            Judged::Taken(Taken::Answered(answer(at, ended, None)))
        }
        Some(LinkVerdict::Late(_)) => {
            tx.starts().set_late(id, link).await?;
            answered(true, None)
        }
        Some(LinkVerdict::Collision(_)) => Judged::Collides(Box::new(chain)),
    })
}

impl NextLink {
    /// Who tells something by it.
    pub fn told<'a>(&'a self, watch: &'a FleetWatch) -> Told<'a> {
        Told {
            endpoint: &self.chain.endpoint,
            start: self.chain.start.hash,
            fenced: self.chain.fenced,
            watch,
        }
    }

    /// Makes it the chain's head, with what came of it.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn done(
        &self,
        tx: &mut Tx,
        link: &SignedLink,
        outcome: LinkOutcome,
    ) -> ApiResult<Taken> {
        let id = self.chain.endpoint.id;
        // A heartbeat is answered with what is, whenever that is.
        let kept = match &outcome {
            LinkOutcome::Heartbeat(_) => None,
            kept => Some(serde_json::to_value(kept).map_err(ApiError::internal)?),
        };
        tx.starts().set_head(id, link, kept.as_ref()).await?;
        let lives = tx.starts().living(id).await?;
        let lives = lives.is_some_and(|living| living.hash == self.chain.start.hash);
        Ok(Taken::Answered(answer(self.mark, !lives, Some(outcome))))
    }
}

/// What a link is answered with.
pub fn answer(head: LinkMark, ended: bool, outcome: Option<LinkOutcome>) -> LinkAnswer {
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
async fn repeated(
    tx: &mut Tx,
    watch: &FleetWatch,
    chain: &Chain,
    link: &SignedLink,
) -> ApiResult<Option<LinkOutcome>> {
    if let Some(answer) = &chain.start.head_answer {
        let answer = serde_json::from_value(answer.clone());
        return Ok(Some(answer.map_err(ApiError::internal)?));
    }
    match link.body() {
        LinkBody::Heartbeat(told) => {
            let outcome = heartbeat::again(tx, watch, &chain.endpoint, told).await?;
            Ok(Some(outcome))
        }
        _ => Ok(None),
    }
}

/// The chain's start is not recorded: an unknown endpoint's, another tenant's, or one that
/// has yet to be announced.
pub fn not_this_chain() -> ApiError {
    ApiError::new(
        ProblemType::NotThisChain,
        "no such start is recorded; announce it, then send the link again",
    )
}
