//! The calling endpoint itself.

use armour_api::EndpointSelf;
use axum::Json as Answer;

use crate::{http::problem::ApiResult, identity::authn::EndpointAuth};

/// The calling endpoint and its pairs.
#[utoipa::path(get, path = "/v1/endpoint", tag = "endpoint",
    responses((status = 200, body = EndpointSelf)))]
pub(super) async fn own(mut caller: EndpointAuth) -> ApiResult<Answer<EndpointSelf>> {
    let pairs = caller
        .tx
        .pairs()
        .list(Some(caller.endpoint.party_id), None)
        .await?
        .items;
    let draws = caller.tx.pair_draws().list(caller.endpoint.id).await?;
    Ok(Answer(EndpointSelf {
        endpoint: caller.endpoint,
        pairs,
        draws,
    }))
}
