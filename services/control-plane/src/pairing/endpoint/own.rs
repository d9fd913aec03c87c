//! The calling endpoint itself.

use armour_api::EndpointSelf;
use axum::Json as Answer;
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    http::{extract::Params, problem::ApiResult},
    identity::authn::EndpointAuth,
};

/// The calling endpoint and its pairs, page by page.
#[utoipa::path(get, path = "/v1/endpoint", tag = "endpoint", params(After),
    responses((status = 200, body = EndpointSelf)))]
pub(super) async fn own(
    mut caller: EndpointAuth,
    Params(from): Params<After>,
) -> ApiResult<Answer<EndpointSelf>> {
    let tx = &mut caller.tx;
    let party = caller.endpoint.party_id;
    let page = tx.pairs().list(Some(party), from.after).await?;
    let ids: Vec<Uuid> = page.items.iter().map(|pair| pair.id).collect();
    let draws = tx.pair_draws().list(caller.endpoint.id, &ids).await?;
    Ok(Answer(EndpointSelf {
        endpoint: caller.endpoint,
        next: page.next.and(ids.last().copied()),
        pairs: page.items,
        draws,
    }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct After {
    /// `next` of the page before.
    after: Option<Uuid>,
}
