//! Requests of bundles.

use armour_api::{BundleOutcome, LinkOutcome, ProblemType};
use armour_protocol::v2::identity::body::{BundleRequest, NO_BUNDLE};
use armour_storage::Tx;
use uuid::Uuid;

use super::told::{Told, refusal};
use crate::{
    http::problem::{ApiError, ApiResult},
    pairing::issuance::{self, Draw, Issued},
};

/// Issues the bundles that are asked for, each or not.
///
/// # Errors
/// If the database refuses.
pub async fn apply(
    tx: &mut Tx,
    told: &Told<'_>,
    requests: &[BundleRequest],
) -> ApiResult<LinkOutcome> {
    let pairs = requests
        .iter()
        .map(|request| Uuid::from_bytes(request.pair));
    let draws: Vec<Draw> = pairs
        .zip(requests)
        .map(|(pair, request)| Draw {
            pair,
            number: request.draw,
            replaces: (request.replaces != NO_BUNDLE).then(|| Uuid::from_bytes(request.replaces)),
        })
        .collect();
    let issued = match told.in_dispute {
        true => draws.iter().map(|_| in_dispute()).collect(),
        false => issuance::issue(tx, told.endpoint, told.start, &draws).await?,
    };
    let items = issued.into_iter().map(|issued| {
        let (bundle_id, problem) = match issued.bundle {
            Ok(bundle) => (Some(bundle), None),
            Err(error) => (None, Some(refusal(error)?)),
        };
        Ok(BundleOutcome {
            bundle_id,
            problem,
            wanted: issued.wanted,
        })
    });
    Ok(LinkOutcome::Bundles {
        items: items.collect::<ApiResult<_>>()?,
    })
}

fn in_dispute() -> Issued {
    let problem = ApiError::new(
        ProblemType::IdentityInUse,
        "another start of this endpoint lives; nothing is drawn until people choose",
    );
    Issued {
        bundle: Err(problem),
        wanted: 0,
    }
}
