//! Requests of bundles that come together: one transaction and one entry of the audit log serve
//! them all, so that a tenant with many endpoints does not queue for its journal.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use armour_protocol::v2::identity::{body::LinkBody, link::SignedLink};
use armour_storage::{Origin, Store, Tx, Urgency};
use uuid::Uuid;

use super::{
    chain::collide,
    request,
    take::{Judged, NextLink, Taken, endpoint_of, judge, judge_alone, not_this_chain},
};
use crate::{
    http::problem::{ApiError, ApiResult},
    pairing::{fleet_watch::FleetWatch, issuance},
    platform::group_commit::BatchOperation,
};

/// A link that asks for bundles.
pub struct Asking {
    link: SignedLink,
    /// The call that it came with.
    origin: Option<Origin>,
}

impl Asking {
    /// It came with the call that is under way.
    pub fn now(link: SignedLink) -> Self {
        Self {
            link,
            origin: Origin::current(),
        }
    }

    fn requests(&self) -> usize {
        match self.link.body() {
            LinkBody::Request(items) => items.len(),
            _ => 0,
        }
    }
}

/// Takes links that ask for bundles.
pub struct DrawTogether {
    store: Store,
    watch: Arc<FleetWatch>,
}

impl DrawTogether {
    /// In this database.
    pub fn new(store: Store, watch: Arc<FleetWatch>) -> Self {
        Self { store, watch }
    }
}

impl BatchOperation for DrawTogether {
    type Request = Asking;
    type Answer = Taken;
    const MAX_CALLS: usize = 64;
    const MAX_WEIGHT: usize = 64;
    const LINGER: Duration = Duration::from_millis(10);

    fn weight(asking: &Asking) -> usize {
        asking.requests()
    }

    async fn run(&self, tenant: Uuid, asking: &[Arc<Asking>]) -> ApiResult<Vec<Taken>> {
        let mut tx = self.store.tenant_for(tenant, Urgency::Draws).await?;
        let taken = match asking {
            [alone] => {
                let origin = alone.origin.clone().unwrap_or_default();
                let done = take_all(&mut tx, &self.watch, asking);
                origin.scope(done).await?
            }
            several => take_all(&mut tx, &self.watch, several).await?,
        };
        tx.commit().await?;
        Ok(taken)
    }
}

/// Judges links and issues what they ask for. What comes of each, in their order.
async fn take_all(
    tx: &mut Tx,
    watch: &FleetWatch,
    asking: &[Arc<Asking>],
) -> ApiResult<Vec<Taken>> {
    let endpoints: BTreeSet<Uuid> = asking.iter().map(|one| endpoint_of(&one.link)).collect();
    if endpoints.len() < asking.len() {
        return Err(apart("two links of one endpoint"));
    }
    let states = tx
        .endpoints()
        .lock_all_living(&Vec::from_iter(endpoints))
        .await?;
    let mut judged = Vec::with_capacity(asking.len());
    for one in asking {
        let state = states.get(&endpoint_of(&one.link));
        let state = *state.ok_or_else(not_this_chain)?;
        let judging = match asking.len() {
            1 => judge_alone(tx, watch, state, &one.link).await?,
            _ => judge(tx, watch, state, &one.link).await?,
        };
        judged.push(match judging {
            // What they end has locks of its own: two groups that ended something each would take
            // theirs in any order.
            Judged::Collides(_) if asking.len() > 1 => return Err(apart("a collision")),
            Judged::DisputeOver => return Err(apart("the end of a dispute")),
            Judged::Collides(chain) => {
                collide(tx, &chain, &one.link).await?;
                Judged::Taken(Taken::Collided)
            }
            judged => judged,
        });
    }
    let follows = |one: &Judged| match one {
        Judged::Next(next) => !next.in_dispute,
        _ => false,
    };
    let next = judged.iter().zip(asking).filter(|(one, _)| follows(one));
    let draws: Vec<_> = next.filter_map(|(one, of)| draws(one, watch, of)).collect();
    let (issued, minted) = issuance::issue(tx, &draws).await?;
    let mut issued = issued.into_iter();
    let mut taken = Vec::with_capacity(asking.len());
    for (one, of) in judged.into_iter().zip(asking) {
        taken.push(match one {
            Judged::Taken(taken) => taken,
            // Neither is left.
            Judged::Collides(_) | Judged::DisputeOver => Taken::Collided,
            Judged::Next(next) => {
                let came = match next.in_dispute {
                    true => request::in_dispute(of.requests()),
                    false => issued.next().unwrap_or_default(),
                };
                done(tx, &next, of, came).await?
            }
        });
    }
    // The journal's lock comes last: the tenant's other endpoints wait for it.
    issuance::tell(tx, &minted).await?;
    Ok(taken)
}

/// What a link asks for that follows its chain's head.
fn draws(judged: &Judged, watch: &FleetWatch, of: &Asking) -> Option<issuance::Draws> {
    match (judged, of.link.body()) {
        (Judged::Next(next), LinkBody::Request(items)) => {
            Some(request::asked_for(&next.told(watch), items))
        }
        _ => None,
    }
}

async fn done(
    tx: &mut Tx,
    next: &NextLink,
    of: &Asking,
    came: Vec<issuance::Issued>,
) -> ApiResult<Taken> {
    let outcome = request::outcome(came)?;
    next.done(tx, &of.link, outcome).await
}

/// They are not done together, but each by itself.
fn apart(why: &str) -> ApiError {
    ApiError::invalid(why)
}
