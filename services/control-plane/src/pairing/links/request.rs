//! Requests of bundles, as links have them.

use armour_api::{BundleOutcome, LinkOutcome, ProblemType};
use armour_protocol::v2::identity::body::{BundleRequest, NO_BUNDLE};
use uuid::Uuid;

use super::told::{Told, refusal};
use crate::{
    http::problem::{ApiError, ApiResult},
    pairing::issuance::{Draw, Draws, Issued},
};

/// What is asked for by the living start of an endpoint; nothing while another start lives, until
/// people have chosen.
pub fn asked_for(told: &Told<'_>, requests: &[BundleRequest]) -> Draws {
    let draws = requests.iter().map(|request| Draw {
        pair: Uuid::from_bytes(request.pair),
        number: request.draw,
        replaces: (request.replaces != NO_BUNDLE).then(|| Uuid::from_bytes(request.replaces)),
    });
    Draws {
        endpoint: told.endpoint.clone(),
        start: told.start,
        draws: draws.collect(),
    }
}

/// What the endpoint is told of its requests.
///
/// # Errors
/// What is not for the endpoint to act on: then the link is not taken.
pub fn outcome(issued: Vec<Issued>) -> ApiResult<LinkOutcome> {
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

/// What it is told of this many while another start lives.
pub fn in_dispute(requests: usize) -> Vec<Issued> {
    let problem = || {
        ApiError::new(
            ProblemType::IdentityInUse,
            "another start of this endpoint lives; nothing is drawn until people choose",
        )
    };
    let refused = || Issued {
        bundle: Err(problem()),
        wanted: 0,
    };
    (0..requests).map(|_| refused()).collect()
}
