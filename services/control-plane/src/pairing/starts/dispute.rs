//! Two starts of an endpoint that both live: people choose one, or both end.

use armour_api::ProblemType;
use armour_protocol::v2::identity::judge::DISPUTE_MS;
use armour_storage::{
    Actor, DisputeRow, NewEvent, NewStart, PairingAction, StartRivals, StartRow, StartSummary, Tx,
};
use uuid::Uuid;

use super::{
    accept::{Announced, leave, summary},
    verdict::Known,
};
use crate::http::problem::{ApiError, ApiResult};

/// Refuses a start whose endpoint is in use; what it is told. Once, people are told.
///
/// # Errors
/// If the database refuses.
pub async fn refuse(tx: &mut Tx, announced: &Announced<'_>, known: &Known) -> ApiResult<ApiError> {
    let Some(living) = known.living() else {
        return Err(ApiError::internal("a dispute with nobody"));
    };
    let older_hash = hex::encode(living.hash.0);
    let older = summary(&older_hash, &of_row(living, announced.endpoint.id));
    let newer_hash = hex::encode(announced.new.start.unverified().hash().0);
    let newer = summary(&newer_hash, &announced.new);
    if known.dispute().is_none() {
        tx.disputes()
            .begin(&announced.new, announced.address)
            .await?;
        tx.presence_questions().drop(announced.endpoint.id).await?;
        tell(tx, announced.endpoint.id, StartRivals { older, newer }).await?;
    }
    Ok(ApiError::new(
        ProblemType::IdentityInUse,
        format!(
            "another start of this endpoint lives: {}; this one is {}. End one of them, or choose \
             with `armour endpoints choose-start {} --keep older|newer`",
            place(&older),
            place(&newer),
            announced.endpoint.id
        ),
    ))
}

/// Whether nobody chose in time, so that both starts are to end.
pub fn is_over(tx: &Tx, dispute: &DisputeRow) -> bool {
    let age = (tx.now() - dispute.since).num_milliseconds();
    u64::try_from(age).is_ok_and(|age| age > DISPUTE_MS)
}

/// Ends both starts.
///
/// # Errors
/// If the database refuses.
pub async fn end_both(tx: &mut Tx, endpoint: Uuid) -> ApiResult<()> {
    tx.endpoints().lock(endpoint).await?;
    if let Some(dispute) = tx.disputes().find(endpoint).await? {
        tx.disputes().decline(endpoint, dispute.newer).await?;
    }
    let endpoint = tx.endpoints().find(endpoint).await?;
    leave(
        tx,
        &endpoint,
        &Actor::Service,
        "nobody chose between two starts in time",
    )
    .await?;
    Ok(())
}

async fn tell(tx: &mut Tx, endpoint: Uuid, rivals: StartRivals<'_>) -> ApiResult<()> {
    tx.audit_log()
        .append(
            &Actor::Endpoint(endpoint),
            PairingAction::EndpointInUse {
                id: endpoint,
                rivals,
            },
        )
        .await?;
    tx.events()
        .record(NewEvent::EndpointInUse { endpoint, rivals })
        .await?;
    Ok(())
}

fn of_row(row: &StartRow, endpoint: Uuid) -> NewStart<'_> {
    NewStart {
        endpoint,
        start: &row.start,
        host: row.host.as_deref(),
        process: row.process,
    }
}

/// Where a start runs, for people.
fn place(start: &StartSummary<'_>) -> String {
    let host = start.host.unwrap_or("an unnamed host");
    match start.process {
        Some(process) => format!("process {process} on {host}"),
        None => format!("on {host}"),
    }
}
