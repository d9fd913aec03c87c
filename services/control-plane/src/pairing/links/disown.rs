//! What an endpoint was told that it signed, and says that it did not.

use armour_api::{CollisionKind, LinkOutcome, ProblemType, Role};
use armour_protocol::v2::{
    enclave::LaneMark,
    identity::{body::Disowned, link::SignedLink, start::StartHash},
};
use armour_storage::{BundleRow, Tx};
use uuid::Uuid;

use super::told::{Told, item};
use crate::{
    http::problem::{ApiError, ApiResult},
    ledger::collision::{Found, record_collision},
    pairing::access::own,
};

/// Each thing that is recorded and was not signed by this start is a collision.
///
/// # Errors
/// If the database refuses.
pub async fn apply(
    tx: &mut Tx,
    told: &Told<'_>,
    link: &SignedLink,
    disowned: &[Disowned],
) -> ApiResult<LinkOutcome> {
    let named = disowned.iter().filter_map(|one| match one {
        Disowned::Ticket { bundle, .. } | Disowned::Receipt { bundle, .. } => {
            Some(Uuid::from_bytes(*bundle))
        }
        Disowned::Link(_) | Disowned::Start(_) => None,
    });
    let named: Vec<Uuid> = named.collect();
    let bundles = tx.bundles().lock(&named).await?;
    let mut items = Vec::with_capacity(disowned.len());
    for one in disowned {
        let found = match one {
            // The judge has compared it with the head: this one is not it.
            Disowned::Link(_) => Err(not_recorded()),
            Disowned::Start(start) => a_start(tx, told, *start).await,
            Disowned::Ticket { bundle, mark } => {
                let bundle = bundles.get(&Uuid::from_bytes(*bundle));
                of_lane(tx, told, bundle, Role::Consumer, mark).await
            }
            Disowned::Receipt { bundle, mark } => {
                let bundle = bundles.get(&Uuid::from_bytes(*bundle));
                of_lane(tx, told, bundle, Role::Producer, mark).await
            }
        };
        let done = match found {
            Err(error) => Err(error),
            Ok(mut found) => {
                found.reported = Some(link.evidence().to_bytes());
                record_collision(tx, &found).await?;
                Ok(())
            }
        };
        items.push(item(done)?);
    }
    Ok(LinkOutcome::Items { items })
}

async fn a_start(tx: &mut Tx, told: &Told<'_>, start: StartHash) -> ApiResult<Found> {
    let recorded = tx.starts().find(told.endpoint.id, start).await?;
    let recorded = recorded.filter(|_| start != told.start);
    let recorded = recorded.ok_or_else(not_recorded)?;
    Ok(Found {
        endpoint: told.endpoint.id,
        role: told.endpoint.role,
        start,
        kind: CollisionKind::Disowned,
        place: None,
        n: recorded.start.unverified().counter(),
        k: None,
        recorded: Some(recorded.start.to_bytes()),
        reported: None,
        reporter: told.endpoint.id,
    })
}

async fn of_lane(
    tx: &mut Tx,
    told: &Told<'_>,
    bundle: Option<&BundleRow>,
    signer: Role,
    mark: &LaneMark,
) -> ApiResult<Found> {
    let (bundle, side) = own(bundle, told.endpoint.id, told.start)?;
    let recorded = match side == signer {
        true => tx.lanes().find(bundle.id, side, mark).await?,
        false => None,
    };
    Ok(Found {
        endpoint: told.endpoint.id,
        role: side,
        start: told.start,
        kind: CollisionKind::Disowned,
        place: Some((bundle.clone(), mark.lane)),
        n: mark.n,
        k: (mark.k > 0).then_some(mark.k),
        recorded: Some(recorded.ok_or_else(not_recorded)?),
        reported: None,
        reporter: told.endpoint.id,
    })
}

fn not_recorded() -> ApiError {
    ApiError::new(ProblemType::NotRecorded, "nothing like it is recorded")
}
