//! Receipts for bundles' secrets.

use armour_api::{BundleState, LinkOutcome, ProblemType, Role};
use armour_protocol::v2::identity::body::Acknowledged;
use armour_storage::{BundleRow, Tx};
use uuid::Uuid;

use super::told::{Told, item};
use crate::{
    http::problem::{ApiError, ApiResult},
    pairing::access::own,
};

/// The start has installed bundles: the control plane erases what was sealed to it. That is no
/// entry of the audit log, which has each bundle with its issue.
///
/// # Errors
/// If the database refuses.
pub async fn apply(
    tx: &mut Tx,
    told: &Told<'_>,
    acknowledged: &[Acknowledged],
) -> ApiResult<LinkOutcome> {
    let ids = acknowledged.iter().map(|one| Uuid::from_bytes(one.bundle));
    let ids: Vec<Uuid> = ids.collect();
    let bundles = tx.bundles().lock(&ids).await?;
    let mut items = Vec::with_capacity(ids.len());
    for (id, one) in ids.iter().zip(acknowledged) {
        let done = match own(bundles.get(id), told.endpoint.id, told.start) {
            Err(error) => Err(error),
            Ok((bundle, side)) => one_of(tx, bundle, side, &one.context).await,
        };
        items.push(item(done)?);
    }
    Ok(LinkOutcome::Items { items })
}

async fn one_of(tx: &mut Tx, bundle: &BundleRow, side: Role, context: &[u8; 32]) -> ApiResult<()> {
    if bundle.context != *context {
        return Err(ApiError::new(
            ProblemType::InvalidRequest,
            "the bundle is bound to something else",
        ));
    }
    if matches!(
        bundle.state,
        BundleState::Retired | BundleState::Disconnected
    ) {
        // It is of no use, and what was sealed is erased.
        return Ok(());
    }
    tx.bundles().acknowledge(bundle.id, side).await?;
    Ok(())
}
