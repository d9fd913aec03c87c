//! An endpoint's chain of links as it is recorded, and what a link is to it.

use armour_api::{CollisionKind, Endpoint};
use armour_protocol::v2::identity::{
    body::LinkKind,
    judge::{KeySpan, LinkFacts, LinkVerdict, judge_link},
    link::SignedLink,
};
use armour_storage::{KeyRow, StartRow, StorageError, Tx};
use uuid::Uuid;

use crate::{
    http::problem::{ApiError, ApiResult},
    identity::authn::signed_calls::KnownKeys,
    ledger::collision::{Found, record_collision},
    pairing::fenced::is_chain_fenced,
};

/// A chain as it is recorded, beside a link that says that it is of it.
pub struct Chain {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The start.
    pub start: StartRow,
    /// The key that is due, and the one after it; all of them if another one signed the link.
    pub keys: Vec<KeyRow>,
    /// Whether one of the start's keys signed the link.
    pub signed: bool,
    /// Whether links of it may be lost, which its endpoint then sends again.
    pub fenced: bool,
}

impl Chain {
    /// Reads the chain that a link says it is of, if there is one.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn read(tx: &mut Tx, link: &SignedLink) -> ApiResult<Option<Self>> {
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
    pub fn known_keys(&self, link: &SignedLink) -> KnownKeys {
        let keys = self.keys.iter().rev().take(2);
        KnownKeys {
            long_term: None,
            start: Some((*link.head().of(), keys.map(|key| key.span.key).collect())),
        }
    }

    /// What the link is to it; none if its key is not known, which it may be behind a fence.
    pub fn judge(&self, link: &SignedLink) -> Option<LinkVerdict> {
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

/// Records that two links stand beside each other that one start does not sign.
///
/// # Errors
/// If the database refuses.
pub async fn collide(tx: &mut Tx, chain: &Chain, link: &SignedLink) -> ApiResult<()> {
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
