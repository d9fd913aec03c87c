//! Keys that follow a start's.

use armour_api::{LinkOutcome, ProblemType};
use armour_protocol::v2::identity::{body::NewKeys, link::SignedLink};
use armour_storage::{PairingAction, Tx};
use chrono::Duration;

use super::told::Told;
use crate::{
    http::problem::{ApiError, ApiResult},
    pairing::starts,
};

/// How long keys are current at least. An endpoint renews its own each day.
const INTERVAL: Duration = Duration::hours(1);
/// How often one start renews its keys. Each grant carries all of them up to the key that its
/// bundle names, since whoever does not know the endpoint yet verifies them one by one.
const MAX_RENEWALS: u64 = 1_024;

/// Makes other keys the start's; bundles that name the ones before go on. Also in a dispute:
/// which of two starts is the endpoint does not hang on it, and another renewal of the same key
/// in its place, later, would accuse whoever signed both. The start ends with more of them than
/// it may have.
///
/// # Errors
/// 429 `renewed-too-soon` less than an hour after the last one; if the database refuses.
pub async fn apply(
    tx: &mut Tx,
    told: &Told<'_>,
    link: &SignedLink,
    keys: &NewKeys,
) -> ApiResult<LinkOutcome> {
    let (endpoint, now) = (told.endpoint.id, tx.now());
    let (times, last) = tx.starts().renewed(endpoint, told.start).await?;
    if times >= MAX_RENEWALS {
        let reason = "its keys were renewed as often as they may be";
        starts::leave(tx, told.endpoint, &told.actor(), reason).await?;
        return Ok(LinkOutcome::Done);
    }
    let since = match told.fenced {
        // What was lost is sent again, all at once. It was made before: the next one that is
        // due is not too soon after it.
        true => now - INTERVAL,
        false => now,
    };
    let age = last.filter(|_| !told.fenced).map(|last| now - last);
    // One dated ahead was written by a clock that has been set back: it keeps nobody out, since
    // no other link of the endpoint's could follow this one.
    if let Some(left) = age
        .filter(|age| *age >= Duration::zero())
        .map(|age| INTERVAL - age)
        .filter(|left| *left > Duration::zero())
    {
        let seconds = u32::try_from(left.num_seconds() + 1).unwrap_or(u32::MAX);
        let problem = ApiError::new(
            ProblemType::RenewedTooSoon,
            "the keys were renewed less than an hour ago",
        );
        return Err(problem.with_retry_after(seconds));
    }
    tx.starts().renew(endpoint, link, keys, since).await?;
    tx.audit_log()
        .append(
            &told.actor(),
            PairingAction::EndpointRenew {
                id: endpoint,
                start: &hex::encode(told.start.0),
                key: keys.key.as_bytes(),
            },
        )
        .await?;
    Ok(LinkOutcome::Done)
}
