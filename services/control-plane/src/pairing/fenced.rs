//! Whether the database may lack what an endpoint did last: it was restored to an earlier
//! state, and the tenant's ledger was fenced. A fence excuses what was lost by it, and nothing
//! that came after it.

use armour_storage::{StartRow, Tx};
use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use crate::http::problem::ApiResult;

/// After a fence nothing from before it is under way any more once this time has passed.
const UNDER_WAY: Duration = Duration::minutes(10);

/// Whether starts of this endpoint may be lost: it was known before the last fence, and was
/// not heard since, or something older may still come.
///
/// # Errors
/// If the database does not answer.
pub async fn is_endpoint_fenced(tx: &mut Tx, endpoint: Uuid) -> ApiResult<bool> {
    let Some(fence) = tx.fences().latest().await? else {
        return Ok(false);
    };
    if tx.endpoints().find(endpoint).await?.created_at >= fence {
        return Ok(false);
    }
    let heard = tx.starts().heard(endpoint, None).await?;
    Ok(!since(heard, fence) || is_recent(tx, fence))
}

/// Whether links of this start may be lost: it may have been there before the last fence, and
/// was not heard since, or something older may still come. Of a start that had ended by then
/// nothing is.
///
/// # Errors
/// If the database does not answer.
pub async fn is_chain_fenced(tx: &mut Tx, endpoint: Uuid, start: &StartRow) -> ApiResult<bool> {
    let Some(fence) = tx.fences().latest().await? else {
        return Ok(false);
    };
    if start.ended_at.is_some_and(|ended| ended < fence) {
        return Ok(false);
    }
    if start.accepted_at >= fence {
        // It was lost, too, if it was announced again before anything else of the endpoint
        // was heard.
        let counter = start.start.unverified().counter();
        let before = tx.starts().heard(endpoint, Some(counter)).await?;
        let since_enrolled = tx.endpoints().find(endpoint).await?.created_at >= fence;
        if since_enrolled || since(before, fence) {
            return Ok(false);
        }
    }
    Ok(!since(start.head_at, fence) || is_recent(tx, fence))
}

fn since(heard: Option<DateTime<Utc>>, fence: DateTime<Utc>) -> bool {
    heard.is_some_and(|heard| heard >= fence)
}

fn is_recent(tx: &Tx, fence: DateTime<Utc>) -> bool {
    tx.now() - fence < UNDER_WAY
}
