//! What goes through a pair, and between whom.

use armour_api::PairTraffic;
use armour_storage::RECENT_MINUTES;
use axum::Json as Answer;

use crate::{
    http::{extract::Id, problem::ApiResult},
    identity::authn::Member,
    pairing::assignments::fleet,
};

/// A pair's endpoints on the producer's side that are there, how many bundles each has, and what
/// the ledger has of these lately.
#[utoipa::path(get, path = "/v1/pairs/{id}/traffic", tag = "pairs", params(("id" = Uuid, Path)),
    responses((status = 200, body = PairTraffic)))]
pub(super) async fn traffic(mut member: Member, Id(id): Id) -> ApiResult<Answer<PairTraffic>> {
    let tx = &mut member.tx;
    let pair = tx.pairs().find(id).await?;
    let ends = [pair.consumer_id, pair.producer_id];
    let fleet = fleet(tx, (id, ends), &[]).await?;
    Ok(Answer(PairTraffic {
        pair_id: id,
        state: pair.state,
        serving: fleet.serving.len() as u64,
        consumers: fleet.consumers,
        wanted: fleet.wanted(),
        minutes: RECENT_MINUTES,
        producers: tx.traffic(pair.producer_id, id).await?,
    }))
}
